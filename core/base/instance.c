/* SPDX-License-Identifier: ISC */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/plugin.h>
#include <muster/sample.h>

#include "base/account.h"
#include "base/logging.h"

int mui_instance_init(mu_instance *in, struct mui_runtime *runtime, const char *name, const char *plugin)
{
  memset(in, 0, sizeof *in);
  snprintf(in->name, sizeof in->name, "%s", name);
  snprintf(in->plugin, sizeof in->plugin, "%s", plugin);
  in->runtime = runtime;
  in->account = mui_account_new();
  return in->account ? 0 : MU_ENOMEM;
}

void mui_instance_fini(mu_instance *in)
{
  assert(!in->resources);
  mui_account_free(in->account);
  mui_log_forget(in);
}

mu_instance *mui_instance_new(struct mui_runtime *runtime, const char *name, const char *plugin)
{
  mu_instance *in = malloc(sizeof *in);
  if (in && mui_instance_init(in, runtime, name, plugin) != 0) {
    free(in);
    in = NULL;
  }
  return in;
}

void mui_instance_revoke(mu_instance *in)
{
  atomic_store(&in->closed, true);
  while (in->resources) {
    struct mui_resource *resource = in->resources;
    resource->revoke(resource);
    assert(in->resources != resource);
  }
}

void mui_instance_free(mu_instance *in)
{
  if (!in)
    return;
  mui_instance_revoke(in);
  mui_instance_fini(in);
  free(in);
}

void mui_resource_add(mu_instance *in, struct mui_resource *resource, void (*revoke)(struct mui_resource *))
{
  resource->revoke = revoke;
  resource->next = in->resources;
  resource->pprev = &in->resources;
  if (resource->next)
    resource->next->pprev = &resource->next;
  in->resources = resource;
}

void mui_resource_del(struct mui_resource *resource)
{
  if (!resource->pprev)
    return;
  *resource->pprev = resource->next;
  if (resource->next)
    resource->next->pprev = resource->pprev;
  resource->pprev = NULL;
  resource->next = NULL;
}

const char *mu_host_root(const mu_instance *in)
{
  return in->runtime && in->runtime->root ? in->runtime->root : "";
}

const char *mu_share_folder(const mu_instance *in)
{
  return in->runtime && in->runtime->share ? in->runtime->share : "";
}
