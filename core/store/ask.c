/* SPDX-License-Identifier: ISC */
/* What was asked: copied into one allocation, so that it can wait and travel to a worker. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* ---- lists ----------------------------------------------------------------------------------- */

void mui_asks_init(struct mui_asks *asks)
{
  asks->first = NULL;
  asks->last = &asks->first;
}

void mui_asks_add(struct mui_asks *asks, struct mui_ask *ask)
{
  ask->next = NULL;
  *asks->last = ask;
  asks->last = &ask->next;
}

struct mui_ask *mui_asks_pop(struct mui_asks *asks)
{
  struct mui_ask *ask = asks->first;
  if (ask) {
    asks->first = ask->next;
    if (!asks->first)
      asks->last = &asks->first;
  }
  return ask;
}

void mui_asks_put_back(struct mui_asks *asks, struct mui_asks *more)
{
  if (!more->first)
    return;
  *more->last = asks->first;
  if (!asks->first)
    asks->last = more->last;
  asks->first = more->first;
  mui_asks_init(more);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static const char *text_of(const struct mu_sql *sql, enum mu_dialect dialect)
{
  const char *own = dialect == MU_DIALECT_SQLITE ? sql->sqlite : sql->mariadb;
  return own ? own : sql->text;
}

/* Everything of one size first, so that all is aligned; then the texts. */
struct plan {
  size_t statements, values, text, steps;
};

static bool plan_text(struct plan *plan, size_t len)
{
  return !__builtin_add_overflow(plan->text, len, &plan->text);
}

static bool plan_statement(struct plan *plan, const struct mu_statement *statement, enum mu_dialect dialect)
{
  const char *text = text_of(&statement->sql, dialect);
  if (!text || (statement->count && !statement->values))
    return false;
  plan->statements++;
  plan->values += statement->count;
  if (!plan_text(plan, strlen(text)))
    return false;
  for (size_t i = 0; i < statement->count; i++) {
    const struct mu_value *value = &statement->values[i];
    if (value->type == MU_VALUE_TEXT && ((value->text.len && !value->text.at) || !plan_text(plan, value->text.len)))
      return false;
  }
  return true;
}

struct room {
  struct mu_value *values;
  char *text;
};

static struct mu_str put(struct room *room, const char *text, size_t len)
{
  struct mu_str copy = {room->text, len};
  if (len)
    memcpy(room->text, text, len);
  room->text += len;
  return copy;
}

static struct mui_ask *make(enum mui_ask_kind kind, const struct plan *plan, struct room *room)
{
  size_t fixed, bytes;
  if (__builtin_mul_overflow(plan->values, sizeof(struct mu_value), &fixed) ||
      __builtin_add_overflow(fixed,
                             plan->statements * (sizeof(struct mui_sql) + sizeof(int64_t)) +
                                 plan->steps * sizeof(struct mui_step) + sizeof(struct mui_ask),
                             &fixed) ||
      __builtin_add_overflow(fixed, plan->text, &bytes))
    return NULL;
  struct mui_ask *ask = malloc(bytes);
  if (!ask)
    return NULL;
  *ask = (struct mui_ask){.kind = kind, .bytes = bytes};
  ask->statements = (struct mui_sql *)(ask + 1);
  ask->steps = (struct mui_step *)(ask->statements + plan->statements);
  room->values = (struct mu_value *)(ask->steps + plan->steps);
  ask->changed = (int64_t *)(room->values + plan->values);
  memset(ask->changed, 0, plan->statements * sizeof *ask->changed);
  room->text = (char *)(ask->changed + plan->statements);
  ask->changed_count = plan->statements;
  return ask;
}

static void copy_statement(struct mui_ask *ask, const struct mu_statement *statement, enum mu_dialect dialect,
                           struct room *room)
{
  struct mui_sql *sql = &ask->statements[ask->count++];
  const char *text = text_of(&statement->sql, dialect);
  sql->text = put(room, text, strlen(text));
  sql->values = room->values;
  sql->count = statement->count;
  sql->expect = statement->expect;
  for (size_t i = 0; i < statement->count; i++) {
    struct mu_value *value = room->values++;
    *value = statement->values[i];
    if (value->type == MU_VALUE_TEXT)
      value->text = put(room, value->text.at, value->text.len);
    else
      value->text = (struct mu_str){0};
  }
}

int mui_ask_new(enum mui_ask_kind kind, enum mu_dialect dialect, const struct mu_statement *statements, size_t count,
                struct mui_ask **out)
{
  if (!statements || count == 0)
    return MU_EINVAL;
  struct plan plan = {0};
  for (size_t i = 0; i < count; i++)
    if (!plan_statement(&plan, &statements[i], dialect))
      return MU_EINVAL;
  struct room room;
  struct mui_ask *ask = make(kind, &plan, &room);
  if (!ask)
    return MU_ENOMEM;
  for (size_t i = 0; i < count; i++)
    copy_statement(ask, &statements[i], dialect, &room);
  *out = ask;
  return 0;
}

int mui_ask_migration(enum mu_dialect dialect, const char *owner, const struct mu_migration *migrations, size_t count,
                      struct mui_ask **out)
{
  if (!owner || !*owner || strlen(owner) > 64 || !migrations || count == 0)
    return MU_EINVAL;
  struct plan plan = {.steps = count, .text = strlen(owner) + 1};
  for (size_t i = 0; i < count; i++) {
    if (migrations[i].version <= (i ? migrations[i - 1].version : 0))
      return MU_EINVAL;
    plan.text += strlen(migrations[i].what ? migrations[i].what : "") + 1;
    for (size_t n = 0; n < migrations[i].count; n++)
      if (!plan_statement(&plan, &(struct mu_statement){.sql = migrations[i].statements[n]}, dialect))
        return MU_EINVAL;
  }
  struct room room;
  struct mui_ask *ask = make(MUI_MIGRATE, &plan, &room);
  if (!ask)
    return MU_ENOMEM;
  ask->owner = put(&room, owner, strlen(owner) + 1).at;
  for (size_t i = 0; i < count; i++) {
    const char *what = migrations[i].what ? migrations[i].what : "";
    ask->steps[ask->step_count++] = (struct mui_step){migrations[i].version, put(&room, what, strlen(what) + 1).at,
                                                      ask->count, migrations[i].count};
    for (size_t n = 0; n < migrations[i].count; n++)
      copy_statement(ask, &(struct mu_statement){.sql = migrations[i].statements[n], .expect = MU_ANY_ROWS}, dialect,
                     &room);
  }
  *out = ask;
  return 0;
}

void mui_ask_free(struct mui_ask *ask)
{
  if (!ask)
    return;
  mui_rows_clear(&ask->rows);
  free(ask->reason);
  free(ask->key);
  free(ask);
}

static char *copy_or_null(const char *text)
{
  return text && *text ? strdup(text) : NULL;
}

void mui_ask_end(struct mui_ask *ask, int error, size_t failed, const struct mu_store_fault *fault)
{
  ask->ended = true;
  ask->error = error;
  ask->failed = failed;
  if (!error)
    return;
  mui_rows_clear(&ask->rows);
  free(ask->reason);
  free(ask->key);
  ask->reason = fault ? copy_or_null(fault->reason) : NULL;
  ask->key = fault ? copy_or_null(fault->key) : NULL;
}
