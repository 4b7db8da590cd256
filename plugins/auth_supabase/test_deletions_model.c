/* SPDX-License-Identifier: ISC */
/* The judgement over deleted rows: random schedules against a model that looks at whole rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_deletions.h"

enum { MACHINES = 130, FEW = 4, STEPS = 1000 };

/* A machine as the rules see it: what the rounds told of it, nothing of lists and questions. */
struct machine {
  char id[40];
  bool row;   /* in the table */
  bool known; /* to the server */
  enum { NONE, NEW, WITHOUT, WITH, REMOVED } state;
  bool ghost; /* the database told of the owner's row while nobody had it */
  bool told;  /* of the owner's row for certain: the next answer without it is enough */
  bool doubt; /* of a row of this id, whosever, during the question */
  unsigned absent, present;
  uint64_t question; /* that its id stands in, 0: none under way */
  bool lacking;      /* in this round */
};

struct model {
  struct machine machines[MACHINES];
  size_t count;
  struct world world;
  unsigned random;
  size_t removals, restored, alarms, visible;
};

#define EACH(machine, model)                                                                                           \
  for (struct machine *machine = (model)->machines; machine < (model)->machines + (model)->count; machine++)

static unsigned chance(struct model *model, unsigned below)
{
  model->random = model->random * 1664525u + 1013904223u;
  return (model->random >> 8) % below;
}

static void leaves(struct machine *machine, int state)
{
  machine->state = state;
  machine->known = machine->told = machine->doubt = machine->lacking = false;
  machine->present = machine->absent = 0;
  machine->question = 0;
}

static void model_removes(struct model *model, struct machine *machine)
{
  leaves(machine, REMOVED);
  model->removals++;
}

/* The answer's rows, from the table as it is now. */
static size_t model_answer(struct model *model, uint64_t number, bool hidden, struct deletions_row *rows)
{
  size_t count = 0;
  EACH(machine, model)
  {
    if (machine->question != number)
      continue;
    machine->question = 0;
    bool there = machine->row && !hidden;
    if (there)
      rows[count++] = (struct deletions_row){mu_str(machine->id), MU_STR("u")};
    model->visible += there;
    if (machine->state == REMOVED) {
      machine->present = there ? machine->present + 1 : 0;
      if (machine->present == 2) {
        leaves(machine, NONE);
        model->restored++;
      }
    } else if (there) {
      machine->state = WITH;
      machine->absent = 0;
      machine->told = machine->doubt;
    } else if ((machine->state == NEW || machine->state == WITH) && machine->told) {
      model_removes(model, machine);
    } else if (machine->state == NEW) {
      machine->state = WITHOUT;
    } else if (machine->state == WITH) {
      machine->lacking = true;
    }
    machine->doubt = false;
  }
  return count;
}

static void model_judges(struct model *model)
{
  size_t vanished = 0;
  EACH(machine, model)
  vanished += machine->lacking;
  bool alarm = model->visible == 0 && vanished > 1;
  unsigned needed = model->visible == 0 || (vanished >= 10 && vanished > model->visible) ? 4 : 2;
  model->alarms += alarm;
  EACH(machine, model)
  if (machine->lacking) {
    machine->absent = alarm ? 0 : machine->absent + 1;
    if (machine->absent >= needed)
      model_removes(model, machine);
  }
}

/* The row is gone, and the database says so; `named`: and whose it was. */
static void model_hears(struct model *model, struct machine *machine, bool named)
{
  bool had = machine->state == WITH;
  if (machine->state == NONE || machine->state == REMOVED)
    machine->ghost |= named && machine->state == NONE;
  else if (named || had)
    model_removes(model, machine);
  else
    machine->doubt = machine->question != 0;
  gone(&model->world, machine->id, named ? "u" : NULL, 1);
}

/* Somebody else had a row of this id for a moment. */
static void stranger(struct model *model, struct machine *machine)
{
  if (machine->row)
    return; /* the primary key's business */
  bool named = chance(model, 2);
  if (!named) {
    if (machine->state == WITH) /* nobody can tell */
      model_removes(model, machine);
    else
      machine->doubt |= machine->question != 0 && (machine->state == NEW || machine->state == WITHOUT);
  }
  gone(&model->world, machine->id, named ? "stranger" : NULL, 1);
}

/* Rows come and go, machines come and go, the database tells. */
static void happen(struct model *model)
{
  struct machine *machine = &model->machines[chance(model, (unsigned)model->count)];
  switch (chance(model, 9)) {
  case 0:
  case 1:
    machine->row = true;
    break;
  case 2:
    machine->row = false;
    break;
  case 3:
    machine->row = false;
    if (chance(model, 3)) /* the news got lost */
      break;
    model_hears(model, machine, chance(model, 2));
    break;
  case 4:
    if (machine->known)
      leaves(machine, NONE);
    deletions_forget(model->world.deletions, "u", machine->id);
    break;
  case 5:
    stranger(model, machine);
    break;
  default:
    if (machine->known || machine->state == REMOVED)
      break;
    machine->known = true;
    machine->state = NEW;
    machine->told = machine->ghost;
    deletions_know(model->world.deletions, "u", machine->id);
  }
}

static bool contains(const struct deletions_batch *batch, const char *id)
{
  for (size_t i = 0; i < batch->count; i++)
    if (strcmp(batch->ids[i], id) == 0)
      return true;
  return false;
}

/* A round with its answers in any order, some of them failed, and with news in between. */
static void round_against_model(struct model *model)
{
  bool all = chance(model, 4) != 0, hidden = chance(model, 6) == 0, failed = false;
  struct deletions_batch batches[8];
  size_t open = 0;
  model->visible = 0;
  EACH(machine, model)
  machine->lacking = false;
  if (!deletions_begin(model->world.deletions, all, 1))
    return;
  while (deletions_running(model->world.deletions)) {
    if (open < MU_COUNT(batches) && chance(model, 2)) {
      if (deletions_next(model->world.deletions, &batches[open])) {
        EACH(machine, model)
        if (contains(&batches[open], machine->id)) {
          CU_ASSERT_TRUE(all ? machine->state != NONE
                             : machine->state == NEW || (machine->state == WITH && machine->told));
          machine->doubt = false;
          machine->question = batches[open].number;
        }
        open++;
      }
    } else if (open > 0 && chance(model, 3)) {
      size_t at = chance(model, (unsigned)open);
      uint64_t number = batches[at].number;
      batches[at] = batches[--open];
      struct deletions_row rows[DELETIONS_BATCH];
      if (chance(model, 12) == 0) {
        failed = true;
        EACH(machine, model)
        machine->question = machine->question == number ? 0 : machine->question;
        deletions_failed(model->world.deletions, number);
      } else {
        size_t count = model_answer(model, number, hidden, rows);
        CU_ASSERT_EQUAL(deletions_answer(model->world.deletions, number, rows, count), 0);
      }
    } else if (chance(model, 3) == 0) {
      happen(model);
    }
  }
  CU_ASSERT_EQUAL(open, 0);
  if (all && !failed)
    model_judges(model);
}

static bool agrees(const struct model *model)
{
  size_t with = 0;
  for (size_t i = 0; i < model->count; i++)
    with += model->machines[i].state == WITH;
  return deletions_seen(model->world.deletions) == with && model->world.removals == model->removals &&
         model->world.restorals == model->restored && model->world.alarms == model->alarms;
}

static void random_schedules(void)
{
  size_t removals = 0, alarms = 0, restored = 0;
  for (unsigned seed = 1; seed <= 12; seed++) {
    struct model *model = calloc(1, sizeof *model);
    CU_ASSERT_PTR_NOT_NULL_FATAL(model);
    model->random = seed;
    model->count = seed % 3 ? MACHINES : FEW; /* lone ones and alarms are among few */
    open_world(&model->world, DELETIONS_UUID, true);
    EACH(machine, model)
    snprintf(machine->id, sizeof machine->id, "00000000-0000-4000-8000-%012d", (int)(machine - model->machines));
    bool good = true;
    for (int step = 0; step < STEPS && good; step++) {
      for (unsigned n = chance(model, 6); n > 0; n--)
        happen(model);
      round_against_model(model);
      good = agrees(model);
      if (!good)
        printf(" [seed %u, step %d: removed %zu, the model says %zu] ", seed, step, model->world.removals,
               model->removals);
    }
    CU_ASSERT_TRUE(good);
    removals += model->removals;
    alarms += model->alarms;
    restored += model->restored;
    close_world(&model->world);
    free(model);
  }
  CU_ASSERT_TRUE(removals > 1000);
  CU_ASSERT_TRUE(alarms > 100);
  CU_ASSERT_TRUE(restored > 100);
}

static const struct unit_test tests[] = {
    {"random schedules", random_schedules},
};

UNIT_MAIN("deletions against a model", tests)
