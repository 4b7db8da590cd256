/* SPDX-License-Identifier: ISC */
/* Listeners, routing, connections: what the programs see of it. */
#ifndef MUI_NET_NET_H
#define MUI_NET_NET_H

#include <muster/conf.h>
#include "base/instance.h"
#include "conf/config.h"

/* One entry of `listen`; filled by mui_listen_options. */
struct mui_listen {
  const char *address;
  int64_t port;
  bool reuse_port;        /* other processes may listen there, too */
  struct mu_list origins; /* const char *: further Origins that browsers may have */
  struct mu_list plugins; /* const char *: instances served here; empty: all */
  struct {
    const char *certificate; /* NULL: no TLS */
    const char *key;
  } tls;
};
MUI_API extern const struct mu_options mui_listen_options;

/* The group `limits` of server.conf; filled by mui_limits_options. */
struct mui_limits {
  int64_t max_connections;          /* in all */
  int64_t max_connections_per_peer; /* per address (IPv6: per /64); 0: none */
  int64_t connects_per_second;      /* per address, with a burst of four seconds; 0: none */
  double header_timeout_s;
  double body_timeout_s;
  double send_timeout_s;          /* a reader that takes nothing for this long is cut */
  struct mu_list trusted_proxies; /* const char *: addresses and networks whose X-Forwarded-For counts */
};
MUI_API extern const struct mu_options mui_limits_options;

/* Makes the network side with its libwebsockets context. NULL: the reason was logged. */
MUI_API struct mui_net *mui_net_new(struct mui_runtime *runtime);
/* check() for one listener: certificate and key readable and matching, address sane. */
MUI_API void mui_listen_check(const void *listen, struct mu_check *check);
/*
 * Makes the listeners equal to the list: unchanged ones go on, new ones are bound before old ones go.
 * MU_EIO: one could not be bound; nothing was changed, and `problem` says which and why.
 */
MUI_API int mui_net_listen(struct mui_net *net, const struct mui_listen *list, size_t count,
                           const struct mui_limits *limits, char *problem, size_t problem_size);
/* Reads the certificates again, after checking each pair. */
MUI_API void mui_net_certificates(struct mui_net *net);
/* Stops accepting, says 1001 to all; `done` when none is left or 1.5 s are over. */
MUI_API void mui_net_stop(struct mui_net *net, void (*done)(void *context), void *context);
/* After the loop has stopped. */
MUI_API void mui_net_free(struct mui_net *net);

/* Figures for status pages and the benchmarks. */
struct mui_net_stats {
  uint64_t accepted, refused, open_ws, messages_in, bytes_in, deliveries, bytes_out;
  uint64_t http_requests, http_4xx, http_5xx; /* requests begun, answers by class */
};
MUI_API void mui_net_read(const struct mui_net *net, struct mui_net_stats *stats);
/* The port that listener n got (for port 0 in tests). */
MUI_API uint16_t mui_net_port(const struct mui_net *net, size_t n);

#endif
