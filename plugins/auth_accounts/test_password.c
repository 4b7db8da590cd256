/* SPDX-License-Identifier: ISC */
/* bcrypt as other programs make it, and the hasher's bounds with a real loop and real threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/instance.h"
#include "loop/loop.h"

#include "password.h"
#include "unit.h"

static void test_hashes_of_others(void)
{
  static const struct {
    const char *password, *stored;
  } known[] = {
      /* python-bcrypt, bcryptjs and the published vectors of the algorithm */
      {"Admin1234", "$2a$04$Fu9AVbXnNio188VVSNnpeOZf0hZwmIzz/2DmDVgtkbJYMp4C4ZtiG"},
      {"Admin1234", "$2b$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz."},
      {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
      {"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
      {"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"},
      {"\xff\xff\xa3", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"},
  };
  for (size_t i = 0; i < MU_COUNT(known); i++) {
    CU_ASSERT(password_hash_ok(known[i].stored));
    CU_ASSERT_EQUAL(password_verify(known[i].password, known[i].stored), 0);
    CU_ASSERT_EQUAL(password_verify("something else", known[i].stored), MU_EREFUSED);
  }
}

static void test_own(void)
{
  char first[PASSWORD_HASH_SIZE], second[PASSWORD_HASH_SIZE];
  CU_ASSERT_EQUAL(password_hash("Password1", first), 0);
  CU_ASSERT_EQUAL(password_hash("Password1", second), 0);
  CU_ASSERT_EQUAL(strncmp(first, "$2b$10$", 7), 0);
  CU_ASSERT_EQUAL(strlen(first), 60);
  CU_ASSERT_STRING_NOT_EQUAL(first, second);
  CU_ASSERT_EQUAL(password_verify("Password1", first), 0);
  CU_ASSERT_EQUAL(password_verify("Password1", second), 0);
  CU_ASSERT_EQUAL(password_verify("password1", first), MU_EREFUSED);
  CU_ASSERT_EQUAL(password_verify("", first), MU_EREFUSED);
  /* bcrypt reads 72 bytes, here as in the released server */
  char text[100];
  memset(text, 'x', sizeof text);
  text[72] = '\0';
  CU_ASSERT_EQUAL(password_hash(text, first), 0);
  text[72] = 'y';
  text[73] = '\0';
  CU_ASSERT_EQUAL(password_verify(text, first), 0);
  text[71] = 'y';
  CU_ASSERT_EQUAL(password_verify(text, first), MU_EREFUSED);
}

static void test_rows_of_no_use(void)
{
  static const char *const bad[] = {
      "",
      "x",
      "*0",
      "plain text",
      "$6$salt$JTS/fkywz8NvjeCGmWDndJPi7ZrRFhQKBLNtQZWE2C3",
      "$2b$10$short",
      "$2b$15$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.", /* half a minute and more */
      "$2b$31$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.", /* days */
      "$2b$03$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.",
      "$2b$1:$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.",
      "$2c$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.",
      "$2b$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz",
      "$2b$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.x",
      "$2b$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRu:.",
  };
  CU_ASSERT_FALSE(password_hash_ok(NULL));
  CU_ASSERT_EQUAL(password_verify("Password1", NULL), MU_EREFUSED);
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    CU_ASSERT_FALSE(password_hash_ok(bad[i]));
    CU_ASSERT_EQUAL(password_verify("Admin1234", bad[i]), MU_EREFUSED);
    CU_ASSERT_EQUAL(password_verify(bad[i], bad[i]), MU_EREFUSED);
  }
}

static int64_t worked_ns(void)
{
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Whoever has no row is compared with a hash of the same cost. */
static void test_same_work(void)
{
  char hash[PASSWORD_HASH_SIZE];
  CU_ASSERT_EQUAL(password_hash("Password1", hash), 0);
  int64_t known = INT64_MAX, unknown = INT64_MAX;
  for (int i = 0; i < 5; i++) {
    int64_t began = worked_ns();
    password_verify("Wrong-one1", hash);
    int64_t between = worked_ns();
    password_verify("Wrong-one1", NULL);
    int64_t ended = worked_ns();
    known = between - began < known ? between - began : known;
    unknown = ended - between < unknown ? ended - between : unknown;
  }
  CU_ASSERT(known < 2 * unknown && unknown < 2 * known);
}

/* ---- the hasher ------------------------------------------------------------------------------ */

struct world {
  struct mui_runtime runtime;
  struct hasher *hasher;
  int done, granted, refused, closed, unavailable, idle;
  int until;
  bool wanted;
  char hash[PASSWORD_HASH_SIZE];
};

static void world_begin(struct world *world, size_t threads, size_t queue)
{
  *world = (struct world){.wanted = true};
  world->runtime.node = world->runtime.root = "";
  world->runtime.loop = mui_loop_new(4, 4);
  CU_ASSERT_PTR_NOT_NULL_FATAL(world->runtime.loop);
  world->runtime.core = mui_instance_new(&world->runtime, "accounts", "accounts");
  CU_ASSERT_PTR_NOT_NULL_FATAL(world->runtime.core);
  world->hasher = hasher_new(world->runtime.core, threads, queue);
  CU_ASSERT_PTR_NOT_NULL_FATAL(world->hasher);
}

static void world_end(struct world *world)
{
  mui_instance_revoke(world->runtime.core);
  CU_ASSERT_EQUAL(mui_loop_free(world->runtime.loop), 0);
  hasher_free(world->hasher);
  mui_instance_free(world->runtime.core);
}

static bool wanted(void *context)
{
  return ((struct world *)context)->wanted;
}

static void on_done(void *context, int result, const char *hash)
{
  struct world *world = context;
  world->granted += result == 0;
  world->refused += result == MU_EREFUSED;
  world->closed += result == MU_ECLOSED;
  world->unavailable += result == MU_EUNAVAILABLE;
  if (hash[0])
    memcpy(world->hash, hash, sizeof world->hash);
  if (++world->done == world->until)
    mui_loop_break(world->runtime.loop);
}

static void test_hasher(void)
{
  struct world world;
  world_begin(&world, 2, 8);
  world.until = 1;
  CU_ASSERT_EQUAL(hasher_make(world.hasher, "Password1", wanted, on_done, &world), 0);
  mui_loop_run(world.runtime.loop);
  CU_ASSERT_EQUAL(world.granted, 1);
  CU_ASSERT(password_hash_ok(world.hash));
  /* two run, eight wait, and no more are taken */
  int taken = 0;
  for (int i = 0; i < 20; i++) {
    int code = hasher_verify(world.hasher, i % 2 ? "Password1" : "Password2", world.hash, wanted, on_done, &world);
    CU_ASSERT(code == (i < 10 ? 0 : MU_ELIMIT));
    taken += code == 0;
  }
  CU_ASSERT_EQUAL(taken, 10);
  world.until = 11;
  mui_loop_run(world.runtime.loop);
  CU_ASSERT_EQUAL(world.granted, 6);
  CU_ASSERT_EQUAL(world.refused, 5);
  world_end(&world);
}

static void test_nobody_waits(void)
{
  struct world world;
  world_begin(&world, 1, 100);
  for (int i = 0; i < 100; i++)
    CU_ASSERT_EQUAL(hasher_verify(world.hasher, "Password1", NULL, wanted, on_done, &world), 0);
  world.wanted = false;
  world.until = 100;
  int64_t began = mu_mono_ns();
  mui_loop_run(world.runtime.loop);
  CU_ASSERT_EQUAL(world.refused, 1); /* the one that had begun */
  CU_ASSERT_EQUAL(world.closed, 99);
  CU_ASSERT(mu_mono_ns() - began < INT64_C(3000000000));
  world_end(&world);
}

/* With some running and some waiting: nobody is told, nothing leaks. */
static void test_stopped(void)
{
  struct world world;
  /* a hash of small cost: the loop's end waits for what runs, but not for long */
  static const char cheap[] = "$2b$04$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.";
  world_begin(&world, 2, 100);
  for (int i = 0; i < 20; i++)
    CU_ASSERT_EQUAL(hasher_verify(world.hasher, "Password1", cheap, NULL, on_done, &world), 0);
  world_end(&world);
  CU_ASSERT_EQUAL(world.done, 0);
}

static void on_idle(void *context)
{
  struct world *world = context;
  world->idle++;
  mui_loop_break(world->runtime.loop);
}

/* What runs ends, and whoever asked is told; what waits is not begun. */
static void test_stops(void)
{
  struct world world;
  world_begin(&world, 2, 100);
  CU_ASSERT_FALSE(hasher_runs(world.hasher));
  for (int i = 0; i < 6; i++)
    CU_ASSERT_EQUAL(hasher_make(world.hasher, "Password1", NULL, on_done, &world), 0);
  hasher_stop(world.hasher, on_idle, &world);
  CU_ASSERT_TRUE(hasher_runs(world.hasher));
  mui_loop_run(world.runtime.loop);
  CU_ASSERT_FALSE(hasher_runs(world.hasher));
  CU_ASSERT_EQUAL(world.granted, 2);
  CU_ASSERT_EQUAL(world.done, 2);
  CU_ASSERT_EQUAL(world.idle, 1);
  CU_ASSERT_EQUAL(hasher_make(world.hasher, "Password1", NULL, on_done, &world), 0);
  CU_ASSERT_FALSE(hasher_runs(world.hasher));
  world_end(&world);
  CU_ASSERT_EQUAL(world.done, 2);
}

static const struct unit_test tests[] = {
    {"hashes of other programs", test_hashes_of_others},
    {"own hashes", test_own},
    {"rows that are no hash, or cost too much", test_rows_of_no_use},
    {"the same work for nobody", test_same_work},
    {"a few at a time, some waiting, no more", test_hasher},
    {"nobody waits for it any more", test_nobody_waits},
    {"stopped meanwhile", test_stopped},
    {"stops when what runs has ended", test_stops},
};
UNIT_MAIN("passwords", tests)
