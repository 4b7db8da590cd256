/* SPDX-License-Identifier: ISC */
/* The service: its parts put together, its end in order. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/logging.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "net/net.h"
#include "program/internal.h"

#define SPARE_WORKERS 4
#define NET_MS 300  /* connections first, but plugins need their time, too */
#define END_MS 1800 /* before the guard's */

void mui_log_problems(const mu_instance *in, const struct mui_problems *problems)
{
  for (size_t i = 0; i < problems->count; i++) {
    const struct mui_problem *problem = &problems->list[i];
    char line[16] = "";
    if (problem->file && problem->line)
      snprintf(line, sizeof(line), ":%u", problem->line);
    mu_log(in, problem->warning ? MU_LOG_WARN : MU_LOG_ERROR, "%s%s%s%s", problem->file ? problem->file : "", line,
           problem->file ? ": " : "", problem->text);
  }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void stop_host(struct mui_run *run);
static void stop_net(struct mui_run *run);

static void end_if_stopped(struct mui_run *run)
{
  if (run->net_stopped && run->host_stopped)
    mui_loop_break(run->app.runtime.loop);
}

static void on_host_stopped(void *context)
{
  struct mui_run *run = context;
  run->host_stopped = true;
  if (!run->app.program->serves)
    stop_net(run);
  end_if_stopped(run);
}

static void stop_host(struct mui_run *run)
{
  if (run->host_stopping)
    return;
  run->host_stopping = true;
  mui_host_stop(run->app.runtime.host, on_host_stopped, run);
}

static void on_net_stopped(void *context)
{
  struct mui_run *run = context;
  run->net_stopped = true;
  stop_host(run);
  end_if_stopped(run);
}

static void stop_net(struct mui_run *run)
{
  if (run->app.runtime.net)
    mui_net_stop(run->app.runtime.net, on_net_stopped, run);
  else
    on_net_stopped(run);
}

static void on_patience(void *context)
{
  stop_host(context);
}

static void on_deadline(void *context)
{
  struct mui_run *run = context;
  mu_log(run->app.runtime.core, MU_LOG_WARN, "not everything has stopped in time");
  mui_loop_break(run->app.runtime.loop);
}

void mui_program_end(struct mui_app *app, int status)
{
  struct mui_run *run = (struct mui_run *)app;
  if (run->stopping)
    return;
  run->stopping = true;
  run->status = status;
  mui_guard_alarm(run);
  mu_timer_start(run->deadline, END_MS, 0);
  if (app->program->stopping)
    app->program->stopping(app);
  if (app->program->serves) {
    mu_timer_start(run->patience, NET_MS, 0);
    stop_net(run);
  } else {
    stop_host(run);
  }
}

void mui_run_end(void *context)
{
  struct mui_run *run = context;
  if (run->stopping)
    return;
  mu_log(run->app.runtime.core, MU_LOG_INFO, "stopping");
  /* What a flag was to do is not done. */
  mui_program_end(&run->app, run->flag ? MUI_STATUS_RUNTIME : MUI_STATUS_OK);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void on_instance(void *context, enum mui_host_change change, const struct mui_loaded *loaded)
{
  struct mui_run *run = context;
  if (run->app.program->instance)
    run->app.program->instance(&run->app, change, loaded);
}

static void raise_limits(const mu_instance *core)
{
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= files.rlim_max)
    return;
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0)
    mu_log(core, MU_LOG_WARN, "the limit of open files cannot be raised: %m");
}

static char *node_name(const struct mui_common *common)
{
  char name[65] = "";
  if (common->node && common->node[0])
    return strdup(common->node);
  if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
    return strdup("localhost");
  return strdup(name);
}

/* From the bottom up. */
static int assemble(struct mui_run *run)
{
  struct mui_runtime *runtime = &run->app.runtime;
  const struct mui_common *common = mui_setup_common(run->setup);
  char self[PATH_MAX];
  run->node = node_name(common);
  run->root = strdup(common->root ? common->root : "");
  runtime->node = run->node;
  runtime->root = run->root;
  runtime->share = run->share = mui_beside("share/muster");
  runtime->clients_only = !(run->kinds & 1u << MU_SERVER);
  runtime->core = run->node && run->root && run->share ? mui_instance_new(runtime, "core", "core") : NULL;
  if (!runtime->core)
    return MU_ENOMEM;
  raise_limits(runtime->core);
  /* Threads that the loop makes must not take the guard's signals. */
  mui_guard_block();
  runtime->loop = mui_loop_new((unsigned)common->workers, SPARE_WORKERS);
  runtime->bus = runtime->loop ? mui_bus_new() : NULL;
  if (!runtime->bus)
    return MU_ENOMEM;
  if ((run->kinds & (1u << MU_SERVER | 1u << MU_UPLINK)) && !(runtime->net = mui_net_new(runtime)))
    return MU_EUNAVAILABLE;
  runtime->host = mui_host_new(runtime, mui_self(self));
  run->patience = mu_timer_new(runtime->core, on_patience, run);
  run->deadline = mu_timer_new(runtime->core, on_deadline, run);
  run->reloaded = mu_event_declare(runtime->core, MU_EVENT_CONFIG_RELOADED, NULL);
  if (!runtime->host || !run->patience || !run->deadline || !run->reloaded)
    return MU_ENOMEM;
  mui_host_watch(runtime->host, on_instance, run);
  /* It posts to the loop, so the loop is there; a signal that came earlier has waited. No plugin runs before. */
  return mui_guard_start(run);
}

/* What was left out was explained line by line, and is gone from the screen. False: nothing of all runs. */
static bool tell_missing(const struct mui_run *run)
{
  const struct mui_plan *plan = &run->setup->plan;
  struct mu_buf names = MU_BUF_INIT;
  size_t missing = 0;
  for (size_t i = 0; i < plan->count; i++) {
    const char *name = plan->entries[i].instance ? plan->entries[i].instance : plan->entries[i].name;
    const struct mui_loaded *loaded;
    size_t n = 0;
    while ((loaded = mui_host_nth(run->app.runtime.host, n)) && strcmp(loaded->base.name, name) != 0)
      n++;
    if (!loaded)
      mu_buf_printf(&names, "%s%s", missing++ ? ", " : "", name);
  }
  if (missing)
    mu_log(run->app.runtime.core, MU_LOG_ERROR, "%zu of %zu plugins do not run: %s; see above", missing, plan->count,
           names.failed ? "" : names.at);
  mu_buf_free(&names);
  return !missing || missing < plan->count;
}

static void tell_ready(struct mui_run *run)
{
  mu_log(run->app.runtime.core, MU_LOG_INFO, "ready");
  if (!tell_missing(run)) {
    mui_program_end(&run->app, MUI_STATUS_RUNTIME);
    return;
  }
  int error = run->stopping ? 0 : mui_notify_ready();
  if (error < 0)
    mu_log(run->app.runtime.core, MU_LOG_WARN, "the service manager cannot be told that this is ready: %s",
           strerror(-error));
}

static int status_of(int result)
{
  return result == 0 ? MUI_STATUS_OK : result == MU_ECONF ? MUI_STATUS_CONFIG : MUI_STATUS_RUNTIME;
}

static int start(struct mui_run *run, struct mui_problems *problems)
{
  const struct mui_program *program = run->app.program;
  struct mui_app *app = &run->app;
  int result = assemble(run);
  app->config = run->setup->config;
  app->plan = &run->setup->plan;
  if (result == 0)
    mui_host_program(app->runtime.host, &program->options, app->config);
  if (result == 0 && program->begin)
    result = program->begin(app);
  if (result == 0 && program->prepare && !(run->flag && run->flag->only))
    result = program->prepare(app, run->setup->config);
  if (result == 0)
    result = mui_host_apply(app->runtime.host, &run->setup->plan, problems, NULL, NULL);
  if (result < 0)
    return result;
  if (mui_watchdog_start(app->runtime.loop) < 0)
    mu_log(app->runtime.core, MU_LOG_WARN, "the watchdog cannot be started");
  if (run->flag)
    run->flag->run(app);
  else if (program->applied)
    program->applied(app, true);
  return 0;
}

/* From the top down. Returns how many threads are stuck in work. */
static unsigned dismantle(struct mui_run *run)
{
  struct mui_runtime *runtime = &run->app.runtime;
  unsigned stuck = 0;
  mui_guard_mute(run);
  if (runtime->loop)
    mui_watchdog_stop(runtime->loop);
  /* A probe or a look-up of the core's own is out: it uses what would be freed here. */
  if (runtime->core && atomic_load(&runtime->core->jobs) > 0)
    return 1;
  mui_host_free(runtime->host);
  if (run->app.program->end && runtime->host)
    run->app.program->end(&run->app);
  if (runtime->net)
    mui_net_free(runtime->net);
  if (runtime->core)
    mui_instance_revoke(runtime->core);
  if (runtime->bus)
    mui_bus_free(runtime->bus);
  if (runtime->loop)
    stuck = mui_loop_free(runtime->loop);
  mui_guard_stop(run);
  if (stuck == 0)
    mui_instance_free(runtime->core);
  return stuck;
}

int mui_run(const struct mui_program *program, const char *path, const struct mui_flag *flag, const char *argument,
            unsigned switches)
{
  struct mui_problems problems = {0};
  unsigned kinds = flag ? flag->kinds : program->kinds;
  struct mui_run *run = calloc(1, sizeof(*run));
  if (!run)
    return MUI_STATUS_RUNTIME;
  *run = (struct mui_run){.app.program = program,
                          .app.path = path,
                          .app.argument = argument,
                          .app.switches = switches,
                          .path = path,
                          .flag = flag,
                          .kinds = kinds,
                          .terminal = -1};
  mui_guard_hold();
  if (flag && flag->without && access(path, F_OK) < 0 && errno == ENOENT)
    run->app.made = flag->without;
  run->setup = run->app.made ? mui_setup_make(program, path, run->app.made, kinds, &problems)
                             : mui_setup_load(program, path, kinds, &problems);
  if (run->setup && flag) {
    run->setup->plan.only = flag->only;
    run->setup->plan.only_from = flag->only_from;
  }
  int status = MUI_STATUS_CONFIG;
  if (run->setup && problems.errors == 0) {
    mui_log_level((enum mu_level)mui_setup_common(run->setup)->log.level);
    status = status_of(start(run, &problems));
  }
  mui_problems_print(&problems, stderr);
  mui_problems_free(&problems);
  if (status == MUI_STATUS_OK) {
    if (!flag)
      tell_ready(run);
    mui_loop_run(run->app.runtime.loop);
    status = run->status;
  }
  if (dismantle(run) > 0) {
    fflush(NULL);
    _exit(status); /* threads are in work that does not come back: nothing may be freed under them */
  }
  mui_setup_free(program, run->next);
  mui_setup_free(program, run->setup);
  free(run->node);
  free(run->root);
  free(run->share);
  free(run);
  return status;
}
