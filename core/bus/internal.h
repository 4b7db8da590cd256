/* SPDX-License-Identifier: ISC */
/* What the files of bus/ share. Loop thread only. */
#ifndef MUI_BUS_INTERNAL_H
#define MUI_BUS_INTERNAL_H

#include "base/instance.h"
#include "bus/bus.h"

/* Somebody who provides a service. */
struct mui_provider {
  struct mui_resource resource; /* first */
  struct mui_provider *next;    /* by place: in->order, then serial */
  struct mui_provider **head;
  mu_instance *in;
  uint64_t serial;
  const void *api;
  void *self;
};

struct mui_topic;
struct mui_listener;
struct mui_ask;

/* An event that was emitted inside a listener. */
struct mui_queued {
  mu_event_type *type; /* NULL: its emitter has stopped */
  const void *payload; /* a reference is held */
};

struct mui_bus {
  bool (*may)(mu_instance *in, const char *service);
  mu_map *services; /* name → struct mui_service_list */
  struct mui_use *uses;
  uint64_t serial; /* orders registrations */

  mu_map *topics; /* name → struct mui_topic */
  struct mui_listener *wildcards;
  struct mui_topic *telling; /* NULL: no event is being told */
  size_t cursor;             /* the next listener of `telling` */
  struct mui_queued *queue;  /* a ring */
  size_t queue_first, queue_count, queue_capacity;

  mu_event_type *denied; /* auth.denied, made at the first refusal */
  struct mui_ask *asks;  /* questions that a provider may still answer */
  bool lacking;          /* a provider that the configuration names may be missing */
};

/* The first provider behind a place (0, 0: the first of all) and moves the place onto it; NULL: no more. */
struct mui_place {
  unsigned order;
  uint64_t serial;
};
struct mui_provider *mui_provider_after(struct mui_bus *bus, const char *service, struct mui_place *place);
bool mui_service_may(mu_instance *in, const char *service);

void mui_services_free(struct mui_bus *bus);
void mui_events_free(struct mui_bus *bus);
void mui_asks_free(struct mui_bus *bus);

#endif
