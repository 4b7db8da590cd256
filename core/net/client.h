/* SPDX-License-Identifier: ISC */
/* What client.c (coming and going) and client_io.c (the link) share. */
#ifndef MUI_NET_CLIENT_H
#define MUI_NET_CLIENT_H

#include <muster/client.h>
#include <muster/loop.h>
#include "loop/loop.h"
#include "net/internal.h"
#include "net/uplink.h"

enum {
  MUI_CLIENT_ADDRESSES = 8,
  MUI_CLIENT_CLOSE_MS = 2000, /* for the server's half of a graceful close */
};

enum mui_client_state {
  MUI_CLIENT_IDLE, /* not started */
  MUI_CLIENT_RESOLVING,
  MUI_CLIENT_CONNECTING,
  MUI_CLIENT_OPEN,
  MUI_CLIENT_CLOSING, /* our close frame is on its way */
  MUI_CLIENT_WAITING, /* for the next attempt */
  MUI_CLIENT_ENDING,  /* `closed` is still to be told */
  MUI_CLIENT_ENDED,
};

struct mui_message {
  struct mui_message *next;
  mu_text *text;
};

struct mui_client_header {
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
  struct mui_client_header *headers;
  size_t header_count;
  struct lws_vhost *vhost;
  bool insecure;
  uint64_t ping_every_ms, pong_within_ms;
  size_t max_queue, max_message;
  bool no_queue;
  struct mu_client_events events;
  void *self;

  enum mui_client_state state;
  unsigned held; /* callbacks of ours or the plugin's on the stack */
  bool freed;
  bool attempting; /* nothing was heard of the attempt yet */
  struct lws *wsi;
  struct lookup *lookup;
  struct mui_address addresses[MUI_CLIENT_ADDRESSES];
  size_t address_count, address_at;
  unsigned failures;       /* in a row */
  unsigned long tls_error; /* OpenSSL's, of this attempt's handshake */
  int64_t up_ns;
  mu_timer *timer; /* the state's: next attempt, attempt takes too long, close takes too long, end */
  mu_timer *ping, *pong;
  bool ping_due, pong_due, close_sent;
  bool broken; /* the close frame says what the server did wrong; then it goes on by the schedule */
  bool again;  /* the end that is under way is not for good */
  uint64_t again_ms;
  unsigned close_code;
  char close_reason[124];
  struct mui_message *queue, **queue_tail;
  size_t queued;
  uint64_t dropped;
  struct mu_buf in_buf;
  bool receiving_binary;
};

/* Keeps it in memory while callbacks of its are on the stack. */
void mui_client_hold(struct mu_client *client);
/* False: it was freed meanwhile. */
bool mui_client_release(struct mu_client *client);
/* An attempt failed: the next address, unless the server itself answered. */
void mui_client_failed(struct mu_client *client, int status, const char *reason);
/* The link is gone, or none came about: again later, or never. */
void mui_client_down(struct mu_client *client, int status, unsigned code, const char *reason);
void mui_client_drop_oldest(struct mu_client *client);
/* Whose handshake this is; NULL: nobody's any more. `ssl` is an SSL. */
struct mu_client *mui_client_of(struct mui_net *net, const void *ssl);

/* ---- client_tls.c ---------------------------------------------------------------------------- */

/* The library made the SSL_CTX of a client's vhost: sets it up. */
void mui_client_tls_context(struct lws *wsi, void *ssl_ctx);
/* Why the handshake failed. */
void mui_client_tls_explain(const struct mu_client *client, struct lws *wsi, char *text, size_t size);

#endif
