/* SPDX-License-Identifier: ISC */
/* The server: listeners and server plugins. Everything else is the scaffold's. */
#include <stdio.h>
#include <string.h>

#include <muster/accounts.h>
#include <muster/bus.h>
#include <muster/log.h>
#include <muster/loop.h>
#include "net/net.h"
#include "program/program.h"

struct config {
  struct mui_common common; /* first */
  struct mu_list listen;    /* struct mui_listen */
  struct mui_limits limits;
  struct mu_list plugins; /* struct mui_item */
};

static const char *instance_of(const struct mui_item *item)
{
  return item->instance ? item->instance : item->name;
}

static bool is_instance(const struct config *config, const char *name)
{
  const struct mui_item *items = config->plugins.items;
  for (size_t i = 0; i < config->plugins.count; i++)
    if (strcmp(instance_of(&items[i]), name) == 0)
      return true;
  return false;
}

static void judge(const void *context, const mui_setting *root, struct mui_problems *problems)
{
  const struct config *config = context;
  const struct mui_listen *listen = config->listen.items;
  const mui_setting *list = mui_setting_member(root, "listen");
  for (size_t i = 0; i < config->listen.count; i++) {
    const mui_setting *place = list ? mui_setting_nth(list, i) : NULL;
    const char *const *names = listen[i].plugins.items;
    const char *file = NULL;
    unsigned line = 0;
    mui_setting_place(place, &file, &line);
    mui_options_check(mui_listen_check, &listen[i], place, place, problems);
    for (size_t j = 0; j < i; j++)
      if (listen[i].port != 0 && listen[j].port == listen[i].port && strcmp(listen[j].address, listen[i].address) == 0)
        mui_problem(problems, false, file, line, "listen: %s port %lld is named twice", listen[i].address,
                    (long long)listen[i].port);
    for (size_t j = 0; j < listen[i].plugins.count; j++)
      if (!is_instance(config, names[j]))
        mui_problem(problems, false, file, line, "listen: plugins: there is no instance \"%s\"", names[j]);
  }
}

static int prepare(struct mui_app *app, const void *context)
{
  const struct config *config = context;
  char problem[512] = "";
  int result = mui_net_listen(app->runtime.net, config->listen.items, config->listen.count, &config->limits, problem,
                              sizeof(problem));
  if (result < 0)
    mu_log(app->runtime.core, MU_LOG_ERROR, "%s", problem[0] ? problem : mu_strerror(result));
  return result;
}

static void applied(struct mui_app *app, bool first)
{
  const struct config *config = app->config;
  const struct mui_listen *listen = config->listen.items;
  if (config->plugins.count == 0)
    mu_log(app->runtime.core, MU_LOG_WARN, "no plugins are configured: there is nothing to serve");
  for (size_t i = 0; first && i < config->listen.count; i++) {
    bool six = strchr(listen[i].address, ':') != NULL;
    mu_log(app->runtime.core, MU_LOG_INFO, "listening on %s://%s%s%s:%u", listen[i].tls.certificate ? "https" : "http",
           six ? "[" : "", listen[i].address, six ? "]" : "", mui_net_port(app->runtime.net, i));
  }
}

/* ---- --add-admin ----------------------------------------------------------------------------- */

/* Seconds for the database to answer. */
#define ADMIN_PATIENCE_S 20

static void admin_late(void *context)
{
  struct mui_app *app = context;
  fprintf(stderr, "musterd: --add-admin: the database does not answer within %d s; nothing is known to have changed\n",
          ADMIN_PATIENCE_S);
  mui_program_end(app, MUI_STATUS_RUNTIME);
}

static void admin_made(void *context, int error, const char *password, const char *reason)
{
  struct mui_app *app = context;
  /* Nothing else may be on standard output: it may go into a file or another program. */
  bool told = error == 0 && printf("%s\n", password) > 0 && fflush(stdout) == 0;
  if (error != 0)
    fprintf(stderr, "musterd: --add-admin: %s\n", reason && *reason ? reason : mu_strerror(error));
  else if (!told)
    fprintf(stderr, "musterd: --add-admin: the new password cannot be written to standard output; run it again\n");
  mui_program_end(app, told ? MUI_STATUS_OK : MUI_STATUS_RUNTIME);
}

static void admin_run(struct mui_app *app)
{
  mu_instance *core = app->runtime.core;
  struct mu_service service;
  const struct mu_accounts *accounts = NULL;
  mu_timer *patience = mu_timer_new(core, admin_late, app);
  int result = patience ? mu_service_get(core, MU_SERVICE_ACCOUNTS, &service) : MU_ENOMEM;
  if (result == 0) {
    accounts = service.api;
    result = accounts->admin(service.self, core, app->argument, admin_made, app);
  }
  if (result < 0) {
    fprintf(stderr, "musterd: --add-admin: %s\n",
            accounts || result != MU_ENOENT ? mu_strerror(result)
                                            : "the plugin that provides accounts/1 does not run; see above");
    mui_program_end(app, MUI_STATUS_RUNTIME);
  } else {
    mu_timer_start(patience, ADMIN_PATIENCE_S * 1000, 0);
  }
}

int main(int argc, char **argv)
{
  /* Tables of other parts are known by address only at run time. */
  const struct mu_option options[] = {
      {.key = "listen",
       .type = MU_OPT_GROUPS,
       .offset = offsetof(struct config, listen),
       .flags = MU_OPT_REQUIRED,
       .help = "Where to listen",
       .min = 1,
       .max = 64,
       .fields = mui_listen_options,
       .item_size = sizeof(struct mui_listen)},
      {.key = "limits",
       .type = MU_OPT_GROUP,
       .offset = offsetof(struct config, limits),
       .help = "Bounds that protect the server",
       .fields = mui_limits_options},
      MUI_ENTRIES("plugins", struct config, plugins, mui_item_table,
                  "What the server does; in this order credentials are asked for and events told"),
      MUI_COMMON_OPTIONS,
  };
  static const char *const appending[] = {"listen", "plugins", "plugin_dirs", NULL};
  static const char *const foreign[] = {"collectors", "uplinks", "adaptive", "root", "key_dir", NULL};
  static const struct mui_entries entries[] = {{MU_SERVER, "plugins", offsetof(struct config, plugins)}};
  static const struct mui_flag flags[] = {{.name = "add-admin",
                                           .argument = "NAME",
                                           .help = "make this administrator, or give it another password; prints a "
                                                   "one-time password",
                                           .kinds = 1u << MU_SERVER,
                                           .run = admin_run,
                                           .only = MU_SERVICE_ACCOUNTS,
                                           .only_from = "auth_accounts"}};
  const struct mui_program program = {
      .name = "musterd",
      .summary = "watches machines over WebSocket; what it does comes from plugins",
      .file = "server.conf",
      .kinds = 1u << MU_SERVER,
      .options = MU_OPTIONS(options),
      .config_size = sizeof(struct config),
      .appending = appending,
      .foreign = foreign,
      .entries = entries,
      .entries_count = MU_COUNT(entries),
      .flags = flags,
      .flags_count = MU_COUNT(flags),
      .serves = true,
      .judge = judge,
      .prepare = prepare,
      .applied = applied,
  };
  return mui_program_main(&program, argc, argv);
}
