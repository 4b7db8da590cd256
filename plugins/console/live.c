/* SPDX-License-Identifier: ISC */
/*
 * The channel that keeps pages live: all that its reader may see at once, then differences.
 *
 * A difference is made once per change, against what everybody was told last (the track), and shared. Who has not read the one before gets
 * the whole machine again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "console.h"

/* Beyond all handles of machines. */
#define HELLO_KEY (UINT64_MAX - 1)
#define READY_KEY UINT64_MAX

enum { QUIET_MS = 1000, SILENT_MS = 5000 };

enum stage {
  STAGE_SILENT,  /* has not said hello */
  STAGE_PLAIN,   /* and is taken for an older client: whole messages of public machines */
  STAGE_FOLLOWS, /* said hello */
};

/* One connection. */
struct watcher {
  struct watcher *next, **link;
  struct console *console;
  mu_conn *conn; /* NULL: not open */
  enum stage stage;
  bool trusted; /* brought the operator's token with the request */
  struct audience *audience;
  mu_timer *patience;
};

/* Those of one user who watch. */
struct audience {
  mu_group *group;
  char *key;
  size_t key_len;
  size_t count;
};

/* What everybody was told of a machine. */
struct track {
  struct view view;
  bool known;
};

bool live_open(const struct console *console)
{
  return console->config->public_status && !(console->config->token && console->config->token[0]);
}

bool live_token_ok(const struct console *console, struct mu_str token)
{
  const char *wanted = console->config->token;
  return console->config->public_status && wanted && wanted[0] && mu_secret_equal(token, mu_str(wanted));
}

/* ---- who is told of a machine ---------------------------------------------------------------- */

/* "provider\0owner"; false: out of memory. */
static bool user_key(struct mu_buf *key, const char *provider, const char *owner)
{
  mu_buf_add(key, provider, strlen(provider) + 1);
  mu_buf_adds(key, owner);
  return !key->failed;
}

static struct audience *audience_of(const struct console *console, const char *provider, const char *owner)
{
  struct mu_buf key = MU_BUF_INIT;
  struct audience *audience = NULL;
  if (user_key(&key, provider, owner))
    audience = mu_map_get(console->audiences, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  return audience;
}

static void audience_free(struct console *console, struct audience *audience)
{
  mu_map_del(console->audiences, (struct mu_str){audience->key, audience->key_len});
  mu_group_free(audience->group);
  free(audience->key);
  free(audience);
}

static void leave_audience(struct watcher *watcher)
{
  struct audience *audience = watcher->audience;
  watcher->audience = NULL;
  if (audience && --audience->count == 0)
    audience_free(watcher->console, audience);
}

static int join_audience(struct watcher *watcher, const struct mu_principal *principal)
{
  struct console *console = watcher->console;
  struct audience *audience = audience_of(console, principal->provider, principal->id);
  if (!audience) {
    struct mu_buf key = MU_BUF_INIT;
    if (!(audience = calloc(1, sizeof *audience)))
      return MU_ENOMEM;
    audience->group = mu_group_new(console->in, "console user", MU_GROUP_CONFLATE);
    if (!user_key(&key, principal->provider, principal->id) || !audience->group ||
        mu_map_add(console->audiences, (struct mu_str){key.at, key.len}, audience) != 0) {
      mu_group_free(audience->group);
      mu_buf_free(&key);
      free(audience);
      return MU_ENOMEM;
    }
    audience->key = key.at;
    audience->key_len = key.len;
  }
  audience->count++;
  watcher->audience = audience;
  return mu_group_join(audience->group, watcher->conn);
}

/* Each reader is in at most one group of those that a machine can have. NULL: nobody follows it. */
static mu_group *group_of(const struct console *console, const struct mu_machine *machine)
{
  if (machine->is_public)
    return console->everyone;
  if (!machine->owner[0])
    return console->admins;
  const struct audience *audience = audience_of(console, machine->provider, machine->owner);
  return audience ? audience->group : NULL;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

static struct track *track_of(const struct console *console, const struct mu_machine *machine, bool make)
{
  struct track *track = mu_map_get(console->tracks, handle_key(&machine->handle));
  if (track || !make || !(track = calloc(1, sizeof *track)))
    return track;
  if (mu_map_add(console->tracks, handle_key(&machine->handle), track) == 0)
    return track;
  free(track);
  return NULL;
}

static void forget_tracks(struct console *console)
{
  size_t position = 0;
  struct track *track;
  struct mu_str key;
  while ((track = mu_map_next(console->tracks, &position, &key))) {
    mu_map_del(console->tracks, key);
    view_free(&track->view);
    free(track);
  }
}

struct whole {
  struct console *console;
  const struct mu_machine *machine;
};

static mu_text *whole_text(void *context)
{
  const struct whole *whole = context;
  return mu_text_ref(whole->console->api->text(whole->console->machines.self, whole->machine, whole->console->form));
}

static mu_text *gone_text(const struct mu_machine *machine)
{
  return mu_text_printf("{\"type\":\"gone\",\"key\":\"%llu\"}", (unsigned long long)machine->handle);
}

/* What a watcher may see at all: in the plain stage nothing of his own. */
static bool sees(const struct watcher *watcher, const struct mu_machine *machine, bool is_public)
{
  if (watcher->stage == STAGE_FOLLOWS)
    return machine_visible(machine, mu_conn_principal(watcher->conn), is_public);
  return watcher->stage == STAGE_PLAIN && is_public;
}

/* Public or private now: for each reader by itself, which is rare. */
static void tell_each(struct console *console, const struct mu_machine *machine, bool was_public)
{
  struct whole whole = {console, machine};
  mu_text *text = whole_text(&whole), *gone = gone_text(machine);
  for (struct watcher *watcher = console->watchers, *next; watcher; watcher = next) {
    next = watcher->next; /* who is closed leaves */
    bool now = watcher->conn && sees(watcher, machine, machine->is_public);
    bool before = watcher->conn && sees(watcher, machine, was_public);
    if ((now && text) || (before && !now && gone))
      mu_conn_send_latest(watcher->conn, machine->handle, now ? text : gone);
  }
  mu_text_unref(text);
  mu_text_unref(gone);
}

static void tell_whole(struct console *console, const struct mu_machine *machine)
{
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  mu_group *group = group_of(console, machine);
  if (text && group)
    mu_group_publish(group, machine->handle, text);
}

static void tell_plain(struct console *console, const struct mu_machine *machine)
{
  if (!machine->is_public || mu_group_count(console->plain) == 0)
    return;
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  if (text)
    mu_group_publish(console->plain, machine->handle, text);
}

static void tell_change(struct console *console, const struct mu_machine *machine, const struct view *from,
                        const struct view *to)
{
  struct whole whole = {console, machine};
  mu_group *group = group_of(console, machine);
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"change\",\"key\":\"%llu\",\"t\":%lld,\"m\":", (unsigned long long)machine->handle,
                (long long)mu_now_ms());
  bool any = view_patch(&buf, from, to);
  mu_buf_adds(&buf, "}");
  mu_text *change = any ? mu_buf_take_text(&buf) : NULL;
  bool failed = any && !change;
  mu_buf_free(&buf);
  if (change && group && mu_group_count(group) > 0)
    mu_group_change(group, machine->handle, change, whole_text, &whole);
  else if (failed)
    tell_whole(console, machine);
  if (any)
    tell_plain(console, machine);
  mu_text_unref(change);
}

/* Tells those who watch what changed since they were told last. */
void live_changed(struct console *console, const struct mu_machine *machine)
{
  if (!console->watchers)
    return;
  struct view view;
  struct track *track = track_of(console, machine, true);
  machine_view(console, machine, &view);
  if (!track || !track->known) {
    tell_whole(console, machine);
    tell_plain(console, machine);
  } else if (track->view.is_public != view.is_public) {
    tell_each(console, machine, track->view.is_public);
  } else {
    tell_change(console, machine, &track->view, &view);
  }
  if (track)
    track->known = view_keep(&track->view, &view) == 0;
  json_object_put(view.metrics);
}

void live_gone(struct console *console, const struct mu_machine *machine)
{
  mu_text *gone = console->watchers ? gone_text(machine) : NULL;
  mu_group *group = group_of(console, machine);
  if (gone && group)
    mu_group_publish(group, machine->handle, gone);
  if (gone && machine->is_public)
    mu_group_publish(console->plain, machine->handle, gone);
  mu_text_unref(gone);
  struct track *track = mu_map_del(console->tracks, handle_key(&machine->handle));
  if (track)
    view_free(&track->view);
  free(track);
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

/* Keyed: what is sent to one reader alone counts against the bound of its queue, which a long snapshot is over. */
static int send_taken(mu_conn *conn, uint64_t key, mu_text *text)
{
  int result = text ? mu_conn_send_latest(conn, key, text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

static mu_text *hello_text(const struct mu_principal *principal)
{
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"hello\",\"now\":%lld,\"user\":", (long long)mu_now_ms());
  if (principal) {
    mu_buf_adds(&buf, "{\"id\":");
    mu_buf_json_string(&buf, mu_str(principal->id));
    mu_buf_adds(&buf, ",\"name\":");
    mu_buf_json_string(&buf, mu_str(principal->name[0] ? principal->name : principal->id));
    mu_buf_printf(&buf, ",\"role\":\"%s\"}", principal->role == MU_ROLE_ADMIN ? "admin" : "user");
  } else {
    mu_buf_adds(&buf, "null");
  }
  mu_buf_adds(&buf, "}");
  return mu_buf_take_text(&buf);
}

static int send_machine(void *context, const struct mu_machine *machine)
{
  struct watcher *watcher = context;
  struct console *console = watcher->console;
  if (!sees(watcher, machine, machine->is_public))
    return 0;
  /* First the others: what they were told last is what the next difference starts from. */
  live_changed(console, machine);
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  return text ? mu_conn_send_latest(watcher->conn, machine->handle, text) : 0;
}

/* All machines between "hello" and "ready": what the page knew and does not see here is gone. */
static int begin(struct watcher *watcher, enum stage stage)
{
  struct console *console = watcher->console;
  const struct mu_principal *principal = mu_conn_principal(watcher->conn);
  mu_timer_stop(watcher->patience);
  if (watcher->stage == STAGE_PLAIN)
    mu_group_leave(console->plain, watcher->conn);
  watcher->stage = stage;
  int result = send_taken(watcher->conn, HELLO_KEY, hello_text(principal));
  if (result == 0)
    result = console->api->each(console->machines.self, NULL, NULL, send_machine, watcher);
  if (result == 0)
    result = send_taken(watcher->conn, READY_KEY, mu_text_printf("{\"type\":\"ready\"}"));
  if (result == 0)
    result = mu_group_join(stage == STAGE_PLAIN ? console->plain : console->everyone, watcher->conn);
  if (result == 0 && principal)
    result = join_audience(watcher, principal);
  if (result == 0 && principal && principal->role == MU_ROLE_ADMIN)
    result = mu_group_join(console->admins, watcher->conn);
  return result == MU_ECLOSED ? 0 : result;
}

static void begin_or_close(struct watcher *watcher, enum stage stage)
{
  if (begin(watcher, stage) < 0)
    mu_conn_close(watcher->conn, MU_CLOSE_TRY_LATER, "out of memory");
}

/* ---- hello ----------------------------------------------------------------------------------- */

struct hello {
  struct mu_json_value type, ticket, token;
};

static const struct mu_field hello_fields[] = {
    {.path = "type", .type = MU_FIELD_STRING, .flags = MU_FIELD_REQUIRED, .offset = offsetof(struct hello, type)},
    {.path = "ticket",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_NULLABLE,
     .max = 512,
     .offset = offsetof(struct hello, ticket)},
    {.path = "token",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_NULLABLE,
     .max = 512,
     .offset = offsetof(struct hello, token)},
};

static int refuse(struct watcher *watcher, const char *why)
{
  struct console *console = watcher->console;
  mu_count(console->refused, 1);
  mu_log_limited(console->in, MU_LOG_WARN, "page refused", "a page from %s was refused: %s",
                 mu_conn_peer(watcher->conn), why);
  mu_conn_close(watcher->conn, MU_CLOSE_AUTH_REFUSED, why);
  return 0;
}

static struct mu_str plain_text(const struct mu_json_value *value)
{
  return value->kind == MU_JSON_STRING && !value->escaped ? mu_json_str(value) : (struct mu_str){"", 0};
}

/* Neither a ticket nor a page's token has anything to escape, but a token may: an operator chose it. */
static bool token_matches(const struct console *console, const struct mu_json_value *value)
{
  struct mu_buf text = MU_BUF_INIT;
  bool good = value->kind == MU_JSON_STRING && mu_json_unescape(value, &text) == 0 &&
              live_token_ok(console, (struct mu_str){text.at ? text.at : "", text.len});
  if (text.at)
    mu_secret_wipe(text.at, text.capacity);
  mu_buf_free(&text);
  return good;
}

static int said_hello(struct watcher *watcher, const struct hello *hello)
{
  struct console *console = watcher->console;
  if (hello->ticket.kind == MU_JSON_STRING) {
    const struct mu_principal *principal = tickets_take(&console->tickets, plain_text(&hello->ticket), mu_mono_ns());
    if (!principal) {
      mu_count(console->tickets_refused, 1);
      return refuse(watcher, "the ticket was used, or is too old");
    }
    mu_conn_set_principal(watcher->conn, principal);
    mu_principal_unref(principal);
  } else if (!live_open(console) && !watcher->trusted && !token_matches(console, &hello->token)) {
    return refuse(watcher, console->config->public_status ? "no token or a wrong one" : "a login is needed");
  }
  begin_or_close(watcher, STAGE_FOLLOWS);
  return 0;
}

/* The page says hello and then only listens: whatever else it says is no error, and changes nothing. */
static int heard(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct console *console = self;
  struct watcher *watcher = mu_conn_data(conn);
  struct hello hello;
  if (watcher->stage == STAGE_FOLLOWS || message->binary ||
      mu_json_scan(console->hello, message->at, message->len, &hello, NULL) != 0 ||
      !mu_str_equal(plain_text(&hello.type), MU_STR("hello")))
    return 0;
  return said_hello(watcher, &hello);
}

/* Older clients only listen. */
static void on_patience(void *context)
{
  struct watcher *watcher = context;
  if (watcher->stage != STAGE_SILENT || !watcher->conn)
    return;
  if (live_open(watcher->console) || watcher->trusted)
    begin_or_close(watcher, STAGE_PLAIN);
  else
    mu_conn_close(watcher->conn, MU_CLOSE_AUTH_TIMEOUT, "say hello first");
}

/* ---- the connection -------------------------------------------------------------------------- */

/*
 * A browser cannot send Authorization with an upgrade, and says its token in the first message. Programs say it at once, as they always did.
 */
static int judge(struct console *console, const mu_ws_request *request, struct mu_admission *admission, bool *trusted)
{
  struct mu_str text;
  *trusted = (mu_ws_request_query(request, "token", &text) && live_token_ok(console, text)) ||
             (mu_ws_request_header(request, "authorization", &text) && text.len > 7 &&
              memcmp(text.at, "Bearer ", 7) == 0 && live_token_ok(console, (struct mu_str){text.at + 7, text.len - 7}));
  bool browser = mu_ws_request_header(request, "origin", &text);
  if (live_open(console) || !console->config->public_status || *trusted || browser)
    return 0;
  mu_count(console->refused, 1);
  mu_log_limited(console->in, MU_LOG_WARN, "page refused", "a page from %s was refused: no token or a wrong one",
                 mu_ws_request_peer(request));
  admission->status = 401;
  admission->code = "unauthorized";
  admission->message = "a token is needed";
  return MU_EREFUSED;
}

static void watcher_free(struct watcher *watcher)
{
  struct console *console = watcher->console;
  leave_audience(watcher);
  *watcher->link = watcher->next;
  if (watcher->next)
    watcher->next->link = watcher->link;
  mu_timer_free(watcher->patience);
  free(watcher);
  if (!console->watchers)
    forget_tracks(console);
}

static int admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct console *console = self;
  bool trusted;
  int result = judge(console, request, admission, &trusted);
  if (result != 0)
    return result;
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher || !(watcher->patience = mu_timer_new(console->in, on_patience, watcher))) {
    free(watcher);
    admission->status = 503;
    admission->code = "unavailable";
    admission->message = "out of memory";
    return MU_EREFUSED;
  }
  watcher->console = console;
  watcher->trusted = trusted;
  watcher->next = console->watchers;
  watcher->link = &console->watchers;
  if (watcher->next)
    watcher->next->link = &watcher->next;
  console->watchers = watcher;
  admission->data = watcher;
  return 0;
}

static int opened(void *self, mu_conn *conn)
{
  struct console *console = self;
  struct watcher *watcher = mu_conn_data(conn);
  watcher->conn = conn;
  mu_timer_start(watcher->patience, live_open(console) || watcher->trusted ? QUIET_MS : SILENT_MS, 0);
  return 0;
}

static void closed(void *self, mu_conn *conn, unsigned code)
{
  struct watcher *watcher = mu_conn_data(conn);
  (void)self, (void)code;
  mu_conn_set_data(conn, NULL);
  if (watcher)
    watcher_free(watcher);
}

const struct mu_ws_route live_route = {
    .size = sizeof live_route,
    .path = "/api/console/live",
    .origin = MU_ORIGIN_SAME,
    .max_message = 1024,
    .silent_after_s = 90,
    .admit = admit,
    .open = opened,
    .message = heard,
    .closed = closed,
};

/* ---- life ------------------------------------------------------------------------------------ */

int live_init(struct console *console)
{
  console->hello = mu_schema_new(hello_fields, MU_COUNT(hello_fields), sizeof hello_fields[0]);
  console->audiences = mu_map_new();
  console->tracks = mu_map_new();
  console->everyone = mu_group_new(console->in, "console", MU_GROUP_CONFLATE);
  console->admins = mu_group_new(console->in, "console admins", MU_GROUP_CONFLATE);
  console->plain = mu_group_new(console->in, "console plain", MU_GROUP_CONFLATE);
  bool good =
      console->hello && console->audiences && console->tracks && console->everyone && console->admins && console->plain;
  return good ? 0 : MU_ENOMEM;
}

/* Connections are closed after groups and timers have gone: what watchers have of these goes first. */
void live_stop(struct console *console)
{
  for (struct watcher *watcher = console->watchers; watcher; watcher = watcher->next) {
    mu_timer_free(watcher->patience);
    watcher->patience = NULL;
    leave_audience(watcher);
  }
}

void live_free(struct console *console)
{
  size_t position = 0;
  struct audience *audience;
  struct mu_str key;
  while (console->watchers) {
    struct watcher *watcher = console->watchers;
    console->watchers = watcher->next;
    free(watcher);
  }
  while (console->audiences && (audience = mu_map_next(console->audiences, &position, &key))) {
    mu_map_del(console->audiences, key);
    free(audience->key);
    free(audience);
  }
  if (console->tracks)
    forget_tracks(console);
  mu_map_free(console->audiences);
  mu_map_free(console->tracks);
  mu_schema_free(console->hello);
}
