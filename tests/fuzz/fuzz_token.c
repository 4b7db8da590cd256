/* SPDX-License-Identifier: ISC */
/*
 * Tokens from outside, as they came and, so that what lies behind the signature is reached, with a signature that fits: the input's first
 * line is then the header, the rest the claims. What is opened can be read, and what can be sealed is opened again.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>
#include <muster/token.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW INT64_C(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add64(struct mu_buf *out, const uint8_t *data, size_t len)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (size_t i = 0; i < len; i += 3) {
    unsigned v =
        (unsigned)data[i] << 16 | (i + 1 < len ? (unsigned)data[i + 1] << 8 : 0) | (i + 2 < len ? data[i + 2] : 0u);
    char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
    mu_buf_add(out, four, len - i >= 3 ? 4 : len - i + 1);
  }
}

static void try_open(const mu_token_key *plain, const mu_token_key *named, struct mu_str token)
{
  struct mu_buf claims = MU_BUF_INIT;
  struct mu_claims found = {.size = sizeof found};
  int code = mu_token_open(plain, token, NOW, &claims);
  CHECK(code == 0 || code == MU_ESYNTAX || code == MU_EREFUSED || code == MU_ETIMEOUT);
  CHECK((code == 0) == (claims.len > 0));
  if (code == 0) {
    CHECK(mu_json_scan(NULL, claims.at, claims.len, NULL, NULL) == 0);
    CHECK(memchr(claims.at, '{', claims.len) && strstr(claims.at, "exp"));
  }
  mu_buf_free(&claims);
  if (mu_token_check(named, token, NOW, &found) == 0)
    CHECK(found.subject[0] && found.id[0] && found.scope[0] && found.expires > NOW && found.issued <= NOW);
  else
    CHECK(!found.subject[0] && !found.expires);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  mu_token_key *plain = mu_token_key_plain(MU_STR(SECRET));
  mu_token_key *named = mu_token_key_new(MU_STR(SECRET), "muster", "session");
  CHECK(plain && named);
  const struct mu_str text = {(const char *)data, size};
  try_open(plain, named, text);
  const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
  size_t header = line ? (size_t)(line - data) : 0, body = line ? header + 1 : 0;
  struct mu_buf token = MU_BUF_INIT;
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  add64(&token, data, header);
  mu_buf_adds(&token, ".");
  add64(&token, data + body, size - body);
  CHECK(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)token.at, token.len, mac, &len));
  mu_buf_adds(&token, ".");
  add64(&token, mac, len);
  try_open(plain, named, (struct mu_str){token.at, token.len});
  mu_buf_free(&token);
  mu_text *sealed = mu_token_seal(plain, text, NOW, 100);
  if (sealed) {
    struct mu_buf claims = MU_BUF_INIT;
    CHECK(mu_token_open(plain, mu_text_str(sealed), NOW, &claims) == 0);
    CHECK(mu_token_open(plain, mu_text_str(sealed), NOW + 100, &claims) == MU_ETIMEOUT);
    mu_buf_free(&claims);
    mu_text_unref(sealed);
  }
  mu_token_key_free(plain);
  mu_token_key_free(named);
  return 0;
}
