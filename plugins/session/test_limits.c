/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "limits.h"
#include "unit.h"

#define S 1000000000ll

static void a_minutes_worth_at_once(void)
{
  struct bucket bucket = {0};
  const int64_t begin = 1000 * S;
  for (int i = 0; i < 60; i++) {
    CU_ASSERT(bucket_wait(&bucket, 60, begin) == 0);
    bucket_take(&bucket, 60, begin);
  }
  CU_ASSERT(bucket_wait(&bucket, 60, begin) == S);
  CU_ASSERT(bucket_wait(&bucket, 60, begin + S / 2) == S / 2);
  CU_ASSERT(bucket_wait(&bucket, 60, begin + S) == 0);
  bucket_take(&bucket, 60, begin + S);
  CU_ASSERT(bucket_wait(&bucket, 60, begin + S) == S);
  /* Not used for long: a minute's worth again, and no more. */
  int taken = 0;
  for (; bucket_wait(&bucket, 60, begin + 3600 * S) == 0; taken++)
    bucket_take(&bucket, 60, begin + 3600 * S);
  CU_ASSERT_EQUAL(taken, 60);
}

static void any_rate(void)
{
  static const int64_t rates[] = {1, 5, 7, 600, 99991, 1000000};
  for (size_t i = 0; i < MU_COUNT(rates); i++) {
    struct bucket bucket = {0};
    int64_t taken = 0;
    for (; bucket_wait(&bucket, rates[i], 7 * S) == 0; taken++)
      bucket_take(&bucket, rates[i], 7 * S);
    CU_ASSERT_EQUAL(taken, rates[i]);
  }
}

static void keys(void)
{
  struct limit_key four = limit_key("192.0.2.1"), mapped = limit_key("::ffff:192.0.2.1");
  CU_ASSERT(four.len == 4 && mapped.len == 4 && memcmp(four.bytes, mapped.bytes, 4) == 0);
  struct limit_key a = limit_key("2001:db8:1:2::1"), b = limit_key("2001:db8:1:2:ffff:ffff:ffff:ffff"),
                   c = limit_key("2001:db8:1:3::1");
  CU_ASSERT(a.len == 8 && b.len == 8 && memcmp(a.bytes, b.bytes, 8) == 0 && memcmp(a.bytes, c.bytes, 8) != 0);
  CU_ASSERT(limit_key("").len != 4 && limit_key("").len != 8);
  CU_ASSERT(limit_key("abc").len != 4 && limit_key("abcdefg").len != 8);
  CU_ASSERT(limit_key("a text that is longer than any address is, by far").len <= sizeof a.bytes);
}

static void failures_by_address(void)
{
  struct failures failures;
  CU_ASSERT_FATAL(failures_init(&failures, 100) == 0);
  int64_t now = 50 * S;
  for (int i = 0; i < 5; i++) {
    CU_ASSERT(failures_wait(&failures, "2001:db8::1", 5, now) == 0);
    failures_note(&failures, "2001:db8::1", 5, now);
  }
  CU_ASSERT(failures_wait(&failures, "2001:db8::1", 5, now) == 12);
  CU_ASSERT(failures_wait(&failures, "2001:db8::ffff", 5, now) == 12);
  CU_ASSERT(failures_wait(&failures, "2001:db8:0:1::1", 5, now) == 0);
  CU_ASSERT(failures_wait(&failures, "192.0.2.1", 5, now) == 0);
  CU_ASSERT(failures_wait(&failures, "2001:db8::1", 5, now + 11 * S) == 1);
  CU_ASSERT(failures_wait(&failures, "2001:db8::1", 5, now + 12 * S) == 0);
  failures_fini(&failures);
}

static void under_way(void)
{
  struct failures failures;
  CU_ASSERT_FATAL(failures_init(&failures, 3) == 0);
  int64_t now = 50 * S;
  for (int i = 0; i < 100; i++)
    failures_begin(&failures, "192.0.2.1", now);
  CU_ASSERT_FALSE(failures_busy(&failures, "192.0.2.1", 5, now)); /* none has failed */
  failures_note(&failures, "192.0.2.1", 5, now);
  CU_ASSERT_TRUE(failures_busy(&failures, "192.0.2.1", 5, now));
  CU_ASSERT_FALSE(failures_busy(&failures, "192.0.2.2", 5, now));
  for (int i = 0; i < 97; i++)
    failures_end(&failures, "192.0.2.1");
  CU_ASSERT_FALSE(failures_busy(&failures, "192.0.2.1", 5, now)); /* 1 + 3 */
  failures_begin(&failures, "192.0.2.1", now);
  CU_ASSERT_TRUE(failures_busy(&failures, "192.0.2.1", 5, now));
  failures_forgive(&failures, "192.0.2.1", 5);
  CU_ASSERT_FALSE(failures_busy(&failures, "192.0.2.1", 5, now));
  /* Who is paid back is kept while something is under way; who made room for others ends in silence. */
  failures_note(&failures, "192.0.2.1", 5, now);
  now += 3600 * S;
  failures_begin(&failures, "192.0.2.2", now);
  failures_note(&failures, "192.0.2.1", 5, now);
  CU_ASSERT_TRUE(failures_busy(&failures, "192.0.2.1", 5, now));
  for (int i = 3; i < 10; i++) {
    char address[32];
    snprintf(address, sizeof address, "192.0.2.%d", i);
    failures_begin(&failures, address, now);
    CU_ASSERT(mu_map_count(failures.map) <= 3);
  }
  for (int i = 0; i < 5; i++)
    failures_end(&failures, "192.0.2.1");
  failures_forgive(&failures, "192.0.2.1", 5);
  CU_ASSERT_FALSE(failures_busy(&failures, "192.0.2.1", 5, now));
  failures_fini(&failures);
}

static void the_table_is_bounded(void)
{
  struct failures failures;
  CU_ASSERT_FATAL(failures_init(&failures, 100) == 0);
  char address[32];
  for (int i = 0; i < 100000; i++) {
    snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
    failures_note(&failures, address, 1, S);
    CU_ASSERT_FATAL(mu_map_count(failures.map) <= 100);
  }
  CU_ASSERT(failures_wait(&failures, address, 1, S) == 60); /* the newest is known, the oldest is not */
  CU_ASSERT(failures_wait(&failures, "10.0.0.0", 1, S) == 0);
  /* An hour later they are paid back, and go two by two. */
  for (int i = 0; i < 60; i++) {
    snprintf(address, sizeof address, "192.168.0.%d", i);
    failures_note(&failures, address, 5, 3600 * S);
  }
  CU_ASSERT(mu_map_count(failures.map) <= 60);
  failures_fini(&failures);
}

static const struct unit_test tests[] = {
    {"a minute's worth at once, then one by one", a_minutes_worth_at_once},
    {"any rate", any_rate},
    {"addresses as they count", keys},
    {"failures by address", failures_by_address},
    {"attempts under way", under_way},
    {"the table is bounded", the_table_is_bounded},
};
UNIT_MAIN("session: limits", tests)
