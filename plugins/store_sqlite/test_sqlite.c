/* SPDX-License-Identifier: ISC */
/* store/1 on SQLite, through the service, as plugins see it. */
#include "test_frame.h"

static void test_values(void)
{
  setup();
  make_users();
  char big[100000];
  memset(big, 'x', sizeof big);
  const struct mu_value values[] = {mu_value_text("ä 'quoted' \"; DROP TABLE users; --"),
                                    mu_value_str((struct mu_str){big, sizeof big}), mu_value_int(INT64_MAX),
                                    mu_value_real(-0.5), mu_value_time(1700000000123)};
  struct mu_statement insert = {
      .sql = {.text = "INSERT INTO users (id, email, age, score, created_at) VALUES (?, ?, ?, ?, ?)"},
      .values = values,
      .count = 5,
      .expect = 1};
  struct answer answer = {0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, &insert, 1, took, &answer), 0);
  CU_ASSERT_FALSE(answer.done); /* never before the call returns */
  CU_ASSERT_TRUE(wait_for(&answer));
  CU_ASSERT_EQUAL(answer.error, 0);
  CU_ASSERT_EQUAL(answer.changed[0], 1);

  CU_ASSERT_EQUAL(
      read_now(
          "SELECT id, LENGTH(email), age, score, created_at, NULL, '', created_at AS seen, MAX(created_at) AS last_at, "
          "MAX(created_at) AS last, typeof(created_at), created_at || '' FROM users",
          &answer),
      0);
  CU_ASSERT_EQUAL(answer.rows, 1);
  CU_ASSERT_EQUAL(answer.columns, 12);
  CU_ASSERT_STRING_EQUAL(answer.text[0], "ä 'quoted' \"; DROP TABLE users; --");
  CU_ASSERT_EQUAL(answer.values[1].integer, sizeof big);
  CU_ASSERT_EQUAL(answer.values[2].integer, INT64_MAX);
  CU_ASSERT_EQUAL(answer.values[3].type, MU_VALUE_REAL);
  CU_ASSERT_EQUAL(answer.values[3].real, -0.5);
  CU_ASSERT_EQUAL(answer.values[4].type, MU_VALUE_TIME);
  CU_ASSERT_EQUAL(answer.values[4].integer, 1700000000123);
  CU_ASSERT_EQUAL(answer.values[5].type, MU_VALUE_NULL);
  CU_ASSERT_EQUAL(answer.values[6].type, MU_VALUE_TEXT);
  CU_ASSERT_EQUAL(answer.values[6].text.len, 0);
  CU_ASSERT_EQUAL(answer.values[7].type, MU_VALUE_TIME);
  CU_ASSERT_EQUAL(answer.values[8].type, MU_VALUE_TIME);
  CU_ASSERT_EQUAL(answer.values[9].type, MU_VALUE_TEXT);
  CU_ASSERT_STRING_EQUAL(answer.text[10], "text");
  CU_ASSERT_STRING_EQUAL(answer.text[11], "2023-11-14 22:13:20.123");

  /* An empty text is not NULL; a missing one is. */
  const struct mu_value empty[] = {mu_value_str((struct mu_str){0}), mu_value_text(NULL)};
  struct mu_statement pick = {
      .sql = {.text = "SELECT ? IS NULL, ? IS NULL"}, .values = empty, .count = 2, .expect = MU_ANY_ROWS};
  answer = (struct answer){0};
  CU_ASSERT_EQUAL(api()->read(store.self, user, &pick, took, &answer), 0);
  CU_ASSERT_TRUE(wait_for(&answer));
  CU_ASSERT_EQUAL(answer.values[0].integer, 0);
  CU_ASSERT_EQUAL(answer.values[1].integer, 1);

  CU_ASSERT_EQUAL(read_now("SELECT id FROM users WHERE 0", &answer), 0);
  CU_ASSERT_EQUAL(answer.rows, 0);
  CU_ASSERT_EQUAL(answer.columns, 1);
  frame_down();
}

static void test_errors(void)
{
  setup();
  make_users();
  struct answer answer;
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, email) VALUES ('1', 'a@b')", NULL), 0);
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, email) VALUES ('2', 'A@B')", &answer), MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(answer.key, "users.email");
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, email) VALUES ('1', 'c')", &answer), MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(answer.key, "users.id");
  CU_ASSERT_EQUAL(write_now("INSERT INTO pets (owner) VALUES ('nobody')", &answer), MU_ENOENT);
  CU_ASSERT_STRING_EQUAL(answer.key, "");
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, age) VALUES ('3', -1)", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, age) VALUES ('3', NULL)", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("SELEC 1", &answer), MU_EINVAL);
  CU_ASSERT_PTR_NOT_NULL(strstr(answer.reason, "SELEC"));
  CU_ASSERT_EQUAL(write_now("INSERT INTO nowhere VALUES (1)", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id) VALUES (?)", NULL), MU_EINVAL); /* no value for it */
  CU_ASSERT_EQUAL(write_now("DELETE FROM users; DELETE FROM pets", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("DELETE FROM pets; ", NULL), 0);
  CU_ASSERT_EQUAL(write_now("", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id) VALUES (\"4\")", NULL), MU_EINVAL); /* no such column: not a text */
  /* Only the front ends transactions, and nobody leaves the file. */
  CU_ASSERT_EQUAL(write_now("COMMIT", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("RELEASE muster", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("ATTACH '/tmp/other.db' AS other", NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(write_now("PRAGMA foreign_keys = 0", NULL), MU_EINVAL);
  /* A read changes nothing. */
  CU_ASSERT_EQUAL(read_now("DELETE FROM users", &answer), MU_EINVAL);
  CU_ASSERT_EQUAL(read_now("INSERT INTO users (id) VALUES ('9') RETURNING id", &answer), MU_EINVAL);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM users"), 1);
  CU_ASSERT_TRUE(counted("errors") >= 15);
  frame_down();
}

static void test_transactions(void)
{
  setup();
  make_users();
  struct mu_statement two[] = {sql("INSERT INTO users (id) VALUES ('1')"), sql("INSERT INTO users (id) VALUES ('1')")};
  struct answer answer = {0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, two, 2, took, &answer), 0);
  CU_ASSERT_TRUE(wait_for(&answer));
  CU_ASSERT_EQUAL(answer.error, MU_EEXIST);
  CU_ASSERT_EQUAL(answer.failed, 1);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM users"), 0);

  /* Expected rows: matched counts, also when nothing is altered. */
  CU_ASSERT_EQUAL(write_now("INSERT INTO users (id, age) VALUES ('1', 5), ('2', 5), ('3', 6)", &answer), 0);
  CU_ASSERT_EQUAL(answer.changed[0], 3);
  struct mu_statement expecting[] = {
      sql("DELETE FROM users WHERE id = '3'"), sql("UPDATE users SET age = 5 WHERE age = 5"),
      sql("SELECT id FROM users ORDER BY id"), sql("DELETE FROM users WHERE id = 'none'"),
      sql("UPDATE users SET age = 6 WHERE id = '1' RETURNING id, age")};
  expecting[1].expect = 2;
  answer = (struct answer){0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, expecting, 5, took, &answer), 0);
  CU_ASSERT_TRUE(wait_for(&answer));
  CU_ASSERT_EQUAL(answer.error, 0);
  CU_ASSERT_EQUAL(answer.changed_count, 5);
  const int64_t changed[] = {1, 2, 0, 0, 1};
  CU_ASSERT_EQUAL(memcmp(answer.changed, changed, sizeof changed), 0);
  CU_ASSERT_EQUAL(answer.rows, 1); /* of the last that gives rows */
  CU_ASSERT_EQUAL(answer.columns, 2);
  CU_ASSERT_EQUAL(answer.values[1].integer, 6);
  expecting[1].expect = 7;
  answer = (struct answer){0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, expecting, 2, took, &answer), 0);
  CU_ASSERT_TRUE(wait_for(&answer));
  CU_ASSERT_EQUAL(answer.error, MU_EREFUSED);
  CU_ASSERT_EQUAL(answer.failed, 1);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM users"), 2);
  frame_down();
}

static void count_ok(void *context, const struct mu_result *result)
{
  struct answer *answer = context;
  answer->calls++;
  answer->error += result->error == 0;
  answer->failed += result->error != 0;
}

/* Many at once are few commits, in order, and one that fails takes no other with it. */
static void test_group_commit(void)
{
  setup();
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER UNIQUE)", NULL), 0);
  uint64_t before = counted("commits");
  struct answer all = {0}, last = {0};
  for (int i = 0; i < 2000; i++) {
    struct mu_value value = mu_value_int(i);
    struct mu_statement statements[] = {sql("INSERT INTO log (number) VALUES (?)"),
                                        sql("INSERT INTO log (number) VALUES (?)")};
    statements[0].values = statements[1].values = &value;
    statements[0].count = statements[1].count = 1;
    /* every tenth inserts the same number twice, and every seventh is two statements that go well */
    struct mu_value negative = mu_value_int(-i - 1);
    if (i % 7 == 0)
      statements[1].values = &negative;
    size_t count = i % 7 == 0 || i % 10 == 0 ? 2 : 1;
    CU_ASSERT_EQUAL(api()->write(store.self, user, statements, count, count_ok, &all), 0);
  }
  struct mu_statement end = sql("SELECT 1");
  CU_ASSERT_EQUAL(api()->write(store.self, user, &end, 1, took, &last), 0);
  CU_ASSERT_TRUE(wait_for(&last));
  unsigned fails = 0, rows = 0;
  for (int i = 0; i < 2000; i++) {
    fails += i % 7 && i % 10 == 0;
    rows += i % 7 == 0 ? 2 : i % 10 == 0 ? 0 : 1;
  }
  CU_ASSERT_EQUAL(all.calls, 2000);
  CU_ASSERT_EQUAL(all.failed, fails);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), rows);
  CU_ASSERT_EQUAL(
      number_now("SELECT COUNT(*) FROM log a JOIN log b ON a.id < b.id AND a.number > b.number AND a.number >= 0 "
                 "AND b.number >= 0"),
      0);
  printf("(%llu commits) ", (unsigned long long)(counted("commits") - before));
  CU_ASSERT_TRUE(counted("commits") - before < 200);
  frame_down();
}

/* A read that is asked in `done` sees what was done. */
struct chain {
  bool done;
  int64_t number, seen;
  unsigned wrong;
};
static void chain_next(struct chain *chain);
static void chain_read(void *context, const struct mu_result *result)
{
  struct chain *chain = context;
  chain->wrong += result->error || mu_result_at(result, 0, 0)->integer != chain->number;
  if (chain->number == 300)
    chain->done = true;
  else
    chain_next(chain);
}
static void chain_written(void *context, const struct mu_result *result)
{
  struct chain *chain = context;
  struct mu_statement statement = sql("SELECT MAX(number) FROM log");
  chain->wrong += result->error || api()->read(store.self, user, &statement, chain_read, chain) != 0;
}
static void chain_next(struct chain *chain)
{
  struct mu_value value = mu_value_int(++chain->number);
  struct mu_statement statement = {
      .sql = {.text = "INSERT INTO log VALUES (?)"}, .values = &value, .count = 1, .expect = 1};
  chain->wrong += api()->write(store.self, user, &statement, 1, chain_written, chain) != 0;
}

static void test_read_your_writes(void)
{
  setup();
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER)", NULL), 0);
  struct chain chain = {0};
  chain_next(&chain);
  CU_ASSERT_TRUE(mui_loop_until(runtime.loop, &chain.done, 30000));
  CU_ASSERT_EQUAL(chain.wrong, 0);
  frame_down();
}

#define ROWS "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i, '%s' FROM n"

static void test_bounds(void)
{
  struct mu_store_limits limits = limits_default;
  limits.queue = 16;
  limits.queue_bytes = 1 << 20;
  limits.rows = 100;
  limits.row_bytes = 65536;
  setup_with(&limits);
  struct answer answer;
  struct mu_statement statement = sql("SELECT 1");
  struct answer all = {0};
  unsigned taken = 0;
  for (int i = 0; i < 100; i++)
    taken += api()->write(store.self, user, &statement, 1, count_ok, &all) == 0;
  CU_ASSERT_EQUAL(taken, 16);
  CU_ASSERT_EQUAL(write_now("SELECT 1", NULL), MU_ELIMIT);
  while (all.calls < 16)
    turn_for(5);
  char *big = calloc(1, 2 << 20);
  struct mu_value value = mu_value_str((struct mu_str){big, 2 << 20});
  struct mu_statement large = {.sql = {.text = "SELECT ?"}, .values = &value, .count = 1, .expect = MU_ANY_ROWS};
  CU_ASSERT_EQUAL(api()->read(store.self, user, &large, took, &answer), MU_ELIMIT);
  free(big);

  char text[8192], filler[4096];
  memset(filler, 'y', sizeof filler);
  snprintf(text, sizeof text, ROWS, 100, "x");
  CU_ASSERT_EQUAL(read_now(text, &answer), 0);
  CU_ASSERT_EQUAL(answer.rows, 100);
  snprintf(text, sizeof text, ROWS, 101, "x");
  CU_ASSERT_EQUAL(read_now(text, &answer), MU_ELIMIT);
  CU_ASSERT_EQUAL(answer.rows, 0);
  filler[sizeof filler - 1] = '\0';
  snprintf(text, sizeof text, ROWS, 50, filler);
  CU_ASSERT_EQUAL(read_now(text, &answer), MU_ELIMIT);

  /* A change whose rows are too many is not done, and those before and after it are. */
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER)", NULL), 0);
  struct answer first = {0}, many = {0}, last = {0};
  struct mu_statement one = sql("INSERT INTO log VALUES (-1)");
  struct mu_statement returning =
      sql("INSERT INTO log WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i "
          "FROM n RETURNING number");
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 1, took, &first), 0);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &one, 1, took, &first), 0);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &returning, 1, took, &many), 0);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &one, 1, took, &last), 0);
  CU_ASSERT_TRUE(wait_for(&last));
  CU_ASSERT_EQUAL(first.error, 0);
  CU_ASSERT_EQUAL(many.error, MU_ELIMIT);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 2);

  /* Too slow: read and change. */
  limits.run = 1;
  CU_ASSERT_EQUAL(mu_store_front_limits(front, &limits), 0);
  const char *slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";
  CU_ASSERT_EQUAL(read_now(slow, &answer), MU_EUNAVAILABLE);
  snprintf(text, sizeof text, "INSERT INTO log %s", slow);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &one, 1, took, &first), 0);
  CU_ASSERT_EQUAL(write_now(text, &answer), MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 3);
  frame_down();
}

/* Another process has the file: others wait, and those who wait too long are told. */
static void test_locked(void)
{
  struct mu_store_limits limits = limits_default;
  limits.wait = 3;
  setup_with(&limits);
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER)", NULL), 0);
  sqlite3 *other;
  CU_ASSERT_EQUAL(sqlite3_open(path, &other), SQLITE_OK);
  /* Its commit waits for no disk: the patient's time would go. */
  CU_ASSERT_EQUAL(
      sqlite3_exec(other, "PRAGMA synchronous = OFF; BEGIN IMMEDIATE; INSERT INTO log VALUES (1)", NULL, NULL, NULL),
      SQLITE_OK);
  struct answer answer;
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 0); /* reads go on */
  CU_ASSERT_EQUAL(write_now("INSERT INTO log VALUES (2)", &answer), MU_EUNAVAILABLE);
  struct answer patient = {0};
  struct mu_statement statement = sql("INSERT INTO log VALUES (3)");
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 1, took, &patient), 0);
  turn_for(300);
  CU_ASSERT_FALSE(patient.done);
  CU_ASSERT_EQUAL(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(other);
  CU_ASSERT_TRUE(wait_for(&patient));
  CU_ASSERT_EQUAL(patient.error, 0);
  CU_ASSERT_EQUAL(number_now("SELECT SUM(number) FROM log"), 4);
  CU_ASSERT_TRUE(counted("expired") >= 1);
  frame_down();
}

/* ---- migrations ------------------------------------------------------------------------------ */

static const struct mu_sql step_1[] = {{.text = "CREATE TABLE things (id INTEGER PRIMARY KEY)"},
                                       {.text = "INSERT INTO things VALUES (1)"}};
static const struct mu_sql step_3[] = {{.sqlite = "ALTER TABLE things ADD COLUMN name TEXT", .mariadb = "no"}};
static const struct mu_sql step_bad[] = {{.text = "INSERT INTO things VALUES (50, 'fifty')"},
                                         {.text = "INSERT INTO nowhere VALUES (1)"}};
static const struct mu_migration steps[] = {
    {1, "things", step_1, 2}, {3, "names", step_3, 1}, {4, "wrong", step_bad, 2}};

static int migrate_now(const struct mu_migration *list, size_t count, struct answer *answer)
{
  *answer = (struct answer){0};
  int error = api()->migrate(store.self, user, "things", list, count, took, answer);
  if (error)
    return error;
  CU_ASSERT_TRUE_FATAL(wait_for(answer));
  return answer->error;
}

static void test_migrations(void)
{
  setup();
  struct answer answer, early = {0}, change = {0};
  const struct mu_migration wrong[] = {steps[1], steps[0]};
  CU_ASSERT_EQUAL(migrate_now(wrong, 2, &answer), MU_EINVAL);
  const struct mu_migration mariadb_only = {1, "x", (const struct mu_sql[]){{.mariadb = "SELECT 1"}}, 1};
  CU_ASSERT_EQUAL(migrate_now(&mariadb_only, 1, &answer), MU_EINVAL);

  /* What is asked meanwhile waits for the tables, in order. */
  answer = (struct answer){0};
  CU_ASSERT_EQUAL(api()->migrate(store.self, user, "things", steps, 1, took, &answer), 0);
  struct mu_statement insert = sql("INSERT INTO things VALUES (2)"), count = sql("SELECT COUNT(*) FROM things");
  CU_ASSERT_EQUAL(api()->read(store.self, user, &count, took, &early), 0);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &insert, 1, took, &change), 0);
  CU_ASSERT_TRUE(wait_for(&early) && wait_for(&change));
  CU_ASSERT_TRUE(answer.done && answer.error == 0);
  CU_ASSERT_EQUAL(early.error, 0);
  CU_ASSERT_EQUAL(change.error, 0);
  CU_ASSERT_EQUAL(number_now("SELECT version FROM muster_migrations WHERE owner = 'things'"), 1);
  CU_ASSERT_EQUAL(read_now("SELECT applied_at FROM muster_migrations", &answer), 0);
  CU_ASSERT_EQUAL(answer.values[0].type, MU_VALUE_TIME);
  CU_ASSERT_TRUE(llabs(answer.values[0].integer - mu_now_ms()) < 60000);

  CU_ASSERT_EQUAL(migrate_now(steps, 2, &answer), 0);
  CU_ASSERT_EQUAL(migrate_now(steps, 2, &answer), 0);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM things"), 2);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM muster_migrations"), 2);
  CU_ASSERT_EQUAL(write_now("INSERT INTO things VALUES (3, 'three')", NULL), 0);

  /* A wrong step leaves nothing behind, and nothing is asked any more in the name of this user. */
  CU_ASSERT_EQUAL(migrate_now(steps, 3, &answer), MU_EINVAL);
  CU_ASSERT_EQUAL(answer.failed, 4);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "nowhere"));
  CU_ASSERT_EQUAL(read_now("SELECT COUNT(*) FROM things", &answer), MU_EUNAVAILABLE);
  user_down();
  user_up();
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM things"), 3);

  /* An older program. */
  CU_ASSERT_EQUAL(migrate_now(steps, 1, &answer), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(answer.reason, "older"));
  frame_down();
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void never_called(void *context, const struct mu_result *result)
{
  (void)result;
  ++*(unsigned *)context;
}

static void test_user_stops(void)
{
  setup();
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER)", NULL), 0);
  unsigned called = 0;
  struct mu_statement insert = sql("INSERT INTO log VALUES (1)"), count = sql("SELECT COUNT(*) FROM log");
  for (int i = 0; i < 50; i++) {
    CU_ASSERT_EQUAL(api()->write(store.self, user, &insert, 1, never_called, &called), 0);
    CU_ASSERT_EQUAL(api()->read(store.self, user, &count, never_called, &called), 0);
  }
  mu_instance *stopped = user;
  mui_instance_revoke(user);
  CU_ASSERT_EQUAL(api()->write(store.self, stopped, &insert, 1, NULL, NULL), MU_ECLOSED);
  user_down();
  user_up();
  CU_ASSERT_EQUAL(write_now("SELECT 1", NULL), 0);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 50);
  CU_ASSERT_EQUAL(called, 0);
  frame_down();
}

/* Everything that waits is carried out before the store stops; so it is on a reload that restarts both. */
static void test_store_stops(void)
{
  setup();
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER)", NULL), 0);
  struct answer all = {0};
  struct mu_statement insert = sql("INSERT INTO log VALUES (1)");
  for (int i = 0; i < 3000; i++)
    CU_ASSERT_EQUAL(api()->write(store.self, user, &insert, 1, count_ok, &all), 0);
  user_down();
  CU_ASSERT_TRUE(front_down());
  CU_ASSERT_EQUAL(all.calls, 0);
  user_up();
  place.synchronous = SYNCHRONOUS_FULL;
  front_up(&limits_default);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 3000);

  /* Somebody who stays is told; what cannot be done in time is told so. */
  sqlite3 *other;
  CU_ASSERT_EQUAL(sqlite3_open(path, &other), SQLITE_OK);
  CU_ASSERT_EQUAL(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  struct answer told = {0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, &insert, 1, took, &told), 0);
  CU_ASSERT_TRUE(front_down());
  CU_ASSERT_EQUAL(told.calls, 1);
  CU_ASSERT_EQUAL(told.error, MU_EUNAVAILABLE);
  sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
  sqlite3_close(other);
  front_up(&limits_default);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 3000);
  frame_down();
}

static const struct unit_test tests[] = {
    {"values", test_values},
    {"errors", test_errors},
    {"transactions", test_transactions},
    {"group commit", test_group_commit},
    {"reads see writes", test_read_your_writes},
    {"bounds", test_bounds},
    {"locked by another process", test_locked},
    {"migrations", test_migrations},
    {"a user stops", test_user_stops},
    {"the store stops", test_store_stops},
};
UNIT_MAIN("store_sqlite", tests)
