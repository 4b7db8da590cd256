/* SPDX-License-Identifier: ISC */
/* What is not written yet: gathered in pending.c, written in batch.c. */
#ifndef RELAY_PENDING_H
#define RELAY_PENDING_H

#include "server.h"

enum { BATCH_DATA_MAX = 1000 };

/* A message that is kept. */
struct kept {
  mu_text *text, *sender;
  int64_t ms;
};

/* Somebody who waits for a commit. */
struct waiter {
  struct waiter *next;
  uint64_t serial; /* of the batch that has the last of it */
  relay_done done;
  void *context;
};

struct pending {
  struct endpoint *endpoint;
  struct pending *next, **at; /* of the dirty ones; `at` NULL: it is none */
  struct kept ring[RELAY_KEPT];
  unsigned first, count;
  struct datum *data, **data_end;
  size_t data_count;
  int64_t connections, messages; /* to be added to the totals */
  int64_t active_ms;             /* 0: as it is */
  bool stats;                    /* the row is not true any more */
  int64_t due_ns;
  int64_t newest_ms; /* created_at of the newest message written */
  int64_t stats_ms;  /* updated_at of the last batch */
  struct batch *batch;
  uint64_t serial; /* batches so far */
  struct waiter *waiters;
  int writes;
};

struct writing {
  size_t bytes; /* of messages and data, in batches too */
  size_t batches;
  struct pending *dirty, **dirty_end;
  mu_timer *tick;
  mu_counter *messages_dropped, *data_dropped, *batches_failed;
};

/* Begins to write it: `pending` has no batch. 0, or why the store did not take it: the batch waits to be sent again. */
int batch_begin(struct pending *pending);
/* Sends a batch again that the store did not take. */
int batch_again(struct pending *pending);
/* Its memory, when the instance ends. */
void batch_forget(struct pending *pending);
/* 0, or why not: who waits for batches up to `serial` is told. */
void pending_tell(struct pending *pending, uint64_t serial, int error);
/* Writes now: begins a batch, or sends the one again that the store did not take. 0, or why it did not. */
int pending_begin(struct pending *pending);
/* There may be more to write. */
void pending_due(struct pending *pending, int64_t after_ms);
void kept_free(struct writing *writing, struct kept *kept);
void datum_free(struct writing *writing, struct datum *datum, bool release);

#endif
