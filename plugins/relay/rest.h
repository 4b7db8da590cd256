/* SPDX-License-Identifier: ISC */
/**
 * @file rest.h
 * What the relay's REST files share: requests that wait for the database, ownership, rows as JSON. Loop thread only.
 *
 * A handler asks for one thing and says what comes then:
 *
 *     static int on_rules(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
 *     {
 *       (void)relay, (void)kept;
 *       return mu_rest_answer(request, 0, rest_data("rules", rest_rows(result, rule_fields, RULE_COLUMNS)));
 *     }
 *     static int list_rules(void *self, mu_http *request)
 *     {
 *       const char *user = rest_user(self, request);
 *       const struct mu_value values[] = {mu_value_text(user)};
 *       return user ? rest_read(self, request, REST_SQL("SELECT … WHERE user_id = ?"), REST_VALUES(values), on_rules, NULL) : 0;
 *     }
 *
 * All calls here that take a `then` return what a handler returns. Errors of the database are answered by them: 503 SERVICE_UNAVAILABLE with
 * Retry-After when it is away or slow, 400 RESULT_TOO_LARGE, else 500; the log gets a line without values. A client that left is nobody's worry: `then` is not called.
 *
 * MariaDB compares texts without case and trailing spaces: what is told to others (endpoint_refresh(), …) or compared in C
 * comes from the row, never from the path.
 */
#ifndef RELAY_REST_H
#define RELAY_REST_H

#include <json-c/json.h>

#include "relay.h"

/* ---- what is kept from one step to the next ------------------------------------------------- */

/**
 * Zeroed memory to hand to a call as `kept`; NULL when memory is out. The call owns it, hands it to `then`, and frees it afterwards unless `then` passed it
 * on to another call; also when the client leaves or the instance stops first. `release` frees what hangs on it; may be NULL.
 */
void *rest_keep(size_t size, void (*release)(void *kept));
/** For what was not handed to any call. NULL is allowed. */
void rest_drop(void *kept);

/**
 * The next step of a request. `result` is borrowed. Returns what a handler returns: a negative value without an answer gives 500.
 */
typedef int (*rest_then)(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept);
/** After a commit, whether the client is still there or not: endpoint_refresh() and the like. */
typedef void (*rest_committed)(struct relay *relay, const struct mu_result *result, void *kept);

#define REST_SQL(text_) ((struct mu_sql){.text = (text_)})
#define REST_SQL2(sqlite_, mariadb_) ((struct mu_sql){.sqlite = (sqlite_), .mariadb = (mariadb_)})
/** An array of values, as two arguments. */
#define REST_VALUES(array_) (array_), MU_COUNT(array_)
#define REST_NO_VALUES NULL, 0
/** One struct mu_statement that must change `expect_` rows. */
#define REST_STATEMENT(sql_, values_, expect_)                                                                         \
  {                                                                                                                    \
    .sql = sql_, .values = (values_), .count = MU_COUNT(values_), .expect = (expect_)                                  \
  }

/* ---- asking ----------------------------------------------------------------------------------- */

/** Reads; `then` is called without an error only. */
int rest_read(struct relay *relay, mu_http *request, struct mu_sql sql, const struct mu_value *values, size_t count,
              rest_then then, void *kept);
/**
 * Writes. `then` is called after the commit and for result->error MU_EREFUSED, MU_EEXIST and MU_ENOENT, which mean something else for each route. `committed`
 * (may be NULL) is called before it, after a commit.
 */
int rest_write(struct relay *relay, mu_http *request, const struct mu_statement *statements, size_t count,
               rest_committed committed, rest_then then, void *kept);
/** relay_flush(); `then` gets an empty result. */
int rest_flush(struct relay *relay, mu_http *request, const char *endpoint_uuid, rest_then then, void *kept);
/** endpoint_refresh(): `then` gets an empty result when open connections go by the new row. */
int rest_refresh(struct relay *relay, mu_http *request, const char *endpoint_uuid, rest_then then, void *kept);

/* ---- whose it is ------------------------------------------------------------------------------ */

/** users.id of who asks; valid as long as the request. NULL: no account of this server, and answered with 403. */
const char *rest_user(const struct relay *relay, mu_http *request);
/**
 * The endpoint, when it belongs to who asks: `result` is its row, REST_ENDPOINT_COLUMNS. 404 ENDPOINT_NOT_FOUND, 403 FORBIDDEN.
 * `uuid` is copied: mu_rest_param() will do, or a member of the body.
 */
int rest_own_endpoint(struct relay *relay, mu_http *request, struct mu_str uuid, rest_then then, void *kept);
/**
 * A device of an endpoint of who asks: `result` is the endpoint's row, followed by REST_DEVICE_COLUMNS. Also 404 DEVICE_NOT_FOUND.
 * An empty `endpoint_uuid`: whichever the device belongs to.
 */
int rest_own_device(struct relay *relay, mu_http *request, struct mu_str endpoint_uuid, struct mu_str device_uuid,
                    rest_then then, void *kept);

int rest_no_endpoint(mu_http *request);
int rest_no_device(mu_http *request);
int rest_forbidden(mu_http *request);

/* ---- rows as JSON ----------------------------------------------------------------------------- */

/**
 * A row as an object: the first `count` fields are the columns, in order, so that one table is both mu_rest_route.answer and the form of the answer. STRING: as it
 * is; BOOLEAN from 0 and 1; INTEGER, NUMBER; TIME: ISO text; OBJECT, ARRAY, ANY: JSON text, parsed (what cannot be parsed is given
 * as text). NULL is null. Columns beyond `count` and fields beyond the columns are left out. NULL when memory is out.
 */
struct json_object *rest_row(const struct mu_result *result, size_t row, const struct mu_rest_field *fields,
                             size_t count);
/** The same from column `from` on. */
struct json_object *rest_row_from(const struct mu_result *result, size_t row, size_t from,
                                  const struct mu_rest_field *fields, size_t count);
/** All rows, as an array. */
struct json_object *rest_rows(const struct mu_result *result, const struct mu_rest_field *fields, size_t count);
/** One value as a field of this type. */
struct json_object *rest_value(const struct mu_value *value, enum mu_rest_type type);
/** Adds a member. Takes `value`; NULL is null. False: memory is out. */
bool rest_add(struct json_object *object, const char *name, struct json_object *value);
/** {"data":{name:value}}; takes `value`, NULL (memory is out) gives NULL, which mu_rest_answer() makes a 500. */
struct json_object *rest_data(const char *name, struct json_object *value);
/** {"data":{"message":words}}, and its description. */
struct json_object *rest_message(const mu_http *request, struct mu_words words);
extern const struct mu_rest_field rest_message_answer[1];
/** {"data":value}. */
struct json_object *rest_wrap(struct json_object *value);
/** An ISO text. */
struct json_object *rest_time(int64_t unix_ms);
/** A text of a result with its NUL, for calls that take C strings; NULL for null or when memory is out. free() it. */
char *rest_text(const struct mu_value *value);

/* ---- endpoints and devices, as everybody shows them ------------------------------------------- */

#define REST_ENDPOINT_SELECT                                                                                           \
  "endpoints.id, endpoints.endpoint_id, endpoints.name, endpoints.user_id, endpoints.forwarding_mode, "                \
  "endpoints.custom_header, endpoints.created_at, endpoints.last_active_at, endpoints.is_disabled, "                   \
  "endpoints.disabled_at, endpoints.disabled_reason, endpoints.disabled_by"
enum {
  REST_ENDPOINT_ID,
  REST_ENDPOINT_KEY,
  REST_ENDPOINT_NAME,
  REST_ENDPOINT_USER,
  REST_ENDPOINT_COLUMNS = 12,
  REST_ENDPOINT_FIELDS = 13, /* with websocket_url */
};
extern const struct mu_rest_field rest_endpoint_fields[REST_ENDPOINT_FIELDS];

#define REST_DEVICE_SELECT                                                                                             \
  "devices.id, devices.endpoint_id, devices.device_id, devices.custom_name, devices.last_connected_at, "               \
  "devices.created_at"
enum {
  REST_DEVICE_ID = REST_ENDPOINT_COLUMNS, /* in rest_own_device()'s row */
  REST_DEVICE_ENDPOINT,
  REST_DEVICE_NAME_ID,
  REST_DEVICE_NAME,
  REST_DEVICE_SEEN,
  REST_DEVICE_CREATED,
  REST_DEVICE_COLUMNS = 6,
};
extern const struct mu_rest_field rest_device_fields[REST_DEVICE_COLUMNS];

/** The description of {"data":{"endpoints":[…]}}, and the answer itself from rows of REST_ENDPOINT_SELECT. */
extern const struct mu_rest_field rest_endpoints_answer[1];
struct json_object *rest_endpoint_list(struct relay *relay, mu_http *request, const struct mu_result *result);
/** Its address, as a JSON text. */
struct json_object *rest_websocket_url(const struct relay *relay, mu_http *request, struct mu_str key);

/** A change of an endpoint, from the commit to the answer; its own row 0 is of REST_ENDPOINT_COLUMNS. */
struct rest_change {
  char *endpoint_uuid;
  struct json_object *body; /**< what will be answered; NULL: not known yet */
  int64_t ms;
};
/** For rest_write(); `result` is the endpoint's row, from rest_own_endpoint(). NULL: out of memory. */
struct rest_change *rest_change_new(const struct mu_result *result);
/** rest_committed: kept is a struct rest_change, and open connections are told of it. */
void rest_changed(struct relay *relay, const struct mu_result *result, void *kept);
/** rest_then: answers with its body. */
int rest_answer_change(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept);

/* ---- routes ----------------------------------------------------------------------------------- */

/** Routes of one file; their handlers get the struct relay as `self`. Listed in rest.c. */
struct rest_part {
  const struct mu_rest_route *routes;
  size_t count;
};
#define REST_PART(array_)                                                                                              \
  {                                                                                                                    \
    (array_), MU_COUNT(array_)                                                                                         \
  }

extern const struct rest_part rest_endpoints, rest_devices, rest_access, rest_admin, rest_data_part, rest_control_part,
    rest_visualization_part, rest_cards_part, rest_alerts_part, rest_alert_history_part, rest_groups_part,
    rest_group_control_part, rest_export_part;

#endif
