/* SPDX-License-Identifier: ISC */
/* What the files of token/ share: keys, shape and signature. */
#ifndef MUI_TOKEN_INTERNAL_H
#define MUI_TOKEN_INTERNAL_H

#include <muster/json.h>
#include <muster/token.h>

enum {
  MUI_TOKEN_SECRET_MIN = 32,
  MUI_TOKEN_SECRET_MAX = 4096,
  MUI_TOKEN_MAX = 4096,
  MUI_SIGNATURE_LEN = 43, /* 32 bytes as base64url */
};

struct mu_token_key {
  unsigned char *secret;
  int secret_len;
  char *issuer; /* NULL: a plain key */
  char *audience;
  mu_schema *header;
  mu_schema *times; /* plain keys */
};

/* A key without the rest. NULL: the secret is too short or too long, or memory is out. */
mu_token_key *mui_token_key(struct mu_str secret);

/* Three segments of base64url, none empty, the last as long as an HMAC-SHA256. Where the signature begins, or 0. */
size_t mui_token_shape(struct mu_str token);
/* The signature that `signed_part` must carry, as base64url. */
bool mui_token_signature(const mu_token_key *key, struct mu_str signed_part, char signature[MUI_SIGNATURE_LEN]);
/* Whether the signature that begins at `at` is the key's. */
bool mui_token_ours(const mu_token_key *key, struct mu_str token, size_t at);
/* Whether the header of a token of ours says HS256 and names no extension that must be understood. By our own strict scan. */
bool mui_token_header_ok(const mu_token_key *key, struct mu_str token);
/* For mui_token_key(): what mui_token_header_ok() reads. NULL: memory. */
mu_schema *mui_token_header_schema(void);
/* Appends `data` as base64url. */
void mui_base64url(struct mu_buf *out, struct mu_str data);
/* `text` is of the alphabet, as mui_token_shape() sees to; room for text.len * 3 / 4 bytes in `to`. The length written. */
size_t mui_base64url_read(struct mu_str text, char *to);

#endif
