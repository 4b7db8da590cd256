/* SPDX-License-Identifier: ISC */
/* For dashboards: an endpoint's devices, who is there, and a key's values over time. Errors are {"error":"text"}. */
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

enum {
  RECORDS_MAX = 1000,
  DEVICES_MAX = 10000,
  DAY_MS = 86400000,
};

/* ---- devices --------------------------------------------------------------------------------- */

static const struct mu_rest_field device_fields[] = {IS("id", STRING), IS("device_id", STRING),
                                                     IS("custom_name", STRING), IS("last_connected_at", TIME)};

static int read_devices(struct relay *relay, mu_http *request, const struct mu_result *endpoint, rest_then then)
{
  const struct mu_value values[] = {*mu_result_at(endpoint, 0, REST_ENDPOINT_ID), mu_value_int(DEVICES_MAX)};
  return rest_read(relay, request,
                   REST_SQL("SELECT id, device_id, custom_name, last_connected_at FROM devices WHERE endpoint_id = ? "
                            "ORDER BY created_at DESC, id LIMIT ?"),
                   REST_VALUES(values), then, NULL);
}

static int on_devices(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  struct json_object *body = json_object_new_object();
  if (rest_add(body, "devices", rest_rows(result, device_fields, MU_COUNT(device_fields))))
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int devices_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return read_devices(relay, request, result, on_devices);
}

static int get_devices(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), devices_of, NULL);
}

static int on_status(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct json_object *body = json_object_new_object(), *online = json_object_new_object();
  bool good = online != NULL;
  for (size_t row = 0; good && row < result->rows; row++) {
    MU_AUTO_FREE char *uuid = rest_text(mu_result_at(result, row, 0));
    good = uuid && rest_add(online, uuid, json_object_new_boolean(relay_device_online(relay, uuid)));
  }
  good = good && rest_add(body, "onlineStatus", json_object_get(online));
  json_object_put(online);
  if (good)
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int status_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return read_devices(relay, request, result, on_status);
}

static int get_status(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), status_of, NULL);
}

/* ---- history --------------------------------------------------------------------------------- */

static const char *const aggregations[] = {"minute", "hour", "day", NULL};
static const int64_t seconds_of[] = {60, 3600, 86400};
static const char *const aggregates[] = {"avg", "max", "min", NULL};

/* The table has seen to it that it is one of the three. */
static size_t word_of(const char *text, const char *const *words)
{
  return strcmp(words[0], text) == 0 ? 0 : strcmp(words[1], text) == 0 ? 1 : 2;
}

static int64_t end_of(mu_http *request)
{
  return mu_rest_int(request, "endTime", mu_now_ms());
}

/* {…, "records":[…]}; takes `records`. NULL: memory is out. */
static struct json_object *history_json(mu_http *request, const struct wide_device *device, int64_t start_ms,
                                        int64_t end_ms, struct json_object *records)
{
  const char *aggregation = mu_rest_text(request, "aggregation"), *type = mu_rest_text(request, "aggregateType");
  struct json_object *body = json_object_new_object(), *range = json_object_new_object();
  bool good = records && rest_add(range, "startTime", rest_time(start_ms)) &&
              rest_add(range, "endTime", rest_time(end_ms)) &&
              rest_add(body, "deviceId", json_object_new_string(device->uuid)) &&
              rest_add(body, "deviceName", json_object_new_string(device->name)) &&
              rest_add(body, "dataKey", json_object_new_string(mu_rest_text(request, "dataKey"))) &&
              rest_add(body, "timeRange", json_object_get(range));
  if (aggregation)
    good = good && rest_add(body, "aggregation", json_object_new_string(aggregation)) &&
           rest_add(body, "aggregateType", json_object_new_string(type ? type : "avg"));
  good = good && rest_add(body, "records", json_object_get(records));
  json_object_put(range);
  json_object_put(records);
  if (good)
    return body;
  json_object_put(body);
  return NULL;
}

/* The newest come first from the database, and last in the answer. */
static int on_records(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct wide_device *device = kept;
  const char *aggregation = mu_rest_text(request, "aggregation");
  bool average = !mu_rest_text(request, "aggregateType") || strcmp(mu_rest_text(request, "aggregateType"), "avg") == 0;
  int64_t seconds = aggregation ? seconds_of[word_of(aggregation, aggregations)] : 0;
  int64_t end_ms = end_of(request), start_ms = mu_rest_int(request, "startTime", end_ms - DAY_MS);
  struct json_object *records = json_object_new_array();
  bool good = records != NULL;
  for (size_t row = result->rows; good && row-- > 0;) {
    struct json_object *record = json_object_new_object();
    const struct mu_value *first = mu_result_at(result, row, 0), *value = mu_result_at(result, row, 1);
    if (aggregation)
      good = rest_add(record, "timestamp", rest_time(first->integer * seconds * 1000)) &&
             rest_add(record, "value", wide_number(wide_real(value, 0), average)) &&
             rest_add(record, "count", json_object_new_int64(mu_result_at(result, row, 2)->integer));
    else
      good = rest_add(record, "timestamp", rest_time(first->integer)) &&
             rest_add(record, "value", wide_datum(value->text, mu_result_at(result, row, 2)->text));
    good = good && json_object_array_add(records, record) == 0;
    if (!good)
      json_object_put(record);
  }
  if (!good) {
    json_object_put(records);
    return MU_ENOMEM;
  }
  return mu_rest_answer(request, 0, history_json(request, device, start_ms, end_ms, records));
}

/* What a bucket is, and a number, in each dialect. */
static void add_aggregates(struct query *query, mu_http *request, enum mu_dialect dialect, int64_t seconds)
{
  static const char *const functions[] = {"AVG(", "MAX(", "MIN("};
  const char *type = mu_rest_text(request, "aggregateType");
  bool lite = dialect == MU_DIALECT_SQLITE;
  query_value(query,
              lite ? "SELECT CAST(strftime('%s', timestamp) AS INTEGER) / ? AS bucket, "
                   : "SELECT TIMESTAMPDIFF(SECOND, '1970-01-01 00:00:00', timestamp) DIV ? AS bucket, ",
              mu_value_int(seconds));
  query_add(query, functions[type ? word_of(type, aggregates) : 0]);
  query_add(query, lite ? "CAST(data_value AS REAL)" : "data_value + 0E0");
  query_add(query, "), COUNT(*) FROM device_data");
}

static int records_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct wide_device *device = kept;
  const char *aggregation = mu_rest_text(request, "aggregation");
  int64_t end_ms = end_of(request), start_ms = mu_rest_int(request, "startTime", end_ms - DAY_MS);
  struct query query = QUERY_INIT;
  if (aggregation)
    add_aggregates(&query, request, relay->store->dialect, seconds_of[word_of(aggregation, aggregations)]);
  else
    query_add(&query, "SELECT timestamp, data_value, data_type FROM device_data");
  query_value(&query, " WHERE device_id = ?", mu_value_text(device->uuid));
  query_value(&query, " AND data_key = ?", mu_value_text(mu_rest_text(request, "dataKey")));
  query_value(&query, " AND timestamp >= ?", mu_value_time(start_ms));
  query_value(&query, " AND timestamp <= ?", mu_value_time(end_ms));
  query_add(&query, aggregation ? " AND data_type = 'number' GROUP BY bucket ORDER BY bucket" : " ORDER BY timestamp");
  query_value(&query, " DESC LIMIT ?", mu_value_int(mu_rest_int(request, "limit", RECORDS_MAX)));
  return query_read(relay, request, &query, on_records, kept);
}

static int get_history(void *self, mu_http *request)
{
  int64_t end_ms = end_of(request);
  if (mu_rest_int(request, "startTime", end_ms - DAY_MS) > end_ms)
    return mu_rest_invalid(request, "startTime", MU_WORDS("startTime is after endTime", "startTime 不能晚于 endTime"));
  return wide_own_device(self, request, records_of);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field devices_answer[] = {IS("devices", ARRAY, .fields = MU_REST_FIELDS(device_fields))};
static const struct mu_rest_field status_answer[] = {
    IS("onlineStatus", OBJECT, .help = "true or false for each device's id")};
static const struct mu_rest_field history_query[] = {
    {.name = "dataKey",
     .also = "data_key",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 100,
     .words = {"dataKey is needed, with at most 100 characters", "缺少 dataKey 参数"}},
    {.name = "startTime", .also = "start_time", .type = MU_REST_TIME, .help = "Default: a day before endTime"},
    {.name = "endTime", .also = "end_time", .type = MU_REST_TIME, .help = "Default: now"},
    {.name = "aggregation",
     .type = MU_REST_STRING,
     .one_of = aggregations,
     .help = "One record per minute, hour or day (UTC), of numbers only; default: each value"},
    {.name = "aggregateType",
     .also = "aggregate_type",
     .type = MU_REST_STRING,
     .one_of = aggregates,
     .help = "Default: avg"},
    {.name = "limit",
     .type = MU_REST_INTEGER,
     .min = 1,
     .max = RECORDS_MAX,
     .help = "Records; where there are more, the newest. Default: 1000"},
};
static const struct mu_rest_field range_fields[] = {IS("startTime", TIME), IS("endTime", TIME)};
static const struct mu_rest_field record_fields[] = {
    IS("timestamp", TIME, .help = "With aggregation: where its minute, hour or day begins"),
    MAY("value", ANY),
    {.name = "count", .type = MU_REST_INTEGER, .help = "With aggregation: values"}};
static const struct mu_rest_field history_answer[] = {
    IS("deviceId", STRING),
    IS("deviceName", STRING),
    IS("dataKey", STRING),
    IS("timeRange", OBJECT, .fields = MU_REST_FIELDS(range_fields)),
    {.name = "aggregation", .type = MU_REST_STRING, .one_of = aggregations},
    {.name = "aggregateType", .type = MU_REST_STRING, .one_of = aggregates},
    IS("records", ARRAY, .fields = MU_REST_FIELDS(record_fields)),
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/visualization/endpoints/:id/devices", USER, get_devices,
            .summary = "Devices of an endpoint, newest first; at most 10000", .owner = "endpoint",
            .answer = MU_REST_FIELDS(devices_answer), .errors = MU_REST_ERRORS_TEXT),
    MU_REST(GET, "/api/visualization/endpoints/:id/devices/online-status", USER, get_status,
            .summary = "Which devices of an endpoint are connected", .owner = "endpoint",
            .answer = MU_REST_FIELDS(status_answer), .errors = MU_REST_ERRORS_TEXT),
    MU_REST(GET, "/api/visualization/endpoints/:id/devices/:uuid/data/history", USER, get_history,
            .summary = "A key's values over time", .owner = "endpoint", .query = MU_REST_FIELDS(history_query),
            .answer = MU_REST_FIELDS(history_answer), .errors = MU_REST_ERRORS_TEXT),
};

const struct rest_part rest_visualization_part = REST_PART(routes);
