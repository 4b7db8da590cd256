/* SPDX-License-Identifier: ISC */
/* host/1: what runs, how it does, and with which options. */
#include <stdlib.h>
#include <string.h>

#include <muster/host.h>

#include "base/logging.h"
#include "plugin/internal.h"

static const char *const nothing[] = {NULL};

static const char *const *list(const char *const *given)
{
  return given ? given : nothing;
}

static const char *text(const char *given)
{
  return given ? given : "";
}

/* NULL: it may not ask. */
static const struct mui_host *host_of(const mu_instance *in)
{
  const struct mui_unit *unit = in->owner;
  bool may = !unit || mui_lists(unit->loaded.component->needs, MU_SERVICE_HOST);
  return may ? in->runtime->host : NULL;
}

/* ---- what was configured --------------------------------------------------------------------- */

void mui_names_of_free(struct mui_named *named)
{
  free(named->at);
  *named = (struct mui_named){0};
}

/* Kept beside the plan, which is borrowed: who is in here and does not run has failed. */
int mui_names_of(const struct mui_plan *plan, struct mui_named *named)
{
  *named = (struct mui_named){.at = calloc(plan->count + 1, sizeof(*named->at))};
  if (!named->at)
    return MU_ENOMEM;
  for (size_t i = 0; i < plan->count; i++) {
    const struct mui_entry *entry = &plan->entries[i];
    struct mui_name *name = &named->at[named->count++];
    name->kind = entry->kind;
    strncpy(name->instance, entry->instance ? entry->instance : entry->name, sizeof(name->instance) - 1);
    strncpy(name->plugin, entry->name, sizeof(name->plugin) - 1);
  }
  return 0;
}

static const struct mui_unit *running(const struct mui_host *host, const struct mui_name *name)
{
  for (size_t i = 0; i < host->running.count; i++)
    if (host->running.at[i]->phase != MUI_UNIT_NEW && strcmp(host->running.at[i]->name, name->instance) == 0)
      return host->running.at[i];
  return NULL;
}

/* ---- one instance ---------------------------------------------------------------------------- */

static size_t callbacks(const mu_instance *in, struct mu_host_callback *out)
{
  size_t count = 0;
  for (int i = 0; i < MUI_CB_COUNT; i++) {
    struct mui_account_row row;
    if (mui_account_read(in, (enum mui_callback)i, &row))
      out[count++] = (struct mu_host_callback){.name = mui_callback_name((enum mui_callback)i),
                                               .calls = row.calls,
                                               .errors = row.errors,
                                               .total_ns = row.total_ns,
                                               .max_ns = row.max_ns,
                                               .p99_ns = row.p99_ns};
  }
  return count;
}

static int show(const struct mui_unit *unit, int (*fn)(void *context, const struct mu_host_instance *instance),
                void *context)
{
  struct mu_host_callback rows[MUI_CB_COUNT];
  mu_instance *in = (mu_instance *)&unit->loaded.base;
  const struct mu_component *component = unit->loaded.component;
  const struct mu_plugin *plugin = unit->loaded.plugin;
  size_t position = 0, count = 0;
  const char *name;
  while (mui_counter_next(in, &position, &name))
    count++;
  struct mu_host_counter *counters = calloc(count + 1, sizeof(*counters));
  if (!counters)
    return MU_ENOMEM;
  const mu_counter *counter;
  position = 0;
  for (size_t i = 0; i < count && (counter = mui_counter_next(in, &position, &name)); i++)
    counters[i] = (struct mu_host_counter){name, mu_counter_value(counter)};
  const struct mu_host_instance instance = {
      .size = sizeof(instance),
      .name = unit->name,
      .plugin = unit->plugin,
      .kind = unit->loaded.kind,
      .state = unit->loaded.state,
      .version = text(plugin->version),
      .summary = text(plugin->summary),
      .licence = text(plugin->licence),
      .file = text(unit->file->path),
      .provides = list(component->provides),
      .needs = list(component->needs),
      .wants = list(component->wants),
      .callbacks = rows,
      .callback_count = callbacks(in, rows),
      .callback_size = sizeof(rows[0]),
      .counters = counters,
      .counter_count = count,
  };
  int result = fn(context, &instance);
  free(counters);
  return result;
}

static int show_failed(const struct mui_name *name, int (*fn)(void *context, const struct mu_host_instance *instance),
                       void *context)
{
  const struct mu_host_instance instance = {.size = sizeof(instance),
                                            .name = name->instance,
                                            .plugin = name->plugin,
                                            .kind = name->kind,
                                            .state = "failed",
                                            .version = "",
                                            .summary = "",
                                            .licence = "",
                                            .file = "",
                                            .provides = nothing,
                                            .needs = nothing,
                                            .wants = nothing,
                                            .callback_size = sizeof(struct mu_host_callback)};
  return fn(context, &instance);
}

int mu_host_each(mu_instance *in, int (*fn)(void *context, const struct mu_host_instance *instance), void *context)
{
  const struct mui_host *host = host_of(in);
  if (!host)
    return MU_EPERM;
  int result = 0;
  for (size_t i = 0; i < host->named.count && result == 0; i++) {
    const struct mui_unit *unit = running(host, &host->named.at[i]);
    result = unit ? show(unit, fn, context) : show_failed(&host->named.at[i], fn, context);
  }
  for (const struct mui_unit *unit = host->stuck; unit && result == 0; unit = unit->next_stuck)
    if (!mui_host_lists(host, unit))
      result = show(unit, fn, context);
  return result;
}

/* ---- options --------------------------------------------------------------------------------- */

void mui_host_program(struct mui_host *host, const struct mu_options *options, const void *config)
{
  host->options = options;
  host->config = config;
}

int mu_host_config(mu_instance *in, struct mu_buf *json)
{
  const struct mui_host *host = host_of(in);
  const char *separator = "";
  if (!host)
    return MU_EPERM;
  mu_buf_adds(json, "{\"program\":");
  if (host->config)
    mui_options_json(host->options, host->config, json);
  else
    mu_buf_adds(json, "{}");
  mu_buf_adds(json, ",\"plugins\":[");
  for (size_t i = 0; i < host->named.count; i++) {
    const struct mui_unit *unit = running(host, &host->named.at[i]);
    if (!unit)
      continue;
    mu_buf_printf(json, "%s{\"instance\":", separator);
    mu_buf_json_string(json, mu_str(unit->name));
    mu_buf_adds(json, ",\"plugin\":");
    mu_buf_json_string(json, mu_str(unit->plugin));
    mu_buf_printf(json, ",\"kind\":\"%s\",\"config\":", mui_kind_word(unit->loaded.kind));
    mui_options_json(&unit->loaded.component->options, unit->loaded.config, json);
    mu_buf_adds(json, "}");
    separator = ",";
  }
  mu_buf_adds(json, "]}");
  return json->failed ? MU_ENOMEM : 0;
}

const char *mu_host_version(mu_instance *in)
{
  (void)in;
  return MUSTER_VERSION;
}
