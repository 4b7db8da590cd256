/* SPDX-License-Identifier: ISC */
/*
 * The past of a machine, from history/1 where that is, else from the last hour that is kept here. Whoever may see a machine may see its past;
 * whether a machine is unknown or somebody else's is not told.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"

enum { POINTS = RING_SLOTS, TOKEN_MAX = 4096, ASKED_MAX = 4096 };

/* The times of an answer. */
struct span {
  int64_t from_ms, step_ms;
  size_t points;
};

/* A question that is out, to auth/1 or history/1. It outlives its request, and goes with the instance. */
struct asked {
  struct asked *next, **link;
  struct console *console;
  mu_http_id id;
  struct span span;
  int64_t retention_ms;
};

/* ---- questions that are out ------------------------------------------------------------------ */

static struct asked *asked_new(struct console *console, mu_http *request)
{
  struct asked *asked = console->asked_count < ASKED_MAX ? calloc(1, sizeof *asked) : NULL;
  if (!asked)
    return NULL;
  console->asked_count++;
  asked->console = console;
  asked->id = mu_http_get_id(request);
  asked->next = console->asked;
  asked->link = &console->asked;
  if (asked->next)
    asked->next->link = &asked->next;
  console->asked = asked;
  return asked;
}

static void asked_free(struct asked *asked)
{
  asked->console->asked_count--;
  *asked->link = asked->next;
  if (asked->next)
    asked->next->link = asked->link;
  free(asked);
}

void history_free(struct console *console)
{
  while (console->asked)
    asked_free(console->asked); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

/* ---- answering ------------------------------------------------------------------------------- */

static int unavailable(mu_http *request, unsigned retry_after_s, struct mu_words words)
{
  char after[16];
  snprintf(after, sizeof after, "%u", retry_after_s);
  mu_http_set(request, "Retry-After", after);
  return mu_rest_error(request, 503, "SERVICE_UNAVAILABLE", words);
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

static void no_memory(mu_http *request)
{
  mu_rest_error(request, 500, "INTERNAL_ERROR", MU_WORDS("out of memory", "内存不足"));
}

struct told {
  const char *source;
  int64_t retention_ms;
  unsigned left_out;
  const struct mu_history_series *series;
  size_t count, series_size;
};

static const struct mu_history_series *series_at(const struct told *told, size_t i)
{
  return (const void *)((const char *)told->series + i * told->series_size);
}

static void put_series(struct mu_buf *out, const struct told *told)
{
  mu_buf_adds(out, "\"series\":[");
  for (size_t i = 0; i < told->count; i++) {
    const char *name = series_at(told, i)->name;
    mu_buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
    mu_buf_json_string(out, mu_str(name));
    mu_buf_printf(out, ",\"unit\":\"%s\"}", ring_unit(name));
  }
  mu_buf_adds(out, "]");
}

static void put_values(struct mu_buf *out, const double *values, size_t points)
{
  for (size_t i = 0; i < points; i++) {
    mu_buf_adds(out, i ? "," : "[");
    if (isfinite(values[i]))
      put_number(out, values[i]);
    else
      mu_buf_adds(out, "null");
  }
  mu_buf_adds(out, points ? "]" : "[]");
}

static int answer(mu_http *request, const struct told *told, const struct span *span)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"source\":\"%s\",\"retention_ms\":%lld,\"from\":%lld,\"step_ms\":%lld,\"left_out\":%u,",
                told->source, (long long)told->retention_ms, (long long)span->from_ms, (long long)span->step_ms,
                told->left_out);
  put_series(&out, told);
  mu_buf_adds(&out, ",\"t\":[");
  for (size_t i = 0; i < span->points; i++)
    mu_buf_printf(&out, "%s%lld", i ? "," : "", (long long)(span->from_ms + (int64_t)i * span->step_ms));
  mu_buf_adds(&out, "],\"v\":[");
  for (size_t i = 0; i < told->count; i++) {
    mu_buf_adds(&out, i ? "," : "");
    put_values(&out, series_at(told, i)->values, span->points);
  }
  mu_buf_adds(&out, "]}");
  mu_text *body = mu_buf_take_text(&out);
  mu_buf_free(&out);
  if (!body)
    return MU_ENOMEM;
  int result = mu_http_answer(request, 200, "application/json; charset=utf-8", body);
  mu_text_unref(body);
  return result;
}

/* ---- sources --------------------------------------------------------------------------------- */

static int answer_from_ring(mu_http *request, const struct ring *ring, const struct span *span)
{
  size_t count = ring ? ring_series(ring) : 0;
  struct told told = {
      .source = "ring", .retention_ms = PAST_MS, .count = count, .series_size = sizeof(struct mu_history_series)};
  struct mu_history_series *series = calloc(count + 1, sizeof *series);
  double *values = calloc(count * span->points + 1, sizeof *values);
  int result = MU_ENOMEM;
  if (series && values) {
    for (size_t i = 0; i < count; i++) {
      double *row = values + i * span->points;
      for (size_t at = 0; at < span->points; at++) {
        float value;
        bool there = ring_value(ring, i, span->from_ms + (int64_t)at * span->step_ms, span->step_ms, &value);
        row[at] = there ? (double)value : NAN;
      }
      series[i] = (struct mu_history_series){ring_name(ring, i), row};
    }
    told.series = series;
    told.left_out = ring ? ring_left_out(ring) : 0;
    result = answer(request, &told, span);
  }
  free(series);
  free(values);
  return result;
}

#define NO_PAST MU_WORDS("the past cannot be told just now; try again later", "暂时无法读取历史数据，请稍后再试")

static void on_past(void *context, const struct mu_history_answer *past)
{
  struct asked *asked = context;
  mu_http *request = mu_http_find(asked->console->in, asked->id);
  struct span span = asked->span;
  struct told told = {.source = "store",
                      .retention_ms = asked->retention_ms,
                      .series = past->series,
                      .count = past->count,
                      .series_size = past->series_size};
  asked_free(asked);
  if (request && past->error)
    unavailable(request, 5, NO_PAST);
  else if (request && answer(request, &told, &span) != 0)
    no_memory(request);
}

static int ask_store(struct console *console, mu_http *request, const struct mu_service *store,
                     const struct mu_machine *machine, const struct span *span, int64_t retention_ms)
{
  const struct mu_history *history = store->api;
  const struct mu_history_query query = {.size = sizeof query,
                                         .provider = machine->provider,
                                         .owner = machine->owner,
                                         .id = machine->id,
                                         .from_ms = span->from_ms,
                                         .step_ms = span->step_ms,
                                         .points = span->points};
  struct asked *asked = asked_new(console, request);
  if (!asked)
    return unavailable(request, 1, NO_PAST);
  asked->span = *span;
  asked->retention_ms = retention_ms;
  int result = history->read(store->self, console->in, &query, on_past, asked);
  if (result >= 0)
    return result;
  asked_free(asked);
  return unavailable(request, 5, NO_PAST);
}

bool history_stored(const struct console *console, struct mu_service *store)
{
  return mu_service_get(console->in, MU_SERVICE_HISTORY, store) == 0;
}

/* ---- what is asked for ----------------------------------------------------------------------- */

/* Whole steps, so that two answers can be laid side by side. False: was answered. */
static bool read_span(mu_http *request, int64_t retention_ms, int64_t since_ms, struct span *span)
{
  int64_t now = mu_now_ms(), newest = now / RING_STEP_MS * RING_STEP_MS;
  int64_t to = mu_rest_int(request, "to", newest), from = mu_rest_int(request, "from", to - PAST_MS + RING_STEP_MS);
  int64_t points = mu_rest_int(request, "points", POINTS), oldest = newest - retention_ms + RING_STEP_MS;
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
  *span = (struct span){from, each * RING_STEP_MS, (size_t)((steps + each - 1) / each)};
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
  int64_t since_ms = machine_visible(machine, principal, false) ? 0 : past_public_ms(console, machine);
  struct mu_service store;
  bool stored = history_stored(console, &store);
  int64_t retention_ms = stored ? ((const struct mu_history *)store.api)->retention_ms(store.self) : PAST_MS;
  if (!read_span(request, retention_ms, since_ms, &span))
    return 0;
  if (!stored)
    return answer_from_ring(request, past_ring(console, machine), &span);
  if (span.points > 0)
    return ask_store(console, request, &store, machine, &span, retention_ms);
  const struct told nothing = {.source = "store", .retention_ms = retention_ms};
  return answer(request, &nothing, &span);
}

/* ---- who asks -------------------------------------------------------------------------------- */

static int refuse(mu_http *request, const char *code, struct mu_words words)
{
  mu_http_set(request, "WWW-Authenticate", "Bearer");
  return mu_rest_error(request, 401, code, words);
}

static int unknown(mu_http *request, unsigned retry_after_s)
{
  return unavailable(request, retry_after_s,
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
  if (verdict->verdict == MU_AUTH_UNAVAILABLE)
    unknown(request, verdict->retry_after_s ? verdict->retry_after_s : 5);
  else if (verdict->verdict != MU_AUTH_GRANTED)
    refuse(request, "INVALID_TOKEN", MU_WORDS("the token is not valid", "令牌无效"));
  else if (answer_for(console, request, verdict->principal) < 0)
    no_memory(request);
}

static int ask(struct console *console, mu_http *request, struct mu_str token)
{
  if (!rest_judged(console, MU_CREDENTIAL_TOKEN))
    return refuse(request, "INVALID_TOKEN", MU_WORDS("the token is not valid", "令牌无效"));
  struct asked *asked = asked_new(console, request);
  if (!asked)
    return unknown(request, 1);
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
  struct mu_str token =
      mu_http_header(request, "authorization", &header) ? live_bearer(header) : (struct mu_str){"", 0};
  bool given = token.len > 0;
  if (given && live_token_ok(console, token))
    return answer_for(console, request, NULL);
  if (given && token.len <= TOKEN_MAX)
    return ask(console, request, token);
  if (!given && live_open(console))
    return answer_for(console, request, NULL);
  return refuse(request, given ? "INVALID_TOKEN" : "MISSING_TOKEN",
                given ? MU_WORDS("the token is not valid", "令牌无效") : MU_WORDS("log in first", "请先登录"));
}
