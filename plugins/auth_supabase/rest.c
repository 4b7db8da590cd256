/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "breaker.h"
#include "key.h"
#include "rest.h"

struct question {
  struct question *next, **pprev;
  struct rest *rest;
  rest_done done;
  void *context;
  bool probe;
  char table[64];
};

struct rest {
  mu_instance *in;
  struct rest_config config;
  mu_fetcher *fetcher;
  char *prefix; /* "https://…/rest/v1/" */
  struct breaker breaker;
  struct question *questions;
  int64_t wait_till_ms; /* Retry-After of the other side */
  mu_counter *asked, *failed, *refused, *opened, *misconfigured, *mistyped;
};

enum { RETRY_S = 5 }; /* when nothing better is known */

static int64_t now_ms(void)
{
  return mu_mono_ns() / 1000000;
}

void rest_encode(struct mu_buf *out, struct mu_str text)
{
  static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (size_t i = 0; i < text.len; i++)
    if (text.at[i] && strchr(kept, text.at[i]))
      mu_buf_add(out, &text.at[i], 1);
    else
      mu_buf_printf(out, "%%%02X", (unsigned char)text.at[i]);
}

struct rest *rest_new(mu_instance *in, const struct rest_config *config)
{
  struct rest *rest = calloc(1, sizeof *rest);
  if (!rest)
    return NULL;
  rest->in = in;
  rest->config = *config;
  rest->asked = mu_counter_get(in, "requests");
  rest->failed = mu_counter_get(in, "requests_failed");
  rest->refused = mu_counter_get(in, "requests_not_sent");
  rest->opened = mu_counter_get(in, "breaker_opened");
  rest->misconfigured = mu_counter_get(in, "requests_misconfigured");
  rest->mistyped = mu_counter_get(in, "requests_mistyped");
  size_t length = strlen(config->url);
  while (length > 0 && config->url[length - 1] == '/')
    length--;
  if (asprintf(&rest->prefix, "%.*s/rest/v1/", (int)length, config->url) >= 0)
    return rest;
  free(rest);
  return NULL;
}

int rest_start(struct rest *rest)
{
  MU_AUTO_FREE char *bearer = NULL;
  const char *key = rest->config.key, *ca_file = rest->config.ca_file;
  if (asprintf(&bearer, "Bearer %s", key) < 0) {
    bearer = NULL;
    return MU_ENOMEM;
  }
  /* The newer keys are no JWT: in Authorization they would be refused as a broken one. */
  bool legacy = service_key_kind(key) == SERVICE_KEY_LEGACY;
  const struct mu_header headers[] = {{"apikey", key}, {"Accept", "application/json"}, {"Authorization", bearer}};
  rest->fetcher =
      mu_fetcher_new(rest->in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options),
                                                            .headers = headers,
                                                            .header_count = legacy ? 3 : 2,
                                                            .tls_ca_file = ca_file && *ca_file ? ca_file : NULL,
                                                            .at_once = rest->config.at_once});
  mu_secret_wipe(bearer, strlen(bearer));
  return rest->fetcher ? 0 : MU_ECONF;
}

static void question_end(struct question *question)
{
  *question->pprev = question->next;
  if (question->next)
    question->next->pprev = question->pprev;
  free(question);
}

void rest_stop(struct rest *rest)
{
  if (!rest)
    return;
  mu_fetcher_free(rest->fetcher);
  rest->fetcher = NULL;
  while (rest->questions)
    question_end(rest->questions); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

void rest_free(struct rest *rest)
{
  if (!rest)
    return;
  while (rest->questions)
    question_end(rest->questions); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  free(rest->prefix);
  free(rest);
}

unsigned rest_retry_s(const struct rest *rest)
{
  int64_t now = now_ms();
  int64_t wait = breaker_wait_ms(&rest->breaker, now);
  if (rest->wait_till_ms - now > wait)
    wait = rest->wait_till_ms - now;
  unsigned seconds = (unsigned)((wait + 999) / 1000);
  return seconds ? seconds : rest->breaker.open_ms ? 1 : RETRY_S;
}

/* ---- what came back -------------------------------------------------------------------------- */

static bool rows_of(const struct mu_fetch_answer *answer, struct json_object **rows)
{
  if (strcmp(answer->type, "application/json") != 0 || mu_json_parse(answer->body.at, answer->body.len, rows, NULL))
    return false;
  if (!json_object_is_type(*rows, json_type_array))
    return false;
  for (size_t i = 0; i < json_object_array_length(*rows); i++)
    if (!json_object_is_type(json_object_array_get_idx(*rows, i), json_type_object))
      return false;
  return true;
}

/* PostgREST's or PostgreSQL's code of an error, "PGRST301" or "42501"; "" when there is none. Never text that could hold a key. */
static void error_code(const struct mu_fetch_answer *answer, struct json_object **error, char out[16])
{
  struct json_object *object = NULL, *code;
  out[0] = '\0';
  if (mu_json_parse(answer->body.at, answer->body.len, error, NULL) != 0)
    return;
  object = *error;
  if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, "code", &code) ||
      !json_object_is_type(code, json_type_string))
    return;
  const char *text = json_object_get_string(code);
  size_t length = strlen(text);
  if (length < 16 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == length)
    memcpy(out, text, length + 1);
}

static const char *advice(int status)
{
  return status == 401   ? "the service key is not accepted"
         : status == 403 ? "the service key may not read the table"
                         : "there is no such table there";
}

/* Sets *rows for REST_ROWS, and for any other answer that is JSON; fills `why` unless it is rows. */
static enum rest_outcome judge(struct rest *rest, const struct mu_fetch_answer *answer, struct json_object **rows,
                               char why[128])
{
  char code[16] = "";
  if (answer->error != 0) {
    snprintf(why, 128, "%s", answer->reason);
    return REST_UNAVAILABLE;
  }
  if (answer->status == 200) {
    if (rows_of(answer, rows))
      return REST_ROWS;
    snprintf(why, 128, "an answer that is no JSON array of rows");
    return REST_UNAVAILABLE;
  }
  error_code(answer, rows, code);
  snprintf(why, 128, "status %d%s%s", answer->status, *code ? ", code " : "", code);
  if (answer->retry_after_s && (answer->status == 429 || answer->status == 503))
    rest->wait_till_ms = now_ms() + 1000 * (int64_t)(answer->retry_after_s < 300 ? answer->retry_after_s : 300);
  if (answer->status == 400 && (strcmp(code, "22P02") == 0 || strcmp(code, "22003") == 0))
    return REST_MISTYPED;
  return answer->status == 401 || answer->status == 403 || answer->status == 404 ? REST_MISCONFIGURED
                                                                                 : REST_UNAVAILABLE;
}

/* An answer of any kind below 500 shows that the other side is there: only its absence opens the breaker. */
static bool is_absence(const struct mu_fetch_answer *answer, enum rest_outcome outcome)
{
  return answer->error != 0 || answer->status >= 500 || answer->status == 429 ||
         (answer->status == 200 && outcome != REST_ROWS);
}

static void book(struct rest *rest, const struct mu_fetch_answer *answer, enum rest_outcome outcome,
                 const struct question *question, const char *why)
{
  if (outcome == REST_MISCONFIGURED) {
    mu_count(rest->misconfigured, 1);
    mu_log_limited(rest->in, MU_LOG_ERROR, question->table, "Supabase refuses us the table \"%s\": %s (%s)",
                   question->table, advice(answer->status), why);
  } else if (outcome == REST_MISTYPED) {
    mu_count(rest->mistyped, 1);
    mu_log_limited(rest->in, MU_LOG_WARN, "mistyped", "a value that no row of \"%s\" can have was asked for: %s",
                   question->table, why);
  } else if (outcome == REST_UNAVAILABLE) {
    mu_count(rest->failed, 1);
    mu_log_limited(rest->in, MU_LOG_WARN, "unavailable", "no usable answer from Supabase: %s", why);
  }
  if (!is_absence(answer, outcome)) {
    if (breaker_worked(&rest->breaker))
      mu_log(rest->in, MU_LOG_INFO, "Supabase answers again");
  } else if (breaker_failed(&rest->breaker, question->probe, now_ms())) {
    mu_count(rest->opened, 1);
    mu_log(rest->in, MU_LOG_ERROR, "Supabase does not answer (%s): not asked for %u s", why,
           (unsigned)(rest->breaker.open_ms / 1000));
  }
}

static void on_answer(void *context, const struct mu_fetch_answer *answer)
{
  struct question *question = context;
  struct rest *rest = question->rest;
  rest_done done = question->done;
  void *done_context = question->context;
  MU_AUTO_JSON struct json_object *rows = NULL;
  char why[128] = "";
  enum rest_outcome outcome = judge(rest, answer, &rows, why);
  book(rest, answer, outcome, question, why);
  question_end(question);
  done(done_context, outcome, outcome == REST_ROWS || outcome == REST_MISTYPED ? rows : NULL,
       why); /* may free `rest` */
}

int rest_get(struct rest *rest, const char *query, rest_done done, void *context)
{
  if (!rest->fetcher)
    return MU_EUNAVAILABLE;
  enum breaker_leave leave = breaker_ask(&rest->breaker, now_ms());
  if (leave == BREAKER_NO) {
    mu_count(rest->refused, 1);
    return MU_EUNAVAILABLE;
  }
  int result = MU_ENOMEM;
  MU_AUTO_FREE char *url = NULL;
  struct question *question = calloc(1, sizeof *question);
  if (!question || asprintf(&url, "%s%s", rest->prefix, query) < 0) {
    url = NULL;
    goto fail;
  }
  *question = (struct question){
      .rest = rest, .done = done, .context = context, .probe = leave == BREAKER_PROBE, .next = rest->questions};
  snprintf(question->table, sizeof question->table, "%.*s", (int)strcspn(query, "?"), query);
  struct mu_fetch_request request = {.size = sizeof request, .url = url};
  result = mu_fetch(rest->fetcher, &request, on_answer, question, NULL);
  mu_secret_wipe(url, strlen(url));
  if (result != 0)
    goto fail;
  mu_count(rest->asked, 1);
  question->pprev = &rest->questions;
  if (rest->questions)
    rest->questions->pprev = &question->next;
  rest->questions = question;
  return 0;
fail:
  free(question);
  breaker_unsent(&rest->breaker, leave == BREAKER_PROBE);
  mu_count(rest->refused, 1);
  return result;
}
