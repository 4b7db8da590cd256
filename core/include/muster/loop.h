/* SPDX-License-Identifier: ISC */
/**
 * @file loop.h
 * Timers, descriptors, work for other threads. One loop, one thread; callbacks here run on it
 * unless their comment says otherwise. A callback may free or stop what called it.
 *
 * Everything made here belongs to the instance and is revoked when it stops, after its stop() and before its fini(): the
 * handles are then gone. Freeing earlier is allowed; freeing in fini is too late.
 */
#ifndef MUSTER_LOOP_H
#define MUSTER_LOOP_H

#include <muster/base.h>

/* ---- timers --------------------------------------------------------------------------------- */

typedef struct mu_timer mu_timer;
typedef void (*mu_timer_fn)(void *context);

/** A stopped timer; NULL when memory is out. */
MU_API mu_timer *mu_timer_new(mu_instance *in, mu_timer_fn fn, void *context);
/**
 * Fires after `after_ms` and then every `repeat_ms` (0: once). Starting again replaces the schedule. Monotonic: the
 * wall clock may jump.
 */
MU_API void mu_timer_start(mu_timer *timer, uint64_t after_ms, uint64_t repeat_ms);
MU_API void mu_timer_stop(mu_timer *timer);
MU_API bool mu_timer_active(const mu_timer *timer);
/** NULL is allowed. */
MU_API void mu_timer_free(mu_timer *timer);

/* ---- descriptors ---------------------------------------------------------------------------- */

enum mu_fd_event { MU_FD_READ = 1, MU_FD_WRITE = 2 };

typedef struct mu_fd mu_fd;
typedef void (*mu_fd_fn)(void *context, int fd, unsigned events);

/** Watches a descriptor, which stays the caller's; NULL when memory is out. `events` 0 pauses. */
MU_API mu_fd *mu_fd_new(mu_instance *in, int fd, unsigned events, mu_fd_fn fn, void *context);
MU_API void mu_fd_events(mu_fd *watch, unsigned events);
/** Free it before closing the descriptor. NULL is allowed. */
MU_API void mu_fd_free(mu_fd *watch);

/* ---- other threads -------------------------------------------------------------------------- */

/**
 * Runs `fn` on the loop thread, soon; posts of one thread keep their order. Any thread. When the instance stops
 * first, `drop` (may be NULL) runs on the loop thread instead. 0 or MU_ENOMEM, MU_ECLOSED: neither will run.
 */
MU_API int mu_post(mu_instance *in, void (*fn)(void *context), void (*drop)(void *context), void *context);

/** A job for the worker pool. Growth-only. */
struct mu_job {
  size_t size; /**< sizeof(struct mu_job) */
  /** On a worker thread. Must not touch what the loop thread uses. The result is given to `done`. */
  int (*work)(void *context);
  /**
   * On the loop thread, once. `result` is the work's, or MU_ETIMEOUT when the deadline passed first (the work still runs: `context`
   * belongs to it until `late`), or MU_ECLOSED when the instance stopped first, before the work or during it: then free `context`
   * and touch nothing else. NULL is allowed.
   */
  void (*done)(void *context, int result);
  /**
   * On the loop thread, once after every MU_ETIMEOUT, when the work has ended after all: free `context` here. At once, with
   * MU_ECLOSED, when it timed out in the queue and never ran. NULL is allowed.
   */
  void (*late)(void *context, int result);
  void *context;
  /** Bounds the wait for a thread, and then the run. 0: none. */
  uint64_t deadline_ms;
  /** A few words, for the log: "statvfs". A string literal. */
  const char *what;
};

/**
 * Hands a job to the pool. A job past its deadline writes its thread off; at most a few are replaced. While a job is
 * out the plugin stays mapped. Loop thread. @return 0, MU_EINVAL, MU_ENOMEM, MU_ELIMIT (queue full), MU_ECLOSED
 */
MU_API int mu_work(mu_instance *in, const struct mu_job *job) MU_MUST_USE;

#endif
