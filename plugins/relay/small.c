/* SPDX-License-Identifier: ISC */
/* Ids, digests, units. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "relay.h"

int relay_uuid(char out[RELAY_UUID_SIZE])
{
  unsigned char b[16];
  int result = mu_random(b, sizeof b);
  if (result != 0)
    return result;
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  static const char hex[] = "0123456789abcdef";
  char *to = out;
  for (size_t i = 0; i < sizeof b; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *to++ = '-';
    *to++ = hex[b[i] >> 4];
    *to++ = hex[b[i] & 15];
  }
  *to = '\0';
  return 0;
}

int relay_random_id(char *out, size_t len)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int result = mu_random(out, len);
  if (result != 0)
    return result;
  for (size_t i = 0; i < len; i++)
    out[i] = letters[(unsigned char)out[i] & 63];
  out[len] = '\0';
  return 0;
}

int relay_digest(struct mu_str token, char out[RELAY_TOKEN_DIGEST_SIZE])
{
  unsigned char hash[32];
  if (EVP_Digest(token.at, token.len, hash, NULL, EVP_sha256(), NULL) != 1)
    return MU_EIO;
  for (size_t i = 0; i < sizeof hash; i++)
    snprintf(out + i * 2, 3, "%02x", hash[i]);
  return 0;
}

const char *relay_unit(struct mu_str key)
{
  static const struct {
    const char *key, *unit;
  } units[] = {{"temperature", "°C"}, {"temp", "°C"},   {"humidity", "%"}, {"voltage", "V"},
               {"volt", "V"},         {"current", "A"}, {"pressure", "Pa"}};
  for (size_t i = 0; i < MU_COUNT(units); i++)
    if (mu_str_equal_nocase(key, mu_str(units[i].key)))
      return units[i].unit;
  return NULL;
}
