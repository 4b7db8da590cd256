/* SPDX-License-Identifier: ISC */
/* Times as texts. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/rest.h"

static const int64_t day_ms = 86400000;

/* Days from 1970-01-01; proleptic Gregorian (the years before 1970, too). */
static int64_t days_from(int64_t year, int month, int day)
{
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t of_era = year - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void mu_iso_time(int64_t unix_ms, char out[25])
{
  /* The years 0000 to 9999, which is what four digits can say. */
  static const int64_t first = -62167219200000, last = 253402300799999;
  unix_ms = unix_ms < first ? first : unix_ms > last ? last : unix_ms;
  int64_t days = unix_ms / day_ms, rest = unix_ms % day_ms;
  if (rest < 0) {
    rest += day_ms;
    days--;
  }
  int64_t z = days + 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t of_era = z - era * 146097;
  int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * of_year + 2) / 153;
  unsigned day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
  unsigned month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
  unsigned year = (unsigned)(year_of_era + era * 400 + (month <= 2));
  unsigned ms = (unsigned)(rest % 1000), s = (unsigned)(rest / 1000);
  snprintf(out, 25, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month % 100, day % 100, s / 3600 % 100,
           s / 60 % 60, s % 60, ms % 1000);
}

/* Exactly `digits` digits, within bounds. */
static bool number(struct mu_str *text, unsigned digits, int min, int max, int *out)
{
  int value = 0;
  if (text->len < digits)
    return false;
  for (unsigned i = 0; i < digits; i++) {
    char c = text->at[i];
    if (c < '0' || c > '9')
      return false;
    value = value * 10 + (c - '0');
  }
  text->at += digits;
  text->len -= digits;
  *out = value;
  return value >= min && value <= max;
}

static bool skip(struct mu_str *text, const char *any)
{
  if (text->len == 0 || !strchr(any, *text->at) || *text->at == '\0')
    return false;
  text->at++;
  text->len--;
  return true;
}

/* ".5", ".328", ".328123": what is finer than milliseconds is cut off. */
static bool fraction(struct mu_str *text, int *ms)
{
  int digits = 0, value;
  while (text->len > 0 && *text->at >= '0' && *text->at <= '9') {
    number(text, 1, 0, 9, &value);
    if (digits++ < 3)
      *ms = *ms * 10 + value;
  }
  for (int i = digits; i < 3; i++)
    *ms *= 10;
  return digits > 0 && digits <= 9;
}

static bool zone(struct mu_str *text, int *minutes)
{
  *minutes = 0;
  if (skip(text, "Zz"))
    return true;
  int sign = text->len > 0 && *text->at == '-' ? -1 : 1, h, m = 0;
  if (!skip(text, "+-") || !number(text, 2, 0, 23, &h))
    return false;
  bool colon = skip(text, ":");
  if ((colon || text->len > 0) && !number(text, 2, 0, 59, &m))
    return false;
  *minutes = sign * (h * 60 + m);
  return true;
}

static int days_in(int year, int month)
{
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap);
}

bool mui_iso_parse(struct mu_str text, bool strict, int64_t *unix_ms)
{
  int year, month, day, h = 0, m = 0, s = 0, ms = 0, minutes = 0;
  if (!number(&text, 4, 0, 9999, &year) || !skip(&text, "-") || !number(&text, 2, 1, 12, &month) || !skip(&text, "-") ||
      !number(&text, 2, 1, 31, &day) || day > days_in(year, month))
    return false;
  if (text.len > 0) {
    if (!skip(&text, "Tt ") || !number(&text, 2, 0, 23, &h) || !skip(&text, ":") || !number(&text, 2, 0, 59, &m))
      return false;
    /* A leap second is the next one. */
    if (skip(&text, ":") && (!number(&text, 2, 0, 60, &s) || (skip(&text, ".,") && !fraction(&text, &ms))))
      return false;
    if (text.len > 0 ? !zone(&text, &minutes) : strict)
      return false;
  } else if (strict) {
    return false;
  }
  if (text.len > 0)
    return false;
  *unix_ms = days_from(year, month, day) * day_ms + (((int64_t)h * 60 + m - minutes) * 60 + s) * 1000 + ms;
  return true;
}

bool mu_iso_parse(struct mu_str text, int64_t *unix_ms)
{
  return mui_iso_parse(text, true, unix_ms);
}
