/* SPDX-License-Identifier: ISC */
/* What the judgement over deleted rows told to do, as its tests see it. */
#ifndef AUTH_SUPABASE_TEST_DELETIONS_H
#define AUTH_SUPABASE_TEST_DELETIONS_H

#include <stdio.h>
#include <string.h>

#include "deletions.h"
#include "unit.h"

struct world {
  struct deletions *deletions;
  char removed[4096]; /* "owner/id " each */
  char restored[1024];
  size_t removals, restorals, alarms, alarms_again, vanished, looks;
};

static void on_remove(void *self, const char *owner, const char *id)
{
  struct world *world = self;
  size_t used = strlen(world->removed);
  if (used < sizeof world->removed - 200)
    snprintf(world->removed + used, sizeof world->removed - used, "%s/%s ", owner, id);
  world->removals++;
  deletions_forget(world->deletions, owner, id); /* as the event machine.deleted does */
}

static void on_restore(void *self, const char *owner, const char *id)
{
  struct world *world = self;
  size_t used = strlen(world->restored);
  if (used < sizeof world->restored - 200)
    snprintf(world->restored + used, sizeof world->restored - used, "%s/%s ", owner, id);
  world->restorals++;
}

static void on_alarm(void *self, size_t vanished, bool again)
{
  struct world *world = self;
  world->alarms++;
  world->alarms_again += again;
  world->vanished = vanished;
}

static void on_look(void *self)
{
  struct world *world = self;
  world->looks++;
}

static const struct deletions_ops ops = {
    .remove = on_remove, .restore = on_restore, .alarm = on_alarm, .look = on_look};

/* The database tells, and says whose row it was; NULL: it does not. */
static inline size_t gone(struct world *world, const char *id, const char *owner, int64_t now_ms)
{
  return deletions_gone(world->deletions, mu_str(id), mu_str(owner ? owner : ""), now_ms);
}

static inline void open_world(struct world *world, enum deletions_id type, bool owners)
{
  memset(world, 0, sizeof *world);
  world->deletions = deletions_new(&(struct deletions_config){.id = type, .owners = owners}, &ops, world);
  CU_ASSERT_PTR_NOT_NULL_FATAL(world->deletions);
}

static inline void close_world(struct world *world)
{
  deletions_free(world->deletions);
}

#endif
