/* SPDX-License-Identifier: ISC */
/* What the REST files of data, commands, cards, alerts and groups share. */
#ifndef RELAY_REST_WIDE_H
#define RELAY_REST_WIDE_H

#include "rest.h"

enum {
  QUERY_VALUES = 600,
  QUERY_IN_MAX = 500, /* of one IN (…) */
  PAGE_SIZE_MAX = 100,
  WIDE_ID_SIZE = 192,
};

/* ---- statements that depend on what was asked ----------------------------------------------- */

/** A statement in the making: start from QUERY_INIT, end with query_read() or query_free(). Values are borrowed. */
struct query {
  struct mu_buf sql;
  struct mu_value values[QUERY_VALUES];
  size_t count;
  bool full;
};
#define QUERY_INIT                                                                                                     \
  {                                                                                                                    \
    .sql = MU_BUF_INIT                                                                                                 \
  }

void query_add(struct query *query, const char *text);
/** Text with one `?`, and its value. */
void query_value(struct query *query, const char *text, struct mu_value value);
/** Text with one `?`, when the request has this field. */
void query_text_field(struct query *query, mu_http *request, const char *field, const char *text);
void query_time_field(struct query *query, mu_http *request, const char *field, const char *text);
/** Text, then "(?,?,…)" of as many places as one of few statements has; `count` is 1 to QUERY_IN_MAX. */
void query_in(struct query *query, const char *text, const struct mu_value *values, size_t count);
void query_join(struct query *query, const struct query *other);
void query_free(struct query *query);
/** rest_read(), and the query is freed. */
int query_read(struct relay *relay, mu_http *request, struct query *query, rest_then then, void *kept);
/** One statement of rest_write(), and the query is freed. */
int query_write(struct relay *relay, mu_http *request, struct query *query, int64_t expect, rest_committed committed,
                rest_then then, void *kept);

/* ---- pages ---------------------------------------------------------------------------------- */

struct page {
  int64_t number, size;
};
#define PAGE_FIELDS                                                                                                    \
  {.name = "page", .type = MU_REST_INTEGER, .min = 1, .max = 100000, .help = "From 1 on"},                             \
  {                                                                                                                    \
    .name = "pageSize", .also = "page_size", .type = MU_REST_INTEGER, .min = 1, .max = 1000000,                        \
    .help = "More than 100 is taken for 100"                                                                           \
  }
struct page page_of(mu_http *request, int64_t preset);
/**
 * "SELECT COLUMNS FROM FROM WHERE", one page of it: the first column is the total, then come the columns; where there are none, one row of nulls.
 * `order` uses the columns' names.
 */
void query_page(struct query *query, const char *columns, const char *from, const struct query *where,
                const char *order, struct page page);
/** The rows of such a result as an array; `make` gets the first column behind the total. NULL: memory is out. */
struct json_object *page_list(const struct mu_result *result,
                              struct json_object *(*make)(const struct mu_result *result, size_t row, size_t from));
/** {total,page,pageSize,totalPages}; NULL: memory is out. */
struct json_object *page_json(const struct mu_result *result, struct page page);
int64_t page_total(const struct mu_result *result);
int64_t page_count(int64_t total, struct page page);
extern const struct mu_rest_field page_fields[4];

/* ---- tables --------------------------------------------------------------------------------- */

/** A member of an answer. */
#define IS(name_, type_, ...)                                                                                          \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_##type_, .flags = MU_REST_REQUIRED, __VA_ARGS__                                   \
  }
/** One that may be null. */
#define MAY(name_, type_, ...)                                                                                         \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_##type_, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE, __VA_ARGS__                \
  }
/** {"data":{…}} */
#define IN_DATA(fields_)                                                                                               \
  {                                                                                                                    \
    .name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(fields_)               \
  }

/** Of a body: where something new belongs. */
#define ENDPOINT_ID_FIELD                                                                                              \
  {                                                                                                                    \
    .name = "endpoint_id", .also = "endpointId", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .min = 1,          \
    .max = 191, .help = "One of the caller's endpoints"                                                                \
  }

/* ---- values --------------------------------------------------------------------------------- */

/** A value of device_data as it was sent; a text when it is none of its type. */
struct json_object *wide_datum(struct mu_str text, struct mu_str type);
/** A number: at most six decimals when `rounded`. Null when it is not finite. NULL also: memory is out. */
struct json_object *wide_number(double number, bool rounded);
/** The number of a result's value; `otherwise` when there is none. */
double wide_real(const struct mu_value *value, double otherwise);
/** Milliseconds between two times, or null. */
struct json_object *wide_duration(const struct mu_value *from, const struct mu_value *to);
struct json_object *wide_str(struct mu_str text);
/** Whether it is a number as JSON writes it. */
bool wide_is_number(struct mu_str text);

/* ---- devices -------------------------------------------------------------------------------- */

/** A device of who asks. */
struct wide_device {
  rest_then next;
  char *endpoint, *endpoint_name, *uuid, *name;
};
/**
 * The device that the path names (:id and :uuid), everything that waits of its endpoint written: then `next` with this struct as `kept`.
 */
int wide_own_device(struct relay *relay, mu_http *request, rest_then next);

#endif
