/* SPDX-License-Identifier: ISC */
/* Tokens with claims of other programs: every attack of the catalogue, forged byte by byte. */
#include <json-c/json.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>
#include <muster/token.h>

#include "unit.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdeF"
#define NOW INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"userId\":\"u-1\",\"username\":\"ann\",\"isAdmin\":true}"
#define GOOD "{\"userId\":\"u-1\",\"iat\":1799999990,\"exp\":1800003600}"

static mu_token_key *key_new(void)
{
  mu_token_key *key = mu_token_key_plain(MU_STR(SECRET));
  CU_ASSERT_PTR_NOT_NULL_FATAL(key);
  return key;
}

static void add64(struct mu_buf *out, const unsigned char *data, size_t len)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (size_t i = 0; i < len; i += 3) {
    unsigned v =
        (unsigned)data[i] << 16 | (i + 1 < len ? (unsigned)data[i + 1] << 8 : 0) | (i + 2 < len ? data[i + 2] : 0u);
    char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
    mu_buf_add(out, four, len - i >= 3 ? 4 : len - i + 1);
  }
}

/* header.body signed with `secret`; free with mu_buf_free(). */
static struct mu_buf forge(const char *header, const char *body, const char *secret, const EVP_MD *md)
{
  struct mu_buf out = MU_BUF_INIT;
  add64(&out, (const unsigned char *)header, strlen(header));
  mu_buf_adds(&out, ".");
  add64(&out, (const unsigned char *)body, strlen(body));
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  HMAC(md, secret, (int)strlen(secret), (const unsigned char *)out.at, out.len, mac, &len);
  mu_buf_adds(&out, ".");
  add64(&out, mac, len);
  return out;
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

static int open_forged(const char *header, const char *body, const char *secret, const EVP_MD *md)
{
  struct mu_buf token = forge(header, body, secret, md);
  int code = open_text(token.at, token.len);
  mu_buf_free(&token);
  return code;
}

#define FORGED(code, header, body) CU_ASSERT_EQUAL(open_forged(header, body, SECRET, EVP_sha256()), code)

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
  static const char *const nones[] = {"none", "None", "NONE", "nOnE", ""};
  for (size_t i = 0; i < MU_COUNT(nones); i++) {
    char header[64];
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", nones[i]);
    struct mu_buf token = forge(header, GOOD, SECRET, EVP_sha256());
    CU_ASSERT_EQUAL(open_text(token.at, token.len), MU_EREFUSED);
    CU_ASSERT_EQUAL(open_text(token.at, token.len - 43), MU_ESYNTAX);
    CU_ASSERT_EQUAL(open_text(token.at, token.len - 44), MU_ESYNTAX);
    mu_buf_free(&token);
  }
  CU_ASSERT_EQUAL(open_forged("{\"alg\":\"HS384\"}", GOOD, SECRET, EVP_sha384()), MU_ESYNTAX);
  CU_ASSERT_EQUAL(open_forged("{\"alg\":\"HS512\"}", GOOD, SECRET, EVP_sha512()), MU_ESYNTAX);
  CU_ASSERT_EQUAL(open_forged(HEADER, GOOD, OTHER, EVP_sha256()), MU_EREFUSED);
  CU_ASSERT_EQUAL(open_forged(HEADER, GOOD, "", EVP_sha256()), MU_EREFUSED);
  CU_ASSERT_EQUAL(open_forged("{\"alg\":\"HS256\",\"kid\":\"/dev/null\"}", GOOD, "", EVP_sha256()), MU_EREFUSED);
  CU_ASSERT_EQUAL(open_forged("{\"alg\":\"HS256\",\"jwk\":{\"k\":\"\"}}", GOOD, OTHER, EVP_sha256()), MU_EREFUSED);
  static const char *const headers[] = {
      "{\"alg\":\"HS384\"}",
      "{\"alg\":\"HS512\"}",
      "{\"alg\":\"RS256\"}",
      "{\"alg\":\"HS257\"}",
      "{\"alg\":\"hs256\"}",
      "{\"alg\":[\"HS256\"]}",
      "{\"alg\":null,\"typ\":\"JWT\"}",
      "{\"typ\":\"JWT\",\"kid\":\"1\"}",
      "[\"alg\",\"HS256\",1]",
      "not JSON, but long enough",
      "\"HS256 HS256 HS256\"",
      "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
      "{\"alg\":\"HS256\",\"crit\":[]}",
      "{\"alg\":\"HS256\",\"crit\":null}",
      "{\"alg\":\"none\",\"alg\":\"HS256\"}",
      "{\"alg\":\"HS256\",\"alg\":\"none\"}",
      "{\"alg\":\"HS256\"} {}",
      "{\"alg\":\"HS256\",\"a\":1",
      "{\"alg\":\"\\u0048S256\",\"x\":1}x",
  };
  for (size_t i = 0; i < MU_COUNT(headers); i++)
    FORGED(MU_EREFUSED, headers[i], GOOD);
  FORGED(0, HEADER, GOOD);
  FORGED(0, "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", GOOD);
  FORGED(0, "{\"alg\":\"HS256\",\"kid\":\"is never looked up\"}", GOOD);
}

static void test_shape(void)
{
  struct mu_buf token = forge(HEADER, GOOD, SECRET, EVP_sha256());
  const char *first = strchr(token.at, '.');
  CU_ASSERT_EQUAL(open_text(token.at, token.len), 0);
  CU_ASSERT_EQUAL(open_text("", 0), MU_ESYNTAX);
  CU_ASSERT_EQUAL(open_text("..", 2), MU_ESYNTAX);
  CU_ASSERT_EQUAL(open_text("a.b.c", 5), MU_ESYNTAX);
  CU_ASSERT_EQUAL(open_text(first, token.len - (size_t)(first - token.at)), MU_ESYNTAX); /* empty header */
  struct mu_buf odd = MU_BUF_INIT;
  FORGED(MU_ESYNTAX, HEADER, "");
  FORGED(MU_ESYNTAX, "", GOOD);
  FORGED(MU_ESYNTAX, "", "");
  FORGED(MU_ESYNTAX, HEADER, "{}");
  mu_buf_add(&odd, token.at, token.len);
  mu_buf_adds(&odd, ".");
  CU_ASSERT_EQUAL(open_text(odd.at, odd.len), MU_ESYNTAX); /* a fourth segment */
  static const char strange[] = {'\0', ' ', '\n', '=', '+', '/', '"', '%', '\x80', '\xff'};
  for (size_t i = 0; i < sizeof strange; i++) {
    mu_buf_clear(&odd);
    mu_buf_add(&odd, token.at, token.len);
    odd.at[30] = strange[i];
    CU_ASSERT_EQUAL(open_text(odd.at, odd.len), MU_ESYNTAX);
  }
  for (size_t i = 0; i < token.len; i++)
    for (const char *c = "ABCDEwxyz0189-_"; *c && token.at[i] != '.'; c++) {
      mu_buf_clear(&odd);
      mu_buf_add(&odd, token.at, token.len);
      odd.at[i] = *c;
      if (*c != token.at[i])
        CU_ASSERT_EQUAL(open_text(odd.at, odd.len), MU_EREFUSED);
    }
  for (size_t i = 0; i < token.len; i++)
    CU_ASSERT_EQUAL(open_text(token.at, i), MU_ESYNTAX);
  mu_buf_free(&odd);
  mu_buf_free(&token);
  size_t len = 1 << 20;
  char *huge = malloc(len);
  memset(huge, 'A', len);
  CU_ASSERT_EQUAL(open_text(huge, len), MU_ESYNTAX);
  huge[30] = '.';
  huge[len - 44] = '.';
  CU_ASSERT_EQUAL(open_text(huge, len), MU_ESYNTAX);
  free(huge);
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
