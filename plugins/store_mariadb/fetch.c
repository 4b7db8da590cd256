/* SPDX-License-Identifier: ISC */
/* Rows as they come: never all at once in this library's memory. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link.h"

enum { ROOM = 256 };
#define GRACE_NS INT64_C(2000000000)

struct column {
  enum mu_value_type type;
  bool bits;    /* BIT(n): bytes, the highest first */
  bool decimal; /* digits, without a point */
  union {
    long long integer;
    double real;
    MYSQL_TIME time;
  } is;
  char *text;
  size_t room;
  unsigned long len;
  my_bool null, cut;
};

static int prepare_column(struct column *column, MYSQL_BIND *bind, const MYSQL_FIELD *field)
{
  *bind = (MYSQL_BIND){.length = &column->len, .is_null = &column->null, .error = &column->cut};
  switch (field->type) {
  case MYSQL_TYPE_TINY:
  case MYSQL_TYPE_SHORT:
  case MYSQL_TYPE_INT24:
  case MYSQL_TYPE_LONG:
  case MYSQL_TYPE_LONGLONG:
  case MYSQL_TYPE_YEAR:
    column->type = MU_VALUE_INTEGER;
    bind->buffer_type = MYSQL_TYPE_LONGLONG;
    bind->is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
    bind->buffer = &column->is.integer;
    return 0;
  case MYSQL_TYPE_FLOAT:
  case MYSQL_TYPE_DOUBLE:
    column->type = MU_VALUE_REAL;
    bind->buffer_type = MYSQL_TYPE_DOUBLE;
    bind->buffer = &column->is.real;
    return 0;
  case MYSQL_TYPE_DATE:
  case MYSQL_TYPE_NEWDATE:
  case MYSQL_TYPE_DATETIME:
  case MYSQL_TYPE_TIMESTAMP:
    column->type = MU_VALUE_TIME;
    bind->buffer_type = MYSQL_TYPE_DATETIME;
    bind->buffer = &column->is.time;
    return 0;
  case MYSQL_TYPE_DECIMAL:
  case MYSQL_TYPE_NEWDECIMAL:
    /* SUM() of integers is one without digits behind the point: an integer in the other dialect, so here too. */
    column->decimal = field->decimals == 0;
    column->type = column->decimal ? MU_VALUE_INTEGER : MU_VALUE_REAL;
    break;
  case MYSQL_TYPE_BIT:
    column->bits = true;
    column->type = MU_VALUE_INTEGER;
    break;
  default:
    column->type = MU_VALUE_TEXT;
    break;
  }
  column->room = ROOM;
  column->text = malloc(column->room);
  bind->buffer_type = MYSQL_TYPE_STRING;
  bind->buffer = column->text;
  bind->buffer_length = (unsigned long)column->room;
  return column->text ? 0 : MU_ENOMEM;
}

/* Days since 1970 of a date in the Gregorian calendar. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct mu_value time_value(const MYSQL_TIME *time)
{
  if (time->month == 0 || time->day == 0) /* 0000-00-00: what old servers wrote for nothing */
    return mu_value_null();
  int64_t seconds = days((int64_t)time->year, (int64_t)time->month, (int64_t)time->day) * 86400 + time->hour * 3600 +
                    time->minute * 60 + time->second;
  return mu_value_time(seconds * 1000 + (int64_t)(time->second_part / 1000));
}

static struct mu_value value_of(const struct column *column, const MYSQL_BIND *bind)
{
  if (column->null)
    return mu_value_null();
  if (column->bits) {
    uint64_t bits = 0;
    for (size_t i = 0; i < column->len && i < 8; i++)
      bits = bits << 8 | (uint8_t)column->text[i];
    return mu_value_int((int64_t)bits);
  }
  if (column->text && column->type != MU_VALUE_TEXT) {
    char digits[96];
    size_t len = column->len < sizeof digits - 1 ? column->len : sizeof digits - 1;
    memcpy(digits, column->text, len);
    digits[len] = '\0';
    /* 18 digits always go into an integer. */
    return column->decimal && len <= 19 ? mu_value_int(strtoll(digits, NULL, 10)) : mu_value_real(strtod(digits, NULL));
  }
  switch (column->type) {
  case MU_VALUE_INTEGER:
    return bind->is_unsigned && column->is.integer < 0 ? mu_value_real((double)(unsigned long long)column->is.integer)
                                                       : mu_value_int(column->is.integer);
  case MU_VALUE_REAL:
    return mu_value_real(column->is.real);
  case MU_VALUE_TIME:
    return time_value(&column->is.time);
  default:
    return mu_value_str((struct mu_str){column->text, column->len});
  }
}

/* A text that was longer than its room is read once more. The handle has a copy of `bind` with the old room: *moved. */
static int widen(MYSQL_STMT *handle, struct column *column, MYSQL_BIND *bind, unsigned i, bool *moved)
{
  if (!column->text || column->null || column->len <= column->room)
    return 0;
  char *wider = realloc(column->text, column->len);
  if (!wider)
    return MU_ENOMEM;
  *moved = true;
  column->text = wider;
  column->room = column->len;
  bind->buffer = wider;
  bind->buffer_length = (unsigned long)column->room;
  return mysql_stmt_fetch_column(handle, bind, i, 0) == 0 ? 0 : 1;
}

/* Ends a result in the midst: what is left must be read, or the link cannot be used. The server stops by itself when it takes too long. */
static void abandon(struct link *link, MYSQL_STMT *handle, const struct mu_store_run *run, struct mu_store_fault *fault)
{
  const int64_t until_ns = (run->until_ns != 0 ? run->until_ns : mu_mono_ns()) + GRACE_NS;
  int fetched;
  do
    fetched = mysql_stmt_fetch(handle);
  while ((fetched == 0 || fetched == MYSQL_DATA_TRUNCATED) && mu_mono_ns() < until_ns);
  if (fetched == MYSQL_NO_DATA || mysql_errno(link->mysql) == STATEMENT_TIME)
    return;
  fault->broken = true;
  link_interrupt(link);
}

int fetch_rows(struct link *link, MYSQL_STMT *handle, const struct mu_store_run *run, int64_t *rows,
               struct mu_store_fault *fault)
{
  MYSQL_RES *about = mysql_stmt_result_metadata(handle);
  unsigned count = mysql_stmt_field_count(handle);
  struct column *columns = calloc(count, sizeof *columns);
  MYSQL_BIND *binds = calloc(count, sizeof *binds);
  struct mu_value *values = calloc(count, sizeof *values);
  const char *wrong = about && columns && binds && values ? NULL : "out of memory";
  int result = wrong ? MU_ENOMEM : mu_store_rows_begin(run->rows, count);
  for (unsigned i = 0; i < count && result == 0; i++)
    result = prepare_column(&columns[i], &binds[i], mysql_fetch_field_direct(about, i));
  if (result == 0 && mysql_stmt_bind_result(handle, binds) != 0)
    result = 1;
  while (result == 0) {
    int fetched = mysql_stmt_fetch(handle);
    if (fetched == MYSQL_NO_DATA)
      break;
    if (fetched != 0 && fetched != MYSQL_DATA_TRUNCATED) {
      result = 1;
      break;
    }
    bool moved = false;
    for (unsigned i = 0; i < count && result == 0; i++) {
      result = widen(handle, &columns[i], &binds[i], i, &moved);
      values[i] = value_of(&columns[i], &binds[i]);
    }
    if (moved && mysql_stmt_bind_result(handle, binds) != 0 && result == 0)
      result = 1;
    if (result == 0)
      result = mu_store_row(run->rows, values);
    if (result == 0 && run->until_ns != 0 && mu_mono_ns() >= run->until_ns)
      result = mu_store_fail(fault, MU_EUNAVAILABLE, "too slow: rows are still coming");
    *rows += result == 0;
  }
  if (result < 0) {
    if (fault->reason[0] == '\0')
      mu_store_fail(fault, result, "%s", result == MU_ELIMIT ? "more rows than a result may have" : "out of memory");
    if (result == MU_ENOMEM)
      result = MU_EIO;
    abandon(link, handle, run, fault);
  }
  for (unsigned i = 0; columns && i < count; i++)
    free(columns[i].text);
  free(columns);
  free(binds);
  free(values);
  if (about)
    mysql_free_result(about);
  return result;
}
