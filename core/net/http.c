/* SPDX-License-Identifier: ISC */
/* The life of an HTTP request: begun, its body read, handed out, answered, dropped. judge.c refuses, answer.c writes. */
#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "bus/bus.h"
#include "net/exchange.h"
#include "net/rest.h"

enum { SWEEP_MS = 250, TURN_NS = 2000000 };
static const int64_t second = 1000000000;

/* ---- ids ------------------------------------------------------------------------------------- */

static bool slot_take(struct mui_net_http *http, struct mu_http *request)
{
  if (!http->first_free) {
    uint32_t count = http->slot_count ? http->slot_count * 2 : 64;
    struct mui_http_slot *slots = realloc(http->slots, count * sizeof *slots);
    if (!slots)
      return false;
    http->slots = slots;
    for (uint32_t i = count; i > http->slot_count; i--) {
      slots[i - 1] = (struct mui_http_slot){.next_free = http->first_free};
      http->first_free = i;
    }
    http->slot_count = count;
  }
  uint32_t index = http->first_free;
  struct mui_http_slot *slot = &http->slots[index - 1];
  http->first_free = slot->next_free;
  slot->request = request;
  slot->generation++;
  request->id = (uint64_t)slot->generation << 32 | index;
  return true;
}

static void slot_give(struct mui_net_http *http, mu_http_id id)
{
  uint32_t index = (uint32_t)id;
  struct mui_http_slot *slot = &http->slots[index - 1];
  slot->request = NULL;
  slot->next_free = http->first_free;
  http->first_free = index;
}

struct mu_http *mui_request_of(const struct mui_net_http *http, mu_http_id id)
{
  uint32_t index = (uint32_t)id;
  if (index == 0 || index > http->slot_count)
    return NULL;
  const struct mui_http_slot *slot = &http->slots[index - 1];
  return slot->generation == id >> 32 ? slot->request : NULL;
}

mu_http *mu_http_find(mu_instance *in, mu_http_id id)
{
  struct mui_net *net = in->runtime->net;
  struct mu_http *request = net && net->http ? mui_request_of(net->http, id) : NULL;
  if (!request || request->state != MUI_REQUEST_RUNNING || !request->route || request->route->in != in)
    return NULL;
  return request;
}

/* ---- requests per address -------------------------------------------------------------------- */

/* IPv6 addresses count by their /64: one customer has as many of them as they like. */
static void peer_key(const char *address, unsigned char key[16])
{
  struct in_addr four;
  memset(key, 0, 16);
  if (inet_pton(AF_INET, address, &four) == 1)
    memcpy(key + 8, &four, 4);
  else if (inet_pton(AF_INET6, address, key) == 1)
    memset(key + 8, 0, 8);
  else
    memcpy(key, address, strnlen(address, 16));
}

static struct mui_http_peer *peer_get(struct mui_net_http *http, const char *address)
{
  unsigned char key[16];
  peer_key(address, key);
  struct mu_str name = {(const char *)key, sizeof key};
  struct mui_http_peer *peer = mu_map_get(http->peers, name);
  if (!peer) {
    peer = calloc(1, sizeof *peer);
    if (!peer)
      return NULL;
    memcpy(peer->key, key, sizeof key);
    if (mu_map_add(http->peers, name, peer) < 0) {
      free(peer);
      return NULL;
    }
  }
  peer->requests++;
  return peer;
}

static void peer_put(struct mui_net_http *http, struct mui_http_peer *peer)
{
  if (--peer->requests > 0)
    return;
  mu_map_del(http->peers, (struct mu_str){(const char *)peer->key, sizeof peer->key});
  free(peer);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void free_notes(struct mui_note *note)
{
  while (note) {
    struct mui_note *next = note->next;
    free(note);
    note = next;
  }
}

static void free_request(struct mu_http *request)
{
  free_notes(request->notes);
  mu_buf_free(&request->body);
  mu_buf_free(&request->headers);
  mu_buf_free(&request->out);
  mu_text_unref(request->answer);
  mu_principal_unref(request->principal);
  mui_rest_end(request);
  free(request);
}

struct mui_note *mui_request_note(struct mu_http *request, const char *text, size_t len)
{
  struct mui_note *note = malloc(sizeof *note + len + 1);
  if (!note)
    return NULL;
  if (text)
    memcpy(note->text, text, len);
  note->text[len] = '\0';
  note->len = len;
  note->next = request->notes;
  request->notes = note;
  return note;
}

static struct mu_http *request_new(struct mui_net *net, struct mui_session *session, struct lws *wsi)
{
  struct mui_net_http *http = net->http;
  struct mu_http *request = calloc(1, sizeof *request);
  if (!request)
    return NULL;
  request->net = net;
  request->wsi = wsi;
  mui_net_client_address(session, wsi, request->peer);
  request->per_peer = peer_get(http, request->peer);
  if (!request->per_peer)
    goto no_peer;
  if (!slot_take(http, request))
    goto no_slot;
  request->next = http->first;
  request->pprev = &http->first;
  if (request->next)
    request->next->pprev = &request->next;
  http->first = request;
  http->open++;
  net->stats.http_requests++;
  session->request = request;
  if (!mu_timer_active(http->sweep))
    mu_timer_start(http->sweep, SWEEP_MS, SWEEP_MS);
  return request;
no_slot:
  peer_put(http, request->per_peer);
no_peer:
  free(request);
  return NULL;
}

void mui_request_due(struct mu_http *request)
{
  struct mui_net_http *http = request->net->http;
  if (request->due)
    return;
  request->due = true;
  request->next_due = NULL;
  *http->due_tail = request;
  http->due_tail = &request->next_due;
  http->due_count++;
  if (!mu_timer_active(http->turn))
    mu_timer_start(http->turn, 0, 0);
}

static void forget_due(struct mui_net_http *http, struct mu_http *request)
{
  if (!request->due)
    return;
  struct mu_http **at = &http->due;
  while (*at && *at != request)
    at = &(*at)->next_due;
  assert(*at);
  *at = request->next_due;
  if (!*at)
    http->due_tail = at;
  http->due_count--;
  request->due = false;
}

void mui_request_drop(struct mu_http *request)
{
  struct mui_net_http *http = request->net->http;
  if (!request->wsi)
    return;
  struct mui_session *session = mui_session_of(request->wsi);
  if (session)
    session->request = NULL;
  request->wsi = NULL;
  mu_fd_free(request->watch);
  request->watch = NULL;
  forget_due(http, request);
  slot_give(http, request->id);
  peer_put(http, request->per_peer);
  *request->pprev = request->next;
  if (request->next)
    request->next->pprev = request->pprev;
  if (--http->open == 0)
    mu_timer_stop(http->sweep);
  if (!request->running)
    free_request(request);
}

bool mui_request_release(struct mu_http *request)
{
  request->running = false;
  if (request->wsi)
    return true;
  free_request(request);
  return false;
}

/* ---- the library's callbacks ----------------------------------------------------------------- */

/* From here the library does nothing with the connection until the answer was written. */
static void stop_reading(struct mu_http *request)
{
  lws_set_timeout(request->wsi, NO_PENDING_TIMEOUT, 0);
  lws_rx_flow_control(request->wsi, 0);
}

/* The request line and the headers are there. */
static int begin(struct lws *wsi, struct mui_session *session)
{
  struct mui_net *net = session->net;
  struct mui_net_http *http = net->http;
  if (!http || session->request || net->stopping)
    return -1;
  char *path;
  int path_len;
  int library_method = lws_http_get_uri_and_method(wsi, &path, &path_len);
  if (library_method < 0 || path_len <= 0)
    return -1;
  if (http->open >= MUI_HTTP_MAX_REQUESTS) {
    mu_log_limited(net->runtime->core, MU_LOG_WARN, "http full", "%u HTTP requests in progress: one more was cut",
                   (unsigned)http->open);
    net->stats.refused++;
    return -1;
  }
  struct mu_http *request = request_new(net, session, wsi);
  if (!request)
    return -1;
  request->path = mui_request_note(request, path, (size_t)path_len);
  if (!request->path || !mui_http_judge(request, session, library_method)) {
    mui_request_drop(request);
    return -1;
  }
  if (request->state == MUI_REQUEST_BODY && request->body_expected > 0) {
    double allowed = net->limits.body_timeout_s > 0 ? net->limits.body_timeout_s : 10;
    request->deadline_ns = mu_mono_ns() + (int64_t)(allowed * (double)second);
    return 0;
  }
  if (request->state == MUI_REQUEST_BODY) {
    request->state = MUI_REQUEST_DUE;
    mui_request_due(request);
  }
  stop_reading(request);
  return 0;
}

static int on_body(struct mu_http *request, const void *data, size_t len)
{
  /* The rest of a body that was refused, in the piece that the library is still parsing. */
  if (!request || request->state != MUI_REQUEST_BODY)
    return 0;
  if (len > request->body_expected - request->body.len)
    return -1;
  request->net->stats.bytes_in += len;
  mu_buf_add(&request->body, data, len);
  if (request->body.failed) {
    stop_reading(request);
    mui_http_refuse(request, 503, "out_of_memory", "try again later");
  }
  return 0;
}

static int on_body_end(struct mu_http *request)
{
  /* It also comes for bodies of length 0, and for refused ones. */
  if (!request || request->state != MUI_REQUEST_BODY)
    return 0;
  if (request->body.len != request->body_expected)
    return -1;
  request->state = MUI_REQUEST_DUE;
  stop_reading(request);
  mui_request_due(request);
  return 0;
}

int mui_http_callback(struct lws *wsi, enum lws_callback_reasons reason, struct mui_session *session, void *in,
                      size_t len)
{
  switch (reason) {
  case LWS_CALLBACK_HTTP:
    return session ? begin(wsi, session) : -1;
  case LWS_CALLBACK_HTTP_BODY:
    return session ? on_body(session->request, in, len) : -1;
  case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    return session ? on_body_end(session->request) : -1;
  case LWS_CALLBACK_HTTP_WRITEABLE:
    if (!session || !session->request || !session->request->settling)
      return 0;
    session->request->settling = false;
    lws_rx_flow_control(wsi, 0);
    return 1; /* neither 0, which would apply it and ask for POLLOUT again, nor an error */
  case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
  case LWS_CALLBACK_CLOSED_HTTP:
    if (session && session->request)
      mui_request_drop(session->request);
    return 0;
  default:
    return 0;
  }
}

/* ---- our own turns --------------------------------------------------------------------------- */

static void run_handler(struct mu_http *request)
{
  struct mui_route *route = request->route;
  struct mui_call call;
  request->state = MUI_REQUEST_RUNNING;
  request->running = true;
  mui_call_begin(&call, route->in, MUI_CB_HTTP);
  int result = 0;
  if (!route->rest || mui_rest_prepare(request))
    result = route->http.handle(route->self, request);
  mui_call_end(&call, result < 0 ? result : 0);
  if (!mui_request_release(request) || request->state != MUI_REQUEST_RUNNING)
    return;
  if (result == MU_PENDING) {
    request->deadline_ns = mu_mono_ns() + MUI_HTTP_PENDING_S * second;
    return;
  }
  if (request->route)
    mu_log_limited(request->route->in, MU_LOG_ERROR, "http handler", "the handler of %s gave no answer: %s",
                   request->route->path, result < 0 ? mu_strerror(result) : "it returned without one");
  mu_http_error(request, 500, "internal_error", "the server could not answer this");
}

static void on_turn(void *context)
{
  struct mui_net_http *http = context;
  int64_t until_ns = mu_mono_ns() + TURN_NS;
  /* Only those that are due now, and some of them if they take long: the rest has its turn after other events had theirs. */
  for (size_t n = http->due_count; n > 0 && http->due; n--) {
    struct mu_http *request = http->due;
    forget_due(http, request);
    if (request->state == MUI_REQUEST_DUE && request->route->http.access != MU_ACCESS_PUBLIC && !request->principal)
      mui_bearer_ask(request);
    else if (request->state == MUI_REQUEST_DUE)
      run_handler(request); /* an answer puts it on the list again */
    else if (request->state == MUI_REQUEST_ANSWERED)
      mui_answer_begin(request);
    if (mu_mono_ns() >= until_ns)
      break;
  }
  if (http->due)
    mu_timer_start(http->turn, 0, 0);
}

/*
 * Nothing is read while an answer waits, so the library does not see its client leave. A reset is certain. The end of the client's
 * sending side is not: it may have closed, or it still reads; on the wire both look the same until something is sent. So, when the end
 * was there for a whole sweep, it is sent what every client of HTTP/1.1 must pass over. Who closed answers with a reset.
 */
static bool left(struct mu_http *request)
{
  enum { ASK_AT = 2 };
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  struct pollfd link = {.fd = lws_get_socket_fd(request->wsi), .events = POLLRDHUP};
  if (poll(&link, 1, 0) != 1)
    return false;
  if (link.revents & (POLLERR | POLLHUP | POLLNVAL))
    return true;
  if (request->old || request->ended >= ASK_AT || ++request->ended < ASK_AT)
    return false;
  bool broken = lws_write(request->wsi, (unsigned char *)(uintptr_t)go_on, sizeof go_on - 1, LWS_WRITE_HTTP) < 0;
  request->spilled |= !broken && lws_partial_buffered(request->wsi);
  return broken;
}

static void on_sweep(void *context)
{
  struct mui_net_http *http = context;
  int64_t now = mu_mono_ns();
  struct mu_http *next;
  for (struct mu_http *request = http->first; request; request = next) {
    next = request->next;
    if ((request->state == MUI_REQUEST_RUNNING || request->state == MUI_REQUEST_JUDGED) && left(request)) {
      mui_answer_cut(request);
      continue;
    }
    if (request->deadline_ns == 0 || now < request->deadline_ns)
      continue;
    switch (request->state) {
    case MUI_REQUEST_BODY:
      stop_reading(request);
      mui_http_refuse(request, 408, "body_timeout", "the body did not arrive in time");
      break;
    case MUI_REQUEST_RUNNING:
      if (request->route)
        mu_log_limited(request->route->in, MU_LOG_WARN, "http timeout", "no answer for %s after %d s",
                       request->route->path, MUI_HTTP_PENDING_S);
      mu_http_error(request, 504, "timeout", "no answer came in time");
      break;
    case MUI_REQUEST_JUDGED:
      mui_bearer_unknown(request, 0);
      break;
    case MUI_REQUEST_WRITING:
    case MUI_REQUEST_LINGER:
      mui_answer_cut(request);
      break;
    case MUI_REQUEST_DUE:
    case MUI_REQUEST_ANSWERED:
      break; /* this turn */
    }
  }
}

/* Between the judgement and the handler's turn somebody may be banned. */
static void revoked(void *self, const struct mu_event *event)
{
  struct mui_net_http *http = self;
  for (struct mu_http *request = http->first, *next; event->payload && request; request = next) {
    next = request->next;
    if (request->state == MUI_REQUEST_DUE && request->principal &&
        mui_principal_covers(event->payload, request->principal))
      mui_bearer_refuse(request);
  }
}

/* ---- routes ---------------------------------------------------------------------------------- */

/* The instance stops: whoever waits for it is told so. */
static void on_route_gone(struct mui_route *route)
{
  struct mui_net *net = route->in->runtime->net;
  struct mu_http *next;
  for (struct mu_http *request = net && net->http ? net->http->first : NULL; request; request = next) {
    next = request->next;
    if (request->route != route)
      continue;
    request->route = NULL;
    if (request->rest)
      request->rest->row = NULL;
    if (request->state == MUI_REQUEST_BODY) {
      stop_reading(request);
      mui_http_refuse(request, 503, "stopping", "this part of the server is stopping");
    } else if (request->state == MUI_REQUEST_DUE || request->state == MUI_REQUEST_JUDGED ||
               request->state == MUI_REQUEST_RUNNING) {
      mui_http_decline(request, 503, "stopping", "this part of the server is stopping");
    }
  }
}

int mui_http_route_add(mu_instance *in, const struct mu_http_route *declared, void *self, struct mui_files *files,
                       struct mui_rest_row *rest, void (*gone)(struct mui_route *))
{
  enum { ALL = MU_HTTP_GET | MU_HTTP_POST | MU_HTTP_PUT | MU_HTTP_PATCH | MU_HTTP_DELETE };
  struct mui_net *net = in->runtime->net;
  struct mu_http_route values = {0};
  if (!net || declared->size < offsetof(struct mu_http_route, handle) + sizeof declared->handle) {
    mu_log(in, MU_LOG_ERROR, "an HTTP route needs a server around it and a size");
    return MU_EINVAL;
  }
  memcpy(&values, declared, declared->size < sizeof values ? declared->size : sizeof values);
  if (!values.path || !values.handle || values.methods == 0 || (values.methods & ~(unsigned)ALL)) {
    mu_log(in, MU_LOG_ERROR, "HTTP route %s: path, methods and handle must be given", values.path ? values.path : "");
    return MU_EINVAL;
  }
  if (values.access < MU_ACCESS_PUBLIC || values.access > MU_ACCESS_ADMIN) {
    mu_log(in, MU_LOG_ERROR, "HTTP route %s has no access rule", values.path);
    return MU_EINVAL;
  }
  struct mui_route *route = calloc(1, sizeof *route);
  if (!route || !(route->path = strdup(values.path))) {
    free(route);
    return MU_ENOMEM;
  }
  route->methods = values.methods;
  route->self = self;
  route->http = values;
  route->http.path = NULL; /* the declaration may go */
  route->files = files;
  route->rest = rest;
  route->gone = gone ? gone : on_route_gone;
  return mui_router_add(net->http_routes, in, route);
}

void mui_http_route_gone(struct mui_route *route)
{
  on_route_gone(route);
}

int mu_http_route(mu_instance *in, const struct mu_http_route *route, void *self)
{
  return mui_http_route_add(in, route, self, NULL, NULL, NULL);
}

/* ---- from start to end ----------------------------------------------------------------------- */

int mui_net_http_init(struct mui_net *net)
{
  struct mui_net_http *http = calloc(1, sizeof *http);
  if (!http)
    return MU_ENOMEM;
  http->net = net;
  http->due_tail = &http->due;
  http->peers = mu_map_new();
  http->turn = mu_timer_new(net->runtime->core, on_turn, http);
  http->sweep = mu_timer_new(net->runtime->core, on_sweep, http);
  net->http = http;
  if (http->peers && http->turn && http->sweep &&
      (!net->runtime->bus || mu_event_on(net->runtime->core, MU_EVENT_AUTH_REVOKED, 0, revoked, http) == 0))
    return 0;
  mui_net_http_fini(net);
  return MU_ENOMEM;
}

void mui_net_http_fini(struct mui_net *net)
{
  struct mui_net_http *http = net->http;
  if (!http)
    return;
  while (http->first)
    mui_request_drop(http->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mui_bearer_free_all(http);
  mu_timer_free(http->turn);
  mu_timer_free(http->sweep);
  mu_map_free(http->peers);
  free(http->slots);
  free(http);
  net->http = NULL;
}
