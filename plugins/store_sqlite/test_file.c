/* SPDX-License-Identifier: ISC */
/* The database's file: refused, full, bounded; statements and times as SQLite has them. */
#include "race.h"
#include "test_frame.h"

/* ---- the file -------------------------------------------------------------------------------- */

static long file_size(const char *name)
{
  struct stat found;
  return stat(name, &found) == 0 ? (long)found.st_size : -1;
}

static void spoil(const char *text, long at)
{
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  CU_ASSERT_EQUAL(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
  close(fd);
}

static void test_file(void)
{
  frame_up();
  snprintf(path, sizeof path, "%s/sub/muster.db", folder);
  place = (struct place){.path = path};
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "folder does not exist"));
  snprintf(path, sizeof path, "%s", folder);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "is not a file"));

  snprintf(path, sizeof path, "%s/muster.db", folder);
  const char *letter =
      "Dear database,\nthis is a letter of more than a hundred bytes, which somebody wants to keep. It must be "
      "there afterwards as it was before, every byte of it.\n";
  spoil(letter, 0);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "not a database"));
  CU_ASSERT_EQUAL(file_size(path), (long)strlen(letter));
  CU_ASSERT_EQUAL(unlink(path), 0);

  mode_t mask = umask(0);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), 0);
  umask(mask);
  struct stat found;
  CU_ASSERT_EQUAL(stat(path, &found), 0);
  CU_ASSERT_EQUAL(found.st_mode & 07777, 0600);
  CU_ASSERT_EQUAL(chmod(path, 0644), 0);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), 0);
  CU_ASSERT_EQUAL(stat(path, &found), 0);
  CU_ASSERT_EQUAL(found.st_mode & 07777, 0600);

  driver = &sqlite_driver;
  driver_self = &place;
  front_up(&limits_default);
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (number INTEGER, text TEXT)", NULL), 0);
  CU_ASSERT_EQUAL(write_now("CREATE INDEX log_number ON log (number)", NULL), 0);
  CU_ASSERT_EQUAL(
      write_now(
          "INSERT INTO log WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, "
          "'some text' FROM n",
          NULL),
      0);
  char wal[160];
  snprintf(wal, sizeof wal, "%s-wal", path);
  CU_ASSERT_EQUAL(stat(wal, &found), 0);
  CU_ASSERT_EQUAL(found.st_mode & 07777, 0600);
  front_down();
  CU_ASSERT_EQUAL(file_size(wal), -1);
  long size = file_size(path);
  CU_ASSERT_TRUE(size > 100000);
  for (long at = 3 * 4096; at < 12 * 4096; at += 100)
    spoil("no such bytes", at);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "damaged"));
  CU_ASSERT_EQUAL(truncate(path, 5000), 0);
  logged[0] = '\0';
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "malformed"));
  CU_ASSERT_EQUAL(file_size(path), 5000);
  frame_down();
}

static bool judge_when_all_do(struct race *race, void *context)
{
  (void)context;
  race_begins(race);
  return file_judge(runtime.core, &place) == 0;
}

/* Servers that start at once on a file that is not there: one of them makes it, and all have it. */
static void test_first_starts(void)
{
  frame_up();
  for (int i = 0; i < 40; i++) {
    snprintf(path, sizeof path, "%s/%d.db", folder, i);
    place = (struct place){.path = path};
    CU_ASSERT_EQUAL_FATAL(race(4, judge_when_all_do, NULL), 4);
  }
  snprintf(path, sizeof path, "%s/link.db", folder);
  CU_ASSERT_EQUAL(symlink("nothing", path), 0);
  CU_ASSERT_EQUAL(file_judge(runtime.core, &place), MU_EREFUSED);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "link to nothing"));
  frame_down();
}

/* Reads that follow one another without a gap: there is always one that holds an older state. */
struct reader {
  bool enough, done;
  unsigned reads, wrong;
};
static void read_on(void *context, const struct mu_result *result)
{
  struct reader *reader = context;
  struct mu_statement statement = sql("SELECT COUNT(*) FROM log WHERE text > 'x'");
  reader->reads += result != NULL;
  reader->wrong += result && result->error;
  if (reader->enough)
    reader->done = true;
  else
    reader->wrong += api()->read(store.self, user, &statement, read_on, reader) != 0;
}

/* While it is written for long, the log of writes stays small, and is empty afterwards. */
static void test_log_is_bounded(void)
{
  struct mu_store_driver often = sqlite_driver;
  setup();
  front_down();
  often.tend_s = 1;
  driver = &often;
  front_up(&limits_default);
  char wal[160], text[4096];
  snprintf(wal, sizeof wal, "%s-wal", path);
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (text TEXT)", NULL), 0);
  snprintf(text, sizeof text,
           "INSERT INTO log WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT "
           "'%0*d' FROM n",
           3000, 0);
  long most = 0;
  struct reader readers[3] = {{0}};
  for (size_t i = 0; i < MU_COUNT(readers); i++)
    read_on(&readers[i], NULL);
  for (int i = 0; i < 300; i++) {
    CU_ASSERT_EQUAL(write_now(text, NULL), 0);
    long size = file_size(wal);
    most = size > most ? size : most;
  }
  unsigned reads = 0;
  for (size_t i = 0; i < MU_COUNT(readers); i++) {
    readers[i].enough = true;
    while (!readers[i].done)
      turn_for(10);
    reads += readers[i].reads;
    CU_ASSERT_EQUAL(readers[i].wrong, 0);
  }
  printf("(%u reads) ", reads);
  printf("(log at most %ld KiB) ", most / 1024);
  CU_ASSERT_TRUE(most < 96 << 20); /* of more than 120 MiB; the slower the reads, the longer until nobody is in it */
  for (int i = 0; i < 200 && file_size(wal) > 0; i++)
    turn_for(50);
  CU_ASSERT_EQUAL(file_size(wal), 0);
  frame_down();
}

/* No room: told, nothing lost, and all well when there is room again. */
static void test_no_room(void)
{
  setup();
  struct answer answer;
  char text[512];
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (text TEXT)", NULL), 0);
  CU_ASSERT_EQUAL(write_now("INSERT INTO log VALUES ('kept')", NULL), 0);
  snprintf(text, sizeof text,
           "INSERT INTO log WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT "
           "'%0*d' FROM n",
           100, 0);
  struct rlimit before, small;
  signal(SIGXFSZ, SIG_IGN);
  CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before;
  small.rlim_cur = 100 * 1024;
  CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
  unsigned done = 0;
  int error = 0;
  for (int i = 0; i < 20 && !error; i++) {
    error = write_now(text, &answer);
    done += !error;
  }
  CU_ASSERT_EQUAL(error, MU_EIO);
  CU_ASSERT_EQUAL(write_now(text, &answer), MU_EIO);
  CU_ASSERT_TRUE(*answer.reason);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 1 + 300 * (int64_t)done);
  CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
  CU_ASSERT_EQUAL(write_now(text, &answer), 0);
  CU_ASSERT_EQUAL(number_now("SELECT COUNT(*) FROM log"), 301 + 300 * (int64_t)done);
  frame_down();
}

/* More texts than are kept prepared. */
static void test_statements(void)
{
  struct mu_store_limits limits = limits_default;
  limits.statements = 8;
  setup_with(&limits);
  char text[64];
  for (int i = 0; i < 100; i++) {
    snprintf(text, sizeof text, "SELECT %d", i % 3 ? i : 7);
    CU_ASSERT_EQUAL(number_now(text), i % 3 ? i : 7);
    CU_ASSERT_EQUAL(write_now(text, NULL), 0);
  }
  for (size_t i = 0; i < front->slot_count; i++)
    CU_ASSERT_TRUE(front->slots[i].link.count <= 8);
  /* The table changes under a prepared statement. */
  struct answer answer;
  CU_ASSERT_EQUAL(write_now("CREATE TABLE log (made DATETIME(3))", NULL), 0);
  CU_ASSERT_EQUAL(write_now("INSERT INTO log VALUES ('2026-01-02 03:04:05.006')", NULL), 0);
  CU_ASSERT_EQUAL(read_now("SELECT * FROM log", &answer), 0);
  CU_ASSERT_EQUAL(answer.values[0].integer, 1767323045006);
  CU_ASSERT_EQUAL(write_now("ALTER TABLE log ADD COLUMN number INTEGER DEFAULT 5", NULL), 0);
  for (int i = 0; i < 4; i++) { /* on all links */
    CU_ASSERT_EQUAL(read_now("SELECT * FROM log", &answer), 0);
    CU_ASSERT_EQUAL(answer.columns, 2);
    CU_ASSERT_EQUAL(answer.values[1].integer, 5);
  }
  frame_down();
}

static void test_times(void)
{
  char text[TIME_SIZE], other[64];
  int64_t back;
  for (int64_t ms = -62167219200000; ms < 253402300799999; ms += 86399999977 / 3) {
    time_write(ms, text);
    CU_ASSERT_TRUE_FATAL(time_read(mu_str(text), &back) && back == ms);
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm parts;
    gmtime_r(&seconds, &parts);
    snprintf(other, sizeof other, "%04d-%02d-%02d %02d:%02d:%02d.%03d", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(ms - seconds * 1000));
    CU_ASSERT_STRING_EQUAL_FATAL(text, other);
  }
  time_write(INT64_MAX, text);
  CU_ASSERT_STRING_EQUAL(text, "9999-12-31 23:59:59.999");
  time_write(INT64_MIN, text);
  CU_ASSERT_STRING_EQUAL(text, "0000-01-01 00:00:00.000");
  CU_ASSERT_TRUE(time_read(MU_STR("2024-02-29T00:00:00Z"), &back) && back == 1709164800000);
  CU_ASSERT_TRUE(time_read(MU_STR("1970-01-01 00:00:00.1234567"), &back) && back == 123);
  const char *bad[] = {"",
                       "2024",
                       "2023-02-29 00:00:00",
                       "2024-13-01 00:00:00",
                       "2024-01-01 24:00:00",
                       "2024-01-01 00:00:00.",
                       "2024-01-01 00:00:00x",
                       "2024-01-01 00:00:00.1x",
                       "2024-00-01 00:00:00",
                       "2024-01-00 00:00:00",
                       "+024-01-01 00:00:00",
                       "1900-02-29 00:00:00"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(time_read(mu_str(bad[i]), &back));
}

static const struct unit_test tests[] = {
    {"the file", test_file},   {"first starts at once", test_first_starts}, {"the log is bounded", test_log_is_bounded},
    {"no room", test_no_room}, {"prepared statements", test_statements},    {"times", test_times},
};
UNIT_MAIN("store_sqlite_file", tests)
