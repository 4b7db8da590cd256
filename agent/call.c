/* SPDX-License-Identifier: ISC */
/* One call of a collector on the worker pool. */
#include <stdlib.h>

#include <json-c/json.h>

#include <muster/muster.h>

#include "agent.h"
#include "json/sample.h"

struct call {
  struct agent *agent;
  struct slot *slot; /* NULL: it went away */
  const struct mu_collector_ops *ops;
  void *self;
  mu_sample *sample;
  int64_t took_ns;
};

static int work(void *context)
{
  struct call *call = context;
  int64_t began = mu_mono_ns();
  int result = call->ops->collect(call->self, call->sample);
  call->took_ns = mu_mono_ns() - began;
  return result;
}

static void call_free(struct call *call)
{
  mui_sample_free(call->sample);
  free(call);
}

static void done(void *context, int result)
{
  struct call *call = context;
  struct slot *slot = call->slot;
  if (result == MU_ETIMEOUT) {
    /* The sample belongs to the worker until late(). */
    if (slot) {
      schedule_overdue(&call->agent->schedule, slot);
      rounds_progress(call->agent);
    }
    return;
  }
  if (slot) {
    struct agent *agent = call->agent;
    unsigned omitted = mui_sample_omitted(call->sample);
    mui_call_book(slot->in, MUI_CB_COLLECT, call->took_ns, result);
    if (omitted) {
      mu_count(mu_counter_get(slot->in, "omitted_metrics"), omitted);
      mu_log_limited(slot->in, MU_LOG_WARN, "omitted", "%u metrics were left out: not finite, misnamed or given twice",
                     omitted);
    }
    struct json_object *metrics = mui_sample_take(call->sample);
    slot->call = NULL;
    schedule_done(&agent->schedule, slot, result, metrics);
    rounds_progress(agent);
  }
  call_free(call);
}

static void late(void *context, int result)
{
  struct call *call = context;
  (void)result;
  if (call->slot) {
    call->slot->call = NULL;
    schedule_late(&call->agent->schedule, call->slot);
    rounds_changed(call->agent);
  }
  call_free(call);
}

int call_start(void *context, struct slot *slot)
{
  struct agent *agent = context;
  const struct mui_loaded *loaded = slot->owner;
  struct call *call = calloc(1, sizeof(*call));
  if (!call)
    return MU_ENOMEM;
  *call = (struct call){.agent = agent,
                        .slot = slot,
                        .ops = loaded->component->ops,
                        .self = loaded->self,
                        .sample = mui_sample_new(agent->app->runtime.root, mu_mono_ns())};
  struct mu_job job = {.size = sizeof(job),
                       .work = work,
                       .done = done,
                       .late = late,
                       .context = call,
                       .deadline_ms = (uint64_t)(slot->deadline_s * 1000),
                       .what = "collect"};
  int error = call->sample ? mu_work(slot->in, &job) : MU_ENOMEM;
  if (error) {
    call_free(call);
    return error;
  }
  slot->call = call;
  return 0;
}

void call_forget(struct slot *slot)
{
  struct call *call = slot->call;
  if (call)
    call->slot = NULL;
  slot->call = NULL;
}
