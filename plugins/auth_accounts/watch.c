/* SPDX-License-Identifier: ISC */
/*
 * What other programs change: whoever was let in is looked up again every few seconds, and what is open is closed when a row no longer
 * allows it. Bounded: beyond that those who were let in longest ago are forgotten, and a line says so.
 *
 * A grant that is younger than a look is not judged by it: the look may have been answered with what was before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

enum { BATCH = 200 };

struct entry {
  struct entry *next, *previous; /* let in longest ago first */
  const struct mu_principal *principal;
  int64_t sessions;
  int64_t granted_ns;
  bool key; /* one of an API key; otherwise of the user */
};

struct watch {
  struct self *self;
  mu_map *users; /* by id */
  mu_map *keys;  /* by the credential of a key */
  struct entry *first, *last;
  size_t count;
  mu_timer *timer;
  mu_counter *forgotten;
  /* the look that is under way */
  char **ids; /* copies: users, then keys */
  size_t users_count, ids_count, at, batch;
  int64_t asked_ns;
  bool asking;
};

/* ---- entries --------------------------------------------------------------------------------- */

static void entry_unlink(struct watch *watch, struct entry *entry)
{
  *(entry->previous ? &entry->previous->next : &watch->first) = entry->next;
  *(entry->next ? &entry->next->previous : &watch->last) = entry->previous;
}

static void entry_append(struct watch *watch, struct entry *entry)
{
  entry->previous = watch->last;
  entry->next = NULL;
  *(watch->last ? &watch->last->next : &watch->first) = entry;
  watch->last = entry;
}

static mu_map *map_of(const struct watch *watch, bool key)
{
  return key ? watch->keys : watch->users;
}

static struct mu_str name_of(const struct entry *entry)
{
  return mu_str(entry->key ? entry->principal->credential : entry->principal->id);
}

static void entry_free(struct watch *watch, struct entry *entry)
{
  mu_map_del(map_of(watch, entry->key), name_of(entry));
  entry_unlink(watch, entry);
  watch->count--;
  mu_principal_unref(entry->principal);
  free(entry);
}

static void set(struct watch *watch, const struct mu_principal *principal, int64_t sessions, bool key)
{
  const char *name = key ? principal->credential : principal->id;
  struct entry *entry = mu_map_get(map_of(watch, key), mu_str(name));
  if (!entry) {
    entry = calloc(1, sizeof *entry);
    if (!entry || mu_map_add(map_of(watch, key), mu_str(name), entry) != 0) {
      mu_log_limited(watch->self->in, MU_LOG_ERROR, "watch", "a user is not watched: out of memory");
      free(entry);
      return;
    }
    entry->key = key;
    watch->count++;
  } else {
    entry_unlink(watch, entry);
  }
  entry_append(watch, entry);
  mu_principal_ref(principal);
  mu_principal_unref(entry->principal);
  entry->principal = principal;
  entry->sessions = sessions;
  entry->granted_ns = mu_mono_ns();
  while (watch->first && watch->count > (size_t)watch->self->config->watch_users) {
    entry_free(watch, watch->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
    mu_count(watch->forgotten, 1);
    mu_log_limited(watch->self->in, MU_LOG_WARN, "watch",
                   "more people than watch_users are let in: what other programs change is not seen for all of them");
  }
}

void watch_note(struct watch *watch, const struct mu_principal *principal, int64_t sessions, bool key)
{
  const struct entry *entry = mu_map_get(watch->users, mu_str(principal->id));
  bool role = entry && entry->principal->role != principal->role, password = entry && entry->sessions < sessions;
  /* Another program changed it, and the next look would not find it any more: what is open is of before. */
  if (role || password) {
    bool admin = entry->principal->role == MU_ROLE_ADMIN;
    mu_log(watch->self->in, MU_LOG_INFO, "user \"%s\" has another %s now; what is open is closed", principal->name,
           role ? "role" : "password");
    provider_revoke(watch->self, principal->id, principal->name, admin, "");
  }
  set(watch, principal, sessions, false);
  if (key)
    set(watch, principal, sessions, true);
}

bool watch_forget(struct watch *watch, const char *id, const char *credential, bool *admin)
{
  struct entry *entry = mu_map_get(map_of(watch, credential[0]), mu_str(credential[0] ? credential : id));
  if (!entry)
    return false;
  *admin = entry->principal->role == MU_ROLE_ADMIN;
  entry_free(watch, entry);
  return true;
}

int watch_end_logins(struct watch *watch)
{
  size_t count = 0;
  struct entry **entries = calloc(watch->count + 1, sizeof *entries);
  if (!entries)
    return MU_ENOMEM;
  for (struct entry *entry = watch->first; entry; entry = entry->next)
    if (!entry->key)
      entries[count++] = entry;
  for (size_t i = 0; i < count; i++) {
    char credential[CREDENTIAL_SIZE];
    const struct mu_principal *who = entries[i]->principal;
    snprintf(credential, sizeof credential, SESSION_CREDENTIAL "%lld", (long long)entries[i]->sessions);
    provider_revoke(watch->self, who->id, who->name, who->role == MU_ROLE_ADMIN, credential);
  }
  free(entries);
  return 0;
}

/* ---- looks ----------------------------------------------------------------------------------- */

static void look(struct watch *watch);

static void ids_free(struct watch *watch)
{
  for (size_t i = 0; i < watch->ids_count; i++)
    free(watch->ids[i]);
  free(watch->ids);
  watch->ids = NULL;
  watch->ids_count = 0;
  watch->asking = false;
}

static void lost(struct watch *watch, struct entry *entry, const char *why)
{
  const struct mu_principal *who = mu_principal_ref(entry->principal);
  bool key = entry->key;
  mu_log(watch->self->in, MU_LOG_INFO, "user \"%s\": %s; what is open is closed", who->name, why);
  provider_revoke(watch->self, who->id, who->name, who->role == MU_ROLE_ADMIN, key ? who->credential : "");
  mu_principal_unref(who);
}

static bool row_is(const struct mu_result *result, size_t row, const char *id)
{
  const struct mu_value *value = mu_result_at(result, row, 0);
  return value->type == MU_VALUE_TEXT && mu_str_equal(value->text, mu_str(id));
}

static void judge(struct watch *watch, const struct mu_result *result, const char *id, bool key)
{
  struct entry *entry = mu_map_get(map_of(watch, key), mu_str(id));
  if (!entry || entry->granted_ns >= watch->asked_ns)
    return;
  size_t row = 0;
  while (row < result->rows && !row_is(result, row, id))
    row++;
  const char *why = NULL;
  if (row == result->rows)
    why = key ? "an API key was deleted" : "was deleted";
  else if (!key) {
    const struct mu_value *v = mu_result_at(result, row, 0);
    bool admin = entry->principal->role == MU_ROLE_ADMIN;
    why = v[2].type != MU_VALUE_NULL       ? "was banned"
          : v[3].integer == 0              ? "is no longer active"
          : v[4].integer > entry->sessions ? "has another password"
          : (v[1].integer != 0) != admin   ? "has another role"
                                           : NULL;
  }
  if (why)
    lost(watch, entry, why);
}

static void on_rows(void *context, const struct mu_result *result)
{
  struct watch *watch = context;
  bool key = watch->at >= watch->users_count;
  if (result->error != 0) {
    mu_log_limited(watch->self->in, MU_LOG_WARN, "watch", "what other programs changed is not seen now: %s%s%s",
                   mu_strerror(result->error), result->reason && *result->reason ? ": " : "",
                   result->reason ? result->reason : "");
    ids_free(watch);
    return;
  }
  for (size_t i = 0; i < watch->batch; i++)
    judge(watch, result, watch->ids[watch->at + i], key);
  watch->at += watch->batch;
  look(watch);
}

/* The next batch: ids of users, or of keys. A short one repeats its last, so that there are few texts of statements. */
static void look(struct watch *watch)
{
  const struct mu_store *store = watch->self->store.api;
  if (watch->at == watch->ids_count) {
    ids_free(watch);
    return;
  }
  bool key = watch->at >= watch->users_count;
  size_t left = (key ? watch->ids_count : watch->users_count) - watch->at;
  size_t places = left > BATCH / 10 ? BATCH : left > 1 ? BATCH / 10 : 1;
  watch->batch = left < places ? left : places;
  struct mu_value values[BATCH];
  struct mu_buf sql = MU_BUF_INIT;
  mu_buf_adds(&sql, key ? "SELECT id FROM muster_api_keys WHERE id IN (?"
                        : "SELECT users.id, users.is_admin, users.banned_at, users.is_active, "
                          "COALESCE(muster_users.sessions, 0) FROM " PERSON_TABLES " WHERE users.id IN (?");
  for (size_t i = 0; i < places; i++) {
    values[i] = mu_value_text(watch->ids[watch->at + (i < watch->batch ? i : watch->batch - 1)]);
    if (i > 0)
      mu_buf_adds(&sql, ",?");
  }
  mu_buf_adds(&sql, ")");
  const struct mu_statement statement = {.sql.text = sql.at, .values = values, .count = places, .expect = MU_ANY_ROWS};
  watch->asked_ns = mu_mono_ns();
  int code = sql.failed ? MU_ENOMEM : store->read(watch->self->store.self, watch->self->in, &statement, on_rows, watch);
  mu_buf_free(&sql);
  if (code != 0)
    ids_free(watch);
}

static size_t copy(char **to, const mu_map *map)
{
  size_t position = 0, count = 0;
  struct mu_str name;
  while (mu_map_next(map, &position, &name))
    if ((to[count] = strndup(name.at, name.len)))
      count++;
  return count;
}

static void on_time(void *context)
{
  struct watch *watch = context;
  if (watch->asking || watch->count == 0)
    return;
  watch->ids = calloc(watch->count, sizeof *watch->ids);
  if (!watch->ids)
    return;
  watch->asking = true;
  watch->at = 0;
  watch->users_count = copy(watch->ids, watch->users);
  watch->ids_count = watch->users_count + copy(watch->ids + watch->users_count, watch->keys);
  look(watch);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct watch *watch_new(struct self *self)
{
  struct watch *watch = calloc(1, sizeof *watch);
  if (!watch)
    return NULL;
  watch->self = self;
  watch->users = mu_map_new();
  watch->keys = mu_map_new();
  watch->timer = mu_timer_new(self->in, on_time, watch);
  watch->forgotten = mu_counter_get(self->in, "watch_forgotten");
  if (watch->users && watch->keys && watch->timer)
    return watch;
  mu_timer_free(watch->timer);
  mu_map_free(watch->users);
  mu_map_free(watch->keys);
  free(watch);
  return NULL;
}

void watch_start(struct watch *watch)
{
  uint64_t ms = (uint64_t)(watch->self->config->watch_every * 1000);
  mu_timer_start(watch->timer, ms, ms);
}

void watch_free(struct watch *watch)
{
  if (!watch)
    return;
  ids_free(watch);
  while (watch->first)
    entry_free(watch, watch->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mu_map_free(watch->users);
  mu_map_free(watch->keys);
  free(watch);
}
