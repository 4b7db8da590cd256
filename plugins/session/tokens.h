/* SPDX-License-Identifier: ISC */
/* Session tokens: what they say, and which of them are no longer good. */
#ifndef SESSION_TOKENS_H
#define SESSION_TOKENS_H

#include <muster/muster.h>

/* Of whom a token speaks. Borrowed. */
struct token_bearer {
  const char *user;
  const char *provider;
  const char *credential;
  const char *machine; /* agents; otherwise "" */
  const char *scope;   /* one of the words below */
};

/* "machine": an agent whose credential was the machine's own, so that there may be no user. */
#define TOKEN_AGENT "agent"
#define TOKEN_ADMIN "admin"
#define TOKEN_MACHINE "machine"

mu_token_key *tokens_key(const char *secret);
mu_text *tokens_sign(const mu_token_key *key, const struct token_bearer *bearer, int64_t now_s, int64_t lifetime_s);

/*
 * Who was revoked, and when: tokens that are not younger are refused. Bounded; what is pushed out raises a floor below
 * which no token is good any more, so that forgetting makes nothing good again.
 */
struct revocations {
  struct revocation *first, **last;
  size_t count, most;
  int64_t floor_s;
};

void revocations_init(struct revocations *revocations, size_t most);
void revocations_fini(struct revocations *revocations);
/*
 * `who` without credential: all of the user's, or of the machine's; one of each may have the same id. `lifetime_s`: after that no token
 * of now is alive.
 */
void revocations_note(struct revocations *revocations, const struct mu_principal *who, int64_t now_s,
                      int64_t lifetime_s);
bool revocations_has(const struct revocations *revocations, const struct mu_claims *claims);

#endif
