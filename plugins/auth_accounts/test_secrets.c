/* SPDX-License-Identifier: ISC */
/* Random texts, API keys, names, and times as clients write them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "unit.h"

static void test_uuid(void)
{
  char a[UUID_SIZE], b[UUID_SIZE];
  for (int i = 0; i < 200; i++) {
    CU_ASSERT_EQUAL(uuid_make(a), 0);
    CU_ASSERT_EQUAL(uuid_make(b), 0);
    CU_ASSERT_STRING_NOT_EQUAL(a, b);
    CU_ASSERT_EQUAL(strlen(a), 36);
    CU_ASSERT(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-' && a[14] == '4');
    CU_ASSERT_PTR_NOT_NULL(strchr("89ab", a[19]));
    CU_ASSERT_EQUAL(strspn(a, "0123456789abcdef-"), 36);
  }
}

/* Every letter comes, and none much more often than others: a modulo of random bytes would show. */
static void spread(int (*make)(char *out), size_t len, size_t skip, size_t letters)
{
  static unsigned seen[256];
  char text[64];
  memset(seen, 0, sizeof seen);
  unsigned total = 0;
  for (int i = 0; i < 4000; i++) {
    CU_ASSERT_EQUAL(make(text), 0);
    CU_ASSERT_EQUAL(strlen(text), len);
    for (size_t j = skip; j < len; j++, total++)
      seen[(unsigned char)text[j]]++;
  }
  size_t different = 0;
  for (size_t c = 0; c < 256; c++) {
    different += seen[c] > 0;
    CU_ASSERT(seen[c] == 0 || (seen[c] > total / letters * 8 / 10 && seen[c] < total / letters * 12 / 10));
  }
  CU_ASSERT_EQUAL(different, letters);
}

static void test_random(void)
{
  spread(code_make, CODE_SIZE - 1, 0, 64);
  spread(one_time_make, ONE_TIME_SIZE - 1, 0, 57);
  spread(key_make, KEY_SIZE - 1, strlen(KEY_PREFIX), 64);
}

static void test_keys(void)
{
  char key[KEY_SIZE], digest[DIGEST_SIZE];
  CU_ASSERT_EQUAL(key_make(key), 0);
  CU_ASSERT(key_shaped(mu_str(key)));
  CU_ASSERT(key_digest(MU_STR("abc"), digest));
  CU_ASSERT_STRING_EQUAL(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CU_ASSERT(key_digest((struct mu_str){"", 0}, digest));
  CU_ASSERT_FALSE(key_shaped((struct mu_str){NULL, 0}));
  CU_ASSERT_FALSE(key_shaped(MU_STR("")));
  CU_ASSERT_FALSE(key_shaped(MU_STR(KEY_PREFIX)));
  for (size_t i = 0; i < KEY_SIZE - 1; i++)
    CU_ASSERT_FALSE(key_shaped((struct mu_str){key, i}));
  for (size_t i = 0; i < KEY_SIZE - 1; i++) {
    char was = key[i];
    static const char strange[] = {'\0', ' ', '\n', '.', '/', '+', '=', '\x80', '\xff', '\''};
    for (size_t j = 0; j < sizeof strange; j++) {
      key[i] = strange[j];
      CU_ASSERT_FALSE(key_shaped((struct mu_str){key, KEY_SIZE - 1}));
    }
    key[i] = was;
  }
}

static void test_names(void)
{
  CU_ASSERT(username_ok(MU_STR("abc")) && username_ok(MU_STR("A_9")) &&
            username_ok(MU_STR("abcdefghijklmnopqrstuvwxyz0123")));
  static const char *const bad[] = {
      "", "ab", "abcdefghijklmnopqrstuvwxyz01234", "a b", "a-b", "a.b", "a@b", "a'bc", "jörg", "abc\n", "%s%"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(username_ok(mu_str(bad[i])));
  CU_ASSERT_FALSE(username_ok((struct mu_str){"abc\0d", 5}));
}

static void test_times(void)
{
  static const struct {
    const char *text;
    bool end;
    int64_t ms;
  } good[] = {
      {"2030-01-01T00:00:00Z", false, INT64_C(1893456000000)},
      {"2030-01-01T00:00:00.123Z", false, INT64_C(1893456000123)},
      {"2030-01-01T01:00:00+01:00", false, INT64_C(1893456000000)},
      {"2029-12-31T19:00:00-05:00", false, INT64_C(1893456000000)},
      {"2030-01-01T00:00:00", false, INT64_C(1893456000000)},
      {"2030-01-01T00:00", false, INT64_C(1893456000000)},
      {"2030-01-01", false, INT64_C(1893456000000)},
      {"2030-01-01", true, INT64_C(1893542399999)},
      {"2030-01-01T00:00:00Z", true, INT64_C(1893456000000)},
      {"1970-01-01T00:00:00Z", false, 0},
      {"9999-12-31", true, INT64_C(253402300799999)},
  };
  for (size_t i = 0; i < MU_COUNT(good); i++) {
    int64_t ms = -1;
    CU_ASSERT(time_of_text(mu_str(good[i].text), good[i].end, &ms));
    CU_ASSERT_EQUAL(ms, good[i].ms);
  }
  static const char *const bad[] = {"",
                                    "zz",
                                    "2030",
                                    "2030-1-1",
                                    "2030-13-01",
                                    "2030-02-30",
                                    "2030-01-01T24:00:01Z",
                                    "2030-01-01T00:00:00Zx",
                                    "1969-12-31T23:59:59Z",
                                    "20300101T000000Z",
                                    "2030-01-01 junk here",
                                    "9999-12-31T23:59:59.999-01:00",
                                    "2030-01-01T00:00:00.0000000000000000000000000000000000000001Z"};
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    int64_t ms = -1;
    CU_ASSERT_FALSE(time_of_text(mu_str(bad[i]), false, &ms));
  }
  static const char *const json_good[] = {"0", "1893456000", "1893456000.25", "\"2030-01-01\"", "253402300799"};
  static const char *const json_bad[] = {"-1", "253402300800", "1e300", "true", "[]", "{}", "\"\"", "\"a\\u0000b\""};
  for (size_t i = 0; i < MU_COUNT(json_good); i++) {
    int64_t ms;
    struct json_object *value = json_tokener_parse(json_good[i]);
    CU_ASSERT(time_of_json(value, &ms));
    json_object_put(value);
  }
  for (size_t i = 0; i < MU_COUNT(json_bad); i++) {
    int64_t ms;
    struct json_object *value = json_tokener_parse(json_bad[i]);
    CU_ASSERT_FALSE(time_of_json(value, &ms));
    json_object_put(value);
  }
}

static const struct unit_test tests[] = {
    {"UUIDs", test_uuid},    {"random texts are evenly spread", test_random},
    {"API keys", test_keys}, {"names", test_names},
    {"times", test_times},
};
UNIT_MAIN("secrets, names, times", tests)
