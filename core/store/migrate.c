/* SPDX-License-Identifier: ISC */
/*
 * Brings a plugin's tables up to date. Which steps were done stands in the table muster_migrations. Each step is a transaction with its
 * row, as far as the database has tables in transactions; where it does not, a step that was cut off is done again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/internal.h"

/* A step may go through a big table. */
#define PATIENCE_NS INT64_C(3600000000000)

static const char create[] =
    "CREATE TABLE IF NOT EXISTS muster_migrations (owner VARCHAR(64) NOT NULL, version INTEGER NOT NULL, "
    "applied_at DATETIME(3) NOT NULL, PRIMARY KEY (owner, version))";
static const char select_text[] = "SELECT MAX(version) FROM muster_migrations WHERE owner = ?";
static const char insert[] = "INSERT INTO muster_migrations (owner, version, applied_at) VALUES (?, ?, ?)";

/* A statement of ours, not of the plugin. */
static int run(struct mui_batch *batch, const char *text, const struct mu_value *values, size_t count,
               mu_store_rows *rows, struct mu_store_fault *fault)
{
  struct mu_store_run own = {
      .size = sizeof own, .values = values, .count = count, .rows = rows, .until_ns = mu_mono_ns() + PATIENCE_NS};
  int64_t changed;
  mui_fault_clear(fault);
  int error = mui_link_run(batch->link, mu_str(text), &own, 0, &changed, fault);
  mui_link_judge(batch->link, error, false, fault);
  return error;
}

static int read_version(struct mui_batch *batch, const char *owner, int64_t *version, struct mu_store_fault *fault)
{
  mu_store_rows rows = {.max_rows = 1, .max_bytes = 4096};
  struct mu_value value = mu_value_text(owner);
  int error = run(batch, select_text, &value, 1, &rows, fault);
  *version = !error && rows.rows && rows.values[0].type == MU_VALUE_INTEGER ? rows.values[0].integer : 0;
  mui_rows_clear(&rows);
  return error;
}

static int step(struct mui_batch *batch, enum mu_store_step what, struct mu_store_fault *fault)
{
  mui_fault_clear(fault);
  return mui_link_step(batch->link, what, fault);
}

/* One step, unless another process was faster. */
static int apply(struct mui_batch *batch, struct mui_ask *ask, const struct mui_step *migration, size_t *at,
                 struct mu_store_fault *fault)
{
  int64_t version;
  int error = step(batch, MU_STORE_BEGIN, fault);
  if (error)
    return error;
  error = read_version(batch, ask->owner, &version, fault);
  if (!error && version < migration->version) {
    for (*at = migration->first; !error && *at < migration->first + migration->count; ++*at)
      if ((error = mui_batch_statement(batch, ask, *at, mu_mono_ns() + PATIENCE_NS, fault)) != 0)
        break;
    const struct mu_value row[] = {mu_value_text(ask->owner), mu_value_int(migration->version),
                                   mu_value_time(mu_now_ms())};
    mu_store_rows none = {0};
    if (!error)
      error = run(batch, insert, row, MU_COUNT(row), &none, fault);
  }
  if (!error)
    error = step(batch, MU_STORE_COMMIT, fault);
  if (error && batch->link->handle && !fault->undone) {
    struct mu_store_fault other;
    if (step(batch, MU_STORE_ROLLBACK, &other) != 0)
      mui_link_close(batch->link);
  }
  return error;
}

static int migrate(struct mui_batch *batch, struct mui_ask *ask, size_t *at, struct mu_store_fault *fault)
{
  mu_store_rows none = {0};
  int64_t version = 0;
  int error = run(batch, create, NULL, 0, &none, fault);
  if (!error)
    error = read_version(batch, ask->owner, &version, fault);
  unsigned last = ask->steps[ask->step_count - 1].version;
  if (!error && version > last) {
    *at = 0;
    return mu_store_fail(
        fault, MU_EREFUSED,
        "the tables of \"%s\" have version %lld, and this program knows them up to %u only: it is older "
        "than the database",
        ask->owner, (long long)version, last);
  }
  atomic_store(&batch->committing, true); /* not all databases have tables in transactions */
  for (size_t i = 0; !error && i < ask->step_count && !atomic_load(&batch->cancelled); i++)
    if (ask->steps[i].version > version) {
      error = apply(batch, ask, &ask->steps[i], at, fault);
      if (!error) {
        batch->commits++;
        ask->reached = ask->steps[i].version;
      }
    }
  return error;
}

/* Whether it is the database's state and not the step's text. */
static bool may_pass(int error)
{
  return error == MU_EUNAVAILABLE || error == MU_EBUSY || error == MU_ETIMEOUT || error == MU_EIO || error == MU_ENOMEM;
}

void mui_batch_migrate(struct mui_batch *batch, struct mui_ask *ask)
{
  struct mu_store_fault fault;
  size_t at = 0;
  mui_fault_clear(&fault);
  int error = mui_link_open(batch->link, &fault);
  if (!error && batch->link->driver->exclusive) {
    error = batch->link->driver->exclusive(batch->link->handle, true, &fault);
    mui_link_judge(batch->link, error, true, &fault);
  }
  if (!error) {
    error = migrate(batch, ask, &at, &fault);
    struct mu_store_fault other;
    mui_fault_clear(&other);
    if (batch->link->handle && batch->link->driver->exclusive &&
        batch->link->driver->exclusive(batch->link->handle, false, &other) != 0)
      mui_link_close(batch->link);
  }
  if (may_pass(error))
    mui_batch_trouble(batch, error, &fault);
  else
    mui_ask_end(ask, error, at, &fault);
}
