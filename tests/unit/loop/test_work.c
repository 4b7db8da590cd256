/* SPDX-License-Identifier: ISC */
/* The worker pool: order, deadlines, stuck jobs, revocation, the end. And the watchdog. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/instance.h"
#include "base/logging.h"
#include "loop/loop.h"
#include "unit.h"

struct frame {
  struct mui_runtime runtime;
  mu_instance *in;
};

static void setup(struct frame *frame, unsigned workers, unsigned spare)
{
  memset(frame, 0, sizeof(*frame));
  frame->runtime.loop = mui_loop_new(workers, spare);
  frame->in = mui_instance_new(&frame->runtime, "one", "test");
  frame->runtime.core = frame->in;
  CU_ASSERT_FATAL(frame->runtime.loop && frame->in);
}

static void sleep_ms(unsigned ms)
{
  struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

static void wait_ms(struct frame *frame, unsigned ms)
{
  bool never = false;
  mui_loop_until(frame->runtime.loop, &never, ms);
}

/* As the host does it: revoked, then freed when no job is out. */
static void teardown(struct frame *frame)
{
  mui_instance_revoke(frame->in);
  for (unsigned i = 0; i < 500 && frame->in->jobs > 0; i++)
    wait_ms(frame, 10);
  CU_ASSERT_EQUAL(frame->in->jobs, 0);
  mui_instance_free(frame->in);
  CU_ASSERT_EQUAL(mui_loop_free(frame->runtime.loop), 0);
}

/* A gate that works stand at until it is opened. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool open_;
static unsigned standing;

static void gate(bool open)
{
  pthread_mutex_lock(&lock);
  open_ = open;
  pthread_cond_broadcast(&moved);
  pthread_mutex_unlock(&lock);
}

static unsigned at_gate(void)
{
  pthread_mutex_lock(&lock);
  unsigned n = standing;
  pthread_mutex_unlock(&lock);
  return n;
}

static void await_standing(unsigned n)
{
  for (unsigned i = 0; i < 1000 && at_gate() != n; i++)
    sleep_ms(2);
  CU_ASSERT_EQUAL(at_gate(), n);
}

struct item {
  _Atomic unsigned ran;
  unsigned done, late;
  int result, late_result;
  bool told, ended; /* for mui_loop_until() */
  int give;
  unsigned *order;
  unsigned place;
};

static int quick(void *context)
{
  struct item *item = context;
  item->ran++;
  return item->give;
}

static int stand(void *context)
{
  struct item *item = context;
  item->ran++;
  pthread_mutex_lock(&lock);
  standing++;
  while (!open_)
    pthread_cond_wait(&moved, &lock);
  standing--;
  pthread_mutex_unlock(&lock);
  return item->give;
}

static int dawdle(void *context)
{
  sleep_ms(1800);
  return quick(context);
}

static void on_done(void *context, int result)
{
  struct item *item = context;
  item->done++;
  item->result = result;
  item->told = true;
  item->ended |= result != MU_ETIMEOUT;
  if (item->order)
    item->place = ++*item->order;
}

static void on_late(void *context, int result)
{
  struct item *item = context;
  item->late++;
  item->late_result = result;
  item->ended = true;
}

static int submit(struct frame *frame, int (*work)(void *), struct item *item, uint64_t deadline_ms)
{
  struct mu_job job = {.size = sizeof(job),
                       .work = work,
                       .done = on_done,
                       .late = on_late,
                       .context = item,
                       .deadline_ms = deadline_ms,
                       .what = "test"};
  return mu_work(frame->in, &job);
}

static void test_work(void)
{
  struct frame frame;
  setup(&frame, 2, 1);
  struct item items[200] = {0};
  for (unsigned i = 0; i < 200; i++) {
    items[i].give = i % 2 ? (int)i : MU_EIO;
    CU_ASSERT_EQUAL(submit(&frame, quick, &items[i], i % 3 ? 5000 : 0), 0);
  }
  CU_ASSERT_EQUAL(frame.in->jobs, 200);
  for (unsigned i = 0; i < 200; i++) {
    CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &items[i].told, 5000));
    CU_ASSERT_TRUE(items[i].ran == 1 && items[i].done == 1 && items[i].late == 0 && items[i].result == items[i].give);
  }
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  struct mui_account_row row;
  CU_ASSERT_TRUE(mui_account_read(frame.in, MUI_CB_JOB, &row));
  CU_ASSERT_TRUE(row.calls == 200 && row.errors == 100);
  CU_ASSERT_TRUE(mui_account_read(frame.in, MUI_CB_JOB_DONE, &row));
  CU_ASSERT_TRUE(row.calls == 200);
  struct mu_job none = {.size = sizeof(none), .work = quick, .context = &items[0]}; /* no callbacks, no name */
  CU_ASSERT_EQUAL(mu_work(frame.in, &none), 0);
  none.work = NULL;
  CU_ASSERT_EQUAL(mu_work(frame.in, &none), MU_EINVAL);
  none.size = 4;
  CU_ASSERT_EQUAL(mu_work(frame.in, &none), MU_EINVAL);
  teardown(&frame);
}

static void test_order_and_limit(void)
{
  struct frame frame;
  setup(&frame, 1, 0);
  gate(false);
  unsigned order = 0;
  struct item first = {0}, over = {0};
  struct item *items = calloc(1024, sizeof(*items));
  CU_ASSERT_EQUAL(submit(&frame, stand, &first, 0), 0);
  await_standing(1);
  for (unsigned i = 0; i < 1024; i++) {
    items[i].order = &order;
    CU_ASSERT_EQUAL(submit(&frame, quick, &items[i], 0), 0);
  }
  CU_ASSERT_EQUAL(submit(&frame, quick, &over, 0), MU_ELIMIT);
  gate(true);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &items[1023].told, 10000));
  for (unsigned i = 0; i < 1024; i++)
    CU_ASSERT_EQUAL(items[i].place, i + 1);
  free(items);
  teardown(&frame);
}

static void test_deadline_then_late(void)
{
  struct frame frame;
  setup(&frame, 1, 1);
  gate(false);
  struct item hung = {.give = 7}, next = {0};
  CU_ASSERT_EQUAL(submit(&frame, stand, &hung, 300), 0);
  await_standing(1);
  CU_ASSERT_EQUAL(submit(&frame, quick, &next, 2000), 0); /* waits behind it */
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung.told, 5000));
  CU_ASSERT_EQUAL(hung.result, MU_ETIMEOUT);
  CU_ASSERT_EQUAL(hung.late, 0);
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 1);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &next.told, 5000)); /* on the spare */
  CU_ASSERT_EQUAL(next.result, 0);
  CU_ASSERT_EQUAL(frame.in->jobs, 1);
  gate(true);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung.ended, 5000));
  CU_ASSERT_TRUE(hung.done == 1 && hung.late == 1 && hung.late_result == 7);
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 0);
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  /* Again and again: the spare comes back each time. */
  for (unsigned round = 0; round < 5; round++) {
    gate(false);
    struct item again = {0};
    CU_ASSERT_EQUAL(submit(&frame, stand, &again, 200), 0);
    await_standing(1);
    CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &again.told, 5000));
    CU_ASSERT_EQUAL(again.result, MU_ETIMEOUT);
    gate(true);
    CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &again.ended, 5000));
  }
  teardown(&frame);
}

static void test_spares_exhausted(void)
{
  struct frame frame;
  setup(&frame, 1, 1);
  gate(false);
  struct item hung[2] = {0}, waiting = {0}, patient = {0};
  for (unsigned i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL(submit(&frame, stand, &hung[i], 300), 0);
    await_standing(i + 1);
    CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung[i].told, 5000));
    CU_ASSERT_EQUAL(hung[i].result, MU_ETIMEOUT);
    CU_ASSERT_EQUAL(hung[i].ran, 1);
  }
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 2);
  /* Nobody is left: still queued, and answered in time. */
  CU_ASSERT_EQUAL(submit(&frame, quick, &waiting, 40), 0);
  CU_ASSERT_EQUAL(submit(&frame, quick, &patient, 0), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &waiting.ended, 5000));
  CU_ASSERT_TRUE(waiting.ran == 0 && waiting.done == 1 && waiting.result == MU_ETIMEOUT);
  CU_ASSERT_TRUE(waiting.late == 1 && waiting.late_result == MU_ECLOSED);
  CU_ASSERT_FALSE(patient.told);
  gate(true); /* one of those that come back rejoins */
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &patient.told, 5000));
  CU_ASSERT_EQUAL(patient.result, 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung[0].ended, 5000));
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung[1].ended, 5000));
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 0);
  teardown(&frame);
}

/* Time in the queue is not held against the thread. */
static void test_wait_is_not_overrun(void)
{
  struct frame frame;
  setup(&frame, 1, 0);
  gate(false);
  struct item first = {0}, second = {0};
  CU_ASSERT_EQUAL(submit(&frame, stand, &first, 0), 0);
  CU_ASSERT_EQUAL(submit(&frame, dawdle, &second, 3000), 0);
  wait_ms(&frame, 1500);
  gate(true); /* the second begins, with half of its wait left and all of its run */
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &first.told, 5000));
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &second.told, 5000));
  CU_ASSERT_EQUAL(second.result, 0);
  teardown(&frame);
}

static void test_revoked(void)
{
  struct frame frame;
  setup(&frame, 1, 1);
  gate(false);
  struct item stuck = {0}, running = {0}, queued = {0};
  CU_ASSERT_EQUAL(submit(&frame, stand, &stuck, 300), 0);
  await_standing(1);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &stuck.told, 5000));
  CU_ASSERT_EQUAL(submit(&frame, stand, &running, 500), 0);
  await_standing(2);
  CU_ASSERT_EQUAL(submit(&frame, quick, &queued, 2000), 0);
  mui_instance_revoke(frame.in);
  CU_ASSERT_TRUE(queued.done == 1 && queued.result == MU_ECLOSED && queued.ran == 0 && queued.late == 0);
  CU_ASSERT_EQUAL(frame.in->jobs, 2);
  CU_ASSERT_EQUAL(submit(&frame, quick, &queued, 0), MU_ECLOSED);
  wait_ms(&frame, 800); /* its deadline passes: the thread is written off, the stopped plugin is not called */
  CU_ASSERT_EQUAL(running.done, 0);
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 2);
  gate(true);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &running.ended, 5000));
  CU_ASSERT_TRUE(running.done == 1 && running.result == MU_ECLOSED && running.late == 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &stuck.ended, 5000));
  CU_ASSERT_TRUE(stuck.done == 1 && stuck.late == 1);
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  CU_ASSERT_EQUAL(mui_loop_stuck(frame.runtime.loop), 0);
  teardown(&frame);
}

/* The end does not wait for ever, neither for a job over its deadline nor for one without. */
static void test_free_with_stuck(void)
{
  struct frame frame;
  setup(&frame, 2, 1);
  gate(false);
  static struct item hung, slow; /* outlive this function, as a plugin that stays mapped does */
  CU_ASSERT_EQUAL(submit(&frame, stand, &hung, 300), 0);
  await_standing(1);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &hung.told, 5000));
  CU_ASSERT_EQUAL(submit(&frame, stand, &slow, 0), 0);
  await_standing(2);
  mui_instance_revoke(frame.in);
  int64_t began_ns = mu_mono_ns();
  CU_ASSERT_EQUAL(mui_loop_free(frame.runtime.loop), 2);
  CU_ASSERT_TRUE(mu_mono_ns() - began_ns < 1000000000);
  gate(true);
  await_standing(0);
  sleep_ms(20); /* the threads that were left behind end by themselves */
  CU_ASSERT_TRUE(hung.done == 1 && hung.late == 0 && slow.done == 0);
  CU_ASSERT_EQUAL(frame.in->jobs, 2);
  mui_instance_free(frame.in);
}

/* ---- the watchdog ---- */

static char warned[512], alarmed[512];
static unsigned warnings;

static void sink(void *context, enum mu_level level, const char *line)
{
  (void)context;
  pthread_mutex_lock(&lock);
  if (level == MU_LOG_WARN && strstr(line, "held the loop")) {
    warnings++;
    snprintf(warned, sizeof(warned), "%s", line);
  }
  if (level == MU_LOG_ERROR)
    snprintf(alarmed, sizeof(alarmed), "%s", line);
  pthread_mutex_unlock(&lock);
}

static unsigned warnings_now(void)
{
  pthread_mutex_lock(&lock);
  unsigned n = warnings;
  pthread_mutex_unlock(&lock);
  return n;
}

static bool said(const char *where, const char *what)
{
  pthread_mutex_lock(&lock);
  bool found = strstr(where, what) != NULL;
  pthread_mutex_unlock(&lock);
  return found;
}

static unsigned seen_inside;

/* Holds the loop until the watchdog has told so, and a while longer. */
static void block(void *context)
{
  unsigned before = warnings_now();
  for (unsigned i = 0; i < 400 && warnings_now() == before; i++)
    sleep_ms(10);
  sleep_ms(200);
  seen_inside = warnings_now();
  *(bool *)context = true;
}

static void block_long(void *context)
{
  for (unsigned i = 0; i < 1000 && !said(alarmed, "blocked"); i++)
    sleep_ms(10);
  *(bool *)context = true;
}

static void flag(void *context)
{
  *(bool *)context = true;
}

static void test_watchdog(void)
{
  struct frame frame;
  setup(&frame, 1, 0);
  mui_log_sink(sink, NULL);
  CU_ASSERT_EQUAL(mui_watchdog_start(frame.runtime.loop), 0);
  CU_ASSERT_EQUAL(mui_watchdog_start(frame.runtime.loop), MU_EEXIST);
  bool done = false;
  CU_ASSERT_EQUAL(mu_post(frame.in, flag, NULL, &done), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &done, 1000));
  CU_ASSERT_EQUAL(warnings_now(), 0);
  done = false;
  CU_ASSERT_EQUAL(mu_post(frame.in, block, NULL, &done), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &done, 1000));
  CU_ASSERT_EQUAL(seen_inside, 1); /* told while it held the loop, and once */
  CU_ASSERT_TRUE(said(warned, "one"));
  CU_ASSERT_TRUE(said(warned, "\"post\""));
  wait_ms(&frame, 900); /* the watchdog sleeps; the next turn wakes it */
  done = false;
  CU_ASSERT_EQUAL(mu_post(frame.in, block, NULL, &done), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &done, 1000));
  CU_ASSERT_EQUAL(seen_inside, 2);
  CU_ASSERT_FALSE(said(alarmed, "blocked"));
  done = false;
  CU_ASSERT_EQUAL(mu_post(frame.in, block_long, NULL, &done), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &done, 1000));
  CU_ASSERT_TRUE(said(alarmed, "blocked the whole process"));
  CU_ASSERT_EQUAL(warnings_now(), 3);
  mui_watchdog_stop(frame.runtime.loop);
  mui_watchdog_stop(frame.runtime.loop);
  mui_log_sink(NULL, NULL);
  teardown(&frame);
}

static const struct unit_test tests[] = {
    {"jobs and results", test_work},
    {"order, full queue", test_order_and_limit},
    {"deadline, then late", test_deadline_then_late},
    {"spares exhausted", test_spares_exhausted},
    {"waiting is no overrun", test_wait_is_not_overrun},
    {"revoked", test_revoked},
    {"freed with stuck jobs", test_free_with_stuck},
    {"watchdog", test_watchdog},
};
UNIT_MAIN("work", tests)
