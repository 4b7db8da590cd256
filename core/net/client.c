/* SPDX-License-Identifier: ISC */
/* The WebSocket client: resolve, connect, supervise, come back. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/log.h>
#include "net/client.h"

enum {
  ATTEMPT_MS = 10000, /* for one address: connection, TLS and upgrade together */
  STAYED_UP_S = 30,   /* a link that held this long starts the delays from the beginning */
};

/* An outstanding name; outlives its client, for resolving cannot be called back. */
struct lookup {
  struct lookup *next, **pprev;
  struct mu_client *client; /* NULL: freed */
};

/* One for each set of authorities, and one without TLS; for life. */
struct client_vhost {
  struct client_vhost *next;
  struct lws_vhost *vhost;
  bool tls;
  char *ca_file; /* NULL: the system's */
};

struct mui_net_clients {
  struct mui_net *net;
  struct mu_client *first;
  struct lookup *lookups;
  struct client_vhost *vhosts;
};

/* ---- memory ---------------------------------------------------------------------------------- */

void mui_client_drop_oldest(struct mu_client *client)
{
  struct mui_message *message = client->queue;
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
    mui_client_drop_oldest(client);
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

void mui_client_hold(struct mu_client *client)
{
  client->held++;
}

/* False: it was freed meanwhile. */
bool mui_client_release(struct mu_client *client)
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
  client->state = MUI_CLIENT_ENDED;
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

struct mu_client *mui_client_of(struct mui_net *net, const void *ssl)
{
  for (struct mu_client *at = net->clients->first; at; at = at->next)
    if (at->wsi && lws_get_ssl(at->wsi) == ssl)
      return at;
  return NULL;
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* Tells the plugin. False: it freed the client. */
static bool tell_closed(struct mu_client *client, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  if (!client->events.closed)
    return true;
  struct mui_call call;
  mui_client_hold(client);
  mui_call_begin(&call, client->in, MUI_CB_CLIENT);
  client->events.closed(client->self, status, code, reason, retry_ms);
  mui_call_end(&call, 0);
  return mui_client_release(client);
}

/* Tells of the end that was asked for, and waits for the new link if that was asked for, too. */
static void ended(struct mu_client *client)
{
  bool again = client->again && !client->net->stopping;
  uint64_t retry_ms = again ? client->again_ms : 0;
  client->again = false;
  client->state = again ? MUI_CLIENT_WAITING : MUI_CLIENT_ENDED;
  if (again)
    mu_timer_start(client->timer, retry_ms, 0);
  tell_closed(client, 0, client->close_code, client->close_reason, retry_ms);
}

/* The link is gone, or none came about: again later, or never. */
void mui_client_down(struct mu_client *client, int status, unsigned code, const char *reason)
{
  bool ending = client->state == MUI_CLIENT_CLOSING && !client->broken;
  char own[sizeof client->close_reason];
  let_go(client);
  if (client->broken) {
    code = client->close_code;
    memcpy(own, client->close_reason, sizeof own);
    reason = own;
    client->close_code = 0;
    client->close_reason[0] = '\0';
  }
  client->broken = false;
  mu_timer_stop(client->ping);
  mu_timer_stop(client->pong);
  mu_timer_stop(client->timer);
  mu_buf_clear(&client->in_buf);
  client->ping_due = client->pong_due = client->close_sent = false;
  if (client->up_ns && mu_mono_ns() - client->up_ns >= STAYED_UP_S * INT64_C(1000000000))
    client->failures = 0;
  client->up_ns = 0;
  while (client->no_queue && client->queue)
    mui_client_drop_oldest(client);
  if (ending) {
    ended(client);
    return;
  }
  if (client->net->stopping) {
    client->state = MUI_CLIENT_ENDED;
    tell_closed(client, status, code, reason, 0);
    return;
  }
  uint32_t random = UINT32_MAX / 2;
  if (mu_random(&random, sizeof random) < 0)
    mu_log_limited(client->in, MU_LOG_WARN, "client random", "no random numbers: reconnecting without jitter");
  uint64_t retry_ms = mui_client_delay_ms(client->failures, random);
  if (client->failures < 1000)
    client->failures++;
  client->state = MUI_CLIENT_WAITING;
  mu_timer_start(client->timer, retry_ms, 0);
  tell_closed(client, status, code, reason, retry_ms);
}

/* An attempt failed: the next address, unless the server itself answered. */
void mui_client_failed(struct mu_client *client, int status, const char *reason)
{
  let_go(client);
  client->attempting = false;
  if (client->state == MUI_CLIENT_CONNECTING && status == 0 && client->address_at + 1 < client->address_count) {
    client->address_at++;
    mu_timer_start(client->timer, 0, 0); /* not from inside the library's callback */
    return;
  }
  mui_client_down(client, status, 1006, reason);
}

static void connect_address(struct mu_client *client)
{
  const struct mui_address *address = &client->addresses[client->address_at];
  client->state = MUI_CLIENT_CONNECTING;
  mu_timer_start(client->timer, ATTEMPT_MS, 0);
  int ssl = LCCSCF_HTTP_NO_FOLLOW_REDIRECT; /* our headers are for this server */
  if (client->url.tls)
    ssl |= LCCSCF_USE_SSL;
  if (client->url.tls && client->insecure)
    ssl |=
        LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_EXPIRED | LCCSCF_ALLOW_INSECURE;
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
  mui_client_hold(client);
  struct lws *wsi = lws_client_connect_via_info(&info);
  if (!mui_client_release(client))
    return;
  /* It may have failed inside the call, with or without telling. */
  if (!wsi && client->attempting)
    mui_client_failed(client, 0, "the connection could not be made");
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
    mui_client_down(client, 0, 1006, error == MU_ENOENT ? "name not found" : mu_strerror(error));
    return;
  }
  client->address_count = count < MUI_CLIENT_ADDRESSES ? count : MUI_CLIENT_ADDRESSES;
  memcpy(client->addresses, list, client->address_count * sizeof *list);
  client->address_at = 0;
  connect_address(client);
}

static void resolve(struct mu_client *client)
{
  struct mui_net_clients *clients = client->net->clients;
  client->state = MUI_CLIENT_RESOLVING;
  struct lookup *lookup = calloc(1, sizeof *lookup);
  /* In the core's name: then the answer comes even when the plugin has stopped, and the lookup is freed. */
  if (lookup && mui_resolve(client->net->runtime->core, client->url.host, client->url.port, on_resolved, lookup) < 0) {
    free(lookup);
    lookup = NULL;
  }
  if (!lookup) {
    mui_client_down(client, 0, 1006, "the name could not be looked up");
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
  case MUI_CLIENT_WAITING:
    resolve(client);
    return;
  case MUI_CLIENT_CONNECTING:
    if (!client->wsi) {
      connect_address(client);
      return;
    }
    orphan(client);
    mui_client_failed(client, 0, "the connection took too long");
    return;
  case MUI_CLIENT_CLOSING:
    orphan(client);
    mui_client_down(client, 0, client->close_code, client->close_reason);
    return;
  case MUI_CLIENT_ENDING:
    ended(client);
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
  mui_client_down(client, 0, 1006, "no pong came: the link is dead");
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Without TLS no authorities are read: they take a megabyte. */
static struct lws_vhost *vhost_for(struct mui_net *net, mu_instance *in, bool tls, const char *ca_file)
{
  static const struct lws_protocols protocols[] = {
      {.name = "muster-client", .callback = mui_client_callback, .rx_buffer_size = 4096}, {0}};
  struct mui_net_clients *clients = net->clients;
  for (struct client_vhost *at = clients->vhosts; at; at = at->next)
    if (at->tls == tls && (ca_file ? at->ca_file && strcmp(at->ca_file, ca_file) == 0 : !at->ca_file))
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
  info.user = net;
  /* Kept by the library as it is. */
  info.vhost_name = ca_file ? made->ca_file : tls ? "muster-client" : "muster-client-plain";
  made->tls = tls;
  if (tls)
    info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  if (ca_file || !tls)
    info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
  info.client_ssl_ca_filepath = made->ca_file;
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
  client->no_queue = options.no_queue;
  if (events)
    memcpy(&client->events, events, events->size < sizeof client->events ? events->size : sizeof client->events);
  client->self = self;
  client->queue_tail = &client->queue;
  client->timer = mu_timer_new(in, on_timer, client);
  client->ping = mu_timer_new(in, on_ping, client);
  client->pong = mu_timer_new(in, on_no_pong, client);
  if (!client->timer || !client->ping || !client->pong || copy_headers(client, &options) < 0)
    goto fail;
  client->vhost = vhost_for(client->net, in, client->url.tls, client->url.tls ? options.tls_ca_file : NULL);
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
  if (client->state != MUI_CLIENT_IDLE)
    return;
  if (client->url.tls && client->insecure)
    mu_log(client->in, MU_LOG_WARN, "tls_insecure: the certificate of %s is NOT verified", client->url.host);
  resolve(client);
}

bool mu_client_connected(const mu_client *client)
{
  return client->state == MUI_CLIENT_OPEN;
}

int mu_client_send(mu_client *client, mu_text *text)
{
  bool ending = client->state >= MUI_CLIENT_ENDING || client->state == MUI_CLIENT_CLOSING;
  if ((ending && !client->again && !client->broken) || (client->no_queue && client->state != MUI_CLIENT_OPEN))
    return MU_ECLOSED;
  if (client->no_queue && client->queued >= client->max_queue)
    return MU_ELIMIT;
  struct mui_message *message = malloc(sizeof *message);
  if (!message)
    return MU_ENOMEM;
  int result = 0;
  if (client->queued >= client->max_queue) {
    mui_client_drop_oldest(client);
    client->dropped++;
    result = MU_ELIMIT;
  }
  *message = (struct mui_message){.text = mu_text_ref(text)};
  *client->queue_tail = message;
  client->queue_tail = &message->next;
  client->queued++;
  if (client->state == MUI_CLIENT_OPEN)
    lws_callback_on_writable(client->wsi);
  return result;
}

uint64_t mu_client_dropped(const mu_client *client)
{
  return client->dropped;
}

/* Ends what there is; ended() follows, not from inside this call. */
static void end(struct mu_client *client, unsigned code, const char *reason)
{
  client->close_code = code;
  snprintf(client->close_reason, sizeof client->close_reason, "%s", reason ? reason : "");
  mu_timer_stop(client->ping);
  mu_timer_stop(client->pong);
  if (client->state == MUI_CLIENT_OPEN) {
    client->state = MUI_CLIENT_CLOSING;
    mu_timer_start(client->timer, MUI_CLIENT_CLOSE_MS, 0);
    lws_callback_on_writable(client->wsi);
    return;
  }
  orphan(client);
  client->state = MUI_CLIENT_ENDING;
  mu_timer_start(client->timer, 0, 0);
}

void mu_client_close(mu_client *client, unsigned code, const char *reason)
{
  bool ending = client->state == MUI_CLIENT_CLOSING || client->state >= MUI_CLIENT_ENDING;
  client->again = client->broken = false; /* an end that is under way is for good now */
  if (!ending)
    end(client, code, reason);
}

void mu_client_again(mu_client *client, unsigned code, const char *reason, uint64_t after_ms)
{
  bool ending = client->state == MUI_CLIENT_CLOSING || client->state >= MUI_CLIENT_ENDING;
  if (client->state == MUI_CLIENT_IDLE || (ending && !client->again && !client->broken))
    return;
  if (client->state == MUI_CLIENT_WAITING) { /* `closed` was told of it, or is being */
    mu_timer_start(client->timer, after_ms, 0);
    return;
  }
  client->again = true;
  client->broken = false;
  client->again_ms = after_ms;
  if (!ending)
    end(client, code, reason);
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
    mu_client_free(clients->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
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
