/* SPDX-License-Identifier: ISC */
/* Ids, digests, units. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "relay.h"

static void write_uuid(unsigned char b[16], char out[RELAY_UUID_SIZE])
{
  static const char hex[] = "0123456789abcdef";
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  char *to = out;
  for (size_t i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *to++ = '-';
    *to++ = hex[b[i] >> 4];
    *to++ = hex[b[i] & 15];
  }
  *to = '\0';
}

int relay_uuid(char out[RELAY_UUID_SIZE])
{
  return relay_uuids((char(*)[RELAY_UUID_SIZE])out, 1);
}

int relay_uuids(char (*out)[RELAY_UUID_SIZE], size_t count)
{
  unsigned char bytes[16 * 64];
  for (size_t i = 0; i < count; i++) {
    size_t left = count - i < 64 ? count - i : 64;
    int result = i % 64 == 0 ? mu_random(bytes, left * 16) : 0;
    if (result != 0)
      return result;
    write_uuid(bytes + i % 64 * 16, out[i]);
  }
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
