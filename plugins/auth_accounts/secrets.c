/* SPDX-License-Identifier: ISC */
/* Random texts, and the digests by which API keys are looked up. */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "accounts.h"

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int uuid_make(char out[UUID_SIZE])
{
  unsigned char b[16];
  if (mu_random(b, sizeof b) != 0)
    return MU_EIO;
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  snprintf(out, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
           b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
  return 0;
}

/* `len` characters of an alphabet, each as likely as any other, and a NUL. */
static int pick(char *out, size_t len, const char *alphabet)
{
  size_t letters = strlen(alphabet), most = 256 - 256 % letters, have = 0;
  while (have < len) {
    unsigned char bytes[64];
    if (mu_random(bytes, sizeof bytes) != 0)
      return MU_EIO;
    for (size_t i = 0; i < sizeof bytes && have < len; i++)
      if (bytes[i] < most)
        out[have++] = alphabet[bytes[i] % letters];
    mu_secret_wipe(bytes, sizeof bytes);
  }
  out[len] = '\0';
  return 0;
}

int code_make(char out[CODE_SIZE])
{
  return pick(out, CODE_SIZE - 1, base64url);
}

int one_time_make(char out[ONE_TIME_SIZE])
{
  /* Somebody types it: none that look alike. */
  return pick(out, ONE_TIME_SIZE - 1, "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789");
}

int key_make(char out[KEY_SIZE])
{
  memcpy(out, KEY_PREFIX, strlen(KEY_PREFIX));
  return pick(out + strlen(KEY_PREFIX), KEY_SIZE - 1 - strlen(KEY_PREFIX), base64url);
}

bool key_shaped(struct mu_str text)
{
  if (text.len != KEY_SIZE - 1 || memcmp(text.at, KEY_PREFIX, strlen(KEY_PREFIX)) != 0)
    return false;
  for (size_t i = strlen(KEY_PREFIX); i < text.len; i++)
    if (!text.at[i] || !strchr(base64url, text.at[i]))
      return false;
  return true;
}

bool key_digest(struct mu_str key, char out[DIGEST_SIZE])
{
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  if (EVP_Digest(key.at, key.len, hash, &len, EVP_sha256(), NULL) != 1 || len != (DIGEST_SIZE - 1) / 2)
    return false;
  for (unsigned i = 0; i < len; i++)
    snprintf(out + 2 * (size_t)i, 3, "%02x", hash[i]);
  return true;
}
