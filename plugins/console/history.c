/* SPDX-License-Identifier: ISC */
/*
 * The last hour of each machine, in memory only: a restart begins anew. Whoever may see a machine may see its history; whether a machine is
 * unknown or somebody else's is not told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "console.h"

enum { POINTS_MAX = 1000, POINTS = RING_SLOTS, TOKEN_MAX = 4096 };
#define LOOK_NS INT64_C(10000000000)
#define HOUR_MS ((int64_t)RING_SLOTS * RING_STEP_MS)

/* ---- taking ---------------------------------------------------------------------------------- */

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

/* One that has nothing of the last hour gives way. Looking for it is not free, and not done for each report. */
static bool make_room(struct console *console)
{
  int64_t now = mu_mono_ns();
  if (mu_map_count(console->rings) < (size_t)console->config->history_machines)
    return true;
  if (console->look_ns && now - console->look_ns < LOOK_NS)
    return false;
  console->look_ns = now;
  size_t position = 0, gone = 0;
  struct mu_str key;
  struct ring *ring;
  while ((ring = mu_map_next(console->rings, &position, &key)))
    if (ring_newest_ms(ring) < mu_now_ms() - HOUR_MS) {
      mu_map_del(console->rings, key);
      ring_free(ring);
      gone++;
    }
  return gone > 0 && mu_map_count(console->rings) < (size_t)console->config->history_machines;
}

void history_report(struct console *console, const struct mu_machine *machine)
{
  struct mu_str key = handle_key(&machine->handle);
  struct ring *ring = mu_map_get(console->rings, key), *moved;
  int64_t now_ms = mu_now_ms();
  if (console->config->history_machines == 0)
    return;
  /* One report of each step: taking a report apart costs several times what relaying it costs. */
  if (ring && !ring_due(ring, now_ms))
    return;
  if (!ring && !make_room(console)) {
    mu_count(console->left_out, 1);
    return;
  }
  struct json_object *metrics = console->api->metrics(console->machines.self, machine);
  if (!metrics || !(moved = ring ? ring : ring_new()))
    return;
  ring_take(&moved, metrics, now_ms);
  if (moved == ring)
    return;
  mu_map_del(console->rings, key);
  if (mu_map_add(console->rings, key, moved) != 0)
    ring_free(moved);
}

void history_gone(struct console *console, const struct mu_machine *machine)
{
  ring_free(mu_map_del(console->rings, handle_key(&machine->handle)));
}

/* ---- answering ------------------------------------------------------------------------------- */

struct span {
  int64_t from_ms, step_ms;
  unsigned points;
};

static void put_series(struct mu_buf *out, const struct ring *ring)
{
  mu_buf_adds(out, "\"series\":[");
  for (size_t i = 0; ring && i < ring_series(ring); i++) {
    mu_buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
    mu_buf_json_string(out, mu_str(ring_name(ring, i)));
    mu_buf_printf(out, ",\"unit\":\"%s\"}", ring_unit(ring_name(ring, i)));
  }
  mu_buf_adds(out, "]");
}

static void put_values(struct mu_buf *out, const struct ring *ring, size_t series, const struct span *span)
{
  mu_buf_adds(out, series ? ",[" : "[");
  for (unsigned i = 0; i < span->points; i++) {
    float value;
    mu_buf_adds(out, i ? "," : "");
    if (ring_value(ring, series, span->from_ms + i * span->step_ms, span->step_ms, &value))
      mu_buf_printf(out, "%.7g", (double)value);
    else
      mu_buf_adds(out, "null");
  }
  mu_buf_adds(out, "]");
}

static int answer(mu_http *request, const struct ring *ring, const struct span *span)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"source\":\"ring\",\"retention_ms\":%lld,\"from\":%lld,\"step_ms\":%lld,\"left_out\":%u,",
                (long long)HOUR_MS, (long long)span->from_ms, (long long)span->step_ms, ring ? ring_left_out(ring) : 0);
  put_series(&out, ring);
  mu_buf_adds(&out, ",\"t\":[");
  for (unsigned i = 0; i < span->points; i++) {
    int64_t at = span->from_ms + i * span->step_ms;
    mu_buf_printf(&out, "%s%lld", i ? "," : "", (long long)at);
  }
  mu_buf_adds(&out, "],\"v\":[");
  for (size_t i = 0; ring && i < ring_series(ring); i++)
    put_values(&out, ring, i, span);
  mu_buf_adds(&out, "]}");
  mu_text *body = mu_buf_take_text(&out);
  mu_buf_free(&out);
  if (!body)
    return MU_ENOMEM;
  int result = mu_http_answer(request, 200, "application/json; charset=utf-8", body);
  mu_text_unref(body);
  return result;
}

/* Whole steps, so that two answers can be laid side by side. False: was answered. */
static bool read_span(mu_http *request, struct span *span)
{
  int64_t now = mu_now_ms(), newest = now / RING_STEP_MS * RING_STEP_MS;
  int64_t to = mu_rest_int(request, "to", newest), from = mu_rest_int(request, "from", to - HOUR_MS + RING_STEP_MS);
  int64_t points = mu_rest_int(request, "points", POINTS);
  if (from > to) {
    mu_rest_invalid(request, "from", MU_WORDS("from must not be after to", "from 不能晚于 to"));
    return false;
  }
  if (to > newest)
    to = newest;
  if (from < newest - HOUR_MS + RING_STEP_MS)
    from = newest - HOUR_MS + RING_STEP_MS;
  if (from > to) { /* wholly outside: an answer without points */
    *span = (struct span){.from_ms = from, .step_ms = RING_STEP_MS};
    return true;
  }
  from = from / RING_STEP_MS * RING_STEP_MS;
  int64_t steps = (to - from) / RING_STEP_MS + 1, each = (steps + points - 1) / points;
  *span = (struct span){from, each * RING_STEP_MS, (unsigned)((steps + each - 1) / each)};
  return true;
}

/* The machine that the path names, if this principal may see it. */
static const struct mu_machine *machine_of(const struct console *console, mu_http *request,
                                           const struct mu_principal *principal)
{
  struct mu_str key = mu_rest_param(request, "key");
  char text[24], *end;
  if (key.len == 0 || key.len >= sizeof text || key.at[0] < '0' || key.at[0] > '9')
    return NULL;
  memcpy(text, key.at, key.len);
  text[key.len] = '\0';
  uint64_t handle = strtoull(text, &end, 10);
  const struct mu_machine *machine = *end ? NULL : console->api->by_handle(console->machines.self, handle);
  return machine && machine_visible(machine, principal, machine->is_public) ? machine : NULL;
}

static int answer_for(struct console *console, mu_http *request, const struct mu_principal *principal)
{
  struct span span;
  const struct mu_machine *machine = machine_of(console, request, principal);
  if (!machine)
    return mu_rest_error(request, 404, "MACHINE_NOT_FOUND", MU_WORDS("there is no such machine", "机器不存在"));
  if (!read_span(request, &span))
    return 0;
  return answer(request, mu_map_get(console->rings, handle_key(&machine->handle)), &span);
}

/* ---- who asks -------------------------------------------------------------------------------- */

/* A question that is out. It outlives its request, and goes with the instance. */
struct asked {
  struct asked *next, **link;
  struct console *console;
  mu_http_id id;
};

static void asked_free(struct asked *asked)
{
  *asked->link = asked->next;
  if (asked->next)
    asked->next->link = asked->link;
  free(asked);
}

static int refuse(mu_http *request, const char *code, struct mu_words words)
{
  mu_http_set(request, "WWW-Authenticate", "Bearer");
  return mu_rest_error(request, 401, code, words);
}

static void on_judged(void *context, const struct mu_auth_answer *verdict)
{
  struct asked *asked = context;
  struct console *console = asked->console;
  mu_http *request = mu_http_find(console->in, asked->id);
  asked_free(asked);
  if (!request)
    return;
  if (verdict->verdict == MU_AUTH_GRANTED) {
    answer_for(console, request, verdict->principal);
  } else if (verdict->verdict == MU_AUTH_UNAVAILABLE) {
    char after[16];
    snprintf(after, sizeof after, "%u", verdict->retry_after_s ? verdict->retry_after_s : 5);
    mu_http_set(request, "Retry-After", after);
    mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                  MU_WORDS("nobody can tell who you are just now; try again later", "暂时无法验证身份，请稍后再试"));
  } else {
    refuse(request, "INVALID_TOKEN", MU_WORDS("the token is not valid", "令牌无效"));
  }
}

static int ask(struct console *console, mu_http *request, struct mu_str token)
{
  struct asked *asked = calloc(1, sizeof *asked);
  if (!asked)
    return MU_ENOMEM;
  asked->console = console;
  asked->id = mu_http_get_id(request);
  asked->next = console->asked;
  asked->link = &console->asked;
  if (asked->next)
    asked->next->link = &asked->next;
  console->asked = asked;
  const struct mu_credential credential = {
      .size = sizeof credential, .kind = MU_CREDENTIAL_TOKEN, .secret = token, .peer = mu_http_peer(request)};
  mu_http_id id = asked->id;
  int result = mu_auth_check(console->in, &credential, on_judged, asked);
  if (result < 0)
    return result; /* it stops: freed with the rest */
  return mu_http_find(console->in, id) ? MU_PENDING : 0;
}

int history_get(void *self, mu_http *request)
{
  struct console *console = self;
  struct mu_str header;
  bool given =
      mu_http_header(request, "authorization", &header) && header.len > 7 && strncasecmp(header.at, "Bearer ", 7) == 0;
  struct mu_str token = given ? (struct mu_str){header.at + 7, header.len - 7} : (struct mu_str){"", 0};
  if (given && live_token_ok(console, token))
    return answer_for(console, request, NULL);
  if (given && token.len <= TOKEN_MAX)
    return ask(console, request, token);
  if (!given && live_open(console))
    return answer_for(console, request, NULL);
  return refuse(request, given ? "INVALID_TOKEN" : "MISSING_TOKEN",
                given ? MU_WORDS("the token is not valid", "令牌无效") : MU_WORDS("log in first", "请先登录"));
}

void history_free(struct console *console)
{
  size_t position = 0;
  struct ring *ring;
  struct mu_str key;
  while (console->asked)
    asked_free(console->asked); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  while (console->rings && (ring = mu_map_next(console->rings, &position, &key))) {
    mu_map_del(console->rings, key);
    ring_free(ring);
  }
  mu_map_free(console->rings);
}
