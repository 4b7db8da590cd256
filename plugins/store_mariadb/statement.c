/* SPDX-License-Identifier: ISC */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "link.h"

static const int64_t first_ms = -62135596800000, last_ms = 253402300799999; /* years 1 to 9999 */

static bool begins(const char *sql, const char *word)
{
  size_t len = strlen(word);
  sql += strspn(sql, " \t\r\n(");
  return strncasecmp(sql, word, len) == 0 && strchr(" \t\r\n(", sql[len]);
}

int statement_prepare(void *self, struct mu_str sql, void **out, struct mu_store_fault *fault)
{
  struct link *link = self;
  struct statement *made = calloc(1, sizeof *made);
  int result = MU_EIO;
  if (!made)
    return mu_store_fail(fault, MU_EIO, "out of memory");
  made->link = link;
  made->sql = strndup(sql.at, sql.len); /* the library looks for a NUL where the length is 0 */
  made->handle = mysql_stmt_init(link->mysql);
  if (!made->sql || !made->handle) {
    mu_store_fail(fault, MU_EIO, "out of memory");
    goto fail;
  }
  if (mysql_stmt_prepare(made->handle, made->sql, (unsigned long)sql.len) != 0) {
    result = error_of_statement(made, fault);
    goto fail;
  }
  made->params = mysql_stmt_param_count(made->handle);
  made->binds = calloc(made->params + 1, sizeof *made->binds);
  made->times = calloc(made->params + 1, sizeof *made->times);
  if (!made->binds || !made->times) {
    mu_store_fail(fault, MU_EIO, "out of memory");
    goto fail;
  }
  bool replaces = begins(made->sql, "REPLACE");
  made->upserts = replaces || (begins(made->sql, "INSERT") && strcasestr(made->sql, "ON DUPLICATE KEY"));
  made->returns = replaces || begins(made->sql, "INSERT") || begins(made->sql, "DELETE");
  *out = made;
  return 0;
fail:
  if (made->handle)
    mysql_stmt_close(made->handle);
  free(made->binds);
  free(made->times);
  free(made->sql);
  free(made);
  return result;
}

void statement_release(void *self, void *statement)
{
  struct statement *old = statement;
  (void)self;
  mysql_stmt_close(old->handle);
  free(old->binds);
  free(old->times);
  free(old->sql);
  free(old);
}

static MYSQL_TIME time_of(int64_t ms)
{
  int64_t part = (ms % 1000 + 1000) % 1000;
  time_t seconds = (time_t)((ms - part) / 1000);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  return (MYSQL_TIME){.year = (unsigned)tm.tm_year + 1900,
                      .month = (unsigned)tm.tm_mon + 1,
                      .day = (unsigned)tm.tm_mday,
                      .hour = (unsigned)tm.tm_hour,
                      .minute = (unsigned)tm.tm_min,
                      .second = (unsigned)tm.tm_sec,
                      .second_part = (unsigned long)part * 1000,
                      .time_type = MYSQL_TIMESTAMP_DATETIME};
}

static int bind(struct statement *statement, const struct mu_store_run *run, struct mu_store_fault *fault)
{
  size_t bytes = 0;
  if (run->count != statement->params)
    return mu_store_fail(fault, MU_EINVAL, "%zu values for %zu places", run->count, statement->params);
  for (size_t i = 0; i < run->count; i++) {
    const struct mu_value *value = &run->values[i];
    MYSQL_BIND *place = &statement->binds[i];
    *place = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_NULL};
    switch (value->type) {
    case MU_VALUE_NULL:
      break;
    case MU_VALUE_INTEGER:
      place->buffer_type = MYSQL_TYPE_LONGLONG;
      place->buffer = (void *)&value->integer;
      break;
    case MU_VALUE_REAL:
      if (!isfinite(value->real))
        return mu_store_fail(fault, MU_EINVAL, "value %zu is no finite number", i + 1);
      place->buffer_type = MYSQL_TYPE_DOUBLE;
      place->buffer = (void *)&value->real;
      break;
    case MU_VALUE_TEXT:
      place->buffer_type = MYSQL_TYPE_STRING;
      place->buffer = value->text.len > 0 ? (void *)value->text.at : "";
      place->buffer_length = place->length_value = (unsigned long)value->text.len;
      bytes += value->text.len;
      break;
    case MU_VALUE_TIME:
      if (value->integer < first_ms || value->integer > last_ms)
        return mu_store_fail(fault, MU_EINVAL, "value %zu is no time of the years 1 to 9999", i + 1);
      statement->times[i] = time_of(value->integer);
      place->buffer_type = MYSQL_TYPE_DATETIME;
      place->buffer = &statement->times[i];
      break;
    default:
      return mu_store_fail(fault, MU_EINVAL, "value %zu is of no known type", i + 1);
    }
    if (place->buffer_type == MYSQL_TYPE_STRING)
      place->length = &place->length_value;
  }
  /* The server would hang up, and that again at each attempt. */
  if (bytes + run->count * 16 + 1024 > statement->link->packet_max)
    return mu_store_fail(fault, MU_EINVAL,
                         "%zu bytes of values are more than the server takes (max_allowed_packet = %llu)", bytes,
                         (unsigned long long)statement->link->packet_max);
  if (run->count > 0 && mysql_stmt_bind_param(statement->handle, statement->binds) != 0)
    return error_of_statement(statement, fault);
  return 0;
}

/* "Records: 3  Duplicates: 1  Warnings: 0" for an insert of several rows; nothing for one of one row. */
static int64_t changed_by(const struct statement *statement)
{
  int64_t count = (int64_t)mysql_stmt_affected_rows(statement->handle);
  if (!statement->upserts || count <= 0)
    return count > 0 ? count : 0;
  const char *info = mysql_info(statement->link->mysql);
  if (info && strncmp(info, "Records: ", 9) == 0)
    return strtoll(info + 9, NULL, 10);
  return 1;
}

int statement_run(void *self, void *statement, const struct mu_store_run *run, int64_t *changed,
                  struct mu_store_fault *fault)
{
  struct link *link = self;
  struct statement *asked = statement;
  *changed = 0;
  if (run->until_ns != 0 && mu_mono_ns() >= run->until_ns)
    return mu_store_fail(fault, MU_EUNAVAILABLE, "too slow");
  int result = bind(asked, run, fault);
  if (result == 0)
    result = link_settle(link, fault);
  if (result < 0)
    return result;
  if (mysql_stmt_execute(asked->handle) != 0)
    return error_of_statement(asked, fault);
  if (mysql_stmt_field_count(asked->handle) == 0) {
    *changed = changed_by(asked);
    return 0;
  }
  int64_t rows = 0;
  result = fetch_rows(link, asked->handle, run, &rows, fault);
  if (result > 0) /* the statement's own error */
    result = error_of_statement(asked, fault);
  mysql_stmt_free_result(asked->handle);
  if (result == 0 && asked->returns)
    *changed = rows;
  return result;
}
