/* SPDX-License-Identifier: ISC */
/*
 * The last hour of each machine, in memory only: a restart begins anew. Whoever may see a machine may see its history; whether a machine is
 * unknown or somebody else's is not told.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "console.h"

enum { POINTS = RING_SLOTS, TOKEN_MAX = 4096, ASKED_MAX = 4096 };
#define HOUR_MS ((int64_t)RING_SLOTS * RING_STEP_MS)

/* What is kept of one machine. */
struct past {
  struct ring *ring;
  bool is_public;
  int64_t public_ms; /* since when: what was before is its owner's */
  size_t owned;      /* make_room() */
  char owner[];      /* "provider", NUL, the owner's id */
};

/* ---- taking ---------------------------------------------------------------------------------- */

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

static struct past *past_new(const struct mu_machine *machine)
{
  size_t provider = strlen(machine->provider) + 1, owner = strlen(machine->owner) + 1;
  struct past *past = calloc(1, sizeof *past + provider + owner);
  if (!past || !(past->ring = ring_new())) {
    free(past);
    return NULL;
  }
  past->is_public = machine->is_public;
  memcpy(past->owner, machine->provider, provider);
  memcpy(past->owner + provider, machine->owner, owner);
  return past;
}

static void past_free(struct past *past)
{
  if (past)
    ring_free(past->ring);
  free(past);
}

static bool owned_by(const struct past *past, const char *provider, const char *owner)
{
  return strcmp(past->owner, provider) == 0 && strcmp(past->owner + strlen(past->owner) + 1, owner) == 0;
}

static bool quieter(const struct past *a, const struct past *b)
{
  return ring_newest_ms(a->ring) < ring_newest_ms(b->ring);
}

/* One that has nothing of the last hour; else the quietest of who has most, if that is more than this machine's owner has. */
static struct past *spare(const struct console *console, const struct mu_machine *machine, mu_map *owners,
                          struct mu_str *its_key)
{
  struct past *past, *most = NULL, *found = NULL;
  struct mu_str key;
  size_t own = 0;
  for (size_t position = 0; (past = mu_map_next(console->pasts, &position, &key));) {
    struct mu_str owner = {past->owner, strlen(past->owner) + 1};
    owner.len += strlen(past->owner + owner.len);
    struct past *first = mu_map_get(owners, owner);
    past->owned = 0;
    if (!first && mu_map_add(owners, owner, past) == 0)
      first = past;
    if (!first)
      return NULL;
    first->owned++;
    own += owned_by(past, machine->provider, machine->owner);
    most = most && most->owned >= first->owned ? most : first;
  }
  for (size_t position = 0; most && (past = mu_map_next(console->pasts, &position, &key));) {
    bool old = ring_newest_ms(past->ring) < mu_now_ms() - HOUR_MS;
    bool theirs = owned_by(past, most->owner, most->owner + strlen(most->owner) + 1) && most->owned > own + 1;
    if ((old || theirs) && (!found || quieter(past, found))) {
      found = past;
      *its_key = key;
    }
  }
  return found;
}

/* Looking at all of them is not free, and not done for each report. */
static bool make_room(struct console *console, const struct mu_machine *machine)
{
  int64_t now = mu_mono_ns();
  size_t count = mu_map_count(console->pasts);
  if (count < (size_t)console->config->history_machines)
    return true;
  if (now < console->look_ns)
    return false;
  console->look_ns = now + (int64_t)count * 100000; /* it takes about a thousandth of that */
  mu_map *owners = mu_map_new();
  struct mu_str key;
  struct past *past = owners ? spare(console, machine, owners, &key) : NULL;
  mu_map_free(owners);
  if (!past)
    return false;
  mu_map_del(console->pasts, key);
  past_free(past);
  return mu_map_count(console->pasts) < (size_t)console->config->history_machines;
}

void history_report(struct console *console, const struct mu_machine *machine)
{
  struct mu_str key = handle_key(&machine->handle);
  struct past *past = mu_map_get(console->pasts, key);
  int64_t now_ms = mu_now_ms();
  if (console->config->history_machines == 0)
    return;
  /* One report of each step: taking a report apart costs several times what relaying it costs. */
  if (past && !ring_due(past->ring, now_ms))
    return;
  if (!past && !make_room(console, machine)) {
    mu_count(console->left_out, 1);
    return;
  }
  struct json_object *metrics = console->api->metrics(console->machines.self, machine);
  if (metrics && !past && (past = past_new(machine)) && mu_map_add(console->pasts, key, past) != 0) {
    past_free(past);
    past = NULL;
  }
  if (metrics && past)
    ring_take(&past->ring, metrics, now_ms);
}

void history_changed(struct console *console, const struct mu_machine *machine)
{
  struct past *past = mu_map_get(console->pasts, handle_key(&machine->handle));
  if (!past || past->is_public == machine->is_public)
    return;
  past->is_public = machine->is_public;
  past->public_ms = mu_now_ms();
}

void history_gone(struct console *console, const struct mu_machine *machine)
{
  past_free(mu_map_del(console->pasts, handle_key(&machine->handle)));
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

/* Thousands of numbers make an answer, and printf takes its time for each. */
static void put_number(struct mu_buf *out, double value)
{
  double size = fabs(value);
  if (size >= 1e9 || (size < 0.1 && size > 0)) {
    mu_buf_printf(out, "%.7g", value);
    return;
  }
  uint64_t thousandths = (uint64_t)llround(size * 1000), whole = thousandths / 1000, part = thousandths % 1000;
  char text[24], *end = text + sizeof text, *at = end;
  if (part) {
    int digits = 3;
    for (; part % 10 == 0; part /= 10)
      digits--;
    for (; digits > 0; digits--, part /= 10)
      *--at = (char)('0' + part % 10);
    *--at = '.';
  }
  do
    *--at = (char)('0' + whole % 10);
  while (whole /= 10);
  if (value < 0)
    *--at = '-';
  mu_buf_add(out, at, (size_t)(end - at));
}

static void put_values(struct mu_buf *out, const struct ring *ring, size_t series, const struct span *span)
{
  mu_buf_adds(out, series ? ",[" : "[");
  for (unsigned i = 0; i < span->points; i++) {
    float value;
    mu_buf_adds(out, i ? "," : "");
    if (ring_value(ring, series, span->from_ms + i * span->step_ms, span->step_ms, &value))
      put_number(out, (double)value);
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
static bool read_span(mu_http *request, int64_t since_ms, struct span *span)
{
  int64_t now = mu_now_ms(), newest = now / RING_STEP_MS * RING_STEP_MS;
  int64_t to = mu_rest_int(request, "to", newest), from = mu_rest_int(request, "from", to - HOUR_MS + RING_STEP_MS);
  int64_t points = mu_rest_int(request, "points", POINTS), oldest = newest - HOUR_MS + RING_STEP_MS;
  if (oldest < since_ms)
    oldest = (since_ms + RING_STEP_MS - 1) / RING_STEP_MS * RING_STEP_MS;
  if (from > to) {
    mu_rest_invalid(request, "from", MU_WORDS("from must not be after to", "from 不能晚于 to"));
    return false;
  }
  if (to > newest)
    to = newest;
  if (from < oldest)
    from = oldest;
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
  const struct past *past = mu_map_get(console->pasts, handle_key(&machine->handle));
  if (!read_span(request, past && !machine_visible(machine, principal, false) ? past->public_ms : 0, &span))
    return 0;
  return answer(request, past ? past->ring : NULL, &span);
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
  asked->console->asked_count--;
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

static int unknown(mu_http *request, unsigned retry_after_s)
{
  char after[16];
  snprintf(after, sizeof after, "%u", retry_after_s);
  mu_http_set(request, "Retry-After", after);
  return mu_rest_error(
      request, 503, "SERVICE_UNAVAILABLE",
      MU_WORDS("nobody can tell who you are just now; try again later", "暂时无法验证身份，请稍后再试"));
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
    unknown(request, verdict->retry_after_s ? verdict->retry_after_s : 5);
  } else {
    refuse(request, "INVALID_TOKEN", MU_WORDS("the token is not valid", "令牌无效"));
  }
}

static int ask(struct console *console, mu_http *request, struct mu_str token)
{
  if (!rest_judged(console, MU_CREDENTIAL_TOKEN))
    return refuse(request, "INVALID_TOKEN", MU_WORDS("the token is not valid", "令牌无效"));
  struct asked *asked = console->asked_count < ASKED_MAX ? calloc(1, sizeof *asked) : NULL;
  if (!asked)
    return unknown(request, 1);
  console->asked_count++;
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
  struct past *past;
  struct mu_str key;
  while (console->asked)
    asked_free(console->asked); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  while (console->pasts && (past = mu_map_next(console->pasts, &position, &key))) {
    mu_map_del(console->pasts, key);
    past_free(past);
  }
  mu_map_free(console->pasts);
}
