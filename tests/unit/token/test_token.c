/* SPDX-License-Identifier: ISC */
/* Every attack on tokens that the catalogue names. */
#include "attacks.h"

static mu_token_key *key_new(void)
{
  mu_token_key *key = mu_token_key_new(MU_STR(SECRET), "muster", "session");
  CU_ASSERT_PTR_NOT_NULL_FATAL(key);
  return key;
}

static struct mu_claims claims_of(const char *subject)
{
  struct mu_claims c = {.size = sizeof c, .issued = NOW - 10, .not_before = NOW - 10, .expires = NOW + 3600};
  snprintf(c.subject, sizeof c.subject, "%s", subject);
  strcpy(c.scope, "agent");
  return c;
}

static int check_text(const char *text, size_t len)
{
  mu_token_key *key = key_new();
  struct mu_claims found = {.size = sizeof found};
  char *copy = malloc(len ? len : 1); /* exactly as long: a read behind it is seen */
  if (len)
    memcpy(copy, text, len);
  int code = mu_token_check(key, (struct mu_str){copy, len}, NOW, &found);
  if (code != 0)
    CU_ASSERT(found.subject[0] == '\0' && found.scope[0] == '\0' &&
              found.expires == 0); /* nothing leaks out of a refusal */
  free(copy);
  mu_token_key_free(key);
  return code;
}

#define FORGED(code, header, body) CU_ASSERT_EQUAL(judge_forged(check_text, header, body, SECRET, EVP_sha256()), code)

/* A body whose claims can be replaced one at a time; NULL leaves it out. */
static char *body_with(const char *name, const char *literal)
{
  static const char *const standard[][2] = {
      {"iss", "\"muster\""},  {"aud", "\"session\""}, {"sub", "\"user-1\""}, {"jti", "\"id-1\""},
      {"scope", "\"agent\""}, {"iat", "1799999990"},  {"nbf", "1799999990"}, {"exp", "1800003600"},
  };
  static char body[4096];
  size_t len = (size_t)snprintf(body, sizeof body, "{\"extra\":[1]");
  for (size_t i = 0; i < MU_COUNT(standard); i++) {
    bool same = name && strcmp(name, standard[i][0]) == 0;
    if (!same || literal)
      len += (size_t)snprintf(body + len, sizeof body - len, ",\"%s\":%s", standard[i][0],
                              same ? literal : standard[i][1]);
  }
  snprintf(body + len, sizeof body - len, "}");
  return body;
}

static void test_round(void)
{
  mu_token_key *key = key_new();
  struct mu_claims made = claims_of("user-1");
  mu_text *token = mu_token_sign(key, &made);
  CU_ASSERT_PTR_NOT_NULL_FATAL(token);
  CU_ASSERT_EQUAL(strlen(made.id), 32);
  struct mu_claims found = {.size = sizeof found};
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), NOW, &found), 0);
  CU_ASSERT_STRING_EQUAL(found.subject, "user-1");
  CU_ASSERT_STRING_EQUAL(found.id, made.id);
  CU_ASSERT_STRING_EQUAL(found.scope, "agent");
  CU_ASSERT(found.issued == made.issued && found.not_before == made.not_before && found.expires == made.expires);
  /* to the second */
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), made.expires - 1, &found), 0);
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), made.expires, &found), MU_ETIMEOUT);
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), made.not_before, &found), 0);
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), made.not_before - 1, &found), MU_EREFUSED);
  struct mu_claims again = claims_of("user-1");
  mu_text *second = mu_token_sign(key, &again);
  CU_ASSERT_STRING_NOT_EQUAL(again.id, made.id);
  mu_text_unref(second);
  mu_text_unref(token);
  mu_token_key_free(key);
}

/* Provider, credential and machine: as given, empty when missing, and never of another type. */
static void test_optional(void)
{
  mu_token_key *key = key_new();
  struct mu_claims made = claims_of("user-1");
  strcpy(made.provider, "auth_static");
  memset(made.machine, 'm', sizeof made.machine - 1);
  mu_text *token = mu_token_sign(key, &made);
  CU_ASSERT_PTR_NOT_NULL_FATAL(token);
  struct mu_claims found = {.size = sizeof found};
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), NOW, &found), 0);
  CU_ASSERT_STRING_EQUAL(found.provider, "auth_static");
  CU_ASSERT_STRING_EQUAL(found.credential, "");
  CU_ASSERT_STRING_EQUAL(found.machine, made.machine);
  /* A caller that was compiled before they existed neither gives nor gets them. */
  struct mu_claims old = made;
  old.size = offsetof(struct mu_claims, provider);
  mu_text *plain = mu_token_sign(key, &old);
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(plain), NOW, &found), 0);
  CU_ASSERT_STRING_EQUAL(found.provider, "");
  struct mu_claims small = {.size = offsetof(struct mu_claims, provider)};
  strcpy(small.provider, "untouched");
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), NOW, &small), 0);
  CU_ASSERT_STRING_EQUAL(small.provider, "untouched");
  mu_text_unref(plain);
  mu_text_unref(token);
  memset(made.provider, 'p', sizeof made.provider); /* without an end */
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &made));
  mu_token_key_free(key);
  static const char *const names[] = {"provider", "credential", "machine"};
  static const char *const wrong[] = {"1", "true", "null", "\"\"", "[]", "{}", "1.5"};
  for (size_t i = 0; i < MU_COUNT(names); i++)
    for (size_t w = 0; w < MU_COUNT(wrong); w++) {
      char body[4096];
      snprintf(body, sizeof body, "{\"%s\":%s,%s", names[i], wrong[w], body_with(NULL, "") + 1);
      FORGED(MU_EREFUSED, HEADER, body);
    }
}

static void test_forms(void)
{
  /* What other libraries sign: another order in the header, further members, text beyond ASCII. */
  FORGED(0, HEADER, body_with(NULL, NULL));
  FORGED(0, "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", body_with(NULL, NULL));
  FORGED(0, "{\"alg\":\"HS256\"}", body_with("sub", "\"\\u00e9\""));
}

static void test_keys(void)
{
  CU_ASSERT_PTR_NULL(mu_token_key_new(MU_STR(""), "a", "b"));
  CU_ASSERT_PTR_NULL(mu_token_key_new((struct mu_str){NULL, 0}, "a", "b"));
  CU_ASSERT_PTR_NULL(mu_token_key_new((struct mu_str){SECRET, 31}, "a", "b"));
  CU_ASSERT_PTR_NULL(mu_token_key_new(MU_STR(SECRET), "", "b"));
  CU_ASSERT_PTR_NULL(mu_token_key_new(MU_STR(SECRET), "a", ""));
  CU_ASSERT_PTR_NULL(mu_token_key_new(MU_STR(SECRET), NULL, "b"));
  mu_token_key_free(NULL);
  /* rotation: a token of the old key is none of the new one's */
  mu_token_key *old = mu_token_key_new(MU_STR(OTHER), "muster", "session");
  struct mu_claims made = claims_of("u");
  mu_text *token = mu_token_sign(old, &made);
  CU_ASSERT_EQUAL(check_text(mu_text_data(token), mu_text_len(token)), MU_EREFUSED);
  mu_text_unref(token);
  mu_token_key_free(old);
  /* bytes, not text: a secret with NUL in it counts whole */
  mu_token_key *a = mu_token_key_new((struct mu_str){"0123456789\0bcdef0123456789abcdef", 32}, "muster", "session");
  mu_token_key *b = mu_token_key_new((struct mu_str){"0123456789\0bcdef0123456789abcdeX", 32}, "muster", "session");
  made = claims_of("u");
  token = mu_token_sign(a, &made);
  struct mu_claims found = {.size = sizeof found};
  CU_ASSERT_EQUAL(mu_token_check(a, mu_text_str(token), NOW, &found), 0);
  CU_ASSERT_EQUAL(mu_token_check(b, mu_text_str(token), NOW, &found), MU_EREFUSED);
  mu_text_unref(token);
  mu_token_key_free(a);
  mu_token_key_free(b);
}

static void test_algorithms(void)
{
  attack_algorithms(check_text, body_with(NULL, NULL));
}

static void test_shape(void)
{
  attack_shape(check_text, body_with(NULL, NULL));
  char subject[4000];
  memset(subject, 'a', sizeof subject);
  subject[0] = subject[1990] = '"';
  subject[1991] = '\0';
  FORGED(MU_EREFUSED, HEADER, body_with("sub", subject)); /* longer than a subject may be */
}

static void test_claims(void)
{
  static const char *const names[] = {"iss", "aud", "sub", "jti", "scope", "iat", "nbf", "exp"};
  static const char *const wrong[] = {NULL, "null", "\"\"", "true", "{}", "[]", "1.5e9", "-1", "0"};
  for (size_t n = 0; n < MU_COUNT(names); n++)
    for (size_t w = 0; w < MU_COUNT(wrong); w++)
      FORGED(MU_EREFUSED, HEADER, body_with(names[n], wrong[w]));
  for (size_t n = 5; n < MU_COUNT(names); n++) {
    FORGED(MU_EREFUSED, HEADER, body_with(names[n], "\"1800003600\"")); /* as text */
    FORGED(MU_EREFUSED, HEADER, body_with(names[n], "1800003600.5"));
    FORGED(MU_EREFUSED, HEADER, body_with(names[n], "99999999999999999999"));
    FORGED(MU_EREFUSED, HEADER, body_with(names[n], "1e400"));
  }
  FORGED(MU_EREFUSED, HEADER, body_with("iss", "\"muster2\""));
  FORGED(MU_EREFUSED, HEADER, body_with("iss", "\"Muster\""));
  FORGED(MU_EREFUSED, HEADER, body_with("aud", "\"sessio\""));
  FORGED(MU_EREFUSED, HEADER, body_with("aud", "[\"session\"]"));
  FORGED(MU_ETIMEOUT, HEADER, body_with("exp", "1800000000"));
  FORGED(MU_ETIMEOUT, HEADER, body_with("exp", "1"));
  FORGED(0, HEADER, body_with("exp", "9223372036854775807"));
  FORGED(MU_EREFUSED, HEADER, body_with("nbf", "1800000001"));
  FORGED(MU_EREFUSED, HEADER, body_with("iat", "1800000001"));
  FORGED(MU_EREFUSED, HEADER, body_with("jti", "\"0123456789012345678901234567890123456789012345678901234567890123\""));
  FORGED(MU_EREFUSED, HEADER, "[1,2,3,4,5,6,7,8,9,10]");
  FORGED(MU_EREFUSED, HEADER, "no JSON in here at all");
  FORGED(MU_EREFUSED, HEADER, "{\"a\":\"\\u0000 0123456789\"}");
}

static void test_sign_refuses(void)
{
  mu_token_key *key = key_new();
  struct mu_claims c = claims_of("");
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  c.scope[0] = '\0';
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  c.issued = 0;
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  c.not_before = 0;
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  c.expires = c.not_before;
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  memset(c.id, 'x', sizeof c.id); /* not terminated */
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("bad \xff");
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  c = claims_of("u");
  c.size = 8;
  CU_ASSERT_PTR_NULL(mu_token_sign(key, &c));
  CU_ASSERT_EQUAL(mu_token_check(key, MU_STR("x"), NOW, &c), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_token_check(NULL, MU_STR("x"), NOW, &c), MU_EINVAL);
  /* the longest ones still make a token that is taken back */
  c = claims_of("");
  memset(c.subject, '"', sizeof c.subject - 1);
  memset(c.scope, 's', sizeof c.scope - 1);
  memset(c.id, 'i', sizeof c.id - 1);
  mu_text *token = mu_token_sign(key, &c);
  CU_ASSERT_PTR_NOT_NULL_FATAL(token);
  struct mu_claims found = {.size = sizeof found};
  CU_ASSERT_EQUAL(mu_token_check(key, mu_text_str(token), NOW, &found), 0);
  CU_ASSERT_STRING_EQUAL(found.subject, c.subject);
  mu_text_unref(token);
  mu_token_key_free(key);
}

static const struct unit_test tests[] = {
    {"signed and taken back, to the second", test_round},
    {"claims that may be missing", test_optional},
    {"other libraries' tokens", test_forms},
    {"keys: short, empty, rotated", test_keys},
    {"none, other algorithms, other keys, kid", test_algorithms},
    {"shape: empty segments, strange bytes, cut off, huge", test_shape},
    {"every claim wrong or missing", test_claims},
    {"what is not signed", test_sign_refuses},
};
UNIT_MAIN("tokens", tests)
