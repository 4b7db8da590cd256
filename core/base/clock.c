/* SPDX-License-Identifier: ISC */
#include <time.h>

#include "base/clock.h"

static int64_t system_now_ms(void)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_mono_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t (*now_fn)(void) = system_now_ms;
static int64_t (*mono_fn)(void) = system_mono_ns;

void mui_clock_inject(int64_t (*now_ms)(void), int64_t (*mono_ns)(void))
{
  now_fn = now_ms ? now_ms : system_now_ms;
  mono_fn = mono_ns ? mono_ns : system_mono_ns;
}

int64_t mu_now_ms(void)
{
  return now_fn();
}

int64_t mu_mono_ns(void)
{
  return mono_fn();
}
