/* SPDX-License-Identifier: ISC */
/* Statements: values in, rows out. Times are text in the file and MU_VALUE_TIME outside of it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlite.h"

struct statement {
  sqlite3_stmt *handle;
  int prepared_anew; /* how often, when `times` was filled in */
  int columns;       /* -1: not yet */
  struct mu_value *row;
  bool *times;
};

int sqlite_prepare(void *context, struct mu_str sql, void **out, struct mu_store_fault *fault)
{
  struct link *link = context;
  struct statement *statement = calloc(1, sizeof *statement);
  if (!statement)
    return mu_store_fail(fault, MU_EIO, "out of memory");
  statement->columns = -1;
  const char *rest = NULL;
  int code = sql.len > INT32_MAX ? SQLITE_TOOBIG
                                 : sqlite3_prepare_v3(link->db, sql.at, (int)sql.len, SQLITE_PREPARE_PERSISTENT,
                                                      &statement->handle, &rest);
  int error = 0;
  if (code != SQLITE_OK)
    error = link_fail(link, code, fault);
  else if (!statement->handle)
    error = mu_store_fail(fault, MU_EINVAL, "the statement is empty");
  else if (!link->writer && !sqlite3_stmt_readonly(statement->handle))
    error = mu_store_fail(fault, MU_EINVAL, "a read must not change anything");
  for (; !error && rest && rest < sql.at + sql.len; rest++)
    if (!strchr(" \t\r\n;", *rest))
      error = mu_store_fail(fault, MU_EINVAL, "more than one statement");
  if (error) {
    sqlite_release(link, statement);
    return error;
  }
  *out = statement;
  return 0;
}

void sqlite_release(void *link, void *context)
{
  (void)link;
  struct statement *statement = context;
  sqlite3_finalize(statement->handle);
  free(statement->row);
  free(statement->times);
  free(statement);
}

/* ---- values in ------------------------------------------------------------------------------- */

static int bind(sqlite3_stmt *handle, int at, const struct mu_value *value)
{
  char time[TIME_SIZE];
  switch (value->type) {
  case MU_VALUE_INTEGER:
    return sqlite3_bind_int64(handle, at, value->integer);
  case MU_VALUE_REAL:
    return sqlite3_bind_double(handle, at, value->real);
  case MU_VALUE_TEXT:
    return sqlite3_bind_text64(handle, at, value->text.len ? value->text.at : "", value->text.len, SQLITE_STATIC,
                               SQLITE_UTF8);
  case MU_VALUE_TIME:
    time_write(value->integer, time);
    return sqlite3_bind_text(handle, at, time, TIME_SIZE - 1, SQLITE_TRANSIENT);
  case MU_VALUE_NULL:
    break;
  }
  return sqlite3_bind_null(handle, at);
}

/* ---- rows out -------------------------------------------------------------------------------- */

/*
 * A column that was declared so is a time. An expression (MAX(created_at)) has no declaration: it is one when its name ends in "_at",
 * which the statement's text says and no data can.
 */
static bool is_time(sqlite3_stmt *handle, int column)
{
  const char *type = sqlite3_column_decltype(handle, column);
  if (type)
    return strncasecmp(type, "DATETIME", 8) == 0 || strncasecmp(type, "TIMESTAMP", 9) == 0;
  const char *name = sqlite3_column_name(handle, column);
  size_t len = name ? strlen(name) : 0;
  return len > 3 && strcmp(name + len - 3, "_at") == 0;
}

/* After the first step: the tables may have changed since the statement was prepared. */
static bool know_columns(struct statement *statement)
{
  int anew = sqlite3_stmt_status(statement->handle, SQLITE_STMTSTATUS_REPREPARE, 0);
  int columns = sqlite3_column_count(statement->handle);
  if (statement->columns == columns && statement->prepared_anew == anew)
    return true;
  free(statement->row);
  free(statement->times);
  statement->columns = -1;
  statement->row = calloc((size_t)columns + 1, sizeof *statement->row);
  statement->times = calloc((size_t)columns + 1, sizeof *statement->times);
  if (!statement->row || !statement->times)
    return false;
  for (int i = 0; i < columns; i++)
    statement->times[i] = is_time(statement->handle, i);
  statement->columns = columns;
  statement->prepared_anew = anew;
  return true;
}

static struct mu_value value_at(sqlite3_stmt *handle, int column, bool time)
{
  struct mu_value value = {.type = MU_VALUE_NULL};
  switch (sqlite3_column_type(handle, column)) {
  case SQLITE_INTEGER:
    value.type = time ? MU_VALUE_TIME : MU_VALUE_INTEGER; /* other programs keep times as milliseconds */
    value.integer = sqlite3_column_int64(handle, column);
    return value;
  case SQLITE_FLOAT:
    value.type = MU_VALUE_REAL;
    value.real = sqlite3_column_double(handle, column);
    return value;
  case SQLITE_NULL:
    return value;
  default:
    break;
  }
  value.type = MU_VALUE_TEXT;
  value.text.at = sqlite3_column_blob(handle, column); /* of a text: its bytes as they are */
  value.text.len = (size_t)sqlite3_column_bytes(handle, column);
  if (time && time_read(value.text, &value.integer)) {
    value.type = MU_VALUE_TIME;
    value.text = (struct mu_str){0};
  }
  return value;
}

static int take_rows(struct statement *statement, mu_store_rows *rows, int *code)
{
  if (!know_columns(statement))
    return MU_ENOMEM;
  if (statement->columns == 0)
    return 0;
  int error = mu_store_rows_begin(rows, (size_t)statement->columns);
  for (; !error && *code == SQLITE_ROW; *code = sqlite3_step(statement->handle)) {
    for (int i = 0; i < statement->columns; i++)
      statement->row[i] = value_at(statement->handle, i, statement->times[i]);
    error = mu_store_row(rows, statement->row);
    if (error)
      break;
  }
  return error;
}

/* ---- all ------------------------------------------------------------------------------------- */

int sqlite_run(void *context, void *prepared, const struct mu_store_run *run, int64_t *changed,
               struct mu_store_fault *fault)
{
  struct link *link = context;
  struct statement *statement = prepared;
  sqlite3_stmt *handle = statement->handle;
  int wanted = sqlite3_bind_parameter_count(handle);
  if (run->count != (size_t)wanted)
    return mu_store_fail(fault, MU_EINVAL, "the statement has %d places, and got %zu values", wanted, run->count);
  int code = SQLITE_OK, error = 0;
  for (int i = 0; i < wanted && code == SQLITE_OK; i++)
    code = bind(handle, i + 1, &run->values[i]);
  if (code == SQLITE_OK) {
    int64_t before = sqlite3_total_changes64(link->db);
    link->until_ns = run->until_ns;
    if (!link->transaction)
      atomic_store(&link->interrupted, false);
    code = sqlite3_step(handle);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
      error = take_rows(statement, run->rows, &code);
    link->until_ns = 0;
    /* SQLite's count is that of the last statement that changed something: perhaps not this one. */
    *changed = sqlite3_total_changes64(link->db) != before ? sqlite3_changes64(link->db) : 0;
  }
  if (error == MU_ELIMIT)
    mu_store_fail(fault, error, "the result is larger than allowed");
  else if (error)
    mu_store_fail(fault, error, "%s", mu_strerror(error));
  else if (code != SQLITE_DONE)
    error = link_fail(link, code, fault);
  sqlite3_reset(handle);
  sqlite3_clear_bindings(handle);
  /* A transaction may end when the statement is reset, too. */
  if (error && link->transaction && sqlite3_get_autocommit(link->db)) {
    fault->undone = true;
    link->transaction = false;
  }
  return error;
}
