/* SPDX-License-Identifier: ISC */
/*
 * What the files of store/ share. Two sides: front.c and service.c are on the loop thread, with queues and users; link.c, batch.c and
 * migrate.c run on workers, with one link and a batch of asks that nobody else touches meanwhile.
 */
#ifndef MUI_STORE_INTERNAL_H
#define MUI_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <muster/log.h>
#include <muster/loop.h>
#include <muster/store_driver.h>
#include "base/instance.h"

/* ---- rows.c ---------------------------------------------------------------------------------- */

struct mui_chunk;
struct mu_store_rows {
  size_t max_rows, max_bytes;
  size_t rows, columns, bytes;
  struct mu_value *values;
  size_t capacity; /* values */
  struct mui_chunk *chunks;
};
void mui_rows_clear(mu_store_rows *rows);

/* ---- ask.c: something that was asked --------------------------------------------------------- */

enum mui_ask_kind { MUI_READ, MUI_WRITE, MUI_MIGRATE };

struct mui_sql {
  struct mu_str text;
  const struct mu_value *values;
  size_t count;
  int64_t expect;
};

/* A step of a migration: its statements are some of the ask's. */
struct mui_step {
  unsigned version;
  const char *what;
  size_t first, count;
};

struct mui_user;

/* One allocation with everything copied in, but for rows and reason. */
struct mui_ask {
  struct mui_ask *next;
  enum mui_ask_kind kind;
  /* loop thread */
  struct mui_user *user;
  mu_store_done done;
  void *context;
  int64_t asked_ns;
  size_t bytes;
  /* whoever has the batch */
  struct mui_sql *statements;
  size_t count;
  const char *owner; /* of a migration */
  struct mui_step *steps;
  size_t step_count;
  unsigned tries;   /* began and had to be begun anew */
  unsigned reached; /* a migration: the version that it brought the tables to; 0: none was missing */
  bool ran;         /* within the transaction that is open */
  bool ended;       /* all below is final */
  int error;
  size_t failed;
  char *reason, *key; /* NULL: "" */
  int64_t *changed;
  size_t changed_count;
  mu_store_rows rows;
};

/* 0, MU_EINVAL (no text for the dialect, nothing to do), MU_ENOMEM. */
int mui_ask_new(enum mui_ask_kind kind, enum mu_dialect dialect, const struct mu_statement *statements, size_t count,
                struct mui_ask **out);
int mui_ask_migration(enum mu_dialect dialect, const char *owner, const struct mu_migration *migrations, size_t count,
                      struct mui_ask **out);
void mui_ask_free(struct mui_ask *ask);
/* Final; `fault` NULL: no reason. */
void mui_ask_end(struct mui_ask *ask, int error, size_t failed, const struct mu_store_fault *fault);

struct mui_asks {
  struct mui_ask *first, **last;
};
void mui_asks_init(struct mui_asks *asks);
void mui_asks_add(struct mui_asks *asks, struct mui_ask *ask);
struct mui_ask *mui_asks_pop(struct mui_asks *asks);
/* All of `more` before those of `asks`; `more` is empty afterwards. */
void mui_asks_put_back(struct mui_asks *asks, struct mui_asks *more);

/* ---- link.c ---------------------------------------------------------------------------------- */

struct mui_prepared;
struct mui_link {
  const struct mu_store_driver *driver;
  void *self;
  bool writer;
  pthread_mutex_t lock; /* `handle` against interrupt() */
  void *handle;         /* NULL: closed */
  mu_map *prepared;
  struct mui_prepared *newest, *oldest;
  size_t count;
  uint64_t opened, statements; /* counted since the batch began */
};
int mui_link_init(struct mui_link *link, const struct mu_store_driver *driver, void *self, bool writer);
void mui_link_fini(struct mui_link *link);
/* Opens it unless it is open. */
int mui_link_open(struct mui_link *link, struct mu_store_fault *fault);
void mui_link_close(struct mui_link *link);
/* Closes it when the fault says that it is of no use any more; `error` of a step when `step`. */
void mui_link_judge(struct mui_link *link, int error, bool step, const struct mu_store_fault *fault);
int mui_link_step(struct mui_link *link, enum mu_store_step step, struct mu_store_fault *fault);
/* `keep`: how many statements stay prepared; 0: this one is not kept. */
int mui_link_run(struct mui_link *link, struct mu_str sql, const struct mu_store_run *run, size_t keep,
                 int64_t *changed, struct mu_store_fault *fault);
/* Loop thread. */
void mui_link_interrupt(struct mui_link *link);

/* ---- batch.c, migrate.c: on workers ---------------------------------------------------------- */

struct mui_slot;
struct mui_batch {
  mu_store_front *front;
  struct mui_slot *slot;
  struct mui_link *link;
  enum { MUI_BATCH_READS, MUI_BATCH_WRITES, MUI_BATCH_MIGRATION, MUI_BATCH_TEND, MUI_BATCH_CLOSE } what;
  struct mui_asks asks;
  size_t keep;
  int64_t run_ns;
  _Atomic bool began;
  _Atomic bool cancelled;  /* by the loop: everybody was told already */
  _Atomic bool committing; /* by the worker, for good: from here on something may be on the disk */
  bool told;               /* loop */
  /* What came of it. Asks that have not ended are asked again. */
  int trouble; /* 0, or why not all of them ended */
  uint64_t commits;
  char reason[512];
};
void mui_batch_run(struct mui_batch *batch);
/* Ends or leaves it, as the others; see there. */
void mui_batch_migrate(struct mui_batch *batch, struct mui_ask *ask);
/* One statement of an ask. */
int mui_batch_statement(struct mui_batch *batch, struct mui_ask *ask, size_t at, int64_t until_ns,
                        struct mu_store_fault *fault);
/* Leaves what has not ended for another time. */
void mui_batch_trouble(struct mui_batch *batch, int error, const struct mu_store_fault *fault);
void mui_fault_clear(struct mu_store_fault *fault);

/* ---- service.c, front.c: on the loop --------------------------------------------------------- */

struct mui_user {
  struct mui_user *next;
  mu_store_front *front;
  mu_instance *in;
  unsigned refs; /* the front's list, and each ask */
  bool gone;     /* has stopped: is told nothing */
  unsigned migrating;
  bool failed; /* a migration did: nothing is asked in its name any more */
  struct mui_asks held;
};
void mui_user_unref(struct mui_user *user);
/* Forgets those that have gone and for whom nothing is held any more. */
void mui_users_sweep(mu_store_front *front);

struct mui_slot {
  struct mui_link link;
  struct mui_batch *busy;
  bool open;         /* as the last batch left it */
  int64_t pause_ns;  /* the next pause */
  int64_t paused_ns; /* until when; 0: not */
  int64_t down_ns;   /* since when it cannot be used; 0: it can */
  bool tend;
};

struct mu_store_front {
  mu_instance *in;
  const struct mu_store_driver *driver;
  void *self;
  struct mu_store_limits limits;
  struct mui_user *users;
  struct mui_asks reads, writes, ended; /* `ended`: to be told soon */
  size_t read_count;
  size_t waiting, waiting_bytes; /* all that was asked and not answered */
  size_t waiting_most;
  struct mui_slot *slots; /* the writer, then the readers */
  size_t slot_count;
  size_t busy;
  mu_timer *soon, *look, *tend, *end;
  bool started, stopping, over; /* over: nothing is carried out any more */
  struct {
    mu_counter *reads, *transactions, *commits, *statements, *rows, *errors, *refused, *expired, *opened, *waiting_most;
  } counters;
};
/* An ask is to be carried out; NULL: something waits elsewhere. */
void mui_front_add(mu_store_front *front, struct mui_ask *ask);
/* An ask that is in no list is answered soon. */
void mui_front_end(mu_store_front *front, struct mui_ask *ask);
void mui_front_kick(mu_store_front *front);
int mui_front_timers(mu_store_front *front);
extern const struct mu_store mui_store_services[2];

#endif
