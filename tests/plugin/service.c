/* SPDX-License-Identifier: ISC */
/* A plugin that provides a service and needs another, and complains when the other has not started. */
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

struct state {
  mu_instance *in;
};
#ifndef LIAR
static const struct api {
  size_t size;
} api = {sizeof(struct api)};
#endif

static const char *const provides[] = {
#ifdef PROVIDES
    PROVIDES,
#endif
    NULL};
static const char *const needs[] = {
#ifdef NEEDS
    NEEDS,
#endif
    NULL};
static const char *const wants[] = {
#ifdef WANTS
    WANTS,
#endif
    NULL};

static int init(mu_instance *in, const void *config, void **self)
{
  struct state *state = calloc(1, sizeof(*state));
  (void)config;
  if (!state)
    return MU_ENOMEM;
  state->in = in;
  *self = state;
#ifdef LIAR
  return 0;
#else
  int result = provides[0] ? mu_service_provide(in, provides[0], &api, state) : 0;
  if (result < 0)
    free(state);
  return result;
#endif
}

static int start(void *self)
{
  struct state *state = self;
  struct mu_service service;
  if (needs[0] && mu_service_get(state->in, needs[0], &service) < 0)
    return MU_ENOENT;
  if (needs[0] && service.api == NULL)
    return MU_EINTERNAL;
  /* Not listed: the bus must refuse it. */
  return mu_service_get(state->in, "stranger/1", &service) == MU_EPERM ? 0 : MU_EINTERNAL;
}

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .needs = needs,
    .wants = wants,
    .init = init,
    .start = start,
    .fini = free,
}};
MU_PLUGIN(.name = NAME, .version = "1.0", .summary = "tests services", .licence = "ISC",
          .components = MU_COMPONENTS(components));
