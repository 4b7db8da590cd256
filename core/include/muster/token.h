/* SPDX-License-Identifier: ISC */
/**
 * @file token.h
 * Signed tokens: JWT with HS256 and nothing else. Any thread.
 */
#ifndef MUSTER_TOKEN_H
#define MUSTER_TOKEN_H

#include <muster/base.h>

/** A signing key with the issuer and audience that every token must carry. */
typedef struct mu_token_key mu_token_key;

/** NULL: the secret is shorter than 32 bytes, a name is empty, or memory is out. */
MU_API mu_token_key *mu_token_key_new(struct mu_str secret, const char *issuer, const char *audience);
/** Wipes the secret. NULL is allowed. */
MU_API void mu_token_key_free(mu_token_key *key);

/**
 * A key for tokens of programs that put other claims into them, without issuer, audience and id. NULL: the secret is shorter than
 * 32 bytes, or memory is out.
 */
MU_API mu_token_key *mu_token_key_plain(struct mu_str secret);
/**
 * Signs a JSON object of the caller's own claims; iat and exp are added. NULL: no plain key, no object, or signing failed.
 * @param life_s seconds until it expires
 */
MU_API mu_text *mu_token_seal(const mu_token_key *key, struct mu_str claims, int64_t now_s, int64_t life_s);
/**
 * Checks shape, signature, algorithm, exp (required) and, where they are there, iat and nbf (up to a minute ahead), and appends the
 * claims' JSON text, which passed the strict scan. 0, MU_ESYNTAX, MU_EREFUSED, MU_ETIMEOUT or MU_ENOMEM.
 */
MU_API int mu_token_open(const mu_token_key *key, struct mu_str token, int64_t now_s,
                         struct mu_buf *claims) MU_MUST_USE;

/** What a token says. Times are Unix seconds. Growth-only. */
struct mu_claims {
  size_t size;
  char subject[256];
  char id[64]; /**< jti: the caller checks it against its revocations */
  char scope[128];
  int64_t issued;
  int64_t not_before;
  int64_t expires;
  /* Optional: left out of the token when empty, empty when the token has none. */
  char provider[64];   /**< of the subject: mu_principal.provider */
  char credential[64]; /**< mu_principal.credential */
  char machine[256];   /**< the machine that the bearer speaks for */
};

/** Signs. `claims->id` empty: a random one is made and written back. NULL: a claim is missing or signing failed. */
MU_API mu_text *mu_token_sign(const mu_token_key *key, struct mu_claims *claims);
/**
 * Checks everything: shape, signature, algorithm, exp, nbf, iat, iss, aud, and that sub, jti and scope are there.
 * @param now_s Unix seconds
 * @return 0, MU_ESYNTAX (no such token), MU_EREFUSED (not ours or not for us), MU_ETIMEOUT (expired)
 */
MU_API int mu_token_check(const mu_token_key *key, struct mu_str token, int64_t now_s,
                          struct mu_claims *claims) MU_MUST_USE;

#endif
