/* SPDX-License-Identifier: ISC */
/*
 * Who was granted and may be connected now, and what becomes of them when the table says otherwise. Pure: time is given.
 *
 * A connection may live for months, so everybody who was granted is asked for again, and stays in here while that may matter. A key that
 * is no longer found is suspect, and the next question is: is the user still there? Then the table can be read, and when the key is not
 * found once more it was taken back. A user who is gone, too, may be a table that nobody can read any more (lost grants answer 200 [] to everything): that counts
 * only when another user was found since, or, for the only user there is, after four answers in a row. When all of two or more users
 * vanish, nobody is revoked: holders_alarm().
 */
#ifndef AUTH_SUPABASE_HOLDERS_H
#define AUTH_SUPABASE_HOLDERS_H

#include "key.h"
#include "lookup.h"

enum { HOLDERS_LONE_ANSWERS = 4 };

enum holder_state {
  HOLDER_LIVE,
  HOLDER_SUSPECT,
  HOLDER_GONE, /* revoked; kept so that the credential is refused */
};

struct holder {
  struct holder *next, *previous;       /* by use, the last used first */
  const struct mu_principal *principal; /* credential is the key */
  char *key;                            /* NULL: granted by a signed token, the key is not known */
  size_t key_len;
  unsigned char digest[KEY_DIGEST]; /* of the key, or of the id without one */
  enum holder_state state;
  bool user_found;    /* suspect, and the user is there: the next answer about the key counts */
  bool asked;         /* a question is under way */
  unsigned answers;   /* in a row, that it is not there */
  int64_t used_ms;    /* somebody came with it */
  int64_t found_ms;   /* the table had it */
  int64_t suspect_ms; /* since then not */
  int64_t due_ms;
};

enum holder_event {
  HOLDER_NOTHING,
  HOLDER_REVOKED, /* tell the world */
  HOLDER_ALARM,   /* all users are gone: say so, once */
  HOLDER_CALM,    /* the alarm is over */
};

struct holders;

/* `interval_ms`: between two questions for the same holder. `busy`: the user has a machine on line. NULL: memory. */
struct holders *holders_new(size_t max, int64_t interval_ms, bool (*busy)(void *self, const char *user), void *self);
void holders_free(struct holders *holders);

/*
 * Adds somebody the table has, or takes note that it still has; `key` empty: known by a token. The principal is the holder's own after
 * that. NULL: memory. *forgot: one who may be connected had to make room.
 */
struct holder *holders_grant(struct holders *holders, const struct mu_principal *principal, struct mu_str key,
                             const unsigned char digest[KEY_DIGEST], bool found, int64_t now_ms, bool *forgot);
struct holder *holders_by_credential(const struct holders *holders, const char *credential);
/* By a key's digest. */
struct holder *holders_by_digest(const struct holders *holders, const unsigned char digest[KEY_DIGEST]);

/* One who is to be asked for now, or NULL. Mark it `asked`. */
struct holder *holders_due(struct holders *holders, int64_t now_ms);
/* By key; when it is suspect by id, and when the user is found by key again. */
enum lookup_kind holder_question(const struct holder *holder);
/* What an answer to any question of that kind means for the holder. Only FOUND, ABSENT and UNAVAILABLE change anything. */
enum holder_event holders_answer(struct holders *holders, struct holder *holder, enum lookup_kind kind,
                                 enum lookup_verdict verdict, int64_t now_ms);
/* The table had this user; HOLDER_CALM or HOLDER_NOTHING. */
enum holder_event holders_seen(struct holders *holders, const char *user, int64_t now_ms);
/* All known users are gone at once. */
bool holders_alarm(const struct holders *holders);
/* Drops whom nobody used for two days and who has no machine on line. */
void holders_prune(struct holders *holders, int64_t now_ms);
size_t holders_count(const struct holders *holders);
/* Time between two looks at holders_due(). */
int64_t holders_tick_ms(const struct holders *holders);

#endif
