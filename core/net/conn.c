/* SPDX-License-Identifier: ISC */
/* The life of a WebSocket connection after its admission. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <muster/log.h>
#include "bus/bus.h"
#include "loop/loop.h"
#include "net/ws.h"

enum {
  SLOT_BITS = 24,
  CLOSE_WITHIN_S = 5, /* from the decision to close until the link is cut */
  ADMIT_WITHIN_S = 30,
  MESSAGE_WITHIN_S = 30, /* from the first byte of a message to its last */
  CLOSE_PROTOCOL = 1002,
};

/* ---- ids ------------------------------------------------------------------------------------- */

static bool more_slots(struct mui_net_ws *ws)
{
  uint32_t count = ws->slot_count ? ws->slot_count * 2 : 64;
  if (count > 1u << SLOT_BITS)
    return false;
  struct mui_slot *slots = realloc(ws->slots, count * sizeof *slots);
  if (!slots)
    return false;
  ws->slots = slots;
  for (uint32_t i = count; i-- > ws->slot_count;) {
    slots[i] = (struct mui_slot){NULL, ws->free_slot};
    ws->free_slot = i + 1;
  }
  ws->slot_count = count;
  return true;
}

static struct mu_conn *conn_of(const struct mui_net_ws *ws, mu_conn_id id)
{
  uint32_t slot = (uint32_t)(id & ((1u << SLOT_BITS) - 1));
  struct mu_conn *conn = slot < ws->slot_count ? ws->slots[slot].conn : NULL;
  return conn && conn->id == id ? conn : NULL;
}

struct mu_conn *mui_conn_new(struct mui_session *session, struct lws *wsi, struct mui_route *route)
{
  struct mui_net_ws *ws = session->net->ws;
  if (!ws->free_slot && !more_slots(ws))
    return NULL;
  struct mu_conn *conn = calloc(1, sizeof *conn);
  if (!conn)
    return NULL;
  uint32_t slot = ws->free_slot - 1;
  ws->free_slot = ws->slots[slot].next_free;
  ws->slots[slot].conn = conn;
  conn->id = ++ws->serial << SLOT_BITS | slot;
  conn->wsi = wsi;
  conn->session = session;
  conn->net = session->net;
  conn->route = route;
  conn->heard_ns = mu_mono_ns();
  ws->conns++;
  /* What waits for a slow reader waits in its queue, where newer news replace it, and not as megabytes in the kernel. */
  const int unsent = MUI_UNSENT_MAX;
  setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
  return conn;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void tell_closed(struct mu_conn *conn, unsigned code)
{
  if (!conn->opened || !conn->route)
    return;
  conn->opened = false;
  const struct mu_ws_route *route = &conn->route->ws;
  if (!route->closed)
    return;
  struct mui_call call;
  mui_call_begin(&call, conn->route->in, MUI_CB_WS_CLOSED);
  route->closed(conn->route->self, conn, code);
  mui_call_end(&call, 0);
}

void mui_conn_gone(struct mu_conn *conn)
{
  struct mui_net_ws *ws = conn->net->ws;
  conn->state = MUI_CONN_ENDING;
  mui_conn_leave_all(conn);
  tell_closed(conn, conn->code ? conn->code : 1006);
  mui_conn_leave_all(conn);
  mui_wheel_remove(conn);
  mui_conn_forget(conn);
  uint32_t slot = (uint32_t)(conn->id & ((1u << SLOT_BITS) - 1));
  ws->slots[slot] = (struct mui_slot){NULL, ws->free_slot};
  ws->free_slot = slot + 1;
  ws->conns--;
  conn->net->stats.open_ws -= conn->upgraded;
  conn->session->conn = NULL;
  mui_assembly_reset(&conn->assembly);
  mu_principal_unref(conn->principal);
  free(conn->peer);
  free(conn->reason);
  free(conn);
}

void mui_conn_break(struct mu_conn *conn)
{
  if (conn->state == MUI_CONN_ENDING)
    return;
  conn->state = MUI_CONN_ENDING;
  mui_conn_leave_all(conn);
  mui_conn_forget(conn);
  /* Never at once: this may run inside a fan-out or a callback of the same connection. */
  lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

void mu_conn_close(mu_conn *conn, unsigned code, const char *reason)
{
  if (!mui_conn_live(conn))
    return;
  conn->state = MUI_CONN_CLOSING;
  conn->code = (uint16_t)code;
  conn->reason = reason && *reason ? strndup(reason, 123) : NULL;
  mui_conn_leave_all(conn);
  conn->message_s = 0;
  if (!conn->begun.directed && !mui_queue_directed(&conn->queue))
    mui_conn_forget(conn);
  conn->limit_s = conn->net->ws->now_s + CLOSE_WITHIN_S;
  mui_wheel_by(conn, conn->limit_s);
  if (!conn->upgraded) /* ESTABLISHED goes on from here */
    return;
  lws_rx_flow_control(conn->wsi, 1); /* or the client's answer is never read */
  lws_callback_on_writable(conn->wsi);
}

/* Writeable while closing: the rest of a long message, one write of the last messages, then the close frame, once. */
static int say_close(struct mu_conn *conn)
{
  bool directed = mui_queue_directed(&conn->queue), begun = conn->begun.text != NULL;
  if (directed || begun) {
    mui_conn_flush(conn);
    if (conn->state != MUI_CONN_CLOSING)
      return 0;
    if (conn->begun.text || (begun && directed)) {
      lws_callback_on_writable(conn->wsi);
      return 0;
    }
    mui_conn_forget(conn);
    if (lws_partial_buffered(conn->wsi)) {
      lws_callback_on_writable(conn->wsi);
      return 0;
    }
  }
  mui_conn_forget(conn);
  conn->state = MUI_CONN_ENDING;
  const char *reason = conn->reason ? conn->reason : "";
  lws_close_reason(conn->wsi, (enum lws_close_status)conn->code, (unsigned char *)reason, strlen(reason));
  return -1;
}

/* ---- the library's callbacks ----------------------------------------------------------------- */

/* Admitted and upgraded. */
static void open_conn(struct mu_conn *conn)
{
  conn->state = MUI_CONN_OPEN;
  conn->opened = true;
  if (!conn->route->ws.open)
    return;
  struct mui_call call;
  mui_call_begin(&call, conn->route->in, MUI_CB_WS_OPEN);
  int error = conn->route->ws.open(conn->route->self, conn);
  mui_call_end(&call, error);
  if (error < 0)
    mu_conn_close(conn, MU_CLOSE_INTERNAL, "");
}

static int established(struct lws *wsi, struct mu_conn *conn)
{
  struct mui_net_ws *ws = conn->net->ws;
  conn->wsi = wsi;
  conn->upgraded = true;
  conn->net->stats.open_ws++;
  lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
  if (conn->state != MUI_CONN_ADMITTED) { /* closed between the admission and now */
    lws_callback_on_writable(wsi);
    return 0;
  }
  if (conn->pending) {
    conn->state = MUI_CONN_PENDING;
    lws_rx_flow_control(wsi, 0);
    conn->limit_s = ws->now_s + ADMIT_WITHIN_S;
    mui_wheel_by(conn, ws->now_s + 1); /* each second: nobody else sees that it leaves */
  }
  if (conn->net->stopping || !conn->route) {
    mu_conn_close(conn, MU_CLOSE_GOING_AWAY, "stopping");
    return 0;
  }
  /* Spread: connections that came together are not pinged together. */
  unsigned every = conn->route->ws.ping_every_s;
  conn->ping_s = ws->now_s + every - (unsigned)((conn->id >> SLOT_BITS) % (every / 2 + 1));
  mui_wheel_by(conn, conn->ping_s);
  if (conn->route->ws.silent_after_s)
    mui_wheel_by(conn, ws->now_s + conn->route->ws.silent_after_s + 1);
  if (!conn->pending)
    open_conn(conn);
  return 0;
}

static void hand_over(struct mu_conn *conn, struct mu_str whole, bool binary)
{
  struct mui_net *net = conn->net;
  net->stats.messages_in++;
  net->stats.bytes_in += whole.len;
  if (!conn->route->ws.message) {
    mui_assembly_reset(&conn->assembly);
    return;
  }
  struct mu_message message = {whole.at, whole.len, binary};
  struct mui_assembly held = conn->assembly; /* the callback may close the connection and go on reading */
  conn->assembly = (struct mui_assembly){0};
  if (!held.at) { /* the library's buffer ends where the message does: no room for the NUL */
    memcpy(net->ws->scratch, whole.at, whole.len);
    net->ws->scratch[whole.len] = '\0';
    message.at = net->ws->scratch;
  }
  mu_instance *in = conn->route->in;
  struct mui_call call;
  mui_call_begin(&call, in, MUI_CB_WS_MESSAGE);
  int error = conn->route->ws.message(conn->route->self, conn, &message);
  mui_call_end(&call, error);
  mui_assembly_reset(&held);
  if (error < 0)
    mu_log_limited(in, MU_LOG_WARN, "message", "%s: message refused: %s", mu_conn_peer(conn), mu_strerror(error));
}

static void refuse_message(struct mu_conn *conn, int code)
{
  const char *counter = code == MU_CLOSE_TOO_BIG       ? "messages_too_big"
                        : code == MU_CLOSE_BAD_TEXT    ? "messages_bad_text"
                        : code == MU_CLOSE_UNSUPPORTED ? "messages_binary"
                        : code == MU_CLOSE_POLICY      ? "messages_in_too_many_frames"
                                                       : "messages_without_memory";
  const char *reason = code == MU_CLOSE_TOO_BIG       ? "message too big"
                       : code == MU_CLOSE_BAD_TEXT    ? "text is not UTF-8"
                       : code == MU_CLOSE_UNSUPPORTED ? "text only"
                       : code == MU_CLOSE_POLICY      ? "too many fragments"
                                                      : "out of memory";
  mui_net_count(conn->net, counter);
  mu_log_limited(conn->net->runtime->core, MU_LOG_INFO, counter, "%s: closed with %d: %s", mu_conn_peer(conn), code,
                 reason);
  mu_conn_close(conn, (unsigned)code, reason);
}

static void receive(struct lws *wsi, struct mu_conn *conn, const char *at, size_t len)
{
  conn->heard_ns = mu_mono_ns();
  conn->pings = 0;
  if (conn->state != MUI_CONN_OPEN || !conn->route || len > MUI_RX_BUFFER)
    return;
  struct mui_piece piece = {
      .at = at,
      .len = len,
      .remaining = lws_remaining_packet_payload(wsi),
      .first = lws_is_first_fragment(wsi),
      .final = lws_is_final_fragment(wsi),
      .binary = lws_frame_is_binary(wsi),
  };
  struct mu_str whole;
  int got = mui_assembly_add(&conn->assembly, &piece, conn->route->ws.max_message, conn->route->ws.binary, &whole);
  if (got == 0) {
    if (!conn->message_s) {
      conn->message_s = conn->net->ws->now_s + MESSAGE_WITHIN_S;
      mui_wheel_by(conn, conn->message_s);
    }
    return;
  }
  conn->message_s = 0;
  if (got > 1) {
    refuse_message(conn, got);
    return;
  }
  hand_over(conn, whole, conn->assembly.binary);
}

static void protocol_error(struct mu_conn *conn, int code)
{
  mui_net_count(conn->net, "protocol_errors");
  mu_log_limited(conn->net->runtime->core, MU_LOG_INFO, "protocol_errors",
                 "%s: closed with %d: WebSocket protocol error", mu_conn_peer(conn), code);
}

bool mui_conn_library_closes(struct mu_conn *conn)
{
  if (lws_get_close_length(conn->wsi) < 2)
    return false;
  if (conn->state > MUI_CONN_OPEN)
    return true;
  const unsigned char *said = lws_get_close_payload(conn->wsi);
  conn->code = (uint16_t)(said[0] << 8 | said[1]);
  conn->state = MUI_CONN_ENDING;
  mui_conn_leave_all(conn);
  mui_conn_forget(conn);
  protocol_error(conn, conn->code);
  return true;
}

/* What a peer may say (RFC 6455, 7.4, and its registry) that means no error. The library makes 1002 of codes that nobody may say. */
static bool good_code(unsigned code)
{
  return (code >= 1000 && code <= 1001) || code == 1003 || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

static int peer_closes(struct lws *wsi, struct mu_conn *conn, const unsigned char *at, size_t len)
{
  conn->state = MUI_CONN_ENDING;
  mui_conn_leave_all(conn);
  mui_conn_forget(conn);
  conn->limit_s = conn->net->ws->now_s + CLOSE_WITHIN_S;
  mui_wheel_by(conn, conn->limit_s);
  if (!conn->code)
    conn->code = len >= 2 ? (uint16_t)(at[0] << 8 | at[1]) : 1005;
  struct mui_utf8_state utf8 = {0};
  unsigned said = len >= 2 ? (unsigned)(at[0] << 8 | at[1]) : 0;
  if (len >= 2 && said < 5000 && !good_code(said)) {
    protocol_error(conn, CLOSE_PROTOCOL);
    return 0; /* the library answers, and need not wait for an answer as it does after a -1 */
  }
  int wrong = len == 1 || said >= 5000                                                         ? CLOSE_PROTOCOL
              : len > 2 && (!mui_utf8_more(&utf8, (const char *)at + 2, len - 2) || utf8.need) ? MU_CLOSE_BAD_TEXT
                                                                                               : 0;
  if (!wrong)
    return 0;
  protocol_error(conn, wrong);
  lws_close_reason(wsi, (enum lws_close_status)wrong, NULL, 0);
  return -1;
}

int mui_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, struct mui_session *session, void *in,
                    size_t len)
{
  if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE)
    return mui_ws_upgrade(wsi, session, in);
  struct mu_conn *conn = session->conn;
  if (!conn) /* an upgrade that we did not admit */
    return reason == LWS_CALLBACK_CLOSED ? 0 : -1;
  switch (reason) {
  case LWS_CALLBACK_ESTABLISHED:
    return established(wsi, conn);
  case LWS_CALLBACK_RECEIVE:
    receive(wsi, conn, in, len);
    return 0;
  case LWS_CALLBACK_RECEIVE_PONG:
    conn->heard_ns = mu_mono_ns();
    conn->pings = 0;
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    conn->blocked_s = 0;
    if (conn->state == MUI_CONN_CLOSING)
      return say_close(conn);
    mui_conn_flush(conn);
    return 0;
  case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    return peer_closes(wsi, conn, in, len);
  case LWS_CALLBACK_CLOSED:
    mui_conn_library_closes(conn);
    mui_conn_gone(conn);
    return 0;
  default:
    return 0;
  }
}

/* ---- for plugins ----------------------------------------------------------------------------- */

static void route_gone(struct mui_route *route)
{
  struct mui_net *net = route->in->runtime->net;
  struct mui_net_ws *ws = net ? net->ws : NULL;
  for (uint32_t i = 0; ws && i < ws->slot_count; i++) {
    struct mu_conn *conn = ws->slots[i].conn;
    if (!conn || conn->route != route)
      continue;
    mu_conn_close(conn, MU_CLOSE_GOING_AWAY, "stopping");
    tell_closed(conn, conn->code ? conn->code : 1006);
    mui_conn_leave_all(conn);
    conn->route = NULL;
    conn->data = NULL;
  }
}

int mu_ws_route(mu_instance *in, const struct mu_ws_route *route, void *self)
{
  struct mui_net *net = in->runtime->net;
  if (!net || !route->path)
    return MU_EINVAL;
  struct mui_route *own = calloc(1, sizeof *own);
  if (!own || !(own->path = strdup(route->path))) {
    free(own);
    return MU_ENOMEM;
  }
  memcpy(&own->ws, route, route->size < sizeof own->ws ? route->size : sizeof own->ws);
  own->ws.path = NULL;
  if (!own->ws.max_message)
    own->ws.max_message = 65536;
  if (!own->ws.ping_every_s)
    own->ws.ping_every_s = 30;
  if (!own->ws.max_queue)
    own->ws.max_queue = 262144;
  own->self = self;
  own->gone = route_gone;
  return mui_router_add(net->ws_routes, in, own);
}

mu_conn_id mu_conn_get_id(const mu_conn *conn)
{
  return conn->id;
}

mu_conn *mu_conn_find(mu_instance *in, mu_conn_id id)
{
  struct mui_net *net = in->runtime->net;
  struct mu_conn *conn = net ? conn_of(net->ws, id) : NULL;
  return conn && mui_conn_live(conn) ? conn : NULL;
}

void mu_conn_admit(mu_conn *conn, unsigned code, const char *reason)
{
  if (conn->state != MUI_CONN_PENDING && !(conn->state == MUI_CONN_ADMITTED && conn->pending))
    return;
  if (code) {
    mu_conn_close(conn, code, reason);
    return;
  }
  conn->pending = false;
  conn->limit_s = 0;
  if (conn->state == MUI_CONN_ADMITTED)
    return;
  conn->heard_ns = mu_mono_ns();
  lws_rx_flow_control(conn->wsi, 1);
  open_conn(conn);
}

void *mu_conn_data(const mu_conn *conn)
{
  return conn->data;
}

void mu_conn_set_data(mu_conn *conn, void *data)
{
  conn->data = data;
}

const struct mu_principal *mu_conn_principal(const mu_conn *conn)
{
  return conn->principal;
}

void mu_conn_set_principal(mu_conn *conn, const struct mu_principal *principal)
{
  const struct mu_principal *old = conn->principal;
  conn->principal = mu_principal_ref(principal);
  mu_principal_unref(old);
}

const char *mu_conn_peer(const mu_conn *conn)
{
  return conn->peer ? conn->peer : conn->session->address;
}

int64_t mu_conn_last_heard(const mu_conn *conn)
{
  return conn->heard_ns;
}

int mu_conn_send(mu_conn *conn, mu_text *text)
{
  return mui_conn_put(conn, &(struct mui_waiting){.text = text, .directed = true, .fence = true}, false, true);
}

int mu_conn_send_latest(mu_conn *conn, uint64_t key, mu_text *text)
{
  return mui_conn_put(conn, &(struct mui_waiting){.key = key, .text = text, .fence = true}, true, true);
}

int mu_conn_send_binary(mu_conn *conn, mu_text *bytes)
{
  return mui_conn_put(conn, &(struct mui_waiting){.text = bytes, .binary = true, .directed = true, .fence = true},
                      false, true);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void revoked(void *self, const struct mu_event *event)
{
  struct mui_net *net = self;
  for (uint32_t i = 0; event->payload && i < net->ws->slot_count; i++) {
    struct mu_conn *conn = net->ws->slots[i].conn;
    if (conn && conn->principal && mui_principal_covers(event->payload, conn->principal))
      mu_conn_close(conn, MU_CLOSE_REVOKED, "revoked");
  }
}

int mui_net_ws_init(struct mui_net *net)
{
  struct mui_net_ws *ws = calloc(1, sizeof *ws);
  net->ws = ws;
  if (!ws)
    return MU_ENOMEM;
  mu_instance *core = net->runtime->core;
  ws->began_ns = mu_mono_ns();
  ws->second = mu_timer_new(core, mui_wheel_second, ws);
  ws->flush = mu_timer_new(core, mui_ws_flush_dirty, ws);
  if (!ws->second || !ws->flush)
    return MU_ENOMEM;
  if (!core->runtime->clients_only)
    mu_timer_start(ws->second, 1000, 1000);
  return net->runtime->bus ? mu_event_on(core, MU_EVENT_AUTH_REVOKED, 0, revoked, net) : 0;
}

void mui_net_ws_fini(struct mui_net *net)
{
  struct mui_net_ws *ws = net->ws;
  if (!ws)
    return;
  mu_timer_free(ws->second);
  mu_timer_free(ws->flush);
  free(ws->slots);
  free(ws);
  net->ws = NULL;
}

size_t mui_net_ws_close_all(struct mui_net *net)
{
  for (uint32_t i = 0; i < net->ws->slot_count; i++)
    if (net->ws->slots[i].conn)
      mu_conn_close(net->ws->slots[i].conn, MU_CLOSE_GOING_AWAY, "stopping");
  return net->ws->conns;
}
