/* SPDX-License-Identifier: ISC */
/* Connections that say which device they are. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum {
  AT_ONCE = 64,
  IDENTIFYING_MAX = 8, /* per connection */
  TRIES = 3,
};

#define ROWS_8 "?,?,?,?,?,?,?,?,"
#define ROWS_64 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 "?,?,?,?,?,?,?,?"
#define INSERT                                                                                                         \
  "INSERT INTO devices (id, endpoint_id, device_id, custom_name, last_connected_at, created_at) SELECT ?, ?, ?, ?, "   \
  "?, ? "
#define ROOM "WHERE (SELECT COUNT(*) FROM devices d WHERE d.endpoint_id = ?) < ?"

static const struct mu_sql find_sql = {
    .text = "SELECT id, device_id, custom_name FROM devices WHERE endpoint_id = ? AND device_id = ?"};
static const struct mu_sql touch_sql = {.text = "UPDATE devices SET last_connected_at = ? WHERE id = ?"};
static const struct mu_sql rename_sql = {.text =
                                             "UPDATE devices SET last_connected_at = ?, custom_name = ? WHERE id = ?"};
static const struct mu_sql insert_sql = {.sqlite = INSERT ROOM, .mariadb = INSERT "FROM DUAL " ROOM};
static const struct mu_sql names_sql = {.text = "SELECT id, custom_name FROM devices WHERE id IN (" ROWS_64 ")"};

/* An `identify` on its way. */
struct identify {
  struct task task;
  mu_conn_id conn;
  struct device *device; /* held */
  char *wanted;          /* the name; NULL: as it is */
  char uuid[RELAY_UUID_SIZE];
  unsigned tries;
};

/* ---- memory -------------------------------------------------------------------------------------- */

static void free_device(struct device *device)
{
  mu_text_unref(device->name);
  free(device->name_id);
  free(device);
}

void device_hold(struct device *device)
{
  device->refs++;
}

static void unlist(struct device *device)
{
  if (device->listed)
    mu_map_del(device->endpoint->relay->online, mu_str(device->uuid));
  device->listed = false;
}

void device_release(struct device *device)
{
  if (--device->refs > 0)
    return;
  unlist(device);
  mu_map *devices = device->endpoint->devices;
  if (mu_map_get(devices, mu_str(device->name_id)) == device)
    mu_map_del(devices, mu_str(device->name_id));
  free_device(device);
}

/* The instance ends: nobody holds them any more. */
void devices_fini(struct endpoint *endpoint)
{
  struct mu_str key;
  size_t position = 0;
  for (struct device *device; endpoint->devices && (device = mu_map_next(endpoint->devices, &position, &key));)
    free_device(device);
  mu_map_free(endpoint->devices);
  endpoint->devices = NULL;
}

static mu_text *default_name(struct mu_str name_id)
{
  struct mu_str first = wire_cut(name_id, 4);
  return mu_text_printf("设备-%.*s", (int)first.len, first.at);
}

/* One that is in memory, or a new one without a uuid; held. */
static struct device *get_device(struct endpoint *endpoint, struct mu_str name_id)
{
  struct device *device = mu_map_get(endpoint->devices, name_id);
  if (device) {
    device_hold(device);
    return device;
  }
  device = calloc(1, sizeof *device);
  if (!device)
    return NULL;
  device->endpoint = endpoint;
  device->refs = 1;
  device->name_id = strndup(name_id.at, name_id.len);
  device->name = default_name(name_id);
  if (!device->name_id || !device->name || mu_map_add(endpoint->devices, name_id, device) != 0) {
    free_device(device);
    return NULL;
  }
  return device;
}

bool relay_device_online(const struct relay *relay, const char *device_uuid)
{
  return mu_map_get(relay->online, mu_str(device_uuid)) != NULL;
}

/* ---- connections --------------------------------------------------------------------------------- */

static void set_sender(struct channel *channel, mu_text *sender)
{
  if (!sender)
    return;
  mu_text_unref(channel->sender);
  channel->sender = sender;
}

static void list(struct device *device)
{
  if (!device->listed && device->uuid[0] && device->connections)
    device->listed = mu_map_add(device->endpoint->relay->online, mu_str(device->uuid), device) == 0;
}

/* Takes the caller's hold of the device. */
static void join(struct channel *channel, struct device *device)
{
  channel->device = device;
  channel->device_next = device->newest;
  channel->device_at = &device->newest;
  if (channel->device_next)
    channel->device_next->device_at = &channel->device_next;
  device->newest = channel;
  device->connections++;
  set_sender(channel, mu_text_ref(device->name));
  list(device);
}

void devices_leave(struct channel *channel)
{
  struct device *device = channel->device;
  if (!device)
    return;
  *channel->device_at = channel->device_next;
  if (channel->device_next)
    channel->device_next->device_at = channel->device_at;
  channel->device = NULL;
  if (--device->connections == 0)
    unlist(device);
  device_release(device);
}

static void set_name(struct device *device, mu_text *name)
{
  if (!name)
    return;
  mu_text_unref(device->name);
  device->name = name;
  for (struct channel *channel = device->newest; channel; channel = channel->device_next)
    set_sender(channel, mu_text_ref(name));
}

void device_renamed(struct relay *relay, const char *device_uuid, const char *name)
{
  relay->epoch++;
  struct device *device = mu_map_get(relay->online, mu_str(device_uuid));
  if (device)
    set_name(device, mu_text_new(name, strlen(name)));
}

/* ---- identify: look, then make or touch the row, then answer ---------------------------------------- */

static void release_identify(struct task *task)
{
  free(((struct identify *)task)->wanted);
}

static void end_identify(struct identify *identify)
{
  struct relay *relay = identify->task.relay;
  mu_conn *conn = mu_conn_find(relay->in, identify->conn);
  struct channel *channel = conn ? mu_conn_data(conn) : NULL;
  if (channel && channel->identifying)
    channel->identifying--;
  identify->device->asking--;
  device_release(identify->device);
  task_free(identify);
}

/* It did not work: the connection is no device. */
static void fail(struct identify *identify, const char *en, const char *zh)
{
  mu_conn *conn = mu_conn_find(identify->task.relay->in, identify->conn);
  struct channel *channel = conn ? mu_conn_data(conn) : NULL;
  if (channel && !channel->left) {
    if (channel->device == identify->device) {
      devices_leave(channel);
      set_sender(channel, channel_own_name(channel));
    }
    channel_tell(channel, conn, "error", en, zh);
  }
  end_identify(identify);
}

static void fail_by(struct identify *identify, const struct mu_result *result)
{
  if (result->error == MU_ENOENT) { /* the endpoint was deleted by somebody else: read again, it closes */
    endpoint_refresh(identify->task.relay, identify->device->endpoint->uuid, NULL, NULL);
    end_identify(identify);
    return;
  }
  mu_log_limited(identify->task.relay->in, MU_LOG_WARN, "identify", "a device could not be stored: %s: %s",
                 mu_strerror(result->error), result->reason);
  fail(identify, "The device could not be stored; try again.", "设备无法保存,请重试。");
}

static void answer(struct identify *identify)
{
  struct device *device = identify->device;
  if (identify->wanted) {
    device->endpoint->relay->epoch++; /* a poll on its way has the old name */
    set_name(device, mu_text_new(identify->wanted, strlen(identify->wanted)));
  }
  mu_conn *conn = mu_conn_find(identify->task.relay->in, identify->conn);
  struct channel *channel = conn ? mu_conn_data(conn) : NULL;
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"type\":\"identified\",\"deviceId\":");
  mu_buf_json_string(&out, mu_str(device->name_id));
  mu_buf_adds(&out, ",\"customName\":");
  mu_buf_json_string(&out, mu_text_str(device->name));
  mu_buf_adds(&out, "}");
  mu_text *text = mu_buf_take_text(&out);
  if (channel && !channel->left && text)
    mu_conn_send(conn, text);
  mu_text_unref(text);
  mu_buf_free(&out);
  end_identify(identify);
}

/* Its row; another program may have put a new one in the old one's place. */
static void set_uuid(struct device *device, struct mu_str uuid)
{
  if (uuid.len == 0 || uuid.len >= sizeof device->uuid || mu_str_equal(uuid, mu_str(device->uuid)))
    return;
  unlist(device); /* by the old one */
  memcpy(device->uuid, uuid.at, uuid.len);
  device->uuid[uuid.len] = '\0';
}

static void know(struct device *device, struct mu_str uuid)
{
  set_uuid(device, uuid);
  list(device);
  data_settled(device);
}

/* The database says which row it is, and how that writes its device_id: MariaDB's collation takes more than one spelling for one. */
static void settle(struct identify *identify, struct mu_str uuid, struct mu_str name_id)
{
  struct device *device = identify->device;
  bool same = mu_str_equal(name_id, mu_str(device->name_id));
  struct device *row = same ? NULL : get_device(device->endpoint, name_id);
  if (!row) {
    know(device, uuid);
    return;
  }
  set_uuid(device, uuid); /* what it sent until now is that row's */
  while (device->newest) {
    struct channel *channel = device->newest;
    devices_leave(channel);
    device_hold(row);
    join(channel, row);
  }
  data_settled(device);
  device->asking--;
  row->asking++;
  device_release(device);
  identify->device = row;
  know(row, uuid);
}

static void look(struct identify *identify);

static void inserted(void *context, const struct mu_result *result)
{
  struct identify *identify = context;
  struct device *device = identify->device;
  if (result->error == MU_EEXIST && identify->tries < TRIES) { /* somebody else was first */
    look(identify);
  } else if (result->error == MU_EEXIST) { /* the released table's device_id is unique by itself */
    fail(identify, "This deviceId is in use on another endpoint.", "该 deviceId 已被其他端点使用。");
  } else if (result->error == MU_EREFUSED) {
    fail(identify, "The endpoint has too many devices.", "端点的设备数量已达上限。");
  } else if (result->error != 0) {
    fail_by(identify, result);
  } else {
    know(device, mu_str(identify->uuid));
    answer(identify);
  }
}

static void insert(struct identify *identify)
{
  struct relay *relay = identify->task.relay;
  struct device *device = identify->device;
  struct mu_value now = mu_value_time(mu_now_ms()), endpoint = mu_value_text(device->endpoint->uuid);
  int result = relay_uuid(identify->uuid);
  const struct mu_value values[] = {mu_value_text(identify->uuid),
                                    endpoint,
                                    mu_value_text(device->name_id),
                                    identify->wanted ? mu_value_text(identify->wanted)
                                                     : mu_value_str(mu_text_str(device->name)),
                                    now,
                                    now,
                                    endpoint,
                                    mu_value_int(relay->config->max_devices)};
  if (result == 0)
    result = relay_write(relay, insert_sql, values, MU_COUNT(values), 1, inserted, identify);
  if (result != 0)
    fail_by(identify, &(struct mu_result){.error = result, .reason = ""});
}

static void touched(void *context, const struct mu_result *result)
{
  struct identify *identify = context;
  if (result->error == 0)
    answer(identify);
  else if (result->error == MU_EREFUSED && identify->tries < TRIES) /* the row was deleted */
    look(identify);
  else
    fail_by(identify, result);
}

static void touch(struct identify *identify)
{
  struct relay *relay = identify->task.relay;
  const struct device *device = identify->device;
  const struct mu_value now = mu_value_time(mu_now_ms()), uuid = mu_value_text(device->uuid);
  const struct mu_value touched_values[] = {now, uuid}, renamed_values[] = {now, mu_value_text(identify->wanted), uuid};
  int result = identify->wanted ? relay_write(relay, rename_sql, renamed_values, 3, 1, touched, identify)
                                : relay_write(relay, touch_sql, touched_values, 2, 1, touched, identify);
  if (result != 0)
    fail_by(identify, &(struct mu_result){.error = result, .reason = ""});
}

static void looked(void *context, const struct mu_result *result)
{
  struct identify *identify = context;
  if (result->error != 0) {
    fail_by(identify, result);
    return;
  }
  if (result->rows == 0) {
    unlist(identify->device); /* somebody deleted its row */
    identify->device->uuid[0] = '\0';
    insert(identify);
    return;
  }
  settle(identify, mu_result_at(result, 0, 0)->text, mu_result_at(result, 0, 1)->text);
  struct mu_str name = mu_result_at(result, 0, 2)->text;
  set_name(identify->device, mu_text_new(name.len ? name.at : "", name.len));
  touch(identify);
}

static void look(struct identify *identify)
{
  struct relay *relay = identify->task.relay;
  const struct device *device = identify->device;
  const struct mu_value values[] = {mu_value_text(device->endpoint->uuid), mu_value_text(device->name_id)};
  identify->tries++;
  int result = relay_read(relay, find_sql, values, MU_COUNT(values), looked, identify);
  if (result != 0)
    fail_by(identify, &(struct mu_result){.error = result, .reason = ""});
}

/* The text of a member, cut; NULL: memory is out. Empty where it is no string. */
static char *member_text(const struct wire_value *value, size_t max)
{
  if (value->kind != WIRE_STRING)
    return strdup("");
  struct mu_buf text = MU_BUF_INIT;
  wire_unescape(value->text, &text);
  struct mu_str cut = wire_cut((struct mu_str){text.at, text.len}, max);
  char *copy = text.failed ? NULL : strndup(cut.len ? cut.at : "", cut.len);
  mu_buf_free(&text);
  return copy;
}

void devices_identify(struct channel *channel, mu_conn *conn, const struct wire *wire)
{
  struct relay *relay = channel->relay;
  MU_AUTO_FREE char *name_id = member_text(&wire->member[WIRE_DEVICE_ID], RELAY_DEVICE_ID_MAX + 1);
  MU_AUTO_FREE char *wanted = member_text(&wire->member[WIRE_DEVICE_NAME], RELAY_NAME_MAX);
  size_t characters = name_id ? wire_characters(mu_str(name_id)) : 0;
  if (characters == 0 || characters > RELAY_DEVICE_ID_MAX || !wire_is_utf8(mu_str(name_id))) {
    channel_tell(channel, conn, "error", "deviceId must have 1 to 64 characters.", "deviceId 长度必须为 1-64 个字符。");
    return;
  }
  if (channel->identifying >= IDENTIFYING_MAX) {
    channel_tell(channel, conn, "error", "Too many identify messages at once.", "identify 消息过多。");
    return;
  }
  struct device *device = get_device(channel->endpoint, mu_str(name_id));
  struct identify *identify = device ? task_new(relay, sizeof *identify, release_identify) : NULL;
  if (!identify) {
    if (device)
      device_release(device);
    channel_tell(channel, conn, "error", "The device could not be stored; try again.", "设备无法保存,请重试。");
    return;
  }
  identify->conn = channel->conn;
  identify->device = device;
  if (wanted && wanted[0] && wire_is_utf8(mu_str(wanted))) {
    identify->wanted = wanted;
    wanted = NULL;
  }
  channel->identifying++;
  device->asking++;
  bool fresh = device->listed; /* of one that is away nobody sees to it that the name is the row's */
  /* It counts as the device from here on: what it sends next is the device's, whatever the database takes. */
  device_hold(device);
  devices_leave(channel);
  join(channel, device);
  fresh ? touch(identify) : look(identify);
}

/* ---- other programs ------------------------------------------------------------------------------ */

struct naming {
  struct task task;
  char uuids[AT_ONCE][192];
  size_t count;
  uint64_t epoch;
};

/* Its row is gone: its connections go on as nobody's. */
static void forget(struct device *device)
{
  device_hold(device);
  while (device->newest) {
    struct channel *channel = device->newest;
    devices_leave(channel);
    set_sender(channel, channel_own_name(channel));
  }
  mu_map *devices = device->endpoint->devices;
  if (mu_map_get(devices, mu_str(device->name_id)) == device && device->refs > 1) {
    /* something waits to be written; the next identify must not find it */
    device->uuid[0] = '\0';
  }
  device_release(device);
}

static void named(void *context, const struct mu_result *result)
{
  struct naming *naming = context;
  struct relay *relay = naming->task.relay;
  for (size_t i = 0; result->error == 0 && naming->epoch == relay->epoch && i < naming->count; i++) {
    struct device *device = mu_map_get(relay->online, mu_str(naming->uuids[i]));
    const struct mu_value *name = NULL;
    for (size_t row = 0; row < result->rows && !name; row++)
      if (mu_str_equal(mu_result_at(result, row, 0)->text, mu_str(naming->uuids[i])))
        name = mu_result_at(result, row, 1);
    if (device && device->asking)
      continue; /* an identify on its way makes the row anew */
    if (device && !name)
      forget(device);
    else if (device && !mu_str_equal(name->text, mu_text_str(device->name)))
      set_name(device, mu_text_new(name->text.len ? name->text.at : "", name->text.len));
  }
  task_free(naming);
}

static void ask_names(struct naming *naming)
{
  struct relay *relay = naming->task.relay;
  struct mu_value values[AT_ONCE];
  for (size_t i = 0; i < AT_ONCE; i++)
    values[i] = mu_value_text(naming->uuids[i < naming->count ? i : 0]);
  naming->epoch = relay->epoch;
  if (relay_read(relay, names_sql, values, AT_ONCE, named, naming) != 0)
    task_free(naming);
}

void devices_poll(struct relay *relay)
{
  struct naming *naming = NULL;
  struct mu_str uuid;
  size_t position = 0;
  while (mu_map_next(relay->online, &position, &uuid)) {
    if (!naming && !(naming = task_new(relay, sizeof *naming, NULL)))
      return;
    memcpy(naming->uuids[naming->count++], uuid.at, uuid.len);
    if (naming->count == AT_ONCE) {
      ask_names(naming);
      naming = NULL;
    }
  }
  if (naming)
    ask_names(naming);
}
