/* SPDX-License-Identifier: ISC */
/* Connections: from the upgrade to the close, and what every answer is made of. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

int server_send(mu_conn *conn, struct mu_buf *text)
{
  mu_text *whole = mu_buf_take_text(text);
  mu_buf_free(text);
  int result = whole ? mu_conn_send(conn, whole) : MU_ENOMEM;
  mu_text_unref(whole);
  return result;
}

int server_error(mu_conn *conn, const char *code, const char *message, const char *ref_type, unsigned retry_after_s)
{
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":\"error\",\"code\":");
  mu_buf_json_string(&text, mu_str(code));
  mu_buf_adds(&text, ",\"message\":");
  mu_buf_json_string(&text, mu_str(message));
  if (ref_type) {
    mu_buf_adds(&text, ",\"refType\":");
    mu_buf_json_string(&text, mu_str(ref_type));
  }
  if (retry_after_s)
    mu_buf_printf(&text, ",\"retryAfter\":%u", retry_after_s);
  mu_buf_adds(&text, "}");
  return server_send(conn, &text);
}

int session_error(void *self, mu_conn *conn, const char *code, const char *message, const char *ref_type,
                  unsigned retry_after_s)
{
  (void)self;
  return server_error(conn, code, message, ref_type, retry_after_s);
}

void server_wrong(struct server *server, const mu_conn *conn, mu_counter *counter, const char *topic, const char *what)
{
  mu_count(counter, 1);
  mu_log_limited(server->in, MU_LOG_INFO, topic, "%s: %s: %s", mu_conn_peer(conn), topic, what);
}

/* ---- life ------------------------------------------------------------------------------------ */

int server_open(void *self, mu_conn *conn)
{
  struct server *server = self;
  struct link *link = calloc(1, sizeof *link);
  if (!link)
    return MU_ENOMEM;
  link->server = server;
  link->conn = mu_conn_get_id(conn);
  link->scope = MU_SESSION_NOBODY;
  link->opened_ns = mu_mono_ns();
  link->next = server->links;
  link->at = &server->links;
  if (link->next)
    link->next->at = &link->next;
  server->links = link;
  mu_conn_set_data(conn, link);
  return 0;
}

void server_closed(void *self, mu_conn *conn, unsigned code)
{
  (void)self;
  (void)code;
  struct link *link = mu_conn_data(conn);
  if (!link)
    return;
  mu_conn_set_data(conn, NULL);
  auth_left(link);
  agents_leave(link);
  *link->at = link->next;
  if (link->next)
    link->next->at = link->at;
  free(link);
}

int server_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  (void)self;
  struct link *link = mu_conn_data(conn);
  if (!link || link->ended)
    return 0;
  link->pings = 0;
  return dispatch_message(link, conn, (struct mu_str){message->at, message->len});
}
