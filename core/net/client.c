/* SPDX-License-Identifier: ISC */
/* The WebSocket client: resolve, connect, supervise, come back. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/client.h>
#include <muster/log.h>
#include "base/utf8.h"
#include "loop/loop.h"
#include "net/internal.h"
#include "net/uplink.h"

enum {
  ATTEMPT_MS = 10000, /* for one address: connection, TLS and upgrade together */
  CLOSE_MS = 2000,    /* for the server's half of a graceful close */
  STAYED_UP_S = 30,   /* a link that held this long starts the delays from the beginning */
  MAX_ADDRESSES = 8,
};

enum state {
  IDLE,       /* not started */
  RESOLVING,
  CONNECTING,
  OPEN,
  CLOSING,    /* our close frame is on its way */
  WAITING,    /* for the next attempt */
  ENDING,     /* `closed` is still to be told */
  ENDED,
};

/* An outstanding name; outlives its client, for resolving cannot be called back. */
struct lookup {
  struct lookup *next, **pprev;
  struct mu_client *client; /* NULL: freed */
};

/* One for each set of authorities, for life. */
struct client_vhost {
  struct client_vhost *next;
  struct lws_vhost *vhost;
  char *ca_file; /* NULL: the system's */
};

struct mui_net_clients {
  struct mui_net *net;
  struct mu_client *first;
  struct lookup *lookups;
  struct client_vhost *vhosts;
};

struct message {
  struct message *next;
  mu_text *text;
};

struct header {
  char *line; /* "Name: value\r\n"; may be a secret */
  size_t len;
};

struct mu_client {
  struct mui_resource resource;
  struct mui_net *net;
  mu_instance *in;
  struct mu_client *next, **pprev;
  struct mui_url url;
  char authority[300];
  struct header *headers;
  size_t header_count;
  struct lws_vhost *vhost;
  bool insecure;
  uint64_t ping_every_ms, pong_within_ms;
  size_t max_queue, max_message;
  struct mu_client_events events;
  void *self;

  enum state state;
  unsigned held; /* callbacks of ours or the plugin's on the stack */
  bool freed;
  bool attempting; /* nothing was heard of the attempt yet */
  struct lws *wsi;
  struct lookup *lookup;
  struct mui_address addresses[MAX_ADDRESSES];
  size_t address_count, address_at;
  unsigned failures; /* in a row */
  int64_t up_ns;
  mu_timer *timer; /* the state's: next attempt, attempt takes too long, close takes too long, end */
  mu_timer *ping, *pong;
  bool ping_due, pong_due, close_sent;
  unsigned close_code;
  char close_reason[124];
  struct message *queue, **queue_tail;
  size_t queued;
  uint64_t dropped;
  struct mu_buf in_buf;
  bool receiving_binary;
};

/* ---- memory ---------------------------------------------------------------------------------- */

static void drop_oldest(struct mu_client *client)
{
  struct message *message = client->queue;
  client->queue = message->next;
  if (!client->queue)
    client->queue_tail = &client->queue;
  client->queued--;
  mu_text_unref(message->text);
  free(message);
}

static void destroy(struct mu_client *client)
{
  while (client->queue)
    drop_oldest(client);
  for (size_t i = 0; i < client->header_count; i++)
    if (client->headers[i].line) {
      mu_secret_wipe(client->headers[i].line, client->headers[i].len);
      free(client->headers[i].line);
    }
  free(client->headers);
  mu_buf_free(&client->in_buf);
  free(client);
}

/* At once, even when the rest must wait: they are the instance's too. */
static void free_timers(struct mu_client *client)
{
  mu_timer_free(client->timer);
  mu_timer_free(client->ping);
  mu_timer_free(client->pong);
  client->timer = client->ping = client->pong = NULL;
}

/* The library's connection no longer finds the client, however many callbacks it still makes. */
static struct lws *let_go(struct mu_client *client)
{
  struct lws *wsi = client->wsi;
  if (wsi)
    lws_set_wsi_user(wsi, NULL);
  client->wsi = NULL;
  return wsi;
}

/* Ends attempt or link without us. */
static void orphan(struct mu_client *client)
{
  struct lws *wsi = let_go(client);
  if (wsi)
    lws_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_CLIENT_HS_SEND, LWS_TO_KILL_ASYNC);
  if (client->lookup)
    client->lookup->client = NULL;
  client->lookup = NULL;
}

static void hold(struct mu_client *client)
{
  client->held++;
}

/* False: it was freed meanwhile. */
static bool release(struct mu_client *client)
{
  assert(client->held > 0);
  if (--client->held > 0 || !client->freed)
    return !client->freed;
  destroy(client);
  return false;
}

void mu_client_free(mu_client *client)
{
  if (!client || client->freed)
    return;
  client->freed = true;
  mui_resource_del(&client->resource);
  free_timers(client);
  orphan(client);
  client->state = ENDED;
  *client->pprev = client->next;
  if (client->next)
    client->next->pprev = client->pprev;
  if (client->held == 0)
    destroy(client);
}

static void revoke_client(struct mui_resource *resource)
{
  mu_client_free((struct mu_client *)resource);
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* Tells the plugin. False: it freed the client. */
static bool tell_closed(struct mu_client *client, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  if (!client->events.closed)
    return true;
  struct mui_call call;
  hold(client);
  mui_call_begin(&call, client->in, MUI_CB_CLIENT);
  client->events.closed(client->self, status, code, reason, retry_ms);
  mui_call_end(&call, 0);
  return release(client);
}

/* The link is gone, or none came about: again later, or never. */
static void down(struct mu_client *client, int status, unsigned code, const char *reason)
{
  bool ending = client->state == CLOSING;
  let_go(client);
  mu_timer_stop(client->ping);
  mu_timer_stop(client->pong);
  mu_timer_stop(client->timer);
  mu_buf_clear(&client->in_buf);
  client->ping_due = client->pong_due = client->close_sent = false;
  if (ending) {
    client->state = ENDED;
    tell_closed(client, 0, client->close_code, client->close_reason, 0);
    return;
  }
  if (client->up_ns && mu_mono_ns() - client->up_ns >= STAYED_UP_S * INT64_C(1000000000))
    client->failures = 0;
  client->up_ns = 0;
  if (client->net->stopping) {
    client->state = ENDED;
    tell_closed(client, status, code, reason, 0);
    return;
  }
  uint32_t random = UINT32_MAX / 2;
  if (mu_random(&random, sizeof random) < 0)
    mu_log_limited(client->in, MU_LOG_WARN, "client random", "no random numbers: reconnecting without jitter");
  uint64_t retry_ms = mui_client_delay_ms(client->failures, random);
  if (client->failures < 1000)
    client->failures++;
  client->state = WAITING;
  mu_timer_start(client->timer, retry_ms, 0);
  tell_closed(client, status, code, reason, retry_ms);
}

/* An attempt failed: the next address, unless the server itself answered. */
static void failed(struct mu_client *client, int status, const char *reason)
{
  let_go(client);
  client->attempting = false;
  if (client->state == CONNECTING && status == 0 && client->address_at + 1 < client->address_count) {
    client->address_at++;
    mu_timer_start(client->timer, 0, 0); /* not from inside the library's callback */
    return;
  }
  down(client, status, 1006, reason);
}

static void connect_address(struct mu_client *client)
{
  const struct mui_address *address = &client->addresses[client->address_at];
  client->state = CONNECTING;
  mu_timer_start(client->timer, ATTEMPT_MS, 0);
  int ssl = LCCSCF_HTTP_NO_FOLLOW_REDIRECT; /* our headers are for this server */
  if (client->url.tls)
    ssl |= LCCSCF_USE_SSL;
  if (client->url.tls && client->insecure)
    ssl |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_EXPIRED |
           LCCSCF_ALLOW_INSECURE;
  struct lws_client_connect_info info = {
      .context = client->net->context,
      .vhost = client->vhost,
      .address = address->text,
      .port = address->port,
      .ssl_connection = ssl,
      .path = client->url.path,
      .host = client->authority, /* the certificate is checked against its name */
      .local_protocol_name = "muster-client",
      .alpn = "http/1.1",
      .ietf_version_or_minus_one = -1,
      .userdata = client,
      .pwsi = &client->wsi,
  };
  client->attempting = true;
  hold(client);
  struct lws *wsi = lws_client_connect_via_info(&info);
  if (!release(client))
    return;
  /* It may have failed inside the call, with or without telling. */
  if (!wsi && client->attempting)
    failed(client, 0, "the connection could not be made");
}

static void on_resolved(void *context, int error, const struct mui_address *list, size_t count)
{
  struct lookup *lookup = context;
  struct mu_client *client = lookup->client;
  *lookup->pprev = lookup->next;
  if (lookup->next)
    lookup->next->pprev = lookup->pprev;
  free(lookup);
  if (!client)
    return;
  client->lookup = NULL;
  if (count == 0) {
    down(client, 0, 1006, error == MU_ENOENT ? "the name is not known" : mu_strerror(error));
    return;
  }
  client->address_count = count < MAX_ADDRESSES ? count : MAX_ADDRESSES;
  memcpy(client->addresses, list, client->address_count * sizeof *list);
  client->address_at = 0;
  connect_address(client);
}

static void resolve(struct mu_client *client)
{
  struct mui_net_clients *clients = client->net->clients;
  client->state = RESOLVING;
  struct lookup *lookup = calloc(1, sizeof *lookup);
  /* In the core's name: then the answer comes even when the plugin has stopped, and the lookup is freed. */
  if (lookup && mui_resolve(client->net->runtime->core, client->url.host, client->url.port, on_resolved, lookup) < 0) {
    free(lookup);
    lookup = NULL;
  }
  if (!lookup) {
    down(client, 0, 1006, "the name could not be looked up");
    return;
  }
  lookup->client = client;
  lookup->next = clients->lookups;
  lookup->pprev = &clients->lookups;
  if (lookup->next)
    lookup->next->pprev = &lookup->next;
  clients->lookups = lookup;
  client->lookup = lookup;
}

static void on_timer(void *context)
{
  struct mu_client *client = context;
  switch (client->state) {
  case WAITING:
    resolve(client);
    return;
  case CONNECTING:
    if (!client->wsi) {
      connect_address(client);
      return;
    }
    orphan(client);
    failed(client, 0, "the connection took too long");
    return;
  case CLOSING:
    orphan(client);
    down(client, 0, client->close_code, client->close_reason);
    return;
  case ENDING:
    client->state = ENDED;
    tell_closed(client, 0, client->close_code, client->close_reason, 0);
    return;
  default:
    return;
  }
}

static void on_ping(void *context)
{
  struct mu_client *client = context;
  client->ping_due = true;
  /* Not mu_timer_active(): it may have run out in this very turn, and starting it again would forgive that. */
  if (!client->pong_due)
    mu_timer_start(client->pong, client->pong_within_ms, 0);
  client->pong_due = true;
  lws_callback_on_writable(client->wsi);
}

static void on_no_pong(void *context)
{
  struct mu_client *client = context;
  orphan(client);
  down(client, 0, 1006, "no pong came: the link is dead");
}

/* ---- the library's callbacks ----------------------------------------------------------------- */

static int on_established(struct mu_client *client)
{
  client->state = OPEN;
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

static int on_receive(struct mu_client *client, struct lws *wsi, const void *data, size_t len)
{
  if (client->state != OPEN)
    return 0;
  if (lws_is_first_fragment(wsi)) {
    mu_buf_clear(&client->in_buf);
    client->receiving_binary = lws_frame_is_binary(wsi);
  }
  if (len > client->max_message - client->in_buf.len) {
    static unsigned char text[] = "message too long";
    mu_log_limited(client->in, MU_LOG_WARN, "client message", "the server sent a message over %zu bytes",
                   client->max_message);
    lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, text, sizeof text - 1);
    return -1;
  }
  mu_buf_add(&client->in_buf, data, len);
  if (client->in_buf.failed)
    return -1;
  if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
    return 0;
  if (!client->receiving_binary && !mui_utf8_valid(client->in_buf.at ? client->in_buf.at : "", client->in_buf.len)) {
    static unsigned char text[] = "invalid UTF-8";
    lws_close_reason(wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, text, sizeof text - 1);
    return -1;
  }
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
  if (client->state == CLOSING) {
    if (client->close_sent)
      return 0; /* a second -1 would cut the connection before the frame is out */
    client->close_sent = true;
    lws_close_reason(wsi, (enum lws_close_status)client->close_code, (unsigned char *)client->close_reason,
                     strlen(client->close_reason));
    return -1;
  }
  if (client->state != OPEN)
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
    drop_oldest(client);
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
  if (client->state != OPEN)
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

static void on_closed(struct mu_client *client)
{
  char reason[sizeof client->close_reason];
  unsigned code = client->close_code;
  memcpy(reason, client->close_reason, sizeof reason);
  if (client->state != CLOSING) {
    client->close_code = 0;
    client->close_reason[0] = '\0';
  }
  down(client, 0, code ? code : 1006, code ? reason : "the link broke");
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
    if (client->state != CONNECTING || !client->attempting)
      return 0;
    client->wsi = wsi;
    unsigned status = lws_http_client_http_response(wsi);
    char text[160];
    if (status >= 300)
      snprintf(text, sizeof text, "the server refused the upgrade with status %u", status);
    else
      snprintf(text, sizeof text, "%.*s", in ? (int)strnlen(in, len ? len : 150) : 0, in ? (const char *)in : "");
    failed(client, status >= 300 ? (int)status : 0, text[0] ? text : "the connection could not be made");
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
  if (!concerns_client(reason))
    return 0;
  if (!client) {
    /* Orphaned: it must not live on when it gets through after all. */
    bool lives = reason == LWS_CALLBACK_CLIENT_ESTABLISHED || reason == LWS_CALLBACK_CLIENT_RECEIVE ||
                 reason == LWS_CALLBACK_CLIENT_WRITEABLE || reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER;
    return lives ? -1 : 0;
  }
  hold(client);
  int result = dispatch(client, wsi, reason, in, len);
  if (!release(client))
    return -1; /* its connection was orphaned */
  return result;
}

/* ---- making ---------------------------------------------------------------------------------- */

static struct lws_vhost *vhost_for(struct mui_net *net, mu_instance *in, const char *ca_file)
{
  static const struct lws_protocols protocols[] = {
      {.name = "muster-client", .callback = mui_client_callback, .rx_buffer_size = 4096}, {0}};
  struct mui_net_clients *clients = net->clients;
  for (struct client_vhost *at = clients->vhosts; at; at = at->next)
    if (ca_file ? at->ca_file && strcmp(at->ca_file, ca_file) == 0 : !at->ca_file)
      return at->vhost;
  if (ca_file && access(ca_file, R_OK) != 0) {
    mu_log(in, MU_LOG_ERROR, "the file of authorities %s cannot be read", ca_file);
    return NULL;
  }
  struct client_vhost *made = calloc(1, sizeof *made);
  if (!made || (ca_file && !(made->ca_file = strdup(ca_file)))) {
    free(made);
    return NULL;
  }
  struct lws_context_creation_info info = {0};
  mui_net_vhost_info(net, &info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = protocols;
  info.vhost_name = ca_file ? made->ca_file : "muster-client"; /* kept by the library as it is */
  info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  if (ca_file) {
    info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info.client_ssl_ca_filepath = made->ca_file;
  }
  made->vhost = lws_create_vhost(net->context, &info);
  if (!made->vhost) {
    mu_log(in, MU_LOG_ERROR, "the client's side of TLS could not be set up");
    free(made->ca_file);
    free(made);
    return NULL;
  }
  made->next = clients->vhosts;
  clients->vhosts = made;
  return made->vhost;
}

static bool header_clean(const struct mu_header *header)
{
  for (const char *at = header->name; *at; at++)
    if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
      return false;
  for (const char *at = header->value; *at; at++)
    if ((unsigned char)*at < ' ' || *at == 0x7f)
      return false;
  return *header->name != '\0';
}

static int copy_headers(struct mu_client *client, const struct mu_client_options *options)
{
  if (options->header_count == 0)
    return 0;
  client->headers = calloc(options->header_count, sizeof *client->headers);
  if (!client->headers)
    return MU_ENOMEM;
  client->header_count = options->header_count;
  for (size_t i = 0; i < options->header_count; i++) {
    const struct mu_header *header = &options->headers[i];
    if (!header_clean(header)) {
      /* Neither is shown: a value may be a secret. */
      mu_log(client->in, MU_LOG_ERROR, "header %zu for the server has characters that headers cannot have", i + 1);
      return MU_EINVAL;
    }
    int len = asprintf(&client->headers[i].line, "%s: %s\r\n", header->name, header->value);
    if (len < 0) {
      client->headers[i].line = NULL;
      return MU_ENOMEM;
    }
    client->headers[i].len = (size_t)len;
  }
  return 0;
}

mu_client *mu_client_new(mu_instance *in, const struct mu_client_options *declared,
                         const struct mu_client_events *events, void *self)
{
  struct mu_client_options options = {0};
  struct mui_runtime *runtime = in->runtime;
  memcpy(&options, declared, declared->size < sizeof options ? declared->size : sizeof options);
  struct mui_url url;
  const char *problem = options.url ? mui_url_parse(options.url, &url) : "there is none";
  if (problem) {
    mu_log(in, MU_LOG_ERROR, "the server's URL: %s", problem);
    return NULL;
  }
  if (!runtime->net && !(runtime->net = mui_net_new(runtime)))
    return NULL;
  struct mu_client *client = calloc(1, sizeof *client);
  if (!client)
    return NULL;
  client->net = runtime->net;
  client->in = in;
  client->url = url;
  mui_url_authority(&url, client->authority);
  client->insecure = options.tls_insecure;
  client->ping_every_ms = (options.ping_every_s ? options.ping_every_s : 30) * UINT64_C(1000);
  client->pong_within_ms = (options.pong_within_s ? options.pong_within_s : 45) * UINT64_C(1000);
  client->max_queue = options.max_queue ? options.max_queue : 100;
  client->max_message = options.max_message ? options.max_message : 64 * 1024;
  if (events)
    memcpy(&client->events, events, events->size < sizeof client->events ? events->size : sizeof client->events);
  client->self = self;
  client->queue_tail = &client->queue;
  client->timer = mu_timer_new(in, on_timer, client);
  client->ping = mu_timer_new(in, on_ping, client);
  client->pong = mu_timer_new(in, on_no_pong, client);
  if (!client->timer || !client->ping || !client->pong || copy_headers(client, &options) < 0)
    goto fail;
  client->vhost = vhost_for(client->net, in, options.tls_ca_file);
  if (!client->vhost)
    goto fail;
  struct mui_net_clients *clients = client->net->clients;
  client->next = clients->first;
  client->pprev = &clients->first;
  if (client->next)
    client->next->pprev = &client->next;
  clients->first = client;
  mui_resource_add(in, &client->resource, revoke_client);
  return client;
fail:
  free_timers(client);
  destroy(client);
  return NULL;
}

void mu_client_start(mu_client *client)
{
  if (client->state != IDLE)
    return;
  if (client->url.tls && client->insecure)
    mu_log(client->in, MU_LOG_WARN, "tls_insecure: the certificate of %s is NOT verified", client->url.host);
  resolve(client);
}

bool mu_client_connected(const mu_client *client)
{
  return client->state == OPEN;
}

int mu_client_send(mu_client *client, mu_text *text)
{
  if (client->state >= ENDING || client->state == CLOSING)
    return MU_ECLOSED;
  struct message *message = malloc(sizeof *message);
  if (!message)
    return MU_ENOMEM;
  int result = 0;
  if (client->queued >= client->max_queue) {
    drop_oldest(client);
    client->dropped++;
    result = MU_ELIMIT;
  }
  *message = (struct message){.text = mu_text_ref(text)};
  *client->queue_tail = message;
  client->queue_tail = &message->next;
  client->queued++;
  if (client->state == OPEN)
    lws_callback_on_writable(client->wsi);
  return result;
}

uint64_t mu_client_dropped(const mu_client *client)
{
  return client->dropped;
}

void mu_client_close(mu_client *client, unsigned code, const char *reason)
{
  if (client->state == CLOSING || client->state >= ENDING)
    return;
  client->close_code = code;
  snprintf(client->close_reason, sizeof client->close_reason, "%s", reason ? reason : "");
  mu_timer_stop(client->ping);
  mu_timer_stop(client->pong);
  if (client->state == OPEN) {
    client->state = CLOSING;
    mu_timer_start(client->timer, CLOSE_MS, 0);
    lws_callback_on_writable(client->wsi);
    return;
  }
  orphan(client);
  client->state = ENDING;
  mu_timer_start(client->timer, 0, 0);
}

/* ---- from start to end ----------------------------------------------------------------------- */

int mui_net_client_init(struct mui_net *net)
{
  net->clients = calloc(1, sizeof *net->clients);
  if (!net->clients)
    return MU_ENOMEM;
  net->clients->net = net;
  return 0;
}

size_t mui_net_client_close_all(struct mui_net *net)
{
  size_t open = 0;
  for (struct mu_client *client = net->clients ? net->clients->first : NULL; client; client = client->next) {
    mu_client_close(client, 1001, "stopping");
    open += client->wsi != NULL;
  }
  return open;
}

void mui_net_client_fini(struct mui_net *net)
{
  struct mui_net_clients *clients = net->clients;
  if (!clients)
    return;
  while (clients->first)
    mu_client_free(clients->first);
  while (clients->lookups) {
    struct lookup *next = clients->lookups->next;
    free(clients->lookups);
    clients->lookups = next;
  }
  while (clients->vhosts) {
    struct client_vhost *next = clients->vhosts->next;
    free(clients->vhosts->ca_file);
    free(clients->vhosts);
    clients->vhosts = next;
  }
  free(clients);
  net->clients = NULL;
}
