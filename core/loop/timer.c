/* SPDX-License-Identifier: ISC */
/* Timers on the monotonic clock. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "loop/internal.h"

struct mu_timer {
  struct mui_resource resource; /* first */
  ev_timer watcher;
  mu_instance *in;
  mu_timer_fn fn;
  void *context;
};

static void on_timer(struct ev_loop *ev, ev_timer *watcher, int events)
{
  (void)ev;
  (void)events;
  mu_timer *timer = watcher->data;
  struct mui_call call;
  mui_call_begin(&call, timer->in, MUI_CB_TIMER);
  timer->fn(timer->context); /* may free the timer */
  mui_call_end(&call, 0);
}

static void on_revoke(struct mui_resource *resource)
{
  mu_timer_free((mu_timer *)resource);
}

mu_timer *mu_timer_new(mu_instance *in, mu_timer_fn fn, void *context)
{
  assert(fn);
  if (in->closed)
    return NULL;
  mu_timer *timer = calloc(1, sizeof(*timer));
  if (!timer)
    return NULL;
  timer->in = in;
  timer->fn = fn;
  timer->context = context;
  ev_init(&timer->watcher, on_timer);
  timer->watcher.data = timer;
  mui_resource_add(in, &timer->resource, on_revoke);
  return timer;
}

void mu_timer_start(mu_timer *timer, uint64_t after_ms, uint64_t repeat_ms)
{
  struct ev_loop *ev = timer->in->runtime->loop->ev;
  ev_timer_stop(ev, &timer->watcher);
  /* libev counts from its cached time, which is stale after a long callback: the timer would fire early. */
  ev_now_update(ev);
  ev_timer_set(&timer->watcher, (double)after_ms / 1000., (double)repeat_ms / 1000.);
  ev_timer_start(ev, &timer->watcher);
}

void mu_timer_stop(mu_timer *timer)
{
  ev_timer_stop(timer->in->runtime->loop->ev, &timer->watcher);
}

bool mu_timer_active(const mu_timer *timer)
{
  return ev_is_active(&timer->watcher);
}

void mu_timer_free(mu_timer *timer)
{
  if (!timer)
    return;
  mu_timer_stop(timer);
  mui_resource_del(&timer->resource);
  free(timer);
}
