/* SPDX-License-Identifier: ISC */
/* DATETIME(3) as text, UTC: sorts and compares as the times do. */
#include <stdio.h>
#include <string.h>

#include "sqlite.h"

#define DAY_MS INT64_C(86400000)
#define FIRST_MS INT64_C(-62167219200000) /* 0000-01-01 */
#define LAST_MS INT64_C(253402300799999)  /* 9999-12-31 23:59:59.999 */

/* Days since 1970-01-01, and back; the calendar's year begins in March, so that the leap day is its last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t of_era = year - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *year, unsigned *month, unsigned *day)
{
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t of_era = days - era * 146097;
  int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
  int64_t shifted = (5 * of_year + 2) / 153;
  *day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
  *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
  *year = (int)(years + era * 400 + (*month <= 2));
}

void time_write(int64_t unix_ms, char out[TIME_SIZE])
{
  unix_ms = unix_ms < FIRST_MS ? FIRST_MS : unix_ms > LAST_MS ? LAST_MS : unix_ms;
  int64_t days = unix_ms / DAY_MS - (unix_ms % DAY_MS < 0);
  unsigned ms = (unsigned)(unix_ms - days * DAY_MS), month, day;
  int year;
  date_of(days, &year, &month, &day);
  snprintf(out, TIME_SIZE, "%04u-%02u-%02u %02u:%02u:%02u.%03u", (unsigned)year % 10000, month % 100, day % 100,
           ms / 3600000 % 100, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}

static bool digits(const char *at, unsigned count, unsigned *number)
{
  *number = 0;
  for (; count > 0; count--, at++) {
    if (*at < '0' || *at > '9')
      return false;
    *number = *number * 10 + (unsigned)(*at - '0');
  }
  return true;
}

bool time_read(struct mu_str text, int64_t *unix_ms)
{
  static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  unsigned year, month, day, hour, minute, second, ms = 0;
  const char *at = text.at;
  if (text.len > 0 && at[text.len - 1] == 'Z')
    text.len--;
  if (text.len < 19 || !digits(at, 4, &year) || at[4] != '-' || !digits(at + 5, 2, &month) || at[7] != '-' ||
      !digits(at + 8, 2, &day) || (at[10] != ' ' && at[10] != 'T') || !digits(at + 11, 2, &hour) || at[13] != ':' ||
      !digits(at + 14, 2, &minute) || at[16] != ':' || !digits(at + 17, 2, &second))
    return false;
  if (text.len > 19) {
    unsigned scale = 100, digit;
    if (at[19] != '.' || text.len == 20 || text.len > 29)
      return false;
    for (size_t i = 20; i < text.len; i++, scale /= 10) {
      if (!digits(at + i, 1, &digit))
        return false;
      ms += digit * scale;
    }
  }
  if (month < 1 || month > 12 || day < 1 || day > days[month - 1] || hour > 23 || minute > 59 || second > 59 ||
      (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400))))
    return false;
  *unix_ms = days_of(year, month, day) * DAY_MS + hour * INT64_C(3600000) + minute * INT64_C(60000) +
             second * INT64_C(1000) + ms;
  return true;
}
