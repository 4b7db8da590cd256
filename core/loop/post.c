/* SPDX-License-Identifier: ISC */
/*
 * Calls from any thread to the loop thread: one queue, in order.
 *
 * A post of the loop thread is a resource of its instance at once, so revocation drops it. The resource list is not for other
 * threads: their posts count as a job of the instance (which keeps it) until the loop thread has taken them over, in its next turn.
 */
#include <assert.h>
#include <stdlib.h>

#include "loop/internal.h"

/* A flood of posts must not keep descriptors and timers waiting. */
#define POSTS_PER_TURN 1024

struct mui_post {
  struct mui_resource resource; /* first */
  struct mui_post *next;
  mu_instance *in; /* NULL: dropped, nothing is left to do */
  void (*fn)(void *context);
  void (*drop)(void *context);
  void *context;
  bool foreign; /* counted in in->jobs, not yet a resource */
};

static void call(mu_instance *in, void (*fn)(void *context), void *context)
{
  if (!fn)
    return;
  struct mui_call running;
  mui_call_begin(&running, in, MUI_CB_POST);
  fn(context);
  mui_call_end(&running, 0);
}

/* Leaves the queue alone: the empty node goes when its turn comes. */
static void on_revoke(struct mui_resource *resource)
{
  struct mui_post *post = (struct mui_post *)resource;
  mu_instance *in = post->in;
  mui_resource_del(resource);
  post->in = NULL;
  call(in, post->drop, post->context);
}

int mu_post(mu_instance *in, void (*fn)(void *context), void (*drop)(void *context), void *context)
{
  assert(fn);
  struct mui_loop *loop = in->runtime->loop;
  bool foreign = !pthread_equal(pthread_self(), loop->thread);
  /* First counted, then asked: whoever closes the instance and then finds no jobs has seen the last post. */
  if (foreign)
    in->jobs++;
  struct mui_post *post = NULL;
  int error = MU_ECLOSED;
  if (in->closed)
    goto failed;
  error = MU_ENOMEM;
  post = calloc(1, sizeof(*post));
  if (!post)
    goto failed;
  post->in = in;
  post->fn = fn;
  post->drop = drop;
  post->context = context;
  post->foreign = foreign;
  if (!foreign)
    mui_resource_add(in, &post->resource, on_revoke);

  pthread_mutex_lock(&loop->lock);
  bool wake = !loop->posted.first;
  *loop->posted.last = post;
  loop->posted.last = &post->next;
  /* Still under the lock: afterwards another thread's post may already have run and ended everything. */
  if (wake)
    mui_loop_wake(loop->wake_fd);
  pthread_mutex_unlock(&loop->lock);
  return 0;

failed:
  if (foreign)
    in->jobs--;
  return error;
}

/* From `posted` to `ready`; what other threads posted becomes a resource. */
static void take(struct mui_loop *loop)
{
  pthread_mutex_lock(&loop->lock);
  struct mui_post *taken = loop->posted.first;
  if (taken) {
    *loop->ready.last = taken;
    loop->ready.last = loop->posted.last;
    loop->posted.first = NULL;
    loop->posted.last = &loop->posted.first;
  }
  pthread_mutex_unlock(&loop->lock);

  for (struct mui_post *post = taken; post; post = post->next) {
    if (!post->foreign)
      continue;
    mu_instance *in = post->in;
    post->foreign = false;
    if (in->closed) {
      post->in = NULL;
      call(in, post->drop, post->context);
    } else {
      mui_resource_add(in, &post->resource, on_revoke);
    }
    in->jobs--;
  }
}

static struct mui_post *next_ready(struct mui_loop *loop)
{
  struct mui_post *post = loop->ready.first;
  if (!post)
    return NULL;
  loop->ready.first = post->next;
  if (!loop->ready.first)
    loop->ready.last = &loop->ready.first;
  return post;
}

void mui_posts_run(struct mui_loop *loop)
{
  take(loop);
  for (unsigned n = 0; n < POSTS_PER_TURN; n++) {
    struct mui_post *post = next_ready(loop);
    if (!post)
      return;
    if (post->in) {
      mui_resource_del(&post->resource);
      call(post->in, post->fn, post->context);
    }
    free(post);
  }
  if (loop->ready.first)
    mui_loop_wake(loop->wake_fd);
}

void mui_posts_drop(struct mui_loop *loop)
{
  take(loop);
  for (struct mui_post *post; (post = next_ready(loop));) {
    if (post->in)
      on_revoke(&post->resource);
    free(post);
  }
}
