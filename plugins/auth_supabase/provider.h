/* SPDX-License-Identifier: ISC */
/* The provider of auth/1: who has this API key, and does that still hold. */
#ifndef AUTH_SUPABASE_PROVIDER_H
#define AUTH_SUPABASE_PROVIDER_H

#include "lookup.h"
#include "rest.h"

struct provider;

struct provider_config {
  struct lookup_config lookup;
  const char *service_key;
  int64_t keep_found_ms, keep_absent_ms; /* how long an answer serves */
  size_t keep_absent_max;
  int64_t recheck_ms;
  size_t remember; /* of those who were granted */
};

extern const struct mu_auth provider_service;

/* For init: declares the event, makes what is needed; `config` stays the caller's and valid. 0 or MU_ENOMEM. */
int provider_new(mu_instance *in, const struct provider_config *config, struct rest *rest,
                 struct provider **out) MU_MUST_USE;
/* For start. `machines` may be NULL. 0 or MU_ENOMEM. */
int provider_start(struct provider *provider, const struct mu_service *machines) MU_MUST_USE;
/* For stop, after rest_stop(). NULL is allowed. */
void provider_stop(struct provider *provider);
/* For fini. NULL is allowed. */
void provider_free(struct provider *provider);

#endif
