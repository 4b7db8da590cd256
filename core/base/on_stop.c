/* SPDX-License-Identifier: ISC */
/* Telling a service that an instance in whose name it keeps things has stopped. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <muster/plugin.h>

#include "base/instance.h"

struct on_stop {
  struct mui_resource by_user;    /* revoked when the user stops: the call */
  struct mui_resource by_service; /* revoked when the service stops first: no call */
  mu_instance *user;
  void (*fn)(void *context, mu_instance *user);
  void *context;
};

static struct on_stop *forget(struct on_stop *watch)
{
  mui_resource_del(&watch->by_user);
  mui_resource_del(&watch->by_service);
  return watch;
}

static void user_stopped(struct mui_resource *resource)
{
  struct on_stop *watch = forget((struct on_stop *)((char *)resource - offsetof(struct on_stop, by_user)));
  struct on_stop call = *watch;
  free(watch);
  call.fn(call.context, call.user);
}

static void service_stopped(struct mui_resource *resource)
{
  free(forget((struct on_stop *)((char *)resource - offsetof(struct on_stop, by_service))));
}

int mu_on_stop(mu_instance *in, mu_instance *user, void (*fn)(void *context, mu_instance *user), void *context)
{
  if (atomic_load(&in->closed) || atomic_load(&user->closed))
    return MU_ECLOSED;
  struct on_stop *watch = calloc(1, sizeof *watch);
  if (!watch)
    return MU_ENOMEM;
  watch->user = user;
  watch->fn = fn;
  watch->context = context;
  mui_resource_add(user, &watch->by_user, user_stopped);
  mui_resource_add(in, &watch->by_service, service_stopped);
  return 0;
}
