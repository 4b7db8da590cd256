/* SPDX-License-Identifier: ISC */
/* Everything that can be wrong with a plan, before anything is changed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/internal.h"

void mui_entry_problem(struct mui_problems *problems, bool warning, const mui_setting *place, const char *format, ...)
{
  char text[2 * MUI_WHY_SIZE];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  const char *file = NULL;
  unsigned line = 0;
  mui_setting_place(place, &file, &line);
  mui_problem(problems, warning, file, line, "%s", text);
}

void mui_set_free(struct mui_set *set)
{
  for (size_t i = 0; i < set->count; i++)
    if (set->at[i]->phase == MUI_UNIT_NEW)
      mui_unit_free(set->at[i]);
  free(set->at);
  *set = (struct mui_set){0};
}

static const char *entry_name(const struct mui_entry *entry)
{
  return entry->instance ? entry->instance : entry->name;
}

/* An instance's name stands in logs, routes' restrictions and `use`. */
static bool judge_name(const struct mui_plan *plan, size_t i, struct mui_problems *problems)
{
  const struct mui_entry *entry = &plan->entries[i];
  const char *name = entry_name(entry);
  if (!mui_name_valid(entry->name)) {
    mui_entry_problem(problems, false, entry->place,
                      "\"%.64s\" cannot be a plugin's name; expected [a-z][a-z0-9_]*, at most %d characters",
                      entry->name ? entry->name : "", MUI_NAME_MAX);
    return false;
  }
  if (!mui_name_valid(name)) {
    mui_entry_problem(problems, false, entry->place,
                      "\"%.64s\" cannot be an instance's name; expected [a-z][a-z0-9_]*, at most %d characters", name,
                      MUI_NAME_MAX);
    return false;
  }
  for (size_t j = 0; j < i; j++)
    if (plan->entries[j].name && strcmp(entry_name(&plan->entries[j]), name) == 0) {
      const char *file = NULL;
      unsigned line = 0;
      mui_setting_place(plan->entries[j].place, &file, &line);
      mui_entry_problem(
          problems, false, entry->place,
          "a second instance \"%s\" (the first: %s:%u); give one of them another name by instance = \"…\"", name,
          file ? file : "?", line);
      return false;
    }
  return true;
}

/* Line and option do not tell whose configuration it is where several stand in one line, or a plugin has several instances. */
static void name_problems(struct mui_problems *problems, size_t first, const char *name)
{
  for (size_t i = first; i < problems->count; i++) {
    char *text;
    if (asprintf(&text, "%s: %s", name, problems->list[i].text) < 0)
      continue;
    free(problems->list[i].text);
    problems->list[i].text = text;
  }
}

/* Reads and checks the options of one loaded plugin. NULL: problems say why. */
static struct mui_unit *make_unit(struct mui_host *host, const struct mui_entry *entry, struct mui_file *file,
                                  struct mui_problems *problems)
{
  const struct mu_component *component = mui_file_component(file, entry->kind);
  if (!component) {
    mui_entry_problem(problems, false, entry->place, "plugin \"%s\" has no %s component; it has: %s%s%s", entry->name,
                      mui_kind_word(entry->kind), mui_kind_word(file->components[0].kind),
                      file->plugin.components.count > 1 ? ", " : "",
                      file->plugin.components.count > 1 ? mui_kind_word(file->components[1].kind) : "");
    return NULL;
  }
  struct mui_unit *unit = mui_unit_new(host, entry, file, component);
  size_t before = problems->errors, first = problems->count;
  if (unit)
    unit->loaded.config =
        mui_options_read(entry->config, entry->place, &component->options, component->config_size, problems);
  if (!unit || (!unit->loaded.config && component->config_size > 0)) {
    mui_entry_problem(problems, false, entry->place, "%s: out of memory", entry->name);
    mui_unit_free(unit);
    return NULL;
  }
  if (problems->errors == before && component->check)
    mui_options_check(component->check, unit->loaded.config, entry->config, entry->place, problems);
  name_problems(problems, first, unit->name);
  return unit;
}

/* What is loaded was judged; a file that was written in place cannot be taken up while its old code is mapped. */
static void recognise(struct mui_host *host, struct mui_candidate *candidate, const mui_setting *place,
                      struct mui_problems *problems)
{
  const struct mui_file *file = candidate->fd >= 0 ? mui_file_loaded(host, &candidate->stamp) : NULL;
  if (!file)
    return;
  candidate->probed = true;
  if (!mui_stamp_equal(&file->stamp, &candidate->stamp))
    mui_entry_problem(problems, true, place,
                      "%s: was written to while it is loaded; replace it by a rename, then the new one is loaded",
                      candidate->path);
}

/* True: goes on without it. */
static bool refuse(struct mui_host *host, const struct mui_entry *entry, const char *why, bool lenient, bool *required,
                   struct mui_problems *problems)
{
  if (lenient && !entry->required) {
    mu_log(host->runtime->core, MU_LOG_ERROR, "plugin \"%s\" is left out: %s", entry_name(entry), why);
    host->lacking = true; /* nobody knows what it provides */
    return true;
  }
  mui_entry_problem(problems, false, entry->place, "%s", why);
  *required = lenient;
  return false;
}

int mui_plan_check(struct mui_host *host, const struct mui_plan *plan, bool lenient, struct mui_set *set,
                   struct mui_problems *problems)
{
  size_t before = problems->errors, refused = 0;
  bool incomplete = false, required = false;
  *set = (struct mui_set){.at = calloc(plan->count + 1, sizeof(*set->at))};
  struct mui_candidate *list = calloc(plan->count + 1, sizeof(*list));
  if (!set->at || !list) {
    free(list);
    mui_problem(problems, false, NULL, 0, "out of memory");
    return MU_ENOMEM;
  }
  for (size_t i = 0; i < plan->count; i++) {
    list[i].fd = -1;
    if (!judge_name(plan, i, problems))
      continue;
    mui_find(&list[i], plan->entries[i].name, plan->dirs);
    recognise(host, &list[i], plan->entries[i].place, problems);
  }
  mui_probe(host, list, plan->count);
  for (size_t i = 0; i < plan->count; i++) {
    const struct mui_entry *entry = &plan->entries[i];
    if (!list[i].name[0])
      continue; /* the name was bad */
    struct mui_file *file = list[i].probed ? mui_file_load(host, &list[i]) : NULL;
    struct mui_unit *unit = NULL;
    if (file) {
      unit = make_unit(host, entry, file, problems);
      mui_file_unref(file);
    } else {
      incomplete = true;
      refused += !refuse(host, entry, list[i].why, lenient, &required, problems);
    }
    if (unit) {
      unit->order = (unsigned)i + 1;
      set->at[set->count++] = unit;
    }
  }
  for (size_t i = 0; i < plan->count; i++)
    mui_candidate_fini(&list[i]);
  free(list);
  /* Without all plugins nobody can tell what is missing; what was refused is said already. */
  if (problems->errors == before || incomplete)
    mui_order(host, set, plan, incomplete, lenient, problems);
  if (problems->errors == before && plan->only)
    mui_order_only(set, plan, problems);
  if (problems->errors == before)
    return 0;
  return required && problems->errors - before == refused ? MU_EUNAVAILABLE : MU_ECONF;
}

void mui_host_check(struct mui_host *host, const struct mui_plan *plan, struct mui_problems *problems)
{
  struct mui_set set;
  mui_plan_check(host, plan, false, &set, problems);
  mui_set_free(&set);
}
