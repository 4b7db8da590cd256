/* SPDX-License-Identifier: ISC */
/* The loop of a process: libev, posts, the worker pool, name resolution, the watchdog thread. */
#ifndef MUI_LOOP_LOOP_H
#define MUI_LOOP_LOOP_H

#include <muster/loop.h>
#include "base/instance.h"

/* The calling thread is from now on the loop thread. NULL when memory or descriptors are out. `workers`: threads of the pool; `spare`: how many written-off ones may be replaced. */
MUI_API struct mui_loop *mui_loop_new(unsigned workers, unsigned spare);
/* Runs until mui_loop_break(). */
MUI_API void mui_loop_run(struct mui_loop *loop);
/* Handles what is ready now, without waiting; for tests and the end. */
MUI_API void mui_loop_turn(struct mui_loop *loop);
/* Handles events until *done or the time is over; for tests. False: time over. */
MUI_API bool mui_loop_until(struct mui_loop *loop, const bool *done, uint64_t timeout_ms);
MUI_API void mui_loop_break(struct mui_loop *loop);
/* Revoke every instance before. Joins the workers that still answer (stuck ones are left behind and counted), then frees. Returns how many are stuck. */
MUI_API unsigned mui_loop_free(struct mui_loop *loop);
/* The struct ev_loop, for libwebsockets' foreign_loops. */
MUI_API void *mui_loop_foreign(struct mui_loop *loop);

/* Calls `fn` on the loop thread for a signal. */
MUI_API int mui_loop_on_signal(struct mui_loop *loop, int signal, void (*fn)(void *context, int signal), void *context);

/* Deadline passed, work has not ended: shown by the console and in the agent's report. */
MUI_API unsigned mui_loop_stuck(const struct mui_loop *loop);

/* An address from the resolver. */
struct mui_address {
  char text[64]; /* numeric */
  uint16_t port;
};
/*
 * Resolves off the loop (getaddrinfo on a worker; numeric addresses at once, still through the loop). `done` on the loop thread, once, unless
 * `in` stops first: count 0 with a negative error, or 1..8 addresses.
 */
MUI_API int mui_resolve(mu_instance *in, const char *host, uint16_t port,
                        void (*done)(void *context, int error, const struct mui_address *list, size_t count),
                        void *context);

/* Starts the thread that watches callbacks of the loop thread: over 50 ms a log line, over 5 s an alarm, while it lasts. */
MUI_API int mui_watchdog_start(struct mui_loop *loop);
MUI_API void mui_watchdog_stop(struct mui_loop *loop);

#endif
