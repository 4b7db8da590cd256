/* SPDX-License-Identifier: ISC */
/*
 * Tokens with claims of the caller's own. The signature is looked at first and the rest is read by our own strict scan: a claim given
 * twice, or of another type, is none.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>

#include "token/internal.h"

enum { SKEW_S = 60 }; /* another machine's clock, or ours set back a little */

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

struct times {
  struct mu_json_value issued, not_before, expires;
};

static const struct mu_field time_fields[] = {
    {"exp", MU_FIELD_INT, 0, 0, 0, offsetof(struct times, expires)},
    {"iat", MU_FIELD_INT, 0, 0, 0, offsetof(struct times, issued)},
    {"nbf", MU_FIELD_INT, 0, 0, 0, offsetof(struct times, not_before)},
};

static int check_times(const mu_token_key *key, struct mu_str text, int64_t now_s)
{
  struct times times;
  if (mu_json_scan(key->times, text.at, text.len, &times, NULL) != 0 || !times.expires.kind ||
      (times.issued.kind && times.issued.integer > now_s + SKEW_S) ||
      (times.not_before.kind && times.not_before.integer > now_s + SKEW_S))
    return MU_EREFUSED;
  return times.expires.integer > now_s ? 0 : MU_ETIMEOUT;
}

mu_token_key *mu_token_key_plain(struct mu_str secret)
{
  mu_token_key *key = mui_token_key(secret);
  if (!key)
    return NULL;
  key->times = mu_schema_new(time_fields, MU_COUNT(time_fields), sizeof time_fields[0]);
  if (key->times)
    return key;
  mu_token_key_free(key);
  return NULL;
}

int mu_token_open(const mu_token_key *key, struct mu_str token, int64_t now_s, struct mu_buf *claims)
{
  if (!key || key->issuer || !claims)
    return MU_EINVAL;
  size_t signature = mui_token_shape(token);
  if (signature == 0)
    return MU_ESYNTAX;
  if (!mui_token_ours(key, token, signature) || !mui_token_header_ok(key, token))
    return MU_EREFUSED;
  char text[MUI_TOKEN_MAX];
  const char *body = (const char *)memchr(token.at, '.', token.len) + 1;
  size_t len = mui_base64url_read((struct mu_str){body, signature - (size_t)(body - token.at) - 1}, text);
  int code = check_times(key, (struct mu_str){text, len}, now_s);
  if (code == 0) {
    mu_buf_add(claims, text, len);
    code = claims->failed ? MU_ENOMEM : 0;
  }
  mu_secret_wipe(text, sizeof text);
  return code;
}

mu_text *mu_token_seal(const mu_token_key *key, struct mu_str claims, int64_t now_s, int64_t life_s)
{
  struct times times;
  if (!key || key->issuer || !claims.at || now_s <= 0 || life_s <= 0 || life_s > INT64_MAX - now_s ||
      mu_json_scan(key->times, claims.at, claims.len, &times, NULL) != 0 || times.issued.kind ||
      times.not_before.kind || times.expires.kind)
    return NULL;
  /* An object, so its last bracket ends it; only white space follows. */
  while (claims.at[claims.len - 1] != '}')
    claims.len--;
  size_t before = claims.len - 1;
  while (strchr(" \t\r\n", claims.at[before - 1]))
    before--;
  struct mu_buf body = MU_BUF_INIT, token = MU_BUF_INIT;
  char signature[MUI_SIGNATURE_LEN];
  mu_text *text = NULL;
  mu_buf_add(&body, claims.at, before);
  mu_buf_printf(&body, "%s\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", claims.at[before - 1] == '{' ? "" : ",", now_s,
                now_s + life_s);
  mui_base64url(&token, MU_STR(HEADER));
  mu_buf_adds(&token, ".");
  if (!body.failed)
    mui_base64url(&token, (struct mu_str){body.at, body.len});
  if (!body.failed && !token.failed && mui_token_signature(key, (struct mu_str){token.at, token.len}, signature)) {
    mu_buf_adds(&token, ".");
    mu_buf_add(&token, signature, sizeof signature);
    /* One that we would not take back must not leave: it may be too long. */
    if (!token.failed && mui_token_shape((struct mu_str){token.at, token.len}))
      text = mu_text_new(token.at, token.len);
  }
  if (token.at)
    mu_secret_wipe(token.at, token.len);
  mu_buf_free(&token);
  mu_buf_free(&body);
  return text;
}
