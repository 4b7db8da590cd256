/* SPDX-License-Identifier: ISC */
/* The channel that keeps pages live: who comes, what it says first, and when it ends. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "live.h"

enum { QUIET_MS = 1000, SILENT_MS = 5000, DAY_S = 86400 };

bool live_open(const struct console *console)
{
  return console->config->public_status && !(console->config->token && console->config->token[0]);
}

bool live_token_ok(const struct console *console, struct mu_str token)
{
  const char *wanted = console->config->token;
  return console->config->public_status && wanted && wanted[0] && mu_secret_equal(token, mu_str(wanted));
}

struct mu_str live_bearer(struct mu_str header)
{
  bool good = header.len > 7 && strncasecmp(header.at, "Bearer ", 7) == 0;
  return good ? (struct mu_str){header.at + 7, header.len - 7} : (struct mu_str){"", 0};
}

/* ---- beginning ------------------------------------------------------------------------------- */

static int64_t ms_to(int64_t unix_s)
{
  int64_t now = mu_now_ms();
  return unix_s <= now / 1000 ? 0 : unix_s > now / 1000 + DAY_S ? DAY_S * INT64_C(1000) : unix_s * 1000 - now;
}

/* The clock may be set meanwhile: it is looked at again every day. */
static void heed_expiry(struct watcher *watcher)
{
  const struct mu_principal *principal = mu_conn_principal(watcher->conn);
  mu_timer_stop(watcher->timer);
  if (watcher->stage == STAGE_FOLLOWS && principal && principal->expires_s)
    mu_timer_start(watcher->timer, (uint64_t)ms_to(principal->expires_s), 0);
}

static void begin(struct watcher *watcher, enum stage stage)
{
  if (watcher->stage == STAGE_PLAIN)
    mu_group_leave(watcher->console->plain, watcher->conn);
  watcher->stage = stage;
  heed_expiry(watcher);
  snapshot_queue(watcher);
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
  begin(watcher, STAGE_FOLLOWS);
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
static void patience_ended(struct watcher *watcher)
{
  if (live_open(watcher->console) || watcher->trusted)
    begin(watcher, STAGE_PLAIN);
  else
    mu_conn_close(watcher->conn, MU_CLOSE_AUTH_TIMEOUT, "say hello first");
}

static void on_timer(void *context)
{
  struct watcher *watcher = context;
  const struct mu_principal *principal = watcher->conn ? mu_conn_principal(watcher->conn) : NULL;
  if (!watcher->conn)
    return;
  if (watcher->stage == STAGE_SILENT)
    patience_ended(watcher);
  else if (principal && mu_now_ms() / 1000 >= principal->expires_s)
    mu_conn_close(watcher->conn, MU_CLOSE_REVOKED, "the login has expired");
  else
    heed_expiry(watcher);
}

/* ---- the connection -------------------------------------------------------------------------- */

/*
 * A browser cannot send Authorization with an upgrade, and says its token in the first message. Programs say it at once, as they always did.
 */
static int judge(struct console *console, const mu_ws_request *request, struct mu_admission *admission, bool *trusted)
{
  struct mu_str text;
  *trusted = mu_ws_request_header(request, "authorization", &text) && live_token_ok(console, live_bearer(text));
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
  snapshot_leave(watcher);
  tell_leave(watcher);
  *watcher->link = watcher->next;
  if (watcher->next)
    watcher->next->link = watcher->link;
  mu_timer_free(watcher->timer);
  free(watcher);
  if (!console->watchers)
    tell_forget(console);
}

static int admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct console *console = self;
  bool trusted;
  int result = judge(console, request, admission, &trusted);
  if (result != 0)
    return result;
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher || !(watcher->timer = mu_timer_new(console->in, on_timer, watcher))) {
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
  mu_timer_start(watcher->timer, live_open(console) || watcher->trusted ? QUIET_MS : SILENT_MS, 0);
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
  int result = console->hello ? tell_init(console) : MU_ENOMEM;
  return result == 0 ? snapshot_init(console) : result;
}

/* Connections are closed after groups and timers have gone: what watchers have of these goes first. */
void live_stop(struct console *console)
{
  for (struct watcher *watcher = console->watchers; watcher; watcher = watcher->next) {
    mu_timer_free(watcher->timer);
    watcher->timer = NULL;
    snapshot_leave(watcher);
    tell_leave(watcher);
  }
}

void live_free(struct console *console)
{
  while (console->watchers) {
    struct watcher *watcher = console->watchers;
    console->watchers = watcher->next;
    free(watcher);
  }
  snapshot_free(console);
  tell_free(console);
  mu_schema_free(console->hello);
}
