/* SPDX-License-Identifier: ISC */
/* The loop itself: running it, waking it, signals, and the end. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/internal.h"

struct mui_signal {
  ev_signal watcher;
  void (*fn)(void *context, int signal);
  void *context;
  struct mui_signal *next;
};

void mui_loop_wake(int wake_fd)
{
  uint64_t one = 1;
  /* EAGAIN means that the counter is full, so the loop is awake already. */
  while (write(wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
    ;
}

static void on_wake(struct ev_loop *ev, ev_io *watcher, int events)
{
  (void)events;
  struct mui_loop *loop = ev_userdata(ev);
  uint64_t count;
  while (read(watcher->fd, &count, sizeof(count)) < 0 && errno == EINTR)
    ;
  mui_posts_run(loop);
  mui_pool_deliver(loop);
}

struct mui_loop *mui_loop_new(unsigned workers, unsigned spare)
{
  struct mui_loop *loop = calloc(1, sizeof(*loop));
  if (!loop)
    return NULL;
  loop->thread = pthread_self();
  loop->posted.last = &loop->posted.first;
  loop->ready.last = &loop->ready.first;
  if (pthread_mutex_init(&loop->lock, NULL) != 0)
    goto no_lock;
  loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->wake_fd < 0)
    goto no_fd;
  loop->pool = mui_pool_new(workers, spare, loop->wake_fd);
  if (!loop->pool)
    goto no_pool;
  loop->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
  if (!loop->ev)
    goto no_ev;
  ev_set_userdata(loop->ev, loop);
  ev_io_init(&loop->wake, on_wake, loop->wake_fd, EV_READ);
  ev_io_start(loop->ev, &loop->wake);
  return loop;

no_ev:
  mui_pool_close(loop);
no_pool:
  close(loop->wake_fd);
no_fd:
  pthread_mutex_destroy(&loop->lock);
no_lock:
  free(loop);
  return NULL;
}

void mui_loop_run(struct mui_loop *loop)
{
  while (!loop->broken)
    ev_run(loop->ev, 0);
  loop->broken = false;
}

void mui_loop_turn(struct mui_loop *loop)
{
  ev_run(loop->ev, EVRUN_NOWAIT);
}

static void on_until(struct ev_loop *ev, ev_timer *timer, int events)
{
  (void)ev;
  (void)events;
  *(bool *)timer->data = true;
}

bool mui_loop_until(struct mui_loop *loop, const bool *done, uint64_t timeout_ms)
{
  bool over = false;
  ev_timer timer;
  ev_init(&timer, on_until);
  timer.data = &over;
  ev_now_update(loop->ev);
  ev_timer_set(&timer, (double)timeout_ms / 1000., 0.);
  ev_timer_start(loop->ev, &timer);
  while (!*done && !over)
    ev_run(loop->ev, EVRUN_ONCE);
  ev_timer_stop(loop->ev, &timer);
  return *done;
}

void mui_loop_break(struct mui_loop *loop)
{
  loop->broken = true; /* so that a break before mui_loop_run() is not lost */
  ev_break(loop->ev, EVBREAK_ALL);
}

unsigned mui_loop_free(struct mui_loop *loop)
{
  if (!loop)
    return 0;
  mui_watchdog_stop(loop);
  unsigned stuck = mui_pool_close(loop);
  mui_posts_drop(loop);
  while (loop->signals) {
    struct mui_signal *signal = loop->signals;
    loop->signals = signal->next;
    ev_signal_stop(loop->ev, &signal->watcher);
    free(signal);
  }
  ev_io_stop(loop->ev, &loop->wake);
  ev_loop_destroy(loop->ev);
  close(loop->wake_fd);
  pthread_mutex_destroy(&loop->lock);
  free(loop);
  return stuck;
}

void *mui_loop_foreign(struct mui_loop *loop)
{
  return loop->ev;
}

unsigned mui_loop_stuck(const struct mui_loop *loop)
{
  return mui_pool_stuck(loop->pool);
}

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int events)
{
  (void)ev;
  (void)events;
  struct mui_signal *signal = watcher->data;
  signal->fn(signal->context, watcher->signum);
}

int mui_loop_on_signal(struct mui_loop *loop, int number, void (*fn)(void *context, int signal), void *context)
{
  if (number <= 0 || number >= NSIG || !fn)
    return MU_EINVAL;
  struct mui_signal *signal = loop->signals;
  while (signal && signal->watcher.signum != number)
    signal = signal->next;
  if (!signal) {
    signal = calloc(1, sizeof(*signal));
    if (!signal)
      return MU_ENOMEM;
    ev_signal_init(&signal->watcher, on_signal, number);
    signal->watcher.data = signal;
    signal->next = loop->signals;
    loop->signals = signal;
    ev_signal_start(loop->ev, &signal->watcher);
  }
  signal->fn = fn;
  signal->context = context;
  return 0;
}

int mui_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *context)
{
  /* Signals belong to the loop thread; those that report a fault stay with the thread that made it. */
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
  sigset_t all, before;
  sigfillset(&all);
  for (size_t i = 0; i < MU_COUNT(faults); i++)
    sigdelset(&all, faults[i]);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = pthread_create(thread, NULL, run, context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return MU_ENOMEM;
  pthread_setname_np(*thread, name);
  return 0;
}

int mui_cond_init(pthread_cond_t *cond)
{
  pthread_condattr_t attr;
  if (pthread_condattr_init(&attr) != 0)
    return MU_ENOMEM;
  int error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  if (!error)
    error = pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
  return error ? MU_ENOMEM : 0;
}

struct timespec mui_after_ms(uint64_t ms)
{
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_sec += (time_t)(ms / 1000);
  at.tv_nsec += (long)(ms % 1000) * 1000000;
  if (at.tv_nsec >= 1000000000) {
    at.tv_sec++;
    at.tv_nsec -= 1000000000;
  }
  return at;
}
