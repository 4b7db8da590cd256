/* SPDX-License-Identifier: ISC */
/* The interface of the three sources of news on deleted rows. Loop thread only. */
#ifndef AUTH_SUPABASE_WATCH_SOURCE_H
#define AUTH_SUPABASE_WATCH_SOURCE_H

#include <muster/muster.h>

#include "deletions.h"
#include "watch.h"

struct source;

/* What a source tells. */
struct source_events {
  void *self;
  /* The database deleted this row. Both are from outside; `owner` is empty when it was not told. */
  void (*gone)(void *self, struct mu_str id, struct mu_str owner);
  /* News may have been lost until now: poll once. */
  void (*gap)(void *self);
};

struct source_ops {
  void (*start)(struct source *source);
  /* No callback afterwards. */
  void (*stop)(struct source *source);
  void (*free)(struct source *source);
};

/* The first member of each source. */
struct source {
  const struct source_ops *ops;
  mu_instance *in;
  const struct watch_config *config;
  struct source_events events;
};

struct rest;

/* NULL: memory, or an option that cannot be used (logged). */
struct source *source_poll_new(const struct source *base, struct deletions *deletions, struct rest *rest);
/* Asks for all machines as soon as may be; only for the new ones, shortly. */
void source_poll_all(struct source *source);
void source_poll_new_ones(struct source *source);
struct source *source_realtime_new(const struct source *base, const char *url, const char *key, const char *ca_file);
struct source *source_listen_new(const struct source *base);

/* NULL: good. Otherwise what is wrong with it, without any part of it. */
const char *source_listen_problem(const char *conninfo);

/* The n-th delay of a list (the last one for ever), ±20 %, so that a fleet does not come back in one step. */
uint64_t source_delay_ms(const unsigned *seconds, size_t count, unsigned n);

#endif
