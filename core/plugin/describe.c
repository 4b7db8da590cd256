/* SPDX-License-Identifier: ISC */
/* The descriptor: judged, and copied zero-extended, so that nothing beyond a plugin's stated sizes is ever read. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dlfcn.h>

#include "plugin/internal.h"

#define COMPONENTS_MAX 16
#define OPTIONS_MAX 256
#define SERVICES_MAX 64
#define DEPTH_MAX 4
#define SIZE_MAX_STATED 65536
#define CONFIG_MAX (1024 * 1024)

/* What the very first release stated. */
#define PLUGIN_MIN sizeof(struct mu_plugin)
#define COMPONENT_MIN offsetof(struct mu_component, check)
#define OPTION_MIN sizeof(struct mu_option)

struct reading {
  char *why;
  size_t why_size;
};

static int refuse(const struct reading *reading, const char *format, ...) MU_PRINTF(2, 3);
static int refuse(const struct reading *reading, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(reading->why, reading->why_size, format, args);
  va_end(args);
  return MU_EABI;
}

const char *mui_kind_word(enum mu_kind kind)
{
  switch (kind) {
  case MU_SERVER:
    return "server";
  case MU_UPLINK:
    return "uplink";
  case MU_COLLECTOR:
    return "collector";
  }
  return "unknown";
}

static size_t value_size(const struct mu_option *option)
{
  switch ((unsigned)option->type) {
  case MU_OPT_BOOL:
    return sizeof(bool);
  case MU_OPT_INT:
    return sizeof(int64_t);
  case MU_OPT_FLOAT:
    return sizeof(double);
  case MU_OPT_STRING:
    return sizeof(char *);
  case MU_OPT_ENUM:
    return sizeof(int);
  case MU_OPT_STRINGS:
  case MU_OPT_GROUPS:
    return sizeof(struct mu_list);
  case MU_OPT_GROUP:
    return 1;
  }
  return 0;
}

/* An option table must stay within the config struct that it fills. */
static int judge_options(const struct reading *reading, const struct mu_options *options, size_t size, unsigned depth)
{
  if (options->count == 0)
    return 0;
  if (depth > DEPTH_MAX)
    return refuse(reading, "the option table is nested deeper than %d", DEPTH_MAX);
  if (!options->table || options->count > OPTIONS_MAX)
    return refuse(reading, "the option table has no address or %zu entries; expected at most %d", options->count,
                  OPTIONS_MAX);
  if (options->option_size < OPTION_MIN || options->option_size > SIZE_MAX_STATED)
    return refuse(reading, "options of %zu bytes; expected at least %zu", options->option_size, OPTION_MIN);
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option;
    memcpy(&option, (const char *)options->table + i * options->option_size, sizeof(option));
    if (!option.key || !mui_name_valid(option.key))
      return refuse(reading, "option %zu has no usable key; expected [a-z][a-z0-9_]*", i);
    size_t need = value_size(&option);
    if (need == 0)
      return refuse(reading, "option \"%s\" has the unknown type %d", option.key, (int)option.type);
    if (option.offset > size || need > size - option.offset)
      return refuse(reading, "option \"%s\" lies outside of its struct (offset %zu of %zu bytes)", option.key,
                    option.offset, size);
    if (option.type == MU_OPT_ENUM && !option.names)
      return refuse(reading, "option \"%s\" names no words", option.key);
    int result = 0;
    if (option.type == MU_OPT_GROUP) /* its fields' offsets count from the group's place */
      result = judge_options(reading, &option.fields, size - option.offset, depth + 1);
    else if (option.type == MU_OPT_GROUPS && (option.item_size == 0 || option.item_size > CONFIG_MAX))
      result = refuse(reading, "option \"%s\" has items of %zu bytes", option.key, option.item_size);
    else if (option.type == MU_OPT_GROUPS)
      result = judge_options(reading, &option.fields, option.item_size, depth + 1);
    if (result < 0)
      return result;
  }
  return 0;
}

static int judge_services(const struct reading *reading, const char *const *list)
{
  size_t count = 0;
  for (; list && list[count]; count++) {
    const char *slash = strchr(list[count], '/');
    if (count == SERVICES_MAX || !slash || slash == list[count] || strlen(list[count]) > 63 ||
        slash[1 + strspn(slash + 1, "0123456789")] != '\0' || slash[1] == '\0')
      return refuse(reading, "the service \"%.64s\" is no NAME/VERSION, or there are over %d", list[count],
                    SERVICES_MAX);
  }
  return 0;
}

/* The operations of a kind, in full size; what the plugin does not state is zero. */
static int copy_ops(const struct reading *reading, struct mu_component *component, union mui_ops *ops)
{
  size_t room = component->kind == MU_COLLECTOR ? sizeof(ops->collector) : sizeof(ops->uplink);
  if (component->kind == MU_SERVER) {
    component->ops = NULL;
    return 0;
  }
  if (!component->ops)
    return refuse(reading, "the %s component states no ops", mui_kind_word(component->kind));
  size_t stated;
  memcpy(&stated, component->ops, sizeof(stated));
  if (stated < sizeof(size_t) || stated > SIZE_MAX_STATED)
    return refuse(reading, "the %s component's ops state %zu bytes", mui_kind_word(component->kind), stated);
  memcpy(ops, component->ops, stated < room ? stated : room);
  component->ops = ops;
  bool complete = component->kind == MU_COLLECTOR ? ops->collector.collect != NULL : ops->uplink.report != NULL;
  if (!complete)
    return refuse(reading, "the %s component has no %s()", mui_kind_word(component->kind),
                  component->kind == MU_COLLECTOR ? "collect" : "report");
  return 0;
}

static int copy_component(const struct reading *reading, struct mui_file *file, size_t i)
{
  const struct mu_components *list = &file->plugin.components;
  const char *at = (const char *)list->table + i * list->component_size;
  struct mu_component *component = &file->components[i];
  size_t stated;
  assert(component);
  memcpy(&stated, at, sizeof(stated));
  if (stated < COMPONENT_MIN || stated > list->component_size)
    return refuse(reading, "component %zu states %zu bytes; expected %zu to %zu", i, stated, COMPONENT_MIN,
                  list->component_size);
  memcpy(component, at, stated < sizeof(*component) ? stated : sizeof(*component));
  component->size = sizeof(*component);
  if (component->kind < MU_SERVER || component->kind > MU_COLLECTOR)
    return refuse(reading, "component %zu is of the unknown kind %d", i, (int)component->kind);
  for (size_t j = 0; j < i; j++)
    if (file->components[j].kind == component->kind)
      return refuse(reading, "two %s components; expected one of a kind", mui_kind_word(component->kind));
  if (component->config_size > CONFIG_MAX)
    return refuse(reading, "the %s component's config has %zu bytes; expected at most %d",
                  mui_kind_word(component->kind), component->config_size, CONFIG_MAX);
  int result = judge_options(reading, &component->options, component->config_size, 0);
  if (result == 0)
    result = judge_services(reading, component->provides);
  if (result == 0)
    result = judge_services(reading, component->needs);
  if (result == 0)
    result = judge_services(reading, component->wants);
  return result < 0 ? result : copy_ops(reading, component, &file->ops[i]);
}

int mui_descriptor_read(struct mui_file *file, const char *name, char *why, size_t why_size)
{
  const struct reading reading = {why, why_size};
  const struct mu_plugin *found = dlsym(file->handle, MU_PLUGIN_SYMBOL);
  if (!found)
    return refuse(&reading, "has no descriptor; expected the symbol " MU_PLUGIN_SYMBOL " (MU_PLUGIN())");
  if (found->abi_major != MU_ABI_MAJOR || found->abi_minor > MU_ABI_MINOR)
    return refuse(&reading, "is built for ABI %u.%u; expected %d.x with x at most %d", found->abi_major,
                  found->abi_minor, MU_ABI_MAJOR, MU_ABI_MINOR);
  if (found->size < PLUGIN_MIN || found->size > SIZE_MAX_STATED)
    return refuse(&reading, "the descriptor states %u bytes; expected at least %zu", (unsigned)found->size, PLUGIN_MIN);
  memcpy(&file->plugin, found, found->size < sizeof(file->plugin) ? found->size : sizeof(file->plugin));
  struct mu_plugin *plugin = &file->plugin;
  if (!plugin->name || !plugin->version || !plugin->summary || !plugin->licence)
    return refuse(&reading, "the descriptor lacks name, version, summary or licence");
  if (!mui_name_valid(plugin->name))
    return refuse(&reading, "the descriptor's name is \"%.64s\"; expected [a-z][a-z0-9_]*, at most %d characters",
                  plugin->name, MUI_NAME_MAX);
  if (name && strcmp(plugin->name, name) != 0)
    return refuse(&reading, "the descriptor's name is \"%s\"; expected \"%s\", as the file's", plugin->name, name);
  const struct mu_components *list = &plugin->components;
  if (!list->table || list->count == 0 || list->count > COMPONENTS_MAX)
    return refuse(&reading, "has %zu components; expected 1 to %d", list->count, COMPONENTS_MAX);
  if (list->component_size < COMPONENT_MIN || list->component_size > SIZE_MAX_STATED)
    return refuse(&reading, "components of %zu bytes; expected at least %zu", list->component_size, COMPONENT_MIN);
  file->components = calloc(list->count, sizeof(*file->components));
  file->ops = calloc(list->count, sizeof(*file->ops));
  int result = file->components && file->ops ? 0 : refuse(&reading, "out of memory");
  for (size_t i = 0; i < list->count && result == 0; i++)
    result = copy_component(&reading, file, i);
  return result;
}

void mui_descriptor_fini(struct mui_file *file)
{
  free(file->components);
  free(file->ops);
  file->components = NULL;
  file->ops = NULL;
}

const struct mu_component *mui_file_component(const struct mui_file *file, enum mu_kind kind)
{
  for (size_t i = 0; i < file->plugin.components.count; i++)
    if (file->components[i].kind == kind)
      return &file->components[i];
  return NULL;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void list_services(FILE *to, const char *word, const char *const *list)
{
  for (size_t i = 0; list && list[i]; i++)
    fprintf(to, "%s%s", i == 0 ? word : ", ", list[i]);
  if (list && list[0])
    fprintf(to, "\n");
}

static void describe_file(FILE *to, const struct mui_file *file)
{
  const struct mu_plugin *plugin = &file->plugin;
  fprintf(to, "%s %s: %s\nlicence %s, ABI %u.%u, %s\n", plugin->name, plugin->version, plugin->summary, plugin->licence,
          plugin->abi_major, plugin->abi_minor, file->path);
  for (size_t i = 0; i < plugin->components.count; i++) {
    const struct mu_component *component = &file->components[i];
    fprintf(to, "\n%s component\n", mui_kind_word(component->kind));
    list_services(to, "  provides ", component->provides);
    list_services(to, "  needs ", component->needs);
    list_services(to, "  wants ", component->wants);
    if (component->kind == MU_COLLECTOR)
      fprintf(to, "  interval %g s, deadline %g s\n",
              file->ops[i].collector.interval_s ? file->ops[i].collector.interval_s : 5.0,
              file->ops[i].collector.deadline_s ? file->ops[i].collector.deadline_s : 3.0);
    fprintf(to, component->options.count ? "  options of its config:\n" : "  no options\n");
    mui_options_describe(&component->options, 4, to);
  }
}

static void list_file(FILE *to, const struct mui_file *file)
{
  fprintf(to, "  %-16s %-8s ", file->plugin.name, file->plugin.version);
  for (size_t i = 0; i < file->plugin.components.count; i++)
    fprintf(to, "%s%s", i ? "," : "", mui_kind_word(file->components[i].kind));
  fprintf(to, "  %s\n", file->plugin.summary);
}

static int describe_candidate(struct mui_host *host, struct mui_candidate *candidate, bool all, FILE *to,
                              struct mui_problems *problems)
{
  struct mui_file *file = candidate->probed ? mui_file_load(host, candidate) : NULL;
  if (!file) {
    mui_problem(problems, false, NULL, 0, "%s", candidate->why);
    return candidate->path ? MU_EABI : MU_ENOENT;
  }
  if (all)
    list_file(to, file);
  else
    describe_file(to, file);
  mui_file_unref(file);
  return 0;
}

int mui_host_describe(struct mui_host *host, const char *name, const char *const *dirs, void *to,
                      struct mui_problems *problems)
{
  char *single[] = {(char *)name, NULL};
  char **names = name ? single : mui_find_names(dirs);
  size_t count = 0;
  while (names && names[count])
    count++;
  struct mui_candidate *list = calloc(count + 1, sizeof(*list));
  int result = names && list ? 0 : MU_ENOMEM;
  for (size_t i = 0; i < count && list; i++)
    mui_find(&list[i], names[i], dirs);
  if (list)
    mui_probe(host, list, count);
  for (size_t i = 0; i < count && list; i++) {
    int described = describe_candidate(host, &list[i], !name, to, problems);
    result = described < 0 ? described : result;
    mui_candidate_fini(&list[i]);
  }
  free(list);
  if (!name)
    mui_names_free(names);
  return result;
}
