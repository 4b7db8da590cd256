/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

mu_token_key *tokens_key(const char *secret)
{
  return mu_token_key_new(mu_str(secret), "muster", "muster-session");
}

/* False: it does not fit, and half a name would be another's. */
static bool put(char *to, size_t room, const char *text)
{
  size_t len = strlen(text);
  if (len >= room)
    return false;
  memcpy(to, text, len + 1);
  return true;
}

mu_text *tokens_sign(const mu_token_key *key, const struct token_bearer *bearer, int64_t now_s, int64_t lifetime_s)
{
  struct mu_claims claims = {
      .size = sizeof claims, .issued = now_s, .not_before = now_s, .expires = now_s + lifetime_s};
  if (!put(claims.subject, sizeof claims.subject, bearer->user) ||
      !put(claims.provider, sizeof claims.provider, bearer->provider) ||
      !put(claims.credential, sizeof claims.credential, bearer->credential) ||
      !put(claims.machine, sizeof claims.machine, bearer->machine) ||
      !put(claims.scope, sizeof claims.scope, bearer->scope))
    return NULL;
  return mu_token_sign(key, &claims);
}

/* ---- revocations ----------------------------------------------------------------------------- */

struct revocation {
  struct revocation *next;
  int64_t at_s;
  int64_t until_s;
  bool machine;                  /* whose id `user` is */
  const char *user, *credential; /* in texts, behind the provider */
  char texts[];
};

void revocations_init(struct revocations *revocations, size_t most)
{
  *revocations = (struct revocations){.most = most};
  revocations->last = &revocations->first;
}

static void drop_first(struct revocations *revocations)
{
  struct revocation *first = revocations->first;
  revocations->first = first->next;
  if (!first->next)
    revocations->last = &revocations->first;
  revocations->count--;
  free(first);
}

void revocations_fini(struct revocations *revocations)
{
  while (revocations->first)
    drop_first(revocations);
}

static void raise_floor(struct revocations *revocations, int64_t at_s)
{
  if (revocations->floor_s < at_s)
    revocations->floor_s = at_s;
}

void revocations_note(struct revocations *revocations, const struct mu_principal *who, int64_t now_s,
                      int64_t lifetime_s)
{
  while (revocations->first && revocations->first->until_s < now_s)
    drop_first(revocations);
  if (revocations->first && revocations->count >= revocations->most) {
    raise_floor(revocations, revocations->first->at_s);
    drop_first(revocations);
  }
  size_t a = strlen(who->provider) + 1, b = strlen(who->id) + 1, c = strlen(who->credential) + 1;
  struct revocation *entry = malloc(sizeof *entry + a + b + c);
  if (!entry) {
    raise_floor(revocations, now_s);
    return;
  }
  *entry = (struct revocation){.at_s = now_s,
                               .until_s = now_s + lifetime_s,
                               .machine = who->role == MU_ROLE_MACHINE,
                               .user = entry->texts + a,
                               .credential = entry->texts + a + b};
  memcpy(entry->texts, who->provider, a);
  memcpy(entry->texts + a, who->id, b);
  memcpy(entry->texts + a + b, who->credential, c);
  *revocations->last = entry;
  revocations->last = &entry->next;
  revocations->count++;
}

bool revocations_has(const struct revocations *revocations, const struct mu_claims *claims)
{
  if (claims->issued <= revocations->floor_s)
    return true;
  bool machine = strcmp(claims->scope, TOKEN_MACHINE) == 0;
  for (const struct revocation *entry = revocations->first; entry; entry = entry->next)
    if (claims->issued <= entry->at_s && entry->machine == machine && strcmp(entry->texts, claims->provider) == 0 &&
        strcmp(entry->user, claims->subject) == 0 &&
        (!entry->credential[0] || strcmp(entry->credential, claims->credential) == 0))
      return true;
  return false;
}
