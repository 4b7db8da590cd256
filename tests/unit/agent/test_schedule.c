/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <json-c/json.h>

#include "base/clock.h"
#include "base/logging.h"
#include "schedule.h"
#include "unit.h"

#include <muster/muster.h>

#define SECOND INT64_C(1000000000)

static int64_t clock_ns;
static int start_error;
static unsigned started, lines;
static struct mui_runtime runtime;
static mu_instance *instance;

static int64_t mono(void)
{
  return clock_ns;
}

static int start(void *context, struct slot *slot)
{
  (void)context;
  (void)slot;
  started++;
  return start_error;
}

static void count_line(void *context, enum mu_level level, const char *line)
{
  (void)context;
  (void)line;
  lines += level >= MU_LOG_WARN;
}

static void open_schedule(struct schedule *schedule)
{
  clock_ns = 1000 * SECOND;
  start_error = 0;
  started = lines = 0;
  mui_clock_inject(NULL, mono);
  mui_log_sink(count_line, NULL);
  instance = mui_instance_new(&runtime, "cpu", "cpu");
  *schedule = (struct schedule){.factor = 1.0, .start = start};
}

static void close_schedule(struct schedule *schedule)
{
  schedule_clear(schedule);
  mui_instance_free(instance);
  mui_log_sink(NULL, NULL);
  mui_clock_inject(NULL, NULL);
}

static struct json_object *sample(int n)
{
  struct json_object *object = json_object_new_object();
  json_object_object_add(object, "n", json_object_new_int(n));
  return object;
}

static int newest(const struct slot *slot)
{
  struct json_object *n = NULL;
  return slot->good && json_object_object_get_ex(slot->good, "n", &n) ? json_object_get_int(n) : -1;
}

/* Seconds until something is due. */
static double due_in(const struct schedule *schedule)
{
  return (double)(schedule_due(schedule) - clock_ns) / 1e9;
}

static void own_intervals(void)
{
  struct schedule schedule;
  open_schedule(&schedule);
  CU_ASSERT_EQUAL(schedule_due(&schedule), INT64_MAX);
  CU_ASSERT_EQUAL(schedule_base_s(&schedule), 5.0);
  struct slot *fast = schedule_add(&schedule, instance, "fast", 2, 3, NULL);
  struct slot *slow = schedule_add(&schedule, instance, "slow", 5, 3, NULL);
  unsigned fast_calls = 0, slow_calls = 0;
  CU_ASSERT_EQUAL(due_in(&schedule), 0);
  for (int ms = 0; ms < 20000; ms += 100, clock_ns += SECOND / 10) {
    schedule_run(&schedule, false, true);
    fast_calls += fast->out;
    slow_calls += slow->out;
    if (fast->out)
      schedule_done(&schedule, fast, 0, sample(1));
    if (slow->out)
      schedule_done(&schedule, slow, 0, sample(2));
  }
  CU_ASSERT_EQUAL(fast_calls, 10);
  CU_ASSERT_EQUAL(slow_calls, 4);
  CU_ASSERT_EQUAL(schedule_base_s(&schedule), 2.0);
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 2 * SECOND);
  close_schedule(&schedule);
}

/* Called late once, it keeps its grid; after a long sleep it is called once, not often. */
static void lateness(void)
{
  struct schedule schedule;
  open_schedule(&schedule);
  struct slot *slot = schedule_add(&schedule, instance, "cpu", 5, 3, NULL);
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, slot, 0, sample(1));
  clock_ns += 6 * SECOND;
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, slot, 0, sample(2));
  CU_ASSERT_EQUAL(due_in(&schedule), 4.0);
  clock_ns += 3600 * SECOND;
  schedule_run(&schedule, false, true);
  CU_ASSERT_EQUAL(lines, 1); /* overdue */
  schedule_done(&schedule, slot, 0, sample(3));
  schedule_run(&schedule, false, true);
  CU_ASSERT_EQUAL(started, 3);
  CU_ASSERT_EQUAL(due_in(&schedule), 5.0);
  close_schedule(&schedule);
}

static void stuck(void)
{
  struct schedule schedule;
  struct mu_buf names = MU_BUF_INIT;
  open_schedule(&schedule);
  struct slot *hung = schedule_add(&schedule, instance, "disk", 5, 3, NULL);
  struct slot *well = schedule_add(&schedule, instance, "cpu", 5, 3, NULL);
  struct slot *other = schedule_add(&schedule, instance, "nfs", 5, 3, NULL);
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, well, 0, sample(1));
  CU_ASSERT(schedule_awaits(&schedule, false));
  clock_ns += 3 * SECOND;
  schedule_overdue(&schedule, hung);
  schedule_overdue(&schedule, other);
  CU_ASSERT_FALSE(schedule_awaits(&schedule, false));
  CU_ASSERT_EQUAL(schedule.failures, 2);
  schedule_stuck(&schedule, &names);
  CU_ASSERT_STRING_EQUAL(names.at, "disk,nfs");
  mu_buf_clear(&names);

  /* It is not called again, and nobody else is delayed. Said again at 3, 9, 21, 45, 93, … s after the deadline. */
  lines = 0;
  unsigned before = started, calls = 0;
  for (int s = 0; s < 100; s++, clock_ns += SECOND) {
    schedule_run(&schedule, false, true);
    schedule_warn(&schedule);
    if (well->out) {
      calls++;
      schedule_done(&schedule, well, 0, sample(2));
    }
  }
  CU_ASSERT_EQUAL(calls, 20);
  CU_ASSERT_EQUAL(started - before, 20);
  CU_ASSERT_EQUAL(lines, 2 * 5);

  schedule_late(&schedule, hung);
  schedule_stuck(&schedule, &names);
  CU_ASSERT_STRING_EQUAL(names.at, "nfs");
  CU_ASSERT_EQUAL(due_in(&schedule), 0);
  schedule_run(&schedule, false, true);
  CU_ASSERT(hung->out);
  schedule_done(&schedule, hung, 0, sample(7));
  CU_ASSERT_EQUAL(newest(hung), 7);
  mu_buf_free(&names);
  close_schedule(&schedule);
}

static void failures(void)
{
  static const double next[] = {10, 20, 40, 50, 50, 50};
  struct schedule schedule;
  open_schedule(&schedule);
  struct slot *slot = schedule_add(&schedule, instance, "cpu", 5, 3, NULL);
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, slot, 0, sample(1));
  clock_ns += 5 * SECOND;
  for (unsigned i = 0; i < sizeof(next) / sizeof(next[0]); i++) {
    schedule_run(&schedule, false, true);
    /* What it brought is thrown away, the sample before is kept. */
    schedule_done(&schedule, slot, MU_EIO, sample(99));
    CU_ASSERT_EQUAL(newest(slot), 1);
    CU_ASSERT_DOUBLE_EQUAL(due_in(&schedule), next[i], 1e-6);
    clock_ns = schedule_due(&schedule);
  }
  CU_ASSERT_EQUAL(schedule.failures, 6);
  CU_ASSERT_EQUAL(lines, 3); /* the first, second, fourth */
  /* Reports go on in the normal interval. */
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 5 * SECOND);
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, slot, 0, sample(2));
  CU_ASSERT_EQUAL(newest(slot), 2);
  CU_ASSERT_DOUBLE_EQUAL(due_in(&schedule), 5.0, 1e-6);
  /* One that cannot even begin fails likewise. */
  start_error = MU_ELIMIT;
  clock_ns += 5 * SECOND;
  schedule_run(&schedule, false, true);
  CU_ASSERT_FALSE(slot->out);
  CU_ASSERT_FALSE(slot->awaited);
  CU_ASSERT_EQUAL(schedule.failures, 7);
  CU_ASSERT_DOUBLE_EQUAL(due_in(&schedule), 10.0, 1e-6);
  close_schedule(&schedule);
}

static void one_factor(void)
{
  struct schedule schedule;
  open_schedule(&schedule);
  struct slot *fast = schedule_add(&schedule, instance, "fast", 5, 3, NULL);
  struct slot *slow = schedule_add(&schedule, instance, "slow", 60, 3, NULL);
  schedule_run(&schedule, false, true);
  schedule_done(&schedule, fast, 0, sample(1));
  schedule_done(&schedule, slow, 0, sample(1));
  clock_ns += 2 * SECOND;
  schedule_scale(&schedule, 0.4);
  CU_ASSERT_DOUBLE_EQUAL(due_in(&schedule), 0, 1e-6);
  CU_ASSERT_DOUBLE_EQUAL((double)(slow->due_ns - clock_ns) / 1e9, 22.0, 1e-6);
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 2 * SECOND);
  schedule_scale(&schedule, 6);
  CU_ASSERT_DOUBLE_EQUAL((double)(fast->due_ns - clock_ns) / 1e9, 28.0, 1e-6);
  CU_ASSERT_DOUBLE_EQUAL((double)(slow->due_ns - clock_ns) / 1e9, 358.0, 1e-6);
  close_schedule(&schedule);
}

/* A server must not take a machine under load for offline; an operator's own long interval stays. */
static void reports_in_time(void)
{
  struct schedule schedule;
  open_schedule(&schedule);
  struct slot *slot = schedule_add(&schedule, instance, "cpu", 5, 3, NULL);
  schedule_scale(&schedule, 4.5);
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 225 * SECOND / 10);
  schedule_scale(&schedule, 6);
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 25 * SECOND);
  schedule_run(&schedule, false, false);
  CU_ASSERT_EQUAL(schedule_due(&schedule), INT64_MAX);
  schedule_done(&schedule, slot, 0, sample(1));
  CU_ASSERT_EQUAL(schedule_due(&schedule), clock_ns + 30 * SECOND);
  schedule_set(&schedule, slot, 60, 3);
  schedule_scale(&schedule, 1);
  CU_ASSERT_EQUAL(schedule_period_ns(&schedule), 60 * SECOND);
  close_schedule(&schedule);
}

static void rounds(void)
{
  struct schedule schedule;
  open_schedule(&schedule);
  struct slot *fast = schedule_add(&schedule, instance, "fast", 5, 3, NULL);
  struct slot *slow = schedule_add(&schedule, instance, "slow", 60, 3, NULL);
  schedule_run(&schedule, true, true);
  CU_ASSERT(schedule_awaits(&schedule, true));
  schedule_done(&schedule, fast, 0, sample(1));
  CU_ASSERT(schedule_awaits(&schedule, false));
  CU_ASSERT_FALSE(schedule_awaits(&schedule, true));
  schedule_await_none(&schedule);
  CU_ASSERT_FALSE(schedule_awaits(&schedule, false));
  /* `all` calls those that are not out and did not fail. */
  unsigned before = started;
  schedule_run(&schedule, true, true);
  CU_ASSERT_EQUAL(started, before + 1);
  schedule_done(&schedule, fast, MU_EIO, NULL);
  schedule_run(&schedule, true, true);
  CU_ASSERT_EQUAL(started, before + 1);
  schedule_done(&schedule, slow, 0, sample(1));
  schedule_align(&schedule);
  CU_ASSERT_DOUBLE_EQUAL((double)(slow->due_ns - clock_ns) / 1e9, 60.0, 1e-6);
  schedule_set(&schedule, slow, 3, 1);
  CU_ASSERT_DOUBLE_EQUAL((double)(slow->due_ns - clock_ns) / 1e9, 3.0, 1e-6);
  CU_ASSERT_EQUAL(schedule_base_s(&schedule), 3.0);
  schedule_remove(&schedule, fast);
  CU_ASSERT_PTR_EQUAL(schedule.slots, slow);
  close_schedule(&schedule);
}

static const struct unit_test tests[] = {
    {"own intervals", own_intervals},          {"lateness", lateness},     {"stuck", stuck},   {"failures", failures},
    {"reports come in time", reports_in_time}, {"one factor", one_factor}, {"rounds", rounds},
};
UNIT_MAIN("schedule", tests)
