/* SPDX-License-Identifier: ISC */
/* Admins of the session protocol: each sees the machines of one user, live. */
#include <stddef.h>
#include <stdlib.h>

#include "machine.h"
#include "watches.h"

/* Beyond all handles of machines: a new list replaces one that still waits. */
#define LIST_KEY UINT64_MAX

struct push {
  mu_instance *in;
  struct mu_service session, machines;
  const mu_form *form;
  const mu_form *session_form, *canonical; /* of the session protocol */
  struct machine_reader reader;
  struct watches watches;
  mu_counter *admins, *lists, *updates;
};

static const struct mu_machines *machines_of(const struct push *push)
{
  return push->machines.api;
}

static const struct mu_session *session_of(const struct push *push)
{
  return push->session.api;
}

/* The figures as they are written: those of an agent of this protocol as they came, others through the canonical form. */
static mu_text *figures_of(struct push *push, const struct mu_machine *machine)
{
  if (!machine->text)
    return NULL;
  if (machine->form == push->session_form)
    return mu_text_ref(machines_of(push)->text(push->machines.self, machine, push->canonical));
  struct json_object *metrics = machines_of(push)->metrics(push->machines.self, machine);
  return metrics ? mu_json_text(metrics) : NULL;
}

static int render(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct push *push = self;
  mu_text *figures = figures_of(push, machine); /* {} if they cannot be read */
  *text = machine_text(&push->reader, machine, figures);
  mu_text_unref(figures);
  return *text ? 0 : MU_ENOMEM;
}

static const struct mu_form_ops form_ops = {
    .size = sizeof form_ops, .name = "session.machine", .render = render, .depends_on_state = true};

/* ---- news ------------------------------------------------------------------------------------ */

static void tell(struct push *push, struct watch *watch, const struct mu_machine *machine, const char *event)
{
  mu_text *text = machines_of(push)->text(push->machines.self, machine, push->form);
  mu_text *update = text ? machine_update(event, mu_text_str(text)) : NULL;
  if (update) {
    mu_group_publish(watch->group, machine->handle, update);
    mu_count(push->updates, 1);
  }
  mu_text_unref(update);
}

/* The watch, if anybody watches; whatever was said of its machines before is out of date. */
static struct watch *watch_of(struct push *push, const struct mu_machine *machine)
{
  struct watch *watch = watches_of(&push->watches, machine->provider, machine->owner);
  if (watch) {
    mu_text_unref(watch->list);
    watch->list = NULL;
  }
  return watch;
}

/* Events of one machine replace each other until the end of this turn of the loop, so that a report would hide this one. */
static void on_online(void *self, const struct mu_event *event)
{
  const struct mu_machine *machine = event->payload;
  struct watch *watch = watch_of(self, machine);
  if (!watch)
    return;
  if (machine->linked)
    tell(self, watch, machine, "online");
  else
    watch->woke = machine->handle;
}

static void on_report(void *self, const struct mu_event *event)
{
  const struct mu_machine *machine = event->payload;
  struct watch *watch = watch_of(self, machine);
  if (!watch)
    return;
  bool woke = watch->woke == machine->handle;
  watch->woke = 0;
  tell(self, watch, machine, woke ? "online" : "data");
}

static void on_other(struct push *push, const struct mu_event *event, const char *name)
{
  struct watch *watch = watch_of(push, event->payload);
  if (watch)
    tell(push, watch, event->payload, name);
}

static void on_info(void *self, const struct mu_event *event)
{
  on_other(self, event, "info");
}

static void on_seen(void *self, const struct mu_event *event)
{
  on_other(self, event, "heartbeat");
}

static void on_offline(void *self, const struct mu_event *event)
{
  on_other(self, event, "offline");
}

static void on_deleted(void *self, const struct mu_event *event)
{
  on_other(self, event, "deleted");
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct listing {
  struct push *push;
  struct mu_buf out;
  size_t count;
};

static int list_one(void *context, const struct mu_machine *machine)
{
  struct listing *listing = context;
  struct push *push = listing->push;
  const mu_text *text = machines_of(push)->text(push->machines.self, machine, push->form);
  if (!text)
    return 0;
  mu_buf_adds(&listing->out, listing->count++ ? "," : "");
  mu_buf_add(&listing->out, mu_text_data(text), mu_text_len(text));
  return 0;
}

static mu_text *list_of(struct push *push, const struct mu_principal *principal)
{
  struct listing listing = {.push = push, .out = MU_BUF_INIT};
  mu_buf_adds(&listing.out, "{\"type\":\"machine_list\",\"machines\":[");
  if (machines_of(push)->each(push->machines.self, principal->provider, principal->owner, list_one, &listing) != 0)
    listing.out.failed = true;
  mu_buf_adds(&listing.out, "]}");
  mu_text *text = mu_buf_take_text(&listing.out);
  mu_buf_free(&listing.out);
  return text;
}

/* A crowd of admins of one owner shares one list; it is kept only where the watch hears of every change. */
static int send_list(struct push *push, mu_conn *conn, const struct mu_principal *principal)
{
  struct watch *watch = watches_of(&push->watches, principal->provider, principal->owner);
  mu_text *text = watch && watch->list ? mu_text_ref(watch->list) : list_of(push, principal);
  if (!text)
    return MU_ENOMEM;
  if (watch && !watch->list)
    watch->list = mu_text_ref(text);
  mu_count(push->lists, 1);
  int result = mu_conn_send_latest(conn, LIST_KEY, text);
  mu_text_unref(text);
  return result == MU_ENOMEM ? result : 0; /* closed meanwhile: not our failure */
}

static int on_list(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  (void)message;
  return send_list(self, peer->conn, peer->principal);
}

/* ---- who watches ----------------------------------------------------------------------------- */

static void send_literal(mu_conn *conn, const char *text)
{
  mu_text *message = mu_text_printf("%s", text);
  if (message)
    mu_conn_send(conn, message);
  else
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "out of memory");
  mu_text_unref(message);
}

static void proved(void *context, mu_conn_id id, enum mu_session_scope scope)
{
  struct push *push = context;
  mu_conn *conn = scope == MU_SESSION_ADMIN ? mu_conn_find(push->in, id) : NULL;
  if (!conn)
    return; /* refused, and told so by the session protocol, or gone */
  struct watch *watch;
  int result = watches_join(&push->watches, conn, &watch);
  if (result == MU_EREFUSED) {
    send_literal(conn, "{\"type\":\"admin_failed\",\"message\":\"This account has no machines of its own\","
                       "\"code\":\"forbidden\"}");
    return;
  }
  if (result != 0) {
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "out of memory");
    return;
  }
  mu_count(push->admins, 1);
  send_literal(conn, "{\"type\":\"admin_success\",\"message\":\"Admin connected\"}");
  conn = mu_conn_find(push->in, id);
  if (conn && send_list(push, conn, mu_conn_principal(conn)) != 0)
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "out of memory");
}

struct admission {
  struct mu_json_value token;
};

static const struct mu_field admission_fields[] = {
    {.path = "token",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_REQUIRED,
     .max = 4096,
     .offset = offsetof(struct admission, token)},
};

static int on_connect(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct push *push = self;
  const struct admission *admission = message->fields;
  struct mu_buf token = MU_BUF_INIT;
  int result = mu_json_unescape(&admission->token, &token);
  if (result == 0)
    result = session_of(push)->prove(push->session.self, push->in, peer->conn, (struct mu_str){token.at, token.len},
                                     MU_SESSION_ADMIN, "admin_failed", proved, push);
  mu_secret_wipe(token.at, token.len);
  mu_buf_free(&token);
  return result < 0 ? result : 0;
}

/* ---- what everybody may see ------------------------------------------------------------------ */

struct showing {
  struct mu_json_value machine_id, is_public;
};

static const struct mu_field showing_fields[] = {
    {.path = "machineId",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_REQUIRED,
     .max = 768, /* 128 characters as written */
     .offset = offsetof(struct showing, machine_id)},
    {.path = "public",
     .type = MU_FIELD_BOOL,
     .flags = MU_FIELD_REQUIRED,
     .offset = offsetof(struct showing, is_public)},
};

static int on_public(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct push *push = self;
  const struct showing *showing = message->fields;
  const struct mu_principal *principal = peer->principal;
  struct mu_buf id = MU_BUF_INIT;
  int result = mu_json_unescape(&showing->machine_id, &id);
  if (result != 0) {
    mu_buf_free(&id);
    return result;
  }
  /* Looked up under the sender's own name: whose machines others have is not to be told from the answer. */
  const struct mu_machine *machine =
      machines_of(push)->find(push->machines.self, principal->provider, principal->owner, id.at ? id.at : "", false);
  mu_buf_free(&id);
  if (!machine)
    return session_of(push)->error(push->session.self, peer->conn, "unknown_machine", "You have no such machine",
                                   "machine_public", 0);
  if (machine->configured && machine->is_public != showing->is_public.boolean)
    return session_of(push)->error(push->session.self, peer->conn, "configured",
                                   "The server's configuration says who may see this machine", "machine_public", 0);
  machines_of(push)->set_public(push->machines.self, machine, showing->is_public.boolean);
  struct mu_buf answer = MU_BUF_INIT;
  mu_buf_adds(&answer, "{\"type\":\"machine_public\",\"machineId\":");
  mu_buf_json_string(&answer, mu_str(machine->id));
  mu_buf_printf(&answer, ",\"public\":%s}", machine->is_public ? "true" : "false");
  mu_text *text = mu_buf_take_text(&answer);
  result = text ? mu_conn_send(peer->conn, text) : MU_ENOMEM;
  mu_text_unref(text);
  return result == MU_ENOMEM ? result : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fini(void *self)
{
  struct push *push = self;
  watches_fini(&push->watches);
  machine_reader_fini(&push->reader);
  free(push);
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  struct push *push = calloc(1, sizeof *push);
  if (!push)
    return MU_ENOMEM;
  push->in = in;
  int result = watches_init(&push->watches, in);
  if (result == 0)
    result = machine_reader_init(&push->reader);
  if (result != 0) {
    fini(push);
    return result;
  }
  push->admins = mu_counter_get(in, "admins");
  push->lists = mu_counter_get(in, "lists");
  push->updates = mu_counter_get(in, "updates");
  *self = push;
  return 0;
}

static int start(void *self)
{
  struct push *push = self;
  int result = mu_service_get(push->in, MU_SERVICE_MACHINES, &push->machines);
  if (result == 0)
    result = mu_service_get(push->in, MU_SERVICE_SESSION, &push->session);
  if (result != 0)
    return result;
  push->session_form = machines_of(push)->form_find(push->machines.self, "session.metrics");
  push->canonical = machines_of(push)->form_find(push->machines.self, "session.canonical");
  if (!push->session_form || !push->canonical)
    return MU_ENOENT;
  push->form = machines_of(push)->form_add(push->machines.self, push->in, &form_ops, push);
  if (!push->form)
    return MU_EEXIST;
  const struct {
    const char *name;
    mu_event_fn fn;
  } events[] = {{MU_EVENT_MACHINE_ONLINE, on_online},   {MU_EVENT_MACHINE_SEEN, on_seen},
                {MU_EVENT_MACHINE_REPORT, on_report},   {MU_EVENT_MACHINE_INFO, on_info},
                {MU_EVENT_MACHINE_OFFLINE, on_offline}, {MU_EVENT_MACHINE_DELETED, on_deleted}};
  for (size_t i = 0; i < MU_COUNT(events) && result == 0; i++)
    result = mu_event_on(push->in, events[i].name, 0, events[i].fn, push);
  const struct mu_session_handler handlers[] = {
      {.size = sizeof(struct mu_session_handler),
       .type = "admin_connect",
       .scopes = MU_SESSION_NOBODY | MU_SESSION_ADMIN,
       .fields = admission_fields,
       .field_count = MU_COUNT(admission_fields),
       .field_size = sizeof(struct mu_field),
       .fields_size = sizeof(struct admission),
       .message = on_connect},
      {.size = sizeof(struct mu_session_handler),
       .type = "machine_list",
       .scopes = MU_SESSION_ADMIN,
       .message = on_list},
      {.size = sizeof(struct mu_session_handler),
       .type = "machine_public",
       .scopes = MU_SESSION_ADMIN,
       .fields = showing_fields,
       .field_count = MU_COUNT(showing_fields),
       .field_size = sizeof(struct mu_field),
       .fields_size = sizeof(struct showing),
       .message = on_public},
  };
  for (size_t i = 0; i < MU_COUNT(handlers) && result == 0; i++)
    result = session_of(push)->handle(push->session.self, push->in, &handlers[i], push);
  return result;
}

static int stop(void *self)
{
  watches_send_away(&((struct push *)self)->watches);
  return 0;
}

static const char *const needs[] = {MU_SERVICE_MACHINES, MU_SERVICE_SESSION, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .needs = needs,
    .init = init,
    .start = start,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "admin_push", .version = "1.0.0", .summary = "Users watch their own machines, live", .licence = "ISC",
          .components = MU_COMPONENTS(components));
