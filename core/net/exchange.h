/* SPDX-License-Identifier: ISC */
/* What the HTTP files of net/ share: one request from its first line to the end of its answer. */
#ifndef MUI_NET_EXCHANGE_H
#define MUI_NET_EXCHANGE_H

#include <muster/loop.h>
#include "net/internal.h"

enum mui_request_state {
  MUI_REQUEST_BODY,     /* the body is being read */
  MUI_REQUEST_DUE,      /* complete; who asks, or its handler, is asked at the next turn of the loop */
  MUI_REQUEST_JUDGED,   /* auth/1 is asked who it is */
  MUI_REQUEST_RUNNING,  /* in its handler, or handed out */
  MUI_REQUEST_ANSWERED, /* the answer is known and is written at the next turn of the loop */
  MUI_REQUEST_WRITING,  /* the reader is slower than the answer */
  MUI_REQUEST_LINGER,   /* written and shut down; what the client still sends is thrown away for a moment */
};

/* Requests of one address (of one /64 for IPv6). */
struct mui_http_peer {
  unsigned char key[16];
  unsigned requests;
};

/* Something the request owns: copies of headers and parameters. */
struct mui_note {
  struct mui_note *next;
  size_t len;
  char text[];
};

struct mu_http {
  struct mui_net *net;
  struct lws *wsi;               /* NULL: the client is gone */
  struct mui_route *route;       /* NULL: none, or its instance has stopped */
  struct mu_http *next, **pprev; /* all requests */
  struct mu_http *next_due;
  mu_http_id id;
  enum mui_request_state state;
  bool due;     /* on the list of those that the next turn looks at */
  bool running; /* it is on the stack: not freed when it is dropped */
  bool head;
  bool close;    /* the connection ends with this answer */
  bool pending;  /* the library holds unparsed bytes: they must never be parsed */
  bool settling; /* the next HTTP_WRITEABLE ends the wait for POLLOUT */
  bool spilled;  /* the library had to keep a part of the answer */
  bool old;      /* HTTP/1.0 */
  uint8_t ended; /* sweeps that found the client's sending side ended while the answer waits */
  enum mu_http_method method;
  const char *method_name;              /* as it was asked: "HEAD" */
  const struct mu_principal *principal; /* NULL: nobody, or not yet known */
  struct mui_rest_call *rest;           /* NULL: answers have the other form */
  struct mui_http_peer *per_peer;
  int64_t deadline_ns;
  struct mui_note *path;
  struct mui_note *notes;
  char peer[64];
  struct mu_buf body;
  size_t body_expected;
  /* the answer */
  int status;
  bool has_cache_control, has_policy, has_referrer_policy;
  struct mu_buf headers; /* complete lines */
  struct mu_buf out;     /* status line, all headers, and a body that is short */
  size_t out_sent;
  mu_text *answer;
  size_t answer_sent;
  mu_fd *watch;
};

struct mui_http_slot {
  struct mu_http *request;
  uint32_t generation;
  uint32_t next_free; /* slot + 1 */
};

struct mui_net_http {
  struct mui_net *net;
  struct mui_http_slot *slots;
  uint32_t slot_count, first_free; /* slot + 1; 0: none */
  size_t open;
  struct mu_http *first;
  struct mu_http *due, **due_tail;
  size_t due_count;
  mu_timer *turn;          /* 0 s: answers never go out from inside a callback of the library */
  mu_timer *sweep;         /* while requests are open */
  mu_map *peers;           /* key → struct mui_http_peer */
  struct mui_asked *asked; /* bearer.c */
  size_t asked_count;
};

enum {
  MUI_HTTP_MAX_REQUESTS = 4096, /* in progress, in all */
  MUI_HTTP_MAX_PER_PEER = 128,  /* a client that leaves is noticed within about a second */
  MUI_HTTP_PENDING_S = 30,
  MUI_HTTP_CHUNK = 64 * 1024,
};

/* ---- http.c ---------------------------------------------------------------------------------- */

/* Puts it on the list of the next turn. */
void mui_request_due(struct mu_http *request);
/* Ends it: unlinked, and freed unless it is running. The connection is not touched. */
void mui_request_drop(struct mu_http *request);
/* No longer running. False: it was dropped meanwhile, and is freed now. */
bool mui_request_release(struct mu_http *request);
/* A copy that lives as long as the request; `text` NULL: filled in by the caller. */
struct mui_note *mui_request_note(struct mu_http *request, const char *text, size_t len);
/* NULL: it is gone, whatever its state was. */
struct mu_http *mui_request_of(const struct mui_net_http *http, mu_http_id id);
/* mu_http_route() for the core's own kinds of routes. A `gone` of its own must call mui_http_route_gone() first. */
int mui_http_route_add(mu_instance *in, const struct mu_http_route *declared, void *self, struct mui_files *files,
                       struct mui_rest_row *rest, void (*gone)(struct mui_route *));
void mui_http_route_gone(struct mui_route *route);

/* ---- judge.c --------------------------------------------------------------------------------- */

/* Sets method, route and length, or answers with a refusal. False: the connection broke. */
bool mui_http_judge(struct mu_http *request, const struct mui_session *session, int library_method);
/* An answer of the core's own. */
void mui_http_decline(struct mu_http *request, int status, const char *code, const char *message);
/* The same where the body was not read, or nobody knows how long it is: the connection ends with the answer. */
void mui_http_refuse(struct mu_http *request, int status, const char *code, const char *message);

/* ---- exchange.c ------------------------------------------------------------------------------ */

/* No control characters: nothing that could begin another header. */
bool mui_header_value(const char *value);

/* ---- answer.c -------------------------------------------------------------------------------- */

/* Begins to write the answer. Outside callbacks of the library only; the request may be gone afterwards. */
void mui_answer_begin(struct mu_http *request);
/* The same for one whose time is over while it is written or lingers. */
void mui_answer_cut(struct mu_http *request);

/* ---- bearer.c -------------------------------------------------------------------------------- */

/* Whether there is a token at all. False: answered. */
bool mui_bearer_judge(struct mu_http *request);
/* Asks who it is; the request is due again, or answered, when that is known. */
void mui_bearer_ask(struct mu_http *request);
/* The token is worth nothing, or not any more. */
void mui_bearer_refuse(struct mu_http *request);
/* Nobody could tell. `retry_after_s` 0: a few seconds. */
void mui_bearer_unknown(struct mu_http *request, unsigned retry_after_s);
void mui_bearer_free_all(struct mui_net_http *http);

/* ---- files.c --------------------------------------------------------------------------------- */

/* Whether the folder behind a route has the file of this path. */
bool mui_files_have(const struct mui_route *route, struct mu_str path);

#endif
