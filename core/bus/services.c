/* SPDX-License-Identifier: ISC */
/* The bus, and its services: typed, asked for by name. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>

#include "bus/internal.h"

struct mui_service_list {
  struct mui_provider *first;
};

/* What an instance's `use` says. */
struct mui_use {
  struct mui_resource resource; /* first */
  struct mui_use *next, **link;
  mu_instance *in;
  char service[64];
  char provider[64];
};

struct mui_bus *mui_bus_new(void)
{
  struct mui_bus *bus = calloc(1, sizeof(*bus));
  if (!bus)
    return NULL;
  bus->services = mu_map_new();
  bus->topics = mu_map_new();
  if (!bus->services || !bus->topics) {
    mu_map_free(bus->services);
    mu_map_free(bus->topics);
    free(bus);
    return NULL;
  }
  return bus;
}

void mui_bus_free(struct mui_bus *bus)
{
  if (!bus)
    return;
  mui_asks_free(bus);
  mui_events_free(bus);
  mui_services_free(bus);
  free(bus);
}

void mui_services_free(struct mui_bus *bus)
{
  size_t position = 0;
  struct mui_service_list *list;
  while ((list = mu_map_next(bus->services, &position, NULL))) {
    assert(!list->first); /* every instance is revoked before the bus goes */
    free(list);
  }
  mu_map_free(bus->services);
}

void mui_bus_may(struct mui_bus *bus, bool (*may)(mu_instance *in, const char *service))
{
  bus->may = may;
}

void mui_bus_lacking(struct mui_bus *bus, bool lacking)
{
  bus->lacking = lacking;
}

bool mui_service_may(mu_instance *in, const char *service)
{
  struct mui_bus *bus = in->runtime->bus;
  return !bus->may || in == in->runtime->core || bus->may(in, service);
}

static void provider_revoke(struct mui_resource *resource)
{
  struct mui_provider *provider = (struct mui_provider *)resource;
  struct mui_provider **link = provider->head;
  while (*link != provider)
    link = &(*link)->next;
  *link = provider->next;
  mui_resource_del(resource);
  free(provider);
}

int mu_service_provide(mu_instance *in, const char *name, const void *api, void *self)
{
  struct mui_bus *bus = in->runtime->bus;
  if (!name || !*name || !api)
    return MU_EINVAL;
  if (in->closed)
    return MU_ECLOSED;
  struct mui_service_list *list = mu_map_get(bus->services, mu_str(name));
  if (!list) {
    list = calloc(1, sizeof(*list));
    if (!list)
      return MU_ENOMEM;
    if (mu_map_add(bus->services, mu_str(name), list) != 0) {
      free(list);
      return MU_ENOMEM;
    }
  }
  struct mui_provider **link = &list->first;
  for (struct mui_provider *other = list->first; other; other = other->next) {
    if (other->in == in)
      return MU_EEXIST;
    if (other->in->order <= in->order)
      link = &other->next;
  }
  struct mui_provider *provider = calloc(1, sizeof(*provider));
  if (!provider)
    return MU_ENOMEM;
  provider->in = in;
  provider->serial = ++bus->serial;
  provider->api = api;
  provider->self = self;
  provider->head = &list->first;
  provider->next = *link;
  *link = provider;
  mui_resource_add(in, &provider->resource, provider_revoke);
  return 0;
}

struct mui_provider *mui_provider_after(struct mui_bus *bus, const char *service, struct mui_place *place)
{
  struct mui_service_list *list = mu_map_get(bus->services, mu_str(service));
  struct mui_provider *provider = list ? list->first : NULL;
  while (provider && (provider->in->order < place->order ||
                      (provider->in->order == place->order && provider->serial <= place->serial)))
    provider = provider->next;
  if (provider) {
    place->order = provider->in->order;
    place->serial = provider->serial;
  }
  return provider;
}

/* "store" for "store/1". */
static bool is_base(const char *base, const char *service)
{
  size_t len = strcspn(service, "/");
  return strlen(base) == len && memcmp(base, service, len) == 0;
}

static struct mui_use *find_use(struct mui_bus *bus, const mu_instance *in, const char *service)
{
  for (struct mui_use *use = bus->uses; use; use = use->next)
    if (use->in == in && is_base(use->service, service))
      return use;
  return NULL;
}

static void use_revoke(struct mui_resource *resource)
{
  struct mui_use *use = (struct mui_use *)resource;
  *use->link = use->next;
  if (use->next)
    use->next->link = use->link;
  mui_resource_del(resource);
  free(use);
}

int mui_bus_use(mu_instance *in, const char *service, const char *provider)
{
  struct mui_bus *bus = in->runtime->bus;
  size_t service_len = strlen(service), provider_len = strlen(provider);
  if (service_len == 0 || service_len >= sizeof(((struct mui_use *)0)->service) || strchr(service, '/') ||
      provider_len == 0 || provider_len >= sizeof(((struct mui_use *)0)->provider))
    return MU_EINVAL;
  if (in->closed)
    return MU_ECLOSED;
  struct mui_use *use = find_use(bus, in, service);
  if (!use) {
    use = calloc(1, sizeof(*use));
    if (!use)
      return MU_ENOMEM;
    use->in = in;
    memcpy(use->service, service, service_len + 1);
    use->next = bus->uses;
    use->link = &bus->uses;
    if (use->next)
      use->next->link = &use->next;
    bus->uses = use;
    mui_resource_add(in, &use->resource, use_revoke);
  }
  memcpy(use->provider, provider, provider_len + 1);
  return 0;
}

static void fill(struct mu_service *out, const struct mui_provider *provider)
{
  *out = (struct mu_service){.api = provider->api, .self = provider->self, .provider = provider->in};
}

int mu_service_get(mu_instance *in, const char *name, struct mu_service *out)
{
  struct mui_bus *bus = in->runtime->bus;
  *out = (struct mu_service){0};
  if (!mui_service_may(in, name))
    return MU_EPERM;
  struct mui_service_list *list = mu_map_get(bus->services, mu_str(name));
  struct mui_provider *provider = list ? list->first : NULL;
  if (!provider)
    return MU_ENOENT;
  struct mui_use *use = find_use(bus, in, name);
  if (!use && in->runtime->core)
    use = find_use(bus, in->runtime->core, name);
  if (use) {
    while (provider && strcmp(provider->in->name, use->provider) != 0)
      provider = provider->next;
    if (!provider) {
      mu_log(in, MU_LOG_ERROR, "use: no instance \"%s\" provides %s", use->provider, name);
      return MU_ENOENT;
    }
  } else if (provider->next) {
    mu_log(in, MU_LOG_ERROR, "both \"%s\" and \"%s\" provide %s: choose one with `use`", provider->in->name,
           provider->next->in->name, name);
    return MU_ECONF;
  }
  fill(out, provider);
  return 0;
}

int mu_service_nth(mu_instance *in, const char *name, size_t n, struct mu_service *out)
{
  *out = (struct mu_service){0};
  if (!mui_service_may(in, name))
    return MU_EPERM;
  struct mui_service_list *list = mu_map_get(in->runtime->bus->services, mu_str(name));
  struct mui_provider *provider = list ? list->first : NULL;
  while (provider && n-- > 0)
    provider = provider->next;
  if (!provider)
    return MU_ENOENT;
  fill(out, provider);
  return 0;
}
