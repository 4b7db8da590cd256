/* SPDX-License-Identifier: ISC */
/* The order of starting, and who provides what for whom. */
#include <stdlib.h>
#include <string.h>

#include <muster/auth.h>
#include <muster/host.h>
#include "plugin/internal.h"

/* The only service that is meant to have many providers. */
bool mui_service_many(const char *service)
{
  return strcmp(service, MU_SERVICE_AUTH) == 0;
}

static size_t stem(const char *service)
{
  return strcspn(service, "/");
}

static bool same_stem(const char *service, const char *name)
{
  return strlen(name) == stem(service) && strncmp(service, name, strlen(name)) == 0;
}

static struct mui_unit *nth_provider(const struct mui_set *set, const char *service, size_t n)
{
  for (size_t i = 0; i < set->count; i++)
    if (mui_lists(set->at[i]->loaded.component->provides, service) && n-- == 0)
      return set->at[i];
  return NULL;
}

static struct mui_unit *named(const struct mui_set *set, const char *name)
{
  for (size_t i = 0; i < set->count; i++)
    if (strcmp(set->at[i]->name, name) == 0)
      return set->at[i];
  return NULL;
}

static bool provides_stem(const struct mui_unit *unit, const char *name)
{
  for (const char *const *offer = unit->loaded.component->provides; offer && *offer; offer++)
    if (same_stem(*offer, name))
      return true;
  return false;
}

/* ---- use ------------------------------------------------------------------------------------- */

/* Every member of a `use` group must name a service and an instance that provides it. */
static void judge_use(const struct mui_set *set, const mui_setting *use, bool incomplete, struct mui_problems *problems)
{
  const mui_setting *member;
  for (size_t n = 0; use && (member = mui_setting_nth(use, n)); n++) {
    const char *service = mui_setting_name(member), *provider = mui_setting_string(member);
    if (!service || !provider) {
      mui_entry_problem(problems, false, member, "use: expected service = \"instance\"");
      continue;
    }
    const struct mui_unit *unit = named(set, provider);
    if (!unit && !incomplete)
      mui_entry_problem(problems, false, member, "use: there is no instance \"%s\"", provider);
    else if (unit && !provides_stem(unit, service))
      mui_entry_problem(problems, false, member, "use: \"%s\" does not provide %s", provider, service);
  }
}

static const char *used(const mui_setting *use, const char *service)
{
  const mui_setting *member;
  for (size_t n = 0; use && (member = mui_setting_nth(use, n)); n++)
    if (mui_setting_name(member) && same_stem(service, mui_setting_name(member)))
      return mui_setting_string(member);
  return NULL;
}

/* Notes the choice for one service that a unit asks for. */
static void choose(struct mui_unit *unit, const char *service, const mui_setting *general)
{
  const char *provider = used(unit->entry->use, service);
  if (!provider)
    provider = used(general, service);
  if (!provider)
    return;
  struct mui_choice *grown = realloc(unit->choices, (unit->choices_count + 1) * sizeof(*grown));
  if (!grown)
    return;
  unit->choices = grown;
  struct mui_choice *choice = &grown[unit->choices_count];
  *choice = (struct mui_choice){strndup(service, stem(service)), strdup(provider)};
  if (choice->service && choice->provider) {
    unit->choices_count++;
    return;
  }
  free(choice->service);
  free(choice->provider);
}

/* Two providers are a question that only the configuration can answer. */
static void judge_provider(const struct mui_set *set, const struct mui_unit *unit, const char *service,
                           const mui_setting *general, struct mui_problems *problems)
{
  const struct mui_unit *second = nth_provider(set, service, 1);
  if (mui_service_many(service) || !second || used(unit->entry->use, service) || used(general, service))
    return;
  mui_entry_problem(problems, false, unit->entry->place,
                    "\"%s\" asks for %s, which both \"%s\" and \"%s\" provide; name one: use = { %.*s = \"%s\"; }",
                    unit->name, service, nth_provider(set, service, 0)->name, second->name, (int)stem(service), service,
                    second->name);
}

/* The same when nobody asks yet: two providers that nobody chose between are a mistake all the same. */
static void judge_idle(const struct mui_set *set, const struct mui_unit *unit, const char *service,
                       const mui_setting *general, struct mui_problems *problems)
{
  const struct mui_unit *first = nth_provider(set, service, 0);
  if (mui_service_many(service) || first == unit || used(general, service))
    return;
  for (size_t i = 0; i < set->count; i++)
    if (mui_lists(set->at[i]->loaded.component->needs, service) ||
        mui_lists(set->at[i]->loaded.component->wants, service))
      return;
  mui_entry_problem(problems, false, unit->entry->place,
                    "both \"%s\" and \"%s\" provide %s; name one: use = { %.*s = \"%s\"; }", first->name, unit->name,
                    service, (int)stem(service), service, first->name);
}

/* ---- needs ----------------------------------------------------------------------------------- */

const char *mui_missing(const struct mui_set *set, const struct mui_unit *unit)
{
  for (const char *const *need = unit->loaded.component->needs; need && *need; need++) {
    bool found = strcmp(*need, MU_SERVICE_HOST) == 0; /* the host's own */
    for (size_t i = 0; i < set->count && !found; i++)
      found = set->at[i] != unit && mui_lists(set->at[i]->loaded.component->provides, *need);
    if (!found)
      return *need;
  }
  return NULL;
}

/* Takes out what cannot work because something else could not be loaded; that may leave more without their needs. */
static void drop_lacking(struct mui_host *host, struct mui_set *set, bool lenient, struct mui_problems *problems)
{
  for (size_t i = 0; i < set->count;) {
    struct mui_unit *unit = set->at[i];
    const char *need = mui_missing(set, unit);
    if (!need) {
      i++;
      continue;
    }
    if (lenient && unit->required)
      mui_entry_problem(problems, false, unit->entry->place, "\"%s\" needs %s, which nothing provides", unit->name,
                        need);
    else if (lenient)
      mu_log(host->runtime->core, MU_LOG_ERROR, "\"%s\" is left out: it needs %s, which nothing provides", unit->name,
             need);
    host->lacking = host->lacking || mui_lists(unit->loaded.component->provides, MU_SERVICE_AUTH);
    memmove(&set->at[i], &set->at[i + 1], (set->count - i - 1) * sizeof(*set->at));
    set->count--;
    mui_unit_free(unit);
    i = 0;
  }
}

/* ---- the order ------------------------------------------------------------------------------- */

/* Names the way of a cycle: each of `left` depends on another of them, so walking ends in one. */
static void report_cycle(struct mui_unit *const *left, size_t count, struct mui_problems *problems)
{
  struct mui_unit *at = left[0];
  for (size_t i = 0; i < count; i++)
    left[i]->mark = 0;
  unsigned step = 0;
  struct mu_buf way = MU_BUF_INIT;
  for (int round = 0; round < 2; round++) {
    /* First round: get into the cycle. Second: write it down. */
    step++;
    while (at->mark != step) {
      at->mark = step;
      if (round == 1)
        mu_buf_printf(&way, "%s → ", at->name);
      for (size_t i = 0; i < count; i++)
        if (mui_depends(at, left[i])) {
          at = left[i];
          break;
        }
    }
  }
  mui_entry_problem(problems, false, at->entry->place, "these need each other in a circle: %s%s", way.at ? way.at : "",
                    at->name);
  mu_buf_free(&way);
}

/* Always the first in the configuration whose providers have all started. */
static void sort(struct mui_set *set, struct mui_problems *problems)
{
  for (size_t done = 0; done < set->count; done++) {
    size_t pick = done;
    for (; pick < set->count; pick++) {
      bool ready = true;
      for (size_t i = done; i < set->count && ready; i++)
        ready = !mui_depends(set->at[pick], set->at[i]);
      if (ready)
        break;
    }
    if (pick == set->count) {
      report_cycle(set->at + done, set->count - done, problems);
      return;
    }
    struct mui_unit *unit = set->at[pick];
    memmove(&set->at[done + 1], &set->at[done], (pick - done) * sizeof(*set->at));
    set->at[done] = unit;
  }
}

void mui_order(struct mui_host *host, struct mui_set *set, const struct mui_plan *plan, bool incomplete, bool lenient,
               struct mui_problems *problems)
{
  if (incomplete)
    drop_lacking(host, set, lenient, problems);
  judge_use(set, plan->use, incomplete, problems);
  for (size_t i = 0; i < set->count; i++) {
    struct mui_unit *unit = set->at[i];
    const struct mu_component *component = unit->loaded.component;
    const char *need = incomplete ? NULL : mui_missing(set, unit);
    if (need)
      mui_entry_problem(problems, false, unit->entry->place, "\"%s\" needs %s, which no configured plugin provides",
                        unit->name, need);
    judge_use(set, unit->entry->use, incomplete, problems);
    const char *const *const asked[] = {component->needs, component->wants};
    for (size_t k = 0; k < MU_COUNT(asked); k++)
      for (const char *const *service = asked[k]; service && *service; service++) {
        judge_provider(set, unit, *service, plan->use, problems);
        choose(unit, *service, plan->use);
      }
    for (const char *const *offer = component->provides; offer && *offer; offer++)
      judge_idle(set, unit, *offer, plan->use, problems);
  }
  sort(set, problems);
}

/* ---- less than all --------------------------------------------------------------------------- */

static bool serves(const struct mui_unit *unit, const struct mui_set *set, const char *service)
{
  if (mui_lists(unit->loaded.component->provides, service))
    return true;
  for (size_t i = 0; i < set->count; i++) /* later ones that stay need it */
    for (const char *const *need = set->at[i]->loaded.component->needs; set->at[i]->mark && need && *need; need++)
      if (mui_lists(unit->loaded.component->provides, *need))
        return true;
  return false;
}

void mui_order_only(struct mui_set *set, const struct mui_plan *plan, struct mui_problems *problems)
{
  /* Whatever needs something stands behind it, so one pass from the end is enough. */
  for (size_t i = 0; i < set->count; i++)
    set->at[i]->mark = 0;
  for (size_t i = set->count; i-- > 0;)
    set->at[i]->mark = serves(set->at[i], set, plan->only);
  size_t kept = 0;
  for (size_t i = 0; i < set->count; i++)
    if (set->at[i]->mark)
      set->at[kept++] = set->at[i];
    else
      mui_unit_free(set->at[i]);
  set->count = kept;
  if (kept == 0)
    mui_problem(problems, false, NULL, 0, "no configured plugin provides %s%s%s", plan->only,
                plan->only_from ? "; configure the plugin " : "", plan->only_from ? plan->only_from : "");
}
