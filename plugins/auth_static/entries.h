/* SPDX-License-Identifier: ISC */
/* The configured machines: checked, looked up, judged. */
#ifndef AUTH_STATIC_ENTRIES_H
#define AUTH_STATIC_ENTRIES_H

#include <muster/muster.h>

#include "users.h"

/* Secrets are padded to this before they are compared, so longer ones are refused by the option table. */
enum { LONGEST_SECRET = 256, LONGEST_ID = 64, SHORTEST_GOOD_SECRET = 16 };

/* One item of `servers`. */
struct server {
  const char *id;
  const char *name;
  const char *secret;
  const char *group;
  const char *country;
  const char *location;
  const char *owner;
  bool is_public;
};

struct config {
  struct mu_list servers;
  struct mu_list users;
};

struct entry {
  const struct server *server; /* borrowed from the configuration */
  const struct mu_principal *principal;
};

/* One configuration's entries; borrows from it. */
struct entries {
  struct entry *list;
  size_t count;
  mu_map *by_id;
  char dummy[LONGEST_SECRET]; /* random: what unknown ids are compared with */
};

/* `provider`: the instance's name. NULL: memory or random bytes are out. Duplicate ids: the first one counts. */
struct entries *entries_new(const struct config *config, const char *provider);
void entries_free(struct entries *entries);
const struct entry *entries_find(const struct entries *entries, const char *id);
/* The verdict; *entry is set when it is MU_AUTH_GRANTED. */
enum mu_verdict entries_judge(const struct entries *entries, struct mu_str id, struct mu_str secret,
                              const struct entry **entry);
/* check() of `servers`. */
void entries_check(const struct config *config, struct mu_check *check);

#endif
