/* SPDX-License-Identifier: ISC */
/* What the files of loop/ share. Everything here is the loop thread's unless it says otherwise. */
#ifndef MUI_LOOP_INTERNAL_H
#define MUI_LOOP_INTERNAL_H

#define EV_COMPAT3 0
#include <ev.h>
#include <pthread.h>

#include "base/instance.h"
#include "loop/loop.h"

struct mui_post;
struct mui_pool;
struct mui_signal;
struct mui_watchdog;

struct mui_posts {
  struct mui_post *first;
  struct mui_post **last;
};

struct mui_loop {
  struct ev_loop *ev;
  pthread_t thread; /* the one that made the loop: "the loop thread" */
  bool broken;
  int wake_fd; /* an eventfd that posts and ended jobs write to */
  ev_io wake;
  pthread_mutex_t lock;    /* guards `posted` */
  struct mui_posts posted; /* any thread */
  struct mui_posts ready;  /* taken over, waiting for their turn */
  struct mui_pool *pool;
  struct mui_signal *signals;
  struct mui_watchdog *watchdog;
};

/* Makes the loop thread look at posts and ended jobs. Any thread. */
void mui_loop_wake(int wake_fd);
/* Starts a thread that takes no signals; 0 or MU_ENOMEM. */
int mui_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *context);
/* A condition that is waited for on the monotonic clock; 0 or MU_ENOMEM. */
int mui_cond_init(pthread_cond_t *cond);
/* The monotonic time `ms` from now, for pthread_cond_timedwait(). */
struct timespec mui_after_ms(uint64_t ms);

void mui_posts_run(struct mui_loop *loop);
/* The end: whatever is left is dropped. */
void mui_posts_drop(struct mui_loop *loop);

struct mui_pool *mui_pool_new(unsigned workers, unsigned spare, int wake_fd);
/* Tells the owners of ended jobs. */
void mui_pool_deliver(struct mui_loop *loop);
unsigned mui_pool_stuck(const struct mui_pool *pool);
/* Waits briefly for running jobs; the workers that do not answer are left behind. Returns how many. */
unsigned mui_pool_close(struct mui_loop *loop);

#endif
