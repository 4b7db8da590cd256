/* SPDX-License-Identifier: ISC */
/* What the files of the WebSocket client share, and what their tests look at. */
#ifndef MUI_NET_UPLINK_H
#define MUI_NET_UPLINK_H

#include "base/instance.h"

/* "ws://host:port/path?query" taken apart. */
struct mui_url {
  bool tls;
  bool literal; /* the host is an IPv6 address; written without its brackets */
  char host[256];
  uint16_t port;
  char path[1024]; /* with the query; "/" at least */
};
/* NULL: good; otherwise what is wrong, without any part of the URL. */
MUI_API const char *mui_url_parse(const char *text, struct mui_url *url);
/* The Host header: with brackets and with a port that is not the scheme's own. `out` of 300 bytes. */
MUI_API void mui_url_authority(const struct mui_url *url, char *out);

/* How long to wait after the n-th failure in a row (n from 0). `random` is uniform over its whole range. */
MUI_API uint64_t mui_client_delay_ms(unsigned n, uint32_t random);

#endif
