/* SPDX-License-Identifier: ISC */
/*
 * Events: one emitter, many listeners, in order.
 *
 * A topic (one name) has a sorted table of its listeners, wildcards included, so telling an event is a walk over an array. One event
 * is told at a time: what is emitted meanwhile waits in a ring, its payload referenced. So one cursor is enough to keep the walk right
 * while listeners come and go. Topics stay until the bus goes; their number is that of the names in the plugins.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include <muster/plugin.h>

#include "bus/internal.h"

/* More than this inside one event is plugins feeding each other. */
#define QUEUE_MAX 4096

struct mui_listener {
  struct mui_resource resource; /* first */
  mu_instance *in;
  int priority;
  uint64_t serial;
  mu_event_fn fn;
  void *self;
  size_t prefix_len;                 /* of a wildcard, with its dot; 0: one topic */
  struct mui_topic *topic;           /* if no wildcard */
  struct mui_listener *next, **link; /* among the wildcards */
  char prefix[];
};

struct mui_topic {
  struct mui_listener **slots;
  size_t count, capacity;
  char name[];
};

struct mu_event_type {
  struct mui_resource resource; /* first */
  struct mui_topic *topic;
  mu_instance *in;
  const struct mu_event_ops *ops;
};

static bool before(const struct mui_listener *a, const struct mui_listener *b)
{
  if (a->priority != b->priority)
    return a->priority < b->priority;
  if (a->in->order != b->in->order)
    return a->in->order < b->in->order;
  return a->serial < b->serial;
}

static int reserve(struct mui_topic *topic)
{
  if (topic->count < topic->capacity)
    return 0;
  size_t capacity = topic->capacity ? 2 * topic->capacity : 4;
  struct mui_listener **slots = realloc(topic->slots, capacity * sizeof(struct mui_listener *));
  if (!slots)
    return MU_ENOMEM;
  topic->slots = slots;
  topic->capacity = capacity;
  return 0;
}

/* There must be room. */
static void insert(struct mui_bus *bus, struct mui_topic *topic, struct mui_listener *listener)
{
  size_t at = topic->count;
  while (at > 0 && before(listener, topic->slots[at - 1]))
    at--;
  memmove(topic->slots + at + 1, topic->slots + at, (topic->count - at) * sizeof(struct mui_listener *));
  topic->slots[at] = listener;
  topic->count++;
  if (topic == bus->telling && at < bus->cursor)
    bus->cursor++;
}

static void take_out(struct mui_bus *bus, struct mui_topic *topic, const struct mui_listener *listener)
{
  for (size_t i = 0; i < topic->count; i++) {
    if (topic->slots[i] != listener)
      continue;
    topic->count--;
    memmove(topic->slots + i, topic->slots + i + 1, (topic->count - i) * sizeof(struct mui_listener *));
    if (topic == bus->telling && i < bus->cursor)
      bus->cursor--;
    return;
  }
}

static bool matches(const struct mui_listener *wildcard, const char *name)
{
  return strncmp(name, wildcard->prefix, wildcard->prefix_len) == 0;
}

/* Finds or makes. */
static struct mui_topic *get_topic(struct mui_bus *bus, const char *name)
{
  struct mui_topic *topic = mu_map_get(bus->topics, mu_str(name));
  if (topic)
    return topic;
  size_t size = strlen(name) + 1;
  topic = calloc(1, sizeof(*topic) + size);
  if (!topic)
    return NULL;
  memcpy(topic->name, name, size);
  for (struct mui_listener *wildcard = bus->wildcards; wildcard; wildcard = wildcard->next) {
    if (!matches(wildcard, name))
      continue;
    if (reserve(topic) != 0)
      goto failed;
    insert(bus, topic, wildcard);
  }
  if (mu_map_add(bus->topics, mu_str(name), topic) != 0)
    goto failed;
  return topic;

failed:
  free(topic->slots);
  free(topic);
  return NULL;
}

static void listener_revoke(struct mui_resource *resource)
{
  struct mui_listener *listener = (struct mui_listener *)resource;
  struct mui_bus *bus = listener->in->runtime->bus;
  if (listener->topic) {
    take_out(bus, listener->topic, listener);
  } else {
    size_t position = 0;
    for (struct mui_topic *topic; (topic = mu_map_next(bus->topics, &position, NULL));)
      take_out(bus, topic, listener);
    *listener->link = listener->next;
    if (listener->next)
      listener->next->link = listener->link;
  }
  mui_resource_del(resource);
  free(listener);
}

static int listen_to_all(struct mui_bus *bus, struct mui_listener *listener)
{
  /* First room everywhere, so that nothing has to be undone. */
  size_t position = 0;
  struct mui_topic *topic;
  while ((topic = mu_map_next(bus->topics, &position, NULL)))
    if (matches(listener, topic->name) && reserve(topic) != 0)
      return MU_ENOMEM;
  position = 0;
  while ((topic = mu_map_next(bus->topics, &position, NULL)))
    if (matches(listener, topic->name))
      insert(bus, topic, listener);
  listener->next = bus->wildcards;
  listener->link = &bus->wildcards;
  if (listener->next)
    listener->next->link = &listener->next;
  bus->wildcards = listener;
  return 0;
}

int mu_event_on(mu_instance *in, const char *name, int priority, mu_event_fn fn, void *self)
{
  struct mui_bus *bus = in->runtime->bus;
  if (!name || !*name || !fn)
    return MU_EINVAL;
  if (in->closed)
    return MU_ECLOSED;
  size_t len = strlen(name);
  bool wildcard = len > 2 && strcmp(name + len - 2, ".*") == 0;
  if (!wildcard && strchr(name, '*'))
    return MU_EINVAL;
  struct mui_listener *listener = calloc(1, sizeof(*listener) + len + 1);
  if (!listener)
    return MU_ENOMEM;
  listener->in = in;
  listener->priority = priority;
  listener->serial = ++bus->serial;
  listener->fn = fn;
  listener->self = self;
  int error = 0;
  if (wildcard) {
    listener->prefix_len = len - 1;
    memcpy(listener->prefix, name, len - 1);
    error = listen_to_all(bus, listener);
  } else {
    listener->topic = get_topic(bus, name);
    error = listener->topic ? reserve(listener->topic) : MU_ENOMEM;
    if (!error)
      insert(bus, listener->topic, listener);
  }
  if (error) {
    free(listener);
    return error;
  }
  mui_resource_add(in, &listener->resource, listener_revoke);
  return 0;
}

/* ---- emitting --------------------------------------------------------------------------------- */

static void hold(const struct mu_event_ops *ops, const void *payload)
{
  if (payload && ops && ops->ref)
    ops->ref(payload);
}

static void release(const struct mu_event_ops *ops, const void *payload)
{
  if (payload && ops && ops->unref)
    ops->unref(payload);
}

static void type_revoke(struct mui_resource *resource)
{
  mu_event_type *type = (mu_event_type *)resource;
  struct mui_bus *bus = type->in->runtime->bus;
  for (size_t i = 0; i < bus->queue_count; i++) {
    struct mui_queued *queued = &bus->queue[(bus->queue_first + i) % bus->queue_capacity];
    if (queued->type == type) {
      queued->type = NULL;
      release(type->ops, queued->payload);
    }
  }
  if (bus->denied == type)
    bus->denied = NULL;
  mui_resource_del(resource);
  free(type);
}

mu_event_type *mu_event_declare(mu_instance *in, const char *name, const struct mu_event_ops *ops)
{
  struct mui_bus *bus = in->runtime->bus;
  if (!name || !*name || strchr(name, '*') || in->closed)
    return NULL;
  mu_event_type *type = calloc(1, sizeof(*type));
  if (!type)
    return NULL;
  type->topic = get_topic(bus, name);
  if (!type->topic) {
    free(type);
    return NULL;
  }
  type->in = in;
  type->ops = ops;
  mui_resource_add(in, &type->resource, type_revoke);
  return type;
}

bool mu_event_wanted(const mu_event_type *type)
{
  return type->topic->count > 0;
}

static void tell(struct mui_bus *bus, struct mui_topic *topic, const char *origin, const void *payload)
{
  struct mu_event event = {.name = topic->name, .payload = payload, .origin = origin};
  uint64_t newest = bus->serial; /* who comes while it is told is not told */
  bus->telling = topic;
  bus->cursor = 0;
  while (bus->cursor < topic->count) {
    struct mui_listener *listener = topic->slots[bus->cursor++];
    if (listener->serial > newest)
      continue;
    struct mui_call call;
    mui_call_begin(&call, listener->in, MUI_CB_EVENT);
    listener->fn(listener->self, &event); /* may end any listener or emitter */
    mui_call_end(&call, 0);
  }
  bus->telling = NULL;
}

static void enqueue(struct mui_bus *bus, mu_event_type *type, const void *payload)
{
  if (bus->queue_count == bus->queue_capacity) {
    size_t capacity = bus->queue_capacity ? 2 * bus->queue_capacity : 16;
    struct mui_queued *queue = capacity <= QUEUE_MAX ? malloc(capacity * sizeof(*queue)) : NULL;
    if (!queue) {
      mu_log_limited(type->in, MU_LOG_ERROR, "event queue", "event %s is lost: %zu events wait already",
                     type->topic->name, bus->queue_count);
      return;
    }
    for (size_t i = 0; i < bus->queue_count; i++)
      queue[i] = bus->queue[(bus->queue_first + i) % bus->queue_capacity];
    free(bus->queue);
    bus->queue = queue;
    bus->queue_first = 0;
    bus->queue_capacity = capacity;
  }
  hold(type->ops, payload);
  bus->queue[(bus->queue_first + bus->queue_count++) % bus->queue_capacity] = (struct mui_queued){type, payload};
}

static const char *origin_of(const mu_event_type *type)
{
  return type->in->runtime->node ? type->in->runtime->node : "";
}

void mu_event_emit(mu_event_type *type, const void *payload)
{
  struct mui_bus *bus = type->in->runtime->bus;
  if (type->topic->count == 0)
    return;
  if (bus->telling) {
    enqueue(bus, type, payload);
    return;
  }
  tell(bus, type->topic, origin_of(type), payload); /* may free the type */
  while (bus->queue_count > 0) {
    struct mui_queued queued = bus->queue[bus->queue_first];
    bus->queue_first = (bus->queue_first + 1) % bus->queue_capacity;
    bus->queue_count--;
    if (!queued.type)
      continue;
    const struct mu_event_ops *ops = queued.type->ops;
    tell(bus, queued.type->topic, origin_of(queued.type), queued.payload);
    release(ops, queued.payload);
  }
}

void mui_events_free(struct mui_bus *bus)
{
  assert(!bus->wildcards && bus->queue_count == 0);
  size_t position = 0;
  struct mui_topic *topic;
  while ((topic = mu_map_next(bus->topics, &position, NULL))) {
    assert(topic->count == 0);
    free(topic->slots);
    free(topic);
  }
  mu_map_free(bus->topics);
  free(bus->queue);
}
