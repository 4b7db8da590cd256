/* SPDX-License-Identifier: ISC */
/*
 * The watchdog: a thread that names the callback which holds the loop, while it does.
 *
 * It waits for a timer of the kernel. The loop arms it when it turns and disarms it when it rests: system calls that wake nobody. A loop
 * that turns often leaves it armed: then the thread looks, and arms it again only while a plugin is being called. So a quiet program
 * never wakes the thread, a busy one 20 times a second.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <muster/log.h>

#include "loop/internal.h"

#define MS_NS INT64_C(1000000)
#define LOOK_NS (50 * MS_NS)
#define SLOW_NS (50 * MS_NS)
#define ALARM_NS (5000 * MS_NS)
#define ALARM_AGAIN_NS (30000 * MS_NS)
/* How often a second the timer is disarmed. */
#define DISARM_MAX 32u

struct mui_watchdog {
  pthread_t thread;
  int timer;            /* the kernel's */
  pthread_mutex_t lock; /* held while the timer is set: it is never off when `armed` is true */
  _Atomic bool stop;
  _Atomic bool armed;
  _Atomic bool turned; /* the loop runs: before, plugins are called outside of its turns */
  ev_check turn;
  ev_prepare rest;
  ev_tstamp since; /* the second that `disarmed` is of */
  unsigned disarmed;
  /* The thread's own. A call is known by when it began: its serial changes when a call inside it ends. */
  int64_t told_began_ns;  /* the newest call that was logged */
  int64_t alarm_began_ns; /* the call that the alarm is about */
  int64_t alarm_at_ns;    /* when to say so (again) */
};

/* 0: disarms it. */
static void arm(struct mui_watchdog *watchdog, int64_t after_ns)
{
  struct itimerspec at = {.it_value = {.tv_nsec = after_ns}};
  pthread_mutex_lock(&watchdog->lock);
  atomic_store(&watchdog->armed, after_ns > 0);
  timerfd_settime(watchdog->timer, 0, &at, NULL);
  pthread_mutex_unlock(&watchdog->lock);
}

static void on_turn(struct ev_loop *ev, ev_check *check, int events)
{
  (void)ev;
  (void)events;
  struct mui_watchdog *watchdog = check->data;
  if (!atomic_load(&watchdog->turned))
    atomic_store(&watchdog->turned, true);
  if (!atomic_load(&watchdog->armed))
    arm(watchdog, LOOK_NS);
}

static void on_rest(struct ev_loop *ev, ev_prepare *prepare, int events)
{
  (void)events;
  struct mui_watchdog *watchdog = prepare->data;
  if (!atomic_load(&watchdog->armed) || !atomic_load(&watchdog->turned))
    return;
  ev_tstamp now = ev_now(ev);
  if (now - watchdog->since >= 1. || now < watchdog->since) {
    watchdog->since = now;
    watchdog->disarmed = 0;
  }
  if (watchdog->disarmed++ < DISARM_MAX)
    arm(watchdog, 0);
}

/* When to look again; 0: no plugin is being called. */
static int64_t look(struct mui_watchdog *watchdog)
{
  struct mui_current current;
  if (!mui_call_current(&current))
    return 0;
  int64_t now_ns = mu_mono_ns();
  int64_t held_ns = now_ns - current.began_ns;
  if (held_ns >= SLOW_NS && current.began_ns > watchdog->told_began_ns) {
    watchdog->told_began_ns = current.began_ns;
    mu_log(NULL, MU_LOG_WARN, "%s: callback \"%s\" has held the loop for %lld ms and still does", current.instance,
           current.callback, (long long)(held_ns / 1000000));
  }
  if (current.began_ns != watchdog->alarm_began_ns) {
    watchdog->alarm_began_ns = current.began_ns;
    watchdog->alarm_at_ns = current.began_ns + ALARM_NS;
  }
  if (now_ns >= watchdog->alarm_at_ns) {
    watchdog->alarm_at_ns = now_ns + ALARM_AGAIN_NS;
    mu_log(NULL, MU_LOG_ERROR, "%s: callback \"%s\" has blocked the whole process for %lld s", current.instance,
           current.callback, (long long)(held_ns / 1000000000));
  }
  return held_ns >= 0 && held_ns < SLOW_NS ? SLOW_NS - held_ns + MS_NS : LOOK_NS;
}

static void *watch(void *context)
{
  struct mui_watchdog *watchdog = context;
  uint64_t expired;
  for (;;) {
    ssize_t got = read(watchdog->timer, &expired, sizeof(expired));
    if (atomic_load(&watchdog->stop))
      return NULL;
    if (got < 0)
      continue;
    int64_t again_ns = look(watchdog);
    if (!again_ns && !atomic_load(&watchdog->turned))
      again_ns = LOOK_NS;
    if (!again_ns) {
      /* Looked at once more: a call may have begun before the loop could see that the timer is not armed. */
      atomic_store(&watchdog->armed, false);
      again_ns = look(watchdog);
    }
    if (again_ns)
      arm(watchdog, again_ns);
  }
}

int mui_watchdog_start(struct mui_loop *loop)
{
  if (loop->watchdog)
    return MU_EEXIST;
  struct mui_watchdog *watchdog = calloc(1, sizeof(*watchdog));
  if (!watchdog)
    return MU_ENOMEM;
  watchdog->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (watchdog->timer < 0)
    goto no_timer;
  if (pthread_mutex_init(&watchdog->lock, NULL) != 0)
    goto no_lock;
  arm(watchdog, LOOK_NS);
  if (mui_thread_start(&watchdog->thread, "muster-watchdog", watch, watchdog) != 0)
    goto no_thread;
  ev_check_init(&watchdog->turn, on_turn);
  ev_set_priority(&watchdog->turn, EV_MAXPRI); /* before the callbacks of the turn */
  watchdog->turn.data = watchdog;
  ev_check_start(loop->ev, &watchdog->turn);
  ev_prepare_init(&watchdog->rest, on_rest);
  watchdog->rest.data = watchdog;
  ev_prepare_start(loop->ev, &watchdog->rest);
  loop->watchdog = watchdog;
  return 0;

no_thread:
  pthread_mutex_destroy(&watchdog->lock);
no_lock:
  close(watchdog->timer);
no_timer:
  free(watchdog);
  return MU_ENOMEM;
}

void mui_watchdog_stop(struct mui_loop *loop)
{
  struct mui_watchdog *watchdog = loop->watchdog;
  if (!watchdog)
    return;
  loop->watchdog = NULL;
  ev_check_stop(loop->ev, &watchdog->turn);
  ev_prepare_stop(loop->ev, &watchdog->rest);
  atomic_store(&watchdog->stop, true);
  arm(watchdog, 1);
  pthread_join(watchdog->thread, NULL);
  pthread_mutex_destroy(&watchdog->lock);
  close(watchdog->timer);
  free(watchdog);
}
