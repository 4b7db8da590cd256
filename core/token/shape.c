/* SPDX-License-Identifier: ISC */
/* Of both kinds of tokens: base64url, the shape that is looked at before anything else, the signature, and the header. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "token/internal.h"

enum {
  SEGMENT_MIN = 20, /* {"alg":"HS256"} */
  MAC_LEN = 32,
};

struct header {
  struct mu_json_value alg, critical;
};

static const struct mu_field header_fields[] = {
    {"alg", MU_FIELD_STRING, MU_FIELD_REQUIRED, 0, 0, offsetof(struct header, alg)},
    {"crit", MU_FIELD_ANY, 0, 0, 0, offsetof(struct header, critical)},
};

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void mui_base64url(struct mu_buf *out, struct mu_str data)
{
  const unsigned char *at = (const unsigned char *)data.at;
  for (size_t i = 0; i < data.len; i += 3) {
    unsigned three = (unsigned)at[i] << 16 | (i + 1 < data.len ? (unsigned)at[i + 1] << 8 : 0u) |
                     (i + 2 < data.len ? at[i + 2] : 0u);
    const char four[4] = {base64url[three >> 18], base64url[three >> 12 & 63], base64url[three >> 6 & 63],
                          base64url[three & 63]};
    mu_buf_add(out, four, data.len - i >= 3 ? 4 : data.len - i + 1);
  }
}

static unsigned digit(char c)
{
  if (c >= 'A' && c <= 'Z')
    return (unsigned)(c - 'A');
  if (c >= 'a' && c <= 'z')
    return (unsigned)(c - 'a') + 26;
  if (c >= '0' && c <= '9')
    return (unsigned)(c - '0') + 52;
  return c == '-' ? 62 : 63;
}

size_t mui_base64url_read(struct mu_str text, char *to)
{
  size_t written = 0;
  unsigned bits = 0, have = 0;
  for (size_t i = 0; i < text.len; i++) {
    bits = (bits << 6 | digit(text.at[i])) & 0xfff;
    have += 6;
    if (have >= 8) {
      have -= 8;
      to[written++] = (char)(bits >> have & 0xff);
    }
  }
  return written;
}

size_t mui_token_shape(struct mu_str token)
{
  if (!token.at || token.len > MUI_TOKEN_MAX)
    return 0;
  unsigned dots = 0;
  size_t segment = 0;
  for (size_t i = 0; i < token.len; i++) {
    char c = token.at[i];
    if (c == '.') {
      size_t len = i - segment;
      if (++dots > 2 || len < SEGMENT_MIN || len % 4 == 1)
        return 0;
      segment = i + 1;
    } else if (c == '\0' || !strchr(base64url, c)) {
      return 0;
    }
  }
  return dots == 2 && token.len - segment == MUI_SIGNATURE_LEN ? segment : 0;
}

bool mui_token_signature(const mu_token_key *key, struct mu_str signed_part, char signature[MUI_SIGNATURE_LEN])
{
  unsigned char mac[MAC_LEN + 1] = {0}; /* one more: 33 bytes are eleven whole groups */
  unsigned len = 0;
  if (!HMAC(EVP_sha256(), key->secret, key->secret_len, (const unsigned char *)signed_part.at, signed_part.len, mac,
            &len) ||
      len != MAC_LEN)
    return false;
  for (size_t i = 0; i < MUI_SIGNATURE_LEN; i++) {
    size_t bit = i * 6;
    unsigned two = (unsigned)mac[bit / 8] << 8 | (bit / 8 < MAC_LEN ? mac[bit / 8 + 1] : 0u);
    signature[i] = base64url[two >> (10 - bit % 8) & 63];
  }
  mu_secret_wipe(mac, sizeof mac);
  return true;
}

bool mui_token_ours(const mu_token_key *key, struct mu_str token, size_t at)
{
  char expected[MUI_SIGNATURE_LEN];
  bool ours =
      mui_token_signature(key, (struct mu_str){token.at, at - 1}, expected) &&
      mu_secret_equal((struct mu_str){expected, MUI_SIGNATURE_LEN}, (struct mu_str){token.at + at, MUI_SIGNATURE_LEN});
  mu_secret_wipe(expected, sizeof expected);
  return ours;
}

mu_schema *mui_token_header_schema(void)
{
  return mu_schema_new(header_fields, MU_COUNT(header_fields), sizeof header_fields[0]);
}

bool mui_token_header_ok(const mu_token_key *key, struct mu_str token)
{
  char text[MUI_TOKEN_MAX];
  struct header header;
  size_t dot = (size_t)((const char *)memchr(token.at, '.', token.len) - token.at);
  size_t len = mui_base64url_read((struct mu_str){token.at, dot}, text);
  return mu_json_scan(key->header, text, len, &header, NULL) == 0 &&
         mu_str_equal(mu_json_str(&header.alg), MU_STR("HS256")) && !header.critical.kind;
}
