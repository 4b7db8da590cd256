/* SPDX-License-Identifier: ISC */
/* The judgement over deleted rows: each rule by itself, and random schedules against a model that looks at whole rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deletions.h"
#include "unit.h"

#define A "aaaaaaaa-0000-4000-8000-000000000001"
#define B "bbbbbbbb-0000-4000-8000-000000000002"
#define C "cccccccc-0000-4000-8000-000000000003"

/* ---- what the judgement does ----------------------------------------------------------------- */

struct world {
  struct deletions *deletions;
  char removed[4096]; /* "owner/id " each */
  char restored[1024];
  size_t removals, restorals, alarms, alarms_again, vanished;
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

static const struct deletions_ops ops = {.remove = on_remove, .restore = on_restore, .alarm = on_alarm};

static void open_world(struct world *world, enum deletions_id type, bool owners)
{
  memset(world, 0, sizeof *world);
  world->deletions = deletions_new(&(struct deletions_config){.id = type, .owners = owners}, &ops, world);
  CU_ASSERT_PTR_NOT_NULL_FATAL(world->deletions);
}

static void close_world(struct world *world)
{
  deletions_free(world->deletions);
}

static bool contains(const struct deletions_batch *batch, const char *id)
{
  for (size_t i = 0; i < batch->count; i++)
    if (strcmp(batch->ids[i], id) == 0)
      return true;
  return false;
}

/* Rows as "owner/id owner/id …". One round of one question; how many ids were asked. */
static size_t round_of(struct world *world, bool all, const char *rows)
{
  struct deletions_batch batch, none;
  if (!deletions_begin(world->deletions, all, 1000))
    return 0;
  if (!deletions_next(world->deletions, &batch))
    return 0;
  size_t asked = batch.count;
  CU_ASSERT_FALSE(deletions_next(world->deletions, &none));
  struct deletions_row list[DELETIONS_BATCH];
  size_t count = 0;
  for (const char *at = rows; at && *at; count++) {
    const char *slash = strchr(at, '/'), *end = strchr(slash, ' ');
    list[count].owner = (struct mu_str){at, (size_t)(slash - at)};
    list[count].id = end ? (struct mu_str){slash + 1, (size_t)(end - slash - 1)} : mu_str(slash + 1);
    at = end ? end + 1 : NULL;
  }
  if (rows)
    CU_ASSERT_EQUAL(deletions_answer(world->deletions, batch.number, list, count), 0)
  else
    deletions_failed(world->deletions, batch.number);
  CU_ASSERT_FALSE(deletions_running(world->deletions));
  return asked;
}

static size_t poll(struct world *world, const char *rows)
{
  return round_of(world, true, rows);
}

/* ---- the rules ------------------------------------------------------------------------------- */

static void two_answers_delete(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", A), 1);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", B), 1);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", B), 0);
  CU_ASSERT_EQUAL(poll(&world, "u/" A " u/" B), 2);
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  CU_ASSERT_FALSE(deletions_doubtful(world.deletions));
  poll(&world, "u/" B);
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_TRUE(deletions_doubtful(world.deletions));
  poll(&world, "u/" B);
  CU_ASSERT_FALSE(deletions_doubtful(world.deletions));
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 1);
  close_world(&world);
}

static void only_in_a_row(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" A " u/" B);
  for (int i = 0; i < 5; i++) {
    poll(&world, "u/" B);
    poll(&world, "u/" A " u/" B);
  }
  CU_ASSERT_EQUAL(world.removals, 0);
  /* An answer that failed is none: it neither counts nor breaks the row. */
  poll(&world, "u/" B);
  poll(&world, NULL);
  poll(&world, NULL);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "u/" B);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  close_world(&world);
}

static void never_seen_never_deleted(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  for (int i = 0; i < 10; i++)
    poll(&world, "u/" B);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "u/" A " u/" B); /* it gets a row after all */
  poll(&world, "u/" B);
  poll(&world, "u/" B);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  close_world(&world);
}

static void lone_needs_four(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  poll(&world, "u/" A);
  for (int i = 0; i < 3; i++)
    poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "");
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  CU_ASSERT_EQUAL(world.alarms, 0);
  close_world(&world);
}

/* A machine without a row beside it says nothing of the grants. */
static void lone_among_rowless(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" A);
  for (int i = 0; i < 3; i++)
    poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 1);
  close_world(&world);
}

static void all_vanish_is_an_alarm(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "v", B);
  poll(&world, "u/" A " v/" B);
  for (int i = 0; i < 20; i++)
    poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(world.alarms, 20);
  CU_ASSERT_EQUAL(world.alarms_again, 19);
  CU_ASSERT_EQUAL(world.vanished, 2);
  /* The grants are back, and one row is truly gone: counted anew. */
  poll(&world, "v/" B);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "v/" B);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  /* A second alarm is a new one. */
  deletions_know(world.deletions, "v", C);
  poll(&world, "v/" B " v/" C);
  poll(&world, "");
  CU_ASSERT_EQUAL(world.alarms, 21);
  CU_ASSERT_EQUAL(world.alarms_again, 19);
  close_world(&world);
}

/* Lost grants right after a deletion: the answers under the alarm are no second answer. */
static void alarm_takes_the_first_answer_back(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" A " u/" B);
  poll(&world, "u/" B);
  poll(&world, "");
  CU_ASSERT_EQUAL(world.alarms, 1);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "u/" A " u/" B);
  CU_ASSERT_EQUAL(world.removals, 0);
  close_world(&world);
}

/* Row-level security that hides a part looks as a crowd that goes at once. */
static void crowd_needs_four(void)
{
  struct world world;
  char id[40], all[1024] = "", rest[1024] = "";
  open_world(&world, DELETIONS_UUID, true);
  for (int i = 0; i < 19; i++) {
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", i);
    deletions_know(world.deletions, "u", id);
    snprintf(all + strlen(all), sizeof all - strlen(all), "%su/%s", i ? " " : "", id);
    if (i < 9)
      snprintf(rest + strlen(rest), sizeof rest - strlen(rest), "%su/%s", i ? " " : "", id);
  }
  poll(&world, all);
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 19);
  for (int i = 0; i < 3; i++)
    poll(&world, rest);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, rest);
  CU_ASSERT_EQUAL(world.removals, 10);
  CU_ASSERT_EQUAL(world.alarms, 0);
  close_world(&world);
}

static void another_owners_row_does_not_count(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "owner", A);
  deletions_know(world.deletions, "squatter", A);
  deletions_know(world.deletions, "owner", B);
  CU_ASSERT_EQUAL(poll(&world, "owner/" A " owner/" B), 3);
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  poll(&world, "owner/" B);
  poll(&world, "owner/" B);
  CU_ASSERT_STRING_EQUAL(world.removed, "owner/" A " ");
  close_world(&world);
  /* Nor may an event reach it, once it is known whose row that was. */
  open_world(&world, DELETIONS_TEXT, true);
  deletions_know(world.deletions, "owner", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  poll(&world, "owner/web-1");
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, MU_STR("web-1"), 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "owner/web-1 ");
  close_world(&world);
  /* Without owners in the answers a row is everybody's who has its id. */
  open_world(&world, DELETIONS_TEXT, false);
  deletions_know(world.deletions, "owner", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  poll(&world, "/web-1");
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, MU_STR("web-1"), 1), 2);
  close_world(&world);
}

static void events_act_at_once(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A); /* not even asked */
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, mu_str(A), 1), 1);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, mu_str(A), 1), 0);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, MU_STR("'; drop table"), 1), 0);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, MU_STR(""), 1), 0);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" B);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, MU_STR("BBBBBBBB-0000-4000-8000-000000000002"), 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " u/" B " ");
  close_world(&world);
}

/* The answer was made before the row went, and comes after the news of it. */
static void late_answer_brings_nothing_back(void)
{
  struct world world;
  struct deletions_batch batch;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  poll(&world, "u/" A);
  for (int i = 0; i < 3; i++) {
    CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 1));
    CU_ASSERT_TRUE(deletions_next(world.deletions, &batch));
    if (i == 0)
      CU_ASSERT_EQUAL(deletions_gone(world.deletions, mu_str(A), 1), 1);
    const struct deletions_row row = {mu_str(A), MU_STR("u")};
    deletions_answer(world.deletions, batch.number, &row, 1);
    deletions_next(world.deletions, &batch);
    /* The answer asked for before the news is none, the next two are. */
    CU_ASSERT_EQUAL(world.restored[0] != '\0', i == 2);
  }
  CU_ASSERT_EQUAL(world.removals, 1);
  close_world(&world);
}

static void rows_that_come_back(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" A " u/" B);
  poll(&world, "u/" B);
  poll(&world, "u/" B);
  CU_ASSERT_EQUAL(world.removals, 1);
  poll(&world, "u/" A " u/" B); /* one answer of a replica that lags is not enough */
  poll(&world, "u/" B);
  poll(&world, "u/" A " u/" B);
  CU_ASSERT_STRING_EQUAL(world.restored, "");
  poll(&world, "u/" A " u/" B);
  CU_ASSERT_STRING_EQUAL(world.restored, "u/" A " ");
  CU_ASSERT_EQUAL(poll(&world, "u/" B), 1); /* it is nobody's until it connects */
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", A), 1);
  CU_ASSERT_EQUAL(poll(&world, "u/" A " u/" B), 2);
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  close_world(&world);
}

/* The row goes while its machine is away. */
static void told_before_it_came(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, mu_str(A), 1), 0);
  CU_ASSERT_EQUAL(deletions_gone(world.deletions, mu_str(A), 1), 0);
  CU_ASSERT_EQUAL(deletions_count(world.deletions), 1);
  CU_ASSERT_EQUAL(poll(&world, ""), 0);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", A), 1);
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, NULL), 1);
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  /* Unless it has a row all the same: made anew meanwhile. */
  deletions_gone(world.deletions, mu_str(B), 1);
  deletions_know(world.deletions, "u", B);
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" B), 1);
  CU_ASSERT_EQUAL(world.removals, 1);
  /* Another spelling of the id is no way back. */
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", "AAAAAAAA-0000-4000-8000-000000000001"), 1);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 1);
  CU_ASSERT_EQUAL(world.removals, 2);
  close_world(&world);
  /* Ids that are unique only with their owner: nobody is suspected. */
  open_world(&world, DELETIONS_TEXT, true);
  deletions_gone(world.deletions, MU_STR("web-1"), 1);
  deletions_know(world.deletions, "u", "web-1");
  round_of(&world, false, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  close_world(&world);
}

static void first_look_judges_nobody(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  deletions_know(world.deletions, "u", B);
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" A " u/" B), 2);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 0); /* nobody is new */
  deletions_know(world.deletions, "u", C);
  for (int i = 0; i < 8; i++)
    round_of(&world, false, "");
  CU_ASSERT_EQUAL(world.removals + world.alarms, 0);
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  close_world(&world);
}

static void memory_is_bounded(void)
{
  struct world world;
  char id[40];
  open_world(&world, DELETIONS_UUID, true);
  for (int i = 0; i < 3 * DELETIONS_REMEMBERED; i++) {
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", i);
    if (i % 2)
      deletions_know(world.deletions, "u", id);
    deletions_gone(world.deletions, mu_str(id), i);
  }
  CU_ASSERT_EQUAL(deletions_count(world.deletions), DELETIONS_REMEMBERED);
  CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 3 * DELETIONS_REMEMBERED));
  struct deletions_batch batch;
  size_t asked = 0;
  while (deletions_next(world.deletions, &batch)) {
    CU_ASSERT_TRUE(batch.count <= DELETIONS_BATCH);
    asked += batch.count;
    deletions_answer(world.deletions, batch.number, NULL, 0);
  }
  CU_ASSERT_EQUAL(asked, DELETIONS_REMEMBERED / 2);
  CU_ASSERT_FALSE(deletions_begin(world.deletions, true, INT64_C(200000000))); /* a day later */
  CU_ASSERT_EQUAL(deletions_count(world.deletions), 0);
  close_world(&world);
}

static void ids_by_type(void)
{
  static const struct {
    const char *id;
    int uuid, integer, text;
  } cases[] = {
      {A, 1, 0, 1},
      {"AAAAAAAA-0000-4000-8000-00000000000F", 1, 0, 1},
      {"aaaaaaaa00004000800000000000000f", 0, 0, 1},
      {"{aaaaaaaa-0000-4000-8000-000000000001}", 0, 0, 0},
      {"aaaaaaaa-0000-4000-8000-00000000000g", 0, 0, 1},
      {"aaaaaaaa-0000-4000-8000-0000000000011", 0, 0, 1},
      {"0", 0, 1, 1},
      {"42", 0, 1, 1},
      {"-42", 0, 1, 1},
      {"-", 0, 0, 1},
      {"-0", 0, 0, 1},
      {"042", 0, 0, 1},
      {"123456789012345678", 0, 1, 1},
      {"1234567890123456789", 0, 0, 1},
      {"4 2", 0, 0, 0},
      {"web-1.example:80", 0, 0, 1},
      {"a,b", 0, 0, 0},
      {"a\"b", 0, 0, 0},
      {"a)b", 0, 0, 0},
      {"a\\b", 0, 0, 0},
      {"\xc3\xa4", 0, 0, 0},
      {"", 0, 0, 0},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct mu_str id = mu_str(cases[i].id);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_UUID, id), cases[i].uuid);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_INTEGER, id), cases[i].integer);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_TEXT, id), cases[i].text);
  }
  char longest[DELETIONS_ID_MAX + 2];
  memset(longest, 'x', sizeof longest);
  CU_ASSERT_TRUE(deletions_id_valid(DELETIONS_TEXT, (struct mu_str){longest, DELETIONS_ID_MAX}));
  CU_ASSERT_FALSE(deletions_id_valid(DELETIONS_TEXT, (struct mu_str){longest, DELETIONS_ID_MAX + 1}));
  CU_ASSERT_FALSE(deletions_id_valid(DELETIONS_TEXT, (struct mu_str){"a\0b", 3}));
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", "auto-0123abcd-1"), 0);
  CU_ASSERT_EQUAL(deletions_count(world.deletions), 0);
  deletions_forget(world.deletions, "u", "auto-0123abcd-1");
  deletions_forget(world.deletions, "u", A);
  close_world(&world);
}

/* Long ids make shorter questions. */
static void questions_stay_short(void)
{
  struct world world;
  char id[DELETIONS_ID_MAX + 1];
  open_world(&world, DELETIONS_TEXT, true);
  for (int i = 0; i < 200; i++) {
    snprintf(id, sizeof id, "%0128d", i);
    deletions_know(world.deletions, "u", id);
  }
  CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 1));
  struct deletions_batch batch;
  size_t asked = 0;
  while (deletions_next(world.deletions, &batch)) {
    asked += batch.count;
    CU_ASSERT_TRUE(batch.count * DELETIONS_ID_MAX <= DELETIONS_BATCH_BYTES);
    deletions_failed(world.deletions, batch.number);
  }
  CU_ASSERT_EQUAL(asked, 200);
  close_world(&world);
}

/* Whoever sends more than was asked for does not look at the question. */
static void answers_too_long(void)
{
  struct world world;
  struct deletions_batch batch;
  struct deletions_row rows[DELETIONS_BATCH + 1];
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  poll(&world, "u/" A);
  for (size_t i = 0; i < MU_COUNT(rows); i++)
    rows[i] = (struct deletions_row){mu_str(B), MU_STR("u")};
  for (int i = 0; i < 6; i++) {
    CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 1));
    CU_ASSERT_TRUE(deletions_next(world.deletions, &batch));
    CU_ASSERT_EQUAL(deletions_answer(world.deletions, batch.number, rows, MU_COUNT(rows)), MU_EINVAL);
    CU_ASSERT_FALSE(deletions_running(world.deletions));
  }
  CU_ASSERT_EQUAL(world.removals, 0);
  close_world(&world);
}

/* All of a question's rows are gone, not all of the round's. */
static void judged_over_the_whole_round(void)
{
  struct world world;
  char id[40];
  struct deletions_row rows[DELETIONS_BATCH];
  static char ids[DELETIONS_BATCH + 3][40];
  open_world(&world, DELETIONS_UUID, true);
  for (int i = 0; i < DELETIONS_BATCH + 3; i++) {
    snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", i);
    memcpy(ids[i], id, sizeof id);
    deletions_know(world.deletions, "u", id);
  }
  for (int turn = 0; turn < 3; turn++) { /* first all are there, then the three of the second question vanish */
    struct deletions_batch one, two;
    CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 1));
    CU_ASSERT_TRUE(deletions_next(world.deletions, &one));
    CU_ASSERT_TRUE(deletions_next(world.deletions, &two));
    CU_ASSERT_EQUAL(two.count, 3);
    for (int i = 0; i < 3; i++)
      rows[i] = (struct deletions_row){mu_str(ids[DELETIONS_BATCH + i]), MU_STR("u")};
    deletions_answer(world.deletions, two.number, rows, turn == 0 ? 3 : 0);
    CU_ASSERT_TRUE(deletions_running(world.deletions));
    for (int i = 0; i < DELETIONS_BATCH; i++)
      rows[i] = (struct deletions_row){mu_str(ids[i]), MU_STR("u")};
    deletions_answer(world.deletions, one.number, rows, DELETIONS_BATCH);
    CU_ASSERT_FALSE(deletions_running(world.deletions));
    CU_ASSERT_EQUAL(world.removals, turn == 2 ? 3 : 0);
  }
  CU_ASSERT_EQUAL(world.alarms, 0);
  close_world(&world);
}

/* ---- random schedules against a model -------------------------------------------------------- */

enum { MACHINES = 130, FEW = 4, STEPS = 1000 };

/* A machine as the rules see it: what the rounds told of it, nothing of lists and questions. */
struct machine {
  char id[40];
  bool row;   /* in the table */
  bool known; /* to the server */
  enum { NONE, NEW, WITHOUT, WITH, REMOVED } state;
  bool ghost; /* the database told of the id while nobody had it */
  bool told;
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
  machine->known = machine->told = machine->lacking = false;
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
      machine->told = false;
    } else if (machine->state == NEW && machine->told) {
      model_removes(model, machine);
    } else if (machine->state == NEW) {
      machine->state = WITHOUT;
    } else if (machine->state == WITH) {
      machine->lacking = true;
    }
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

/* Rows come and go, machines come and go, the database tells. */
static void happen(struct model *model)
{
  struct machine *machine = &model->machines[chance(model, (unsigned)model->count)];
  switch (chance(model, 8)) {
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
    if (machine->state == NEW || machine->state == WITH)
      model_removes(model, machine);
    else if (machine->state != REMOVED)
      machine->ghost = true;
    deletions_gone(model->world.deletions, mu_str(machine->id), 1);
    break;
  case 4:
    if (machine->known)
      leaves(machine, NONE);
    deletions_forget(model->world.deletions, "u", machine->id);
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
          CU_ASSERT_TRUE(all ? machine->state != NONE : machine->state == NEW);
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
    {"two answers in a row delete", two_answers_delete},
    {"only answers in a row count", only_in_a_row},
    {"a row never seen cannot vanish", never_seen_never_deleted},
    {"a lone machine needs four", lone_needs_four},
    {"a machine without a row is no company", lone_among_rowless},
    {"all vanish: alarm", all_vanish_is_an_alarm},
    {"an alarm is no second answer", alarm_takes_the_first_answer_back},
    {"a crowd needs four", crowd_needs_four},
    {"another owner's row does not count", another_owners_row_does_not_count},
    {"events act at once", events_act_at_once},
    {"a late answer brings nothing back", late_answer_brings_nothing_back},
    {"rows that come back", rows_that_come_back},
    {"told before the machine came", told_before_it_came},
    {"a first look judges nobody", first_look_judges_nobody},
    {"memory is bounded", memory_is_bounded},
    {"ids by type", ids_by_type},
    {"questions stay short", questions_stay_short},
    {"answers that are too long", answers_too_long},
    {"judged over the whole round", judged_over_the_whole_round},
    {"random schedules", random_schedules},
};

UNIT_MAIN("deletions", tests)
