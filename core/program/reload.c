/* SPDX-License-Identifier: ISC */
/* SIGHUP: parse aside, probe on a worker, check everything, then listeners, then plugins. */
#include <string.h>

#include "base/logging.h"
#include "net/net.h"
#include "program/internal.h"

static void finish(struct mui_run *run)
{
  bool again = run->reload_again && !run->stopping;
  mui_setup_free(run->app.program, run->next);
  run->next = NULL;
  run->reload_again = false;
  if (again)
    mui_run_reload(run);
}

static void refused(struct mui_run *run)
{
  mu_log(run->app.runtime.core, MU_LOG_ERROR, "the new configuration is refused; what ran before goes on");
  finish(run);
}

static bool differs(const char *a, const char *b)
{
  return strcmp(a ? a : "", b ? b : "") != 0;
}

/* The new configuration is in force now. */
static void commit(struct mui_run *run, int result)
{
  const struct mui_program *program = run->app.program;
  mu_instance *core = run->app.runtime.core;
  const struct mui_common *old = mui_setup_common(run->setup), *new = mui_setup_common(run->next);
  if (differs(old->node, new->node) || differs(old->root, new->root) || old->workers != new->workers)
    mu_log(core, MU_LOG_WARN, "node, root and workers are taken up at the next start only");
  bool changed = !mui_options_equal(&program->options, old, new);
  mui_log_level((enum mu_level) new->log.level);
  struct mui_setup *setup = run->setup;
  run->setup = run->next;
  run->next = setup;
  run->app.config = run->setup->config;
  run->app.plan = &run->setup->plan;
  mui_host_program(run->app.runtime.host, &program->options, run->app.config);
  if (program->applied)
    program->applied(&run->app, false);
  if (program->serves && run->app.runtime.net)
    mui_net_certificates(run->app.runtime.net);
  struct mui_host_diff diff = mui_host_diff(run->app.runtime.host);
  mu_log(core, result == 0 && diff.failed == 0 ? MU_LOG_INFO : MU_LOG_ERROR,
         "reloaded: %u added, %u removed, %u restarted, %u reconfigured, %u failed", diff.added, diff.removed,
         diff.restarted, diff.reconfigured, diff.failed);
  if (changed || diff.added || diff.removed || diff.restarted || diff.reconfigured)
    mu_event_emit(run->reloaded, NULL);
  finish(run);
}

static void on_applied(void *context, int result)
{
  if (result == MU_ECLOSED)
    finish(context);
  else
    commit(context, result);
}

/* Everything is probed: judge the whole, then change. */
static void apply(struct mui_run *run)
{
  const struct mui_program *program = run->app.program;
  struct mui_host *host = run->app.runtime.host;
  struct mui_problems problems = {0};
  mui_host_check(host, &run->next->plan, &problems);
  int result = problems.errors > 0 ? MU_ECONF : 0;
  bool prepared = result == 0 && program->prepare;
  if (prepared)
    result = program->prepare(&run->app, run->next->config);
  if (result < 0) {
    mui_log_problems(run->app.runtime.core, &problems);
    mui_problems_free(&problems);
    refused(run);
    return;
  }
  mui_problems_free(&problems);
  result = mui_host_apply(host, &run->next->plan, &problems, on_applied, run);
  mui_log_problems(run->app.runtime.core, &problems);
  mui_problems_free(&problems);
  if (result == MU_PENDING)
    return;
  if (result == 0 || result == MU_EUNAVAILABLE) {
    commit(run, result);
    return;
  }
  if (prepared && program->prepare(&run->app, run->setup->config) < 0)
    mu_log(run->app.runtime.core, MU_LOG_ERROR, "the old listeners cannot be had again");
  refused(run);
}

static int probe(void *context)
{
  struct mui_run *run = context;
  mui_host_prefetch(run->app.runtime.host, &run->next->plan);
  return 0;
}

static void on_probed(void *context, int result)
{
  struct mui_run *run = context;
  if (run->stopping || result == MU_ECLOSED)
    return; /* freed with the rest */
  apply(run);
}

void mui_run_reload(void *context)
{
  struct mui_run *run = context;
  mu_instance *core = run->app.runtime.core;
  if (run->stopping || run->flag)
    return;
  if (run->next) {
    run->reload_again = true;
    return;
  }
  struct mui_problems problems = {0};
  run->next = mui_setup_load(run->app.program, run->path, run->kinds, &problems);
  mui_log_problems(core, &problems);
  bool usable = run->next && problems.errors == 0;
  mui_problems_free(&problems);
  if (!usable) {
    refused(run);
    return;
  }
  struct mu_job job = {.size = sizeof(job), .work = probe, .done = on_probed, .context = run, .what = "probe plugins"};
  if (mu_work(core, &job) < 0)
    apply(run);
}
