/* SPDX-License-Identifier: ISC */
/* Tokens with claims of other programs: every attack of the catalogue. */
#include "attacks.h"

#define CLAIMS "{\"userId\":\"u-1\",\"username\":\"ann\",\"isAdmin\":true}"
#define GOOD "{\"userId\":\"u-1\",\"iat\":1799999990,\"exp\":1800003600}"

static mu_token_key *key_new(void)
{
  mu_token_key *key = mu_token_key_plain(MU_STR(SECRET));
  CU_ASSERT_PTR_NOT_NULL_FATAL(key);
  return key;
}

static int open_text(const char *text, size_t len)
{
  mu_token_key *key = key_new();
  struct mu_buf claims = MU_BUF_INIT;
  char *copy = malloc(len ? len : 1); /* exactly as long: a read behind it is seen */
  if (len)
    memcpy(copy, text, len);
  int code = mu_token_open(key, (struct mu_str){copy, len}, NOW, &claims);
  CU_ASSERT((code == 0) == (claims.len > 0)); /* nothing leaks out of a refusal */
  mu_buf_free(&claims);
  free(copy);
  mu_token_key_free(key);
  return code;
}

#define FORGED(code, header, body) CU_ASSERT_EQUAL(judge_forged(open_text, header, body, SECRET, EVP_sha256()), code)

static void test_round(void)
{
  static const struct {
    const char *given, *sealed;
  } forms[] = {
      {CLAIMS, "{\"userId\":\"u-1\",\"username\":\"ann\",\"isAdmin\":true,\"iat\":1800000000,\"exp\":1800000100}"},
      {"{}", "{\"iat\":1800000000,\"exp\":1800000100}"},
      {" { \n } ", " {\"iat\":1800000000,\"exp\":1800000100}"},
      {"{\"a\":{}} ", "{\"a\":{},\"iat\":1800000000,\"exp\":1800000100}"},
      {"{\"a\":\"}\" \t}\n", "{\"a\":\"}\",\"iat\":1800000000,\"exp\":1800000100}"},
      {"{\"a\":\"\xe8\xae\xbe\"}", "{\"a\":\"\xe8\xae\xbe\",\"iat\":1800000000,\"exp\":1800000100}"},
  };
  mu_token_key *key = key_new();
  for (size_t i = 0; i < MU_COUNT(forms); i++) {
    mu_text *token = mu_token_seal(key, mu_str(forms[i].given), NOW, 100);
    CU_ASSERT_PTR_NOT_NULL_FATAL(token);
    struct mu_buf claims = MU_BUF_INIT;
    mu_buf_adds(&claims, "before:");
    CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW, &claims), 0);
    CU_ASSERT_EQUAL(strncmp(claims.at, "before:", 7), 0);
    CU_ASSERT_STRING_EQUAL(claims.at + 7, forms[i].sealed);
    /* to the second */
    mu_buf_clear(&claims);
    CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW + 99, &claims), 0);
    mu_buf_clear(&claims);
    CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW + 100, &claims), MU_ETIMEOUT);
    CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW - 60, &claims), 0);
    mu_buf_clear(&claims);
    CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW - 61, &claims), MU_EREFUSED);
    CU_ASSERT_EQUAL(claims.len, 0);
    mu_buf_free(&claims);
    mu_text_unref(token);
  }
  mu_token_key_free(key);
}

/* As jsonwebtoken made it: {"userId":"e4edda48","username":"admin","isAdmin":true,"iat":1795247242,"exp":4102444800}. */
static void test_released(void)
{
  static const char token[] =
      "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
      "eyJ1c2VySWQiOiJlNGVkZGE0OCIsInVzZXJuYW1lIjoiYWRtaW4iLCJpc0FkbWluIjp0cnVlLCJpYXQiOjE3OTUyNDcyNDIsImV4cCI6NDEwMjQ0"
      "NDgwMH0."
      "evjsDtd_7FH-6N942YcDhQnGNfOn4wQ_BF7p3YoPRl0";
  mu_token_key *key = key_new();
  struct mu_buf claims = MU_BUF_INIT;
  CU_ASSERT_EQUAL(mu_token_open(key, mu_str(token), NOW, &claims), 0);
  CU_ASSERT_STRING_EQUAL(
      claims.at,
      "{\"userId\":\"e4edda48\",\"username\":\"admin\",\"isAdmin\":true,\"iat\":1795247242,\"exp\":4102444800}");
  mu_buf_free(&claims);
  mu_token_key_free(key);
}

static void test_keys(void)
{
  CU_ASSERT_PTR_NULL(mu_token_key_plain(MU_STR("")));
  CU_ASSERT_PTR_NULL(mu_token_key_plain((struct mu_str){NULL, 0}));
  CU_ASSERT_PTR_NULL(mu_token_key_plain((struct mu_str){NULL, 40}));
  CU_ASSERT_PTR_NULL(mu_token_key_plain((struct mu_str){SECRET, 31}));
  /* rotation */
  mu_token_key *old = mu_token_key_plain(MU_STR(OTHER));
  mu_text *token = mu_token_seal(old, MU_STR(CLAIMS), NOW, 100);
  CU_ASSERT_EQUAL(open_text(mu_text_data(token), mu_text_len(token)), MU_EREFUSED);
  mu_token_key_free(old);
  /* the kinds of keys are not mistaken for each other, also under the same secret */
  mu_token_key *plain = key_new(), *named = mu_token_key_new(MU_STR(SECRET), "muster", "session");
  struct mu_claims made = {
      .size = sizeof made, .subject = "u", .scope = "agent", .issued = NOW, .not_before = NOW, .expires = NOW + 10};
  struct mu_buf claims = MU_BUF_INIT;
  CU_ASSERT_EQUAL(mu_token_open(named, mu_text_str(token), NOW, &claims), MU_EINVAL);
  CU_ASSERT_PTR_NULL(mu_token_seal(named, MU_STR(CLAIMS), NOW, 100));
  CU_ASSERT_PTR_NULL(mu_token_sign(plain, &made));
  CU_ASSERT_EQUAL(mu_token_check(plain, mu_text_str(token), NOW, &made), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_token_open(NULL, mu_text_str(token), NOW, &claims), MU_EINVAL);
  CU_ASSERT_PTR_NULL(mu_token_seal(NULL, MU_STR(CLAIMS), NOW, 100));
  mu_text_unref(token);
  token = mu_token_seal(plain, MU_STR(CLAIMS), NOW, 100);
  CU_ASSERT_EQUAL(mu_token_check(named, mu_text_str(token), NOW, &made), MU_EREFUSED);
  mu_text_unref(token);
  mu_token_key_free(plain);
  mu_token_key_free(named);
  mu_buf_free(&claims);
}

static void test_algorithms(void)
{
  attack_algorithms(open_text, GOOD);
  FORGED(0, "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", GOOD);
  FORGED(0, "{\"alg\":\"HS256\",\"kid\":\"is never looked up\"}", GOOD);
}

static void test_shape(void)
{
  attack_shape(open_text, GOOD);
}

static void test_claims(void)
{
  static const char *const times[] = {"exp", "iat", "nbf"};
  static const char *const wrong[] = {"\"1800003600\"",       "null",  "true", "{}", "[]", "1.5e9", "1800003600.5",
                                      "99999999999999999999", "1e400", "\"\"", "-",  "01", "NaN"};
  char body[256];
  for (size_t t = 0; t < MU_COUNT(times); t++)
    for (size_t w = 0; w < MU_COUNT(wrong); w++) {
      snprintf(body, sizeof body, "{\"userId\":\"u-1\",%s\"%s\":%s}", t ? "\"exp\":1800003600," : "", times[t],
               wrong[w]);
      FORGED(MU_EREFUSED, HEADER, body);
    }
  FORGED(MU_EREFUSED, HEADER, "{\"userId\":\"u-1\",\"iat\":1799999990}"); /* no exp */
  FORGED(MU_EREFUSED, HEADER, "{\"x\":{\"exp\":1800003600},\"iat\":1799999990}");
  FORGED(MU_EREFUSED, HEADER, "{\"exp\":1,\"exp\":1800003600}");
  FORGED(MU_EREFUSED, HEADER, "{\"exp\":1800003600,\"exp\":1}");
  FORGED(MU_EREFUSED, HEADER, "[{\"exp\":1800003600}]");
  FORGED(MU_EREFUSED, HEADER, "no JSON in here at all");
  FORGED(MU_EREFUSED, HEADER, "{\"exp\":1800003600,\"a\":\"\\u0000\"}");
  FORGED(MU_EREFUSED, HEADER, "{\"exp\":1800003600,\"a\":\"\xff\"}");
  FORGED(MU_EREFUSED, HEADER, "{\"exp\":1800003600} {}");
  FORGED(MU_ETIMEOUT, HEADER, "{\"userId\":\"u-1\",\"exp\":1800000000}");
  FORGED(MU_ETIMEOUT, HEADER, "{\"userId\":\"u-1\",\"exp\":-9223372036854775808}");
  FORGED(MU_ETIMEOUT, HEADER, "{\"userId\":\"u-1\",\"exp\":0}");
  FORGED(0, HEADER, "{\"userId\":\"u-1\",\"exp\":9223372036854775807}");
  FORGED(0, HEADER, "{\"userId\":\"u-1\",\"exp\":1800003600}");
  FORGED(0, HEADER, "{\"iat\":-9223372036854775807,\"exp\":1800003600}");
  FORGED(0, HEADER, "{\"iat\":1800000060,\"exp\":1800003600}");
  FORGED(MU_EREFUSED, HEADER, "{\"iat\":1800000061,\"exp\":1800003600}");
  FORGED(0, HEADER, "{\"nbf\":1800000060,\"exp\":1800003600}");
  FORGED(MU_EREFUSED, HEADER, "{\"nbf\":1800000061,\"exp\":1800003600}");
}

static void test_seal_refuses(void)
{
  mu_token_key *key = key_new();
  static const char *const wrong[] = {
      "",           "[]",          "null",        "\"a\"",       "1",          "{",
      "{}}",        "{\"exp\":1}", "{\"iat\":1}", "{\"nbf\":1}", "{\"a\":1,}", "{\"a\":\"\xff\"}",
      "{\"a\":NaN}"};
  for (size_t i = 0; i < MU_COUNT(wrong); i++)
    CU_ASSERT_PTR_NULL(mu_token_seal(key, mu_str(wrong[i]), NOW, 100));
  CU_ASSERT_PTR_NULL(mu_token_seal(key, (struct mu_str){NULL, 0}, NOW, 100));
  CU_ASSERT_PTR_NULL(mu_token_seal(key, MU_STR("{}"), 0, 100));
  CU_ASSERT_PTR_NULL(mu_token_seal(key, MU_STR("{}"), NOW, 0));
  CU_ASSERT_PTR_NULL(mu_token_seal(key, MU_STR("{}"), NOW, -1));
  CU_ASSERT_PTR_NULL(mu_token_seal(key, MU_STR("{}"), NOW, INT64_MAX));
  /* Of every length: what leaves is taken back, and what is too long does not leave. */
  char text[4200];
  size_t longest = 0;
  for (size_t len = 1; len < 4000; len++) {
    snprintf(text, sizeof text, "{\"a\":\"%0*d\"}", (int)len, 0);
    mu_text *token = mu_token_seal(key, mu_str(text), NOW, 100);
    struct mu_buf claims = MU_BUF_INIT;
    if (token) {
      CU_ASSERT_EQUAL(mu_token_open(key, mu_text_str(token), NOW, &claims), 0);
      CU_ASSERT(strncmp(claims.at, text, len + 7) == 0);
      longest = len;
    }
    mu_buf_free(&claims);
    mu_text_unref(token);
  }
  CU_ASSERT(longest > 2900 && longest < 3100);
  mu_token_key_free(key);
}

static const struct unit_test tests[] = {
    {"sealed and opened, to the second", test_round},
    {"a token of the released server", test_released},
    {"keys: short, empty, rotated, of the other kind", test_keys},
    {"none, other algorithms, other keys, kid, crit", test_algorithms},
    {"shape: empty segments, strange bytes, cut off, huge", test_shape},
    {"times wrong or missing, claims that are no object", test_claims},
    {"what is not sealed", test_seal_refuses},
};
UNIT_MAIN("plain tokens", tests)
