/* SPDX-License-Identifier: ISC */
/* Devices of an endpoint: list, rename. */
#include <stdlib.h>

#include "rest.h"

const struct mu_rest_field rest_device_fields[REST_DEVICE_COLUMNS] = {
    {.name = "id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "The endpoint's id"},
    {.name = "device_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "As the device calls itself"},
    {.name = "custom_name", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "last_connected_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
    {.name = "created_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
};

/* ---- list ------------------------------------------------------------------------------------ */

static struct json_object *listed(struct relay *relay, const struct mu_result *result, size_t row)
{
  struct json_object *device = rest_row(result, row, rest_device_fields, REST_DEVICE_COLUMNS);
  MU_AUTO_FREE char *uuid = rest_text(mu_result_at(result, row, 0));
  struct json_object *online = uuid ? json_object_new_boolean(relay_device_online(relay, uuid)) : NULL;
  if (online && rest_add(device, "is_online", online))
    return device;
  json_object_put(device);
  return NULL;
}

static int on_devices(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct json_object *devices = json_object_new_array();
  for (size_t row = 0; devices && row < result->rows; row++) {
    struct json_object *device = listed(relay, result, row);
    if (device && json_object_array_add(devices, device) == 0)
      continue;
    json_object_put(device);
    json_object_put(devices);
    return MU_ENOMEM;
  }
  return mu_rest_answer(request, 0, rest_data("devices", devices));
}

static int on_list(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  const struct mu_value values[] = {*mu_result_at(result, 0, REST_ENDPOINT_ID)};
  return rest_read(relay, request,
                   REST_SQL("SELECT " REST_DEVICE_SELECT " FROM devices WHERE endpoint_id = ? "
                            "ORDER BY last_connected_at DESC, id"),
                   REST_VALUES(values), on_devices, NULL);
}

static int list_devices(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_list, NULL);
}

/* ---- rename ---------------------------------------------------------------------------------- */

static void renamed(struct relay *relay, const struct mu_result *result, void *kept)
{
  (void)kept;
  MU_AUTO_FREE char *uuid = rest_text(mu_result_at(result, 0, 0));
  MU_AUTO_FREE char *name = rest_text(mu_result_at(result, 0, REST_DEVICE_NAME - REST_DEVICE_ID));
  if (uuid && name)
    device_renamed(relay, uuid, name);
}

static int on_renamed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error == MU_EREFUSED)
    return rest_no_device(request);
  if (result->error)
    return result->error;
  return mu_rest_answer(request, 0, rest_data("device", rest_row(result, 0, rest_device_fields, REST_DEVICE_COLUMNS)));
}

static int on_rename(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  const struct mu_value endpoint = *mu_result_at(result, 0, REST_ENDPOINT_ID);
  const struct mu_value device = mu_value_str(mu_rest_param(request, "device_id"));
  const struct mu_value set[] = {mu_value_text(mu_rest_text(request, "custom_name")), endpoint, device};
  const struct mu_value shown[] = {endpoint, device};
  const struct mu_statement statements[] = {
      REST_STATEMENT(REST_SQL("UPDATE devices SET custom_name = ? WHERE endpoint_id = ? AND device_id = ?"), set, 1),
      REST_STATEMENT(REST_SQL("SELECT " REST_DEVICE_SELECT " FROM devices WHERE endpoint_id = ? AND device_id = ?"),
                     shown, MU_ANY_ROWS),
  };
  return rest_write(relay, request, statements, MU_COUNT(statements), renamed, on_renamed, NULL);
}

static int rename_device(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_rename, NULL);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field listed_fields[] = {
    {.name = "id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "The endpoint's id"},
    {.name = "device_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "As the device calls itself"},
    {.name = "custom_name", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "is_online", .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED},
    {.name = "last_connected_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
    {.name = "created_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
};
static const struct mu_rest_field devices_data[] = {
    {.name = "devices", .type = MU_REST_ARRAY, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(listed_fields)},
};
static const struct mu_rest_field devices_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(devices_data)},
};
static const struct mu_rest_field device_data[] = {
    {.name = "device", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(rest_device_fields)},
};
static const struct mu_rest_field device_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(device_data)},
};
static const struct mu_rest_field rename_body[] = {
    {.name = "custom_name", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .min = 1, .max = RELAY_NAME_MAX},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/endpoints/:id/devices", USER, list_devices,
            .summary = "Devices that identified themselves at an endpoint, the last to connect first",
            .owner = "endpoint", .answer = MU_REST_FIELDS(devices_answer)),
    MU_REST(PUT, "/api/endpoints/:id/devices/:device_id+", USER, rename_device,
            .summary = "Renames a device; device_id is what it calls itself", .owner = "endpoint",
            .body = MU_REST_FIELDS(rename_body), .answer = MU_REST_FIELDS(device_answer)),
};

const struct rest_part rest_devices = REST_PART(routes);
