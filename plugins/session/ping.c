/* SPDX-License-Identifier: ISC */
/* What time brings: pings, the end of who says nothing, of tokens, of links with a gap in what is stored. */
#include "server.h"

enum { PINGS_UNANSWERED = 2, HOLE_S = 30 };
static const int64_t second_ns = 1000000000;

static void ping(struct link *link, mu_conn *conn, int64_t now_ns)
{
  struct server *server = link->server;
  if (link->pings >= PINGS_UNANSWERED) {
    server_wrong(server, conn, server->silent, "silent", "two pings without an answer");
    mu_conn_close(conn, MU_CLOSE_GOING_AWAY, "no answer to two pings");
    return;
  }
  link->pings++;
  link->ping_ns = now_ns + server->config->ping_every * second_ns;
  mu_conn_send(conn, server->ping);
}

static void look(struct link *link, int64_t now_ns, int64_t now_s)
{
  struct server *server = link->server;
  bool nobody = link->scope == MU_SESSION_NOBODY;
  bool late = nobody && now_ns - link->opened_ns >= server->config->auth_timeout * second_ns;
  bool expired = link->expires_s && now_s >= link->expires_s;
  bool hole = link->hole && now_ns - link->hole_ns >= HOLE_S * second_ns;
  bool due = !nobody && now_ns >= link->ping_ns;
  if (link->ended || !(late || expired || hole || due))
    return;
  mu_conn *conn = mu_conn_find(server->in, link->conn);
  if (!conn)
    return;
  if (late) {
    auth_too_late(link, conn);
  } else if (expired) {
    server_error(conn, "token_expired", "The session token has expired", NULL, 0);
    mu_conn_close(conn, MU_CLOSE_REVOKED, "session token expired");
  } else if (hole) {
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "samples were not stored: send them again");
  } else {
    ping(link, conn, now_ns);
  }
}

void ping_sweep(void *self)
{
  struct server *server = self;
  int64_t now_ns = mu_mono_ns(), now_s = mu_now_ms() / 1000;
  for (struct link *link = server->links, *next; link; link = next) {
    next = link->next;
    look(link, now_ns, now_s);
  }
}
