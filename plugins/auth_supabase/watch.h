/* SPDX-License-Identifier: ISC */
/*
 * Machines whose rows are deleted: three sources (poll, Realtime, LISTEN/NOTIFY), one judgement (deletions.h), told to machines/1.
 * Loop thread only.
 */
#ifndef AUTH_SUPABASE_WATCH_H
#define AUTH_SUPABASE_WATCH_H

#include <muster/muster.h>

struct rest;
struct watch;

/* The option group `machines`; see watch_options. */
struct watch_config {
  const char *table;
  const char *schema;
  const char *id_column;
  const char *owner_column;
  int id_type; /* enum deletions_id */
  int64_t poll_every;
  bool realtime;
  const char *realtime_url;
  const char *listen;
  const char *channel;
  int64_t burst;
};

/* The fields of the group: `.fields = {watch_options, WATCH_OPTION_COUNT, sizeof(struct mu_option)}`. */
enum { WATCH_OPTION_COUNT = 11 };
extern const struct mu_option watch_options[WATCH_OPTION_COUNT];

/* For the component's check(); problems are told at "machines.…". */
void watch_check(const struct watch_config *config, struct mu_check *check);

/*
 * For init. `config` stays the caller's and valid, `rest` must live until watch_stop(); `url`, `key` and `ca_file` (NULL or "": the
 * system's) are those of rest_new(), copied. 0, MU_EINVAL or MU_ENOMEM.
 */
int watch_new(mu_instance *in, const struct watch_config *config, struct rest *rest, const char *url, const char *key,
              const char *ca_file, struct watch **out) MU_MUST_USE;
/* For start. `machines`: the service machines/1; NULL when there is none: then nothing is watched. */
int watch_start(struct watch *watch, const struct mu_service *machines) MU_MUST_USE;
/* For stop, before rest_stop(). NULL is allowed. */
void watch_stop(struct watch *watch);
/* For fini. NULL is allowed. */
void watch_free(struct watch *watch);

#endif
