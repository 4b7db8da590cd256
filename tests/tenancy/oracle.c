/* SPDX-License-Identifier: ISC */
/* What may come on which connection. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "tenancy.h"

static const char *const event_names[] = {"online", "info", "heartbeat", "data", "offline", "deleted"};

static const char *text_of(struct json_object *object, const char *member)
{
  struct json_object *value = json_object_object_get(object, member);
  return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Every mark ("~#~" cannot be part of a token) must be this owner's. Returns how many there are. */
static unsigned marks_of(const struct owner *owner, const char *text, size_t len, const char *where)
{
  unsigned count = 0;
  for (const char *at = text; (at = memmem(at, len - (size_t)(at - text), "~#~", 3)); at += 3, count++)
    if (len - (size_t)(at - text) < MARK + 3 || memcmp(at + 3, owner->mark, MARK) != 0)
      fail("LEAK: %s of %s/%s got %s", where, owner->provider, owner->id, text);
  run.marks += count;
  return count;
}

/* ---- admins ---------------------------------------------------------------------------------- */

static void believe(struct admin *admin, struct json_object *object, const char *text, bool deleted)
{
  struct owner *owner = admin->owner;
  if (!json_object_is_type(object, json_type_object) || strcmp(text_of(object, "userId"), owner->id) != 0)
    fail("LEAK: an admin of %s/%s got a machine of another user: %s", owner->provider, owner->id, text);
  const char *id = text_of(object, "machineId");
  struct machine *machine = machine_of(owner, id, strncmp(id, "auto-", 5) == 0);
  if (!machine)
    fail("an admin of %s/%s got a machine that nobody made: %s", owner->provider, owner->id, text);
  struct view *view = &admin->views[machine - owner->machines];
  struct json_object *group = NULL, *n = NULL, *metrics = json_object_object_get(object, "metrics");
  if (json_object_object_get_ex(metrics, "m", &group) && json_object_object_get_ex(group, "n", &n)) {
    uint64_t number = (uint64_t)json_object_get_int64(n);
    if (number < view->n)
      fail("STALE: an admin had number %llu and got %s", (unsigned long long)view->n, text);
    if (number > machine->n)
      fail("number %llu was never sent: %s", (unsigned long long)number, text);
    if (strncmp(text_of(group, "tag"), "~#~", 3) != 0)
      fail("a sample without its mark: %s", text);
    view->n = number;
  }
  view->there = !deleted;
  view->online = strcmp(text_of(object, "status"), "online") == 0;
  if (deleted && view->online)
    fail("deleted and online: %s", text);
}

static void admin_update(struct admin *admin, struct json_object *message, const char *text)
{
  const char *event = text_of(message, "event");
  size_t which = 0;
  while (which < 6 && strcmp(event, event_names[which]) != 0)
    which++;
  if (which == 6)
    fail("an unknown event: %s", text);
  run.events[which]++;
  run.updates++;
  believe(admin, json_object_object_get(message, "machine"), text, which == 5);
}

static void admin_list(struct admin *admin, struct json_object *message, const char *text)
{
  struct json_object *machines = json_object_object_get(message, "machines");
  if (!json_object_is_type(machines, json_type_array))
    fail("a list without machines: %s", text);
  for (size_t i = 0; i < admin->owner->count; i++)
    admin->views[i].there = false;
  for (size_t i = 0; i < json_object_array_length(machines); i++)
    believe(admin, json_object_array_get_idx(machines, i), text, false);
  admin->listed = true;
  run.lists++;
}

/* The answer to a switch: from the pages' next pong on nothing of the machine may come. */
static void admin_switched(struct admin *admin, struct json_object *message)
{
  struct machine *machine = machine_of(admin->owner, text_of(message, "machineId"), false);
  if (!machine || !admin->first || machine->outstanding == 0)
    fail("an answer to a switch that was not asked for");
  machine->outstanding--;
  if (json_object_get_boolean(json_object_object_get(message, "public")) || machine->outstanding > 0)
    return;
  machine->strict = true;
  for (size_t i = 0; i < PAGES; i++)
    machine->strict_after[i] = run.pages[i].pings + 1;
}

static bool linked(const struct machine *machine)
{
  for (size_t i = 0; i < run.agent_count; i++)
    if (run.agents[i].open && run.agents[i].machine == machine)
      return true;
  return false;
}

static void admin_text(struct admin *admin, struct json_object *message, const char *type, const char *text)
{
  struct owner *owner = admin->owner;
  if (strcmp(type, "machine_update") == 0) {
    run.pushes++;
    if (!admin->open)
      fail("a push before admin_success: %s", text);
    admin_update(admin, message, text);
  } else if (strcmp(type, "machine_list") == 0) {
    run.pushes++;
    admin_list(admin, message, text);
  } else if (strcmp(type, "auth_success") == 0) {
    if (strcmp(text_of(message, "userId"), owner->id) != 0 || json_object_object_get(message, "machineId"))
      fail("an admin was taken for somebody else: %s", text);
    snprintf(owner->admin_token, TOKEN_MAX, "%s", text_of(message, "sessionToken"));
    wire_send(&admin->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", owner->admin_token);
  } else if (strcmp(type, "admin_success") == 0) {
    admin->open = true;
  } else if (strcmp(type, "admin_failed") == 0) {
    if (!admin->open)
      fail("an admin was refused: %s", text);
    run.refused++;
  } else if (strcmp(type, "machine_public") == 0) {
    admin_switched(admin, message);
  } else if (strcmp(type, "test_removed") == 0) {
    struct machine *machine = machine_of(owner, text_of(message, "machineId"), false);
    if (machine) {
      bool clear = machine->removals > 0 && !machine->crossed && machine->auths_then == owner->auths;
      machine->removals -= machine->removals > 0;
      if (clear && !linked(machine))
        machine->there = false;
      else
        machine->doubt = true;
    }
    run.removed++;
  } else if (strcmp(type, "pong") == 0) {
    admin->pong = true;
  } else if (strcmp(type, "error") == 0) {
    run.refused++;
  } else if (strcmp(type, "ping") != 0) {
    fail("an admin got %s", text);
  }
}

/* ---- others ---------------------------------------------------------------------------------- */

static void agent_text(struct agent *agent, struct json_object *message, const char *type, const char *text)
{
  struct owner *owner = agent->owner;
  if (strcmp(type, "auth_success") == 0) {
    const char *id = text_of(message, "machineId");
    if (strcmp(text_of(message, "userId"), owner->id) != 0 || (agent->wanted[0] && strcmp(agent->wanted, id) != 0))
      fail("an agent was taken for somebody else: %s", text);
    agent->machine = machine_of(owner, id, true);
    agent->machine->there = true;
    agent->open = true;
    snprintf(agent->token, TOKEN_MAX, "%s", text_of(message, "sessionToken"));
    snprintf(owner->agent_token, TOKEN_MAX, "%s", agent->token);
  } else if (strcmp(type, "pong") == 0) {
    agent->pong = true;
  } else if (strcmp(type, "error") == 0 || strcmp(type, "admin_failed") == 0) {
    run.refused++;
  } else if (strcmp(type, "ping") != 0 && strcmp(type, "machine_deleted") != 0) {
    fail("an agent of %s/%s got %s", owner->provider, owner->id, text);
  }
}

/* A public page: only machines that their users let it see. */
static void page_text(struct page *page, struct json_object *message, const char *text, size_t len)
{
  if (strcmp(text_of(message, "type"), "pong") == 0) {
    page->pongs++;
    return;
  }
  const char *at = memmem(text, len, "~#~", 3);
  struct owner *owner = NULL;
  for (size_t i = 0; at && i < run.owner_count; i++)
    if (strncmp(at + 3, run.owners[i].mark, MARK) == 0)
      owner = &run.owners[i];
  if (!owner)
    fail("a page got %s", text);
  marks_of(owner, text, len, "a page");
  const struct machine *machine = machine_of(owner, text_of(message, "serverId"), false);
  if (owner->shy || !machine || (machine->strict && page->pongs >= machine->strict_after[page - run.pages]))
    fail("LEAK: a page got a private machine: %s", text);
  run.page_reports++;
}

void oracle_text(struct wire *wire, char *text, size_t len)
{
  const struct who *who = wire->owner;
  struct json_object *message = json_tokener_parse(text);
  const char *type = text_of(message, "type");
  if (!json_object_is_type(message, json_type_object))
    fail("no JSON object: %s", text);
  if (who->kind == ADMIN) {
    const struct admin *admin = who->self;
    run.bytes += len;
    unsigned marks = marks_of(admin->owner, text, len, "an admin");
    if (marks == 0 && strcmp(type, "machine_update") == 0 && strcmp(text_of(message, "event"), "data") == 0)
      fail("figures without a mark: %s", text);
    admin_text(who->self, message, type, text);
  } else if (who->kind == AGENT) {
    if (marks_of(((struct agent *)who->self)->owner, text, len, "an agent"))
      fail("an agent got figures: %s", text);
    agent_text(who->self, message, type, text);
  } else if (who->kind == PAGE) {
    page_text(who->self, message, text, len);
  } else {
    if (strcmp(type, "auth_failed") != 0 && strcmp(type, "admin_failed") != 0 && strcmp(type, "error") != 0)
      fail("LEAK: somebody who proved nothing got %s", text);
    marks_of(((struct rogue *)who->self)->owner, text, len, "a stranger");
    run.refused++;
  }
  json_object_put(message);
}

void oracle_closed(struct wire *wire, unsigned code)
{
  const struct who *who = wire->owner;
  if (who->kind == AGENT && (code == 4009 || code == 4003)) {
    struct agent *agent = who->self;
    agent->open = agent->asked = false;
    if (code == 4003 && agent->machine && !linked(agent->machine))
      agent->machine->there = agent->machine->doubt = false;
    if (code == 4003)
      agent->token[0] = '\0';
    run.replaced += code == 4009;
  } else if (who->kind == ROGUE && (code == 4002 || code == 1013 || code == 4001)) {
    ((struct rogue *)who->self)->asked = false;
  } else {
    static const char *const names[] = {"an agent", "an admin", "a page", "a stranger"};
    fail("%s was closed with %u", names[who->kind], code);
  }
}

/* ---- all at rest ----------------------------------------------------------------------------- */

static void drain(int ms)
{
  for (int64_t end = now_ms() + ms; now_ms() < end;)
    wires_turn(&run.wires, 5);
}

/* Waits until everybody whom `flag` finds has answered. */
static void barrier(bool agents)
{
  int64_t end = now_ms() + 20000;
  for (bool all = false; !all;) {
    if (now_ms() > end)
      fail("%s do not answer a ping", agents ? "agents" : "admins");
    wires_turn(&run.wires, 5);
    all = true;
    for (size_t i = 0; agents && i < run.agent_count; i++)
      all &= !run.agents[i].open || run.agents[i].pong;
    for (size_t i = 0; !agents && i < run.admin_count; i++)
      all &= !run.admins[i].open || run.admins[i].pong;
  }
}

/* NULL: all admins believe what is; otherwise who does not. */
static const struct admin *mistaken(const struct machine **about)
{
  for (size_t i = 0; i < run.admin_count; i++) {
    const struct admin *admin = &run.admins[i];
    for (size_t j = 0; admin->open && j < admin->owner->count; j++) {
      const struct machine *machine = &admin->owner->machines[j];
      const struct view *view = &admin->views[j];
      bool online = linked(machine);
      *about = machine;
      if (machine->doubt && !online)
        continue;
      if (view->there != machine->there || (view->there && view->online != online) || (online && view->n != machine->n))
        return admin;
    }
  }
  return NULL;
}

static const struct admin *settled(bool ask, const struct machine **about)
{
  for (size_t i = 0; i < run.admin_count; i++) {
    struct admin *admin = &run.admins[i];
    admin->pong = false;
    if (admin->open && ask)
      wire_send(&admin->wire, "{\"type\":\"machine_list\"}");
    if (admin->open)
      wire_send(&admin->wire, "{\"type\":\"ping\"}");
  }
  barrier(false);
  return mistaken(about);
}

void oracle_checkpoint(void)
{
  for (size_t i = 0; i < run.admin_count; i++)
    if (run.admins[i].wire.fd >= 0)
      wire_pause(&run.wires, &run.admins[i].wire, false);
  drain(200);
  for (size_t i = 0; i < run.agent_count; i++) {
    struct agent *agent = &run.agents[i];
    agent->pong = false;
    if (!agent->open)
      continue;
    agent->machine->n = ++run.n;
    agent->machine->doubt = false;
    wire_send(&agent->wire,
              "{\"type\":\"data\",\"boot\":\"b\",\"seq\":%llu,\"timestamp\":%lld,\"metrics\":{\"m\":{\"tag\":\"~#~%s\","
              "\"n\":%llu}}}",
              (unsigned long long)run.n, (long long)now_ms(), agent->owner->mark, (unsigned long long)run.n);
    wire_send(&agent->wire, "{\"type\":\"ping\"}");
  }
  barrier(true);
  const struct machine *about = NULL;
  const struct admin *admin = NULL;
  /* A link that broke is noticed a moment later. */
  for (int64_t end = now_ms() + 10000; (admin = settled(false, &about)) && now_ms() < end;)
    drain(50);
  if (!admin)
    admin = settled(true, &about);
  if (admin)
    fail("an admin of %s/%s believes of %s: there %d online %d number %llu; it is: there %d online %d number %llu",
         admin->owner->provider, admin->owner->id, about->id, admin->views[about - admin->owner->machines].there,
         admin->views[about - admin->owner->machines].online,
         (unsigned long long)admin->views[about - admin->owner->machines].n, about->there, linked(about),
         (unsigned long long)about->n);
  run.checks++;
}
