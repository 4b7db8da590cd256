/* SPDX-License-Identifier: ISC */
#include <math.h>
#include <stdlib.h>

#include <json-c/json.h>

#include <muster/muster.h>

#include "schedule.h"

#define SECOND_NS 1e9
/* A call that begins this late is said to be overdue. */
#define SLACK_NS (2 * INT64_C(1000000000))
/* Calls due within this time are made together, so that few reports wake the machine. */
#define TOGETHER_NS (5 * INT64_C(1000000))

static int64_t interval_ns(const struct schedule *schedule, const struct slot *slot)
{
  unsigned backoff = slot->failed >= 4 ? SCHEDULE_BACKOFF_MAX : 1u << slot->failed;
  return (int64_t)(slot->interval_s * schedule->factor * backoff * SECOND_NS);
}

struct slot *schedule_add(struct schedule *schedule, mu_instance *in, const char *name, double interval_s,
                          double deadline_s, const void *owner)
{
  struct slot *slot = calloc(1, sizeof(*slot));
  if (!slot)
    return NULL;
  *slot = (struct slot){.in = in,
                        .name = name,
                        .owner = owner,
                        .interval_s = interval_s,
                        .deadline_s = deadline_s,
                        .due_ns = mu_mono_ns()};
  struct slot **last = &schedule->slots;
  while (*last)
    last = &(*last)->next;
  *last = slot;
  return slot;
}

void schedule_remove(struct schedule *schedule, struct slot *slot)
{
  struct slot **link = &schedule->slots;
  while (*link && *link != slot)
    link = &(*link)->next;
  if (*link)
    *link = slot->next;
  json_object_put(slot->good);
  free(slot);
}

void schedule_clear(struct schedule *schedule)
{
  while (schedule->slots)
    schedule_remove(schedule, schedule->slots);
}

/* One interval after the newest call; at once if that is over. */
static void set_due(const struct schedule *schedule, struct slot *slot)
{
  int64_t now = mu_mono_ns();
  int64_t due = slot->begun_ns ? slot->begun_ns + interval_ns(schedule, slot) : now;
  slot->due_ns = due > now ? due : now;
}

void schedule_set(struct schedule *schedule, struct slot *slot, double interval_s, double deadline_s)
{
  slot->interval_s = interval_s;
  slot->deadline_s = deadline_s;
  set_due(schedule, slot);
}

void schedule_scale(struct schedule *schedule, double factor)
{
  schedule->factor = factor;
  for (struct slot *slot = schedule->slots; slot; slot = slot->next)
    set_due(schedule, slot);
}

void schedule_align(struct schedule *schedule)
{
  int64_t now = mu_mono_ns();
  for (struct slot *slot = schedule->slots; slot; slot = slot->next)
    slot->due_ns = now + interval_ns(schedule, slot);
}

/* The next place on the slot's own grid: being called late once does not shift all later calls. */
static void next_due(const struct schedule *schedule, struct slot *slot, int64_t now)
{
  slot->due_ns += interval_ns(schedule, slot);
  if (slot->due_ns <= now)
    slot->due_ns = now + interval_ns(schedule, slot);
}

/* Whether the count is a power of two: said at the first, second, fourth, eighth time. */
static bool worth_saying(unsigned count)
{
  return (count & (count - 1)) == 0;
}

static void failed(struct schedule *schedule, struct slot *slot, const char *why)
{
  schedule->failures++;
  slot->failed++;
  slot->due_ns = slot->begun_ns + interval_ns(schedule, slot);
  if (worth_saying(slot->failed))
    mu_log(slot->in, MU_LOG_WARN, "collect failed: %s (%u in a row; next in %.1f s)", why, slot->failed,
           (double)interval_ns(schedule, slot) / SECOND_NS);
}

static void begin(struct schedule *schedule, struct slot *slot, int64_t now, bool await)
{
  int64_t late = now - slot->due_ns;
  if (late > SLACK_NS)
    mu_log_limited(slot->in, MU_LOG_WARN, "overdue", "collect is %.1f s overdue: the machine or this agent was held up",
                   (double)late / SECOND_NS);
  next_due(schedule, slot, now);
  slot->begun_ns = now;
  slot->out = true;
  slot->awaited = await;
  int error = schedule->start(schedule->context, slot);
  if (error) {
    slot->out = slot->awaited = false;
    failed(schedule, slot, mu_strerror(error));
  }
}

void schedule_run(struct schedule *schedule, bool all, bool await)
{
  int64_t now = mu_mono_ns();
  for (struct slot *slot = schedule->slots; slot; slot = slot->next) {
    bool due = all ? slot->failed == 0 : slot->due_ns <= now + TOGETHER_NS;
    if (due && !slot->out)
      begin(schedule, slot, now, await);
  }
}

void schedule_done(struct schedule *schedule, struct slot *slot, int result, struct json_object *metrics)
{
  slot->out = slot->stuck = slot->awaited = false;
  if (result < 0) {
    json_object_put(metrics);
    failed(schedule, slot, mu_strerror(result));
    return;
  }
  json_object_put(slot->good);
  slot->good = metrics;
  if (slot->failed) {
    mu_log(slot->in, MU_LOG_INFO, "collect works again after %u failures", slot->failed);
    slot->failed = 0;
    set_due(schedule, slot);
  }
}

void schedule_overdue(struct schedule *schedule, struct slot *slot)
{
  int64_t now = mu_mono_ns();
  schedule->failures++;
  slot->stuck = true;
  slot->awaited = false;
  slot->quiet_ns = (int64_t)(slot->deadline_s * SECOND_NS);
  slot->warn_ns = now + slot->quiet_ns;
  mu_log(slot->in, MU_LOG_WARN, "collect has not come back within %.1f s: not called again until it has",
         slot->deadline_s);
}

void schedule_late(struct schedule *schedule, struct slot *slot)
{
  mu_log(slot->in, MU_LOG_INFO, "collect has come back after %.1f s",
         (double)(mu_mono_ns() - slot->begun_ns) / SECOND_NS);
  slot->out = slot->stuck = false;
  set_due(schedule, slot);
}

void schedule_warn(struct schedule *schedule)
{
  int64_t now = mu_mono_ns();
  for (struct slot *slot = schedule->slots; slot; slot = slot->next) {
    if (!slot->stuck || now < slot->warn_ns)
      continue;
    mu_log(slot->in, MU_LOG_WARN, "collect is still stuck, for %.0f s now", (double)(now - slot->begun_ns) / SECOND_NS);
    slot->quiet_ns *= 2;
    slot->warn_ns = now + slot->quiet_ns;
  }
}

int64_t schedule_due(const struct schedule *schedule)
{
  int64_t due = INT64_MAX;
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (!slot->out && slot->due_ns < due)
      due = slot->due_ns;
  return due;
}

double schedule_base_s(const struct schedule *schedule)
{
  double base = 0;
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (base <= 0 || slot->interval_s < base)
      base = slot->interval_s;
  return base > 0 ? base : 5.0;
}

int64_t schedule_period_ns(const struct schedule *schedule)
{
  double base = schedule_base_s(schedule);
  return (int64_t)(fmin(base * schedule->factor, fmax(base, SCHEDULE_REPORT_MAX)) * SECOND_NS);
}

bool schedule_awaits(const struct schedule *schedule, bool fastest)
{
  double base = schedule_base_s(schedule);
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (slot->awaited && (!fastest || slot->interval_s <= base))
      return true;
  return false;
}

void schedule_await_none(struct schedule *schedule)
{
  for (struct slot *slot = schedule->slots; slot; slot = slot->next)
    slot->awaited = false;
}

void schedule_stuck(const struct schedule *schedule, struct mu_buf *names)
{
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (slot->stuck)
      mu_buf_printf(names, "%s%s", names->len ? "," : "", slot->name);
}
