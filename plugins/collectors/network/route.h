/* SPDX-License-Identifier: ISC */
/* The interface of the default route. */
#ifndef NETWORK_ROUTE_H
#define NETWORK_ROUTE_H

#include <muster/sample.h>

struct route;

/* NULL: memory is out. */
struct route *route_new(const char *root);
/* The interface of the IPv4 default route with the lowest metric, else of the IPv6 one; "" when there is none. */
void route_primary(struct route *route, char *name, size_t size);
void route_free(struct route *route);

#endif
