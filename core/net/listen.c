/* SPDX-License-Identifier: ISC */
/* Listening and accepting: our own sockets, handed to the library once they passed the limits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <muster/log.h>
#include <muster/loop.h>
#include "net/internal.h"
#include "net/listeners.h"

enum {
  BACKLOG = 4096,
  ACCEPTS_PER_TURN = 64, /* others get their turn in between */
  PAUSE_MS = 200,        /* when descriptors ran out */
  DESCRIPTORS_KEPT = 64, /* for files, databases and the library's own */
};

/* ---- addresses ------------------------------------------------------------------------------- */

static bool to_sockaddr(const char *text, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
  if (strcmp(text, "localhost") == 0)
    text = "127.0.0.1";
  if (!*text || strcmp(text, "*") == 0)
    text = "::";
  *out = (struct sockaddr_storage){0};
  struct sockaddr_in *four = (struct sockaddr_in *)out;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    *len = sizeof *four;
    return true;
  }
  if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
    return false;
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(port);
  *len = sizeof *six;
  return true;
}

void mui_listen_check(const void *config, struct mu_check *check)
{
  const struct mui_listen *wanted = config;
  struct sockaddr_storage address;
  socklen_t len;
  if (wanted->address && !to_sockaddr(wanted->address, 0, &address, &len))
    mu_check_error(check, "address", "\"%s\" is no numeric address", wanted->address);
  const char *const *origins = wanted->origins.items;
  for (size_t i = 0; i < wanted->origins.count; i++) {
    const char *rest = strstr(origins[i], "://");
    char path[32];
    snprintf(path, sizeof path, "origins[%zu]", i);
    if (!rest || strchr(rest + 3, '/') || !rest[3])
      mu_check_error(check, path, "\"%s\" is no Origin: scheme://name or scheme://name:port, without a path",
                     origins[i]);
  }
  char problem[512];
  bool exposed = false;
  if (!wanted->tls.certificate || !wanted->tls.key)
    return;
  if (!mui_tls_check(wanted->tls.certificate, wanted->tls.key, &exposed, problem, sizeof problem))
    mu_check_error(check, "tls", "%s", problem);
  if (exposed)
    mu_check_warn(check, "tls.key", "%s can be read or written by everybody: chmod 600", wanted->tls.key);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void listener_unref(struct mui_listener *listener);

void mui_session_requested(struct mui_session *session)
{
  struct mui_net_listeners *all = session->net->listeners;
  if (!session->waiting_pprev)
    return;
  *session->waiting_pprev = session->waiting_next;
  if (session->waiting_next)
    session->waiting_next->waiting_pprev = session->waiting_pprev;
  else
    all->waiting_end = session->waiting_pprev;
  session->waiting_pprev = NULL;
}

void mui_session_free(struct mui_session *session)
{
  struct mui_net_listeners *all = session->net->listeners;
  if (session->gone)
    *session->gone = true;
  mui_session_requested(session);
  *session->pprev = session->next;
  if (session->next)
    session->next->pprev = session->pprev;
  all->sessions--;
  mui_peer_release(session->peer);
  listener_unref(session->listener);
  free(session);
}

static struct mui_session *session_new(struct mui_listener *listener, struct mui_peer *peer, const char *address)
{
  struct mui_net_listeners *all = listener->net->listeners;
  struct mui_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->net = listener->net;
  session->listener = listener;
  listener->refs++;
  session->peer = peer;
  session->since_ns = mu_mono_ns();
  snprintf(session->address, sizeof session->address, "%s", address);
  session->next = all->first_session;
  session->pprev = &all->first_session;
  if (session->next)
    session->next->pprev = &session->next;
  all->first_session = session;
  session->waiting_pprev = all->waiting_end;
  *all->waiting_end = session;
  all->waiting_end = &session->waiting_next;
  all->sessions++;
  return session;
}

size_t mui_net_sessions(const struct mui_net *net)
{
  return net->listeners->sessions;
}

static void cut(struct mui_session *session)
{
  if (session->wsi)
    lws_set_timeout(session->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

void mui_net_listen_tick(struct mui_net *net, int64_t now_ns)
{
  struct mui_net_listeners *all = net->listeners;
  double limit_s = net->limits.header_timeout_s > 0 ? net->limits.header_timeout_s : 10;
  while (all->waiting && (double)(now_ns - all->waiting->since_ns) > limit_s * 1e9) {
    struct mui_session *session = all->waiting;
    mui_session_requested(session);
    mui_net_count(net, "requests_too_slow");
    mu_log_limited(net->runtime->core, MU_LOG_INFO, "requests_too_slow", "%s: no request within %g s", session->address,
                   limit_s);
    cut(session);
  }
}

void mui_net_listen_cut_idle(struct mui_net *net)
{
  for (struct mui_session *session = net->listeners->first_session; session; session = session->next)
    if (!session->conn && !session->request)
      cut(session);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void resume(void *context)
{
  struct mui_listener *listener = context;
  mu_fd_events(listener->watch, MU_FD_READ);
}

/* A descriptor that cannot be accepted stays readable: without a pause the loop would spin. */
static void pause_accepting(struct mui_listener *listener, const char *why)
{
  if (!listener->short_of_descriptors)
    mu_log(listener->net->runtime->core, MU_LOG_WARN, "port %u: accepting pauses: %s", listener->bound, why);
  listener->short_of_descriptors = true;
  mu_fd_events(listener->watch, 0);
  mu_timer_start(listener->pause, PAUSE_MS, 0);
}

static void refuse(struct mui_listener *listener, int fd, const char *counter, const char *address, const char *why)
{
  struct mui_net *net = listener->net;
  close(fd);
  net->stats.refused++;
  mui_net_count(net, counter);
  mu_log_limited(net->runtime->core, MU_LOG_WARN, counter, "%s: connection refused: %s", address, why);
}

static void adopt(struct mui_listener *listener, int fd, struct mui_peer *peer, const char *address)
{
  struct mui_net *net = listener->net;
  struct mui_session *session = session_new(listener, peer, address);
  if (!session) {
    mui_peer_release(peer);
    refuse(listener, fd, "connects_failed", address, "out of memory");
    return;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  bool gone = false;
  session->gone = &gone;
  lws_adopt_desc_t desc = {
      .vh = listener->vhost,
      .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
      .fd.sockfd = fd,
      .opaque = session,
  };
  struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&desc);
  if (!wsi) { /* the descriptor is closed already, and the session too unless the library never knew of it */
    mui_net_count(net, "connects_failed");
    if (!gone)
      mui_session_free(session);
    return;
  }
  if (gone)
    return;
  session->gone = NULL;
  session->wsi = wsi;
  net->stats.accepted++;
}

/* False: nothing more can be accepted now. */
static bool accept_one(struct mui_listener *listener)
{
  struct mui_net *net = listener->net;
  struct sockaddr_storage from = {0};
  socklen_t len = sizeof from;
  int fd = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      pause_accepting(listener, strerror(errno));
    return errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
  }
  char address[46];
  mui_address_text(&from, address);
  if ((unsigned)fd + DESCRIPTORS_KEPT >= net->descriptors) {
    close(fd);
    net->stats.refused++;
    mui_net_count(net, "connects_without_descriptor");
    pause_accepting(listener, "descriptors are running out");
    return false;
  }
  if (listener->short_of_descriptors) {
    listener->short_of_descriptors = false;
    mu_log(net->runtime->core, MU_LOG_INFO, "port %u: accepting again", listener->bound);
  }
  if (net->limits.max_connections && net->listeners->sessions >= (size_t)net->limits.max_connections) {
    refuse(listener, fd, "connects_over_limit", address, "there are too many connections");
    return true;
  }
  struct mui_peer *peer;
  int code = mui_peer_connect(net, address, &peer);
  if (code < 0) {
    refuse(listener, fd, "connects_over_peer_limit", address,
           code == MU_ELIMIT ? "too many, or too fast, from this address" : mu_strerror(code));
    return true;
  }
  adopt(listener, fd, peer, address);
  return true;
}

static void on_accept(void *context, int fd, unsigned events)
{
  (void)fd;
  (void)events;
  struct mui_listener *listener = context;
  for (int i = 0; i < ACCEPTS_PER_TURN; i++)
    if (!accept_one(listener))
      return;
}

/* ---- listeners ------------------------------------------------------------------------------- */

static void free_strings(char **list)
{
  for (char **at = list; at && *at; at++)
    free(*at);
  free(list);
}

static char **copy_strings(const struct mu_list *list)
{
  char **copy = calloc(list->count + 1, sizeof *copy);
  for (size_t i = 0; copy && i < list->count; i++)
    if (!(copy[i] = strdup(((const char *const *)list->items)[i]))) {
      free_strings(copy);
      return NULL;
    }
  return copy;
}

static void listener_unref(struct mui_listener *listener)
{
  if (--listener->refs)
    return;
  mui_net_rest_unlisten(listener->net, listener);
  free(listener->address);
  free(listener->certificate);
  free(listener->key);
  free_strings(listener->origins);
  free_strings(listener->plugins);
  free(listener);
}

/* Its sessions go on. */
static void listener_close(struct mui_listener *listener)
{
  mu_fd_free(listener->watch);
  mu_timer_free(listener->pause);
  listener->watch = NULL;
  listener->pause = NULL;
  if (listener->fd >= 0)
    close(listener->fd);
  listener->fd = -1;
  listener_unref(listener);
}

/* The descriptor, or -1 with errno. `alone`: nobody else may have the port. */
static int listen_at(const struct sockaddr_storage *address, socklen_t len, bool alone)
{
  int on = 1, off = 0;
  int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!alone)
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address->ss_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  /* It is alone only from listen() on: until then SO_REUSEADDR lets another one bind. After that it may be shared. */
  if (bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, BACKLOG) == 0 &&
      (!alone || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0))
    return fd;
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

/* `own`: this process has the port already. */
static int listen_to(const struct mui_listen *wanted, bool own, char *problem, size_t size)
{
  struct sockaddr_storage address;
  socklen_t len;
  if (!to_sockaddr(wanted->address, (uint16_t)wanted->port, &address, &len)) {
    snprintf(problem, size, "\"%s\" is no numeric address", wanted->address);
    return -1;
  }
  /* Ours are shared, so that a reload can have new ones before old ones go; with strangers only if that is wanted. */
  int fd = listen_at(&address, len, wanted->port && !own && !wanted->reuse_port);
  if (fd < 0)
    snprintf(problem, size, "cannot listen on %s port %d: %s", wanted->address, (int)wanted->port, strerror(errno));
  return fd;
}

static struct mui_listener *listener_new(struct mui_net *net, const struct mui_listen *wanted)
{
  struct mui_listener *listener = calloc(1, sizeof *listener);
  if (!listener)
    return NULL;
  listener->net = net;
  listener->refs = 1;
  listener->fd = -1;
  listener->port = (uint16_t)wanted->port;
  listener->address = strdup(wanted->address);
  listener->origins = copy_strings(&wanted->origins);
  listener->plugins = copy_strings(&wanted->plugins);
  listener->tls = wanted->tls.certificate != NULL;
  if (listener->tls) {
    listener->certificate = strdup(wanted->tls.certificate);
    listener->key = strdup(wanted->tls.key ? wanted->tls.key : "");
  }
  if (!listener->address || !listener->origins || !listener->plugins ||
      (listener->tls && (!listener->certificate || !listener->key))) {
    listener_unref(listener);
    return NULL;
  }
  return listener;
}

static bool has_port(const struct mui_listener *list, int64_t port)
{
  for (; list; list = list->next)
    if (list->fd >= 0 && (list->port == port || list->bound == port))
      return true;
  return false;
}

static bool same_place(const struct mui_listener *listener, const struct mui_listen *wanted)
{
  return listener->fd >= 0 && listener->port == wanted->port && strcmp(listener->address, wanted->address) == 0;
}

/*
 * A listener that is bound but does not accept yet; `fresh` are those before it in the list. The socket of an old one at the same
 * place is duplicated.
 */
static struct mui_listener *prepare(struct mui_net *net, const struct mui_listener *fresh,
                                    const struct mui_listen *wanted, char *problem, size_t size)
{
  struct mui_listener *listener = listener_new(net, wanted);
  if (!listener) {
    snprintf(problem, size, "out of memory");
    return NULL;
  }
  listener->vhost =
      listener->tls ? mui_tls_vhost(net, listener->certificate, listener->key, problem, size) : net->plain;
  if (!listener->vhost)
    goto fail;
  for (struct mui_listener *old = net->listeners->first; old && listener->fd < 0; old = old->next)
    if (same_place(old, wanted)) {
      listener->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
      if (listener->fd < 0) {
        snprintf(problem, size, "%s", strerror(errno));
        goto fail;
      }
    }
  if (listener->fd < 0)
    listener->fd = listen_to(wanted, has_port(net->listeners->first, wanted->port) || has_port(fresh, wanted->port),
                             problem, size);
  if (listener->fd < 0)
    goto fail;
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } bound = {.six = {0}};
  socklen_t len = sizeof bound;
  if (getsockname(listener->fd, &bound.any, &len) == 0)
    listener->bound = ntohs(bound.any.sa_family == AF_INET6 ? bound.six.sin6_port : bound.four.sin_port);
  listener->watch = mu_fd_new(net->runtime->core, listener->fd, 0, on_accept, listener);
  listener->pause = mu_timer_new(net->runtime->core, resume, listener);
  if (listener->watch && listener->pause)
    return listener;
  snprintf(problem, size, "out of memory");
fail:
  listener_close(listener);
  return NULL;
}

static void close_list(struct mui_listener *list)
{
  while (list) {
    struct mui_listener *next = list->next;
    listener_close(list);
    list = next;
  }
}

/* Unlike ports, two entries for one place would share its connections at random. */
static bool twice(const struct mui_listen *list, size_t n, char *problem, size_t size)
{
  for (size_t i = 0; i < n; i++)
    if (list[n].port && list[i].port == list[n].port && strcmp(list[i].address, list[n].address) == 0) {
      snprintf(problem, size, "%s port %d is listed twice", list[n].address, (int)list[n].port);
      return true;
    }
  return false;
}

int mui_net_listen(struct mui_net *net, const struct mui_listen *list, size_t count, const struct mui_limits *limits,
                   char *problem, size_t problem_size)
{
  struct mui_listener *fresh = NULL, **end = &fresh;
  *problem = '\0';
  for (size_t i = 0; i < count; i++) {
    struct mui_listener *listener =
        twice(list, i, problem, problem_size) ? NULL : prepare(net, fresh, &list[i], problem, problem_size);
    if (!listener) {
      close_list(fresh);
      return MU_EIO;
    }
    *end = listener;
    end = &listener->next;
  }
  if (limits && mui_net_peers_trust(net, &limits->trusted_proxies, problem, problem_size) < 0) {
    close_list(fresh);
    return MU_EIO;
  }
  if (limits) {
    bool other_rate = net->limits.connects_per_second != limits->connects_per_second;
    net->limits = *limits;
    net->limits.trusted_proxies = (struct mu_list){0};
    if (other_rate)
      mui_net_peers_fill(net);
  }
  close_list(net->listeners->first);
  net->listeners->first = fresh;
  for (struct mui_listener *listener = fresh; listener; listener = listener->next) {
    mu_fd_events(listener->watch, MU_FD_READ);
    mu_log(net->runtime->core, MU_LOG_DEBUG, "listening on %s port %u%s", listener->address, listener->bound,
           listener->tls ? " with TLS" : "");
  }
  return 0;
}

uint16_t mui_net_port(const struct mui_net *net, size_t n)
{
  const struct mui_listener *listener = net->listeners->first;
  while (listener && n--)
    listener = listener->next;
  return listener ? listener->bound : 0;
}

int mui_net_listen_init(struct mui_net *net)
{
  net->listeners = calloc(1, sizeof *net->listeners);
  if (!net->listeners)
    return MU_ENOMEM;
  net->listeners->waiting_end = &net->listeners->waiting;
  return 0;
}

void mui_net_listen_stop(struct mui_net *net)
{
  close_list(net->listeners->first);
  net->listeners->first = NULL;
}

void mui_net_listen_fini(struct mui_net *net)
{
  if (!net->listeners)
    return;
  mui_net_listen_stop(net);
  mui_tls_fini(net);
  free(net->listeners);
  net->listeners = NULL;
}
