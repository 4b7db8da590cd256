/* SPDX-License-Identifier: ISC */
/* Whether a value is a hit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

enum alert_operator alert_operator_of(struct mu_str text)
{
  static const char *const signs[] = {">", "<", ">=", "<=", "==", "!="};
  for (size_t i = 0; i < MU_COUNT(signs); i++)
    if (mu_str_equal(text, mu_str(signs[i])))
      return (enum alert_operator)i;
  return ALERT_NO_OPERATOR;
}

bool alert_is_numeric(enum alert_operator operator_)
{
  return operator_ < ALERT_EQUAL;
}

bool alert_number(struct mu_str text, double *number)
{
  char copy[ALERT_TEXT_MAX * 4 + 1], *end;
  if (text.len == 0 || text.len >= sizeof copy)
    return false;
  for (size_t i = 0; i < text.len; i++) /* strtod() knows more than numbers */
    if (!text.at[i] || !strchr("+-.0123456789eE", text.at[i]))
      return false;
  memcpy(copy, text.at, text.len);
  copy[text.len] = '\0';
  *number = strtod(copy, &end);
  return *end == '\0' && isfinite(*number);
}

static bool compare(enum alert_operator operator_, double value, double threshold)
{
  switch (operator_) {
  case ALERT_ABOVE:
    return value > threshold;
  case ALERT_BELOW:
    return value < threshold;
  case ALERT_AT_LEAST:
    return value >= threshold;
  case ALERT_AT_MOST:
    return value <= threshold;
  case ALERT_EQUAL:
    return value == threshold;
  case ALERT_OTHER:
    return value != threshold;
  case ALERT_NO_OPERATOR:
    break;
  }
  return false;
}

bool alert_matches(enum alert_operator operator_, struct mu_str threshold, struct mu_str text, const char *type)
{
  double value, limit;
  if (strcmp(type, "number") == 0 && alert_number(text, &value) && alert_number(threshold, &limit))
    return compare(operator_, value, limit);
  if (operator_ == ALERT_EQUAL)
    return mu_str_equal(text, threshold);
  return operator_ == ALERT_OTHER && !mu_str_equal(text, threshold);
}

bool alert_may_hit(int64_t last_ms, int64_t now_ms)
{
  return last_ms == 0 || llabs((long long)(now_ms - last_ms)) >= ALERT_PAUSE_MS;
}
