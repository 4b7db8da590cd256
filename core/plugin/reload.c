/* SPDX-License-Identifier: ISC */
/* Making the running set equal to a plan, with as little change as possible. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/internal.h"

static struct mui_unit *find_running(const struct mui_host *host, const struct mui_unit *unit)
{
  for (size_t i = 0; i < host->running.count; i++) {
    struct mui_unit *old = host->running.at[i];
    if (strcmp(old->name, unit->name) == 0 && strcmp(old->plugin, unit->plugin) == 0 &&
        old->loaded.kind == unit->loaded.kind)
      return old;
  }
  return NULL;
}

static bool choices_equal(const struct mui_unit *a, const struct mui_unit *b)
{
  if (a->choices_count != b->choices_count)
    return false;
  for (size_t i = 0; i < a->choices_count; i++)
    if (strcmp(a->choices[i].service, b->choices[i].service) != 0 ||
        strcmp(a->choices[i].provider, b->choices[i].provider) != 0)
      return false;
  return true;
}

/* collect() is running: it reads the configuration, which would be replaced and freed under it. */
static bool is_measuring(const struct mui_unit *unit)
{
  return unit->loaded.kind == MU_COLLECTOR && atomic_load(&unit->loaded.base.jobs) > 0;
}

static enum mui_action compare(const struct mui_unit *old, const struct mui_unit *unit)
{
  const struct mu_component *component = unit->loaded.component;
  if (!old)
    return MUI_ADD;
  if (old->file != unit->file || !choices_equal(old, unit))
    return MUI_RESTART;
  if (mui_options_equal(&component->options, old->loaded.config, unit->loaded.config))
    return MUI_KEEP;
  return component->reconfigure && !is_measuring(old) ? MUI_RECONFIGURE : MUI_RESTART;
}

/* A provider that goes or comes anew takes those along that are bound to it. */
static bool follows(const struct mui_host *host, const struct mui_set *set, const struct mui_unit *unit)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct mui_unit *provider = set->at[i];
    if (provider->action == MUI_RESTART && mui_depends(unit, provider))
      return true;
    if (provider->action == MUI_ADD && mui_depends_singly(unit, provider))
      return true;
  }
  for (size_t i = 0; i < host->running.count; i++)
    if (!host->running.at[i]->matched && mui_depends(unit->old, host->running.at[i]))
      return true;
  return false;
}

/* Listeners and providers are told in the configuration's order, which they take when they register. */
static bool overtaken(const struct mui_set *set, const struct mui_unit *unit)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct mui_unit *other = set->at[i];
    if (other->old && other->order < unit->order && other->old->order > unit->old->order)
      return true;
  }
  return false;
}

static void match(struct mui_host *host, struct mui_set *set)
{
  for (size_t i = 0; i < host->running.count; i++)
    host->running.at[i]->matched = false;
  for (size_t i = 0; i < set->count; i++) {
    struct mui_unit *unit = set->at[i];
    unit->old = find_running(host, unit);
    unit->action = compare(unit->old, unit);
    if (unit->old)
      unit->old->matched = true;
  }
  /* Providers stand before those that need them, so one pass is enough. */
  for (size_t i = 0; i < set->count; i++) {
    struct mui_unit *unit = set->at[i];
    bool stays = unit->action == MUI_KEEP || unit->action == MUI_RECONFIGURE;
    if (stays && (follows(host, set, unit) || overtaken(set, unit)))
      unit->action = MUI_RESTART;
  }
}

/* ---- reconfigure ----------------------------------------------------------------------------- */

static int reconfigure(struct mui_unit *old, struct mui_unit *unit)
{
  struct mui_call call;
  mui_call_begin(&call, &old->loaded.base, MUI_CB_RECONFIGURE);
  int result = old->loaded.component->reconfigure(old->loaded.self, unit->loaded.config);
  result = result > 0 && result != MU_RESTART ? MU_EINVAL : result;
  mui_call_end(&call, result < 0 ? result : 0);
  if (result == 0) {
    void *config = old->loaded.config;
    old->loaded.config = unit->loaded.config;
    unit->loaded.config = config;
  }
  return result;
}

/* All of them or none: who took the new configuration before another refused it gets the old one again. */
static int reconfigure_all(const struct mui_host *host, struct mui_set *set, struct mui_problems *problems)
{
  size_t i = 0;
  int result = 0;
  for (; i < set->count && result == 0; i++) {
    struct mui_unit *unit = set->at[i];
    bool stays = unit->action == MUI_KEEP || unit->action == MUI_RECONFIGURE;
    if (stays && follows(host, set, unit)) /* a provider has just asked for a restart */
      unit->action = MUI_RESTART;
    if (unit->action != MUI_RECONFIGURE)
      continue;
    result = reconfigure(unit->old, unit);
    if (result == MU_RESTART) {
      unit->action = MUI_RESTART;
      result = 0;
    }
    if (result < 0)
      mui_entry_problem(problems, false, unit->entry->place, "\"%s\" refuses the new configuration: %s", unit->name,
                        mu_strerror(result));
  }
  if (result == 0)
    return 0;
  for (i--; i-- > 0;) {
    struct mui_unit *unit = set->at[i];
    if (unit->action == MUI_RECONFIGURE && reconfigure(unit->old, unit) != 0)
      mui_entry_problem(problems, false, unit->entry->place,
                        "\"%s\" does not take its old configuration again and stays with the new one", unit->name);
  }
  return MU_ECONF;
}

/* ---- the swap -------------------------------------------------------------------------------- */

/* Puts running units that go on in the place of their images in the new set. */
static void merge(struct mui_host *host, struct mui_set *set)
{
  for (size_t i = 0; i < host->running.count; i++)
    if (!host->running.at[i]->matched) {
      host->running.at[i]->stop_wanted = true;
      host->diff.removed++;
    }
  for (size_t i = 0; i < set->count; i++) {
    struct mui_unit *unit = set->at[i], *old = unit->old;
    if (unit->action == MUI_ADD) {
      host->diff.added++;
      continue;
    }
    if (unit->action == MUI_RESTART) {
      host->diff.restarted++;
      old->stop_wanted = true;
      continue;
    }
    bool changed = unit->action == MUI_RECONFIGURE;
    host->diff.reconfigured += changed;
    old->required = unit->required;
    old->order = old->loaded.base.order = unit->order;
    if (old->loaded.interval_s != unit->loaded.interval_s || old->loaded.deadline_s != unit->loaded.deadline_s) {
      old->loaded.interval_s = unit->loaded.interval_s;
      old->loaded.deadline_s = unit->loaded.deadline_s;
      host->diff.reconfigured += !changed;
      changed = true;
    }
    set->at[i] = old;
    mui_unit_free(unit);
    if (changed)
      mui_host_tell(host, MUI_CHANGED, old);
  }
}

static void tell_lacking(const struct mui_host *host, bool lacking)
{
  if (host->runtime->bus)
    mui_bus_lacking(host->runtime->bus, lacking);
}

int mui_host_apply(struct mui_host *host, const struct mui_plan *plan, struct mui_problems *problems,
                   void (*done)(void *context, int result), void *context)
{
  if (host->reloading || host->stopping)
    return MU_EBUSY;
  host->diff = (struct mui_host_diff){0};
  bool lacked = host->lacking;
  host->lacking = false;
  struct mui_set set;
  struct mui_named named = {0};
  int result = mui_plan_check(host, plan, !host->applied, &set, problems);
  if (result == 0)
    result = mui_names_of(plan, &named);
  if (result == 0) {
    match(host, &set);
    result = reconfigure_all(host, &set, problems);
  }
  if (result < 0) {
    host->lacking = lacked;
    mui_names_of_free(&named);
    mui_set_free(&set);
    return result;
  }
  tell_lacking(host, true); /* while providers are restarted */
  merge(host, &set);
  host->next = set;
  host->next_named = named;
  host->reloading = true;
  mui_host_advance(host);
  if (!host->reloading)
    return host->result;
  host->done = done;
  host->done_context = context;
  return MU_PENDING;
}

/* Starts one new unit, or what it replaces again. NULL: neither runs. */
static struct mui_unit *start(struct mui_host *host, const struct mui_set *started, struct mui_unit *unit, int *result)
{
  const char *need = mui_missing(started, unit);
  if (need)
    mu_log(host->runtime->core, MU_LOG_ERROR, "\"%s\" is left out: it needs %s, whose provider is not running",
           unit->name, need);
  if (!need && mui_unit_start(unit) == 0)
    return unit;
  host->diff.failed++;
  if (unit->required)
    *result = MU_EUNAVAILABLE;
  struct mui_unit *old = unit->old;
  if (!need && old && old->phase == MUI_UNIT_NEW) {
    old->order = unit->order;
    if (!mui_missing(started, old) && mui_unit_start(old) == 0) {
      mu_log(&old->loaded.base, MU_LOG_WARN, "runs again as it was before the reload");
      return old;
    }
  }
  host->lacking = host->lacking || mui_lists(unit->loaded.component->provides, MU_SERVICE_AUTH);
  mu_log(host->runtime->core, MU_LOG_ERROR, "\"%s\" does not run%s", unit->name,
         unit->required ? ", and it is required" : "");
  return NULL;
}

int mui_reload_finish(struct mui_host *host)
{
  struct mui_set next = host->next, previous = host->running, started = {.at = next.at};
  int result = 0;
  host->next = (struct mui_set){0};
  mui_names_of_free(&host->named);
  host->named = host->next_named;
  host->next_named = (struct mui_named){0};
  host->applied = true;
  for (size_t i = 0; i < next.count; i++) {
    struct mui_unit *unit = next.at[i];
    if (unit->phase == MUI_UNIT_RUNNING) {
      started.at[started.count++] = unit;
      continue;
    }
    struct mui_unit *runs = start(host, &started, unit, &result);
    unit->old = NULL;
    if (runs != unit && unit->phase == MUI_UNIT_NEW)
      mui_unit_free(unit);
    if (runs)
      started.at[started.count++] = runs;
  }
  host->running = started;
  /* Those that stopped for good; who is stuck frees itself later. */
  mui_set_free(&previous);
  for (size_t i = 0; i < started.count; i++)
    started.at[i]->entry = NULL;
  tell_lacking(host, host->lacking);
  return result;
}

static bool is_in(const struct mui_set *set, const struct mui_unit *unit)
{
  for (size_t i = 0; i < set->count; i++)
    if (set->at[i] == unit)
      return true;
  return false;
}

void mui_reload_abandon(struct mui_host *host)
{
  for (size_t i = 0; i < host->next.count; i++)
    if (!is_in(&host->running, host->next.at[i]))
      mui_unit_free(host->next.at[i]);
  free(host->next.at);
  host->next = (struct mui_set){0};
  mui_names_of_free(&host->next_named);
}
