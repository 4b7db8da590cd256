/* SPDX-License-Identifier: ISC */
/* What waits for the store: kept in a list, because answers do not come when the instance stops first. */
#include <stdlib.h>

#include "server.h"

void *task_new(struct relay *relay, size_t size, void (*release)(struct task *task))
{
  struct task *task = calloc(1, size);
  if (!task)
    return NULL;
  task->relay = relay;
  task->release = release;
  task->next = relay->tasks;
  task->at = &relay->tasks;
  if (task->next)
    task->next->at = &task->next;
  relay->tasks = task;
  return task;
}

void task_free(void *given)
{
  struct task *task = given;
  if (!task)
    return;
  *task->at = task->next;
  if (task->next)
    task->next->at = task->at;
  if (task->release)
    task->release(task);
  free(task);
}

void tasks_fini(struct relay *relay)
{
  while (relay->tasks)
    task_free(relay->tasks); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

int relay_read(struct relay *relay, struct mu_sql sql, const struct mu_value *values, size_t count, mu_store_done done,
               void *context)
{
  const struct mu_statement statement = {.sql = sql, .values = values, .count = count, .expect = MU_ANY_ROWS};
  return relay->store->read(relay->store_self, relay->in, &statement, done, context);
}

int relay_write(struct relay *relay, struct mu_sql sql, const struct mu_value *values, size_t count, int64_t expect,
                mu_store_done done, void *context)
{
  const struct mu_statement statement = {.sql = sql, .values = values, .count = count, .expect = expect};
  return relay->store->write(relay->store_self, relay->in, &statement, 1, done, context);
}
