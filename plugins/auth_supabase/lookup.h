/* SPDX-License-Identifier: ISC */
/* One question to the table of users: who has this key, or is there this user. Equal questions in flight are joined. */
#ifndef AUTH_SUPABASE_LOOKUP_H
#define AUTH_SUPABASE_LOOKUP_H

#include "key.h"
#include "rest.h"

enum { LOOKUP_ID = 200 }; /* longest id of a user, in bytes */

enum lookup_kind { LOOKUP_BY_KEY = 'k', LOOKUP_BY_ID = 'i' };

enum lookup_verdict {
  LOOKUP_FOUND,       /* one row */
  LOOKUP_ABSENT,      /* none */
  LOOKUP_SEVERAL,     /* two rows: the table contradicts itself */
  LOOKUP_UNAVAILABLE, /* cannot be told now */
};

struct lookup_answer {
  enum lookup_verdict verdict;
  char id[LOOKUP_ID + 1]; /* LOOKUP_FOUND */
  char key[KEY_HEX];      /* LOOKUP_FOUND by id: the SHA-256 of the key that the user has now, "": none */
  const char *why;        /* for the log */
};

/* What is asked; borrowed for the call. */
struct lookup_question {
  enum lookup_kind kind;
  struct mu_str value; /* key or id; what is sent is its digest where the table holds digests */
  unsigned char digest[KEY_DIGEST];
};

typedef void (*lookup_done)(void *context, const struct lookup_question *question, const struct lookup_answer *answer);

struct lookup_config {
  const char *table;
  const char *column;
  const char *digest_column; /* NULL or "": the key itself is sent */
};

struct lookups;

/* `observer` is told of every answer first, once. Texts of `config` stay the caller's and valid. NULL: memory. */
struct lookups *lookups_new(struct rest *rest, const struct lookup_config *config, lookup_done observer, void *self);
/* Ends all without `done`; after rest_stop() only, or when none is in flight. NULL is allowed. */
void lookups_free(struct lookups *lookups);
/* 0: `done` (may be NULL) is called once, later. Otherwise it is not: MU_EUNAVAILABLE, MU_ELIMIT, MU_ENOMEM. */
int lookups_ask(struct lookups *lookups, const struct lookup_question *question, lookup_done done,
                void *context) MU_MUST_USE;

/* The two pure halves. The path and query behind /rest/v1/, … */
bool lookup_query(const struct lookup_config *config, enum lookup_kind kind, struct mu_str value, struct mu_buf *out);
/* … what the rows mean, … */
void lookup_judge(const struct lookup_config *config, enum lookup_kind kind, struct json_object *rows,
                  struct lookup_answer *answer);
/* … and whether an error's words say that it was this value that no row can have. */
bool lookup_mistyped(const struct lookup_config *config, enum lookup_kind kind, struct mu_str value,
                     struct json_object *error);

#endif
