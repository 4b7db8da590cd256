/* SPDX-License-Identifier: ISC */
/* One wheel for everything about a connection that takes seconds: heartbeats, silence, slow readers, unfinished messages, closes. */
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <muster/log.h>
#include "net/ws.h"

enum { STALLED_S = 5 }; /* a second that comes later than this: the process was held up */

void mui_wheel_remove(struct mu_conn *conn)
{
  if (!conn->wheel_pprev)
    return;
  *conn->wheel_pprev = conn->wheel_next;
  if (conn->wheel_next)
    conn->wheel_next->wheel_pprev = conn->wheel_pprev;
  conn->wheel_pprev = NULL;
}

void mui_wheel_by(struct mu_conn *conn, uint32_t at_s)
{
  struct mui_net_ws *ws = conn->net->ws;
  if (at_s <= ws->now_s)
    at_s = ws->now_s + 1;
  if (at_s - ws->now_s >= MUI_WHEEL_SLOTS) /* further than the wheel reaches: looked at earlier, and put on again */
    at_s = ws->now_s + MUI_WHEEL_SLOTS - 1;
  if (conn->wheel_pprev && conn->due_s <= at_s)
    return;
  mui_wheel_remove(conn);
  struct mu_conn **slot = &ws->wheel[at_s % MUI_WHEEL_SLOTS];
  conn->due_s = at_s;
  conn->wheel_next = *slot;
  conn->wheel_pprev = slot;
  if (*slot)
    (*slot)->wheel_pprev = &conn->wheel_next;
  *slot = conn;
}

static void cut(struct mu_conn *conn, const char *counter, const char *why)
{
  mui_net_count(conn->net, counter);
  mu_log_limited(conn->net->runtime->core, MU_LOG_INFO, counter, "%s: link cut: %s", mu_conn_peer(conn), why);
  mui_conn_break(conn);
}

static void say_goodbye(struct mu_conn *conn, const char *counter, unsigned code, const char *why)
{
  mui_net_count(conn->net, counter);
  mu_log_limited(conn->net->runtime->core, MU_LOG_INFO, counter, "%s: closed with %u: %s", mu_conn_peer(conn), code,
                 why);
  mu_conn_close(conn, code, why);
}

/* A reader that takes something gets more time, however little it takes. */
static bool took_something(struct mu_conn *conn)
{
  int unsent = 0;
  if (ioctl(lws_get_socket_fd(conn->wsi), SIOCOUTQ, &unsent) != 0)
    return false;
  bool took = unsent < conn->unsent;
  conn->unsent = unsent;
  return took;
}

/*
 * Nothing of a pending connection is read, so the library does not see its end. What was sent before the end still counts once it is
 * admitted: then it stays.
 */
static bool left(const struct mu_conn *conn)
{
  struct pollfd link = {.fd = lws_get_socket_fd(conn->wsi), .events = POLLRDHUP};
  int unread = 0;
  if (poll(&link, 1, 0) != 1)
    return false;
  if (link.revents & (POLLERR | POLLHUP | POLLNVAL))
    return true;
  return (link.revents & POLLRDHUP) && ioctl(link.fd, FIONREAD, &unread) == 0 && unread == 0;
}

/* When to look again; 0: it was cut. */
static uint32_t look(struct mu_conn *conn, uint32_t now)
{
  struct mui_net *net = conn->net;
  if (conn->limit_s && now >= conn->limit_s) {
    if (conn->state == MUI_CONN_PENDING) {
      mu_conn_close(conn, MU_CLOSE_AUTH_TIMEOUT, "authentication took too long");
    } else {
      mui_conn_break(conn);
      return 0;
    }
  }
  if (conn->state == MUI_CONN_PENDING && left(conn)) {
    mui_conn_break(conn);
    return 0;
  }
  uint32_t next = conn->state == MUI_CONN_PENDING ? now + 1 : conn->limit_s ? conn->limit_s : UINT32_MAX;
  if (conn->blocked_s) {
    if (took_something(conn))
      conn->blocked_s = now;
    if (now - conn->blocked_s >= net->limits.send_timeout_s) {
      cut(conn, "readers_cut", "it takes nothing");
      return 0;
    }
    next = now + 1;
  }
  if (!mui_conn_live(conn) || !conn->route)
    return next;
  const struct mu_ws_route *route = &conn->route->ws;
  if (conn->message_s && now >= conn->message_s) {
    say_goodbye(conn, "messages_unfinished", MU_CLOSE_POLICY, "message took too long");
    return conn->limit_s;
  }
  if (conn->message_s && conn->message_s < next)
    next = conn->message_s;
  if (route->silent_after_s && conn->state == MUI_CONN_OPEN) {
    uint32_t heard_s = (uint32_t)((conn->heard_ns - net->ws->began_ns) / 1000000000);
    if (heard_s < now && now - heard_s > route->silent_after_s) {
      say_goodbye(conn, "links_silent", MU_CLOSE_GOING_AWAY, "silent");
      return conn->limit_s;
    }
    if (heard_s + route->silent_after_s + 1 < next)
      next = heard_s + route->silent_after_s + 1;
  }
  if (now >= conn->ping_s) {
    if (conn->pings >= 2) {
      cut(conn, "pings_unanswered", "two pings without an answer");
      return 0;
    }
    /* With a backlog the send time-out judges the link: a ping goes along for its pong, which counts against silence, no more. */
    if (mui_conn_ping(conn))
      conn->pings++;
    if (conn->state == MUI_CONN_ENDING)
      return 0;
    conn->ping_s = now + route->ping_every_s;
  }
  return conn->ping_s < next ? conn->ping_s : next;
}

/*
 * The process was stopped, swapped out or blocked. What the peers said meanwhile is still unread, and nobody pinged them: this time did
 * not pass for them, or all would be cut at once.
 */
static void pass_over(struct mui_net_ws *ws, int64_t now_ns, uint32_t seconds)
{
  int64_t passed_ns = (int64_t)seconds * 1000000000;
  ws->began_ns += passed_ns;
  for (uint32_t i = 0; i < ws->slot_count; i++) {
    struct mu_conn *conn = ws->slots[i].conn;
    if (conn)
      conn->heard_ns = conn->heard_ns + passed_ns < now_ns ? conn->heard_ns + passed_ns : now_ns;
  }
}

void mui_wheel_second(void *net_ws)
{
  struct mui_net_ws *ws = net_ws;
  int64_t now_ns = mu_mono_ns();
  uint32_t now = (uint32_t)((now_ns - ws->began_ns) / 1000000000);
  if (now - ws->now_s > STALLED_S && now > ws->now_s) {
    pass_over(ws, now_ns, now - ws->now_s - 1);
    now = ws->now_s + 1;
  }
  while (ws->now_s < now) {
    uint32_t slot = ++ws->now_s % MUI_WHEEL_SLOTS;
    while (ws->wheel[slot]) {
      struct mu_conn *conn = ws->wheel[slot];
      mui_wheel_remove(conn);
      uint32_t next = look(conn, ws->now_s);
      if (next)
        mui_wheel_by(conn, next);
    }
  }
}
