/* SPDX-License-Identifier: ISC */
/* What the files of net/ that serve REST APIs share: compiled tables, and what a request carries for them. */
#ifndef MUI_NET_REST_H
#define MUI_NET_REST_H

#include <regex.h>

#include <muster/rest.h>
#include "net/exchange.h"

/* A table of fields, compiled. */
struct mui_rest_table {
  struct mui_rest_field *fields;
  size_t count;
};

struct mui_rest_field {
  struct mu_rest_field is; /* as declared, in full size; its `fields` are not to be used */
  regex_t *pattern;        /* NULL: none */
  struct mui_rest_table members;
};

struct mui_rest_rate; /* rest_rate.c: who asked how often */

/* One route, compiled. Lives until after its mui_route is revoked. */
struct mui_rest_row {
  struct mui_rest_set *set;
  struct mu_rest_route is; /* as declared, in full size; its tables are not to be used */
  struct mui_rest_table query, body, answer;
  struct mui_rest_rate *rate; /* shared by the routes of one name; NULL: none */
};

/* One plugin's routes. */
struct mui_rest_set {
  struct mui_resource resource; /* first */
  struct mui_rest_set *next;
  mu_instance *in;
  const char *title;
  struct mui_rest_row *rows;
  size_t count;
  struct mui_rest_rate *rates;
};

struct mui_net_rest {
  struct mui_rest_set *sets; /* in the order of their coming */
  bool described;            /* /api/openapi.json is there */
  mu_text *description;      /* NULL: must be made (again) */
  const struct mui_listener *described_for;
};

/* What a request in REST form carries beside itself. */
struct mui_rest_call {
  const struct mui_rest_row *row; /* NULL: no such route, or its instance has stopped */
  enum mu_rest_errors errors;
  bool zh;
  bool foreign; /* a page of another origin asks, and may */
  char id[13];
  struct mu_str parameters[MUI_ROUTE_PARAMETERS];
  struct json_object *values; /* of body and query, by the names of the tables; NULL until they are checked */
};

/* ---- rest.c ---------------------------------------------------------------------------------- */

/* Compiles one table of fields for a body; `path` is for the log. 0, MU_EINVAL, MU_ENOMEM; free it in any case. */
MUI_API int mui_rest_compile(mu_instance *in, struct mu_rest_fields declared, size_t field_size, const char *path,
                             struct mui_rest_table *table);
MUI_API void mui_rest_table_free(struct mui_rest_table *table);

/* ---- rest_call.c ----------------------------------------------------------------------------- */

/* Whether paths that nobody serves are answered in REST form. */
bool mui_rest_path(struct mu_str path);
/* The request is answered in REST form from here on; `route` may be NULL. False: out of memory. */
bool mui_rest_begin(struct mu_http *request, const struct mui_session *session, const struct mui_route *route);
void mui_rest_end(struct mu_http *request);
/* What a page of another origin asks before it sends a request. */
void mui_rest_preflight(struct mu_http *request, const char *allow);
/* A refusal of the core's own, by its code in the other form: "not_found". */
int mui_rest_decline(struct mu_http *request, int status, const char *code, const char *message);
/* `details` (may be NULL): a JSON array. */
int mui_rest_fail(struct mu_http *request, int status, const char *code, struct mu_words words, const char *details);
/* Judges what a head says of the body. False: answered. */
bool mui_rest_judge_type(struct mu_http *request);
/* Checks body and query. False: answered. */
bool mui_rest_prepare(struct mu_http *request);

/* ---- rest_check.c ---------------------------------------------------------------------------- */

/* Bad fields, gathered. */
struct mui_rest_faults {
  struct mu_buf details; /* a JSON array without its end */
  unsigned count;
  bool zh;
  const char *code; /* of the first bad field; NULL: VALIDATION_ERROR */
  char first[256];  /* "name: what is wrong with it", for errors that have no details */
};

/* Puts the checked members of `object` (may be NULL) into `values`. False: out of memory. */
MUI_API bool mui_rest_check_body(const struct mui_rest_table *table, struct json_object *object,
                                 struct json_object *values, struct mui_rest_faults *faults);
bool mui_rest_check_query(const struct mui_rest_table *table, const struct mu_http *request, struct json_object *values,
                          struct mui_rest_faults *faults);
void mui_rest_fault(struct mui_rest_faults *faults, struct mu_str field, struct mu_words words);

/* ---- rest_words.c ---------------------------------------------------------------------------- */

/* Whether who sent this Accept-Language reads Chinese rather than English. */
MUI_API bool mui_reads_chinese(const char *accept_language);
/* A code of the core's other form, its code here and its words. `message` is the fallback for the words. */
const char *mui_rest_code(const char *code, const char *message, struct mu_words *words);

/* ---- rest_rate.c ----------------------------------------------------------------------------- */

MUI_API struct mui_rest_rate *mui_rest_rate_new(const struct mu_rest_rate *declared);
MUI_API void mui_rest_rate_free(struct mui_rest_rate *rate);
/* The routes of one name share one; their declarations must agree. */
bool mui_rest_rate_is(const struct mui_rest_rate *rate, const struct mu_rest_rate *declared, bool *same);
struct mui_rest_rate **mui_rest_rate_next(struct mui_rest_rate *rate);
/* Counts the request and says so in its headers. False: answered with 429. */
bool mui_rest_rate_judge(struct mu_http *request);
struct mui_rest_rated {
  unsigned left; /* after this one */
  unsigned reset_s;
  bool refused;
};
/* Counts one of `key`. */
MUI_API struct mui_rest_rated mui_rest_rate_count(struct mui_rest_rate *rate, const unsigned char key[16],
                                                  int64_t now_ns);

/* ---- rest_openapi.c -------------------------------------------------------------------------- */

/* The description of what a listener serves; NULL: out of memory. */
mu_text *mui_rest_describe(struct mui_net *net, const struct mui_listener *listener);

/* ---- rest_time.c ----------------------------------------------------------------------------- */

/* As mu_iso_parse(); without `strict` a date alone, and a time without a zone, are UTC. */
MUI_API bool mui_iso_parse(struct mu_str text, bool strict, int64_t *unix_ms);

#endif
