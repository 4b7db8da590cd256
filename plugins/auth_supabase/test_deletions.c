/* SPDX-License-Identifier: ISC */
/* The judgement over deleted rows: each rule by itself. */
#include <stdio.h>
#include <string.h>

#include "test_deletions.h"

#define A "aaaaaaaa-0000-4000-8000-000000000001"
#define B "bbbbbbbb-0000-4000-8000-000000000002"
#define C "cccccccc-0000-4000-8000-000000000003"

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

/* Two machines of one user, whose rows were seen. */
static void open_two(struct world *world)
{
  open_world(world, DELETIONS_UUID, true);
  deletions_know(world->deletions, "u", A);
  deletions_know(world->deletions, "u", B);
  poll(world, "u/" A " u/" B);
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
  open_two(&world);
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
  CU_ASSERT_TRUE(deletions_doubtful(world.deletions)); /* nobody may stop asking now */
  /* The grants are back, and one row is truly gone: counted anew. */
  poll(&world, "v/" B);
  CU_ASSERT_EQUAL(world.removals, 0);
  poll(&world, "v/" B);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  CU_ASSERT_FALSE(deletions_doubtful(world.deletions));
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
  open_two(&world);
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
  /* Nor may an event reach it, named or not. */
  open_world(&world, DELETIONS_TEXT, true);
  deletions_know(world.deletions, "owner", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  poll(&world, "owner/web-1");
  CU_ASSERT_EQUAL(gone(&world, "web-1", NULL, 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "owner/web-1 ");
  CU_ASSERT_EQUAL(gone(&world, "web-1", "other", 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "owner/web-1 other/web-1 ");
  close_world(&world);
  /* Ids that are unique only with their owner: the event says whose it was. */
  open_world(&world, DELETIONS_TEXT, true);
  deletions_know(world.deletions, "owner", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  poll(&world, "owner/web-1 other/web-1");
  CU_ASSERT_EQUAL(gone(&world, "web-1", "other", 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "other/web-1 ");
  close_world(&world);
  /* Without owners in the answers a row is everybody's who has its id, whatever the event says. */
  open_world(&world, DELETIONS_TEXT, false);
  deletions_know(world.deletions, "owner", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  poll(&world, "/web-1");
  CU_ASSERT_EQUAL(deletions_seen(world.deletions), 2);
  CU_ASSERT_EQUAL(gone(&world, "web-1", "somebody", 1), 2);
  close_world(&world);
}

static void events_act_at_once(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A); /* not even asked */
  CU_ASSERT_EQUAL(gone(&world, A, "u", 1), 1);
  CU_ASSERT_EQUAL(gone(&world, A, "u", 1), 0);
  CU_ASSERT_EQUAL(gone(&world, "'; drop table", NULL, 1), 0);
  CU_ASSERT_EQUAL(gone(&world, "", "u", 1), 0);
  deletions_know(world.deletions, "u", B);
  poll(&world, "u/" B);
  CU_ASSERT_EQUAL(deletions_shown(world.deletions), 1);
  CU_ASSERT_EQUAL(gone(&world, "BBBBBBBB-0000-4000-8000-000000000002", NULL, 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " u/" B " ");
  /* An owner's name that nobody can have is remembered for nobody. */
  size_t count = deletions_count(world.deletions);
  char name[DELETIONS_OWNER_MAX + 2];
  memset(name, 'x', sizeof name);
  deletions_gone(world.deletions, mu_str(C), (struct mu_str){name, sizeof name}, 1);
  deletions_gone(world.deletions, mu_str(C), (struct mu_str){"a\0b", 3}, 1);
  CU_ASSERT_EQUAL(deletions_count(world.deletions), count);
  close_world(&world);
}

/* Another user inserts a row with the id of a machine that has none, and deletes it again, as often as he likes. */
static void a_strangers_row_is_no_news(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0); /* before it came */
  CU_ASSERT_EQUAL(gone(&world, A, "stranger", 1), 0);
  deletions_know(world.deletions, "u", A);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0); /* before its first look */
  CU_ASSERT_EQUAL(gone(&world, A, "stranger", 1), 0);
  round_of(&world, false, "");
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0); /* and after it */
  CU_ASSERT_EQUAL(gone(&world, A, "stranger", 1), 0);
  poll(&world, "stranger/" A);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0);
  CU_ASSERT_EQUAL(gone(&world, A, "stranger", 1), 0);
  for (int i = 0; i < 5; i++)
    poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(world.looks, 0);
  /* It gets a row, which goes. */
  poll(&world, "u/" A);
  CU_ASSERT_EQUAL(gone(&world, A, "stranger", 1), 0);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 1);
  close_world(&world);
}

/* Asks for the new ones and leaves the answer open. */
static uint64_t asked(struct world *world)
{
  struct deletions_batch batch;
  CU_ASSERT_TRUE(deletions_begin(world->deletions, false, 1000));
  CU_ASSERT_TRUE(deletions_next(world->deletions, &batch));
  return batch.number;
}

static void answered(struct world *world, uint64_t number, const char *id, const char *owner)
{
  const struct deletions_row row = {mu_str(id ? id : ""), mu_str(owner ? owner : "")};
  CU_ASSERT_EQUAL(deletions_answer(world->deletions, number, &row, id != NULL), 0);
  struct deletions_batch none;
  CU_ASSERT_FALSE(deletions_next(world->deletions, &none));
  CU_ASSERT_FALSE(deletions_running(world->deletions));
}

/* The news do not say whose row it was, and come while the first look is under way. */
static void told_during_the_first_look(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  /* It has no row: it was somebody else's. */
  deletions_know(world.deletions, "u", A);
  uint64_t number = asked(&world);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0);
  answered(&world, number, NULL, NULL);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 0);
  poll(&world, "");
  CU_ASSERT_EQUAL(world.removals, 0);
  /* It had one. Whether it is that one which went, the next look tells: it went. */
  deletions_know(world.deletions, "u", B);
  number = asked(&world);
  CU_ASSERT_EQUAL(gone(&world, B, NULL, 1), 0);
  CU_ASSERT_EQUAL(world.looks, 2);
  answered(&world, number, B, "u");
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, NULL), 1); /* without an answer nothing is certain */
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" B " ");
  /* Or it is there: made anew, or it was a stranger's before. */
  deletions_know(world.deletions, "u", C);
  number = asked(&world);
  CU_ASSERT_EQUAL(gone(&world, C, NULL, 1), 0);
  answered(&world, number, C, "u");
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" C), 1);
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" C), 0);
  CU_ASSERT_EQUAL(world.removals, 1);
  deletions_forget(world.deletions, "u", C);
  /* The look fails, and the next one is newer than the news. */
  deletions_know(world.deletions, "u", C);
  number = asked(&world);
  gone(&world, C, NULL, 1);
  deletions_failed(world.deletions, number);
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" C), 1);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 0);
  CU_ASSERT_EQUAL(world.removals, 1);
  deletions_forget(world.deletions, "u", C);
  /* A stranger's, who is named. */
  deletions_know(world.deletions, "u", C);
  number = asked(&world);
  size_t looks = world.looks;
  CU_ASSERT_EQUAL(gone(&world, C, "stranger", 1), 0);
  CU_ASSERT_EQUAL(world.looks, looks);
  answered(&world, number, C, "u");
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 0);
  CU_ASSERT_EQUAL(world.removals, 1);
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
      CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 1);
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
  open_two(&world);
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

/* The row goes as its machine comes: the first look finds none, and only then the news of it arrives. */
static void told_after_the_first_look(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  round_of(&world, false, "");
  CU_ASSERT_EQUAL(gone(&world, A, "u", 1), 1);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  /* The same id, and another user: no business of his. */
  deletions_know(world.deletions, "other", A);
  round_of(&world, false, "");
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  close_world(&world);
}

/* The row goes while its machine is away. */
static void told_before_it_came(void)
{
  struct world world;
  open_world(&world, DELETIONS_UUID, true);
  CU_ASSERT_EQUAL(gone(&world, A, NULL, 1), 0);
  CU_ASSERT_EQUAL(deletions_count(world.deletions), 0); /* nobody can be refused for what is nobody's */
  CU_ASSERT_EQUAL(gone(&world, A, "u", 1), 0);
  CU_ASSERT_EQUAL(gone(&world, A, "u", 1), 0);
  CU_ASSERT_EQUAL(deletions_count(world.deletions), 1);
  CU_ASSERT_EQUAL(poll(&world, ""), 0);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", A), 1);
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "other", A), 1);
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, NULL), 2);
  CU_ASSERT_EQUAL(world.removals, 0);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 2);
  CU_ASSERT_STRING_EQUAL(world.removed, "u/" A " ");
  /* Unless it has a row all the same: made anew meanwhile. */
  gone(&world, B, "u", 1);
  deletions_know(world.deletions, "u", B);
  CU_ASSERT_EQUAL(round_of(&world, false, "u/" B), 1);
  CU_ASSERT_EQUAL(world.removals, 1);
  /* Another spelling of the id is no way back. */
  CU_ASSERT_EQUAL(deletions_know(world.deletions, "u", "AAAAAAAA-0000-4000-8000-000000000001"), 1);
  CU_ASSERT_EQUAL(round_of(&world, false, ""), 1);
  CU_ASSERT_EQUAL(world.removals, 2);
  close_world(&world);
  /* Of any type, for it is known whose it was. */
  open_world(&world, DELETIONS_TEXT, true);
  gone(&world, "web-1", "u", 1);
  deletions_know(world.deletions, "u", "web-1");
  deletions_know(world.deletions, "other", "web-1");
  round_of(&world, false, "");
  CU_ASSERT_STRING_EQUAL(world.removed, "u/web-1 ");
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
    gone(&world, id, "u", i);
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
    int uuid, integer, text, bigint;
  } cases[] = {
      {A, 1, 0, 1, 0},
      {"AAAAAAAA-0000-4000-8000-00000000000F", 1, 0, 1, 0},
      {"aaaaaaaa00004000800000000000000f", 0, 0, 1, 0},
      {"{aaaaaaaa-0000-4000-8000-000000000001}", 0, 0, 0, 0},
      {"aaaaaaaa-0000-4000-8000-00000000000g", 0, 0, 1, 0},
      {"aaaaaaaa-0000-4000-8000-0000000000011", 0, 0, 1, 0},
      {"0", 0, 1, 1, 1},
      {"42", 0, 1, 1, 1},
      {"-42", 0, 1, 1, 1},
      {"-", 0, 0, 1, 0},
      {"-0", 0, 0, 1, 0},
      {"042", 0, 0, 1, 0},
      {"123456789012345678", 0, 0, 1, 1},
      {"1234567890123456789", 0, 0, 1, 0},
      {"2147483647", 0, 1, 1, 1},
      {"2147483648", 0, 0, 1, 1},
      {"-2147483648", 0, 1, 1, 1},
      {"-2147483649", 0, 0, 1, 1},
      {"999999999999999999", 0, 0, 1, 1},
      {"-999999999999999999", 0, 0, 1, 1},
      {"4 2", 0, 0, 0, 0},
      {"web-1.example:80", 0, 0, 1, 0},
      {"a,b", 0, 0, 0, 0},
      {"a\"b", 0, 0, 0, 0},
      {"a)b", 0, 0, 0, 0},
      {"a\\b", 0, 0, 0, 0},
      {"\xc3\xa4", 0, 0, 0, 0},
      {"", 0, 0, 0, 0},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct mu_str id = mu_str(cases[i].id);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_UUID, id), cases[i].uuid);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_INTEGER, id), cases[i].integer);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_TEXT, id), cases[i].text);
    CU_ASSERT_EQUAL(deletions_id_valid(DELETIONS_BIGINT, id), cases[i].bigint);
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

/* Who was still to be asked for goes before the question. */
static void a_round_without_a_rest_ends(void)
{
  struct world world;
  struct deletions_batch batch;
  open_world(&world, DELETIONS_UUID, true);
  deletions_know(world.deletions, "u", A);
  CU_ASSERT_TRUE(deletions_begin(world.deletions, true, 1));
  deletions_forget(world.deletions, "u", A);
  CU_ASSERT_FALSE(deletions_next(world.deletions, &batch));
  CU_ASSERT_FALSE(deletions_running(world.deletions));
  close_world(&world);
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
    {"a stranger's row is no news", a_strangers_row_is_no_news},
    {"told during the first look", told_during_the_first_look},
    {"told after the first look", told_after_the_first_look},
    {"told before the machine came", told_before_it_came},
    {"a first look judges nobody", first_look_judges_nobody},
    {"memory is bounded", memory_is_bounded},
    {"ids by type", ids_by_type},
    {"questions stay short", questions_stay_short},
    {"answers that are too long", answers_too_long},
    {"a round without a rest ends", a_round_without_a_rest_ends},
    {"judged over the whole round", judged_over_the_whole_round},
};

UNIT_MAIN("deletions", tests)
