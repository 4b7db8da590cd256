/* SPDX-License-Identifier: ISC */
/* muster-agent: measures this machine and reports it. It executes nothing and listens nowhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "agent.h"
#include "terminal.h"

static const char *const adaptive_words[] = {"documented", "deployed", "off", NULL};

static const struct mu_option options[] = {
    MUI_COMMON_OPTIONS,
    {.key = "root",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct mui_common, root),
     .preset = "\"\"",
     .help = "Folder above the /proc, /sys and /etc that are read; for recorded machines and for a host's, seen in a "
             "container"},
    {.key = "adaptive",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct agent_config, adaptive),
     .names = adaptive_words,
     .preset = "\"documented\"",
     .help = "Whether load lengthens and idleness shortens all intervals, by one factor: 2 to 30 s where 5 s are "
             "configured"},
    {.key = "key_dir",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct agent_config, key_dir),
     .max = 4095,
     .help =
         "Folder of saved API keys, for this user only (0700); used at the next start. Default: $STATE_DIRECTORY, else "
         "$XDG_CONFIG_HOME/muster, else ~/.config/muster, else /var/lib/muster"},
    MUI_ENTRIES("collectors", struct agent_config, collectors, mui_collector_table, "What is measured"),
    MUI_ENTRIES("uplinks", struct agent_config, uplinks, mui_item_table, "Where reports go"),
};

static const char *const appending[] = {"collectors", "uplinks", "plugin_dirs", NULL};

/* musterd's names: a machine may have both programs and one conf.d. */
static const char *const foreign[] = {"listen", "limits", "plugins", NULL};

static const struct mui_entries entries[] = {
    {.kind = MU_COLLECTOR, .key = "collectors", .offset = offsetof(struct agent_config, collectors)},
    {.kind = MU_UPLINK, .key = "uplinks", .offset = offsetof(struct agent_config, uplinks)},
};

static void check(const void *config_, struct mu_check *check_)
{
  const struct agent_config *config = config_;
  const struct mui_item *items = config->collectors.items;
  if (config->collectors.count == 0 && config->uplinks.count == 0)
    mu_check_error(check_, NULL, "nothing to do: there are neither collectors nor uplinks");
  if (config->key_dir && config->key_dir[0] != '/')
    mu_check_error(check_, "key_dir", "the folder must be an absolute path, \"/…\"");
  for (size_t i = 0; i < config->collectors.count; i++) {
    const char *name = items[i].instance ? items[i].instance : items[i].name;
    char path[64];
    snprintf(path, sizeof(path), "collectors[%zu].%s", i, items[i].instance ? "instance" : "name");
    if (name && strcmp(name, "agent") == 0)
      mu_check_error(check_, path, "\"agent\" is the name of the agent's own metrics");
  }
}

enum { SWITCH_SERVICE = 1 << 0 }; /* its place in `flags` */

static int begin(struct mui_app *app)
{
  struct agent *agent = calloc(1, sizeof(*agent));
  if (!agent)
    return MU_ENOMEM;
  agent->app = app;
  app->state = agent;
  const struct agent_config *config = app->config;
  int error = rounds_init(agent);
  if (!error)
    error = report_init(agent);
  return error ? error : service_init(agent, config->key_dir, app->switches & SWITCH_SERVICE);
}

/* ---- instances ------------------------------------------------------------------------------- */

static struct slot *find_slot(const struct agent *agent, const struct mui_loaded *loaded)
{
  struct slot *slot = agent->schedule.slots;
  while (slot && slot->owner != loaded)
    slot = slot->next;
  return slot;
}

static void collector(struct agent *agent, enum mui_host_change change, const struct mui_loaded *loaded)
{
  struct slot *slot = find_slot(agent, loaded);
  mu_instance *in = (mu_instance *)&loaded->base;
  if (change == MUI_STOPPING) {
    if (slot) {
      call_forget(slot);
      schedule_remove(&agent->schedule, slot);
      rounds_progress(agent);
    }
    return;
  }
  if (slot)
    schedule_set(&agent->schedule, slot, loaded->interval_s, loaded->deadline_s);
  else if (!schedule_add(&agent->schedule, in, in->name, loaded->interval_s, loaded->deadline_s, loaded))
    mu_log(in, MU_LOG_ERROR, "is not called: %s", mu_strerror(MU_ENOMEM));
  rounds_changed(agent);
}

static void uplink(struct agent *agent, enum mui_host_change change, const struct mui_loaded *loaded)
{
  struct uplink **link = &agent->uplinks;
  while (*link && (*link)->loaded != loaded)
    link = &(*link)->next;
  struct uplink *found = *link;
  if (change == MUI_STOPPING && found) {
    *link = found->next;
    free(found);
  } else if (change == MUI_STARTED && !found) {
    found = calloc(1, sizeof(*found));
    if (!found) {
      mu_log(&loaded->base, MU_LOG_ERROR, "gets no reports: %s", mu_strerror(MU_ENOMEM));
      return;
    }
    found->loaded = loaded;
    *link = found;
  }
}

static void instance(struct mui_app *app, enum mui_host_change change, const struct mui_loaded *loaded)
{
  if (loaded->kind == MU_COLLECTOR)
    collector(app->state, change, loaded);
  else if (loaded->kind == MU_UPLINK)
    uplink(app->state, change, loaded);
}

/* ---- the service ----------------------------------------------------------------------------- */

static void applied(struct mui_app *app, bool first)
{
  struct agent *agent = app->state;
  if (!first)
    return;
  if (!agent->schedule.slots)
    mu_log(app->runtime.core, MU_LOG_WARN, "no collector runs: nothing is measured");
  if (!agent->uplinks)
    mu_log(app->runtime.core, MU_LOG_WARN, "no uplink runs: nothing is reported");
  rounds_begin(agent);
}

static void stopping(struct mui_app *app)
{
  if (!app->state)
    return;
  rounds_stop(app->state);
  service_stop(app->state);
}

static void end(struct mui_app *app)
{
  struct agent *agent = app->state;
  if (!agent)
    return;
  for (struct slot *slot = agent->schedule.slots; slot; slot = slot->next)
    call_forget(slot);
  schedule_clear(&agent->schedule);
  while (agent->uplinks) {
    struct uplink *next = agent->uplinks->next;
    free(agent->uplinks);
    agent->uplinks = next;
  }
  mu_timer_free(agent->wake);
  mu_timer_free(agent->patience);
  service_free(agent);
  free(agent);
  app->state = NULL;
}

/* ---- --once, --list -------------------------------------------------------------------------- */

static void once(struct mui_app *app)
{
  struct agent *agent = app->state;
  agent->once = true;
  rounds_begin(agent);
}

/* The running instance of an entry, or NULL. */
static const struct mui_loaded *find_loaded(const struct mui_app *app, enum mu_kind kind, const char *name)
{
  const struct mui_loaded *loaded;
  for (size_t i = 0; (loaded = mui_host_nth(app->runtime.host, i)); i++)
    if (loaded->kind == kind && strcmp(loaded->base.name, name) == 0)
      return loaded;
  return NULL;
}

/* Uplinks are not started for this: a second link of this machine would push the running agent's away. */
static void list(struct mui_app *app)
{
  struct mui_problems problems = {0};
  const struct agent_config *config = app->config;
  printf("plugins found:\n");
  int result = mui_host_describe(app->runtime.host, NULL, app->plan->dirs, stdout, &problems);
  printf("collectors configured:\n");
  const struct mui_item *items = config->collectors.items;
  for (size_t i = 0; i < config->collectors.count; i++) {
    const char *name = items[i].instance ? items[i].instance : items[i].name;
    const struct mui_loaded *loaded = find_loaded(app, MU_COLLECTOR, name);
    const struct slot *slot = loaded ? find_slot(app->state, loaded) : NULL;
    printf("  %-16s %-16s %s", name, items[i].name, loaded ? loaded->state : "failed");
    if (slot)
      printf(", every %g s, deadline %g s", slot->interval_s, slot->deadline_s);
    printf("\n");
  }
  printf("uplinks configured:\n");
  items = config->uplinks.items;
  for (size_t i = 0; i < config->uplinks.count; i++)
    printf("  %-16s %-16s not started by --list\n", items[i].instance ? items[i].instance : items[i].name,
           items[i].name);
  fflush(stdout);
  mui_problems_print(&problems, stderr);
  mui_problems_free(&problems);
  /* A refused file is shown, and is no failure of the listing. */
  mui_program_end(app, result == MU_ENOMEM ? MUI_STATUS_RUNTIME : MUI_STATUS_OK);
}

static const struct mui_flag flags[] = {
    {.name = "service", .help = "Never ask at the terminal: for service managers"},
    {.name = "once", .help = "Print one report as JSON and end", .kinds = 1u << MU_COLLECTOR, .run = once},
    {.name = "list",
     .help = "List the plugins found and the collectors and uplinks configured",
     .kinds = 1u << MU_COLLECTOR,
     .run = list},
    {.name = "join",
     .argument = "URL",
     .help =
         "report to this server: asks for the API key (or reads it from\n                        standard input), "
         "tries it "
         "once, saves it, writes conf.d/uplink.conf\n                        (and a configuration where there is none)",
     .without = join_preset,
     .run = join_run},
};

static const struct mui_program program = {
    .name = "muster-agent",
    .summary = "Measures this machine and reports it.",
    .file = "agent.conf",
    .kinds = 1u << MU_COLLECTOR | 1u << MU_UPLINK,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct agent_config),
    .appending = appending,
    .foreign = foreign,
    .entries = entries,
    .entries_count = MU_COUNT(entries),
    .flags = flags,
    .flags_count = MU_COUNT(flags),
    .stays = SWITCH_SERVICE,
    .statuses = ",\n77 the server refused the API key, 79 this machine was deleted at the server",
    .check = check,
    .begin = begin,
    .instance = instance,
    .applied = applied,
    .stopping = stopping,
    .doomed = terminal_restore,
    .end = end,
};

int main(int argc, char **argv)
{
  return mui_program_main(&program, argc, argv);
}
