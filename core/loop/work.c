/* SPDX-License-Identifier: ISC */
/*
 * The worker pool: jobs in order of arrival, threads started when they are needed, deadlines.
 *
 * Jobs are mostly short and come in bursts, and waking a thread costs more than many a job takes. So one worker is called for a burst
 * and tells the loop when the queue is empty or a job took long. While jobs wait behind another, the loop looks every few milliseconds:
 * it takes what has ended and calls one more worker, so that a job which takes long or hangs does not hold up the others.
 *
 * A deadline bounds the wait for a thread, and then the run. The thread of a job that overruns is written off: it no longer counts
 * as one of the `workers`, and another takes its place while no more than workers + spare exist in all. When it does come back it
 * rejoins the pool if there is room, else it ends.
 *
 * What the plugin is told: done() exactly once; late() exactly once after done(MU_ETIMEOUT). From when its instance was revoked until
 * in->jobs is 0, the only callbacks are done(MU_ECLOSED) or late(), for freeing the context: at once for jobs that had not begun, and
 * at the end of those that run.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/log.h>

#include "loop/internal.h"

#define QUEUE_MAX 1024
/* How long the end waits for jobs that still run: a program must stop within 2 s in all. */
#define CLOSE_WAIT_MS 250
/* How long a job waits behind another until one more worker is called; and what is a long job. */
#define PATIENCE_S .002
#define LONG_NS 1000000

enum job_state { QUEUED, RUNNING, ENDED };

struct job {
  struct mui_resource resource; /* first; loop thread, like all down to `next` */
  mu_instance *in;
  struct mu_job job;
  ev_timer deadline;
  bool told;        /* done() was called */
  bool revoked;     /* the instance has stopped */
  struct job *next; /* in the queue or among the ended; guarded by the pool's lock, like all below */
  enum job_state state;
  bool written_off;
  int result;
  int64_t began_ns, ended_ns;
};

struct jobs {
  struct job *first;
  struct job **last;
};

struct worker {
  struct worker *next;
  struct mui_pool *pool;
  pthread_t thread;
  struct job *job; /* runs now */
  bool ended;      /* wants to be joined */
  bool detached;   /* left behind: frees itself */
};

/* Outlives the loop while a stuck worker refers to it. */
struct mui_pool {
  pthread_mutex_t lock;
  pthread_cond_t wake;  /* to workers: they are called, or the end */
  pthread_cond_t ended; /* to mui_pool_close(): a worker has ended */
  unsigned workers, spare;
  struct jobs queue, done;
  bool told; /* the loop was woken for what is in `done` */
  unsigned queued;
  struct worker *threads;
  unsigned total;  /* threads that have not ended */
  unsigned active; /* of these, not written off */
  unsigned idle;   /* of these, waiting and not called */
  unsigned called; /* of these, no longer idle but not awake yet */
  bool attended;   /* the loop looks soon: `attend` runs */
  unsigned refs;   /* the loop, and every thread */
  bool closing;
  int wake_fd;    /* -1: the loop has gone */
  unsigned stuck; /* loop thread only, like `attend` */
  ev_timer attend;
};

/* Not mu_mono_ns(): deadlines follow the real clock of libev even where tests inject another. */
static int64_t mono_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void jobs_init(struct jobs *jobs)
{
  jobs->first = NULL;
  jobs->last = &jobs->first;
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
  job->next = NULL;
  *jobs->last = job;
  jobs->last = &job->next;
}

static struct job *jobs_pop(struct jobs *jobs)
{
  struct job *job = jobs->first;
  if (job) {
    jobs->first = job->next;
    if (!jobs->first)
      jobs->last = &jobs->first;
  }
  return job;
}

/* Lock held. */
static void unqueue(struct mui_pool *pool, struct job *job)
{
  struct job **link = &pool->queue.first;
  while (*link != job)
    link = &(*link)->next;
  *link = job->next;
  if (!job->next)
    pool->queue.last = link;
  pool->queued--;
}

static void pool_destroy(struct mui_pool *pool)
{
  pthread_cond_destroy(&pool->ended);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

/* ---- on the worker's thread ------------------------------------------------------------------- */

/* Lock held. False: the thread is one too many. */
static bool finish(struct mui_pool *pool, struct worker *worker)
{
  struct job *job = worker->job;
  worker->job = NULL;
  job->state = ENDED;
  bool stay = true;
  if (job->written_off) {
    stay = pool->active < pool->workers;
    pool->active += stay;
  }
  if (pool->wake_fd < 0) { /* nobody is left to tell */
    free(job);
    return stay;
  }
  jobs_add(&pool->done, job);
  if (pool->told)
    return stay;
  pool->told = !pool->queued || !pool->attended || job->ended_ns - job->began_ns >= LONG_NS;
  if (pool->told)
    mui_loop_wake(pool->wake_fd);
  return stay;
}

static void *work(void *context)
{
  struct worker *worker = context;
  struct mui_pool *pool = worker->pool;
  bool stay = true;
  pthread_mutex_lock(&pool->lock);
  while (stay && !pool->closing) {
    struct job *job = jobs_pop(&pool->queue);
    if (!job) {
      pool->idle++;
      while (!pool->called && !pool->closing)
        pthread_cond_wait(&pool->wake, &pool->lock);
      if (pool->called)
        pool->called--;
      else
        pool->idle--;
      continue;
    }
    pool->queued--;
    job->state = RUNNING;
    job->began_ns = mono_ns();
    worker->job = job;
    int (*run)(void *) = job->job.work;
    void *argument = job->job.context;
    pthread_mutex_unlock(&pool->lock);
    int result = run(argument);
    pthread_mutex_lock(&pool->lock);
    job->ended_ns = mono_ns();
    job->result = result;
    stay = finish(pool, worker);
  }
  pool->active -= stay; /* one too many was written off, and not counted again */
  pool->total--;
  worker->ended = true;
  pthread_cond_signal(&pool->ended);
  bool last = --pool->refs == 0;
  bool detached = worker->detached;
  pthread_mutex_unlock(&pool->lock);
  if (detached)
    free(worker);
  if (last)
    pool_destroy(pool);
  return NULL;
}

/* ---- on the loop thread ----------------------------------------------------------------------- */

/* One more worker for the queue, if one is allowed; lock held. False: not now. */
static bool call_worker(struct mui_pool *pool)
{
  if (pool->idle > 0) {
    pool->idle--;
    pool->called++;
    pthread_cond_signal(&pool->wake);
    return true;
  }
  if (pool->active >= pool->workers || pool->total >= pool->workers + pool->spare)
    return false;
  struct worker *worker = calloc(1, sizeof(*worker));
  if (!worker)
    return false;
  worker->pool = pool;
  /* The thread cannot look at itself before we release the lock. */
  if (mui_thread_start(&worker->thread, "muster-worker", work, worker) != 0) {
    free(worker);
    return false;
  }
  worker->next = pool->threads;
  pool->threads = worker;
  pool->total++;
  pool->active++;
  pool->refs++;
  return true;
}

static void on_attend(struct ev_loop *ev, ev_timer *timer, int events)
{
  (void)events;
  struct mui_loop *loop = ev_userdata(ev);
  struct mui_pool *pool = timer->data;
  pthread_mutex_lock(&pool->lock);
  pool->attended = pool->queued > 0 && call_worker(pool);
  if (!pool->attended)
    ev_timer_stop(ev, timer);
  pthread_mutex_unlock(&pool->lock);
  mui_pool_deliver(loop);
}

static void call(mu_instance *in, void (*fn)(void *context, int result), void *context, int result)
{
  if (!fn)
    return;
  struct mui_call running;
  mui_call_begin(&running, in, MUI_CB_JOB_DONE);
  fn(context, result);
  mui_call_end(&running, 0);
}

/* The last that is heard of a job, which no list and no thread has any more. */
static void conclude(struct job *job, int result)
{
  mu_instance *in = job->in;
  ev_timer_stop(in->runtime->loop->ev, &job->deadline);
  mui_resource_del(&job->resource);
  if (!job->told)
    call(in, job->job.done, job->job.context, result);
  if (job->told || result == MU_ETIMEOUT)
    call(in, job->job.late, job->job.context, result == MU_ETIMEOUT ? MU_ECLOSED : result);
  free(job);
  in->jobs--;
}

static void on_revoke(struct mui_resource *resource)
{
  struct job *job = (struct job *)resource;
  struct mui_pool *pool = job->in->runtime->loop->pool;
  mui_resource_del(resource);
  job->revoked = true;
  pthread_mutex_lock(&pool->lock);
  bool queued = job->state == QUEUED;
  if (queued)
    unqueue(pool, job);
  pthread_mutex_unlock(&pool->lock);
  if (queued)
    conclude(job, MU_ECLOSED);
}

static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events)
{
  (void)events;
  struct job *job = timer->data;
  mu_instance *in = job->in;
  struct mui_pool *pool = in->runtime->loop->pool;
  int64_t left_ns = 0;

  pthread_mutex_lock(&pool->lock);
  enum job_state state = job->state;
  if (state == QUEUED) {
    unqueue(pool, job);
  } else if (state == RUNNING) {
    /* The whole deadline is the run's, however long the job had waited: a good thread is not written off for the queue's sake. */
    left_ns = job->began_ns + (int64_t)job->job.deadline_ms * 1000000 - mono_ns();
    if (left_ns <= 0) {
      job->written_off = true;
      pool->active--;
      pool->stuck++;
      if (pool->queued > 0)
        call_worker(pool);
    }
  }
  unsigned active = pool->active;
  pthread_mutex_unlock(&pool->lock);

  if (state == QUEUED) {
    mu_log_limited(in, MU_LOG_WARN, "job", "job \"%s\": no worker was free for %llu ms", job->job.what,
                   (unsigned long long)job->job.deadline_ms);
    conclude(job, MU_ETIMEOUT);
  } else if (state == RUNNING && left_ns > 0) {
    ev_timer_set(timer, (double)left_ns / 1e9, 0.);
    ev_timer_start(ev, timer);
  } else if (state == RUNNING) {
    mu_log_limited(in, MU_LOG_WARN, "job", "job \"%s\" is stuck: over its %llu ms (%u stuck, %u workers left)",
                   job->job.what, (unsigned long long)job->job.deadline_ms, pool->stuck, active);
    if (!job->revoked) {
      job->told = true;
      call(in, job->job.done, job->job.context, MU_ETIMEOUT);
    }
  } /* ENDED: its result is about to be delivered, and counts */
}

int mu_work(mu_instance *in, const struct mu_job *given)
{
  struct mui_loop *loop = in->runtime->loop;
  struct mui_pool *pool = loop->pool;
  if (given->size < offsetof(struct mu_job, what) || !given->work || given->deadline_ms > INT64_MAX / 1000000)
    return MU_EINVAL;
  if (in->closed)
    return MU_ECLOSED;
  struct job *job = calloc(1, sizeof(*job));
  if (!job)
    return MU_ENOMEM;
  memcpy(&job->job, given, given->size < sizeof(job->job) ? given->size : sizeof(job->job));
  if (!job->job.what)
    job->job.what = "job";
  job->in = in;
  ev_init(&job->deadline, on_deadline);
  job->deadline.data = job;

  bool attend = false;
  pthread_mutex_lock(&pool->lock);
  int error = pool->closing ? MU_ECLOSED : pool->queued >= QUEUE_MAX ? MU_ELIMIT : 0;
  if (!error) {
    jobs_add(&pool->queue, job);
    pool->queued++;
    if (pool->active == pool->idle) /* nobody is at work */
      call_worker(pool);
    else
      attend = !pool->attended;
    if (pool->total == 0) { /* not one thread could be started */
      unqueue(pool, job);
      error = MU_ENOMEM;
    }
  }
  pool->attended = pool->attended || attend;
  pthread_mutex_unlock(&pool->lock);
  if (error) {
    free(job);
    return error;
  }

  /* The worker does not look at these, and nothing is delivered before the loop's next turn. */
  in->jobs++;
  mui_resource_add(in, &job->resource, on_revoke);
  if (attend || job->job.deadline_ms > 0)
    ev_now_update(loop->ev);
  if (attend)
    ev_timer_again(loop->ev, &pool->attend);
  if (job->job.deadline_ms > 0) {
    ev_timer_set(&job->deadline, (double)job->job.deadline_ms / 1000., 0.);
    ev_timer_start(loop->ev, &job->deadline);
  }
  return 0;
}

/* Takes the workers that ended out of the list; lock held. */
static struct worker *ended_workers(struct mui_pool *pool)
{
  struct worker *ended = NULL;
  for (struct worker **link = &pool->threads; *link;) {
    struct worker *worker = *link;
    if (!worker->ended) {
      link = &worker->next;
      continue;
    }
    *link = worker->next;
    worker->next = ended;
    ended = worker;
  }
  return ended;
}

static void join(struct worker *worker)
{
  while (worker) {
    struct worker *next = worker->next;
    pthread_join(worker->thread, NULL);
    free(worker);
    worker = next;
  }
}

void mui_pool_deliver(struct mui_loop *loop)
{
  struct mui_pool *pool = loop->pool;
  struct jobs done;
  jobs_init(&done);
  pthread_mutex_lock(&pool->lock);
  if (pool->done.first) {
    done = pool->done;
    jobs_init(&pool->done);
    pool->told = false;
  }
  if (pool->queued == 0 && pool->attended) {
    pool->attended = false;
    ev_timer_stop(loop->ev, &pool->attend);
  }
  struct worker *ended = ended_workers(pool);
  pthread_mutex_unlock(&pool->lock);
  join(ended);

  for (struct job *job = done.first, *next; job; job = next) {
    next = job->next;
    pool->stuck -= job->written_off;
    mui_call_book(job->in, MUI_CB_JOB, job->ended_ns - job->began_ns, job->result);
    if (job->written_off)
      mu_log_limited(job->in, MU_LOG_INFO, "job late", "job \"%s\" ended after %lld ms", job->job.what,
                     (long long)((job->ended_ns - job->began_ns) / 1000000));
    /* A work's own MU_ETIMEOUT would promise a late() that the plugin does not expect: its own time-outs are unavailability. */
    int result = job->result == MU_ETIMEOUT ? MU_EUNAVAILABLE : job->result;
    conclude(job, job->revoked && !job->told ? MU_ECLOSED : result);
  }
}

unsigned mui_pool_stuck(const struct mui_pool *pool)
{
  return pool->stuck;
}

struct mui_pool *mui_pool_new(unsigned workers, unsigned spare, int wake_fd)
{
  struct mui_pool *pool = calloc(1, sizeof(*pool));
  if (!pool)
    return NULL;
  pool->workers = workers > 0 ? workers : 1;
  pool->spare = spare;
  pool->refs = 1;
  pool->wake_fd = wake_fd;
  jobs_init(&pool->queue);
  jobs_init(&pool->done);
  ev_timer_init(&pool->attend, on_attend, PATIENCE_S, PATIENCE_S);
  pool->attend.data = pool;
  if (pthread_mutex_init(&pool->lock, NULL) != 0)
    goto no_lock;
  if (mui_cond_init(&pool->wake) != 0)
    goto no_wake;
  if (mui_cond_init(&pool->ended) != 0)
    goto no_ended;
  return pool;

no_ended:
  pthread_cond_destroy(&pool->wake);
no_wake:
  pthread_mutex_destroy(&pool->lock);
no_lock:
  free(pool);
  return NULL;
}

unsigned mui_pool_close(struct mui_loop *loop)
{
  struct mui_pool *pool = loop->pool;
  struct timespec until = mui_after_ms(CLOSE_WAIT_MS);
  ev_timer_stop(loop->ev, &pool->attend);
  pthread_mutex_lock(&pool->lock);
  pool->closing = true;
  pthread_cond_broadcast(&pool->wake);
  while (pool->active > 0 && pthread_cond_timedwait(&pool->ended, &pool->lock, &until) == 0)
    ;
  pthread_mutex_unlock(&pool->lock);
  mui_pool_deliver(loop);

  pthread_mutex_lock(&pool->lock);
  pool->wake_fd = -1;
  struct worker *ended = ended_workers(pool);
  unsigned left = 0;
  for (struct worker *worker = pool->threads, *next; worker; worker = next, left++) {
    next = worker->next;
    worker->detached = true;
    pthread_detach(worker->thread);
    if (worker->job) { /* its instance keeps in->jobs, so the code stays mapped; the job is the thread's to free */
      mui_resource_del(&worker->job->resource);
      ev_timer_stop(loop->ev, &worker->job->deadline);
    }
  }
  pool->threads = NULL;
  pthread_mutex_unlock(&pool->lock);
  join(ended);
  mui_pool_deliver(loop); /* what ended within the last microseconds */

  /* Jobs that still wait, where an instance was not revoked before. */
  for (;;) {
    pthread_mutex_lock(&pool->lock);
    struct job *job = jobs_pop(&pool->queue);
    pool->queued -= job != NULL;
    bool last = !job && --pool->refs == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last)
      pool_destroy(pool);
    if (!job)
      return left;
    conclude(job, MU_ECLOSED);
  }
}
