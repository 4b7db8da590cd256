/* SPDX-License-Identifier: ISC */
/*
 * JWT over libjwt 1.10.2, which by itself accepts other algorithms under the same key, tokens without exp and, with an
 * empty segment, writes out of bounds. So nothing reaches it before the shape was checked and our own HMAC has matched.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jwt.h>

#include "token/internal.h"

enum {
  CLAIMS_MIN = offsetof(struct mu_claims, expires) + sizeof(int64_t), /* what the first callers had */
};

mu_token_key *mui_token_key(struct mu_str secret)
{
  if (!secret.at || secret.len < MUI_TOKEN_SECRET_MIN || secret.len > MUI_TOKEN_SECRET_MAX)
    return NULL;
  mu_token_key *key = calloc(1, sizeof *key);
  if (!key)
    return NULL;
  key->secret = malloc(secret.len);
  key->header = mui_token_header_schema();
  if (!key->secret || !key->header) {
    mu_token_key_free(key);
    return NULL;
  }
  memcpy(key->secret, secret.at, secret.len);
  key->secret_len = (int)secret.len;
  return key;
}

mu_token_key *mu_token_key_new(struct mu_str secret, const char *issuer, const char *audience)
{
  if (!issuer || !*issuer || !audience || !*audience)
    return NULL;
  mu_token_key *key = mui_token_key(secret);
  if (!key)
    return NULL;
  key->issuer = strdup(issuer);
  key->audience = strdup(audience);
  if (!key->issuer || !key->audience) {
    mu_token_key_free(key);
    return NULL;
  }
  return key;
}

void mu_token_key_free(mu_token_key *key)
{
  if (!key)
    return;
  mu_secret_wipe(key->secret, (size_t)key->secret_len);
  free(key->secret);
  free(key->issuer);
  free(key->audience);
  mu_schema_free(key->header);
  mu_schema_free(key->times);
  free(key);
}

/* ---- claims ----------------------------------------------------------------------------------- */

/* A text claim that is there, not empty, and fits. */
static bool get_text(jwt_t *jwt, const char *name, char *to, size_t room)
{
  const char *text = jwt_get_grant(jwt, name);
  size_t len = text ? strlen(text) : 0;
  if (len == 0 || len >= room)
    return false;
  memcpy(to, text, len + 1);
  return true;
}

/* One that may be missing: then `to` stays empty. */
static bool get_optional(jwt_t *jwt, const char *name, char *to, size_t room)
{
  errno = 0;
  return get_text(jwt, name, to, room) || (!jwt_get_grant(jwt, name) && errno == ENOENT);
}

static bool claim_is(jwt_t *jwt, const char *name, const char *expected)
{
  const char *text = jwt_get_grant(jwt, name);
  return text && mu_secret_equal(mu_str(text), mu_str(expected));
}

/* A claim that is an integer after 1970. libjwt reports a missing or mistyped one through errno alone. */
static bool get_time(jwt_t *jwt, const char *name, int64_t *to)
{
  errno = 0;
  long value = jwt_get_grant_int(jwt, name);
  if (errno != 0 || value <= 0)
    return false;
  *to = value;
  return true;
}

static int check_claims(const mu_token_key *key, jwt_t *jwt, int64_t now_s, struct mu_claims *claims)
{
  if (jwt_get_alg(jwt) != JWT_ALG_HS256)
    return MU_EREFUSED;
  if (!claim_is(jwt, "iss", key->issuer) || !claim_is(jwt, "aud", key->audience) ||
      !get_text(jwt, "sub", claims->subject, sizeof claims->subject) ||
      !get_text(jwt, "jti", claims->id, sizeof claims->id) ||
      !get_text(jwt, "scope", claims->scope, sizeof claims->scope) || !get_time(jwt, "iat", &claims->issued) ||
      !get_time(jwt, "nbf", &claims->not_before) || !get_time(jwt, "exp", &claims->expires))
    return MU_EREFUSED;
  if (!get_optional(jwt, "provider", claims->provider, sizeof claims->provider) ||
      !get_optional(jwt, "credential", claims->credential, sizeof claims->credential) ||
      !get_optional(jwt, "machine", claims->machine, sizeof claims->machine))
    return MU_EREFUSED;
  if (claims->issued > now_s || claims->not_before > now_s)
    return MU_EREFUSED;
  return claims->expires > now_s ? 0 : MU_ETIMEOUT;
}

int mu_token_check(const mu_token_key *key, struct mu_str token, int64_t now_s, struct mu_claims *claims)
{
  if (!key || !key->issuer || !claims || claims->size < CLAIMS_MIN)
    return MU_EINVAL;
  struct mu_claims found = {.size = claims->size};
  size_t signature = mui_token_shape(token);
  if (signature == 0)
    return MU_ESYNTAX;
  /* libjwt takes "hs256", and of an algorithm given twice the last. */
  if (!mui_token_ours(key, token, signature) || !mui_token_header_ok(key, token))
    return MU_EREFUSED;
  char text[MUI_TOKEN_MAX + 1];
  memcpy(text, token.at, token.len);
  text[token.len] = '\0';
  jwt_t *jwt = NULL;
  int code = jwt_decode(&jwt, text, key->secret, key->secret_len);
  if (code == 0 && jwt)
    code = check_claims(key, jwt, now_s, &found);
  else
    code = code == ENOMEM ? MU_ENOMEM : MU_EREFUSED;
  jwt_free(jwt);
  mu_secret_wipe(text, token.len);
  if (code == 0)
    memcpy(claims, &found, claims->size < sizeof found ? claims->size : sizeof found);
  return code;
}

/* ---- signing ---------------------------------------------------------------------------------- */

static bool text_ready(const char *text, size_t room)
{
  return *text && memchr(text, '\0', room);
}

static bool random_id(char *id, size_t room)
{
  unsigned char bytes[16];
  if (mu_random(bytes, sizeof bytes) != 0)
    return false;
  for (size_t i = 0; i < sizeof bytes; i++)
    snprintf(id + 2 * i, room - 2 * i, "%02x", bytes[i]);
  return true;
}

static bool add_optional(jwt_t *jwt, const char *name, const char *text, size_t room)
{
  return !text[0] || (text_ready(text, room) && jwt_add_grant(jwt, name, text) == 0);
}

static mu_text *sign(const mu_token_key *key, struct mu_claims *claims)
{
  if (!claims->id[0] && !random_id(claims->id, sizeof claims->id))
    return NULL;
  if (!text_ready(claims->subject, sizeof claims->subject) || !text_ready(claims->scope, sizeof claims->scope) ||
      !text_ready(claims->id, sizeof claims->id) || claims->issued <= 0 || claims->not_before <= 0 ||
      claims->expires <= claims->not_before)
    return NULL;
  jwt_t *jwt = NULL;
  mu_text *token = NULL;
  if (jwt_new(&jwt) != 0)
    return NULL;
  if (jwt_add_grant(jwt, "iss", key->issuer) == 0 && jwt_add_grant(jwt, "aud", key->audience) == 0 &&
      jwt_add_grant(jwt, "sub", claims->subject) == 0 && jwt_add_grant(jwt, "jti", claims->id) == 0 &&
      jwt_add_grant(jwt, "scope", claims->scope) == 0 && jwt_add_grant_int(jwt, "iat", claims->issued) == 0 &&
      jwt_add_grant_int(jwt, "nbf", claims->not_before) == 0 && jwt_add_grant_int(jwt, "exp", claims->expires) == 0 &&
      add_optional(jwt, "provider", claims->provider, sizeof claims->provider) &&
      add_optional(jwt, "credential", claims->credential, sizeof claims->credential) &&
      add_optional(jwt, "machine", claims->machine, sizeof claims->machine) &&
      jwt_set_alg(jwt, JWT_ALG_HS256, key->secret, key->secret_len) == 0) {
    char *encoded = jwt_encode_str(jwt);
    struct mu_str text = mu_str(encoded);
    /* A token that we would not take back must not leave: libjwt can come out unsigned when something failed. */
    size_t signature = encoded ? mui_token_shape(text) : 0;
    if (signature && mui_token_ours(key, text, signature))
      token = mu_text_new(text.at, text.len);
    mu_secret_wipe(encoded, text.len);
    free(encoded);
  }
  jwt_free(jwt);
  return token;
}

mu_text *mu_token_sign(const mu_token_key *key, struct mu_claims *given)
{
  if (!key || !key->issuer || !given || given->size < CLAIMS_MIN)
    return NULL;
  struct mu_claims own = {0}; /* members that an older caller does not state are empty */
  memcpy(&own, given, given->size < sizeof own ? given->size : sizeof own);
  mu_text *token = sign(key, &own);
  if (token)
    memcpy(given->id, own.id, sizeof own.id);
  return token;
}
