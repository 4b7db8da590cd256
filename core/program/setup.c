/* SPDX-License-Identifier: ISC */
/* From the configuration file to the plan of what should run. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program/internal.h"

const char *mui_self(char path[PATH_MAX])
{
  static const char replaced[] = " (deleted)";
  ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
  if (len > 0)
    path[len] = '\0';
  bool gone = len > (ssize_t)strlen(replaced) && strcmp(path + len - strlen(replaced), replaced) == 0;
  return len <= 0 || gone ? "/proc/self/exe" : path;
}

char *mui_beside(const char *folder)
{
  char path[PATH_MAX];
  char *beside;
  ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (len <= 0)
    return NULL;
  path[len] = '\0';
  for (int i = 0; i < 2; i++) { /* the program, then its folder */
    char *slash = strrchr(path, '/');
    if (slash)
      *slash = '\0';
  }
  return asprintf(&beside, "%s/%s", path, folder) < 0 ? NULL : beside;
}

char **mui_default_dirs(void)
{
  char **dirs = calloc(2, sizeof(*dirs));
  if (dirs && !(dirs[0] = mui_beside("lib/muster/plugins"))) {
    free(dirs);
    return NULL;
  }
  return dirs;
}

void mui_dirs_free(char **dirs)
{
  for (size_t i = 0; dirs && dirs[i]; i++)
    free(dirs[i]);
  free(dirs);
}

const struct mui_common *mui_setup_common(const struct mui_setup *setup)
{
  return setup->config;
}

static char **make_dirs(const struct mui_setup *setup)
{
  const struct mu_list *list = &mui_setup_common(setup)->plugin_dirs;
  const char *const *paths = list->items;
  if (list->count == 0)
    return mui_default_dirs();
  char **dirs = calloc(list->count + 1, sizeof(*dirs));
  for (size_t i = 0; i < list->count && dirs; i++) {
    dirs[i] = mui_config_path(setup->file, paths[i]);
    if (!dirs[i]) {
      mui_dirs_free(dirs);
      return NULL;
    }
  }
  return dirs;
}

static const struct mu_list *entry_list(const struct mui_setup *setup, const struct mui_entries *entries)
{
  return (const struct mu_list *)((const char *)setup->config + entries->offset);
}

static bool make_plan(const struct mui_program *program, struct mui_setup *setup, unsigned kinds)
{
  size_t count = 0;
  for (size_t i = 0; i < program->entries_count; i++)
    count += entry_list(setup, &program->entries[i])->count;
  setup->entries = calloc(count + 1, sizeof(*setup->entries));
  setup->dirs = make_dirs(setup);
  if (!setup->entries || !setup->dirs)
    return false;
  count = 0;
  for (size_t i = 0; i < program->entries_count; i++) {
    const struct mu_list *list = entry_list(setup, &program->entries[i]);
    const struct mui_item *items = list->items;
    for (size_t j = 0; j < list->count && (kinds & (1u << program->entries[i].kind)); j++)
      setup->entries[count++] = (struct mui_entry){.kind = program->entries[i].kind,
                                                   .name = items[j].name,
                                                   .instance = items[j].instance,
                                                   .required = items[j].required,
                                                   .config = items[j].config,
                                                   .use = items[j].use,
                                                   .place = items[j].place,
                                                   .interval_s = items[j].interval,
                                                   .deadline_s = items[j].deadline};
  }
  setup->plan = (struct mui_plan){.entries = setup->entries,
                                  .count = count,
                                  .dirs = (const char *const *)setup->dirs,
                                  .use = mui_setup_common(setup)->use};
  return true;
}

/* Takes `file`, which may be NULL: it could not be read. */
static struct mui_setup *setup_of(const struct mui_program *program, mui_config *file, unsigned kinds,
                                  struct mui_problems *problems)
{
  struct mui_setup *setup = file ? calloc(1, sizeof(*setup)) : NULL;
  if (!file)
    return NULL;
  if (!setup) {
    mui_config_free(file);
    goto no_memory;
  }
  setup->file = file;
  const mui_setting *root = mui_config_root(setup->file);
  size_t before = problems->errors;
  setup->config = mui_options_read(root, root, &program->options, program->config_size, problems);
  if (!setup->config || !make_plan(program, setup, kinds))
    goto no_memory;
  if (problems->errors == before && program->check)
    mui_options_check(program->check, setup->config, root, root, problems);
  if (problems->errors == before && program->judge)
    program->judge(setup->config, root, problems);
  return setup;

no_memory:
  mui_setup_free(program, setup);
  mui_problem(problems, false, NULL, 0, "out of memory");
  return NULL;
}

struct mui_setup *mui_setup_load(const struct mui_program *program, const char *path, unsigned kinds,
                                 struct mui_problems *problems)
{
  return setup_of(program, mui_config_load(path, program->appending, program->foreign, problems), kinds, problems);
}

struct mui_setup *mui_setup_make(const struct mui_program *program, const char *path, const char *text, unsigned kinds,
                                 struct mui_problems *problems)
{
  return setup_of(program, mui_config_load_made(path, text, program->appending, program->foreign, problems), kinds,
                  problems);
}

void mui_setup_free(const struct mui_program *program, struct mui_setup *setup)
{
  if (!setup)
    return;
  mui_dirs_free(setup->dirs);
  free(setup->entries);
  mui_options_free(&program->options, setup->config);
  mui_config_free(setup->file);
  free(setup);
}
