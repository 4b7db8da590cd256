/* SPDX-License-Identifier: ISC */
/* What the library tells a client, and what goes out on its link. */
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "base/utf8.h"
#include "net/client.h"

static int on_established(struct mu_client *client)
{
  client->state = MUI_CLIENT_OPEN;
  client->attempting = false;
  client->up_ns = mu_mono_ns();
  mu_timer_stop(client->timer);
  mu_timer_start(client->ping, client->ping_every_ms, client->ping_every_ms);
  mu_buf_clear(&client->in_buf);
  if (client->queue)
    lws_callback_on_writable(client->wsi);
  if (!client->events.open)
    return 0;
  struct mui_call call;
  mui_call_begin(&call, client->in, MUI_CB_CLIENT);
  client->events.open(client->self);
  mui_call_end(&call, 0);
  return 0;
}

/*
 * Ends the link over something that the server did. Not by -1 from RECEIVE: with a reason set the library goes on reading after that, behind
 * the end of its buffer.
 */
static int refuse(struct mu_client *client, unsigned code, const char *reason)
{
  client->state = MUI_CLIENT_CLOSING;
  client->broken = true;
  client->close_code = code;
  snprintf(client->close_reason, sizeof client->close_reason, "%s", reason);
  mu_buf_clear(&client->in_buf);
  mu_timer_stop(client->ping);
  mu_timer_stop(client->pong);
  mu_timer_start(client->timer, MUI_CLIENT_CLOSE_MS, 0);
  lws_callback_on_writable(client->wsi);
  return 0;
}

static int on_receive(struct mu_client *client, struct lws *wsi, const void *data, size_t len)
{
  if (client->state != MUI_CLIENT_OPEN)
    return 0;
  if (lws_is_first_fragment(wsi)) {
    mu_buf_clear(&client->in_buf);
    client->receiving_binary = lws_frame_is_binary(wsi);
  }
  if (len > client->max_message - client->in_buf.len) {
    mu_log_limited(client->in, MU_LOG_WARN, "client message", "the server sent a message over %zu bytes",
                   client->max_message);
    return refuse(client, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too long");
  }
  mu_buf_add(&client->in_buf, data, len);
  if (client->in_buf.failed)
    return refuse(client, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
  if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
    return 0;
  if (!client->receiving_binary && !mui_utf8_valid(client->in_buf.at ? client->in_buf.at : "", client->in_buf.len))
    return refuse(client, LWS_CLOSE_STATUS_INVALID_PAYLOAD, "invalid UTF-8");
  if (client->events.message) {
    struct mui_call call;
    mui_call_begin(&call, client->in, MUI_CB_CLIENT);
    client->events.message(client->self, client->in_buf.at ? client->in_buf.at : "", client->in_buf.len,
                           client->receiving_binary);
    mui_call_end(&call, 0);
  }
  mu_buf_clear(&client->in_buf);
  return 0;
}

/* One frame for each call: the library wants no second write before the next. */
static int on_writeable(struct mu_client *client, struct lws *wsi)
{
  if (client->state == MUI_CLIENT_CLOSING) {
    if (client->close_sent)
      return 0; /* a second -1 would cut the connection before the frame is out */
    client->close_sent = true;
    lws_close_reason(wsi, (enum lws_close_status)client->close_code, (unsigned char *)client->close_reason,
                     strlen(client->close_reason));
    return -1;
  }
  if (client->state != MUI_CLIENT_OPEN)
    return 0;
  if (client->ping_due) {
    unsigned char room[LWS_PRE + 1];
    client->ping_due = false;
    if (lws_write(wsi, room + LWS_PRE, 0, LWS_WRITE_PING) < 0)
      return -1;
  } else if (client->queue) {
    const mu_text *text = client->queue->text;
    size_t len = mu_text_len(text);
    /* A copy: a client's frames are masked in place, and the text is shared. */
    unsigned char *room = malloc(LWS_PRE + len);
    if (!room)
      return -1;
    memcpy(room + LWS_PRE, mu_text_data(text), len);
    int written = lws_write(wsi, room + LWS_PRE, len, LWS_WRITE_TEXT);
    free(room);
    if (written < 0)
      return -1;
    mui_client_drop_oldest(client);
  }
  if (client->queue)
    lws_callback_on_writable(wsi);
  return 0;
}

static int append_headers(struct mu_client *client, unsigned char **at, size_t room)
{
  for (size_t i = 0; i < client->header_count; i++) {
    if (client->headers[i].len > room) {
      mu_log(client->in, MU_LOG_ERROR, "the headers for the server are too long");
      return -1;
    }
    memcpy(*at, client->headers[i].line, client->headers[i].len);
    *at += client->headers[i].len;
    room -= client->headers[i].len;
  }
  return 0;
}

static void keep_close(struct mu_client *client, const unsigned char *data, size_t len)
{
  if (client->state != MUI_CLIENT_OPEN)
    return;
  client->close_code = 1005;
  client->close_reason[0] = '\0';
  if (len >= 2) {
    size_t n = len - 2 < sizeof client->close_reason ? len - 2 : sizeof client->close_reason - 1;
    client->close_code = (unsigned)(data[0] << 8 | data[1]);
    memcpy(client->close_reason, data + 2, n);
    client->close_reason[n] = '\0';
  }
}

/* The library's words for a failed attempt, as people know the cause. */
static void explain(const struct mu_client *client, struct lws *wsi, const char *said, char *text, size_t size)
{
  if (strstr(said, "SSL"))
    mui_client_tls_explain(client, wsi, text, size);
  else if (strcmp(said, "Unable to connect") == 0) /* the system's error is gone by now */
    snprintf(text, size, "connection refused, or host unreachable");
  else
    snprintf(text, size, "%s", said[0] ? said : "the connection could not be made");
}

static void on_closed(struct mu_client *client)
{
  char reason[sizeof client->close_reason];
  unsigned code = client->close_code;
  memcpy(reason, client->close_reason, sizeof reason);
  if (client->state != MUI_CLIENT_CLOSING) {
    client->close_code = 0;
    client->close_reason[0] = '\0';
  }
  mui_client_down(client, 0, code ? code : 1006, code ? reason : "the link broke");
}

static int dispatch(struct mu_client *client, struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t len)
{
  switch (reason) {
  case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
    return append_headers(client, in, len);
  case LWS_CALLBACK_CLIENT_HTTP_REDIRECT:
    return -1;
  case LWS_CALLBACK_CLIENT_ESTABLISHED:
    client->wsi = wsi;
    return on_established(client);
  case LWS_CALLBACK_CLIENT_RECEIVE:
    return on_receive(client, wsi, in, len);
  case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
    mu_timer_stop(client->pong);
    client->pong_due = false;
    return 0;
  case LWS_CALLBACK_CLIENT_WRITEABLE:
    return on_writeable(client, wsi);
  case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    keep_close(client, in, len);
    return 0;
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
    if (client->state != MUI_CLIENT_CONNECTING || !client->attempting)
      return 0;
    client->wsi = wsi;
    unsigned status = lws_http_client_http_response(wsi);
    char said[160], text[160];
    snprintf(said, sizeof said, "%.*s", in ? (int)strnlen(in, len ? len : 150) : 0, in ? (const char *)in : "");
    if (status >= 300)
      snprintf(text, sizeof text, "the server refused the upgrade with status %u", status);
    else
      explain(client, wsi, said, text, sizeof text);
    mui_client_failed(client, status >= 300 ? (int)status : 0, text);
    return 0;
  }
  case LWS_CALLBACK_CLIENT_CLOSED:
    if (client->wsi == wsi)
      on_closed(client);
    return 0;
  case LWS_CALLBACK_WSI_DESTROY: /* whatever was told before: it is gone now */
    if (client->wsi == wsi)
      client->wsi = NULL;
    return 0;
  default:
    return 0;
  }
}

/* For other reasons `user` may be anything: an SSL_CTX while a vhost is made. */
static bool concerns_client(enum lws_callback_reasons reason)
{
  switch (reason) {
  case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
  case LWS_CALLBACK_CLIENT_HTTP_REDIRECT:
  case LWS_CALLBACK_CLIENT_ESTABLISHED:
  case LWS_CALLBACK_CLIENT_RECEIVE:
  case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
  case LWS_CALLBACK_CLIENT_WRITEABLE:
  case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
  case LWS_CALLBACK_CLIENT_CLOSED:
  case LWS_CALLBACK_WSI_DESTROY:
    return true;
  default:
    return false;
  }
}

int mui_client_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
  struct mu_client *client = user;
  if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)
    mui_client_tls_context(wsi, user);
  if (!concerns_client(reason))
    return 0;
  if (!client) {
    /* Orphaned: it must not live on when it gets through after all. */
    bool lives = reason == LWS_CALLBACK_CLIENT_ESTABLISHED || reason == LWS_CALLBACK_CLIENT_RECEIVE ||
                 reason == LWS_CALLBACK_CLIENT_WRITEABLE || reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER;
    return lives ? -1 : 0;
  }
  mui_client_hold(client);
  int result = dispatch(client, wsi, reason, in, len);
  if (!mui_client_release(client))
    return -1; /* its connection was orphaned */
  return result;
}
