/* SPDX-License-Identifier: ISC */
/*
 * Writing an answer. The library re-reads bytes of its own buffer list for ever when it is allowed to parse a request
 * from there; so an answer never leaves from inside its callbacks, a connection with unparsed bytes is closed after
 * the answer, and what does not fit into the socket is drained by our own watcher while reading is off.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <muster/log.h>
#include "net/exchange.h"

/* Slower readers than this are cut: the deadline of a long answer grows with its size. */
enum { SLOWEST_BYTES_PER_S = 32 * 1024 };
static const int64_t second = 1000000000;

/* The request ends here; the library's connection with it. */
static void kill_connection(struct mu_http *request)
{
  struct lws *wsi = request->wsi;
  mui_request_drop(request);
  lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_SYNC);
}

void mui_answer_cut(struct mu_http *request)
{
  kill_connection(request);
}

/* Throws away what the client still sends: closing with unread bytes would reset the connection under the answer. */
static bool drain(int fd)
{
  char scratch[4096];
  for (unsigned i = 0; i < 16; i++) {
    ssize_t got = recv(fd, scratch, sizeof scratch, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
      return false;
    if (got < 0)
      return true;
  }
  return true;
}

static void on_linger(void *context, int fd, unsigned events)
{
  (void)events;
  if (!drain(fd))
    kill_connection(context);
}

/*
 * The library waits for POLLOUT, because it kept a part of the answer or has unparsed bytes, and with reading off it never looks: the
 * loop would spin. Served by hand it lets go. There is no POLLIN in this, so nothing is parsed. With unparsed bytes every change of the
 * flow control asks for POLLOUT again, except one inside HTTP_WRITEABLE that is not applied (http.c). False: the connection broke.
 */
static bool settle(struct mu_http *request)
{
  struct lws_pollfd writable = {.fd = lws_get_socket_fd(request->wsi), .events = LWS_POLLOUT, .revents = LWS_POLLOUT};
  request->running = true;
  request->settling = request->pending;
  lws_rx_flow_control(request->wsi, 1);
  lws_service_fd(request->net->context, &writable);
  if (request->wsi && !request->pending)
    lws_rx_flow_control(request->wsi, 0);
  bool broken = request->settling; /* it was not asked, so it still is not under flow control */
  if (!mui_request_release(request))
    return false;
  if (broken)
    kill_connection(request);
  return !broken;
}

static void close_gently(struct mu_http *request)
{
  if ((request->pending || request->spilled) && !settle(request))
    return;
  int fd = lws_get_socket_fd(request->wsi);
  SSL *ssl = lws_get_ssl(request->wsi);
  if (ssl) {
    SSL_shutdown(ssl);
    ERR_clear_error();
  }
  shutdown(fd, SHUT_WR);
  mu_fd_free(request->watch);
  request->watch = NULL;
  request->state = MUI_REQUEST_LINGER;
  request->deadline_ns = mu_mono_ns() + second;
  request->watch = mu_fd_new(request->net->runtime->core, fd, MU_FD_READ, on_linger, request);
  if (!request->watch)
    kill_connection(request);
}

static void finish(struct mu_http *request)
{
  if (request->close) {
    close_gently(request);
    return;
  }
  struct lws *wsi = request->wsi;
  mui_request_drop(request);
  lws_rx_flow_control(wsi, 1);
  if (lws_http_transaction_completed(wsi))
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_SYNC);
}

/* One piece to the socket. False: the connection broke, and the request is gone. */
static bool put(struct mu_http *request, const char *data, size_t len)
{
  /* HTTP/1 is written as it is: the library neither changes nor keeps what it was handed. */
  if (lws_write(request->wsi, (unsigned char *)(uintptr_t)data, len, LWS_WRITE_HTTP) < 0) {
    kill_connection(request);
    return false;
  }
  request->net->stats.bytes_out += len;
  return true;
}

static void on_writable(void *context, int fd, unsigned events);

static void wait_writable(struct mu_http *request)
{
  request->state = MUI_REQUEST_WRITING;
  if (request->watch)
    return;
  int fd = lws_get_socket_fd(request->wsi);
  request->watch = mu_fd_new(request->net->runtime->core, fd, MU_FD_WRITE, on_writable, request);
  if (!request->watch)
    kill_connection(request);
}

/* At most one write each time, so that one big answer does not hold the loop. */
static void go_on(struct mu_http *request)
{
  size_t len = request->answer ? mu_text_len(request->answer) : 0;
  if (request->out_sent < request->out.len) {
    request->out_sent = request->out.len;
    if (!put(request, request->out.at, request->out.len))
      return;
  } else if (request->answer_sent < len) {
    size_t piece = len - request->answer_sent;
    if (piece > MUI_HTTP_CHUNK)
      piece = MUI_HTTP_CHUNK;
    const char *from = mu_text_data(request->answer) + request->answer_sent;
    request->answer_sent += piece;
    if (!put(request, from, piece))
      return;
  }
  bool partial = lws_partial_buffered(request->wsi);
  request->spilled |= partial;
  if (partial || request->answer_sent < len)
    wait_writable(request);
  else
    finish(request);
}

static void on_writable(void *context, int fd, unsigned events)
{
  (void)fd, (void)events;
  struct mu_http *request = context;
  if (lws_partial_buffered(request->wsi)) {
    if (lws_write(request->wsi, NULL, 0, LWS_WRITE_HTTP) < 0) {
      kill_connection(request);
      return;
    }
    if (lws_partial_buffered(request->wsi))
      return;
  }
  go_on(request);
}

static void add_date(struct mu_buf *out)
{
  time_t now = (time_t)(mu_now_ms() / 1000);
  struct tm tm;
  char text[64];
  /* strftime's names are English in the C locale, which the programs never leave. */
  if (gmtime_r(&now, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
    mu_buf_printf(out, "Date: %s\r\n", text);
}

static void build(struct mu_http *request)
{
  struct mu_buf *out = &request->out;
  int status = request->status;
  size_t len = request->answer ? mu_text_len(request->answer) : 0;
  bool no_body = status == 204 || status == 304;
  mu_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, mui_status_text(status));
  add_date(out);
  mu_buf_adds(out, "X-Content-Type-Options: nosniff\r\n");
  if (!request->has_cache_control)
    mu_buf_adds(out, "Cache-Control: no-store\r\n");
  /* What is no page of ours is shown in no frame, and runs nothing. */
  if (!request->has_policy)
    mu_buf_adds(out, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
  if (!request->has_referrer_policy)
    mu_buf_adds(out, "Referrer-Policy: no-referrer\r\n");
  mu_buf_add(out, request->headers.at, request->headers.len);
  if (!no_body)
    mu_buf_printf(out, "Content-Length: %zu\r\n", len);
  mu_buf_adds(out, request->close ? "Connection: close\r\n\r\n" : "\r\n");
  if (no_body || request->head) {
    mu_text_unref(request->answer);
    request->answer = NULL;
  } else if (len > 0 && out->len + len <= MUI_HTTP_CHUNK) {
    mu_buf_add(out, mu_text_data(request->answer), len);
    request->answer_sent = len;
  }
}

void mui_answer_begin(struct mu_http *request)
{
  struct mui_net *net = request->net;
  struct lws *wsi = request->wsi;
  assert(request->state == MUI_REQUEST_ANSWERED && wsi);
  if (!request->close) {
    lws_rx_flow_control(wsi, 1);
    request->pending = !lws_service_adjust_timeout(net->context, 1, 0);
    lws_rx_flow_control(wsi, 0);
    request->close = request->pending;
  }
  build(request);
  if (request->out.failed || request->headers.failed) {
    mu_log_limited(net->runtime->core, MU_LOG_ERROR, "http memory", "out of memory for an HTTP answer");
    kill_connection(request);
    return;
  }
  if (request->status >= 500)
    net->stats.http_5xx++;
  else if (request->status >= 400)
    net->stats.http_4xx++;
  size_t len = request->answer ? mu_text_len(request->answer) : 0;
  double allowed = net->limits.send_timeout_s > 0 ? net->limits.send_timeout_s : 10;
  request->deadline_ns =
      mu_mono_ns() + (int64_t)(allowed * (double)second) + (int64_t)(len / SLOWEST_BYTES_PER_S) * second;
  go_on(request);
}
