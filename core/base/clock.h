/* SPDX-License-Identifier: ISC */
/* Clocks that tests can set. */
#ifndef MUI_BASE_CLOCK_H
#define MUI_BASE_CLOCK_H
#include "base/instance.h"

/* Replaces mu_now_ms() and mu_mono_ns(); NULL restores the system's. Tests only. */
MUI_API void mui_clock_inject(int64_t (*now_ms)(void), int64_t (*mono_ns)(void));

#endif
