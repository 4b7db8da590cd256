/* SPDX-License-Identifier: ISC */
/* The host itself: its beginning and end, and the driving of stops that take time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop.h"
#include "plugin/internal.h"

#define STOP_ALL_NS INT64_C(1500000000)
#define REAP_MS 100
#define SETTLE_MS 5
#define SETTLE_TURNS 10

/* A component asks only for what it listed, so that the order of starting is right for it. */
static bool may(mu_instance *in, const char *service)
{
  const struct mui_unit *unit = in->owner;
  return !unit || mui_lists(unit->loaded.component->needs, service) ||
         mui_lists(unit->loaded.component->wants, service);
}

static void on_timer(void *context)
{
  mui_host_advance(context);
}

struct mui_host *mui_host_new(struct mui_runtime *runtime, const char *program)
{
  struct mui_host *host = calloc(1, sizeof(*host));
  if (!host)
    return NULL;
  host->runtime = runtime;
  host->program = strdup(program);
  if (!host->program)
    goto free_host;
  if (runtime->loop) {
    host->timer = mu_timer_new(runtime->core, on_timer, host);
    if (!host->timer)
      goto free_program;
  }
  if (pthread_mutex_init(&host->lock, NULL) != 0)
    goto free_timer;
  if (runtime->bus)
    mui_bus_may(runtime->bus, may);
  return host;

free_timer:
  mu_timer_free(host->timer);
free_program:
  free(host->program);
free_host:
  free(host);
  return NULL;
}

void mui_host_watch(struct mui_host *host,
                    void (*fn)(void *context, enum mui_host_change change, const struct mui_loaded *loaded),
                    void *context)
{
  host->watch = fn;
  host->watch_context = context;
}

void mui_host_tell(struct mui_host *host, enum mui_host_change change, const struct mui_unit *unit)
{
  if (host->watch)
    host->watch(host->watch_context, change, &unit->loaded);
}

void mui_host_prefetch(struct mui_host *host, const struct mui_plan *plan)
{
  struct mui_candidate *list = calloc(plan->count + 1, sizeof(*list));
  for (size_t i = 0; i < plan->count && list; i++)
    mui_find(&list[i], plan->entries[i].name, plan->dirs);
  if (list)
    mui_probe(host, list, plan->count);
  for (size_t i = 0; i < plan->count && list; i++)
    mui_candidate_fini(&list[i]);
  free(list);
}

const struct mui_loaded *mui_host_nth(const struct mui_host *host, size_t n)
{
  /* The running set is kept in the order of starting; the place in the configuration is in `order`. */
  unsigned after = 0;
  for (;;) {
    const struct mui_unit *best = NULL;
    for (size_t i = 0; i < host->running.count; i++) {
      const struct mui_unit *unit = host->running.at[i];
      if (unit->phase != MUI_UNIT_NEW && unit->order > after && (!best || unit->order < best->order))
        best = unit;
    }
    if (!best || n-- == 0)
      return best ? &best->loaded : NULL;
    after = best->order;
  }
}

struct mui_host_diff mui_host_diff(const struct mui_host *host)
{
  return host->diff;
}

/* ---- stops ----------------------------------------------------------------------------------- */

static bool is_needed(const struct mui_host *host, const struct mui_unit *provider)
{
  for (size_t i = 0; i < host->running.count; i++) {
    const struct mui_unit *unit = host->running.at[i];
    bool alive = unit->phase == MUI_UNIT_STOPPING || (unit->phase == MUI_UNIT_RUNNING && unit->stop_wanted);
    if (alive && mui_depends(unit, provider))
      return true;
  }
  return false;
}

/* Newest first; a pending stop holds up only those that it still needs. */
static bool stop_some(struct mui_host *host)
{
  bool progress = false;
  for (size_t i = host->running.count; i-- > 0;) {
    struct mui_unit *unit = host->running.at[i];
    int64_t now = mu_mono_ns();
    bool force = host->stopping && now >= host->stop_until_ns;
    if (unit->phase == MUI_UNIT_RUNNING && unit->stop_wanted && (force || !is_needed(host, unit))) {
      mui_unit_stop(unit);
      progress = true;
    } else if (unit->phase == MUI_UNIT_STOPPING && (unit->stopped || force || now >= unit->stop_until_ns)) {
      mui_unit_stop_finish(unit);
      progress = true;
    }
  }
  return progress;
}

/* When to look again; 0: nothing is pending. */
static int64_t next_deadline(const struct mui_host *host)
{
  int64_t next = 0;
  for (size_t i = 0; i < host->running.count; i++) {
    const struct mui_unit *unit = host->running.at[i];
    if (unit->phase == MUI_UNIT_STOPPING && (next == 0 || unit->stop_until_ns < next))
      next = unit->stop_until_ns;
  }
  if (next && host->stopping && host->stop_until_ns < next)
    next = host->stop_until_ns;
  return next;
}

static void end_reload(struct mui_host *host, int result)
{
  void (*done)(void *context, int result) = host->done;
  host->reloading = false;
  host->done = NULL;
  host->result = result;
  if (done)
    done(host->done_context, result);
}

static void end_stop(struct mui_host *host)
{
  void (*done)(void *context) = host->stop_done;
  mui_set_free(&host->running);
  host->stop_done = NULL;
  if (done)
    done(host->stop_context);
}

void mui_host_advance(struct mui_host *host)
{
  mui_units_reap(host);
  while (stop_some(host))
    ;
  int64_t next = next_deadline(host);
  if (host->timer && (next || host->stuck)) {
    int64_t left = next ? (next - mu_mono_ns()) / 1000000 + 1 : REAP_MS;
    if (host->stuck && left > REAP_MS)
      left = REAP_MS;
    mu_timer_start(host->timer, left > 0 ? (uint64_t)left : 0, 0);
  }
  if (next)
    return;
  if (host->stopping)
    end_stop(host);
  else if (host->reloading)
    end_reload(host, mui_reload_finish(host));
}

void mui_host_stop(struct mui_host *host, void (*done)(void *context), void *context)
{
  if (host->stopping)
    return;
  host->stopping = true;
  host->stop_until_ns = mu_mono_ns() + STOP_ALL_NS;
  host->stop_done = done;
  host->stop_context = context;
  if (host->reloading) {
    mui_reload_abandon(host);
    end_reload(host, MU_ECLOSED);
  }
  for (size_t i = 0; i < host->running.count; i++)
    host->running.at[i]->stop_wanted = true;
  mui_host_advance(host);
}

void mui_host_free(struct mui_host *host)
{
  if (!host)
    return;
  /* Without a loop nobody can wait for a stop. */
  mui_host_stop(host, NULL, NULL);
  host->stop_until_ns = 0;
  if (host->running.count > 0)
    mui_host_advance(host);
  mui_units_reap(host);
  /* A job that is about to end needs the loop for its last step: a collector asked to stop in mid-reading is no leak. */
  const bool never = false;
  for (int turn = 0; host->stuck && host->runtime->loop && turn < SETTLE_TURNS; turn++) {
    mui_loop_until(host->runtime->loop, &never, SETTLE_MS);
    mui_units_reap(host);
  }
  if (host->runtime->bus)
    mui_bus_may(host->runtime->bus, NULL);
  mu_timer_free(host->timer);
  pthread_mutex_destroy(&host->lock);
  free(host->verdicts);
  free(host->program);
  mui_names_of_free(&host->named);
  /* What is stuck stays mapped, and its records with it: the job may still come to an end. */
  if (!host->stuck)
    free(host);
}
