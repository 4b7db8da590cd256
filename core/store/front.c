/* SPDX-License-Identifier: ISC */
/*
 * The loop's side: two queues, and for each link at most one batch that is out. While one batch is carried out the next one gathers:
 * that is what makes many transactions one commit.
 *
 * An ask is in exactly one place: a queue, a user's `held` (its tables are being brought up to date), a batch, or `ended`. Whoever stops
 * is told nothing more; what he wanted to change is changed all the same.
 */
#include <stdlib.h>
#include <stdio.h>

#include <muster/plugin.h>

#include "store/internal.h"

enum {
  BATCH_WRITES = 1000,
  BATCH_READS = 64,
  LOOK_MS = 100,
  STOP_MS = 700, /* of the second that a stop may take */
  PAUSE_FIRST_MS = 20,
  PAUSE_MOST_MS = 2000,
};
#define BATCH_BYTES ((size_t)16 << 20)
/* What a link may need beyond its statements: to connect, to begin and to commit. */
#define JOB_EXTRA_MS 30000

/* ---- answers --------------------------------------------------------------------------------- */

/* A worker may still have the ask: only what is the loop's is looked at. */
static void tell_result(mu_store_front *front, struct mui_ask *ask, const struct mu_result *result)
{
  mu_count(front->counters.errors, result->error != 0);
  mu_count(front->counters.rows, result->rows);
  if (result->error == MU_EIO)
    mu_log_limited(front->in, MU_LOG_ERROR, "trouble", "%s: %s", front->driver->what, result->reason);
  if (ask->done && !ask->user->gone) {
    struct mui_call call;
    mui_call_begin(&call, ask->user->in, MUI_CB_JOB_DONE);
    ask->done(ask->context, result);
    mui_call_end(&call, 0);
  }
}

static void tell(mu_store_front *front, struct mui_ask *ask)
{
  struct mu_result result = {.size = sizeof result,
                             .error = ask->error,
                             .reason = ask->reason ? ask->reason : "",
                             .key = ask->key ? ask->key : "",
                             .failed = ask->failed,
                             .changed = ask->changed,
                             .changed_count = ask->changed_count};
  if (!ask->error) {
    result.rows = ask->rows.rows;
    result.columns = ask->rows.columns;
    result.values = ask->rows.values;
  }
  tell_result(front, ask, &result);
}

/* The last of an ask. */
static void discard(mu_store_front *front, struct mui_ask *ask)
{
  front->waiting--;
  front->waiting_bytes -= ask->bytes;
  mui_user_unref(ask->user);
  mui_ask_free(ask);
}

static void end_with(struct mui_ask *ask, int error, const char *reason)
{
  struct mu_store_fault fault;
  mui_fault_clear(&fault);
  mu_store_fail(&fault, error, "%s", reason);
  mui_ask_end(ask, error, 0, &fault);
}

static void log_migration(mu_store_front *front, const struct mui_ask *ask)
{
  unsigned last = ask->steps[ask->step_count - 1].version;
  if (ask->error && !front->over)
    mu_log(front->in, MU_LOG_ERROR, "the tables of \"%s\" could not be brought to version %u: %s", ask->owner, last,
           ask->reason ? ask->reason : mu_strerror(ask->error));
  else if (!ask->error && ask->reached)
    mu_log(front->in, MU_LOG_INFO, "the tables of \"%s\" are at version %u now: %s", ask->owner, last,
           ask->steps[ask->step_count - 1].what);
}

/* What the user asked meanwhile goes on, or ends. */
static void migrated(mu_store_front *front, struct mui_user *user, int error)
{
  user->failed = user->failed || error;
  if (user->migrating > 0)
    user->migrating--;
  if (user->migrating > 0 && !user->failed)
    return;
  for (struct mui_ask *ask; (ask = mui_asks_pop(&user->held));)
    if (user->failed) {
      end_with(ask, MU_EUNAVAILABLE, "its tables could not be brought up to date");
      mui_asks_add(&front->ended, ask);
    } else {
      mui_asks_add(ask->kind == MUI_READ ? &front->reads : &front->writes, ask);
      front->read_count += ask->kind == MUI_READ;
    }
}

static void finish(mu_store_front *front, struct mui_ask *ask)
{
  if (ask->kind == MUI_MIGRATE) {
    log_migration(front, ask);
    migrated(front, ask->user, ask->error);
  } else {
    mu_count(ask->kind == MUI_READ ? front->counters.reads : front->counters.transactions, 1);
  }
  tell(front, ask);
  discard(front, ask);
}

static void tell_ended(mu_store_front *front)
{
  /* Those that come meanwhile have their turn later. */
  struct mui_asks now;
  mui_asks_init(&now);
  mui_asks_put_back(&now, &front->ended);
  for (struct mui_ask *ask; (ask = mui_asks_pop(&now));)
    finish(front, ask);
}

void mui_front_end(mu_store_front *front, struct mui_ask *ask)
{
  mui_asks_add(&front->ended, ask);
  if (front->soon)
    mu_timer_start(front->soon, 0, 0);
}

/* ---- waiting too long ------------------------------------------------------------------------ */

static void expire(mu_store_front *front, struct mui_asks *asks, int64_t limit_ns, const char *reason)
{
  struct mui_asks kept;
  unsigned expired = 0;
  mui_asks_init(&kept);
  for (struct mui_ask *ask; (ask = asks->first);) {
    bool keep = ask->kind == MUI_MIGRATE && !front->over; /* waits for as long as it takes */
    if (!keep && ask->asked_ns > limit_ns)
      break;
    mui_asks_pop(asks);
    if (keep) {
      mui_asks_add(&kept, ask);
      continue;
    }
    front->read_count -= asks == &front->reads;
    expired++;
    end_with(ask, MU_EUNAVAILABLE, reason);
    mui_asks_add(&front->ended, ask);
  }
  mui_asks_put_back(asks, &kept);
  mu_count(front->counters.expired, expired);
  if (expired && !front->over)
    mu_log_limited(front->in, MU_LOG_WARN, "expired",
                   "%s: %u reads and transactions waited for %.1f s and were given up", front->driver->what, expired,
                   front->limits.wait);
}

/* What was asked before this time has waited for too long. */
static int64_t patience_ns(const mu_store_front *front)
{
  return mu_mono_ns() - (int64_t)(front->limits.wait * 1e9);
}

static void expire_all(mu_store_front *front, int64_t limit_ns, const char *reason)
{
  expire(front, &front->reads, limit_ns, reason);
  expire(front, &front->writes, limit_ns, reason);
  for (struct mui_user *user = front->users; user; user = user->next)
    expire(front, &user->held, limit_ns, reason);
}

/* ---- batches --------------------------------------------------------------------------------- */

static int64_t pause_left_ms(const struct mui_slot *slot, int64_t now_ns)
{
  int64_t left_ns = slot->paused_ns - now_ns;
  return left_ns > 0 ? left_ns / 1000000 + 1 : 0;
}

static void pause_slot(struct mui_slot *slot, bool busy)
{
  int64_t most_ns = (busy ? PAUSE_MOST_MS / 8 : PAUSE_MOST_MS) * INT64_C(1000000);
  slot->pause_ns = slot->pause_ns ? slot->pause_ns * 2 : PAUSE_FIRST_MS * INT64_C(1000000);
  if (slot->pause_ns > most_ns)
    slot->pause_ns = most_ns;
  slot->paused_ns = mu_mono_ns() + slot->pause_ns;
}

static struct mui_asks *queue_of(mu_store_front *front, const struct mui_batch *batch)
{
  return batch->what == MUI_BATCH_READS ? &front->reads : &front->writes;
}

static void put_back(mu_store_front *front, struct mui_batch *batch)
{
  struct mui_asks open;
  mui_asks_init(&open);
  for (struct mui_ask *ask; (ask = mui_asks_pop(&batch->asks));) {
    front->read_count += batch->what == MUI_BATCH_READS;
    mui_asks_add(&open, ask);
  }
  mui_asks_put_back(queue_of(front, batch), &open);
}

/* Those that nobody wants to know any more are not carried out. */
static void gather(mu_store_front *front, struct mui_batch *batch, size_t most)
{
  struct mui_asks *queue = queue_of(front, batch);
  size_t bytes = 0, count = 0;
  while (queue->first && count < most && bytes < BATCH_BYTES) {
    if (queue->first->kind == MUI_MIGRATE && count > 0)
      break;
    struct mui_ask *ask = mui_asks_pop(queue);
    front->read_count -= ask->kind == MUI_READ;
    if (ask->kind == MUI_READ && ask->user->gone) {
      discard(front, ask);
      continue;
    }
    bytes += ask->bytes;
    count++;
    mui_asks_add(&batch->asks, ask);
    if (ask->kind == MUI_MIGRATE) {
      batch->what = MUI_BATCH_MIGRATION;
      break;
    }
  }
}

static int job_work(void *context)
{
  mui_batch_run(context);
  return 0;
}
static void job_done(void *context, int result);
static void job_late(void *context, int result);

/* 0, or it could not be sent and is gone; its asks are where they were. */
static int batch_send(mu_store_front *front, struct mui_slot *slot, int what, size_t most)
{
  struct mui_batch *batch = calloc(1, sizeof *batch);
  if (!batch)
    return MU_ENOMEM;
  *batch = (struct mui_batch){.front = front, .slot = slot, .link = &slot->link, .what = what};
  batch->keep = (size_t)front->limits.statements;
  batch->run_ns = (int64_t)(front->limits.run * 1e9);
  mui_asks_init(&batch->asks);
  if (most > 0)
    gather(front, batch, most);
  if (most > 0 && !batch->asks.first) {
    free(batch);
    return 0;
  }
  struct mu_job job = {.size = sizeof job,
                       .work = job_work,
                       .done = job_done,
                       .late = job_late,
                       .context = batch,
                       .deadline_ms =
                           batch->what == MUI_BATCH_MIGRATION ? 0 : (uint64_t)(front->limits.run * 3000) + JOB_EXTRA_MS,
                       .what = "database"};
  int error = mu_work(front->in, &job);
  if (error) {
    put_back(front, batch);
    free(batch);
    return error;
  }
  slot->busy = batch;
  front->busy++;
  return 0;
}

static bool slot_free(const struct mui_slot *slot, int64_t now_ns)
{
  return !slot->busy && pause_left_ms(slot, now_ns) == 0;
}

/* When something can go on that waits for nothing but time. */
static void arm(mu_store_front *front, int64_t now_ns)
{
  int64_t after_ms = front->ended.first ? 0 : -1;
  for (size_t i = 0; i < front->slot_count && after_ms != 0 && !front->over; i++) {
    const struct mui_slot *slot = &front->slots[i];
    if (slot->busy || !(i ? front->reads.first : front->writes.first))
      continue;
    int64_t left_ms = pause_left_ms(slot, now_ns);
    if (left_ms > 0 && (after_ms < 0 || left_ms < after_ms))
      after_ms = left_ms;
  }
  if (after_ms >= 0)
    mu_timer_start(front->soon, (uint64_t)after_ms, 0);
}

void mui_front_kick(mu_store_front *front)
{
  size_t free_readers = 0;
  int64_t now_ns = mu_mono_ns(); /* one for both rounds: whose pause ends between them would not have been counted */
  for (size_t i = 0; i < front->slot_count && front->started && !front->over; i++) {
    struct mui_slot *slot = &front->slots[i];
    if (slot->tend && slot->open && slot_free(slot, now_ns)) {
      slot->tend = false;
      if (batch_send(front, slot, MUI_BATCH_TEND, 0) != 0)
        pause_slot(slot, true);
    }
    free_readers += i > 0 && slot_free(slot, now_ns);
  }
  for (size_t i = 0; i < front->slot_count && front->started && !front->over; i++) {
    struct mui_slot *slot = &front->slots[i];
    if (!slot_free(slot, now_ns) || !(i ? front->reads.first : front->writes.first))
      continue;
    /* Readers share what waits. */
    size_t share = i ? (front->read_count + free_readers - 1) / free_readers : BATCH_WRITES;
    free_readers -= i > 0;
    if (i && (share > BATCH_READS || share == 0))
      share = BATCH_READS;
    if (batch_send(front, slot, i ? MUI_BATCH_READS : MUI_BATCH_WRITES, share) != 0)
      pause_slot(slot, true);
  }
  arm(front, now_ns);
}

void mui_front_add(mu_store_front *front, struct mui_ask *ask)
{
  if (!mu_timer_active(front->look))
    mu_timer_start(front->look, LOOK_MS, LOOK_MS);
  if (!ask)
    return;
  mui_asks_add(ask->kind == MUI_READ ? &front->reads : &front->writes, ask);
  front->read_count += ask->kind == MUI_READ;
  mui_front_kick(front);
}

/* ---- what came of them ----------------------------------------------------------------------- */

static void judge_link(mu_store_front *front, struct mui_slot *slot, const struct mui_batch *batch)
{
  slot->open = slot->link.handle != NULL;
  if (batch->what == MUI_BATCH_TEND && batch->trouble) {
    mu_log_limited(front->in, MU_LOG_WARN, "tend", "%s: housekeeping: %s", front->driver->what, batch->reason);
  } else if (batch->trouble) {
    pause_slot(slot, batch->trouble == MU_EBUSY);
    if (batch->trouble == MU_EBUSY)
      mu_log_limited(front->in, MU_LOG_INFO, "locked", "%s: others hold a lock: %s", front->driver->what,
                     batch->reason);
    else if (!slot->down_ns)
      mu_log_limited(front->in, MU_LOG_ERROR, "trouble", "%s cannot be used now, and is tried again: %s",
                     front->driver->what, batch->reason);
    if (batch->trouble != MU_EBUSY && !slot->down_ns)
      slot->down_ns = mu_mono_ns();
  } else if (batch->what <= MUI_BATCH_MIGRATION) {
    slot->pause_ns = slot->paused_ns = 0;
    if (slot->down_ns)
      mu_log_limited(front->in, MU_LOG_INFO, "well", "%s can be used again, after %.1f s", front->driver->what,
                     (double)(mu_mono_ns() - slot->down_ns) / 1e9);
    slot->down_ns = 0;
  }
}

static void check_stopped(mu_store_front *front)
{
  if (!front->stopping || front->busy > 0 || front->waiting > 0 || atomic_load(&front->in->closed))
    return;
  for (size_t i = 0; i < front->slot_count; i++)
    if (front->slots[i].open && batch_send(front, &front->slots[i], MUI_BATCH_CLOSE, 0) != 0)
      front->slots[i].open = false; /* mu_store_front_free() closes it */
  if (front->busy == 0)
    mu_stopped(front->in);
}

/* The worker has ended it. */
static void settle(struct mui_batch *batch)
{
  mu_store_front *front = batch->front;
  struct mui_slot *slot = batch->slot;
  struct mui_asks ended, open;
  mui_asks_init(&ended);
  mui_asks_init(&open);
  slot->busy = NULL;
  front->busy--;
  mu_count(front->counters.commits, batch->commits);
  mu_count(front->counters.statements, slot->link.statements);
  mu_count(front->counters.opened, slot->link.opened);
  judge_link(front, slot, batch);
  for (struct mui_ask *ask; (ask = mui_asks_pop(&batch->asks));) {
    if (batch->told) {
      discard(front, ask);
      continue;
    }
    if (!ask->ended && front->over)
      end_with(ask, MU_EUNAVAILABLE, "the store stops");
    front->read_count += !ask->ended && ask->kind == MUI_READ;
    mui_asks_add(ask->ended ? &ended : &open, ask);
  }
  mui_asks_put_back(queue_of(front, batch), &open);
  /* Here too: what fails again and again may be in some batch whenever on_look() comes. */
  expire(front, queue_of(front, batch), patience_ns(front),
         batch->trouble ? batch->reason : "the database was not free in time");
  free(batch);
  mui_front_kick(front); /* the next batch runs while this one is told */
  for (struct mui_ask *ask; (ask = mui_asks_pop(&ended));)
    finish(front, ask);
  mui_front_kick(front);
  check_stopped(front);
}

/* Tells everybody in a batch that is still out; the worker learns of it where it can. */
static void cancel(struct mui_batch *batch, const char *reason)
{
  mu_store_front *front = batch->front;
  if (batch->told)
    return;
  batch->told = true;
  atomic_store(&batch->cancelled, true);
  bool maybe = batch->what != MUI_BATCH_READS && atomic_load(&batch->committing);
  mui_link_interrupt(batch->link);
  struct mu_result result = {
      .size = sizeof result, .error = maybe ? MU_ETIMEOUT : MU_EUNAVAILABLE, .reason = reason, .key = ""};
  for (struct mui_ask *ask = batch->asks.first; ask; ask = ask->next) {
    if (ask->kind == MUI_MIGRATE)
      migrated(front, ask->user, result.error);
    tell_result(front, ask, &result);
  }
}

static void job_done(void *context, int result)
{
  struct mui_batch *batch = context;
  mu_store_front *front = batch->front;
  if (result == MU_ETIMEOUT && !atomic_load(&batch->began)) {
    put_back(front, batch);
  } else if (result == MU_ETIMEOUT) {
    cancel(batch, "the database does not answer");
    mui_front_kick(front);
  } else if (result == MU_ECLOSED || atomic_load(&front->in->closed)) {
    batch->slot->busy = NULL;
    front->busy--;
    for (struct mui_ask *ask; (ask = mui_asks_pop(&batch->asks));)
      discard(front, ask);
    free(batch);
  } else {
    settle(batch);
  }
}

static void job_late(void *context, int result)
{
  struct mui_batch *batch = context;
  job_done(batch, result == MU_ECLOSED || atomic_load(&batch->front->in->closed) ? MU_ECLOSED : 0);
  (void)result;
}

/* ---- timers, start, stop --------------------------------------------------------------------- */

static void on_soon(void *context)
{
  mu_store_front *front = context;
  tell_ended(front);
  mui_front_kick(front);
  check_stopped(front);
}

static void on_look(void *context)
{
  mu_store_front *front = context;
  expire_all(front, patience_ns(front), "the database was not free in time");
  tell_ended(front);
  mui_front_kick(front);
  mui_users_sweep(front);
  if (front->waiting == 0)
    mu_timer_stop(front->look);
}

static void on_tend(void *context)
{
  mu_store_front *front = context;
  for (size_t i = 0; i < front->slot_count; i++)
    front->slots[i].tend = true;
  mui_front_kick(front);
}

/* The time that a stop has is nearly over. */
static void on_end(void *context)
{
  mu_store_front *front = context;
  front->over = true;
  if (front->waiting > 0)
    mu_log(front->in, MU_LOG_WARN, "%zu reads and transactions were not carried out in the time that a stop has",
           front->waiting);
  for (size_t i = 0; i < front->slot_count; i++)
    if (front->slots[i].busy && front->slots[i].busy->what != MUI_BATCH_CLOSE)
      cancel(front->slots[i].busy, "the store stops");
  expire_all(front, INT64_MAX, "the store stops");
  while (front->ended.first)
    tell_ended(front);
  check_stopped(front);
}

int mui_front_timers(mu_store_front *front)
{
  front->soon = mu_timer_new(front->in, on_soon, front);
  front->look = mu_timer_new(front->in, on_look, front);
  front->tend = mu_timer_new(front->in, on_tend, front);
  front->end = mu_timer_new(front->in, on_end, front);
  return front->soon && front->look && front->tend && front->end ? 0 : MU_ENOMEM;
}

int mu_store_front_start(mu_store_front *front)
{
  front->started = true;
  if (front->driver->tend)
    mu_timer_start(front->tend, front->driver->tend_s * UINT64_C(1000), front->driver->tend_s * UINT64_C(1000));
  mui_front_kick(front);
  return 0;
}

int mu_store_front_stop(mu_store_front *front)
{
  front->stopping = true;
  mu_timer_stop(front->tend);
  bool open = false;
  for (size_t i = 0; i < front->slot_count; i++)
    open = open || front->slots[i].open;
  if (!open && front->busy == 0 && front->waiting == 0)
    return 0;
  mu_timer_start(front->end, STOP_MS, 0);
  mu_timer_start(front->soon, 0, 0);
  return MU_PENDING;
}
