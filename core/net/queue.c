/* SPDX-License-Identifier: ISC */
/* What waits for one reader, and the writing of it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/ws.h"

/* An entry is charged for itself too, so that a flood of empty messages is bounded. */
enum { RING_FIRST = 4, INDEX_FROM = 16, ENTRY_COST = sizeof(struct mui_waiting) };

static struct mui_waiting *entry(const struct mui_queue *q, uint32_t serial)
{
  return &q->ring[serial & (q->capacity - 1)];
}

static size_t cost(const mu_text *text)
{
  return mu_text_len(text) + ENTRY_COST;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static uint32_t place_of(const struct mui_queue *q, uint64_t key)
{
  return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (q->index_size - 1);
}

static bool waits(const struct mui_queue *q, uint32_t serial)
{
  return serial - q->head < q->count;
}

static void index_add(struct mui_queue *q, uint64_t key, uint32_t serial)
{
  uint32_t at = place_of(q, key);
  while (q->index[at])
    at = (at + 1) & (q->index_size - 1);
  q->index[at] = serial + 1;
  q->index_used++;
}

/* A fresh index over what waits now; without memory the queue goes on with a linear search. */
static void index_build(struct mui_queue *q)
{
  uint32_t size = 64;
  while (size < q->count * 4)
    size *= 2;
  free(q->index);
  q->index = calloc(size, sizeof *q->index);
  q->index_size = q->index ? size : 0;
  q->index_used = 0;
  for (uint32_t i = 0; q->index && i < q->count; i++) {
    const struct mui_waiting *m = entry(q, q->head + i);
    if (m->text && m->key && q->head + i + 1 != 0)
      index_add(q, m->key, q->head + i);
  }
}

static struct mui_waiting *find(struct mui_queue *q, uint64_t key, uint32_t *found)
{
  if (!q->index) {
    for (uint32_t i = 0; i < q->count; i++) {
      struct mui_waiting *m = entry(q, q->head + i);
      *found = q->head + i;
      if (m->text && m->key == key)
        return m;
    }
    return NULL;
  }
  for (uint32_t at = place_of(q, key); q->index[at]; at = (at + 1) & (q->index_size - 1)) {
    uint32_t serial = q->index[at] - 1;
    *found = serial;
    if (waits(q, serial) && entry(q, serial)->text && entry(q, serial)->key == key)
      return entry(q, serial);
  }
  return NULL;
}

bool mui_queue_has(struct mui_queue *q, uint64_t key)
{
  uint32_t place;
  return q->count > 0 && find(q, key, &place) != NULL;
}

/* ---- the ring -------------------------------------------------------------------------------- */

static bool grow(struct mui_queue *q)
{
  uint32_t capacity = q->capacity ? q->capacity * 2 : RING_FIRST;
  if (capacity == 0)
    return false;
  struct mui_waiting *ring = malloc(capacity * sizeof *ring);
  if (!ring)
    return false;
  for (uint32_t i = 0; i < q->count; i++)
    ring[(q->head + i) & (capacity - 1)] = *entry(q, q->head + i);
  free(q->ring);
  q->ring = ring;
  q->capacity = capacity;
  return true;
}

/* An emptied queue keeps a small ring: subscribers use it at every message. */
static void shrink(struct mui_queue *q)
{
  free(q->index);
  q->index = NULL;
  q->index_size = q->index_used = 0;
  q->fenced = false;
  if (q->capacity > RING_FIRST) {
    free(q->ring);
    q->ring = NULL;
    q->capacity = 0;
  }
}

static void drop(struct mui_queue *q, struct mui_waiting *m)
{
  q->bytes -= cost(m->text);
  mu_text_unref(m->text);
  m->text = NULL;
}

/* Drops the oldest ones without a key until there is room. False: there is none to drop. */
static bool make_room(struct mui_queue *q, size_t len, size_t max)
{
  for (uint32_t i = 0; i < q->count && q->bytes + len > max; i++) {
    struct mui_waiting *m = entry(q, q->head + i);
    if (m->text && m->key == 0 && !m->directed)
      drop(q, m);
  }
  return q->bytes + len <= max || q->bytes == 0;
}

/* Closes the gaps that dropped ones left. False: there were too few to be worth it. */
static bool compact(struct mui_queue *q)
{
  uint32_t live = 0;
  for (uint32_t i = 0; i < q->count; i++)
    live += entry(q, q->head + i)->text != NULL;
  if (q->count - live <= q->count / 4)
    return false;
  live = 0;
  uint32_t fence = q->fence - q->head;
  for (uint32_t i = 0; i < q->count; i++) {
    struct mui_waiting m = *entry(q, q->head + i);
    if (q->fenced && i == fence)
      q->fence = q->head + live; /* itself, or what follows it */
    if (m.text)
      *entry(q, q->head + live++) = m;
  }
  q->count = live;
  if (q->index)
    index_build(q);
  return true;
}

int mui_queue_put(struct mui_queue *q, const struct mui_waiting *message, bool conflate, size_t max)
{
  uint32_t place = 0;
  struct mui_waiting *old = message->key ? find(q, message->key, &place) : NULL;
  size_t before = old ? cost(old->text) : 0;
  bool over = q->bytes - before > 0 && q->bytes - before + cost(message->text) > max;
  if (over && !conflate)
    return MU_ELIMIT;
  if (old && q->fenced && place - q->head < q->fence - q->head) {
    drop(q, old);
    old = NULL;
  }
  if (old) {
    q->bytes += cost(message->text) - before;
    mu_text_unref(old->text);
    old->text = mu_text_ref(message->text);
    old->binary = message->binary;
    return 0;
  }
  /* Keyed ones are bounded by the number of keys; what has no key gives way to newer. */
  if (over && message->key == 0 && !make_room(q, cost(message->text), max))
    return 0;
  if (q->count == q->capacity && !compact(q) && !grow(q))
    return MU_ENOMEM;
  uint32_t serial = q->head + q->count;
  *entry(q, serial) = *message;
  mu_text_ref(message->text);
  q->count++;
  q->bytes += cost(message->text);
  if (message->fence) {
    q->fence = serial;
    q->fenced = true;
  }
  if (message->key == 0 || (!q->index && q->count <= INDEX_FROM))
    return 0;
  if (!q->index || q->index_used >= q->index_size / 2 || serial + 1 == 0)
    index_build(q);
  else
    index_add(q, message->key, serial);
  return 0;
}

void mui_queue_clear(struct mui_queue *q)
{
  for (uint32_t i = 0; i < q->count; i++)
    mu_text_unref(entry(q, q->head + i)->text);
  free(q->ring);
  free(q->index);
  *q = (struct mui_queue){0};
}

bool mui_queue_directed(const struct mui_queue *q)
{
  for (uint32_t i = 0; i < q->count; i++)
    if (entry(q, q->head + i)->text && entry(q, q->head + i)->directed)
      return true;
  return false;
}

/* The oldest leaves; its reference passes on. */
static struct mui_waiting leave(struct mui_queue *q)
{
  struct mui_waiting m = *entry(q, q->head);
  if (q->head == q->fence)
    q->fenced = false;
  q->head++;
  q->count--;
  if (m.text)
    q->bytes -= cost(m.text);
  if (q->count == 0) {
    assert(q->bytes == 0);
    shrink(q);
  }
  return m;
}

bool mui_queue_take_long(struct mui_queue *q, size_t size, struct mui_waiting *message)
{
  while (q->count && !entry(q, q->head)->text)
    leave(q);
  if (q->bytes <= size || mui_text_frame_len(entry(q, q->head)->text) <= size)
    return false;
  *message = leave(q);
  return true;
}

size_t mui_queue_take(struct mui_queue *q, unsigned char *into, size_t size, unsigned char **out, mu_text **held,
                      unsigned *messages)
{
  size_t used = 0;
  *held = NULL;
  *out = into;
  *messages = 0;
  while (q->count) {
    struct mui_waiting m = *entry(q, q->head);
    size_t len = 0;
    const char *frame = m.text ? mui_text_frame(m.text, m.binary, &len) : NULL;
    if (frame && used + len > size && used)
      break;
    leave(q);
    if (!frame)
      continue;
    ++*messages;
    if (len > size || (used == 0 && q->count == 0)) { /* alone: no copy */
      *out = (unsigned char *)frame;
      *held = m.text;
      used = len;
      break;
    }
    memcpy(into + used, frame, len);
    used += len;
    mu_text_unref(m.text);
  }
  return used;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const unsigned char ping[] = {0x89, 2, 'm', 'u'}; /* the library does not tell of empty pongs */

static void blocked(struct mu_conn *conn)
{
  if (!conn->blocked_s) {
    conn->blocked_s = conn->net->ws->now_s + 1; /* never 0 */
    conn->unsent = INT32_MAX;
    mui_wheel_by(conn, conn->net->ws->now_s + 2);
  }
  lws_callback_on_writable(conn->wsi);
}

static bool write_raw(struct mu_conn *conn, const unsigned char *bytes, size_t len)
{
  if (mui_conn_library_closes(conn))
    return false;
  /* The library neither masks nor changes what a server writes raw. */
  if (lws_write(conn->wsi, (unsigned char *)bytes, len, LWS_WRITE_RAW) < (int)len) {
    mui_conn_break(conn);
    return false;
  }
  conn->net->stats.bytes_out += len;
  return true;
}

static void undirty(struct mu_conn *conn)
{
  if (!conn->dirty_pprev)
    return;
  *conn->dirty_pprev = conn->dirty_next;
  if (conn->dirty_next)
    conn->dirty_next->dirty_pprev = conn->dirty_pprev;
  conn->dirty_pprev = NULL;
}

static void make_dirty(struct mu_conn *conn)
{
  struct mui_net_ws *ws = conn->net->ws;
  if (conn->dirty_pprev)
    return;
  if (!ws->dirty)
    mu_timer_start(ws->flush, 0, 0);
  conn->dirty_next = ws->dirty;
  conn->dirty_pprev = &ws->dirty;
  if (ws->dirty)
    ws->dirty->dirty_pprev = &conn->dirty_next;
  ws->dirty = conn;
}

void mui_ws_flush_dirty(void *net_ws)
{
  struct mui_net_ws *ws = net_ws;
  while (ws->dirty)
    mui_conn_flush(ws->dirty);
}

void mui_conn_forget(struct mu_conn *conn)
{
  undirty(conn);
  mui_queue_clear(&conn->queue);
  mu_text_unref(conn->begun.text);
  conn->begun = (struct mui_waiting){0};
}

static void begin_message(struct mu_conn *conn)
{
  conn->begun_at = 0;
  conn->ping_due = false;
  conn->net->stats.deliveries++;
}

/*
 * The next fragment of a long message. Each is copied, because the text is shared and has room for one header only; but what the
 * kernel does not take is copied inside the library, and so it is one fragment that waits there and not the message.
 */
static bool write_fragment(struct mu_conn *conn)
{
  enum { HEAD = 4 };
  unsigned char *to = conn->net->ws->write + LWS_PRE;
  size_t room = lws_get_ssl(conn->wsi) ? MUI_TLS_RECORD : MUI_TX_PACKET, used = 0;
  if (conn->ping_due) {
    memcpy(to, ping, sizeof ping);
    used = sizeof ping;
    conn->ping_due = false;
  }
  mu_text *text = conn->begun.text;
  size_t len = mu_text_len(text) - conn->begun_at;
  bool last = len <= room - used - HEAD;
  if (!last)
    len = room - used - HEAD;
  unsigned opcode = conn->begun_at ? 0 : conn->begun.binary ? 2 : 1;
  to[used++] = (unsigned char)((last ? 0x80 : 0) | opcode);
  if (len < 126) {
    to[used++] = (unsigned char)len;
  } else {
    to[used++] = 126;
    to[used++] = (unsigned char)(len >> 8);
    to[used++] = (unsigned char)len;
  }
  memcpy(to + used, mu_text_data(text) + conn->begun_at, len);
  conn->begun_at += len;
  if (last) {
    mu_text_unref(text);
    conn->begun = (struct mui_waiting){0};
  }
  return write_raw(conn, to, used + len);
}

static bool something_waits(const struct mu_conn *conn)
{
  return conn->begun.text || !mui_queue_empty(&conn->queue);
}

void mui_conn_flush(struct mu_conn *conn)
{
  struct mui_net_ws *ws = conn->net->ws;
  undirty(conn);
  if (!something_waits(conn) || conn->state == MUI_CONN_ENDING || conn->state == MUI_CONN_ADMITTED)
    return;
  if (lws_partial_buffered(conn->wsi)) {
    blocked(conn);
    return;
  }
  if (!conn->begun.text && mui_queue_take_long(&conn->queue, MUI_TX_PACKET, &conn->begun))
    begin_message(conn);
  if (conn->begun.text) {
    if (write_fragment(conn) && (something_waits(conn) || lws_partial_buffered(conn->wsi)))
      blocked(conn);
    return;
  }
  unsigned char *out;
  mu_text *held;
  unsigned messages;
  size_t len = mui_queue_take(&conn->queue, ws->write + LWS_PRE, MUI_TX_PACKET, &out, &held, &messages);
  bool written = len == 0 || write_raw(conn, out, len);
  mu_text_unref(held);
  conn->net->stats.deliveries += messages;
  if (written && (!mui_queue_empty(&conn->queue) || lws_partial_buffered(conn->wsi)))
    blocked(conn);
}

int mui_conn_put(struct mu_conn *conn, const struct mui_waiting *message, bool conflate, bool now)
{
  if (!mui_conn_live(conn) || !conn->route)
    return MU_ECLOSED;
  if (conn->pending)
    return MU_EBUSY;
  size_t len;
  if (now && conn->state != MUI_CONN_ADMITTED && !something_waits(conn) && !conn->blocked_s) {
    if (mui_text_frame_len(message->text) > MUI_TX_PACKET) {
      conn->begun = *message;
      mu_text_ref(message->text);
      begin_message(conn);
      mui_conn_flush(conn);
      return conn->state == MUI_CONN_ENDING ? MU_ECLOSED : 0;
    }
    const unsigned char *frame = (const unsigned char *)mui_text_frame(message->text, message->binary, &len);
    conn->net->stats.deliveries++;
    if (!write_raw(conn, frame, len))
      return MU_ECLOSED;
    if (lws_partial_buffered(conn->wsi))
      blocked(conn);
    return 0;
  }
  size_t max = conn->route->ws.max_queue;
  int error = mui_queue_put(&conn->queue, message, conflate, max);
  if (error == MU_ELIMIT) {
    mui_net_count(conn->net, "readers_too_slow");
    if (conn->begun.text) /* or the close would wait for the rest of it */
      mui_conn_forget(conn);
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "too slow");
  } else if (!error && !conn->blocked_s) {
    make_dirty(conn);
  }
  return error;
}

bool mui_conn_ping(struct mu_conn *conn)
{
  conn->ping_due = conn->begun.text != NULL;
  if (something_waits(conn) || conn->blocked_s || lws_partial_buffered(conn->wsi))
    return false;
  return write_raw(conn, ping, sizeof ping);
}
