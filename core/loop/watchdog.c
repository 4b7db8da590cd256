/* SPDX-License-Identifier: ISC */
/*
 * The watchdog: a thread that names the callback which holds the loop, while it does.
 *
 * It looks every 50 ms while plugins are being called. After half a second without a call it sleeps, so that an idle agent costs
 * nothing, and the loop's next turn wakes it. (A second is the longest it sleeps: a wake-up lost between its two looks costs no more.)
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>

#include "loop/internal.h"

#define LOOK_MS 50
#define SLEEP_MS 1000
#define QUIET_LOOKS 10
#define SLOW_NS (INT64_C(50) * 1000000)
#define ALARM_NS (INT64_C(5) * 1000000000)
#define ALARM_AGAIN_NS (INT64_C(30) * 1000000000)

struct mui_watchdog {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool stop;           /* guarded by lock */
  _Atomic bool asleep; /* set by the watchdog, cleared by the loop thread */
  ev_check turn;
  /* The thread's own. A call is known by when it began: its serial changes when a call inside it ends. */
  int64_t told_began_ns;  /* the newest call that was logged */
  int64_t alarm_began_ns; /* the call that the alarm is about */
  int64_t alarm_at_ns;    /* when to say so (again) */
};

static void on_turn(struct ev_loop *ev, ev_check *check, int events)
{
  (void)ev;
  (void)events;
  struct mui_watchdog *watchdog = check->data;
  if (!atomic_load(&watchdog->asleep))
    return;
  pthread_mutex_lock(&watchdog->lock);
  atomic_store(&watchdog->asleep, false);
  pthread_cond_signal(&watchdog->wake);
  pthread_mutex_unlock(&watchdog->lock);
}

/* True: a plugin is being called. */
static bool look(struct mui_watchdog *watchdog)
{
  struct mui_current current;
  if (!mui_call_current(&current))
    return false;
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
    mu_log(NULL, MU_LOG_ERROR, "%s: callback \"%s\" has blocked the whole process for %lld s", current.instance, current.callback,
           (long long)(held_ns / 1000000000));
  }
  return true;
}

static void *watch(void *context)
{
  struct mui_watchdog *watchdog = context;
  unsigned quiet = 0;
  pthread_mutex_lock(&watchdog->lock);
  while (!watchdog->stop) {
    uint64_t wait_ms = quiet >= QUIET_LOOKS ? SLEEP_MS : LOOK_MS;
    struct timespec until = mui_after_ms(wait_ms);
    pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    if (watchdog->stop)
      break;
    pthread_mutex_unlock(&watchdog->lock);
    if (wait_ms == SLEEP_MS && !atomic_load(&watchdog->asleep))
      quiet = 0; /* the loop turns again */
    quiet = look(watchdog) ? 0 : quiet + 1;
    pthread_mutex_lock(&watchdog->lock);
    if (quiet >= QUIET_LOOKS) {
      atomic_store(&watchdog->asleep, true);
      /* A call that began before the loop could see the flag. */
      struct mui_current current;
      if (mui_call_current(&current)) {
        atomic_store(&watchdog->asleep, false);
        quiet = 0;
      }
    }
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

int mui_watchdog_start(struct mui_loop *loop)
{
  if (loop->watchdog)
    return MU_EEXIST;
  struct mui_watchdog *watchdog = calloc(1, sizeof(*watchdog));
  if (!watchdog)
    return MU_ENOMEM;
  if (pthread_mutex_init(&watchdog->lock, NULL) != 0)
    goto no_lock;
  if (mui_cond_init(&watchdog->wake) != 0)
    goto no_cond;
  if (mui_thread_start(&watchdog->thread, "muster-watchdog", watch, watchdog) != 0)
    goto no_thread;
  ev_check_init(&watchdog->turn, on_turn);
  ev_set_priority(&watchdog->turn, EV_MAXPRI); /* before the callbacks of the turn */
  watchdog->turn.data = watchdog;
  ev_check_start(loop->ev, &watchdog->turn);
  loop->watchdog = watchdog;
  return 0;

no_thread:
  pthread_cond_destroy(&watchdog->wake);
no_cond:
  pthread_mutex_destroy(&watchdog->lock);
no_lock:
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
  pthread_mutex_lock(&watchdog->lock);
  watchdog->stop = true;
  pthread_cond_signal(&watchdog->wake);
  pthread_mutex_unlock(&watchdog->lock);
  pthread_join(watchdog->thread, NULL);
  pthread_cond_destroy(&watchdog->wake);
  pthread_mutex_destroy(&watchdog->lock);
  free(watchdog);
}
