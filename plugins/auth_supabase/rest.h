/* SPDX-License-Identifier: ISC */
/* One GET of rows from PostgREST: the service key, the circuit breaker and the judgement of what came back. Loop thread only. */
#ifndef AUTH_SUPABASE_REST_H
#define AUTH_SUPABASE_REST_H

#include <muster/fetch.h>
#include <muster/muster.h>

struct json_object;
struct rest;

enum rest_outcome {
  REST_ROWS,          /* 200 with a valid JSON array of objects */
  REST_MISCONFIGURED, /* 401, 403, 404: our key, table or grants; logged as an error, at a bounded rate */
  REST_MISTYPED,      /* 400, PostgreSQL: a value is none of its column's type, or beyond it */
  REST_UNAVAILABLE,   /* anything else, no answer, or the breaker is open */
};

/*
 * `rows`, borrowed: REST_ROWS; for REST_MISTYPED the error as an object, whose `message` quotes the value. Otherwise NULL.
 * `why`: for the log, one line without secrets; "" for REST_ROWS.
 */
typedef void (*rest_done)(void *context, enum rest_outcome outcome, struct json_object *rows, const char *why);

struct rest_config {
  const char *url; /* "https://PROJECT.supabase.co", with or without a slash at the end */
  const char *key;
  const char *ca_file; /* NULL or "": the system's */
  unsigned at_once;
};

/* For init. `config` is copied, its texts stay the caller's and valid. NULL: memory. */
struct rest *rest_new(mu_instance *in, const struct rest_config *config);
/* For start. 0 or MU_ECONF (logged). Until then, and after rest_stop(), nothing can be asked. */
int rest_start(struct rest *rest) MU_MUST_USE;
/* For stop: ends all requests without `done`. NULL is allowed. */
void rest_stop(struct rest *rest);
/* For fini. NULL is allowed. */
void rest_free(struct rest *rest);
/*
 * Asks `{url}/rest/v1/{query}`: "machines?select=id&id=in.(…)", all percent-encoded already.
 * 0: `done` is called once, never before this returns. MU_EUNAVAILABLE: the breaker is open (see rest_retry_s()), MU_ELIMIT: too many
 * wait, MU_EINVAL, MU_ENOMEM: then it is not called.
 */
int rest_get(struct rest *rest, const char *query, rest_done done, void *context) MU_MUST_USE;
/* Seconds until it makes sense to ask again; at least 1. */
unsigned rest_retry_s(const struct rest *rest);
/* Appends `text` with everything outside the unreserved set percent-encoded. */
void rest_encode(struct mu_buf *out, struct mu_str text);

#endif
