/* SPDX-License-Identifier: ISC */
/* Fan-out: one framed text for many connections. */
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/ws.h"

/* A connection's place in one group. */
struct mui_member {
  struct mui_member *next; /* of the same connection */
  mu_group *group;
  struct mu_conn *conn;
  size_t at; /* in group->places */
};

struct place {
  struct mu_conn *conn;
  struct mui_member *member;
};

struct mu_group {
  struct mui_resource resource;
  enum mu_group_policy policy;
  struct place *places;
  size_t count, capacity;
};

/* The last takes the place of the one that leaves. */
static void take_out(mu_group *group, struct mui_member *member)
{
  struct place last = group->places[--group->count];
  group->places[member->at] = last;
  last.member->at = member->at;
  struct mui_member **at = &member->conn->members;
  while (*at != member)
    at = &(*at)->next;
  *at = member->next;
  free(member);
}

static struct mui_member *member_of(const mu_group *group, const struct mu_conn *conn)
{
  for (struct mui_member *member = conn->members; member; member = member->next)
    if (member->group == group)
      return member;
  return NULL;
}

static void revoke_group(struct mui_resource *resource)
{
  mu_group *group = (mu_group *)resource;
  mui_resource_del(resource);
  while (group->count)
    take_out(group, group->places[group->count - 1].member);
  free(group->places);
  free(group);
}

mu_group *mu_group_new(mu_instance *in, const char *name, enum mu_group_policy policy)
{
  mu_group *group = calloc(1, sizeof *group);
  if (!group)
    return NULL;
  group->policy = policy;
  mui_resource_add(in, &group->resource, revoke_group);
  if (mu_log_enabled(MU_LOG_DEBUG))
    mu_log(in, MU_LOG_DEBUG, "group %s", name ? name : "");
  return group;
}

void mu_group_free(mu_group *group)
{
  if (group)
    revoke_group(&group->resource);
}

int mu_group_join(mu_group *group, mu_conn *conn)
{
  if (!mui_conn_live(conn))
    return MU_ECLOSED;
  if (conn->pending)
    return MU_EBUSY;
  if (member_of(group, conn))
    return MU_EEXIST;
  if (group->count == group->capacity) {
    size_t capacity = group->capacity ? group->capacity * 2 : 8;
    struct place *places = realloc(group->places, capacity * sizeof *places);
    if (!places)
      return MU_ENOMEM;
    group->places = places;
    group->capacity = capacity;
  }
  struct mui_member *member = malloc(sizeof *member);
  if (!member)
    return MU_ENOMEM;
  *member = (struct mui_member){.next = conn->members, .group = group, .conn = conn, .at = group->count};
  conn->members = member;
  group->places[group->count++] = (struct place){conn, member};
  return 0;
}

void mu_group_leave(mu_group *group, mu_conn *conn)
{
  struct mui_member *member = member_of(group, conn);
  if (member)
    take_out(group, member);
}

void mui_conn_leave_all(struct mu_conn *conn)
{
  while (conn->members)
    take_out(conn->members->group, conn->members); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

size_t mu_group_count(const mu_group *group)
{
  return group->count;
}

static void put_all(mu_group *group, const struct mui_waiting *message, const mu_conn *except)
{
  bool conflate = group->policy == MU_GROUP_CONFLATE;
  /* From the end: who is closed for slowness leaves, and the last, served already, takes the place. */
  for (size_t i = group->count; i-- > 0;) {
    struct mu_conn *conn = group->places[i].conn;
    if (conn != except && mui_conn_put(conn, message, conflate, false) == MU_ENOMEM)
      mu_conn_close(conn, MU_CLOSE_TRY_LATER, "out of memory");
  }
}

void mu_group_publish(mu_group *group, uint64_t key, mu_text *text)
{
  uint64_t kept = group->policy == MU_GROUP_CONFLATE ? key : 0;
  put_all(group, &(struct mui_waiting){.key = kept, .text = text}, NULL);
}

void mu_group_change(mu_group *group, uint64_t key, mu_text *change, mu_text *(*whole)(void *context), void *context)
{
  struct mui_waiting small = {.key = key, .text = change}, large = {.key = key};
  bool asked = false;
  for (size_t i = group->count; i-- > 0;) {
    struct mu_conn *conn = group->places[i].conn;
    bool behind = mui_queue_has(&conn->queue, key);
    if (behind && !asked) {
      large.text = whole(context);
      asked = true;
    }
    if ((behind && !large.text) || mui_conn_put(conn, behind ? &large : &small, true, false) == MU_ENOMEM)
      mu_conn_close(conn, MU_CLOSE_TRY_LATER, "out of memory");
  }
  mu_text_unref(large.text);
}

void mu_group_relay(mu_group *group, mu_text *text, bool binary, const mu_conn *except)
{
  put_all(group, &(struct mui_waiting){.text = text, .binary = binary}, except);
}
