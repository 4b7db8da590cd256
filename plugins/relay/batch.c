/* SPDX-License-Identifier: ISC */
/* One transaction per endpoint: its newest messages, its devices' data, its figures. */
#include <stdlib.h>
#include <string.h>

#include "pending.h"

enum {
  RETRY_MS = 1000,
  STATEMENTS_MAX = 64,
  MESSAGE_COLUMNS = 5,
  DATUM_COLUMNS = 7,
  FIGURES = 6 + 2 + 2, /* values of statistics, last activity, and taking out old messages */
};

#define TEN(row) row "," row "," row "," row "," row "," row "," row "," row "," row "," row
#define FIFTY(row) TEN(row) "," TEN(row) "," TEN(row) "," TEN(row) "," TEN(row)
#define LITE " ON CONFLICT (id) DO NOTHING"
#define MARIADB " ON DUPLICATE KEY UPDATE id = id"
#define MESSAGES "INSERT INTO messages (id, endpoint_id, content, sender_info, created_at) VALUES "
#define MESSAGE "(?,?,?,?,?)"
#define DATA "INSERT INTO device_data (id, device_id, data_key, data_value, data_type, unit, timestamp) VALUES "
#define DATUM "(?,?,?,?,?,?,?)"
#define INSERT(head, rows)                                                                                             \
  {                                                                                                                    \
    .sqlite = head rows LITE, .mariadb = head rows MARIADB                                                             \
  }

/* Largest first. A batch that is sent twice changes nothing the second time. */
static const struct {
  size_t rows;
  struct mu_sql messages, data;
} inserts[] = {
    {50, INSERT(MESSAGES, FIFTY(MESSAGE)), INSERT(DATA, FIFTY(DATUM))},
    {10, INSERT(MESSAGES, TEN(MESSAGE)), INSERT(DATA, TEN(DATUM))},
    {1, INSERT(MESSAGES, MESSAGE), INSERT(DATA, DATUM)},
};

/* Through a table of its own: MariaDB does not delete from what it selects from. */
static const struct mu_sql prune_sql = {
    .text =
        "DELETE FROM messages WHERE endpoint_id = ? AND created_at < (SELECT t.created_at FROM (SELECT created_at FROM "
        "messages WHERE endpoint_id = ? ORDER BY created_at DESC LIMIT 1 OFFSET 49) t)"};

#define FIGURES_HEAD                                                                                                   \
  "INTO endpoint_stats (id, endpoint_id, current_connections, total_connections, total_messages, updated_at) "         \
  "VALUES (?, ?, ?, ?, ?, ?) "
/* IGNORE: the released table's figures end at 2 147 483 647, and stay there. */
static const struct mu_sql figures_sql = {
    .sqlite = "INSERT " FIGURES_HEAD
              "ON CONFLICT (endpoint_id) DO UPDATE SET current_connections = excluded.current_connections, "
              "total_connections = total_connections + excluded.total_connections, "
              "total_messages = total_messages + excluded.total_messages, updated_at = excluded.updated_at",
    .mariadb =
        "INSERT IGNORE " FIGURES_HEAD "ON DUPLICATE KEY UPDATE current_connections = VALUES(current_connections), "
        "total_connections = total_connections + VALUES(total_connections), "
        "total_messages = total_messages + VALUES(total_messages), updated_at = VALUES(updated_at)"};
static const struct mu_sql active_sql = {.text = "UPDATE endpoints SET last_active_at = ? WHERE id = ?"};
static const struct mu_sql there_sql = {.text = "SELECT id FROM devices WHERE endpoint_id = ?"};
static const struct mu_sql known_sql = {.text = "SELECT updated_at FROM endpoint_stats WHERE endpoint_id = ?"};

struct batch {
  struct task task;
  struct pending *pending;
  bool flying;  /* with the store */
  bool unknown; /* nobody knows whether it was committed */
  bool sifted;  /* values of devices that are not there any more have gone */
  int64_t retry_ns;
  struct kept messages[RELAY_KEPT];
  size_t message_count;
  struct datum *data;
  size_t data_count;
  int64_t connections, total_messages, active_ms, stats_ms;
  char figures_id[RELAY_UUID_SIZE];
  char (*ids)[RELAY_UUID_SIZE]; /* of the messages, then of the data */
};

/* ---- memory -------------------------------------------------------------------------------------- */

static void drop_data(struct batch *batch, bool release)
{
  struct writing *writing = batch->task.relay->writing;
  while (batch->data) {
    struct datum *datum = batch->data;
    batch->data = datum->next;
    datum_free(writing, datum, release);
  }
  batch->data_count = 0;
}

static void drop_messages(struct batch *batch)
{
  for (size_t i = 0; i < batch->message_count; i++)
    kept_free(batch->task.relay->writing, &batch->messages[i]);
  batch->message_count = 0;
}

static void release_batch(struct task *task)
{
  free(((struct batch *)task)->ids);
}

static void free_batch(struct batch *batch, bool release)
{
  drop_data(batch, release);
  drop_messages(batch);
  batch->pending->batch = NULL;
  task_free(batch);
}

void batch_forget(struct pending *pending)
{
  free_batch(pending->batch, false);
}

/* ---- the statements ------------------------------------------------------------------------------ */

struct writer {
  struct mu_statement statements[STATEMENTS_MAX];
  size_t count;
  struct mu_value *values;
  size_t used;
};

static struct mu_value *add(struct writer *writer, struct mu_sql sql, size_t count)
{
  struct mu_value *values = writer->values + writer->used;
  writer->statements[writer->count++] =
      (struct mu_statement){.sql = sql, .values = values, .count = count, .expect = MU_ANY_ROWS};
  writer->used += count;
  return values;
}

/* created_at tells the order: no two are equal, though many come in a millisecond. */
static void order_times(struct batch *batch)
{
  struct kept *kept = batch->messages;
  for (size_t i = batch->message_count; i-- > 1;)
    if (kept[i - 1].ms >= kept[i].ms)
      kept[i - 1].ms = kept[i].ms - 1;
  int64_t last = batch->pending->newest_ms;
  for (size_t i = 0; i < batch->message_count; i++) {
    if (kept[i].ms <= last)
      kept[i].ms = last + 1;
    last = kept[i].ms;
  }
  if (batch->message_count)
    batch->pending->newest_ms = last;
}

static void add_messages(struct writer *writer, const struct batch *batch, const struct mu_value *endpoint)
{
  size_t i = 0;
  for (size_t size = 0; size < MU_COUNT(inserts); size++)
    while (batch->message_count - i >= inserts[size].rows) {
      struct mu_value *v = add(writer, inserts[size].messages, inserts[size].rows * MESSAGE_COLUMNS);
      for (size_t row = 0; row < inserts[size].rows; row++, i++, v += MESSAGE_COLUMNS) {
        v[0] = mu_value_text(batch->ids[i]);
        v[1] = *endpoint;
        v[2] = mu_value_str(mu_text_str(batch->messages[i].text));
        v[3] = mu_value_str(mu_text_str(batch->messages[i].sender));
        v[4] = mu_value_time(batch->messages[i].ms);
      }
    }
  if (i == 0)
    return;
  struct mu_value *v = add(writer, prune_sql, 2);
  v[0] = v[1] = *endpoint;
}

static void add_data(struct writer *writer, const struct batch *batch)
{
  const struct datum *datum = batch->data;
  size_t left = batch->data_count;
  char(*id)[RELAY_UUID_SIZE] = batch->ids + batch->message_count;
  for (size_t size = 0; size < MU_COUNT(inserts); size++)
    for (; left >= inserts[size].rows; left -= inserts[size].rows) {
      struct mu_value *v = add(writer, inserts[size].data, inserts[size].rows * DATUM_COLUMNS);
      for (size_t row = 0; row < inserts[size].rows; row++, datum = datum->next, v += DATUM_COLUMNS) {
        v[0] = mu_value_text(*id++);
        v[1] = mu_value_text(datum->device->uuid);
        v[2] = mu_value_str((struct mu_str){datum->bytes, datum->key_len});
        v[3] = mu_value_str((struct mu_str){datum->bytes + datum->key_len, datum->text_len});
        v[4] = mu_value_text(datum->type);
        v[5] = mu_value_text(datum->unit);
        v[6] = mu_value_time(datum->ms);
      }
    }
}

static void add_figures(struct writer *writer, const struct batch *batch, const struct mu_value *endpoint)
{
  const struct endpoint *of = batch->pending->endpoint;
  size_t connected = of->relay->stopping ? 0 : of->connections;
  struct mu_value *v = add(writer, figures_sql, 6);
  v[0] = mu_value_text(batch->figures_id);
  v[1] = *endpoint;
  v[2] = mu_value_int((int64_t)connected);
  v[3] = mu_value_int(batch->connections);
  v[4] = mu_value_int(batch->total_messages);
  v[5] = mu_value_time(batch->stats_ms);
  if (batch->active_ms) {
    v = add(writer, active_sql, 2);
    v[0] = mu_value_time(batch->active_ms);
    v[1] = *endpoint;
  }
}

static void done(void *context, const struct mu_result *result);

static int send(struct batch *batch)
{
  struct relay *relay = batch->task.relay;
  struct mu_value endpoint = mu_value_text(batch->pending->endpoint->uuid);
  struct writer writer = {0};
  writer.values = calloc(batch->message_count * MESSAGE_COLUMNS + batch->data_count * DATUM_COLUMNS + FIGURES,
                         sizeof *writer.values);
  int result = writer.values ? 0 : MU_ENOMEM;
  if (result == 0) {
    add_messages(&writer, batch, &endpoint);
    add_data(&writer, batch);
    add_figures(&writer, batch, &endpoint);
    result = relay->store->write(relay->store_self, relay->in, writer.statements, writer.count, done, batch);
  }
  free(writer.values);
  batch->flying = result == 0;
  if (batch->flying)
    relay->writing->batches++;
  return result;
}

/* ---- what comes of it ----------------------------------------------------------------------------- */

static void finish(struct batch *batch, int error)
{
  struct pending *pending = batch->pending;
  free_batch(batch, true);
  if (pending->count || pending->data || pending->stats)
    pending_due(pending, pending->endpoint->relay->config->flush_every);
  pending_tell(pending, pending->serial, error);
  if (pending->waiters && !pending->batch) /* for what this one had no room for */
    pending_begin(pending);
}

static void wait_a_while(struct batch *batch, int error)
{
  batch->retry_ns = mu_mono_ns() + RETRY_MS * 1000000LL;
  pending_due(batch->pending, RETRY_MS);
  pending_tell(batch->pending, UINT64_MAX, error);
}

static void send_again(struct batch *batch)
{
  int error = send(batch);
  if (error != 0)
    wait_a_while(batch, error);
}

static void known(void *context, const struct mu_result *result)
{
  struct batch *batch = context;
  batch->task.relay->writing->batches--;
  batch->flying = false;
  if (result->error != 0) {
    wait_a_while(batch, result->error);
    return;
  }
  batch->unknown = false;
  if (mu_result_at(result, 0, 0)->type == MU_VALUE_TIME && mu_result_at(result, 0, 0)->integer == batch->stats_ms) {
    finish(batch, 0);
    return;
  }
  send_again(batch);
}

/* `sql` takes the endpoint's id. */
static int ask(struct batch *batch, struct mu_sql sql, mu_store_done then)
{
  struct relay *relay = batch->task.relay;
  const struct mu_value values[] = {mu_value_text(batch->pending->endpoint->uuid)};
  int result = relay_read(relay, sql, values, MU_COUNT(values), then, batch);
  batch->flying = result == 0;
  if (batch->flying)
    relay->writing->batches++;
  return result;
}

/* Those whose device is in `devices` stay; NULL: none does. */
static void sift(struct batch *batch, const mu_map *devices)
{
  struct writing *writing = batch->task.relay->writing;
  for (struct datum **at = &batch->data; *at;) {
    struct datum *datum = *at;
    if (devices && mu_map_get(devices, mu_str(datum->device->uuid))) {
      at = &datum->next;
      continue;
    }
    *at = datum->next;
    batch->data_count--;
    mu_count(writing->data_dropped, 1);
    datum_free(writing, datum, true);
  }
}

/* The devices that are there. */
static void there(void *context, const struct mu_result *result)
{
  struct batch *batch = context;
  batch->task.relay->writing->batches--;
  batch->flying = false;
  if (result->error != 0 && result->error != MU_ELIMIT) { /* of too many all go */
    wait_a_while(batch, result->error);
    return;
  }
  mu_map *devices = mu_map_new();
  bool good = devices != NULL;
  for (size_t row = 0; good && row < result->rows; row++)
    good = mu_map_add(devices, mu_result_at(result, row, 0)->text, batch) != MU_ENOMEM;
  if (!good) {
    mu_map_free(devices);
    wait_a_while(batch, MU_ENOMEM);
    return;
  }
  sift(batch, devices);
  mu_map_free(devices);
  batch->sifted = true;
  send_again(batch);
}

/* A row that the database will never take: of a device that somebody deleted; else the endpoint itself. */
static void refused(struct batch *batch, const struct mu_result *result)
{
  struct relay *relay = batch->task.relay;
  mu_count(relay->writing->batches_failed, 1);
  mu_log_limited(relay->in, MU_LOG_WARN, "batch", "%s are not stored: endpoint=%s: %s: %s",
                 batch->data ? "values of devices" : "messages and statistics", batch->pending->endpoint->uuid,
                 mu_strerror(result->error), result->reason);
  if (batch->data && result->error == MU_ENOENT && !batch->sifted) {
    int error = ask(batch, there_sql, there);
    if (error != 0)
      wait_a_while(batch, error);
    return;
  }
  if (batch->data) {
    sift(batch, NULL);
    send_again(batch);
    return;
  }
  mu_count(relay->writing->messages_dropped, batch->message_count);
  struct endpoint *endpoint = batch->pending->endpoint;
  finish(batch, result->error);
  if (!endpoint->gone)
    endpoint_refresh(relay, endpoint->uuid, NULL, NULL);
}

static void done(void *context, const struct mu_result *result)
{
  struct batch *batch = context;
  batch->task.relay->writing->batches--;
  batch->flying = false;
  switch (result->error) {
  case 0:
    finish(batch, 0);
    return;
  case MU_ENOENT:
  case MU_EEXIST:
  case MU_EINVAL:
  case MU_EREFUSED:
    refused(batch, result);
    return;
  default:
    batch->unknown = batch->unknown || result->error == MU_ETIMEOUT;
    mu_log_limited(batch->task.relay->in, MU_LOG_WARN, "store", "nothing can be stored now: %s: %s",
                   mu_strerror(result->error), result->reason);
    wait_a_while(batch, result->error);
  }
}

/* ---- beginning ----------------------------------------------------------------------------------- */

/* Values whose device has its row by now; those of a device that will have none go. */
static void take_data(struct batch *batch)
{
  struct pending *pending = batch->pending;
  struct writing *writing = batch->task.relay->writing;
  struct datum **to = &batch->data, **from = &pending->data;
  while (*from && batch->data_count < BATCH_DATA_MAX) {
    struct datum *datum = *from;
    const struct device *device = datum->device;
    if (!device->uuid[0] && device->asking) {
      from = &datum->next;
      continue;
    }
    *from = datum->next;
    datum->next = NULL;
    pending->data_count--;
    if (!device->uuid[0]) {
      mu_count(writing->data_dropped, 1);
      datum_free(writing, datum, true);
      continue;
    }
    *to = datum;
    to = &datum->next;
    batch->data_count++;
  }
  if (!*from) /* the last one went, or all are for later */
    pending->data_end = from;
}

static void take_messages(struct batch *batch)
{
  struct pending *pending = batch->pending;
  for (; pending->count; pending->count--) {
    batch->messages[batch->message_count++] = pending->ring[pending->first];
    pending->ring[pending->first] = (struct kept){0};
    pending->first = (pending->first + 1) % RELAY_KEPT;
  }
  order_times(batch);
}

static int by_text(const void *a, const void *b)
{
  return strcmp(a, b);
}

int batch_begin(struct pending *pending)
{
  struct relay *relay = pending->endpoint->relay;
  struct batch *batch = task_new(relay, sizeof *batch, release_batch);
  size_t ids = pending->count + (pending->data_count < BATCH_DATA_MAX ? pending->data_count : BATCH_DATA_MAX);
  int result = MU_ENOMEM;
  if (batch)
    batch->ids = calloc(ids + 1, sizeof *batch->ids);
  if (batch && batch->ids)
    result = relay_uuids(batch->ids, ids);
  if (result == 0) {
    /* Of several values of a key in one millisecond the one with the largest id is the last. */
    qsort(batch->ids + pending->count, ids - pending->count, sizeof *batch->ids, by_text);
    result = relay_uuid(batch->figures_id);
  }
  if (result != 0) {
    task_free(batch);
    pending_due(pending, RETRY_MS);
    pending_tell(pending, UINT64_MAX, result);
    return result;
  }
  batch->pending = pending;
  pending->batch = batch;
  pending->serial++;
  take_messages(batch);
  take_data(batch);
  batch->connections = pending->connections;
  batch->total_messages = pending->messages;
  batch->active_ms = pending->active_ms;
  int64_t now_ms = mu_now_ms();
  batch->stats_ms = pending->stats_ms = now_ms > pending->stats_ms ? now_ms : pending->stats_ms + 1;
  pending->connections = pending->messages = pending->active_ms = 0;
  pending->stats = false;
  result = send(batch);
  if (result != 0)
    wait_a_while(batch, result);
  return result;
}

int batch_again(struct pending *pending)
{
  struct batch *batch = pending->batch;
  if (batch->flying || batch->retry_ns > mu_mono_ns())
    return 0;
  /* Its figures carry the time of the batch: were they written? */
  int result = batch->unknown ? ask(batch, known_sql, known) : send(batch);
  if (result != 0)
    wait_a_while(batch, result);
  return result;
}
