/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "key.h"

bool key_ok(struct mu_str key)
{
  if (key.len < KEY_SHORTEST || key.len > KEY_LONGEST)
    return false;
  for (size_t i = 0; i < key.len; i++)
    if (key.at[i] <= ' ' || key.at[i] > '~')
      return false;
  return true;
}

/* ---- the service key ------------------------------------------------------------------------- */

#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* Bytes, or -1. `out` has room for len. */
static int decode(const char *text, size_t len, char *out)
{
  size_t used = 0;
  unsigned bits = 0, count = 0;
  for (size_t i = 0; i < len; i++) {
    const char *at = strchr(BASE64URL, text[i]);
    if (!at || !text[i])
      return -1;
    bits = bits << 6 | (unsigned)(at - BASE64URL);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out[used++] = (char)(bits >> count & 0xff);
    }
  }
  return (int)used;
}

/* The claim `role` of a JWT is "anon". Nothing is verified: this looks at our own configuration. */
static bool is_anonymous(const char *payload, size_t len)
{
  char *text = malloc(len + 1);
  int size = text ? decode(payload, len, text) : -1;
  MU_AUTO_JSON struct json_object *claims = NULL;
  struct json_object *role;
  bool anonymous = size > 0 && mu_json_parse(text, (size_t)size, &claims, NULL) == 0 &&
                   json_object_is_type(claims, json_type_object) && json_object_object_get_ex(claims, "role", &role) &&
                   json_object_is_type(role, json_type_string) && strcmp(json_object_get_string(role), "anon") == 0;
  free(text);
  return anonymous;
}

enum service_key service_key_kind(const char *key)
{
  if (strncmp(key, "sb_secret_", 10) == 0)
    return SERVICE_KEY_SECRET;
  if (strncmp(key, "sb_publishable_", 15) == 0)
    return SERVICE_KEY_PUBLISHABLE;
  size_t head = strspn(key, BASE64URL);
  if (head == 0 || key[head] != '.')
    return SERVICE_KEY_OTHER;
  const char *payload = key + head + 1;
  size_t body = strspn(payload, BASE64URL);
  if (body == 0 || payload[body] != '.')
    return SERVICE_KEY_OTHER;
  const char *signature = payload + body + 1;
  size_t tail = strspn(signature, BASE64URL);
  if (tail == 0 || signature[tail])
    return SERVICE_KEY_OTHER;
  return is_anonymous(payload, body) ? SERVICE_KEY_PUBLISHABLE : SERVICE_KEY_LEGACY;
}

/* ---- names ----------------------------------------------------------------------------------- */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

bool identifier_ok(const char *name)
{
  size_t length = strlen(name);
  return length >= 1 && length <= 63 && strchr(LETTERS, name[0]) && strspn(name, LETTERS "0123456789") == length;
}

const char *project_url_problem(const char *url)
{
  bool plain = strncmp(url, "http://", 7) == 0;
  if (!plain && strncmp(url, "https://", 8) != 0)
    return "expected https://PROJECT.supabase.co";
  const char *host = url + (plain ? 7 : 8);
  for (const char *at = host; *at; at++)
    if (*at <= ' ' || *at > '~')
      return "a URL has no spaces and no other than ASCII characters";
  if (strpbrk(host, "?#@"))
    return "only the project's address: no user, no question mark, no fragment";
  size_t length = host[0] == '[' ? strcspn(host, "]") + (strchr(host, ']') != NULL) : strcspn(host, ":/");
  if (length == 0)
    return "the host is missing";
  if (host[length] && !strchr(":/", host[length]))
    return "the host is no name and no address";
  bool loopback = (length == 9 && strncmp(host, "localhost", 9) == 0) ||
                  (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == length) ||
                  (length == 5 && strncmp(host, "[::1]", 5) == 0);
  if (plain && !loopback)
    return "the service key would travel in the clear: https, or a loopback address";
  return NULL;
}

/* ---- digests --------------------------------------------------------------------------------- */

bool key_digest(const unsigned char secret[KEY_DIGEST], char kind, struct mu_str value, unsigned char out[KEY_DIGEST])
{
  char text[KEY_LONGEST + 1];
  unsigned size = 0;
  if (value.len > KEY_LONGEST)
    return false;
  text[0] = kind;
  if (value.len)
    memcpy(text + 1, value.at, value.len);
  bool ok = HMAC(EVP_sha256(), secret, KEY_DIGEST, (unsigned char *)text, value.len + 1, out, &size) != NULL;
  mu_secret_wipe(text, sizeof text);
  return ok && size == KEY_DIGEST;
}

static void hex(const unsigned char *bytes, size_t count, char *out)
{
  for (size_t i = 0; i < count; i++)
    snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool key_sha256(struct mu_str key, char out[KEY_HEX])
{
  unsigned char digest[KEY_DIGEST];
  unsigned size = 0;
  if (EVP_Digest(key.at, key.len, digest, &size, EVP_sha256(), NULL) != 1 || size != KEY_DIGEST)
    return false;
  hex(digest, sizeof digest, out);
  return true;
}

bool key_credential(const char *service_key, const char *provider, const char *user, const char sha256[KEY_HEX],
                    char out[KEY_CREDENTIAL])
{
  struct mu_buf text = MU_BUF_INIT;
  unsigned char digest[KEY_DIGEST];
  unsigned size = 0;
  mu_buf_add(&text, provider, strlen(provider) + 1); /* their zeros keep them apart */
  mu_buf_add(&text, user, strlen(user) + 1);
  mu_buf_adds(&text, sha256);
  bool ok = !text.failed && HMAC(EVP_sha256(), service_key, (int)strlen(service_key), (unsigned char *)text.at,
                                 text.len, digest, &size) != NULL;
  mu_secret_wipe(text.at, text.len);
  mu_buf_free(&text);
  if (ok)
    hex(digest, (KEY_CREDENTIAL - 1) / 2, out);
  return ok;
}
