/* SPDX-License-Identifier: ISC */
/* Asking for the rows every now and then: slow, and right in the end whatever else gets lost. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "rest.h"
#include "watch_source.h"

enum {
  AT_ONCE = 3,         /* questions under way: the look-ups of keys want their turn, too */
  FIRST_LOOK_MS = 200, /* a moment for the others that come with it */
  SOON_MS = 50,
  CONFIRM_MS = 10000, /* where nothing polls regularly: until the answers in a row are complete */
};

/* Under way; found again by number, for the deletions know nothing of pointers. */
struct question {
  struct question *next, **pprev;
  struct poll *poll;
  uint64_t number;
};

struct poll {
  struct source source;
  struct deletions *deletions;
  struct rest *rest;
  mu_timer *regular, *soon, *look;
  struct question *questions;
  unsigned under_way;
  bool pumping, all_wanted, look_wanted, in_round, round_failed, failing, stopped;
  mu_counter *rounds, *failures, *shown;
};

/* ---- a question ------------------------------------------------------------------------------ */

static void forget(struct question *question)
{
  *question->pprev = question->next;
  if (question->next)
    question->next->pprev = question->pprev;
  free(question);
}

/* select=id,user_id&id=in.(…): texts in quotes, for commas and dots mean something there. */
static void write_query(const struct watch_config *config, const struct deletions_batch *batch, struct mu_buf *out)
{
  bool quoted = config->id_type == DELETIONS_TEXT;
  rest_encode(out, mu_str(config->table));
  mu_buf_adds(out, "?select=");
  rest_encode(out, mu_str(config->id_column));
  if (config->owner_column[0]) {
    mu_buf_adds(out, ",");
    rest_encode(out, mu_str(config->owner_column));
  }
  mu_buf_adds(out, "&");
  rest_encode(out, mu_str(config->id_column));
  mu_buf_adds(out, "=in.(");
  for (size_t i = 0; i < batch->count; i++) {
    mu_buf_adds(out, i ? "," : "");
    mu_buf_adds(out, quoted ? "%22" : "");
    rest_encode(out, mu_str(batch->ids[i]));
    mu_buf_adds(out, quoted ? "%22" : "");
  }
  mu_buf_adds(out, ")");
}

/* A text or a whole number; anything else is empty. */
static struct mu_str scalar(struct json_object *row, const char *name)
{
  struct json_object *value = NULL;
  if (!json_object_object_get_ex(row, name, &value))
    return (struct mu_str){"", 0};
  bool good = json_object_is_type(value, json_type_string) || json_object_is_type(value, json_type_int);
  return good ? mu_str(json_object_get_string(value)) : (struct mu_str){"", 0};
}

/* NULL: good, the answer was used. */
static const char *take_rows(struct poll *poll, uint64_t number, struct json_object *rows)
{
  const struct watch_config *config = poll->source.config;
  struct deletions_row list[DELETIONS_BATCH];
  size_t count = json_object_array_length(rows);
  if (count > DELETIONS_BATCH)
    return "the answer has more rows than were asked for";
  for (size_t i = 0; i < count; i++) {
    struct json_object *row = json_object_array_get_idx(rows, i), *owner = NULL;
    list[i].id = scalar(row, config->id_column);
    list[i].owner = scalar(row, config->owner_column);
    if (list[i].id.len == 0 || !deletions_id_valid((enum deletions_id)config->id_type, list[i].id))
      return "a row of the answer has no id of this type";
    if (config->owner_column[0] && !json_object_object_get_ex(row, config->owner_column, &owner))
      return "a row of the answer has no owner";
  }
  size_t shown = deletions_shown(poll->deletions);
  int error = deletions_answer(poll->deletions, number, list, count);
  mu_count(poll->shown, deletions_shown(poll->deletions) - shown);
  return error == 0 ? NULL : "the answer has too many rows";
}

static void failed(struct poll *poll, uint64_t number, const char *why, bool told)
{
  mu_count(poll->failures, 1);
  if (!poll->failing && !told)
    mu_log(poll->source.in, MU_LOG_WARN,
           "rows of \"%s\" cannot be asked for, so deleted machines are not noticed by it: %s",
           poll->source.config->table, why);
  poll->failing = poll->round_failed = true;
  deletions_failed(poll->deletions, number);
}

static void pump(struct poll *poll);

static void on_rows(void *context, enum rest_outcome outcome, struct json_object *rows, const char *why)
{
  struct question *question = context;
  struct poll *poll = question->poll;
  uint64_t number = question->number;
  forget(question);
  if (poll->stopped)
    return;
  poll->under_way--;
  if (outcome == REST_ROWS)
    why = take_rows(poll, number, rows);
  if (outcome != REST_ROWS || why)
    failed(poll, number, why, outcome == REST_MISCONFIGURED);
  pump(poll);
}

static int ask(struct poll *poll, const struct deletions_batch *batch)
{
  struct mu_buf query = MU_BUF_INIT;
  write_query(poll->source.config, batch, &query);
  struct question *question = calloc(1, sizeof *question);
  if (!question || query.failed) {
    free(question);
    mu_buf_free(&query);
    return MU_ENOMEM;
  }
  *question =
      (struct question){.poll = poll, .number = batch->number, .next = poll->questions, .pprev = &poll->questions};
  if (question->next)
    question->next->pprev = &question->next;
  poll->questions = question;
  int error = rest_get(poll->rest, query.at, on_rows, question);
  mu_buf_free(&query);
  if (error)
    forget(question);
  else
    poll->under_way++;
  return error;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Keeps some questions under way until the round is over, then begins what was wanted meanwhile. */
static void pump(struct poll *poll)
{
  struct deletions_batch batch;
  if (poll->pumping) /* from within: the outer one goes on */
    return;
  poll->pumping = true;
  for (bool again = true; again && !poll->stopped;) {
    while (poll->under_way < AT_ONCE && deletions_next(poll->deletions, &batch)) {
      int error = ask(poll, &batch);
      if (error)
        failed(poll, batch.number, error == MU_EUNAVAILABLE ? "the server is left alone for now" : mu_strerror(error),
               false);
    }
    again = false;
    if (deletions_running(poll->deletions))
      break;
    if (poll->in_round && poll->source.config->poll_every == 0 && !mu_timer_active(poll->regular) &&
        (poll->round_failed || deletions_doubtful(poll->deletions)))
      mu_timer_start(poll->regular, CONFIRM_MS, 0);
    if (poll->in_round && poll->failing && !poll->round_failed) {
      poll->failing = false;
      mu_log(poll->source.in, MU_LOG_INFO, "rows of \"%s\" can be asked for again", poll->source.config->table);
    }
    if (poll->all_wanted) {
      poll->all_wanted = poll->look_wanted = false;
      again = deletions_begin(poll->deletions, true, mu_now_ms());
      mu_count(poll->rounds, again);
    } else if (poll->look_wanted) {
      poll->look_wanted = false;
      again = deletions_begin(poll->deletions, false, mu_now_ms());
    }
    poll->in_round = again;
    poll->round_failed = false;
  }
  poll->pumping = false;
}

static void on_regular(void *context)
{
  struct poll *poll = context;
  unsigned seconds = (unsigned)poll->source.config->poll_every;
  if (seconds > 0)
    mu_timer_start(poll->regular, source_delay_ms(&seconds, 1, 0), 0);
  if (seconds == 0 ||
      !deletions_running(poll->deletions)) /* a slow one is not overtaken, unless no other one follows */
    poll->all_wanted = true;
  pump(poll);
}

static void on_soon(void *context)
{
  struct poll *poll = context;
  poll->all_wanted = true; /* also after a round that is running: its answers may be older than the gap's end */
  pump(poll);
}

static void on_look(void *context)
{
  struct poll *poll = context;
  poll->look_wanted = true;
  pump(poll);
}

void source_poll_all(struct source *source)
{
  struct poll *poll = (struct poll *)source;
  if (!poll->stopped && !mu_timer_active(poll->soon))
    mu_timer_start(poll->soon, SOON_MS, 0);
}

void source_poll_new_ones(struct source *source)
{
  struct poll *poll = (struct poll *)source;
  if (!poll->stopped && !mu_timer_active(poll->look))
    mu_timer_start(poll->look, FIRST_LOOK_MS, 0);
}

/* ---- from start to end ----------------------------------------------------------------------- */

static void poll_start(struct source *source)
{
  struct poll *poll = (struct poll *)source;
  unsigned seconds = (unsigned)source->config->poll_every;
  if (seconds > 0)
    mu_timer_start(poll->regular, source_delay_ms(&seconds, 1, 0), 0);
}

static void poll_stop(struct source *source)
{
  struct poll *poll = (struct poll *)source;
  poll->stopped = true;
  mu_timer_free(poll->regular);
  mu_timer_free(poll->soon);
  mu_timer_free(poll->look);
  poll->regular = poll->soon = poll->look = NULL;
}

/* rest_stop() has ended what was under way without telling. */
static void poll_free(struct source *source)
{
  struct poll *poll = (struct poll *)source;
  while (poll->questions)
    forget(poll->questions); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  free(poll);
}

struct source *source_poll_new(const struct source *base, struct deletions *deletions, struct rest *rest)
{
  static const struct source_ops ops = {.start = poll_start, .stop = poll_stop, .free = poll_free};
  struct poll *poll = calloc(1, sizeof *poll);
  if (!poll)
    return NULL;
  poll->source = *base;
  poll->source.ops = &ops;
  poll->deletions = deletions;
  poll->rest = rest;
  poll->regular = mu_timer_new(base->in, on_regular, poll);
  poll->soon = mu_timer_new(base->in, on_soon, poll);
  poll->look = mu_timer_new(base->in, on_look, poll);
  poll->rounds = mu_counter_get(base->in, "machine_polls");
  poll->failures = mu_counter_get(base->in, "machine_polls_failed");
  poll->shown = mu_counter_get(base->in, "machines_seen");
  if (!poll->regular || !poll->soon || !poll->look) {
    poll_stop(&poll->source);
    poll_free(&poll->source);
    return NULL;
  }
  return &poll->source;
}
