/* SPDX-License-Identifier: ISC */
/* Watches on descriptors. */
#include <assert.h>
#include <stdlib.h>

#include "loop/internal.h"

struct mu_fd {
  struct mui_resource resource; /* first */
  ev_io watcher;
  mu_instance *in;
  mu_fd_fn fn;
  void *context;
  unsigned events;
};

static void on_fd(struct ev_loop *ev, ev_io *watcher, int revents)
{
  (void)ev;
  mu_fd *watch = watcher->data;
  unsigned events = (revents & EV_READ ? MU_FD_READ : 0u) | (revents & EV_WRITE ? MU_FD_WRITE : 0u);
  /* A descriptor that broke is told as ready: the owner's read or write then says why. */
  if (revents & EV_ERROR)
    events = watch->events;
  events &= watch->events;
  if (!events)
    return;
  struct mui_call call;
  mui_call_begin(&call, watch->in, MUI_CB_FD);
  watch->fn(watch->context, watcher->fd, events); /* may free the watch */
  mui_call_end(&call, 0);
}

static void on_revoke(struct mui_resource *resource)
{
  mu_fd_free((mu_fd *)resource);
}

mu_fd *mu_fd_new(mu_instance *in, int fd, unsigned events, mu_fd_fn fn, void *context)
{
  assert(fn);
  if (fd < 0 || in->closed)
    return NULL;
  mu_fd *watch = calloc(1, sizeof(*watch));
  if (!watch)
    return NULL;
  watch->in = in;
  watch->fn = fn;
  watch->context = context;
  ev_io_init(&watch->watcher, on_fd, fd, 0);
  watch->watcher.data = watch;
  mui_resource_add(in, &watch->resource, on_revoke);
  mu_fd_events(watch, events);
  return watch;
}

void mu_fd_events(mu_fd *watch, unsigned events)
{
  struct ev_loop *ev = watch->in->runtime->loop->ev;
  events &= MU_FD_READ | MU_FD_WRITE;
  if (events == watch->events && (events == 0 || ev_is_active(&watch->watcher)))
    return;
  int fd = watch->watcher.fd;
  ev_io_stop(ev, &watch->watcher);
  watch->events = events;
  if (events == 0)
    return;
  ev_io_set(&watch->watcher, fd, (events & MU_FD_READ ? EV_READ : 0) | (events & MU_FD_WRITE ? EV_WRITE : 0));
  ev_io_start(ev, &watch->watcher);
}

void mu_fd_free(mu_fd *watch)
{
  if (!watch)
    return;
  ev_io_stop(watch->in->runtime->loop->ev, &watch->watcher);
  mui_resource_del(&watch->resource);
  free(watch);
}
