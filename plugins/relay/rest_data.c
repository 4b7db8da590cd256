/* SPDX-License-Identifier: ISC */
/* What devices sent of themselves: the newest value of each key, and the keys. */
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

enum { KEYS_MAX = 1000 };
enum column { C_KEY, C_VALUE, C_TYPE, C_UNIT, C_TIME };

#define COLUMNS "SELECT d.data_key, d.data_value, d.data_type, d.unit, d.timestamp FROM "
/* From key to key over the index, whatever number of values lies between; MariaDB does so by itself. */
static const struct mu_sql newest_sql = {
    .sqlite =
        "WITH RECURSIVE k (name) AS (SELECT (SELECT data_key FROM device_data WHERE device_id = ? ORDER BY data_key "
        "LIMIT 1) UNION ALL SELECT (SELECT data_key FROM device_data WHERE device_id = ? AND data_key > k.name ORDER "
        "BY "
        "data_key LIMIT 1) FROM k WHERE k.name IS NOT NULL LIMIT 1001) " COLUMNS
        "k JOIN device_data d ON d.rowid = (SELECT n.rowid FROM device_data n WHERE n.device_id = ? AND "
        "n.data_key = k.name ORDER BY n.timestamp DESC, n.rowid DESC LIMIT 1) ORDER BY d.data_key",
    .mariadb = COLUMNS "(SELECT data_key, MAX(timestamp) AS newest_at FROM device_data WHERE device_id = ? GROUP BY "
                       "data_key ORDER BY data_key LIMIT 1000) k JOIN device_data d ON d.device_id = ? AND "
                       "d.data_key = k.data_key AND d.timestamp = k.newest_at WHERE ? <> '' "
                       "ORDER BY d.data_key, d.id LIMIT 2000"};

/* Several values of a key in one millisecond: the last counts. */
static bool is_last(const struct mu_result *result, size_t row)
{
  return row + 1 >= result->rows ||
         !mu_str_equal(mu_result_at(result, row, C_KEY)->text, mu_result_at(result, row + 1, C_KEY)->text);
}

static int read_newest(struct relay *relay, mu_http *request, struct wide_device *device, rest_then then)
{
  const struct mu_value uuid = mu_value_text(device->uuid), values[] = {uuid, uuid, uuid};
  return rest_read(relay, request, newest_sql, REST_VALUES(values), then, device);
}

static bool add_all(struct json_object *object, const struct mu_result *result, size_t row, bool value,
                    const char *time_name)
{
  struct mu_str type = mu_result_at(result, row, C_TYPE)->text;
  return rest_add(object, "key", wide_str(mu_result_at(result, row, C_KEY)->text)) &&
         (!value || rest_add(object, "value", wide_datum(mu_result_at(result, row, C_VALUE)->text, type))) &&
         rest_add(object, "type", wide_str(type)) &&
         rest_add(object, "unit", rest_value(mu_result_at(result, row, C_UNIT), MU_REST_STRING)) &&
         rest_add(object, time_name, rest_value(mu_result_at(result, row, C_TIME), MU_REST_TIME));
}

static bool append(struct json_object *array, const struct mu_result *result, size_t row, bool value,
                   const char *time_name)
{
  struct json_object *object = json_object_new_object();
  if (object && array && add_all(object, result, row, value, time_name) && json_object_array_add(array, object) == 0)
    return true;
  json_object_put(object);
  return false;
}

/* ---- data ------------------------------------------------------------------------------------ */

static int on_data(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct wide_device *device = kept;
  struct json_object *body = json_object_new_object(), *data = json_object_new_array();
  struct mu_value last = mu_value_null();
  bool good = true;
  for (size_t row = 0; good && row < result->rows; row++) {
    const struct mu_value *time = mu_result_at(result, row, C_TIME);
    if (last.type == MU_VALUE_NULL || time->integer > last.integer)
      last = *time;
    good = !is_last(result, row) || append(data, result, row, true, "timestamp");
  }
  good = good && rest_add(body, "deviceId", json_object_new_string(device->uuid)) &&
         rest_add(body, "deviceName", json_object_new_string(device->name)) &&
         rest_add(body, "lastUpdate", rest_value(&last, MU_REST_TIME));
  if (!good || !rest_add(body, "data", json_object_get(data))) {
    json_object_put(body);
    body = NULL;
  }
  json_object_put(data);
  return mu_rest_answer(request, 0, body);
}

static int data_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  return read_newest(relay, request, kept, on_data);
}

static int get_data(void *self, mu_http *request)
{
  return wide_own_device(self, request, data_of);
}

/* ---- keys ------------------------------------------------------------------------------------ */

struct seen {
  size_t row;
  int64_t ms;
};

static int newer_first(const void *a, const void *b)
{
  const struct seen *left = a, *right = b;
  if (left->ms != right->ms)
    return left->ms > right->ms ? -1 : 1;
  return left->row < right->row ? -1 : 1;
}

static int on_keys(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct wide_device *device = kept;
  MU_AUTO_FREE struct seen *seen = calloc(result->rows + 1, sizeof *seen);
  struct json_object *body = json_object_new_object(), *keys = json_object_new_array();
  size_t count = 0;
  for (size_t row = 0; seen && row < result->rows; row++)
    if (is_last(result, row))
      seen[count++] = (struct seen){.row = row, .ms = mu_result_at(result, row, C_TIME)->integer};
  bool good = seen != NULL;
  if (seen)
    qsort(seen, count, sizeof *seen, newer_first);
  for (size_t i = 0; good && i < count; i++)
    good = append(keys, result, seen[i].row, false, "lastSeen");
  good = good && rest_add(body, "deviceId", json_object_new_string(device->uuid));
  if (!good || !rest_add(body, "dataKeys", json_object_get(keys))) {
    json_object_put(body);
    body = NULL;
  }
  json_object_put(keys);
  return mu_rest_answer(request, 0, body);
}

static int keys_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  return read_newest(relay, request, kept, on_keys);
}

static int get_keys(void *self, mu_http *request)
{
  return wide_own_device(self, request, keys_of);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const char *const types[] = {"number", "boolean", "json", "string", NULL};

static const struct mu_rest_field datum[] = {IS("key", STRING), MAY("value", ANY, .help = "As it was sent"),
                                             IS("type", STRING, .one_of = types), MAY("unit", STRING),
                                             IS("timestamp", TIME)};
static const struct mu_rest_field data_answer[] = {IS("deviceId", STRING), IS("deviceName", STRING),
                                                   MAY("lastUpdate", TIME),
                                                   IS("data", ARRAY, .fields = MU_REST_FIELDS(datum))};
static const struct mu_rest_field key[] = {IS("key", STRING), IS("type", STRING, .one_of = types), MAY("unit", STRING),
                                           IS("lastSeen", TIME)};
static const struct mu_rest_field keys_answer[] = {IS("deviceId", STRING),
                                                   IS("dataKeys", ARRAY, .fields = MU_REST_FIELDS(key))};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/endpoints/:id/devices/:uuid/data", USER, get_data,
            .summary = "The newest value of each key of a device; at most 1000 keys", .owner = "endpoint",
            .answer = MU_REST_FIELDS(data_answer)),
    MU_REST(GET, "/api/endpoints/:id/devices/:uuid/data-keys", USER, get_keys,
            .summary = "The keys of a device, the newest first; at most 1000", .owner = "endpoint",
            .answer = MU_REST_FIELDS(keys_answer)),
};

const struct rest_part rest_data_part = REST_PART(routes);
