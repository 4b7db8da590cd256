/* SPDX-License-Identifier: ISC */
/* Services and events of a process. */
#ifndef MUI_BUS_BUS_H
#define MUI_BUS_BUS_H

#include <muster/auth.h>
#include <muster/bus.h>
#include "base/instance.h"

MUI_API struct mui_bus *mui_bus_new(void);
MUI_API void mui_bus_free(struct mui_bus *bus);
/* `use = { store = "db2"; }` for one instance (or the core's for all): service name without "/N" → instance. */
MUI_API int mui_bus_use(mu_instance *in, const char *service, const char *provider);
/* Judges whether a component may ask for a service; set by plugin/. NULL: everybody may. */
MUI_API void mui_bus_may(struct mui_bus *bus, bool (*may)(mu_instance *in, const char *service));
/*
 * Whether an auth provider that the configuration names may not be running: then what nobody knows is "unavailable", for clients
 * forget a key that was refused.
 */
MUI_API void mui_bus_lacking(struct mui_bus *bus, bool lacking);
/* Whether auth.revoked with this payload means this principal: the user, or who came by just this one of the user's credentials. */
MUI_API bool mui_principal_covers(const struct mu_principal *revoked, const struct mu_principal *principal);

#endif
