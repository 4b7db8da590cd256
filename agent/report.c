/* SPDX-License-Identifier: ISC */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/muster.h>

#include "agent.h"

int report_init(struct agent *agent)
{
  unsigned char bytes[16];
  int error = mu_random(bytes, sizeof(bytes));
  for (size_t i = 0; i < sizeof(bytes) && !error; i++)
    snprintf(agent->boot + 2 * i, 3, "%02x", bytes[i]);
  return error;
}

/* A percentage of the newest sample of a plugin; NaN: there is none. */
static double percent(const struct schedule *schedule, const char *plugin, const char *metric)
{
  struct json_object *value;
  for (const struct slot *slot = schedule->slots; slot; slot = slot->next)
    if (slot->good && strcmp(slot->in->plugin, plugin) == 0 && json_object_object_get_ex(slot->good, metric, &value))
      return json_object_get_double(value);
  return NAN;
}

double report_load(const struct schedule *schedule)
{
  /* fmax() prefers a number to NaN. */
  return fmax(percent(schedule, "cpu", "percent"), percent(schedule, "memory", "used_percent"));
}

/* Takes `value`. */
static int put(struct json_object *into, const char *name, struct json_object *value)
{
  if (value && json_object_object_add(into, name, value) == 0)
    return 0;
  json_object_put(value);
  return MU_ENOMEM;
}

/* A time in seconds, in whole milliseconds as it is written. */
static struct json_object *seconds(int64_t ms)
{
  char text[32];
  snprintf(text, sizeof(text), "%lld.%03lld", (long long)(ms / 1000), (long long)(ms % 1000));
  return json_object_new_double_s((double)ms / 1000.0, text);
}

/* What the agent says of itself. NULL: memory is out. */
static struct json_object *agent_group(const struct agent *agent)
{
  struct mu_buf stuck = MU_BUF_INIT;
  struct json_object *group = json_object_new_object();
  if (!group)
    return NULL;
  schedule_stuck(&agent->schedule, &stuck);
  int error = put(group, "version", json_object_new_string(MUSTER_VERSION));
  if (!error)
    error = put(group, "interval", seconds(schedule_period_ns(&agent->schedule) / 1000000));
  if (!error && stuck.len > 0)
    error = put(group, "stuck", json_object_new_string_len(stuck.at, (int)stuck.len));
  if (!error)
    error = put(group, "failures", json_object_new_int64((int64_t)agent->schedule.failures));
  if (error || stuck.failed) {
    json_object_put(group);
    group = NULL;
  }
  mu_buf_free(&stuck);
  return group;
}

/* The newest good sample of each collector, shared and not copied. NULL: memory is out. */
static struct json_object *metrics(const struct agent *agent)
{
  struct json_object *all = json_object_new_object();
  int error = all ? 0 : MU_ENOMEM;
  for (const struct slot *slot = agent->schedule.slots; slot && !error; slot = slot->next)
    if (slot->good)
      error = put(all, slot->name, json_object_get(slot->good));
  if (!error)
    error = put(all, "agent", agent_group(agent));
  if (error) {
    json_object_put(all);
    return NULL;
  }
  return all;
}

/* For --once: to standard output. Takes `all`. */
static int print(const struct agent *agent, int64_t time_ms, struct json_object *all)
{
  MU_AUTO_JSON struct json_object *top = json_object_new_object();
  if (!top || put(top, "time", seconds(time_ms)) ||
      put(top, "node", json_object_new_string(agent->app->runtime.node))) {
    json_object_put(all);
    return MU_ENOMEM;
  }
  if (put(top, "metrics", all))
    return MU_ENOMEM;
  const char *text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE);
  return text && puts(text) >= 0 && fflush(stdout) == 0 ? 0 : MU_EIO;
}

void report_make(struct agent *agent)
{
  struct json_object *all = metrics(agent);
  mu_instance *core = agent->app->runtime.core;
  int64_t now = mu_now_ms();
  if (agent->once) {
    int error = all ? print(agent, now, all) : MU_ENOMEM;
    if (error)
      mu_log(core, MU_LOG_ERROR, "report: %s", mu_strerror(error));
    rounds_stop(agent);
    mui_program_end(agent->app, error ? MUI_STATUS_RUNTIME : MUI_STATUS_OK);
    return;
  }
  if (!all) {
    mu_log_limited(core, MU_LOG_ERROR, "report", "report: %s", mu_strerror(MU_ENOMEM));
    return;
  }
  struct mu_report report = {
      .size = sizeof(report), .boot = agent->boot, .seq = ++agent->seq, .time_ms = now, .metrics = all};
  for (const struct uplink *uplink = agent->uplinks, *next; uplink; uplink = next) {
    next = uplink->next;
    const struct mui_loaded *loaded = uplink->loaded;
    const struct mu_uplink_ops *ops = loaded->component->ops;
    struct mui_call call;
    mui_call_begin(&call, (mu_instance *)&loaded->base, MUI_CB_REPORT);
    int result = ops->report(loaded->self, &report);
    mui_call_end(&call, result);
  }
  json_object_put(all);
}
