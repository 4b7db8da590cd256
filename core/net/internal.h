/* SPDX-License-Identifier: ISC */
/* What the files of net/ share. Nothing outside net/ includes this. */
#ifndef MUI_NET_INTERNAL_H
#define MUI_NET_INTERNAL_H

#include <libwebsockets.h>

#include <muster/conn.h>
#include <muster/group.h>
#include <muster/http.h>
#include "base/instance.h"
#include "net/net.h"

struct mui_request; /* http.c: one HTTP request, lives outside the library's per-session memory */
struct mui_peer;    /* peers.c: what is counted per address */

/* The library's per-session memory of server connections. */
struct mui_session {
  struct mui_net *net;
  struct mui_listener *listener; /* referenced; configuration of the listener that accepted it */
  struct mui_peer *peer;         /* referenced */
  struct mu_conn *conn;          /* WebSocket, once upgraded */
  struct mui_request *request;   /* HTTP, while one is being read or answered */
  char address[64];              /* normalised peer address, before proxy headers */
};

/* ---- router.c: paths → routes, for WebSocket and HTTP alike ---------------------------------- */

struct mui_router;
struct mui_listener;
struct mui_files;
struct mui_route {
  struct mui_resource resource;
  struct mui_router *router;
  struct mui_route *next;
  mu_instance *in;
  char *path;      /* allocated; as declared when it is added, then without the '*' of a prefix */
  bool prefix;     /* set by mui_router_add() */
  unsigned methods; /* 0: WebSocket */
  void *self;
  void (*gone)(struct mui_route *route); /* before it is freed: drop every pointer to it; or NULL */
  union {
    struct mu_ws_route ws;
    struct mu_http_route http;
  };
  struct mui_files *files; /* static files behind this route, or NULL */
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
 * `allowed` (may be NULL): for MUI_ROUTE_METHOD, the methods that the path knows.
 */
MUI_API enum mui_found mui_router_find(const struct mui_router *router, struct mu_str path, unsigned method,
                                       const struct mui_listener *listener, struct mui_route **route,
                                       unsigned *allowed);

/* ---- net.c ----------------------------------------------------------------------------------- */

struct mui_net {
  struct mui_runtime *runtime;
  struct lws_context *context;
  struct mui_router *ws_routes;   /* net.c */
  struct mui_router *http_routes; /* net.c */
  struct mui_limits limits;
  struct mui_net_stats stats;
  bool stopping;
  struct mui_net_ws *ws;         /* conn.c, group.c */
  struct mui_net_http *http;     /* http.c */
  struct mui_net_peers *peers;   /* peers.c */
  struct mui_net_listeners *listeners; /* listen.c */
  struct mui_net_clients *clients; /* client.c */
};

/* Client address after trusted proxies' X-Forwarded-For; `out` of 64 bytes. */
void mui_net_client_address(struct mui_session *session, struct lws *wsi, char *out);
/* A listener's `plugins`: whether an instance is served there. */
bool mui_listener_serves(const struct mui_listener *listener, const mu_instance *in);
/* Judges an Origin header against rule, Host and the listener's list. */
bool mui_origin_allowed(struct mui_session *session, struct lws *wsi, enum mu_origin_rule rule);
/* Any header of the request by lower-case name, known to the library or not. False: not there or too long for `size`. */
bool mui_header(struct lws *wsi, const char *name, char *out, size_t size, size_t *len);

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
size_t mui_net_ws_open(const struct mui_net *net);
int mui_net_http_init(struct mui_net *net);
void mui_net_http_fini(struct mui_net *net);
int mui_net_client_init(struct mui_net *net);
void mui_net_client_fini(struct mui_net *net);
/* Graceful ends of the clients that are left; how many. */
size_t mui_net_client_close_all(struct mui_net *net);

#endif
