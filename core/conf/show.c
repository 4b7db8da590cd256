/* SPDX-License-Identifier: ISC */
/* Option tables and their values for people: --describe, the check of samples, effective values as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/value.h"

/* ---- the manual ---------------------------------------------------------------------------------- */

static const char *type_text(const struct mu_option *option)
{
  switch ((int)option->type) {
  case MU_OPT_BOOL:
    return "true or false";
  case MU_OPT_INT:
    return "integer";
  case MU_OPT_FLOAT:
    return "number";
  case MU_OPT_STRING:
    return "string";
  case MU_OPT_STRINGS:
    return "list of strings";
  case MU_OPT_GROUPS:
    return "list of groups";
  default:
    return "group";
  }
}

static void describe_type(const struct mu_option *option, FILE *to)
{
  if (option->type == MU_OPT_ENUM) {
    for (size_t i = 0; option->names[i]; i++)
      fprintf(to, "%s\"%s\"", i ? " | " : "", option->names[i]);
    return;
  }
  fputs(type_text(option), to);
}

static void describe_range(const struct mu_option *option, FILE *to)
{
  bool string = option->type == MU_OPT_STRING;
  bool list = option->type == MU_OPT_STRINGS || option->type == MU_OPT_GROUPS;
  const char *unit = string ? " bytes" : list ? " items" : "";
  if (option->min == 0 && option->max == 0)
    return;
  if (option->max < option->min)
    fprintf(to, ", at least %.15g%s", option->min, unit);
  else if ((string || list) && option->min == 0)
    fprintf(to, ", at most %.15g%s", option->max, unit);
  else
    fprintf(to, ", %.15g to %.15g%s", option->min, option->max, unit);
}

void mui_options_describe(const struct mu_options *options, unsigned indent, void *file)
{
  FILE *to = file;
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    if (mui_option_is_self(&option))
      continue;
    fprintf(to, "%*s%s: ", (int)indent, "", option.key);
    describe_type(&option, to);
    describe_range(&option, to);
    if (option.flags & MU_OPT_REQUIRED)
      fputs(", required", to);
    if (option.flags & MU_OPT_SECRET)
      fputs(", secret", to);
    if (option.preset)
      fprintf(to, ", default %s", option.preset);
    fputc('\n', to);
    if (option.help)
      fprintf(to, "%*s%s\n", (int)indent + 4, "", option.help);
    if (option.type == MU_OPT_GROUP || option.type == MU_OPT_GROUPS)
      mui_options_describe(&option.fields, indent + 4, to);
  }
}

/* ---- samples ------------------------------------------------------------------------------------- */

/* What shows an option: a group of the sample, or any item of a list. */
struct shown {
  const mui_setting *groups; /* `count` settings one after another */
  size_t count;
};

static void sample_name(char *path, size_t size, const char *around, const char *key)
{
  snprintf(path, size, "%s%s%s", around, *around ? "." : "", key);
}

static void sample_unknown(const mui_setting *group, const struct mu_options *options, struct mui_problems *problems)
{
  for (size_t i = 0; i < group->count; i++) {
    const mui_setting *setting = &group->items[i];
    bool known = false;
    for (size_t k = 0; setting->name && !known && k < options->count; k++)
      known = strcmp(mui_option_at(options, k).key, setting->name) == 0;
    if (!known)
      mui_problem(problems, false, setting->source->path, setting->line, "the sample shows '%s', which is no option",
                  setting->name ? setting->name : "an item");
  }
}

static void sample_check(struct shown shown, const mui_setting *place, const struct mu_options *options,
                         const char *around, struct mui_problems *problems);

static void sample_fields(const struct mu_option *option, const mui_setting *setting, const char *path,
                          struct mui_problems *problems)
{
  bool list = option->type == MU_OPT_GROUPS;
  bool is_list = setting->type == MUI_SETTING_LIST || setting->type == MUI_SETTING_ARRAY;
  if (list ? !is_list : setting->type != MUI_SETTING_GROUP)
    mui_problem(problems, false, setting->source->path, setting->line, "the sample shows '%s' as no %s", path,
                type_text(option));
  else if (list)
    sample_check((struct shown){setting->items, setting->count}, setting, &option->fields, path, problems);
  else
    sample_check((struct shown){setting, 1}, setting, &option->fields, path, problems);
}

static void sample_check(struct shown shown, const mui_setting *place, const struct mu_options *options,
                         const char *around, struct mui_problems *problems)
{
  for (size_t i = 0; i < shown.count; i++)
    sample_unknown(&shown.groups[i], options, problems);
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    if (mui_option_is_self(&option))
      continue;
    char path[256];
    sample_name(path, sizeof(path), around, option.key);
    const mui_setting *found = NULL;
    for (size_t k = 0; !found && k < shown.count; k++)
      found = mui_setting_member(&shown.groups[k], option.key);
    if (!found) {
      const char *file;
      unsigned line;
      mui_setting_place(place, &file, &line);
      mui_problem(problems, false, file, line, "the sample does not show '%s'", path);
    } else if (option.type == MU_OPT_GROUP || option.type == MU_OPT_GROUPS) {
      sample_fields(&option, found, path, problems);
    }
  }
}

int mui_options_sample_check(const mui_setting *group, const struct mu_options *options, struct mui_problems *problems)
{
  size_t before = problems->errors;
  sample_check((struct shown){group, group ? 1 : 0}, group, options, "", problems);
  return problems->errors == before ? 0 : MU_ECONF;
}

/* ---- values as JSON ------------------------------------------------------------------------------ */

static void json_group(const struct mu_options *options, const char *config, struct mu_buf *out);

/* As few digits as give the same value back. */
static void json_number(double value, struct mu_buf *out)
{
  char text[40];
  snprintf(text, sizeof(text), "%.15g", value);
  if (strtod(text, NULL) != value)
    snprintf(text, sizeof(text), "%.17g", value);
  mu_buf_adds(out, text);
}

#define HIDDEN "\"(hidden)\""

static void json_text(const char *text, struct mu_buf *out)
{
  if (text)
    mu_buf_json_string(out, mu_str(text));
  else
    mu_buf_adds(out, "null");
}

/* "scheme://user:password@host" */
static bool has_credentials(const char *text)
{
  const char *host = strstr(text, "://");
  return host && memchr(host + 3, '@', strcspn(host + 3, "/?#"));
}

/* A value that env: or file: gave is hidden, whatever the table says; so is an address with a user in it. */
static void json_string(const char *text, struct mu_buf *out)
{
  if (text && (mui_text_referred(text) || has_credentials(text)))
    mu_buf_adds(out, HIDDEN);
  else
    json_text(text, out);
}

static void json_list(const struct mu_option *option, const struct mu_list *list, struct mu_buf *out)
{
  mu_buf_adds(out, "[");
  for (size_t i = 0; i < list->count; i++) {
    if (i > 0)
      mu_buf_adds(out, ",");
    if (option->type == MU_OPT_STRINGS)
      json_string(((const char *const *)list->items)[i], out);
    else
      json_group(&option->fields, (const char *)list->items + i * option->item_size, out);
  }
  mu_buf_adds(out, "]");
}

/* Secrets: only whether there is one. */
static void json_secret(const struct mu_option *option, const void *value, struct mu_buf *out)
{
  bool set = true;
  if (option->type == MU_OPT_STRING)
    set = *(const char *const *)value != NULL;
  else if (option->type == MU_OPT_STRINGS || option->type == MU_OPT_GROUPS)
    set = ((const struct mu_list *)value)->count > 0;
  mu_buf_adds(out, set ? HIDDEN : "null");
}

static void json_value(const struct mu_option *option, const void *value, struct mu_buf *out)
{
  if (option->flags & MU_OPT_SECRET) {
    json_secret(option, value, out);
    return;
  }
  switch ((int)option->type) {
  case MU_OPT_BOOL:
    mu_buf_adds(out, *(const bool *)value ? "true" : "false");
    break;
  case MU_OPT_INT:
    mu_buf_printf(out, "%lld", (long long)*(const int64_t *)value);
    break;
  case MU_OPT_FLOAT:
    json_number(*(const double *)value, out);
    break;
  case MU_OPT_STRING:
    json_string(*(const char *const *)value, out);
    break;
  case MU_OPT_ENUM:
    json_text(option->names[*(const int *)value], out);
    break;
  case MU_OPT_GROUP:
    json_group(&option->fields, value, out);
    break;
  default:
    json_list(option, value, out);
  }
}

static void json_group(const struct mu_options *options, const char *config, struct mu_buf *out)
{
  bool first = true;
  mu_buf_adds(out, "{");
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    if (option.type == MUI_OPT_SETTING) /* not read yet: it may hold secrets */
      continue;
    if (!first)
      mu_buf_adds(out, ",");
    first = false;
    json_text(option.key, out);
    mu_buf_adds(out, ":");
    json_value(&option, config + option.offset, out);
  }
  mu_buf_adds(out, "}");
}

void mui_options_json(const struct mu_options *options, const void *config, struct mu_buf *out)
{
  json_group(options, config, out);
}
