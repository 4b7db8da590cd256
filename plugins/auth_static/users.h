/* SPDX-License-Identifier: ISC */
/* The configured users: their API keys looked up, and whether a key of before still holds. */
#ifndef AUTH_STATIC_USERS_H
#define AUTH_STATIC_USERS_H

#include <muster/muster.h>

enum { SHORTEST_KEY = 8, LONGEST_KEY = 256, LONGEST_USER = 128, SHORTEST_GOOD_KEY = 16, DIGEST_BYTES = 32 };

/* One item of `users`. */
struct user {
  const char *id;
  const char *name;
  bool admin;
  struct mu_list api_keys; /* of const char * */
};

/* One configuration's users; keys are not kept, only digests of them. */
struct users;

/* `list`: of struct user. `provider`: the instance's name. NULL: memory or random bytes are out. Of duplicates the first one counts. */
struct users *users_new(const struct mu_list *list, const char *provider);
void users_free(struct users *users);
/* The user whose key this is, or NULL: the same work in either case. */
const struct mu_principal *users_by_key(const struct users *users, struct mu_str key);
/* MU_CREDENTIAL_KNOWN: whether the user still has the key of that credential (empty: still is there). */
enum mu_verdict users_known(const struct users *users, struct mu_str id, struct mu_str credential,
                            const struct mu_principal **principal);
/* Calls `gone` with every principal of `before` that `now` does not grant any more; without credential: the user altogether. */
void users_compare(const struct users *before, const struct users *now,
                   void (*gone)(void *context, const struct mu_principal *principal, const char *why), void *context);
/*
 * The id of the i-th item of the list of this name. `ids` (id → index + 1) has those before it; NULL: memory is out, and duplicates go
 * unnoticed.
 */
void check_id(const char *list, size_t i, const char *id, mu_map *ids, struct mu_check *check);
/* check() of `users`. */
void users_check(const struct mu_list *list, struct mu_check *check);

#endif
