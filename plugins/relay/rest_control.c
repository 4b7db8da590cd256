/* SPDX-License-Identifier: ISC */
/* Commands to a device, and what became of them. */
#include <muster/json.h>
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

#define COMMAND                                                                                                        \
  "c.command_id, c.command_type, c.command_params, c.status, c.sent_at, c.ack_at, c.timeout_at, c.error_message"
enum { COMMAND_COLUMNS = 8, C_STATUS = 3, C_SENT = 4, C_ACK = 5 };

static const char *const statuses[] = {"pending", "success", "failed", "timeout", NULL};

static const struct mu_rest_field command_fields[] = {
    IS("commandId", STRING),
    IS("commandType", STRING),
    IS("commandParams", ANY),
    IS("status", STRING, .one_of = statuses),
    IS("sentAt", TIME),
    MAY("ackAt", TIME),
    MAY("timeoutAt", TIME),
    MAY("errorMessage", STRING, .help = "What the device answered"),
    MAY("duration", INTEGER, .help = "Milliseconds until the answer"),
};

static struct json_object *command_json(const struct mu_result *result, size_t row, size_t from)
{
  struct json_object *made = rest_row_from(result, row, from, command_fields, COMMAND_COLUMNS);
  if (made &&
      rest_add(made, "duration",
               wide_duration(mu_result_at(result, row, from + C_SENT), mu_result_at(result, row, from + C_ACK))))
    return made;
  json_object_put(made);
  return NULL;
}

static int no_command(mu_http *request)
{
  return mu_rest_error(request, 404, "COMMAND_NOT_FOUND", MU_WORDS("There is no such command", "控制指令不存在"));
}

/* ---- order ----------------------------------------------------------------------------------- */

/* A request that waits for its command to be sent. */
struct ordered {
  struct task task;
  mu_http_id request;
};

static int offline(mu_http *request)
{
  return mu_rest_error(request, 503, "DEVICE_OFFLINE", MU_WORDS("The device is offline", "设备离线"));
}

static int order_failed(mu_http *request, int error)
{
  switch (error) {
  case MU_ENOENT:
  case MU_ECLOSED:
    return offline(request);
  case MU_EINVAL:
    return mu_rest_error(request, 400, "INVALID_PARAMS", MU_WORDS("params are too long", "params 过长"));
  case MU_ELIMIT:
  case MU_EUNAVAILABLE:
  case MU_ETIMEOUT:
    mu_http_set(request, "Retry-After", "2");
    return mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                         MU_WORDS("The command cannot be stored now, try again later", "服务暂时不可用,请稍后再试"));
  default:
    return mu_rest_error(request, 500, "INTERNAL_SERVER_ERROR",
                         MU_WORDS("An unexpected error occurred", "服务器内部错误"));
  }
}

static void on_commanded(void *context, int error, const char *command_id, int64_t sent_ms, int64_t timeout_ms)
{
  (void)timeout_ms;
  struct ordered *ordered = context;
  mu_http *request = mu_http_find(ordered->task.relay->in, ordered->request);
  task_free(ordered);
  if (!request)
    return;
  if (error != 0) {
    order_failed(request, error);
    return;
  }
  struct json_object *body = json_object_new_object();
  const char *message = mu_rest_words(request, MU_WORDS("The command was sent", "控制指令已发送"));
  if (!rest_add(body, "commandId", json_object_new_string(command_id)) ||
      !rest_add(body, "status", json_object_new_string("pending")) || !rest_add(body, "sentAt", rest_time(sent_ms)) ||
      !rest_add(body, "message", json_object_new_string(message))) {
    json_object_put(body);
    body = NULL;
  }
  mu_rest_answer(request, 0, body);
}

static int on_device(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct json_object *given = mu_rest_value(request, "params");
  mu_text *params = given ? mu_json_text(given) : NULL;
  MU_AUTO_FREE char *endpoint = rest_text(mu_result_at(result, 0, REST_ENDPOINT_ID));
  MU_AUTO_FREE char *device = rest_text(mu_result_at(result, 0, REST_DEVICE_ID));
  struct ordered *ordered = task_new(relay, sizeof *ordered, NULL);
  int error = MU_ENOMEM;
  if (ordered && endpoint && device && (params || !given)) {
    ordered->request = mu_http_get_id(request);
    const struct relay_order order = {.endpoint_uuid = endpoint,
                                      .device_uuid = device,
                                      .command = mu_rest_text(request, "command"),
                                      .params = params ? mu_text_str(params) : (struct mu_str){"", 0}};
    error = relay_command(relay, &order, on_commanded, ordered);
  }
  mu_text_unref(params);
  if (error == 0)
    return MU_PENDING;
  task_free(ordered);
  return order_failed(request, error);
}

static int post_control(void *self, mu_http *request)
{
  return rest_own_device(self, request, mu_rest_param(request, "id"), mu_rest_param(request, "uuid"), on_device, NULL);
}

/* ---- one of them ----------------------------------------------------------------------------- */

static int on_command(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct wide_device *device = kept;
  if (result->rows == 0)
    return no_command(request);
  struct json_object *rest = command_json(result, 0, 0), *body = json_object_new_object();
  static const char *const order[] = {"commandType", "commandParams", "status",       "sentAt",
                                      "ackAt",       "timeoutAt",     "errorMessage", "duration"};
  bool good = rest && rest_add(body, "commandId", json_object_get(json_object_object_get(rest, "commandId"))) &&
              rest_add(body, "deviceId", json_object_new_string(device->uuid)) &&
              rest_add(body, "deviceName", json_object_new_string(device->name)) &&
              rest_add(body, "endpointId", json_object_new_string(device->endpoint)) &&
              rest_add(body, "endpointName", json_object_new_string(device->endpoint_name));
  for (size_t i = 0; good && i < MU_COUNT(order); i++)
    good = rest_add(body, order[i], json_object_get(json_object_object_get(rest, order[i])));
  json_object_put(rest);
  if (good)
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int command_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct wide_device *device = kept;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "commandId")), mu_value_text(device->uuid)};
  return rest_read(relay, request,
                   REST_SQL("SELECT " COMMAND " FROM control_commands c WHERE c.command_id = ? AND c.device_id = ?"),
                   REST_VALUES(values), on_command, kept);
}

static int get_command(void *self, mu_http *request)
{
  return wide_own_device(self, request, command_of);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int on_history(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct wide_device *device = kept;
  struct json_object *body = json_object_new_object(), *commands = page_list(result, command_json);
  bool good = commands && rest_add(body, "deviceId", json_object_new_string(device->uuid)) &&
              rest_add(body, "deviceName", json_object_new_string(device->name)) &&
              rest_add(body, "commands", json_object_get(commands)) &&
              rest_add(body, "pagination", page_json(result, page_of(request, 20)));
  json_object_put(commands);
  if (good)
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int history_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct wide_device *device = kept;
  struct query where = QUERY_INIT, query = QUERY_INIT;
  query_value(&where, " WHERE c.device_id = ?", mu_value_text(device->uuid));
  query_text_field(&where, request, "status", " AND c.status = ?");
  query_page(&query, COMMAND, "control_commands c", &where, "sent_at DESC, command_id", page_of(request, 20));
  query_free(&where);
  return query_read(relay, request, &query, on_history, kept);
}

static int get_history(void *self, mu_http *request)
{
  return wide_own_device(self, request, history_of);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field control_body[] = {
    {.name = "command",
     .also = "command_type",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 100,
     .code = "INVALID_COMMAND",
     .help = "What to do"},
    {.name = "params",
     .also = "command_params",
     .type = MU_REST_OBJECT,
     .flags = MU_REST_NULLABLE,
     .code = "INVALID_PARAMS",
     .help = "Handed to the device as it is; at most 60 000 bytes"},
};
static const struct mu_rest_field control_answer[] = {IS("commandId", STRING), IS("status", STRING, .one_of = statuses),
                                                      IS("sentAt", TIME), IS("message", STRING)};
static const struct mu_rest_field history_query[] = {
    PAGE_FIELDS, {.name = "status", .type = MU_REST_STRING, .one_of = statuses, .help = "Only these"}};
static const struct mu_rest_field history_answer[] = {IS("deviceId", STRING), IS("deviceName", STRING),
                                                      IS("commands", ARRAY, .fields = MU_REST_FIELDS(command_fields)),
                                                      IS("pagination", OBJECT, .fields = MU_REST_FIELDS(page_fields))};
static const struct mu_rest_field command_answer[] = {
    IS("commandId", STRING),    IS("deviceId", STRING),
    IS("deviceName", STRING),   IS("endpointId", STRING),
    IS("endpointName", STRING), IS("commandType", STRING),
    IS("commandParams", ANY),   IS("status", STRING, .one_of = statuses),
    IS("sentAt", TIME),         MAY("ackAt", TIME),
    MAY("timeoutAt", TIME),     MAY("errorMessage", STRING),
    MAY("duration", INTEGER),
};

static const struct mu_rest_route routes[] = {
    MU_REST(POST, "/api/endpoints/:id/devices/:uuid/control", USER, post_control,
            .summary = "Sends a command to a device", .owner = "endpoint", .body = MU_REST_FIELDS(control_body),
            .answer = MU_REST_FIELDS(control_answer), .errors = MU_REST_ERRORS_SHORT),
    MU_REST(GET, "/api/endpoints/:id/devices/:uuid/control/history", USER, get_history,
            .summary = "Commands to a device, newest first", .owner = "endpoint",
            .query = MU_REST_FIELDS(history_query), .answer = MU_REST_FIELDS(history_answer),
            .errors = MU_REST_ERRORS_SHORT),
    MU_REST(GET, "/api/endpoints/:id/devices/:uuid/control/:commandId", USER, get_command,
            .summary = "A command and what became of it", .owner = "endpoint", .answer = MU_REST_FIELDS(command_answer),
            .errors = MU_REST_ERRORS_SHORT),
};

const struct rest_part rest_control_part = REST_PART(routes);
