/* SPDX-License-Identifier: ISC */
/* Agents: which machine a connection speaks for, and what it says of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { AUTO_MAX = 10000 };
/* A clock that says less (2020) was never set: such samples have no time. */
static const int64_t first_time_ms = 1577836800000;

/* ---- places ---------------------------------------------------------------------------------- */

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

struct place *agents_place(struct server *server, const struct mu_machine *machine)
{
  return mu_map_get(server->places, handle_key(&machine->handle));
}

static struct place *make_place(struct server *server, const struct mu_machine *machine)
{
  struct place *place = agents_place(server, machine);
  if (place)
    return place;
  place = calloc(1, sizeof *place);
  if (!place)
    return NULL;
  place->handle = machine->handle;
  if (mu_map_add(server->places, handle_key(&place->handle), place) != 0) {
    free(place);
    return NULL;
  }
  return place;
}

void agents_fini(struct server *server)
{
  size_t position = 0;
  struct mu_str key;
  for (struct place *place; server->places && (place = mu_map_next(server->places, &position, &key));)
    free(place);
  mu_map_free(server->places);
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* FNV-1a: the same after a restart, so that a client without an id finds its machine again. */
static uint32_t address_hash(const char *address)
{
  struct limit_key key = limit_key(address);
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < key.len; i++)
    hash = (hash ^ key.bytes[i]) * 16777619u;
  return hash;
}

/* The same in 64 bits, never 0. An agent that finds two runs with one hash harms its own machine only. */
static uint64_t boot_hash(struct mu_str boot)
{
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < boot.len; i++)
    hash = (hash ^ (unsigned char)boot.at[i]) * 1099511628211u;
  return hash ? hash : 1;
}

/* The first machine of this address that is nobody's now. */
static const struct mu_machine *find_auto(struct server *server, const struct mu_principal *who, const char *address,
                                          char *id, size_t room)
{
  const struct mu_machines *machines = server->machines;
  uint32_t hash = address_hash(address);
  for (unsigned n = 1; n <= AUTO_MAX; n++) {
    snprintf(id, room, "auto-%08x-%u", (unsigned)hash, n);
    const struct mu_machine *machine = machines->find(server->machines_self, who->provider, who->owner, id, false);
    if (machine && machine->linked)
      continue;
    if (machine)
      return machine;
    /* It has no name of its own that a removal could have meant: it gets the next number. */
    if (!machines->removed(server->machines_self, who->provider, who->owner, id))
      return machines->find(server->machines_self, who->provider, who->owner, id, true);
  }
  return NULL;
}

static void replace(struct link *older, mu_conn *conn)
{
  struct server *server = older->server;
  mu_conn *old = mu_conn_find(server->in, older->conn);
  older->ended = true;
  agents_leave(older);
  if (!old)
    return;
  mu_count(server->replaced, 1);
  mu_log_limited(server->in, MU_LOG_INFO, "replaced", "a newer connection from %s replaces the one from %s",
                 mu_conn_peer(conn), mu_conn_peer(old));
  mu_conn_close(old, MU_CLOSE_REPLACED, "a newer connection of this machine");
}

enum arrival agents_arrive(struct link *link, mu_conn *conn, const struct mu_principal *principal, struct mu_str id,
                           struct mu_str name)
{
  struct server *server = link->server;
  const struct mu_machines *machines = server->machines;
  char own_id[SESSION_ID_MAX + 1];
  const char *wanted = principal->role == MU_ROLE_MACHINE ? principal->id : id.at;
  const struct mu_machine *machine;
  if (*wanted)
    machine = machines->find(server->machines_self, principal->provider, principal->owner, wanted, true);
  else
    machine = find_auto(server, principal, mu_conn_peer(conn), own_id, sizeof own_id);
  if (!machine)
    return *wanted && machines->removed(server->machines_self, principal->provider, principal->owner, wanted)
               ? ARRIVAL_DELETED
               : ARRIVAL_TOO_MANY;
  struct place *place = make_place(server, machine);
  if (!place)
    return ARRIVAL_FAILED;
  machine = machines->ref(machine);
  const struct mu_machine_facts facts = {
      .size = sizeof facts, .name = name, .ip = mu_str(mu_conn_peer(conn)), .owner_name = mu_str(principal->name)};
  int result = machines->describe(server->machines_self, machine, &facts);
  if (result == 0)
    result = machines->link(server->machines_self, machine, true);
  if (result != 0) {
    machines->unref(machine);
    return ARRIVAL_FAILED;
  }
  link->machine = machine;
  link->named = name.len > 0;
  struct link *older = place->link;
  place->link = link;
  link->place = place;
  if (older) {
    older->place = NULL;
    replace(older, conn);
  }
  return ARRIVED;
}

void agents_leave(struct link *link)
{
  struct server *server = link->server;
  if (link->place && link->place->link == link)
    link->place->link = NULL;
  link->place = NULL;
  const struct mu_machine *machine = link->machine;
  link->machine = NULL;
  if (!machine)
    return;
  server->machines->link(server->machines_self, machine, false);
  server->machines->unref(machine);
}

void agents_say_deleted(struct link *link, mu_conn *conn)
{
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":\"machine_deleted\",\"message\":\"Your machine has been deleted. "
                     "Please re-authenticate.\"}");
  link->ended = true;
  mu_count(link->server->deleted, 1);
  server_send(conn, &text);
  mu_conn_close(conn, MU_CLOSE_DELETED, "machine deleted");
}

void agents_on_deleted(void *self, const struct mu_event *event)
{
  struct server *server = self;
  const struct mu_machine *machine = event->payload;
  struct place *place = machine ? agents_place(server, machine) : NULL;
  if (!place)
    return;
  struct link *link = place->link;
  keeper_drop(server, place);
  mu_map_del(server->places, handle_key(&place->handle));
  free(place);
  if (!link)
    return;
  link->place = NULL;
  link->ended = true;
  mu_conn *conn = mu_conn_find(server->in, link->conn);
  if (conn)
    agents_say_deleted(link, conn);
}

/* ---- what they say --------------------------------------------------------------------------- */

static int bad_field(struct server *server, mu_conn *conn, const struct mu_json_error *error, const char *type)
{
  char what[224];
  codec_error_text(error, what, sizeof what);
  server_wrong(server, conn, server->bad_fields, "bad_field", what);
  server_error(conn, "bad_field", what, type, 0);
  return 0;
}

/* Forgotten or removed while its message came: the event tells the agent. */
static int still_there(int result)
{
  return result == MU_ENOENT ? 0 : result;
}

int agents_info(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct server *server = self;
  const struct info_fields *info = message->fields;
  struct link *link = mu_conn_data(peer->conn);
  struct mu_json_error error;
  if (codec_check_info(info, &error) != 0)
    return bad_field(server, peer->conn, &error, "system_info");
  mu_text *facts = codec_facts(info);
  if (!facts)
    return MU_ENOMEM;
  struct mu_buf name = MU_BUF_INIT, ip = MU_BUF_INIT;
  if (info->name.kind == MU_JSON_STRING)
    link->named = info->name.len > 2;
  bool host = !link->named && info->hostname.kind == MU_JSON_STRING;
  const struct mu_machine_facts given = {.size = sizeof given,
                                         .facts = facts,
                                         .name = codec_string(host ? &info->hostname : &info->name, &name),
                                         .ip = codec_string(&info->ip, &ip)};
  int result = server->machines->describe(server->machines_self, link->machine, &given);
  if (result == 0 && info->is_public.kind == MU_JSON_BOOL)
    server->machines->set_public(server->machines_self, link->machine, info->is_public.boolean);
  mu_buf_free(&name);
  mu_buf_free(&ip);
  mu_text_unref(facts);
  return still_there(result);
}

int agents_heartbeat(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct server *server = self;
  (void)message;
  return still_there(server->machines->seen(server->machines_self, peer->machine));
}

/* Whether a run of the agent that is not the newest known one is over: then its samples are replays, whatever clocks say. */
static bool is_past(const struct place *place, uint64_t boot)
{
  for (size_t i = 0; i < PAST_BOOTS; i++)
    if (place->past[i] == boot)
      return true;
  return false;
}

/*
 * Whether a sample is the newest of its machine; remembers it then. Not: a number of this run that was passed already, or a
 * sample of a run that another has followed. Of a run that was not heard of, the first that a connection sends counts (the agent has
 * started anew, perhaps with a clock set back), later ones by their time. A clock that runs ahead counts as the server's.
 */
static bool is_live(struct link *link, struct place *place, struct mu_str boot, uint64_t seq, int64_t time_ms)
{
  if (boot.len == 0)
    return true;
  bool same = strlen(place->boot) == boot.len && memcmp(place->boot, boot.at, boot.len) == 0;
  bool first = !link->reported || !place->boot[0];
  link->reported = true;
  if (same && seq <= place->seq)
    return false;
  if (!same) {
    if (is_past(place, boot_hash(boot)) || (!first && time_ms >= first_time_ms && time_ms <= place->time_ms))
      return false;
    if (place->boot[0]) {
      memmove(place->past + 1, place->past, (PAST_BOOTS - 1) * sizeof place->past[0]);
      place->past[0] = boot_hash(mu_str(place->boot));
    }
    memcpy(place->boot, boot.at, boot.len);
    place->boot[boot.len] = '\0';
  }
  int64_t now_ms = mu_now_ms();
  place->seq = seq;
  place->time_ms = time_ms > now_ms ? now_ms : time_ms;
  return true;
}

int agents_data(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct server *server = self;
  const struct data_fields *data = message->fields;
  struct link *link = mu_conn_data(peer->conn);
  struct place *place = link->place;
  struct mu_json_error error;
  if (codec_check_data(data, &error) != 0)
    return bad_field(server, peer->conn, &error, "data");
  if (!place)
    return 0;
  struct mu_str boot = data->boot.kind ? mu_json_str(&data->boot) : MU_STR("");
  uint64_t seq = (uint64_t)data->seq.integer;
  bool live = is_live(link, place, boot, seq, data->timestamp.integer);
  bool kept = boot.len > 0 && (server->keeper.in || link->durable);
  if (!live)
    mu_count(server->replays, 1);
  if (!live && !kept)
    return 0;
  mu_text *metrics = mu_text_new(data->metrics.at, data->metrics.len);
  if (!metrics)
    return MU_ENOMEM;
  if (kept) {
    char name[SESSION_BOOT_MAX + 1];
    memcpy(name, boot.at, boot.len);
    name[boot.len] = '\0';
    const struct mu_session_sample sample = {.size = sizeof sample,
                                             .machine = link->machine,
                                             .boot = name,
                                             .seq = seq,
                                             .time_ms = data->timestamp.integer,
                                             .metrics = metrics};
    keeper_sample(link, &sample);
  }
  int result = 0;
  if (live && link->machine) {
    const struct mu_machine_report report = {.size = sizeof report, .form = server->form, .text = metrics};
    result = still_there(server->machines->report(server->machines_self, link->machine, &report));
  }
  mu_text_unref(metrics);
  return result;
}

/* ---- to them --------------------------------------------------------------------------------- */

int agents_send(void *self, const struct mu_machine *machine, struct mu_str payload)
{
  struct server *server = self;
  struct mu_json_error error;
  int result = mu_json_scan(NULL, payload.at, payload.len, NULL, &error);
  if (result != 0)
    return result;
  const struct place *place = agents_place(server, machine);
  mu_conn *conn = place && place->link ? mu_conn_find(server->in, place->link->conn) : NULL;
  if (!conn || place->link->scope != MU_SESSION_AGENT)
    return MU_ENOENT;
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":\"data\",\"payload\":");
  mu_buf_add(&text, payload.at, payload.len);
  mu_buf_adds(&text, "}");
  result = server_send(conn, &text);
  return result == MU_ECLOSED ? MU_ENOENT : result;
}

/* ---- the forms ------------------------------------------------------------------------------- */

static int to_metrics(void *self, const struct mu_machine *machine, struct json_object **metrics)
{
  (void)self;
  return codec_metrics(mu_text_data(machine->text), mu_text_len(machine->text), metrics);
}

/* Machines of other protocols, in this form. */
static int render(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct server *server = self;
  struct json_object *metrics = server->machines->metrics(server->machines_self, machine);
  if (!metrics)
    return MU_EINVAL;
  *text = mu_json_text(metrics);
  return *text ? 0 : MU_ENOMEM;
}

const struct mu_form_ops agents_form = {
    .size = sizeof(struct mu_form_ops), .name = "session.metrics", .to_metrics = to_metrics, .render = render};

/* The canonical form as a text: nearly always what came is that already, and nothing is parsed. */
static int render_canonical(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct server *server = self;
  if (machine->form != server->form || !codec_is_canonical(mu_text_str(machine->text)))
    return render(self, machine, text);
  *text = mu_text_ref(machine->text);
  return 0;
}

const struct mu_form_ops agents_canonical_form = {
    .size = sizeof(struct mu_form_ops), .name = "session.canonical", .render = render_canonical};
