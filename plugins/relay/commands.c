/* SPDX-License-Identifier: ISC */
/* Commands to devices: stored, sent, and followed until the device's ack or the time-out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum {
  COMMANDS_MAX = 10000, /* followed at a time */
  PARAMS_MAX = 60000,   /* bytes: the column takes 65535 */
  COMMAND_MAX = 100,    /* characters */
  ANSWER_MAX = 1000,    /* characters of an ack's message */
  TICK_MS = 200,
  TRIES = 3,
  RETRY_S = 2, /* when the database did not take an outcome */
};

enum state {
  STORING,
  WAITING, /* for the ack */
  ENDED,   /* with an outcome that is not stored yet */
};

struct command {
  struct task task;
  struct command *newer, *older; /* WAITING and ENDED: in the order in which they were sent */
  struct device *device;         /* held */
  enum state state;
  bool writing; /* the outcome */
  char uuid[RELAY_UUID_SIZE];
  char id[9];
  char *name, *params;
  int64_t sent_ms, ended_ms;
  int64_t due_ns; /* WAITING: the time-out; ENDED: the next try */
  const char *status;
  char *answer;
  unsigned tries;
  relay_commanded done;
  void *context;
};

struct commands {
  mu_map *by_id; /* WAITING */
  struct command *newest, *oldest;
  size_t count;
  mu_timer *tick;
  mu_counter *strange, *timeouts;
};

static const struct mu_sql insert_sql = {
    .text =
        "INSERT INTO control_commands (id, endpoint_id, device_id, command_id, command_type, command_params, status, "
        "sent_at, timeout_at) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?)"};
static const struct mu_sql outcome_sql = {
    .text =
        "UPDATE control_commands SET status = ?, ack_at = ?, error_message = ? WHERE id = ? AND status = 'pending'"};
static const struct mu_sql left_sql = {.text =
                                           "UPDATE control_commands SET status = 'timeout' WHERE status = 'pending'"};

static void release_command(struct task *task)
{
  struct command *command = (struct command *)task;
  free(command->name);
  free(command->params);
  free(command->answer);
}

static void free_command(struct command *command)
{
  struct commands *commands = command->task.relay->commands;
  commands->count--;
  device_release(command->device);
  task_free(command);
}

/* ---- the list ------------------------------------------------------------------------------------ */

static void tick(void *context);

static void follow(struct command *command)
{
  struct commands *commands = command->task.relay->commands;
  command->older = commands->newest;
  if (command->older)
    command->older->newer = command;
  else
    commands->oldest = command;
  commands->newest = command;
  if (!mu_timer_active(commands->tick))
    mu_timer_start(commands->tick, TICK_MS, TICK_MS);
}

static void unfollow(struct command *command)
{
  struct commands *commands = command->task.relay->commands;
  if (command->newer)
    command->newer->older = command->older;
  else
    commands->newest = command->older;
  if (command->older)
    command->older->newer = command->newer;
  else
    commands->oldest = command->newer;
  command->newer = command->older = NULL;
}

/* ---- outcomes ------------------------------------------------------------------------------------ */

static void stored_outcome(void *context, const struct mu_result *result)
{
  struct command *command = context;
  struct relay *relay = command->task.relay;
  command->writing = false;
  pending_write(command->device->endpoint, -1);
  bool again = result->error == MU_EUNAVAILABLE || result->error == MU_ETIMEOUT || result->error == MU_EIO ||
               result->error == MU_ELIMIT;
  if (again) {
    command->due_ns = mu_mono_ns() + RETRY_S * 1000000000LL;
    return;
  }
  if (result->error != 0)
    mu_log_limited(relay->in, MU_LOG_WARN, "outcome", "a command's outcome could not be stored: %s: %s",
                   mu_strerror(result->error), result->reason);
  unfollow(command);
  free_command(command);
}

static void store_outcome(struct command *command)
{
  struct relay *relay = command->task.relay;
  bool acked = strcmp(command->status, "timeout") != 0;
  const struct mu_value values[] = {mu_value_text(command->status),
                                    acked ? mu_value_time(command->ended_ms) : mu_value_null(),
                                    mu_value_text(command->answer), mu_value_text(command->uuid)};
  command->due_ns = INT64_MAX;
  int result = relay_write(relay, outcome_sql, values, MU_COUNT(values), MU_ANY_ROWS, stored_outcome, command);
  if (result != 0) {
    command->due_ns = mu_mono_ns() + RETRY_S * 1000000000LL;
    return;
  }
  command->writing = true;
  pending_write(command->device->endpoint, 1);
}

/* Takes `answer`. */
static void end_command(struct command *command, const char *status, char *answer)
{
  mu_map_del(command->task.relay->commands->by_id, mu_str(command->id));
  command->state = ENDED;
  command->status = status;
  command->answer = answer;
  command->ended_ms = mu_now_ms();
  store_outcome(command);
}

static void tick(void *context)
{
  struct relay *relay = context;
  struct commands *commands = relay->commands;
  int64_t now = mu_mono_ns();
  struct command *newer;
  for (struct command *command = commands->oldest; command; command = newer) {
    newer = command->newer;
    if (command->writing || command->due_ns > now)
      continue;
    if (command->state == WAITING) {
      mu_count(commands->timeouts, 1);
      end_command(command, "timeout", NULL);
    } else {
      store_outcome(command);
    }
  }
  if (!commands->oldest)
    mu_timer_stop(commands->tick);
}

/* ---- acks ---------------------------------------------------------------------------------------- */

static struct command *asked_of(const struct relay *relay, const struct device *device, const struct wire_value *id)
{
  if (!device)
    return NULL;
  if (id->kind == WIRE_NONE || id->kind == WIRE_NULL) {
    for (struct command *command = relay->commands->newest; command; command = command->older)
      if (command->state == WAITING && command->device == device)
        return command;
    return NULL;
  }
  if (id->kind != WIRE_STRING)
    return NULL;
  struct mu_buf text = MU_BUF_INIT;
  wire_unescape(id->text, &text);
  struct command *command = mu_map_get(relay->commands->by_id, (struct mu_str){text.at, text.len});
  mu_buf_free(&text);
  return command && command->device == device ? command : NULL;
}

void commands_ack(struct channel *channel, const struct wire *wire, bool success)
{
  struct relay *relay = channel->relay;
  struct command *command = asked_of(relay, channel->device, &wire->member[WIRE_COMMAND_ID]);
  if (!command) {
    mu_count(relay->commands->strange, 1);
    mu_log_limited(relay->in, MU_LOG_INFO, "strange ack", "an ack for nothing that this device was asked: endpoint=%s",
                   channel->endpoint->uuid);
    return;
  }
  char *answer = NULL;
  if (wire->member[WIRE_MESSAGE].kind == WIRE_STRING) {
    struct mu_buf text = MU_BUF_INIT;
    wire_unescape(wire->member[WIRE_MESSAGE].text, &text);
    struct mu_str cut = wire_cut((struct mu_str){text.at, text.len}, ANSWER_MAX);
    if (!text.failed && wire_is_utf8(cut))
      answer = strndup(cut.len ? cut.at : "", cut.len);
    mu_buf_free(&text);
  }
  end_command(command, success ? "success" : "failed", answer);
}

/* ---- orders -------------------------------------------------------------------------------------- */

static bool send_command(struct command *command)
{
  struct device *device = command->device;
  mu_conn *conn = device->newest ? channel_conn(device->newest) : NULL;
  if (!conn)
    return false;
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"type\":\"control\",\"commandId\":\"%s\",\"deviceId\":", command->id);
  mu_buf_json_string(&out, mu_str(device->name_id));
  mu_buf_adds(&out, ",\"command\":");
  mu_buf_json_string(&out, mu_str(command->name));
  mu_buf_printf(&out, ",\"params\":%s,\"timestamp\":%lld}", command->params, (long long)mu_now_ms());
  mu_text *text = mu_buf_take_text(&out);
  bool sent = text && mu_conn_send(conn, text) == 0;
  mu_text_unref(text);
  mu_buf_free(&out);
  return sent;
}

static int store_command(struct command *command);

static void stored(void *context, const struct mu_result *result)
{
  struct command *command = context;
  struct commands *commands = command->task.relay->commands;
  int error = result->error;
  if (error == MU_EEXIST && command->tries < TRIES && store_command(command) == 0) /* somebody else's number */
    return;
  if (error == 0)
    error = mu_map_add(commands->by_id, mu_str(command->id), command);
  if (error != 0) {
    mu_log_limited(command->task.relay->in, MU_LOG_WARN, "command", "a command could not be stored: %s: %s",
                   mu_strerror(error), result->reason);
    command->done(command->context, error, "", 0, 0);
    free_command(command);
    return;
  }
  bool sent = send_command(command);
  command->state = WAITING;
  command->due_ns = mu_mono_ns() + RELAY_COMMAND_MS * 1000000LL;
  follow(command);
  command->done(command->context, sent ? 0 : MU_ECLOSED, command->id, command->sent_ms,
                command->sent_ms + RELAY_COMMAND_MS);
  if (!sent)
    end_command(command, "failed", strdup("the device went offline"));
}

static int store_command(struct command *command)
{
  struct relay *relay = command->task.relay;
  command->tries++;
  int result = relay_uuid(command->uuid);
  if (result == 0)
    result = relay_random_id(command->id, sizeof command->id - 1);
  if (result != 0)
    return result;
  command->sent_ms = mu_now_ms();
  const struct mu_value values[] = {
      mu_value_text(command->uuid),         mu_value_text(command->device->endpoint->uuid),
      mu_value_text(command->device->uuid), mu_value_text(command->id),
      mu_value_text(command->name),         mu_value_text(command->params),
      mu_value_time(command->sent_ms),      mu_value_time(command->sent_ms + RELAY_COMMAND_MS)};
  return relay_write(relay, insert_sql, values, MU_COUNT(values), 1, stored, command);
}

/* The object with params.batchId as its last member. */
static char *with_batch(struct mu_str params, const char *batch_id)
{
  while (params.len && strchr(" \t\r\n", params.at[params.len - 1]))
    params.len--;
  while (params.len && strchr(" \t\r\n", params.at[0]))
    params.at++, params.len--;
  if (params.len == 0)
    params = MU_STR("{}");
  if (!batch_id)
    return strndup(params.at, params.len);
  struct mu_str name;
  struct wire_value value;
  size_t at = 0;
  bool empty = !wire_next(params, &at, &name, &value);
  char *text;
  int len = asprintf(&text, "%.*s%s\"batchId\":\"%s\"}", (int)params.len - 1, params.at, empty ? "" : ",", batch_id);
  return len < 0 ? NULL : text;
}

int relay_command(struct relay *relay, const struct relay_order *order, relay_commanded done, void *context)
{
  struct device *device = mu_map_get(relay->online, mu_str(order->device_uuid));
  if (!device || strcmp(device->endpoint->uuid, order->endpoint_uuid) != 0)
    return MU_ENOENT;
  size_t characters = wire_characters(mu_str(order->command));
  if (characters == 0 || characters > COMMAND_MAX || order->params.len > PARAMS_MAX)
    return MU_EINVAL;
  if (relay->commands->count >= COMMANDS_MAX)
    return MU_ELIMIT;
  struct command *command = task_new(relay, sizeof *command, release_command);
  if (!command)
    return MU_ENOMEM;
  command->device = device;
  device_hold(device);
  relay->commands->count++;
  command->done = done;
  command->context = context;
  command->name = strdup(order->command);
  command->params = with_batch(order->params, order->batch_id);
  int result = command->name && command->params ? store_command(command) : MU_ENOMEM;
  if (result != 0)
    free_command(command);
  return result;
}

/* ---- life ---------------------------------------------------------------------------------------- */

int commands_init(struct relay *relay)
{
  struct commands *commands = calloc(1, sizeof *commands);
  relay->commands = commands;
  if (!commands)
    return MU_ENOMEM;
  commands->by_id = mu_map_new();
  commands->tick = mu_timer_new(relay->in, tick, relay);
  commands->strange = mu_counter_get(relay->in, "strange_acks");
  commands->timeouts = mu_counter_get(relay->in, "commands_timed_out");
  return commands->by_id && commands->tick ? 0 : MU_ENOMEM;
}

/* Commands of the run before: nobody waits for them any more. */
int commands_start(struct relay *relay)
{
  return relay_write(relay, left_sql, NULL, 0, MU_ANY_ROWS, NULL, NULL);
}

void commands_fini(struct relay *relay)
{
  if (relay->commands)
    mu_map_free(relay->commands->by_id);
  free(relay->commands);
}
