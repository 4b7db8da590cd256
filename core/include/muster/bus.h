/* SPDX-License-Identifier: ISC */
/**
 * @file bus.h
 * How plugins meet: services (typed, asked by name) and events (many listeners, ordered). Loop thread only.
 */
#ifndef MUSTER_BUS_H
#define MUSTER_BUS_H

#include <muster/base.h>

/* ---- services ------------------------------------------------------------------------------- */

/** A provider of a service. Valid until the provider stops, which is after all that need it. */
struct mu_service {
  /** The service's struct of functions; its first member is its size. See the service's header. */
  const void *api;
  /** First argument of those functions. */
  void *self;
  mu_instance *provider;
};

/** Registers a provider; the component must list `name` in `provides`. Call from init. */
MU_API int mu_service_provide(mu_instance *in, const char *name, const void *api, void *self);

/**
 * The provider of a service, or the one that `use = { name = "instance"; }` chose. Call from start or later.
 * 0, MU_ENOENT, MU_EPERM when the component lists it neither in `needs` nor in `wants`, or MU_ECONF when there are
 * several and no `use`.
 */
MU_API int mu_service_get(mu_instance *in, const char *name, struct mu_service *out) MU_MUST_USE;

/** All providers in the configuration's order: the n-th, or MU_ENOENT past the end. */
MU_API int mu_service_nth(mu_instance *in, const char *name, size_t n, struct mu_service *out) MU_MUST_USE;

/* ---- events --------------------------------------------------------------------------------- */

/**
 * What an event carries is a pointer to a struct that the event's header names. It is borrowed: a listener that
 * keeps it takes a reference by the payload's own function.
 */
struct mu_event {
  const char *name;
  const void *payload;
  /** The node where it happened: mu_node_name(), or another when a cluster plugin brought it. */
  const char *origin;
};

typedef void (*mu_event_fn)(void *self, const struct mu_event *event);

/** How the payload of one event type is held and carried. Growth-only. */
struct mu_event_ops {
  size_t size;
  /** Version of the text form. */
  unsigned version;
  void (*ref)(const void *payload);
  void (*unref)(const void *payload);
  /** Appends the payload as one JSON object, for log, cluster and tests; 0 or an error. */
  int (*text)(const void *payload, struct mu_buf *out);
};

typedef struct mu_event_type mu_event_type;

/**
 * Declares that this instance emits events of this name. Several may declare the same one.
 * `ops` must stay valid. NULL when memory is out.
 */
MU_API mu_event_type *mu_event_declare(mu_instance *in, const char *name, const struct mu_event_ops *ops);

/**
 * Listens. Listeners run in the order of `priority` (small first), then of the configuration.
 * `name` may end in ".*". Emitters need not exist. A listener is not told of the event that is being told when it comes.
 * 0, MU_EINVAL, MU_ECLOSED or MU_ENOMEM.
 */
MU_API int mu_event_on(mu_instance *in, const char *name, int priority, mu_event_fn fn, void *self);

/** Tells all listeners, at once; inside a listener: after the event that is being told. */
MU_API void mu_event_emit(mu_event_type *type, const void *payload);
/** Whether anybody listens: for skipping costly payloads. */
MU_API bool mu_event_wanted(const mu_event_type *type);

/** `config.reloaded`: after a reload that changed something. Payload: NULL. Emitted by the core. */
#define MU_EVENT_CONFIG_RELOADED "config.reloaded"

#endif
