/* SPDX-License-Identifier: ISC */
/* Tokens forged byte by byte, and the attacks that both kinds of tokens must stand. */
#ifndef TESTS_TOKEN_ATTACKS_H
#define TESTS_TOKEN_ATTACKS_H

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/token.h>

#include "unit.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdeF"
#define NOW INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* What becomes of a token under SECRET at NOW: 0 or an error, and that nothing of a refused one leaks out. */
typedef int (*judge_fn)(const char *text, size_t len);

static inline void add64(struct mu_buf *out, const unsigned char *data, size_t len)
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
static inline struct mu_buf forge(const char *header, const char *body, const char *secret, const EVP_MD *md)
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

static inline int judge_forged(judge_fn judge, const char *header, const char *body, const char *secret,
                               const EVP_MD *md)
{
  struct mu_buf token = forge(header, body, secret, md);
  int code = judge(token.at, token.len);
  mu_buf_free(&token);
  return code;
}

/* `body`: of a token that is good under HEADER. */
static inline void attack_algorithms(judge_fn judge, const char *body)
{
  CU_ASSERT_EQUAL(judge_forged(judge, HEADER, body, SECRET, EVP_sha256()), 0);
  /* none, in every spelling, with a signature that fits, with an empty one and without */
  static const char *const nones[] = {"none", "None", "NONE", "nOnE", ""};
  for (size_t i = 0; i < MU_COUNT(nones); i++) {
    char header[64];
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", nones[i]);
    struct mu_buf token = forge(header, body, SECRET, EVP_sha256());
    CU_ASSERT_EQUAL(judge(token.at, token.len), MU_EREFUSED);
    CU_ASSERT_EQUAL(judge(token.at, token.len - 43), MU_ESYNTAX);
    CU_ASSERT_EQUAL(judge(token.at, token.len - 44), MU_ESYNTAX);
    mu_buf_free(&token);
  }
  /* the same key with another hash */
  CU_ASSERT_EQUAL(judge_forged(judge, "{\"alg\":\"HS384\"}", body, SECRET, EVP_sha384()), MU_ESYNTAX);
  CU_ASSERT_EQUAL(judge_forged(judge, "{\"alg\":\"HS512\"}", body, SECRET, EVP_sha512()), MU_ESYNTAX);
  /* another key, and headers that name one: it is never looked up */
  static const struct {
    const char *header, *secret;
  } keys[] = {{HEADER, OTHER},
              {HEADER, ""},
              {"{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", OTHER},
              {"{\"alg\":\"HS256\",\"kid\":\"/dev/null\"}", ""},
              {"{\"alg\":\"HS256\",\"jwk\":{\"k\":\"\"}}", OTHER}};
  for (size_t i = 0; i < MU_COUNT(keys); i++)
    CU_ASSERT_EQUAL(judge_forged(judge, keys[i].header, body, keys[i].secret, EVP_sha256()), MU_EREFUSED);
  /* above a signature of ours */
  static const char *const headers[] = {
      "{\"alg\":\"HS384\"}",
      "{\"alg\":\"HS512\"}",
      "{\"alg\":\"RS256\"}",
      "{\"alg\":\"ES256\"}",
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
    CU_ASSERT_EQUAL(judge_forged(judge, headers[i], body, SECRET, EVP_sha256()), MU_EREFUSED);
}

/* Everything that is no token, made of one that is. */
static inline void attack_shape(judge_fn judge, const char *body)
{
  struct mu_buf token = forge(HEADER, body, SECRET, EVP_sha256());
  const char *first = strchr(token.at, '.');
  CU_ASSERT_EQUAL(judge(token.at, token.len), 0);
  CU_ASSERT_EQUAL(judge("", 0), MU_ESYNTAX);
  CU_ASSERT_EQUAL(judge("..", 2), MU_ESYNTAX);
  CU_ASSERT_EQUAL(judge("a.b.c", 5), MU_ESYNTAX);
  CU_ASSERT_EQUAL(judge(first, token.len - (size_t)(first - token.at)), MU_ESYNTAX); /* empty header */
  static const char *const empty[][2] = {{HEADER, ""}, {"", ""}, {HEADER, "{}"}};
  for (size_t i = 0; i < MU_COUNT(empty); i++)
    CU_ASSERT_EQUAL(judge_forged(judge, empty[i][0], empty[i][1], SECRET, EVP_sha256()), MU_ESYNTAX);
  CU_ASSERT_EQUAL(judge_forged(judge, "", body, SECRET, EVP_sha256()), MU_ESYNTAX);
  struct mu_buf odd = MU_BUF_INIT;
  mu_buf_add(&odd, token.at, token.len);
  mu_buf_adds(&odd, ".");
  CU_ASSERT_EQUAL(judge(odd.at, odd.len), MU_ESYNTAX); /* a fourth segment */
  static const char strange[] = {'\0', ' ', '\n', '=', '+', '/', '"', '%', '\x80', '\xff'};
  for (size_t i = 0; i < sizeof strange; i++) {
    mu_buf_clear(&odd);
    mu_buf_add(&odd, token.at, token.len);
    odd.at[30] = strange[i];
    CU_ASSERT_EQUAL(judge(odd.at, odd.len), MU_ESYNTAX);
    mu_buf_add(&odd, &strange[i], 1);
    odd.at[30] = token.at[30];
    CU_ASSERT_EQUAL(judge(odd.at, odd.len), MU_ESYNTAX);
  }
  /* every single character changed: nothing passes, also not a last one with the same upper bits */
  for (size_t i = 0; i < token.len; i++)
    for (const char *c = "ABCDEwxyz0189-_"; *c && token.at[i] != '.'; c++) {
      mu_buf_clear(&odd);
      mu_buf_add(&odd, token.at, token.len);
      odd.at[i] = *c;
      if (*c != token.at[i])
        CU_ASSERT_EQUAL(judge(odd.at, odd.len), MU_EREFUSED);
    }
  /* every length cut off */
  for (size_t i = 0; i < token.len; i++)
    CU_ASSERT_EQUAL(judge(token.at, i), MU_ESYNTAX);
  mu_buf_free(&odd);
  mu_buf_free(&token);
  size_t len = 1 << 20;
  char *huge = malloc(len);
  CU_ASSERT_PTR_NOT_NULL_FATAL(huge);
  memset(huge, 'A', len);
  CU_ASSERT_EQUAL(judge(huge, len), MU_ESYNTAX);
  huge[30] = '.';
  huge[len - 44] = '.';
  CU_ASSERT_EQUAL(judge(huge, len), MU_ESYNTAX);
  free(huge);
}

#endif
