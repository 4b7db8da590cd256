/* SPDX-License-Identifier: ISC */
/* What the files of net/ share. Nothing outside net/ includes this. */
#ifndef MUI_NET_INTERNAL_H
#define MUI_NET_INTERNAL_H

#include <libwebsockets.h>

#include <muster/conn.h>
#include <muster/group.h>
#include <muster/http.h>
#include <muster/loop.h>
#include "base/instance.h"
#include "net/net.h"

struct mui_peer; /* peers.c: what is counted per address */

/* Bytes that the library keeps of one request's line and headers; as much as nginx and Node.js take. Only while it is read. */
enum { MUI_HEAD_MAX = 16384 };

/*
 * One accepted socket, from accept to the library's WSI_DESTROY. Our own memory, hung on the wsi as opaque user data: the library's
 * per-session memory ends with each HTTP transaction.
 */
struct mui_session {
  struct mui_net *net;
  struct mui_listener *listener; /* referenced; configuration of the listener that accepted it */
  struct mui_peer *peer;         /* referenced; NULL: not counted (trusted proxy) */
  struct mu_conn *conn;          /* WebSocket, from its admission on */
  mu_http *request;              /* HTTP, while one is being read or answered */
  struct lws *wsi;
  struct mui_session *next, **pprev;                 /* all of them */
  struct mui_session *waiting_next, **waiting_pprev; /* accepted and no request yet, oldest first */
  int64_t since_ns;
  bool *gone;       /* set when it ends while it is being adopted */
  char address[46]; /* normalised peer address, before proxy headers */
};

/* NULL: not an accepted socket. lws_wsi_user() is not used. */
static inline struct mui_session *mui_session_of(const struct lws *wsi)
{
  return lws_get_opaque_user_data(wsi);
}

/* ---- router.c: paths → routes, for WebSocket and HTTP alike ---------------------------------- */

struct mui_router;
struct mui_listener;
struct mui_files;
struct mui_rest_row;
enum { MUI_ROUTE_PARAMETERS = 8 };
struct mui_route {
  struct mui_resource resource;
  struct mui_router *router;
  struct mui_route *next;
  mu_instance *in;
  char *path;          /* allocated; as declared when it is added, then without the '*' of a prefix */
  bool prefix;         /* set by mui_router_add() */
  unsigned parameters; /* segments ":name", of REST routes only; set by mui_router_add() */
  bool rest_of_path;   /* the last parameter is ":name+": slashes belong to it; set by mui_router_add() */
  unsigned methods;    /* 0: WebSocket */
  void *self;
  void (*gone)(struct mui_route *route); /* before it is freed: drop every pointer to it; or NULL */
  union {
    struct mu_ws_route ws;
    struct mu_http_route http;
  };
  struct mui_files *files;   /* static files behind this route, or NULL */
  struct mui_rest_row *rest; /* the declaration of a REST route, or NULL */
};
MUI_API struct mui_router *mui_router_new(void);
MUI_API void mui_router_free(struct mui_router *router);
/*
 * Adds a route that belongs to `in`: revoked when that stops. MU_EEXIST names both in the log. MU_EINVAL: bad path.
 * Takes `route` (allocated, zeroed, with path, methods, self and the like filled in) in any case: on an error it was freed.
 */
MUI_API int mui_router_add(struct mui_router *router, mu_instance *in, struct mui_route *route);
enum mui_found { MUI_ROUTE_FOUND, MUI_ROUTE_NONE, MUI_ROUTE_METHOD /* path known, method not: 405 */ };
/*
 * `method` 0: WebSocket. `listener`: routes of instances that it does not serve are passed over; NULL: none are.
 * Exact segments beat parameters, and these prefixes. MUI_ROUTE_METHOD: `*route` is one that knows the path, and `allowed` (may
 * be NULL) gets all methods that the path knows.
 */
MUI_API enum mui_found mui_router_find(const struct mui_router *router, struct mu_str path, unsigned method,
                                       const struct mui_listener *listener, struct mui_route **route,
                                       unsigned *allowed);
/* Whether a route with parameters matches; `values` (may be NULL) gets their texts in the order of the path. */
MUI_API bool mui_route_parameters(const struct mui_route *route, struct mu_str path, struct mu_str *values);

/* ---- net.c ----------------------------------------------------------------------------------- */

struct mui_net {
  struct mui_runtime *runtime;
  struct lws_context *context;
  struct lws_vhost *plain;           /* listeners without TLS */
  struct lws_protocols protocols[3]; /* of all vhosts that listen; the last is empty */
  char subprotocol[63];              /* the second one's name */
  struct mui_router *ws_routes;      /* net.c */
  struct mui_router *http_routes;    /* net.c */
  struct mui_limits limits;          /* without the list of proxies, which peers.c has */
  struct mui_net_stats stats;
  bool stopping;
  bool head_cut;        /* the library said so, and nothing else since */
  unsigned descriptors; /* the library takes descriptors below this */
  mu_timer *tick;       /* 250 ms: time-outs of the library and of first requests */
  mu_timer *stop_timer;
  int64_t stop_ns;
  void (*stopped)(void *context);
  void *stopped_context;
  struct mui_net_ws *ws;               /* conn.c, group.c */
  struct mui_net_http *http;           /* http.c */
  struct mui_net_rest *rest;           /* rest.c */
  struct mui_net_peers *peers;         /* peers.c */
  struct mui_net_listeners *listeners; /* listen.c */
  struct mui_net_clients *clients;     /* client.c */
};

/* Counts on the core's instance, by name: for refusals and errors, not for hot paths. */
void mui_net_count(struct mui_net *net, const char *name);
/* What every vhost of ours begins with; `protocols` end with an empty one. */
void mui_net_vhost_info(struct mui_net *net, struct lws_context_creation_info *info);
/* A request has come in whole: the time for it stops. */
void mui_session_requested(struct mui_session *session);

/* ---- listen.c, tls.c ------------------------------------------------------------------------- */

struct mui_listener {
  struct mui_listener *next;
  struct mui_net *net;
  unsigned refs; /* sessions, and one while it is listening */
  char *address;
  char *certificate; /* NULL: no TLS */
  char *key;
  uint16_t port;  /* as configured */
  uint16_t bound; /* as the system gave it */
  char **origins; /* ended by NULL */
  char **plugins; /* ended by NULL; none: all are served */
  struct lws_vhost *vhost;
  bool tls;
  bool short_of_descriptors;
  int fd;
  mu_fd *watch;
  mu_timer *pause;
};

int mui_net_listen_init(struct mui_net *net);
/* Closes all listeners. */
void mui_net_listen_stop(struct mui_net *net);
void mui_net_listen_fini(struct mui_net *net);
/* Accepted sockets that are still there. */
size_t mui_net_sessions(const struct mui_net *net);
/* Cuts those whose first request takes too long. */
void mui_net_listen_tick(struct mui_net *net, int64_t now_ns);
/* Cuts those that neither are a WebSocket nor have a request. */
void mui_net_listen_cut_idle(struct mui_net *net);
void mui_session_free(struct mui_session *session);

/* The vhost of a certificate, made once and kept for life. NULL: `problem` says why. */
struct lws_vhost *mui_tls_vhost(struct mui_net *net, const char *certificate, const char *key, char *problem,
                                size_t problem_size);
/* Key and certificate can be read, belong together and are valid now. *exposed (may be NULL): others can read or write the key. */
MUI_API bool mui_tls_check(const char *certificate, const char *key, bool *exposed, char *problem, size_t problem_size);
/* The library made the SSL_CTX of a listening vhost: sets it up. */
void mui_tls_context(struct lws *wsi, void *ssl_ctx);
/* A session ends before its first request, though not for its time: says so when the client had begun something. */
void mui_net_no_request(const struct mui_session *session, struct lws *wsi);
void mui_tls_fini(struct mui_net *net);

/* ---- peers.c --------------------------------------------------------------------------------- */

int mui_net_peers_init(struct mui_net *net);
void mui_net_peers_fini(struct mui_net *net);
/* Replaces the trusted proxies. MU_EINVAL: nothing changed and `problem` names the wrong one. */
int mui_net_peers_trust(struct mui_net *net, const struct mu_list *list, char *problem, size_t problem_size);
/* The rate was changed: everybody has a full burst again. */
void mui_net_peers_fill(struct mui_net *net);
/* One more connection of an address. MU_ELIMIT: too many, or too fast. *peer NULL with 0: a trusted proxy. */
int mui_peer_connect(struct mui_net *net, const char *address, struct mui_peer **peer);
/* One of them ended. NULL is allowed. */
void mui_peer_release(struct mui_peer *peer);
/* Whether it is a trusted proxy, whose headers tell of its client. */
bool mui_net_proxied(const struct mui_session *session);
void mui_net_peers_tick(struct mui_net *net, int64_t now_ns);
/* Text of a socket address; IPv4 in IPv6 is written as IPv4. `out` of 46 bytes. */
void mui_address_text(const void *sockaddr, char *out);

/* ---- request.c ------------------------------------------------------------------------------- */

/* "Not Found"; never NULL. */
const char *mui_status_text(int status);
/* Client address after trusted proxies' X-Forwarded-For; `out` of 64 bytes. */
void mui_net_client_address(struct mui_session *session, struct lws *wsi, char *out);
/* A listener's `plugins`: whether an instance is served there. */
bool mui_listener_serves(const struct mui_listener *listener, const mu_instance *in);
/* Judges an Origin header against rule, Host and the listener's list. */
bool mui_origin_allowed(struct mui_session *session, struct lws *wsi, enum mu_origin_rule rule);
/* Any header of the request by lower-case name, known to the library or not. False: not there or too long for `size`. */
bool mui_header(struct lws *wsi, const char *name, char *out, size_t size, size_t *len);
/* The next value of a parameter of the query, decoded, from the n-th parameter on; `text` is the storage. False: no more. */
bool mui_query_next(struct lws *wsi, const char *name, int *n, char text[MUI_HEAD_MAX + 1], struct mu_str *value);
/* A token of RFC 9110: the name of a header, of a subprotocol. */
bool mui_is_token(struct mu_str text);

/* Every library callback comes in at net.c and is handed on by reason: */
int mui_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, struct mui_session *session, void *in,
                    size_t len); /* conn.c: CONFIRM_UPGRADE … CLOSED */
int mui_http_callback(struct lws *wsi, enum lws_callback_reasons reason, struct mui_session *session, void *in,
                      size_t len); /* http.c: HTTP … CLOSED_HTTP, HTTP_DROP_PROTOCOL */
int mui_client_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                        size_t len); /* client.c: CLIENT_*; a protocol of its own */

int mui_net_ws_init(struct mui_net *net);
void mui_net_ws_fini(struct mui_net *net);
/* 1001 to all; how many are left. */
size_t mui_net_ws_close_all(struct mui_net *net);
int mui_net_http_init(struct mui_net *net);
void mui_net_http_fini(struct mui_net *net);
int mui_net_rest_init(struct mui_net *net);
void mui_net_rest_fini(struct mui_net *net);
/* The listener is freed. */
void mui_net_rest_unlisten(struct mui_net *net, const struct mui_listener *listener);
int mui_net_client_init(struct mui_net *net);
void mui_net_client_fini(struct mui_net *net);
/* Graceful ends of the clients that are left; how many. */
size_t mui_net_client_close_all(struct mui_net *net);

#endif
