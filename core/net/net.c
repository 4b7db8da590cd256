/* SPDX-License-Identifier: ISC */
/* The network side as a whole: the library's context, its callbacks by reason, start and end. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <muster/log.h>
#include "loop/loop.h"
#include "net/internal.h"
#include "net/ws.h"

enum {
  TICK_MS = 250,
  CLIENTS_TICK_MS = 2000, /* attempts of clients have timers of their own */
  STOP_TICK_MS = 20,
  STOP_WITHIN_MS = 1500,
  DESCRIPTORS_MAX = 65536, /* the library keeps a table of this size, filled from the start */
  CLIENTS_DESCRIPTORS_MAX = 1024,
};

/* The library's log has no context: it is written in the name of the network side that was made last. */
static struct mui_net *library_log;

static void on_library_log(int level, const char *line)
{
  struct mui_net *net = library_log;
  if (!net)
    return;
  mu_instance *core = net->runtime->core;
  int len = (int)strcspn(line, "\n");
  if (strncmp(line, "lws_client_handshake: ", 22) == 0 ||
      strstr(line, "(preverify_ok=")) { /* the client's own line says it better */
    mu_log(core, MU_LOG_DEBUG, "libwebsockets: %.*s", len, line);
    return;
  }
  /* Said once or more of a connection, which is closed before we are asked. */
  if (strstr(line, "Ran out of header data space")) {
    if (!net->head_cut)
      mui_net_count(net, "heads_too_large");
    net->head_cut = true;
    mu_log_limited(core, MU_LOG_INFO, "heads_too_large",
                   "a connection is closed without an answer: the head of its request or answer is over %d bytes",
                   MUI_HEAD_MAX);
    return;
  }
  mu_count(mu_counter_get(core, "library_complaints"), 1); /* of some links that it cuts, this is all that it tells */
  mu_log_limited(core, MU_LOG_WARN, level == LLL_ERR ? "library error" : "library", "libwebsockets: %.*s", len, line);
}

void mui_net_count(struct mui_net *net, const char *name)
{
  mu_count(mu_counter_get(net->runtime->core, name), 1);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
  struct mui_session *session = mui_session_of(wsi);
  if (session)
    session->net->head_cut = false;
  switch (reason) {
  case LWS_CALLBACK_WSI_DESTROY:
    if (session) {
      if (session->conn)
        mui_conn_gone(session->conn);
      lws_set_opaque_user_data(wsi, NULL);
      mui_session_free(session);
    }
    return 0;
  case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
  case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
  case LWS_CALLBACK_ESTABLISHED:
  case LWS_CALLBACK_RECEIVE:
  case LWS_CALLBACK_RECEIVE_PONG:
  case LWS_CALLBACK_SERVER_WRITEABLE:
  case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
  case LWS_CALLBACK_CLOSED:
    return session ? mui_ws_callback(wsi, reason, session, in, len) : -1;
  case LWS_CALLBACK_HTTP:
    if (session)
      mui_session_requested(session);
    return mui_http_callback(wsi, reason, session, in, len);
  case LWS_CALLBACK_CLOSED_HTTP:
    if (session && session->waiting_pprev)
      mui_net_no_request(session, wsi);
    return mui_http_callback(wsi, reason, session, in, len);
  case LWS_CALLBACK_HTTP_BODY:
  case LWS_CALLBACK_HTTP_BODY_COMPLETION:
  case LWS_CALLBACK_HTTP_FILE_COMPLETION:
  case LWS_CALLBACK_HTTP_WRITEABLE:
  case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
  case LWS_CALLBACK_HTTP_BIND_PROTOCOL:
  case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    return mui_http_callback(wsi, reason, session, in, len);
  case LWS_CALLBACK_RAW_ADOPT:
  case LWS_CALLBACK_RAW_RX:
  case LWS_CALLBACK_RAW_WRITEABLE:
    return -1;
  case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
    mui_tls_context(wsi, user);
    return 0;
  default:
    return 0;
  }
}

/*
 * The library picks a subprotocol from its own table, before it asks us. So the second one of ours has a name in our memory: that which
 * the client offers whose upgrade is just being accepted. The library looks at it within that call, and for nothing else.
 */
static void fill_protocols(struct mui_net *net)
{
  static const struct lws_protocols ours = {
      .name = "muster", .callback = on_server, .rx_buffer_size = MUI_RX_BUFFER, .tx_packet_size = MUI_TX_PACKET};
  net->protocols[0] = net->protocols[1] = ours;
  net->protocols[1].name = net->subprotocol;
  strcpy(net->subprotocol, "(none)"); /* nobody can offer that */
}

/* No validity timers: they cost a walk of a sorted list at every pong. wheel.c does the same for all. */
static const lws_retry_bo_t no_validity = {0};

void mui_net_vhost_info(struct mui_net *net, struct lws_context_creation_info *info)
{
  info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
  info->protocols = net->protocols;
  info->retry_and_idle_policy = &no_validity;
  info->keepalive_timeout = 10;
  info->timeout_secs = 10;
  info->alpn = "http/1.1";
}

/* ---- time ------------------------------------------------------------------------------------ */

static void on_tick(void *context)
{
  struct mui_net *net = context;
  int64_t now = mu_mono_ns();
  net->head_cut = false; /* that of a client's answer */
  mui_net_listen_tick(net, now);
  mui_net_peers_tick(net, now);
  lws_cancel_service(net->context); /* its own time-outs are late on a foreign loop */
}

static void on_stop_tick(void *context)
{
  struct mui_net *net = context;
  mui_net_listen_cut_idle(net);
  size_t left = mui_net_ws_close_all(net) + mui_net_sessions(net) + mui_net_client_close_all(net);
  if (left && mu_mono_ns() - net->stop_ns < (int64_t)STOP_WITHIN_MS * 1000000)
    return;
  mu_timer_stop(net->stop_timer);
  if (left)
    mu_log(net->runtime->core, MU_LOG_INFO, "%zu connections did not end in time", left);
  void (*done)(void *) = net->stopped;
  net->stopped = NULL;
  if (done)
    done(net->stopped_context);
}

void mui_net_stop(struct mui_net *net, void (*done)(void *context), void *context)
{
  if (!net->stopping) {
    net->stopping = true;
    net->stop_ns = mu_mono_ns();
    mui_net_listen_stop(net);
    mui_net_ws_close_all(net);
  }
  net->stopped = done;
  net->stopped_context = context;
  mu_timer_start(net->stop_timer, 0, STOP_TICK_MS);
}

/* ---- making and freeing ---------------------------------------------------------------------- */

/*
 * The library looks descriptors up in a table as large as the limit of this process; with a limit of its own it walks a list at every
 * event instead. So the process's limit is lowered while the context is made, and accepting stops below it.
 */
static struct lws_context *make_context(struct mui_net *net)
{
  struct rlimit old, low;
  bool lowered = false;
  if (getrlimit(RLIMIT_NOFILE, &old) != 0)
    return NULL;
  unsigned most = net->runtime->clients_only ? CLIENTS_DESCRIPTORS_MAX : DESCRIPTORS_MAX;
  net->descriptors = old.rlim_cur < most ? (unsigned)old.rlim_cur : most;
  if (old.rlim_cur > most) {
    low = (struct rlimit){most, old.rlim_max};
    lowered = setrlimit(RLIMIT_NOFILE, &low) == 0;
  }
  void *loops[1] = {mui_loop_foreign(net->runtime->loop)};
  struct lws_context_creation_info info = {0};
  mui_net_vhost_info(net, &info);
  info.max_http_header_data = MUI_HEAD_MAX;
  info.options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  info.foreign_loops = loops;
  info.gid = (gid_t)-1;
  info.uid = (uid_t)-1;
  struct lws_context *context = lws_create_context(&info);
  if (lowered)
    setrlimit(RLIMIT_NOFILE, &old);
  return context;
}

static void free_parts(struct mui_net *net)
{
  mui_net_client_fini(net);
  mui_net_http_fini(net);
  mui_net_rest_fini(net);
  mui_net_ws_fini(net);
  mui_net_listen_fini(net);
  mui_net_peers_fini(net);
  mui_router_free(net->ws_routes);
  mui_router_free(net->http_routes);
  mu_timer_free(net->tick);
  mu_timer_free(net->stop_timer);
  if (library_log == net)
    library_log = NULL;
  free(net);
}

struct mui_net *mui_net_new(struct mui_runtime *runtime)
{
  struct mui_net *net = calloc(1, sizeof *net);
  if (!net)
    return NULL;
  net->runtime = runtime;
  library_log = net;
  fill_protocols(net);
  lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
  net->limits =
      (struct mui_limits){.max_connections = 10000, .header_timeout_s = 10, .body_timeout_s = 20, .send_timeout_s = 30};
  net->ws_routes = mui_router_new();
  net->http_routes = mui_router_new();
  net->tick = mu_timer_new(runtime->core, on_tick, net);
  net->stop_timer = mu_timer_new(runtime->core, on_stop_tick, net);
  if (!net->ws_routes || !net->http_routes || !net->tick || !net->stop_timer || mui_net_listen_init(net) < 0 ||
      mui_net_peers_init(net) < 0)
    goto fail;
  net->context = make_context(net);
  if (!net->context) {
    mu_log(runtime->core, MU_LOG_ERROR, "libwebsockets cannot be started (is its libev plugin installed?)");
    goto fail;
  }
  struct lws_context_creation_info info = {0};
  mui_net_vhost_info(net, &info);
  info.vhost_name = "plain";
  net->plain = lws_create_vhost(net->context, &info);
  if (!net->plain || mui_net_ws_init(net) < 0 || mui_net_http_init(net) < 0 || mui_net_rest_init(net) < 0 ||
      mui_net_client_init(net) < 0)
    goto fail;
  uint64_t tick_ms = runtime->clients_only ? CLIENTS_TICK_MS : TICK_MS;
  mu_timer_start(net->tick, tick_ms, tick_ms);
  return net;
fail:
  mu_log(runtime->core, MU_LOG_ERROR, "the network side cannot be made");
  if (net->context) {
    lws_context_destroy(net->context);
    mui_loop_turn(runtime->loop);
  }
  free_parts(net);
  return NULL;
}

void mui_net_free(struct mui_net *net)
{
  if (!net)
    return;
  net->stopping = true;
  mui_net_listen_stop(net);
  mu_timer_stop(net->tick);
  mu_timer_stop(net->stop_timer);
  lws_context_destroy(net->context);
  mui_loop_turn(net->runtime->loop);
  if (net->runtime->net == net)
    net->runtime->net = NULL;
  free_parts(net);
}

void mui_net_read(const struct mui_net *net, struct mui_net_stats *stats)
{
  *stats = net->stats;
}
