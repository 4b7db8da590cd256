/* SPDX-License-Identifier: ISC */
/* The service on a bus of its own, with clocks that the test moves and a list of what was told. */
#ifndef MACHINES_TEST_WORLD_H
#define MACHINES_TEST_WORLD_H

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/instance.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "registry.h"
#include "unit.h"

#define SECOND INT64_C(1000000000)

static int64_t now_ns;
static inline int64_t test_now_ms(void)
{
  return 1700000000000 + now_ns / 1000000;
}
static inline int64_t test_mono_ns(void)
{
  return now_ns;
}

struct world {
  struct mui_runtime runtime;
  mu_instance *own, *user;
  const struct mu_machines *api;
  void *self;
  struct mu_buf events;
};

static inline void note(void *context, const struct mu_event *event)
{
  struct world *world = context;
  const struct mu_machine *machine = event->payload;
  mu_buf_printf(&world->events, "%s:%s ", event->name + 8, machine->id);
}

static const struct config config = {.max_per_owner = 3, .forget_after_h = 24};

static inline void begin(struct world *world)
{
  *world = (struct world){.runtime = {.node = "test", .root = ""}};
  now_ns = 1000 * SECOND;
  mui_clock_inject(test_now_ms, test_mono_ns);
  world->runtime.loop = mui_loop_new(1, 0);
  world->runtime.bus = mui_bus_new();
  world->own = mui_instance_new(&world->runtime, "machines", "machines");
  world->user = mui_instance_new(&world->runtime, "user", "user");
  world->runtime.core = world->own;
  CU_ASSERT_EQUAL_FATAL(muster_plugin.components.table[0].init(world->own, &config, &world->self), 0);
  struct mu_service service;
  CU_ASSERT_EQUAL_FATAL(mu_service_get(world->user, MU_SERVICE_MACHINES, &service), 0);
  world->api = service.api;
  CU_ASSERT_EQUAL(mu_event_on(world->own, "machine.*", 0, note, world), 0);
}

static inline void end(struct world *world)
{
  mui_instance_revoke(world->user);
  mui_instance_revoke(world->own);
  muster_plugin.components.table[0].fini(world->self);
  mui_instance_free(world->user);
  mui_instance_free(world->own);
  mui_bus_free(world->runtime.bus);
  mui_loop_free(world->runtime.loop);
  mu_buf_free(&world->events);
  mui_clock_inject(NULL, NULL);
}

/* What was told since the last call. */
static inline void told(struct world *world, const char *wanted)
{
  CU_ASSERT_STRING_EQUAL(world->events.at ? world->events.at : "", wanted);
  if (strcmp(world->events.at ? world->events.at : "", wanted) != 0)
    printf("\n    told \"%s\", wanted \"%s\"\n", world->events.at ? world->events.at : "", wanted);
  mu_buf_clear(&world->events);
  mu_buf_adds(&world->events, "");
}

static inline int report_for(struct world *world, const struct mu_machine *machine, const mu_form *form,
                             const char *json, const char *name, uint64_t valid_ms)
{
  mu_text *text = mu_text_new(json, strlen(json));
  int result = world->api->report(world->self, machine,
                                  &(struct mu_machine_report){.size = sizeof(struct mu_machine_report),
                                                              .form = form,
                                                              .text = text,
                                                              .valid_ms = valid_ms,
                                                              .name = mu_str(name)});
  mu_text_unref(text);
  return result;
}

static inline int report_text(struct world *world, const struct mu_machine *machine, const mu_form *form,
                              const char *json, const char *name)
{
  return report_for(world, machine, form, json, name, 30000);
}

#endif
