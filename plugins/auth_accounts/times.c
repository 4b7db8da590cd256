/* SPDX-License-Identifier: ISC */
/* Times as browsers' forms, scripts and other servers write them. */
#include <math.h>
#include <string.h>

#include "accounts.h"

enum { LONGEST = 40, DATE_LEN = 10 };
#define DAY_MS INT64_C(86400000)
#define LAST_S 253402300799.0 /* the end of the year 9999 */

bool time_of_text(struct mu_str text, bool end, int64_t *unix_ms)
{
  char padded[LONGEST + 16];
  if (text.len < DATE_LEN || text.len > LONGEST)
    return false;
  memcpy(padded, text.at, text.len);
  size_t len = text.len;
  bool date = len == DATE_LEN;
  if (date) {
    memcpy(padded + len, "T00:00:00Z", 10);
    len += 10;
  } else if (padded[len - 1] != 'Z' && padded[len - 1] != 'z' && !memchr(padded + DATE_LEN, '+', len - DATE_LEN) &&
             !memchr(padded + DATE_LEN, '-', len - DATE_LEN)) {
    /* As <input type="datetime-local"> gives it, perhaps without seconds. */
    bool seconds = len >= 19;
    memcpy(padded + len, seconds ? "Z" : ":00Z", seconds ? 1 : 4);
    len += seconds ? 1 : 4;
  }
  if (!mu_iso_parse((struct mu_str){padded, len}, unix_ms))
    return false;
  if (date && end)
    *unix_ms += DAY_MS - 1;
  return *unix_ms >= 0 && (double)*unix_ms <= LAST_S * 1000 + 999;
}

bool time_of_json(struct json_object *value, int64_t *unix_ms)
{
  if (json_object_is_type(value, json_type_string))
    return time_of_text((struct mu_str){json_object_get_string(value), (size_t)json_object_get_string_len(value)},
                        false, unix_ms);
  if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
    return false;
  double seconds = json_object_get_double(value);
  if (!(seconds >= 0 && seconds <= LAST_S))
    return false;
  *unix_ms = (int64_t)llround(seconds * 1000);
  return true;
}
