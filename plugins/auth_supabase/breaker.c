/* SPDX-License-Identifier: ISC */
#include "breaker.h"

enum breaker_leave breaker_ask(struct breaker *breaker, int64_t now_ms)
{
  if (!breaker->open_ms)
    return BREAKER_YES;
  if (breaker->probing || now_ms < breaker->open_till_ms)
    return BREAKER_NO;
  breaker->probing = true;
  return BREAKER_PROBE;
}

bool breaker_worked(struct breaker *breaker)
{
  bool was_open = breaker->open_ms > 0;
  *breaker = (struct breaker){0};
  return was_open;
}

bool breaker_failed(struct breaker *breaker, bool probe, int64_t now_ms)
{
  if (breaker->open_ms) {
    if (!probe)
      return false; /* sent before it opened: says nothing new */
    breaker->probing = false;
    breaker->open_ms = breaker->open_ms < BREAKER_LONGEST_MS / 2 ? breaker->open_ms * 2 : BREAKER_LONGEST_MS;
  } else if (++breaker->failures < BREAKER_FAILURES) {
    return false;
  } else {
    breaker->open_ms = BREAKER_FIRST_MS;
  }
  breaker->open_till_ms = now_ms + breaker->open_ms;
  return true;
}

void breaker_unsent(struct breaker *breaker, bool probe)
{
  if (probe)
    breaker->probing = false;
}

int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ms)
{
  return breaker->open_ms && now_ms < breaker->open_till_ms ? breaker->open_till_ms - now_ms : 0;
}
