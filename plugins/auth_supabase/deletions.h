/* SPDX-License-Identifier: ISC */
/*
 * Which machines' rows are gone: the judgement over polls and events. Pure: no input, no output, no clock of its own.
 *
 * A machine is (owner, id). Only a row that an answer showed once can vanish from answers: after two answers in a row that lack it; a
 * lone machine, or a crowd that is most of all, needs four. When all of two or more rows vanish together, that is a mistake in the
 * grants: alarm, nobody is deleted. An event of the database itself (a row was deleted) is certain and acts at once, on whose row it was:
 * the owner whom it names, or, when it names none, the one whose row an answer showed.
 */
#ifndef AUTH_SUPABASE_DELETIONS_H
#define AUTH_SUPABASE_DELETIONS_H

#include <muster/base.h>

enum deletions_id { DELETIONS_UUID, DELETIONS_INTEGER, DELETIONS_TEXT, DELETIONS_BIGINT };
enum {
  DELETIONS_ID_MAX = 128,
  DELETIONS_OWNER_MAX = 200,    /* as long as a user's id may be */
  DELETIONS_BATCH = 50,         /* ids in one question: its URL stays short */
  DELETIONS_BATCH_BYTES = 2000, /* of ids as they are: at worst 6 KB when encoded */
  DELETIONS_ANSWERS = 2,        /* answers in a row without the row */
  DELETIONS_ANSWERS_DOUBT = 4,  /* a lone machine, or a crowd */
  DELETIONS_CROWD = 10,         /* this many at once, and more than stayed: maybe row-level security hides a part */
  DELETIONS_REMEMBERED =
      2000, /* deleted rows that are looked at further, and those told of before their machine came */
  DELETIONS_MEMORY_MS = 86400000 /* as long as machines/1 remembers them */
};

struct deletions_config {
  enum deletions_id id;
  /* Answers name the owner, and a row counts for its owner's machine only. */
  bool owners;
};

/* All are called from within the calls below. remove() may call know() and forget(). */
struct deletions_ops {
  void (*remove)(void *self, const char *owner, const char *id);
  /* The row is there again. */
  void (*restore)(void *self, const char *owner, const char *id);
  /* All rows vanished together; `again`: as in the round before. */
  void (*alarm)(void *self, size_t vanished, bool again);
  /* An answer that is under way may be older than the news: begin a first look after it. */
  void (*look)(void *self);
};

struct deletions;

/* `ops` must stay valid. NULL: memory. */
struct deletions *deletions_new(const struct deletions_config *config, const struct deletions_ops *ops, void *self);
void deletions_free(struct deletions *deletions);

/* Whether the text has the shape of the table's ids: nothing else is ever asked. */
bool deletions_id_valid(enum deletions_id type, struct mu_str id);

/* The server knows a machine. 1: a new one, which wants a first look; 0, or MU_ENOMEM. */
int deletions_know(struct deletions *deletions, const char *owner, const char *id);
void deletions_forget(struct deletions *deletions, const char *owner, const char *id);
/*
 * The database told that the row was deleted. `owner` empty: it did not say whose; then it is about nobody whose row was not seen.
 * How many machines were removed for it.
 */
size_t deletions_gone(struct deletions *deletions, struct mu_str id, struct mu_str owner, int64_t now_ms);

/* ---- polling --------------------------------------------------------------------------------- */

struct deletions_batch {
  uint64_t number;
  /* Borrowed until the next call. */
  const char *ids[DELETIONS_BATCH];
  size_t count;
};
struct deletions_row {
  struct mu_str id;
  struct mu_str owner; /* empty: unknown */
};

/* Begins a round: over all machines, or for a first look at new ones only. False: one is running, or there is nothing to ask. */
bool deletions_begin(struct deletions *deletions, bool all, int64_t now_ms);
/* The next question; false: none (the round may be over now). Each must be answered or failed, in any order. */
bool deletions_next(struct deletions *deletions, struct deletions_batch *batch);
/* A valid answer: which of the rows are there. MU_EINVAL: more rows than were asked for; then it counts as failed. */
int deletions_answer(struct deletions *deletions, uint64_t number, const struct deletions_row *rows, size_t count);
/* No answer: no absence of this round counts. */
void deletions_failed(struct deletions *deletions, uint64_t number);
bool deletions_running(const struct deletions *deletions);

/* Some row was missed, and another answer has to confirm it; after an alarm: to show that the rows are back. */
bool deletions_doubtful(const struct deletions *deletions);
/* Machines whose rows were seen, how many times a row came to be seen, and all that are asked for. */
size_t deletions_seen(const struct deletions *deletions);
size_t deletions_shown(const struct deletions *deletions);
size_t deletions_count(const struct deletions *deletions);

#endif
