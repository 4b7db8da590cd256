/* SPDX-License-Identifier: ISC */
/* What listen.c and tls.c share. */
#ifndef MUI_NET_LISTENERS_H
#define MUI_NET_LISTENERS_H

#include "net/internal.h"

struct mui_certificate; /* tls.c */

struct mui_net_listeners {
  struct mui_listener *first; /* in the order of the configuration */
  struct mui_certificate *certificates;
  size_t sessions;
  struct mui_session *first_session;
  struct mui_session *waiting, **waiting_end; /* without a request yet, oldest first */
};

#endif
