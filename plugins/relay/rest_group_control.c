/* SPDX-License-Identifier: ISC */
/* One command to all devices of a group, and what became of it. */
#include <muster/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest_groups.h"

enum {
  BATCH_ID_LEN = 12,
  COMMAND_ID_LEN = 8,
  BATCH_DAYS = 30, /* so long a batch can be looked up */
  OFFLINE_VALUES = 8,
};

/* ---- sending --------------------------------------------------------------------------------- */

struct member {
  struct batch *batch;
  char *uuid, *name;
  char command_id[16]; /* "": none */
  const char *why;     /* it failed; NULL: it was sent */
  bool offline;        /* a row that says so is to be stored */
};

struct batch {
  struct task task;
  mu_http_id request;
  char id[BATCH_ID_LEN + 1];
  char *endpoint, *command;
  mu_text *params, *stored_params; /* without and with batchId */
  struct member *members;
  size_t count, open;
  bool away; /* the database did not take one of them */
  size_t sent;
};

static void release_batch(struct task *task)
{
  struct batch *batch = (struct batch *)task;
  for (size_t i = 0; i < batch->count; i++) {
    free(batch->members[i].uuid);
    free(batch->members[i].name);
  }
  free(batch->members);
  free(batch->endpoint);
  free(batch->command);
  mu_text_unref(batch->params);
  mu_text_unref(batch->stored_params);
}

static struct json_object *member_json(const struct member *member)
{
  struct json_object *made = json_object_new_object();
  const char *id = member->command_id[0] ? member->command_id : NULL;
  bool good = rest_add(made, "deviceId", json_object_new_string(member->uuid)) &&
              rest_add(made, "deviceName", json_object_new_string(member->name)) &&
              rest_add(made, "commandId", id ? json_object_new_string(id) : NULL) &&
              rest_add(made, "status", json_object_new_string(member->why ? "failed" : "pending")) &&
              (!member->why || rest_add(made, "errorMessage", json_object_new_string(member->why))) &&
              rest_add(made, "device_id", json_object_new_string(member->uuid)) &&
              rest_add(made, "device_name", json_object_new_string(member->name)) &&
              rest_add(made, "command_id", id ? json_object_new_string(id) : NULL);
  if (good)
    return made;
  json_object_put(made);
  return NULL;
}

static void answer(const struct batch *batch, mu_http *request)
{
  if (batch->away && batch->sent == 0) {
    mu_http_set(request, "Retry-After", "2");
    mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                  MU_WORDS("The commands cannot be stored now, try again later", "服务暂时不可用,请稍后再试"));
    return;
  }
  struct json_object *data = json_object_new_object(), *commands = json_object_new_array();
  bool good = commands != NULL;
  for (size_t i = 0; good && i < batch->count; i++) {
    struct json_object *command = member_json(&batch->members[i]);
    good = command && json_object_array_add(commands, command) == 0;
    if (!good)
      json_object_put(command);
  }
  good = good && rest_add(data, "batchId", json_object_new_string(batch->id)) &&
         rest_add(data, "totalDevices", json_object_new_int64((int64_t)batch->count)) &&
         rest_add(data, "commands", json_object_get(commands)) &&
         rest_add(data, "batch_id", json_object_new_string(batch->id)) &&
         rest_add(data, "total_devices", json_object_new_int64((int64_t)batch->count));
  json_object_put(commands);
  if (!good) {
    json_object_put(data);
    data = NULL;
  }
  mu_rest_answer(request, 0, data ? rest_wrap(data) : NULL);
}

static void end_one(struct batch *batch)
{
  if (--batch->open > 0)
    return;
  mu_http *request = mu_http_find(batch->task.relay->in, batch->request);
  if (request)
    answer(batch, request);
  task_free(batch);
}

static void on_commanded(void *context, int error, const char *command_id, int64_t sent_ms, int64_t timeout_ms)
{
  (void)sent_ms, (void)timeout_ms;
  struct member *member = context;
  struct batch *batch = member->batch;
  snprintf(member->command_id, sizeof member->command_id, "%s", command_id);
  if (error == 0)
    batch->sent++;
  else if (error == MU_ECLOSED)
    member->why = "the device went offline";
  else {
    member->why = "the command could not be stored";
    batch->away = true;
  }
  end_one(batch);
}

/* The rows of those that are not there were written, or there are none. */
static void offline_stored(struct batch *batch, bool good)
{
  for (size_t i = 0; !good && i < batch->count; i++)
    if (batch->members[i].offline)
      batch->members[i].command_id[0] = '\0';
  batch->away |= !good;
  batch->sent += good;
}

static void on_offline_stored(void *context, const struct mu_result *result)
{
  offline_stored(context, result->error == 0);
  end_one(context);
}

/* A failed command for each that is not there, so that the batch tells of all. */
static void store_offline(struct batch *batch)
{
  struct relay *relay = batch->task.relay;
  struct mu_statement *statements = calloc(batch->count + 1, sizeof *statements);
  struct mu_value *values = calloc(batch->count + 1, OFFLINE_VALUES * sizeof *values);
  char(*ids)[RELAY_UUID_SIZE] = calloc(batch->count + 1, sizeof *ids);
  struct mu_value now = mu_value_time(mu_now_ms());
  size_t count = 0;
  bool good = statements && values && ids && relay_uuids(ids, batch->count) == 0;
  for (size_t i = 0; good && i < batch->count; i++) {
    struct member *member = &batch->members[i];
    if (!member->offline)
      continue;
    good = relay_random_id(member->command_id, COMMAND_ID_LEN) == 0;
    struct mu_value *v = values + count * OFFLINE_VALUES;
    v[0] = mu_value_text(ids[i]);
    v[1] = mu_value_text(batch->endpoint);
    v[2] = mu_value_text(member->uuid);
    v[3] = mu_value_text(member->command_id);
    v[4] = mu_value_text(batch->command);
    v[5] = mu_value_str(mu_text_str(batch->stored_params));
    v[6] = now;
    v[7] = mu_value_text(member->why);
    statements[count++] = (struct mu_statement){
        .sql = {.text = "INSERT INTO control_commands (id, endpoint_id, device_id, command_id, command_type, "
                        "command_params, status, sent_at, error_message) VALUES (?, ?, ?, ?, ?, ?, 'failed', ?, ?)"},
        .values = v,
        .count = OFFLINE_VALUES,
        .expect = 1};
  }
  good = good && (count == 0 ||
                  relay->store->write(relay->store_self, relay->in, statements, count, on_offline_stored, batch) == 0);
  batch->open += good && count > 0;
  if (!good)
    offline_stored(batch, false);
  free(statements);
  free(values);
  free(ids);
}

static int send_all(struct batch *batch)
{
  struct relay *relay = batch->task.relay;
  batch->open = 1; /* ours */
  for (size_t i = 0; i < batch->count; i++) {
    struct member *member = &batch->members[i];
    const struct relay_order order = {.endpoint_uuid = batch->endpoint,
                                      .device_uuid = member->uuid,
                                      .command = batch->command,
                                      .params = mu_text_str(batch->params),
                                      .batch_id = batch->id};
    batch->open++;
    int error = relay_command(relay, &order, on_commanded, member);
    if (error == 0)
      continue;
    batch->open--;
    member->offline = true;
    member->why = error == MU_ENOENT ? "the device is offline" : mu_strerror(error);
  }
  store_offline(batch);
  end_one(batch);
  return MU_PENDING;
}

/* {"on":true} and {"on":true,"batchId":"…"}, whatever batchId the client gave. */
static bool take_params(struct batch *batch, mu_http *request)
{
  struct json_object *given = mu_rest_value(request, "command_params");
  struct json_object *params = given ? json_object_get(given) : json_object_new_object();
  if (params)
    json_object_object_del(params, "batchId");
  batch->params = params ? mu_json_text(params) : NULL;
  if (params && rest_add(params, "batchId", json_object_new_string(batch->id)))
    batch->stored_params = mu_json_text(params);
  json_object_put(params);
  return batch->params && batch->stored_params;
}

/* Rows: endpoint, device, its name. */
static int on_devices(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  if (result->rows == 0)
    return group_none(request);
  if (mu_result_at(result, 0, 1)->type == MU_VALUE_NULL)
    return mu_rest_error(request, 400, "GROUP_EMPTY", MU_WORDS("The group has no devices", "分组内没有设备"));
  struct batch *batch = task_new(relay, sizeof *batch, release_batch);
  if (!batch)
    return MU_ENOMEM;
  batch->request = mu_http_get_id(request);
  batch->endpoint = rest_text(mu_result_at(result, 0, 0));
  batch->command = strdup(mu_rest_text(request, "command_type"));
  batch->members = calloc(result->rows, sizeof *batch->members);
  bool good = batch->endpoint && batch->command && batch->members && relay_random_id(batch->id, BATCH_ID_LEN) == 0 &&
              take_params(batch, request);
  for (size_t row = 0; good && row < result->rows; row++) {
    struct member *member = &batch->members[batch->count++];
    member->batch = batch;
    member->uuid = rest_text(mu_result_at(result, row, 1));
    member->name = rest_text(mu_result_at(result, row, 2));
    good = member->uuid && member->name;
  }
  if (good && mu_text_len(batch->stored_params) > 60000) {
    task_free(batch);
    return mu_rest_error(request, 400, "INVALID_PARAMS",
                         MU_WORDS("command_params are too long", "command_params 过长"));
  }
  if (good)
    return send_all(batch);
  task_free(batch);
  return MU_ENOMEM;
}

static int post_control(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user),
                                    mu_value_int(GROUP_MEMBERS_MAX)};
  return rest_read(self, request,
                   REST_SQL("SELECT g.endpoint_id, d.id, d.custom_name FROM device_groups g LEFT JOIN "
                            "device_group_members m ON m.group_id = g.id LEFT JOIN devices d ON d.id = m.device_id AND "
                            "d.endpoint_id = g.endpoint_id WHERE g.id = ? AND g.user_id = ? "
                            "ORDER BY d.id IS NULL, m.added_at, d.id LIMIT ?"),
                   REST_VALUES(values), on_devices, NULL);
}

/* ---- looking --------------------------------------------------------------------------------- */

enum { C_DEVICE, C_NAME, C_COMMAND, C_STATUS, C_SENT, C_ACK, C_WHY };
static const char *const statuses[] = {"success", "failed", "pending", "timeout", NULL};

static struct json_object *command_json(const struct mu_result *result, size_t row)
{
  static const struct mu_rest_field fields[] = {
      IS("deviceId", STRING), IS("deviceName", STRING), IS("commandId", STRING),    IS("status", STRING),
      IS("sentAt", TIME),     MAY("ackAt", TIME),       MAY("errorMessage", STRING)};
  static const struct {
    const char *name;
    size_t column;
    enum mu_rest_type type;
  } again[] = {{"device_id", C_DEVICE, MU_REST_STRING},   {"device_name", C_NAME, MU_REST_STRING},
               {"command_id", C_COMMAND, MU_REST_STRING}, {"sent_at", C_SENT, MU_REST_TIME},
               {"ack_at", C_ACK, MU_REST_TIME},           {"error_message", C_WHY, MU_REST_STRING}};
  struct json_object *made = rest_row(result, row, fields, MU_COUNT(fields));
  bool good = made && rest_add(made, "duration",
                               wide_duration(mu_result_at(result, row, C_SENT), mu_result_at(result, row, C_ACK)));
  for (size_t i = 0; good && i < MU_COUNT(again); i++)
    good = rest_add(made, again[i].name, rest_value(mu_result_at(result, row, again[i].column), again[i].type));
  if (good)
    return made;
  json_object_put(made);
  return NULL;
}

static int no_batch(mu_http *request)
{
  return mu_rest_error(request, 404, "BATCH_NOT_FOUND", MU_WORDS("There is no such batch of commands", "批次不存在"));
}

static bool add_counts(struct json_object *data, const int64_t counts[], bool camel)
{
  static const char *const names[][2] = {{"success_count", "successCount"},
                                         {"failed_count", "failedCount"},
                                         {"pending_count", "pendingCount"},
                                         {"timeout_count", "timeoutCount"}};
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (!rest_add(data, names[i][camel], json_object_new_int64(counts[i])))
      return false;
  return true;
}

static int on_batch(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->rows == 0)
    return no_batch(request);
  struct mu_str id = mu_rest_param(request, "batchId");
  int64_t counts[MU_COUNT(statuses)] = {0};
  struct json_object *data = json_object_new_object(), *commands = json_object_new_array();
  bool good = commands != NULL;
  for (size_t row = 0; good && row < result->rows; row++) {
    struct json_object *command = command_json(result, row);
    good = command && json_object_array_add(commands, command) == 0;
    if (!good)
      json_object_put(command);
    for (size_t i = 0; statuses[i]; i++)
      counts[i] += mu_str_equal(mu_result_at(result, row, C_STATUS)->text, mu_str(statuses[i]));
  }
  good =
      good && rest_add(data, "batchId", wide_str(id)) &&
      rest_add(data, "totalDevices", json_object_new_int64((int64_t)result->rows)) && add_counts(data, counts, true) &&
      rest_add(data, "commands", json_object_get(commands)) && rest_add(data, "batch_id", wide_str(id)) &&
      rest_add(data, "total_devices", json_object_new_int64((int64_t)result->rows)) && add_counts(data, counts, false);
  json_object_put(commands);
  if (good)
    return mu_rest_answer(request, 0, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

/* batchId is the last member of a command's params: that is how they are stored, here and by the released server. */
static int batch_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct group *group = kept;
  struct mu_str id = mu_rest_param(request, "batchId");
  char end[32];
  int len = snprintf(end, sizeof end, "\"batchId\":\"%.*s\"}", (int)id.len, id.at);
  const struct mu_value values[] = {mu_value_text(group->id),
                                    mu_value_text(group->endpoint),
                                    mu_value_time(mu_now_ms() - BATCH_DAYS * INT64_C(86400000)),
                                    mu_value_int(-len),
                                    mu_value_text(end),
                                    mu_value_int(GROUP_MEMBERS_MAX)};
  return rest_read(relay, request,
                   REST_SQL("SELECT d.id, d.custom_name, c.command_id, c.status, c.sent_at, c.ack_at, c.error_message "
                            "FROM device_group_members m JOIN devices d ON d.id = m.device_id JOIN control_commands c "
                            "ON c.device_id = m.device_id WHERE m.group_id = ? AND c.endpoint_id = ? AND "
                            "c.sent_at >= ? AND substr(c.command_params, ?) = ? ORDER BY m.added_at, d.id LIMIT ?"),
                   REST_VALUES(values), on_batch, NULL);
}

static int get_batch(void *self, mu_http *request)
{
  struct mu_str id = mu_rest_param(request, "batchId");
  bool good = id.len == BATCH_ID_LEN;
  for (size_t i = 0; good && i < id.len; i++)
    good = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", id.at[i]) != NULL;
  return good ? group_flushed(self, request, batch_of) : no_batch(request);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field control_body[] = {
    {.name = "command_type",
     .also = "command",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 100,
     .code = "INVALID_COMMAND",
     .help = "What to do"},
    {.name = "command_params",
     .also = "params",
     .type = MU_REST_OBJECT,
     .flags = MU_REST_NULLABLE,
     .code = "INVALID_PARAMS",
     .help = "Handed to the devices with batchId as a further member; at most 60 000 bytes"},
};
static const struct mu_rest_field sent_fields[] = {
    IS("deviceId", STRING),
    IS("deviceName", STRING),
    MAY("commandId", STRING),
    IS("status", STRING, .one_of = statuses),
    {.name = "errorMessage", .type = MU_REST_STRING},
    IS("device_id", STRING),
    IS("device_name", STRING),
    MAY("command_id", STRING),
};
static const struct mu_rest_field sent_data[] = {IS("batchId", STRING), IS("totalDevices", INTEGER),
                                                 IS("commands", ARRAY, .fields = MU_REST_FIELDS(sent_fields)),
                                                 IS("batch_id", STRING), IS("total_devices", INTEGER)};
static const struct mu_rest_field command_fields[] = {
    IS("deviceId", STRING),      IS("deviceName", STRING),
    IS("commandId", STRING),     IS("status", STRING, .one_of = statuses),
    IS("sentAt", TIME),          MAY("ackAt", TIME),
    MAY("errorMessage", STRING), MAY("duration", INTEGER, .help = "Milliseconds until the answer"),
    IS("device_id", STRING),     IS("device_name", STRING),
    IS("command_id", STRING),    IS("sent_at", TIME),
    MAY("ack_at", TIME),         MAY("error_message", STRING),
};
static const struct mu_rest_field batch_data[] = {
    IS("batchId", STRING),
    IS("totalDevices", INTEGER),
    IS("successCount", INTEGER),
    IS("failedCount", INTEGER),
    IS("pendingCount", INTEGER),
    IS("timeoutCount", INTEGER),
    IS("commands", ARRAY, .fields = MU_REST_FIELDS(command_fields)),
    IS("batch_id", STRING),
    IS("total_devices", INTEGER),
    IS("success_count", INTEGER),
    IS("failed_count", INTEGER),
    IS("pending_count", INTEGER),
    IS("timeout_count", INTEGER),
};
static const struct mu_rest_field sent_answer[] = {IN_DATA(sent_data)}, batch_answer[] = {IN_DATA(batch_data)};

static const struct mu_rest_route routes[] = {
    MU_REST(POST, "/api/device-groups/:id/control", USER, post_control,
            .summary = "Sends a command to all devices of a group", .owner = "group",
            .body = MU_REST_FIELDS(control_body), .answer = MU_REST_FIELDS(sent_answer)),
    MU_REST(GET, "/api/device-groups/:id/control/:batchId", USER, get_batch,
            .summary = "What became of a command to a group, for 30 days", .owner = "group",
            .answer = MU_REST_FIELDS(batch_answer)),
};

const struct rest_part rest_group_control_part = REST_PART(routes);
