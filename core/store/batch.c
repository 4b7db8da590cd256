/* SPDX-License-Identifier: ISC */
/*
 * What a worker does with a batch: reads one after another, or transactions within one of the database's.
 *
 * Each transaction has a savepoint of its own, so that one that fails is taken back alone. What is a single statement and may change any
 * number of rows needs none: a statement that fails leaves nothing behind. When the database takes back everything, the others are begun
 * anew; when it refuses the commit, each is tried alone, so that only those are told who are to blame.
 *
 * Every ask of the batch either ends, or is left as it was and asked again later.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/internal.h"

/* A batch begins nothing new after this time: those at its front wait for those at its end. */
#define WRITE_SLICE_NS INT64_C(50000000)
#define READ_SLICE_NS INT64_C(10000000)
enum { TRIES = 3 };

void mui_batch_trouble(struct mui_batch *batch, int error, const struct mu_store_fault *fault)
{
  batch->trouble = error;
  snprintf(batch->reason, sizeof batch->reason, "%s", fault->reason);
}

int mui_batch_statement(struct mui_batch *batch, struct mui_ask *ask, size_t at, int64_t until_ns,
                        struct mu_store_fault *fault)
{
  const struct mui_sql *sql = &ask->statements[at];
  struct mu_store_run run = {
      .size = sizeof run, .values = sql->values, .count = sql->count, .rows = &ask->rows, .until_ns = until_ns};
  size_t keep = ask->kind == MUI_MIGRATE ? 0 : batch->keep;
  mui_fault_clear(fault);
  int error = mui_link_run(batch->link, sql->text, &run, keep, &ask->changed[at], fault);
  if (error > 0)
    error = MU_EIO;
  if (error) {
    mui_link_judge(batch->link, error, false, fault);
    return error;
  }
  if (sql->expect >= 0 && ask->changed[at] != sql->expect)
    return mu_store_fail(fault, MU_EREFUSED, "%lld rows changed, %lld were expected", (long long)ask->changed[at],
                         (long long)sql->expect);
  return 0;
}

static void rollback(struct mui_batch *batch)
{
  struct mu_store_fault fault;
  mui_fault_clear(&fault);
  /* A link that cannot even do this is in nobody knows what state. */
  if (batch->link->handle && mui_link_step(batch->link, MU_STORE_ROLLBACK, &fault) != 0)
    mui_link_close(batch->link);
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* False: the rest is for another time. */
static bool read_one(struct mui_batch *batch, struct mui_ask *ask)
{
  struct mu_store_fault fault;
  for (;;) {
    mui_fault_clear(&fault);
    int error = mui_link_open(batch->link, &fault);
    if (!error) {
      error = mui_batch_statement(batch, ask, 0, mu_mono_ns() + batch->run_ns, &fault);
      if (error != MU_EBUSY && batch->link->handle) {
        mui_ask_end(ask, error, 0, &fault);
        return true;
      }
      mui_rows_clear(&ask->rows);
    }
    if (error && batch->link->handle == NULL && fault.broken && ++ask->tries < TRIES)
      continue;
    if (ask->tries < TRIES) {
      mui_batch_trouble(batch, error, &fault);
      return false;
    }
    mui_ask_end(ask, MU_EUNAVAILABLE, 0, &fault);
    return true;
  }
}

static void run_reads(struct mui_batch *batch)
{
  int64_t until_ns = mu_mono_ns() + READ_SLICE_NS;
  for (struct mui_ask *ask = batch->asks.first; ask; ask = ask->next)
    if (atomic_load(&batch->cancelled) || !read_one(batch, ask) || mu_mono_ns() > until_ns)
      return;
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum course {
  COURSE_DONE,   /* as far as it went */
  COURSE_AGAIN,  /* nothing was done: once more */
  COURSE_SINGLY, /* nothing was done: each in a transaction of its own */
  COURSE_LEAVE,  /* not now */
};

static struct mui_ask *next_open(struct mui_ask *ask)
{
  while (ask && ask->ended)
    ask = ask->next;
  return ask;
}

/* The transaction is open no more, or must not go on: what had run has not. */
static enum course lost(struct mui_batch *batch, const struct mu_store_fault *fault, enum course course)
{
  if (!fault->undone)
    rollback(batch);
  for (struct mui_ask *ask = batch->asks.first; ask; ask = ask->next)
    ask->ran = false;
  return course;
}

/* One ask within the transaction. COURSE_DONE: it ran, or it failed and nothing of it is left. */
static enum course carry_out(struct mui_batch *batch, struct mui_ask *ask, bool many, struct mu_store_fault *fault)
{
  struct mui_link *link = batch->link;
  bool save = many && (ask->count > 1 || ask->statements[0].expect >= 0);
  int64_t until_ns = mu_mono_ns() + batch->run_ns;
  size_t at = 0;
  mui_rows_clear(&ask->rows);
  mui_fault_clear(fault);
  int error = save ? mui_link_step(link, MU_STORE_SAVE, fault) : 0;
  for (; !error && at < ask->count; at++)
    if ((error = mui_batch_statement(batch, ask, at, until_ns, fault)) != 0)
      break;
  if (!error && save) {
    mui_fault_clear(fault);
    error = mui_link_step(link, MU_STORE_RELEASE, fault);
  }
  if (!error) {
    ask->ran = true;
    return COURSE_DONE;
  }
  if (!link->handle) { /* once is the link's fault, three times this one's */
    if (++ask->tries >= TRIES)
      mui_ask_end(ask, MU_EUNAVAILABLE, at, fault);
    return COURSE_AGAIN;
  }
  if (error == MU_EBUSY) {
    mui_batch_trouble(batch, error, fault);
    return COURSE_LEAVE;
  }
  mui_ask_end(ask, error, at < ask->count ? at : ask->count - 1, fault);
  if (fault->undone)
    return COURSE_AGAIN;
  if (save) {
    mui_fault_clear(fault);
    return mui_link_step(link, MU_STORE_BACK, fault) == 0 ? COURSE_DONE : COURSE_AGAIN;
  }
  /* These are ours and not the statement's, which stands. */
  return error == MU_ELIMIT || error == MU_ENOMEM ? COURSE_AGAIN : COURSE_DONE;
}

static void end_those_that_ran(struct mui_batch *batch, int error, const struct mu_store_fault *fault)
{
  for (struct mui_ask *ask = batch->asks.first; ask; ask = ask->next)
    if (ask->ran && !ask->ended)
      mui_ask_end(ask, error, ask->count - 1, fault);
}

static enum course commit(struct mui_batch *batch, size_t ran, struct mu_store_fault *fault)
{
  mui_fault_clear(fault);
  atomic_store(&batch->committing, true);
  if (atomic_load(&batch->cancelled))
    return lost(batch, fault, COURSE_LEAVE);
  int error = mui_link_step(batch->link, MU_STORE_COMMIT, fault);
  if (!error) {
    batch->commits++;
    end_those_that_ran(batch, 0, NULL);
    return COURSE_DONE;
  }
  if (error == MU_ETIMEOUT) {
    end_those_that_ran(batch, MU_ETIMEOUT, fault);
    return COURSE_DONE;
  }
  if (!batch->link->handle)
    return lost(batch, fault, COURSE_AGAIN);
  if (error == MU_EBUSY) {
    mui_batch_trouble(batch, error, fault);
    return lost(batch, fault, COURSE_LEAVE);
  }
  if (ran > 1 && error != MU_EIO)
    return lost(batch, fault, COURSE_SINGLY);
  end_those_that_ran(batch, error, fault);
  return lost(batch, fault, COURSE_DONE);
}

static enum course begin(struct mui_batch *batch, struct mu_store_fault *fault)
{
  mui_fault_clear(fault);
  int error = mui_link_open(batch->link, fault);
  if (error) {
    mui_batch_trouble(batch, error, fault);
    return COURSE_LEAVE;
  }
  error = mui_link_step(batch->link, MU_STORE_BEGIN, fault);
  if (!error)
    return COURSE_DONE;
  mui_batch_trouble(batch, error, fault);
  if (!batch->link->handle)
    return COURSE_AGAIN;
  if (error == MU_EBUSY)
    return COURSE_LEAVE;
  for (struct mui_ask *ask = batch->asks.first; ask; ask = ask->next)
    if (!ask->ended)
      mui_ask_end(ask, error, 0, fault);
  return COURSE_LEAVE;
}

static enum course transaction(struct mui_batch *batch, bool singly, int64_t until_ns)
{
  struct mu_store_fault fault;
  enum course course = begin(batch, &fault);
  if (course != COURSE_DONE)
    return course;
  struct mui_ask *ask = next_open(batch->asks.first);
  bool many = !singly && next_open(ask->next);
  size_t ran = 0;
  for (; ask; ask = singly ? NULL : next_open(ask->next)) {
    if (ran > 0 && mu_mono_ns() > until_ns)
      break;
    if (atomic_load(&batch->cancelled))
      return lost(batch, &fault, COURSE_LEAVE);
    course = carry_out(batch, ask, many, &fault);
    if (course != COURSE_DONE)
      return lost(batch, &fault, course);
    ran += ask->ran;
  }
  if (ran == 0) {
    rollback(batch);
    return COURSE_DONE;
  }
  return commit(batch, ran, &fault);
}

static void run_writes(struct mui_batch *batch)
{
  int64_t until_ns = mu_mono_ns() + WRITE_SLICE_NS;
  bool singly = false;
  for (unsigned again = 0; next_open(batch->asks.first) && !atomic_load(&batch->cancelled);) {
    enum course course = transaction(batch, singly, until_ns);
    batch->trouble = course == COURSE_LEAVE || course == COURSE_AGAIN ? batch->trouble : 0;
    if (course == COURSE_LEAVE || (course == COURSE_DONE && (!singly || mu_mono_ns() > until_ns)))
      return;
    if (course == COURSE_AGAIN && ++again >= 2 * TRIES)
      return;
    singly = singly || course == COURSE_SINGLY || (course == COURSE_AGAIN && again >= TRIES);
  }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void tend(struct mui_batch *batch)
{
  struct mui_link *link = batch->link;
  struct mu_store_fault fault;
  if (!link->handle)
    return;
  mui_fault_clear(&fault);
  int error = link->driver->tend(link->handle, link->writer, &fault);
  if (error) {
    mui_batch_trouble(batch, error, &fault);
    mui_link_judge(link, error, false, &fault);
  }
}

void mui_batch_run(struct mui_batch *batch)
{
  atomic_store(&batch->began, true);
  batch->link->opened = batch->link->statements = 0;
  switch (batch->what) {
  case MUI_BATCH_READS:
    run_reads(batch);
    break;
  case MUI_BATCH_WRITES:
    run_writes(batch);
    break;
  case MUI_BATCH_MIGRATION:
    mui_batch_migrate(batch, batch->asks.first);
    break;
  case MUI_BATCH_TEND:
    tend(batch);
    break;
  case MUI_BATCH_CLOSE:
    mui_link_close(batch->link);
    break;
  }
}
