/* SPDX-License-Identifier: ISC */
/* The life of one instance: init, start, stop, fini, and what has to be undone when one of them fails. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/internal.h"

#define STOP_NS INT64_C(1000000000)

bool mui_lists(const char *const *list, const char *service)
{
  for (; list && *list; list++)
    if (strcmp(*list, service) == 0)
      return true;
  return false;
}

static bool asks_for(const struct mui_unit *unit, const char *service)
{
  return mui_lists(unit->loaded.component->needs, service) || mui_lists(unit->loaded.component->wants, service);
}

bool mui_depends(const struct mui_unit *unit, const struct mui_unit *provider)
{
  if (unit == provider)
    return false;
  for (const char *const *offer = provider->loaded.component->provides; offer && *offer; offer++)
    if (asks_for(unit, *offer))
      return true;
  return false;
}

bool mui_depends_singly(const struct mui_unit *unit, const struct mui_unit *provider)
{
  if (unit == provider)
    return false;
  for (const char *const *offer = provider->loaded.component->provides; offer && *offer; offer++)
    if (!mui_service_many(*offer) && asks_for(unit, *offer))
      return true;
  return false;
}

struct mui_unit *mui_unit_new(struct mui_host *host, const struct mui_entry *entry, struct mui_file *file,
                              const struct mu_component *component)
{
  struct mui_unit *unit = calloc(1, sizeof(*unit));
  if (!unit)
    return NULL;
  unit->host = host;
  unit->file = file;
  file->refs++;
  unit->entry = entry;
  unit->required = entry->required;
  strncpy(unit->name, entry->instance ? entry->instance : entry->name, sizeof(unit->name) - 1);
  strncpy(unit->plugin, entry->name, sizeof(unit->plugin) - 1);
  unit->loaded.kind = entry->kind;
  unit->loaded.component = component;
  unit->loaded.plugin = &file->plugin;
  unit->loaded.interval_s = entry->interval_s;
  unit->loaded.deadline_s = entry->deadline_s;
  unit->loaded.state = "failed";
  if (component->kind == MU_COLLECTOR) {
    const struct mu_collector_ops *ops = component->ops;
    if (unit->loaded.interval_s <= 0)
      unit->loaded.interval_s = ops->interval_s > 0 ? ops->interval_s : 5;
    if (unit->loaded.deadline_s <= 0)
      unit->loaded.deadline_s = ops->deadline_s > 0 ? ops->deadline_s : 3;
  }
  return unit;
}

void mui_unit_free(struct mui_unit *unit)
{
  if (!unit)
    return;
  mui_options_free(&unit->loaded.component->options, unit->loaded.config);
  for (size_t i = 0; i < unit->choices_count; i++) {
    free(unit->choices[i].service);
    free(unit->choices[i].provider);
  }
  free(unit->choices);
  mui_file_unref(unit->file);
  free(unit);
}

/* Ends the instance once nothing of it can be called any more; the unit can start again afterwards. */
static void finish(struct mui_unit *unit)
{
  mu_instance *in = &unit->loaded.base;
  if (unit->inited && unit->loaded.component->fini) {
    struct mui_call call;
    mui_call_begin(&call, in, MUI_CB_FINI);
    unit->loaded.component->fini(unit->loaded.self);
    mui_call_end(&call, 0);
  }
  /* What fini registered in spite of the closing. */
  mui_instance_revoke(in);
  mui_instance_fini(in);
  unit->inited = false;
  unit->loaded.self = NULL;
  unit->phase = MUI_UNIT_NEW;
  unit->loaded.state = "failed";
}

/* All registrations go; then the state, unless a job of it is still out: then it stays mapped and is shown. */
static void unwind(struct mui_unit *unit)
{
  mu_instance *in = &unit->loaded.base;
  mui_instance_revoke(in);
  if (atomic_load(&in->jobs) == 0) {
    finish(unit);
    return;
  }
  mu_log(in, MU_LOG_WARN, "stopped, but a job of it is still running: it stays loaded until that has ended");
  unit->phase = MUI_UNIT_STUCK;
  unit->loaded.state = "stuck";
  unit->next_stuck = unit->host->stuck;
  unit->host->stuck = unit;
}

/* The bus orders by what `provides` says, so it must be true. */
static int provided(struct mui_unit *unit)
{
  const char *const *offers = unit->loaded.component->provides;
  for (; offers && *offers; offers++) {
    struct mu_service service;
    bool found = false;
    for (size_t n = 0; !found && mu_service_nth(unit->host->runtime->core, *offers, n, &service) == 0; n++)
      found = service.provider == &unit->loaded.base;
    if (!found) {
      mu_log(&unit->loaded.base, MU_LOG_ERROR, "says that it provides %s and did not register it in init", *offers);
      return MU_EINVAL;
    }
  }
  return 0;
}

static int call_start(struct mui_unit *unit)
{
  const struct mu_component *component = unit->loaded.component;
  mu_instance *in = &unit->loaded.base;
  struct mui_call call;
  int result = 0;
  if (component->init) {
    mui_call_begin(&call, in, MUI_CB_INIT);
    result = component->init(in, unit->loaded.config, &unit->loaded.self);
    result = result > 0 ? MU_EINVAL : result;
    mui_call_end(&call, result);
  }
  if (result < 0) {
    mu_log(in, MU_LOG_ERROR, "could not be initialised: %s", mu_strerror(result));
    return result;
  }
  unit->inited = true;
  result = provided(unit);
  if (result == 0 && component->start) {
    mui_call_begin(&call, in, MUI_CB_START);
    result = component->start(unit->loaded.self);
    result = result > 0 ? MU_EINVAL : result;
    mui_call_end(&call, result);
    if (result < 0)
      mu_log(in, MU_LOG_ERROR, "could not be started: %s", mu_strerror(result));
  }
  return result;
}

int mui_unit_start(struct mui_unit *unit)
{
  mu_instance *in = &unit->loaded.base;
  int result = mui_instance_init(in, unit->host->runtime, unit->name, unit->plugin);
  if (result < 0)
    return result;
  in->owner = unit;
  in->order = unit->order;
  unit->stop_wanted = unit->stopped = unit->inited = false;
  for (size_t i = 0; i < unit->choices_count && result == 0; i++)
    result = mui_bus_use(in, unit->choices[i].service, unit->choices[i].provider);
  if (result == 0)
    result = call_start(unit);
  if (result < 0) {
    unwind(unit);
    return result;
  }
  unit->phase = MUI_UNIT_RUNNING;
  unit->loaded.state = "running";
  mui_host_tell(unit->host, MUI_STARTED, unit);
  return 0;
}

void mui_unit_stop(struct mui_unit *unit)
{
  mu_instance *in = &unit->loaded.base;
  int result = 0;
  mui_host_tell(unit->host, MUI_STOPPING, unit);
  unit->phase = MUI_UNIT_STOPPING;
  unit->loaded.state = "stopping";
  unit->stop_until_ns = mu_mono_ns() + STOP_NS;
  if (unit->loaded.component->stop) {
    struct mui_call call;
    mui_call_begin(&call, in, MUI_CB_STOP);
    result = unit->loaded.component->stop(unit->loaded.self);
    mui_call_end(&call, result);
    if (result < 0)
      mu_log(in, MU_LOG_WARN, "stop: %s", mu_strerror(result));
  }
  if (result != MU_PENDING)
    unwind(unit);
}

void mui_unit_stop_finish(struct mui_unit *unit)
{
  if (!unit->stopped)
    mu_log(&unit->loaded.base, MU_LOG_WARN, "did not stop in time; it is stopped now without its consent");
  unwind(unit);
}

/* A stop or a reload that is under way still goes by the set: it frees what has ended meanwhile. */
bool mui_host_lists(const struct mui_host *host, const struct mui_unit *unit)
{
  for (size_t i = 0; i < host->running.count; i++)
    if (host->running.at[i] == unit)
      return true;
  return false;
}

void mui_units_reap(struct mui_host *host)
{
  for (struct mui_unit **at = &host->stuck; *at;) {
    struct mui_unit *unit = *at;
    if (atomic_load(&unit->loaded.base.jobs) > 0) {
      at = &unit->next_stuck;
      continue;
    }
    *at = unit->next_stuck;
    mu_log(&unit->loaded.base, MU_LOG_INFO, "its last job has ended");
    finish(unit);
    if (!mui_host_lists(host, unit))
      mui_unit_free(unit);
  }
}

/* ---- what plugins may ask -------------------------------------------------------------------- */

const char *mu_instance_name(const mu_instance *in)
{
  return in->name;
}

const char *mu_node_name(const mu_instance *in)
{
  return in->runtime && in->runtime->node ? in->runtime->node : "";
}

void mu_stopped(mu_instance *in)
{
  struct mui_unit *unit = in->owner;
  if (!unit || unit->phase != MUI_UNIT_STOPPING || unit->stopped)
    return;
  unit->stopped = true;
  /* The caller is the plugin itself: it must be out of its own code before that is unloaded. */
  if (unit->host->timer)
    mu_timer_start(unit->host->timer, 0, 0);
}
