/* SPDX-License-Identifier: ISC */
/* The command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/plugin.h>
#include "base/logging.h"
#include "program/internal.h"

enum { OPT_CHECK = 256, OPT_DESCRIBE, OPT_VERSION, OPT_HELP, OPT_PROBE, OPT_FLAG };
#define FLAGS_MAX 8

struct command {
  const struct mui_program *program;
  char path[512];
  bool path_given;
  bool check;
  bool describe;
  const char *plugin; /* to describe */
  const struct mui_flag *flag;
  bool two_flags;       /* and another */
  const char *argument; /* the flag's */
  unsigned switches;
};

static void help(const struct mui_program *program)
{
  printf("Usage: %s [OPTION…]\n%s\n\n"
         "  -c FILE               configuration (default: ./etc/%s if it is there, else /etc/muster/%s)\n"
         "      --check-config    judge the configuration, tell all problems, change nothing\n"
         "      --describe [NAME] the program's options and all plugins, or one plugin and its options\n",
         program->name, program->summary, program->file, program->file);
  for (size_t i = 0; i < program->flags_count; i++) {
    const struct mui_flag *flag = &program->flags[i];
    char text[40];
    snprintf(text, sizeof(text), "%s%s%s", flag->name, flag->argument ? " " : "", flag->argument ? flag->argument : "");
    printf("      --%-15s %s\n", text, flag->help);
  }
  printf("      --version\n      --help\n\n"
         "Signals: SIGTERM and SIGINT stop within 2 s, SIGHUP reloads.\n"
         "Exit status: 0 in order, 1 failure while running, 2 wrong usage, 78 wrong configuration%s.\n",
         program->statuses ? program->statuses : "");
}

static int misused(const struct mui_program *program)
{
  fprintf(stderr, "Try '%s --help'.\n", program->name);
  return MUI_STATUS_USAGE;
}

/* ---- --check-config, --describe: a host without a loop ---------------------------------------- */

static struct mui_host *quiet_host(struct mui_runtime *runtime)
{
  char self[PATH_MAX];
  runtime->node = "";
  runtime->root = "";
  runtime->core = mui_instance_new(runtime, "core", "core");
  runtime->host = runtime->core ? mui_host_new(runtime, mui_self(self)) : NULL;
  return runtime->host;
}

static void quiet_end(struct mui_runtime *runtime)
{
  mui_host_free(runtime->host);
  mui_instance_free(runtime->core);
}

static int check_config(const struct command *command)
{
  struct mui_problems problems = {0};
  struct mui_runtime runtime = {0};
  struct mui_setup *setup = mui_setup_load(command->program, command->path, command->program->kinds, &problems);
  if (!quiet_host(&runtime))
    mui_problem(&problems, false, NULL, 0, "out of memory");
  else if (setup)
    mui_host_check(runtime.host, &setup->plan, &problems);
  mui_problems_print(&problems, stderr);
  bool good = problems.errors == 0;
  if (good)
    printf("%s: configuration is correct\n", command->program->name);
  mui_setup_free(command->program, setup);
  mui_problems_free(&problems);
  quiet_end(&runtime);
  return good ? MUI_STATUS_OK : MUI_STATUS_CONFIG;
}

static int describe(const struct command *command)
{
  const struct mui_program *program = command->program;
  struct mui_problems problems = {0}, ignored = {0};
  struct mui_runtime runtime = {0};
  /* Only the folders are wanted: a configuration with other mistakes serves, too. */
  struct mui_setup *setup = NULL;
  if (command->path_given || access(command->path, R_OK) == 0)
    setup = mui_setup_load(program, command->path, program->kinds, command->path_given ? &problems : &ignored);
  if (setup) {
    mui_problems_free(&problems);
    problems = (struct mui_problems){0};
  }
  char **dirs = setup ? NULL : mui_default_dirs();
  int status = problems.errors > 0 ? MUI_STATUS_CONFIG : MUI_STATUS_OK;
  if (status == MUI_STATUS_OK && !quiet_host(&runtime))
    status = MUI_STATUS_RUNTIME;
  if (status == MUI_STATUS_OK) {
    if (!command->plugin) {
      printf("%s " MUSTER_VERSION ": %s\n\noptions of %s:\n", program->name, program->summary, program->file);
      mui_options_describe(&program->options, 2, stdout);
      printf("\nplugins:\n");
    }
    fflush(stdout);
    const char *const *folders = setup ? setup->plan.dirs : (const char *const *)dirs;
    int result = mui_host_describe(runtime.host, command->plugin, folders, stdout, &problems);
    if (result < 0 && command->plugin)
      status = MUI_STATUS_RUNTIME;
  }
  fflush(stdout);
  mui_problems_print(&problems, stderr);
  mui_problems_free(&problems);
  mui_problems_free(&ignored);
  mui_setup_free(program, setup);
  mui_dirs_free(dirs);
  quiet_end(&runtime);
  return status;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void default_path(struct command *command)
{
  if (command->path_given)
    return;
  snprintf(command->path, sizeof(command->path), "./etc/%s", command->program->file);
  if (access(command->path, F_OK) < 0)
    snprintf(command->path, sizeof(command->path), "/etc/muster/%s", command->program->file);
}

/* The exit status, or -1: go on. */
static int take(struct command *command, int option, int argc, char **argv)
{
  const struct mui_program *program = command->program;
  switch (option) {
  case 'c':
    if (strlen(optarg) >= sizeof(command->path) || !optarg[0]) {
      fprintf(stderr, "%s: -c: the path is empty or too long\n", program->name);
      return misused(program);
    }
    memcpy(command->path, optarg, strlen(optarg) + 1);
    command->path_given = true;
    return -1;
  case OPT_CHECK:
    command->check = true;
    return -1;
  case OPT_DESCRIBE:
    command->describe = true;
    command->plugin = optarg;
    if (!optarg && optind < argc && argv[optind][0] != '-')
      command->plugin = argv[optind++];
    return -1;
  case OPT_VERSION:
    printf("%s " MUSTER_VERSION " (plugin ABI %d.%d)\n", program->name, MU_ABI_MAJOR, MU_ABI_MINOR);
    return MUI_STATUS_OK;
  case OPT_HELP:
    help(program);
    return MUI_STATUS_OK;
  case OPT_PROBE: {
    char *end;
    long fd = strtol(optarg, &end, 10);
    return *end || end == optarg || fd < 3 || fd > 65535 ? misused(program) : mui_host_probe_main((int)fd);
  }
  default:
    if (option >= OPT_FLAG && (size_t)(option - OPT_FLAG) < program->flags_count) {
      const struct mui_flag *flag = &program->flags[option - OPT_FLAG];
      if (flag->run) {
        command->two_flags |= command->flag && command->flag != flag;
        command->flag = flag;
        command->argument = optarg;
      } else
        command->switches |= 1u << (option - OPT_FLAG);
      return -1;
    }
    return misused(program);
  }
}

int mui_program_main(const struct mui_program *program, int argc, char **argv)
{
  struct option options[6 + FLAGS_MAX] = {
      {"check-config", no_argument, NULL, OPT_CHECK},       {"describe", optional_argument, NULL, OPT_DESCRIBE},
      {"version", no_argument, NULL, OPT_VERSION},          {"help", no_argument, NULL, OPT_HELP},
      {"probe-plugin", required_argument, NULL, OPT_PROBE},
  };
  for (size_t i = 0; i < program->flags_count && i < FLAGS_MAX; i++)
    options[5 + i] = (struct option){
        program->flags[i].name, program->flags[i].argument ? required_argument : no_argument, NULL, OPT_FLAG + (int)i};
  struct command command = {.program = program};
  mui_log_journal(getenv("JOURNAL_STREAM"));
  int option;
  while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
    int status = take(&command, option, argc, argv);
    if (status >= 0)
      return status;
  }
  if (optind < argc) {
    fprintf(stderr, "%s: unexpected argument '%s'\n", program->name, argv[optind]);
    return misused(program);
  }
  if (command.check + command.describe + (command.flag != NULL) + command.two_flags > 1) {
    fprintf(stderr, "%s: only one at a time of --check-config, --describe", program->name);
    for (size_t i = 0; i < program->flags_count; i++)
      if (program->flags[i].run)
        fprintf(stderr, ", --%s", program->flags[i].name);
    fprintf(stderr, "\n");
    return misused(program);
  }
  default_path(&command);
  if (command.describe)
    return describe(&command);
  if (!command.path_given && access(command.path, F_OK) < 0 && !(command.flag && command.flag->without)) {
    fprintf(stderr, "%s: there is no configuration: neither ./etc/%s nor %s; name one with -c FILE\n", program->name,
            program->file, command.path);
    return MUI_STATUS_CONFIG;
  }
  return command.check ? check_config(&command)
                       : mui_run(program, command.path, command.flag, command.argument, command.switches);
}
