/* SPDX-License-Identifier: ISC */
/* Structs that were read by option tables: freed, compared, checked. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/internal.h"

/* ---- freeing ------------------------------------------------------------------------------------- */

static void free_text(const char *text, bool secret)
{
  if (text && secret)
    mu_secret_wipe((char *)text, strlen(text));
  free((char *)text);
}

static void fini_group(const struct mu_options *options, char *config);

static void fini_value(const struct mu_option *option, char *value)
{
  bool secret = (option->flags & MU_OPT_SECRET) != 0;
  struct mu_list *list = (struct mu_list *)(void *)value;
  switch (option->type) {
  case MU_OPT_STRING:
    free_text(*(const char **)(void *)value, secret);
    break;
  case MU_OPT_STRINGS:
    for (size_t i = 0; i < list->count; i++)
      free_text(((const char *const *)list->items)[i], secret);
    free((void *)list->items);
    break;
  case MU_OPT_GROUP:
    fini_group(&option->fields, value);
    break;
  case MU_OPT_GROUPS:
    for (size_t i = 0; i < list->count; i++)
      fini_group(&option->fields, (char *)list->items + i * option->item_size);
    free((void *)list->items);
    break;
  default:
    if (secret)
      mu_secret_wipe(value, option->type == MU_OPT_BOOL ? sizeof(bool) : option->type == MU_OPT_ENUM ? sizeof(int) : 8);
  }
}

static void fini_group(const struct mu_options *options, char *config)
{
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    fini_value(&option, config + option.offset);
  }
}

void mui_options_free(const struct mu_options *options, void *config)
{
  if (!config)
    return;
  fini_group(options, config);
  free(config);
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_setting(const struct mui_setting *a, const struct mui_setting *b)
{
  if (!a || !b)
    return a == b;
  if (a->type != b->type || !same_text(a->name, b->name))
    return false;
  switch (a->type) {
  case MUI_SETTING_BOOL:
    return a->boolean == b->boolean;
  case MUI_SETTING_INT:
    return a->integer == b->integer;
  case MUI_SETTING_FLOAT:
    return a->number == b->number;
  case MUI_SETTING_STRING:
    return same_text(a->string, b->string);
  default:
    break;
  }
  if (a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (!same_setting(&a->items[i], &b->items[i]))
      return false;
  return true;
}

static bool same_group(const struct mu_options *options, const char *a, const char *b);

static bool same_lists(const struct mu_option *option, const struct mu_list *a, const struct mu_list *b)
{
  if (a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (option->type == MU_OPT_STRINGS
            ? !same_text(((const char *const *)a->items)[i], ((const char *const *)b->items)[i])
            : !same_group(&option->fields, (const char *)a->items + i * option->item_size,
                          (const char *)b->items + i * option->item_size))
      return false;
  return true;
}

static bool same_value(const struct mu_option *option, const void *a, const void *b)
{
  switch ((int)option->type) {
  case MU_OPT_BOOL:
    return *(const bool *)a == *(const bool *)b;
  case MU_OPT_INT:
    return *(const int64_t *)a == *(const int64_t *)b;
  case MU_OPT_FLOAT:
    return *(const double *)a == *(const double *)b;
  case MU_OPT_ENUM:
    return *(const int *)a == *(const int *)b;
  case MU_OPT_STRING:
    return same_text(*(const char *const *)a, *(const char *const *)b);
  case MU_OPT_STRINGS:
  case MU_OPT_GROUPS:
    return same_lists(option, a, b);
  case MU_OPT_GROUP:
    return same_group(&option->fields, a, b);
  default: /* the group itself is only a place */
    return mui_option_is_self(option) || same_setting(*(const mui_setting *const *)a, *(const mui_setting *const *)b);
  }
}

static bool same_group(const struct mu_options *options, const char *a, const char *b)
{
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    if (!same_value(&option, a + option.offset, b + option.offset))
      return false;
  }
  return true;
}

bool mui_options_equal(const struct mu_options *options, const void *a, const void *b)
{
  return same_group(options, a, b);
}

/* ---- checking ------------------------------------------------------------------------------------ */

struct mu_check {
  const mui_setting *group; /* NULL: absent */
  const mui_setting *place;
  struct mui_problems *problems;
};

/* The setting at a path like "servers[1].secret", or the nearest one around it that is there. */
static const mui_setting *nearest(const mui_setting *group, const char *path)
{
  const mui_setting *at = group;
  while (at && *path) {
    const mui_setting *next;
    if (*path == '[') {
      char *end;
      unsigned long n = strtoul(path + 1, &end, 10);
      next = mui_setting_nth(at, n);
      path = *end == ']' ? end + 1 : end;
    } else {
      path += *path == '.';
      size_t len = strcspn(path, ".[");
      next = len ? mui_setting_find(at, path, len) : NULL;
      path += len;
    }
    if (!next)
      break;
    at = next;
  }
  return at;
}

MU_PRINTF(4, 0)
static void report(struct mu_check *check, bool warning, const char *path, const char *format, va_list args)
{
  const mui_setting *setting = check->group && path ? nearest(check->group, path) : check->group;
  const char *file;
  unsigned line;
  mui_setting_place(setting && setting->source ? setting : check->place, &file, &line);
  char *text = NULL;
  if (vasprintf(&text, format, args) < 0)
    text = NULL;
  mui_problem(check->problems, warning, file, line, "%s%s%s%s", path ? "'" : "", path ? path : "", path ? "': " : "",
              text ? text : "out of memory");
  free(text);
}

void mu_check_error(struct mu_check *check, const char *path, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  report(check, false, path, format, args);
  va_end(args);
}

void mu_check_warn(struct mu_check *check, const char *path, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  report(check, true, path, format, args);
  va_end(args);
}

void mui_options_check(void (*check)(const void *config, struct mu_check *check), const void *config,
                       const mui_setting *group, const mui_setting *place, struct mui_problems *problems)
{
  struct mu_check c = {.group = group, .place = place, .problems = problems};
  if (check)
    check(config, &c);
}
