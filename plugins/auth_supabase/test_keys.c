/* SPDX-License-Identifier: ISC */
/* Keys, names, queries and rows; the breaker and the cache: everything that needs no server. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "breaker.h"
#include "cache.h"
#include "key.h"
#include "lookup.h"
#include "unit.h"

static void shapes(void)
{
  char longest[KEY_LONGEST + 2];
  memset(longest, 'k', sizeof longest);
  CU_ASSERT_TRUE(key_ok(MU_STR("12345678")));
  CU_ASSERT_TRUE(key_ok(MU_STR("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")));
  CU_ASSERT_TRUE(key_ok((struct mu_str){longest, KEY_LONGEST}));
  CU_ASSERT_FALSE(key_ok((struct mu_str){longest, KEY_LONGEST + 1}));
  CU_ASSERT_FALSE(key_ok(MU_STR("1234567")));
  CU_ASSERT_FALSE(key_ok(MU_STR("")));
  CU_ASSERT_FALSE(key_ok(MU_STR("1234 5678")));
  CU_ASSERT_FALSE(key_ok(MU_STR("1234\0005678")));
  CU_ASSERT_FALSE(key_ok(MU_STR("12345678\n")));
  CU_ASSERT_FALSE(key_ok(MU_STR("12345678\x7f")));
  CU_ASSERT_FALSE(key_ok(MU_STR("1234567\xc3\xa4")));
}

static void service_keys(void)
{
  static const struct {
    const char *key;
    enum service_key kind;
  } cases[] = {
      {"sb_secret_abc", SERVICE_KEY_SECRET},
      {"sb_publishable_abc", SERVICE_KEY_PUBLISHABLE},
      {"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln", SERVICE_KEY_LEGACY},
      {"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2ln", SERVICE_KEY_PUBLISHABLE},
      {"eyJhbGciOiJIUzI1NiJ9.bm8ganNvbg.c2ln", SERVICE_KEY_LEGACY},
      {"a.b", SERVICE_KEY_OTHER},
      {"a.b.", SERVICE_KEY_OTHER},
      {".b.c", SERVICE_KEY_OTHER},
      {"a..c", SERVICE_KEY_OTHER},
      {"a.b.c.d", SERVICE_KEY_OTHER},
      {"a.b.c=", SERVICE_KEY_OTHER},
      {"", SERVICE_KEY_OTHER},
      {"password", SERVICE_KEY_OTHER},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++)
    CU_ASSERT_EQUAL(service_key_kind(cases[i].key), cases[i].kind);
}

static void names(void)
{
  const char *good[] = {"users", "user", "_x9", "A", "a23456789012345678901234567890123456789012345678901234567890123"};
  for (size_t i = 0; i < MU_COUNT(good); i++)
    CU_ASSERT_TRUE(identifier_ok(good[i]));
  const char *bad[] = {"",       "9a",
                       "a b",    "a-b",
                       "a.b",    "a&b=",
                       "a\"",    "us\xc3\xa9r",
                       "a,b",    "a(b)",
                       "a/../b", "a%20",
                       "a\nb",   "a234567890123456789012345678901234567890123456789012345678901234"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(identifier_ok(bad[i]));

  const char *urls[] = {"https://abc.supabase.co", "https://abc.supabase.co/", "https://host:8443/base",
                        "http://127.0.0.1:5000",   "http://localhost",         "http://[::1]:3000/"};
  for (size_t i = 0; i < MU_COUNT(urls); i++)
    CU_ASSERT_PTR_NULL(project_url_problem(urls[i]));
  const char *wrong[] = {"abc.supabase.co",
                         "http://abc.supabase.co",
                         "http://127.evil.example",
                         "http://[::1].evil",
                         "http://localhost.evil",
                         "https://",
                         "https://:80",
                         "ftp://127.0.0.1",
                         "https://a:b@c.example",
                         "https://c.example/?a=b",
                         "https://c.example/#a",
                         "https://a b",
                         "http://user@127.0.0.1/",
                         "https://c.example\n"};
  for (size_t i = 0; i < MU_COUNT(wrong); i++)
    CU_ASSERT_PTR_NOT_NULL(project_url_problem(wrong[i]));
}

static void digests(void)
{
  unsigned char secret[KEY_DIGEST] = {1}, other[KEY_DIGEST] = {2}, a[KEY_DIGEST], b[KEY_DIGEST];
  char hex[KEY_HEX], one[KEY_CREDENTIAL], two[KEY_CREDENTIAL];
  CU_ASSERT_TRUE(key_sha256(MU_STR("abc"), hex));
  CU_ASSERT_STRING_EQUAL(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CU_ASSERT_TRUE(key_digest(secret, 'k', MU_STR("abc"), a) && key_digest(secret, 'k', MU_STR("abc"), b));
  CU_ASSERT_EQUAL(memcmp(a, b, sizeof a), 0);
  CU_ASSERT_TRUE(key_digest(secret, 'i', MU_STR("abc"), b));
  CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);
  CU_ASSERT_TRUE(key_digest(other, 'k', MU_STR("abc"), b));
  CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);

  char first[KEY_HEX], second[KEY_HEX];
  CU_ASSERT_TRUE(key_sha256(MU_STR("key-0001"), first) && key_sha256(MU_STR("key-0002"), second));
  CU_ASSERT_TRUE(key_credential("service", "auth_supabase", "u1", first, one));
  CU_ASSERT_EQUAL(strlen(one), 24);
  CU_ASSERT_TRUE(key_credential("service", "auth_supabase", "u1", first, two));
  CU_ASSERT_STRING_EQUAL(one, two); /* the same after a restart */
  CU_ASSERT_TRUE(key_credential("service", "auth_supabase", "u2", first, two));
  CU_ASSERT_STRING_NOT_EQUAL(one, two);
  CU_ASSERT_TRUE(key_credential("service", "auth_supabaseu", "1", first, two));
  CU_ASSERT_STRING_NOT_EQUAL(one, two);
  CU_ASSERT_TRUE(key_credential("service", "auth_supabase", "u1", second, two));
  CU_ASSERT_STRING_NOT_EQUAL(one, two);
}

/* ---- question and answer --------------------------------------------------------------------- */

static void queries(void)
{
  const struct lookup_config plain = {.table = "users", .column = "apikey", .digest_column = ""};
  const struct lookup_config digested = {.table = "user", .column = "apikey", .digest_column = "apikey_sha256"};
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_TRUE(lookup_query(&plain, LOOKUP_BY_KEY, MU_STR("Az09-._~"), &out));
  CU_ASSERT_STRING_EQUAL(out.at, "users?select=id&apikey=eq.Az09-._~&limit=2");
  mu_buf_clear(&out);
  CU_ASSERT_TRUE(lookup_query(&plain, LOOKUP_BY_KEY, MU_STR("a,b.c:(d)\"e\\f&g=h+i%k#l/*?"), &out));
  CU_ASSERT_STRING_EQUAL(out.at,
                         "users?select=id&apikey=eq.a%2Cb.c%3A%28d%29%22e%5Cf%26g%3Dh%2Bi%25k%23l%2F%2A%3F&limit=2");
  mu_buf_clear(&out);
  CU_ASSERT_TRUE(lookup_query(&digested, LOOKUP_BY_KEY, MU_STR("abc"), &out));
  CU_ASSERT_STRING_EQUAL(
      out.at,
      "user?select=id&apikey_sha256=eq.ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad&limit=2");
  mu_buf_clear(&out);
  CU_ASSERT_TRUE(lookup_query(&digested, LOOKUP_BY_ID, MU_STR("1 or\xff"), &out));
  CU_ASSERT_STRING_EQUAL(out.at, "user?select=id,apikey_sha256&id=eq.1%20or%FF&limit=2");
  mu_buf_clear(&out);
  CU_ASSERT_TRUE(lookup_query(&plain, LOOKUP_BY_ID, MU_STR("1"), &out));
  CU_ASSERT_STRING_EQUAL(out.at, "users?select=id,apikey&id=eq.1&limit=2");
  mu_buf_free(&out);
}

static enum lookup_verdict judged(const char *text, struct lookup_answer *answer)
{
  struct json_object *rows = json_tokener_parse(text);
  CU_ASSERT_PTR_NOT_NULL_FATAL(rows);
  lookup_judge(&(struct lookup_config){.table = "users", .column = "apikey"}, LOOKUP_BY_KEY, rows, answer);
  json_object_put(rows);
  return answer->verdict;
}

static void rows(void)
{
  struct lookup_answer answer;
  CU_ASSERT_EQUAL(judged("[]", &answer), LOOKUP_ABSENT);
  CU_ASSERT_EQUAL(judged("[{\"id\":\"u-1\"}]", &answer), LOOKUP_FOUND);
  CU_ASSERT_STRING_EQUAL(answer.id, "u-1");
  CU_ASSERT_EQUAL(judged("[{\"id\":9007199254740993}]", &answer), LOOKUP_FOUND);
  CU_ASSERT_STRING_EQUAL(answer.id, "9007199254740993");
  CU_ASSERT_EQUAL(judged("[{\"id\":1},{\"id\":2}]", &answer), LOOKUP_SEVERAL);
  const char *unusable[] = {
      "[{}]",           "[{\"id\":null}]",      "[{\"id\":\"\"}]",          "[{\"id\":1.5}]",  "[{\"id\":true}]",
      "[{\"id\":[1]}]", "[{\"id\":\"a\\nb\"}]", "[{\"id\":\"a\\u0000b\"}]", "[{\"ID\":\"a\"}]"};
  for (size_t i = 0; i < MU_COUNT(unusable); i++)
    CU_ASSERT_EQUAL(judged(unusable[i], &answer), LOOKUP_UNAVAILABLE);
  char text[300];
  snprintf(text, sizeof text, "[{\"id\":\"%0*d\"}]", LOOKUP_ID, 1);
  CU_ASSERT_EQUAL(judged(text, &answer), LOOKUP_FOUND);
  CU_ASSERT_EQUAL(strlen(answer.id), LOOKUP_ID);
  snprintf(text, sizeof text, "[{\"id\":\"%0*d\"}]", LOOKUP_ID + 1, 1);
  CU_ASSERT_EQUAL(judged(text, &answer), LOOKUP_UNAVAILABLE);
}

/* By id, a row tells which key the user has now. */
static void keys_of_rows(void)
{
  static const struct lookup_config plain = {.table = "users", .column = "apikey", .digest_column = ""},
                                    digested = {.table = "users", .column = "apikey", .digest_column = "sum"};
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  static const struct {
    const struct lookup_config *config;
    const char *row, *key; /* NULL: it does not say */
  } cases[] = {
      {&plain, "[{\"id\":1,\"apikey\":\"abc\"}]", ABC},
      {&plain, "[{\"id\":1,\"apikey\":null}]", ""},
      {&plain, "[{\"id\":1,\"apikey\":12345678}]", "ef797c8118f02dfb649607dd5d3f8c7623048c9c063d532cc95c5ed7a898a64f"},
      {&plain, "[{\"id\":1}]", NULL},
      {&plain, "[{\"id\":1,\"apikey\":[]}]", NULL},
      {&digested, "[{\"id\":1,\"sum\":\"" ABC "\"}]", ABC},
      {&digested, "[{\"id\":1,\"sum\":\"" ABC "0\"}]", ""},
      {&digested, "[{\"id\":1,\"sum\":\"abc\"}]", ""},
      {&digested, "[{\"id\":1,\"sum\":null}]", ""},
      {&digested, "[{\"id\":1,\"apikey\":\"abc\"}]", NULL},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct lookup_answer answer;
    struct json_object *rows = json_tokener_parse(cases[i].row);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rows);
    lookup_judge(cases[i].config, LOOKUP_BY_ID, rows, &answer);
    json_object_put(rows);
    CU_ASSERT_EQUAL(answer.verdict, cases[i].key ? LOOKUP_FOUND : LOOKUP_UNAVAILABLE);
    if (cases[i].key)
      CU_ASSERT_STRING_EQUAL(answer.key, cases[i].key);
  }
}

/* PostgreSQL quotes the value; when it is not ours, the table itself is at fault. */
static void mistyped(void)
{
  static const struct lookup_config plain = {.table = "users", .column = "apikey", .digest_column = ""},
                                    digested = {.table = "users", .column = "apikey", .digest_column = "sum"};
  static const struct {
    const char *error;
    bool plain, digested;
  } cases[] = {
      {"{\"message\":\"invalid input syntax for type uuid: \\\"abc\\\"\"}", true, false},
      {"{\"message\":\"value \\\"abc\\\" is out of range for type bigint\"}", true, false},
      {"{\"message\":\"invalid input syntax for type uuid: \\\"" ABC "\\\"\"}", false, true},
      {"{\"message\":\"invalid input syntax for type uuid: \\\"\\\"\"}", false, false},
      {"{\"message\":\"invalid input syntax for type uuid: \\\"abcd\\\"\"}", false, false},
      {"{\"message\":null}", false, false},
      {"{}", false, false},
      {"[]", false, false},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct json_object *error = json_tokener_parse(cases[i].error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(error);
    CU_ASSERT_EQUAL(lookup_mistyped(&plain, LOOKUP_BY_KEY, MU_STR("abc"), error), cases[i].plain);
    CU_ASSERT_EQUAL(lookup_mistyped(&digested, LOOKUP_BY_KEY, MU_STR("abc"), error), cases[i].digested);
    CU_ASSERT_EQUAL(lookup_mistyped(&digested, LOOKUP_BY_ID, MU_STR("abc"), error), cases[i].plain);
    json_object_put(error);
  }
}

/* ---- breaker --------------------------------------------------------------------------------- */

static void opens_and_closes(void)
{
  struct breaker breaker = {0};
  int64_t now = 1000;
  for (int i = 0; i < BREAKER_FAILURES - 1; i++) {
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_YES);
    CU_ASSERT_FALSE(breaker_failed(&breaker, false, now));
  }
  CU_ASSERT_FALSE(breaker_worked(&breaker)); /* in a row only */
  for (int i = 0; i < BREAKER_FAILURES - 1; i++)
    CU_ASSERT_FALSE(breaker_failed(&breaker, false, now));
  CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_YES);
  CU_ASSERT_TRUE(breaker_failed(&breaker, false, now));
  static const int64_t lengths[] = {5000, 10000, 20000, 20000, 20000, 20000};
  for (size_t i = 0; i < MU_COUNT(lengths); i++) {
    CU_ASSERT_EQUAL(breaker_wait_ms(&breaker, now), lengths[i]);
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_NO);
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now + lengths[i] - 1), BREAKER_NO);
    CU_ASSERT_FALSE(breaker_failed(&breaker, false, now + 1)); /* an older request */
    now += lengths[i];
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_PROBE);
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_NO); /* one probe */
    breaker_unsent(&breaker, true);
    CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_PROBE);
    CU_ASSERT_TRUE(breaker_failed(&breaker, true, now));
  }
  now += 20000;
  CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_PROBE);
  CU_ASSERT_TRUE(breaker_worked(&breaker));
  CU_ASSERT_EQUAL(breaker_ask(&breaker, now), BREAKER_YES);
  CU_ASSERT_EQUAL(breaker_wait_ms(&breaker, now), 0);
  for (int i = 0; i < BREAKER_FAILURES; i++)
    breaker_failed(&breaker, false, now);
  CU_ASSERT_EQUAL(breaker_wait_ms(&breaker, now), BREAKER_FIRST_MS); /* from the beginning */
}

/* ---- cache ----------------------------------------------------------------------------------- */

static void number(unsigned char digest[KEY_DIGEST], unsigned n)
{
  memset(digest, 0, KEY_DIGEST);
  memcpy(digest, &n, sizeof n);
}

static void remembers(void)
{
  struct cache *cache = cache_new(16, 5000);
  unsigned char digest[KEY_DIGEST];
  CU_ASSERT_PTR_NOT_NULL_FATAL(cache);
  number(digest, 1);
  CU_ASSERT_FALSE(cache_has(cache, digest, 0));
  cache_add(cache, digest, 0);
  cache_add(cache, digest, 1000); /* again: from now */
  CU_ASSERT_EQUAL(cache_count(cache), 1);
  CU_ASSERT_TRUE(cache_has(cache, digest, 5999));
  CU_ASSERT_FALSE(cache_has(cache, digest, 6000));
  CU_ASSERT_EQUAL(cache_count(cache), 0);
  for (unsigned i = 0; i < 1000; i++) {
    number(digest, i);
    cache_add(cache, digest, 7000 + i);
  }
  CU_ASSERT_EQUAL(cache_count(cache), 16);
  for (unsigned i = 0; i < 1000; i++) {
    number(digest, i);
    CU_ASSERT_EQUAL(cache_has(cache, digest, 8000), i >= 984);
  }
  number(digest, 990);
  cache_del(cache, digest);
  cache_del(cache, digest);
  CU_ASSERT_FALSE(cache_has(cache, digest, 8000));
  CU_ASSERT_EQUAL(cache_count(cache), 15);
  cache_free(cache);
  cache = cache_new(16, 0); /* switched off */
  cache_add(cache, digest, 0);
  CU_ASSERT_FALSE(cache_has(cache, digest, 0));
  cache_free(cache);
  cache_free(NULL);
}

static const struct unit_test tests[] = {
    {"shapes of keys", shapes},
    {"service keys", service_keys},
    {"names", names},
    {"digests", digests},
    {"queries", queries},
    {"rows", rows},
    {"keys of rows", keys_of_rows},
    {"values that no row can have", mistyped},
    {"breaker", opens_and_closes},
    {"cache", remembers},
};
UNIT_MAIN("auth_supabase keys", tests)
