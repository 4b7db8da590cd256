/* SPDX-License-Identifier: ISC */
/*
 * When collectors are called and reports are made. One report per interval of the fastest collector: its calls begin, and when they
 * are back, or the fastest is back and the others were given a moment, or its deadline has passed, the report goes out.
 */
#include <math.h>

#include <muster/muster.h>

#include "agent.h"

#define MS INT64_C(1000000)
/* Between the first two samples: long enough for a rate, short enough for a report within 200 ms of the start. */
#define SECOND_AFTER_NS (100 * MS)
/* The first report does not wait longer than this for a slow collector, from the start; half of it for the first sample. */
#define FIRST_WITHIN_NS (800 * MS)
/* What slower collectors get when the fastest is back. */
#define MOMENT_NS (100 * MS)

static void start_timer(mu_timer *timer, int64_t at_ns)
{
  int64_t left = at_ns - mu_mono_ns();
  mu_timer_start(timer, left > 0 ? (uint64_t)((left + MS - 1) / MS) : 0, 0);
}

static void rearm(struct agent *agent)
{
  if (agent->phase != PHASE_RUNNING)
    return;
  int64_t due = schedule_due(&agent->schedule);
  start_timer(agent->wake, due < agent->report_ns ? due : agent->report_ns);
}

static void adapt(struct agent *agent)
{
  int64_t now = mu_mono_ns();
  if (now - agent->adapted_ns < ADAPT_EVERY_NS)
    return;
  const struct agent_config *config = agent->app->config;
  agent->adapted_ns = now;
  double before = agent->schedule.factor;
  double factor = adapt_step(&agent->adapt, (enum adaptive)config->adaptive, schedule_base_s(&agent->schedule),
                             report_load(&agent->schedule));
  if (factor == before)
    return;
  schedule_scale(&agent->schedule, factor);
  agent->report_ns = now + schedule_period_ns(&agent->schedule);
  mu_log(agent->app->runtime.core, MU_LOG_DEBUG, "interval is %.1f s now",
         schedule_base_s(&agent->schedule) * agent->schedule.factor);
}

/* The samples of this round are in, as far as they will be. */
static void close_round(struct agent *agent)
{
  mu_timer_stop(agent->patience);
  agent->waiting = false;
  schedule_await_none(&agent->schedule);
  switch (agent->phase) {
  case PHASE_FIRST:
    agent->phase = PHASE_SECOND;
    start_timer(agent->wake, agent->began_ns + SECOND_AFTER_NS);
    return;
  case PHASE_SECOND:
    agent->phase = PHASE_RUNNING;
    schedule_align(&agent->schedule);
    agent->report_ns = mu_mono_ns() + schedule_period_ns(&agent->schedule);
    agent->adapted_ns = mu_mono_ns();
    break;
  case PHASE_RUNNING:
    adapt(agent);
    break;
  case PHASE_IDLE:
    return;
  }
  rearm(agent);
  report_make(agent);
}

void rounds_progress(struct agent *agent)
{
  if (agent->waiting && !schedule_awaits(&agent->schedule, false)) {
    /* By the timer: the call that came back is still on the stack, and counts as running. */
    start_timer(agent->patience, mu_mono_ns());
  } else if (agent->waiting && agent->phase == PHASE_RUNNING && !agent->short_patience &&
             !schedule_awaits(&agent->schedule, true)) {
    agent->short_patience = true;
    start_timer(agent->patience, mu_mono_ns() + MOMENT_NS);
  }
  rearm(agent);
}

static void on_patience(void *context)
{
  struct agent *agent = context;
  if (agent->waiting)
    close_round(agent);
}

/* Calls begin; the next report waits for them until `until_ns`. */
static void open_round(struct agent *agent, bool all, int64_t until_ns)
{
  agent->waiting = true;
  agent->short_patience = false;
  start_timer(agent->patience, until_ns);
  schedule_run(&agent->schedule, all, true);
  rounds_progress(agent);
}

/* How long the fastest collectors may take, or any of them. */
static int64_t deadline_ns(const struct schedule *schedule, bool any)
{
  double base = schedule_base_s(schedule), deadline = 0;
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (any || slot->interval_s <= base)
      deadline = fmax(deadline, slot->deadline_s);
  return (int64_t)(deadline * 1e9);
}

/* Until when the first two rounds wait. The only report of --once waits for all: no later one would have what it lacks. */
static int64_t first_until_ns(const struct agent *agent, int64_t within_ns)
{
  if (agent->once)
    return mu_mono_ns() + deadline_ns(&agent->schedule, true) + MOMENT_NS;
  return agent->began_ns + within_ns;
}

static void on_wake(void *context)
{
  struct agent *agent = context;
  struct schedule *schedule = &agent->schedule;
  int64_t now = mu_mono_ns();
  schedule_warn(schedule);
  if (agent->phase == PHASE_SECOND) {
    open_round(agent, true, first_until_ns(agent, FIRST_WITHIN_NS));
    return;
  }
  if (agent->phase != PHASE_RUNNING)
    return;
  /* The timer counts in whole milliseconds. */
  if (now + 2 * MS < agent->report_ns) {
    schedule_run(schedule, false, false);
    rearm(agent);
    return;
  }
  int64_t period = schedule_period_ns(schedule);
  agent->report_ns = agent->report_ns + period > now ? agent->report_ns + period : now + period;
  /* A round that still waits is over: its report goes out before the next begins. */
  if (agent->waiting)
    close_round(agent);
  int64_t patience = deadline_ns(schedule, false);
  open_round(agent, false, now + (patience < period ? patience : period));
}

int rounds_init(struct agent *agent)
{
  mu_instance *core = agent->app->runtime.core;
  agent->schedule = (struct schedule){.factor = 1.0, .start = call_start, .context = agent};
  agent->adapt = (struct adapt){.factor = 1.0};
  agent->wake = mu_timer_new(core, on_wake, agent);
  agent->patience = mu_timer_new(core, on_patience, agent);
  return agent->wake && agent->patience ? 0 : MU_ENOMEM;
}

void rounds_begin(struct agent *agent)
{
  agent->phase = PHASE_FIRST;
  agent->began_ns = mu_mono_ns();
  open_round(agent, true, first_until_ns(agent, FIRST_WITHIN_NS / 2));
}

void rounds_changed(struct agent *agent)
{
  if (agent->phase != PHASE_RUNNING)
    return;
  int64_t latest = mu_mono_ns() + schedule_period_ns(&agent->schedule);
  if (agent->report_ns > latest)
    agent->report_ns = latest;
  rearm(agent);
}

void rounds_stop(struct agent *agent)
{
  agent->phase = PHASE_IDLE;
  agent->waiting = false;
  mu_timer_stop(agent->wake);
  mu_timer_stop(agent->patience);
}
