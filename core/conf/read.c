/* SPDX-License-Identifier: ISC */
/* Settings into structs, by option tables. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/value.h"

struct reader {
  struct mui_problems *problems;
  char path[256]; /* "servers[1].secret" */
  size_t path_len;
  bool literal; /* a preset is being read */
  bool failed;  /* out of memory */
};

#define REPORT(r, setting, ...) mui_problem((r)->problems, false, (setting)->source->path, (setting)->line, __VA_ARGS__)

static void read_group(struct reader *r, const struct mui_setting *group, const struct mui_setting *place,
                       const struct mu_options *options, char *to);

/* ---- paths ------------------------------------------------------------------------------------- */

/* Appends to the path and returns its old length, for path_back(). What does not fit is cut. */
static size_t path_name(struct reader *r, const char *name)
{
  size_t before = r->path_len;
  int n = snprintf(r->path + before, sizeof(r->path) - before, "%s%s", before ? "." : "", name);
  r->path_len = before + (size_t)n < sizeof(r->path) ? before + (size_t)n : sizeof(r->path) - 1;
  return before;
}

static size_t path_index(struct reader *r, size_t index)
{
  size_t before = r->path_len;
  int n = snprintf(r->path + before, sizeof(r->path) - before, "[%zu]", index);
  r->path_len = before + (size_t)n < sizeof(r->path) ? before + (size_t)n : sizeof(r->path) - 1;
  return before;
}

static void path_back(struct reader *r, size_t before)
{
  r->path_len = before;
  r->path[before] = '\0';
}

/* ---- types and ranges -------------------------------------------------------------------------- */

static const char *found_text(const struct mui_setting *setting)
{
  switch (setting->type) {
  case MUI_SETTING_GROUP:
    return "a group { … }";
  case MUI_SETTING_LIST:
    return "a list ( … )";
  case MUI_SETTING_ARRAY:
    return "an array [ … ]";
  case MUI_SETTING_BOOL:
    return "true or false";
  case MUI_SETTING_INT:
    return "an integer";
  case MUI_SETTING_FLOAT:
    return "a number with a fraction";
  case MUI_SETTING_STRING:
    return "a string";
  }
  return "something else";
}

static bool expect(struct reader *r, const struct mui_setting *setting, bool right, const char *expected)
{
  if (!right)
    REPORT(r, setting, "'%s': expected %s, found %s", r->path, expected, found_text(setting));
  return right;
}

static bool is_list(const struct mui_setting *setting)
{
  return setting->type == MUI_SETTING_LIST || setting->type == MUI_SETTING_ARRAY;
}

static bool has_range(const struct mu_option *option)
{
  return option->min != 0 || option->max != 0;
}

/* Within [min, max]; `what` says what is out of range: "" for numbers, else the unit of a length. */
static bool in_range(struct reader *r, const struct mu_option *option, const struct mui_setting *setting, double value,
                     const char *found, const char *unit)
{
  if (!has_range(option) || (value >= option->min && (option->max < option->min || value <= option->max)))
    return true;
  if (option->max < option->min)
    REPORT(r, setting, "'%s': %s is out of range (at least %.15g%s)", r->path, found, option->min, unit);
  else
    REPORT(r, setting, "'%s': %s is out of range (%.15g to %.15g%s)", r->path, found, option->min, option->max, unit);
  return false;
}

static bool length_in_range(struct reader *r, const struct mu_option *option, const struct mui_setting *setting,
                            size_t length, const char *unit)
{
  char found[64];
  snprintf(found, sizeof(found), "a length of %zu", length);
  return in_range(r, option, setting, (double)length, found, unit);
}

/* ---- single values; each leaves `to` alone and returns false when the value is no good ----------- */

static bool read_bool(struct reader *r, const struct mui_setting *setting, bool *to)
{
  if (!expect(r, setting, setting->type == MUI_SETTING_BOOL, "true or false"))
    return false;
  *to = setting->boolean;
  return true;
}

static bool read_int(struct reader *r, const struct mu_option *option, const struct mui_setting *setting, int64_t *to)
{
  char found[32];
  if (!expect(r, setting, setting->type == MUI_SETTING_INT, "an integer") || setting->bad)
    return false;
  snprintf(found, sizeof(found), "%lld", (long long)setting->integer);
  if (!in_range(r, option, setting, (double)setting->integer, found, ""))
    return false;
  *to = setting->integer;
  return true;
}

static bool read_float(struct reader *r, const struct mu_option *option, const struct mui_setting *setting, double *to)
{
  char found[32];
  bool whole = setting->type == MUI_SETTING_INT;
  if (!expect(r, setting, whole || setting->type == MUI_SETTING_FLOAT, "a number") || setting->bad)
    return false;
  double value = whole ? (double)setting->integer : setting->number;
  snprintf(found, sizeof(found), "%.15g", value);
  if (!in_range(r, option, setting, value, found, ""))
    return false;
  *to = value;
  return true;
}

static bool read_text(struct reader *r, const struct mu_option *option, const struct mui_setting *setting,
                      const char **to)
{
  bool secret = (option->flags & MU_OPT_SECRET) != 0;
  if (!expect(r, setting, setting->type == MUI_SETTING_STRING, "a string"))
    return false;
  size_t before = r->problems->errors;
  char *text = mui_text_resolve(setting, r->path, secret, r->literal, r->problems);
  if (!text) {
    r->failed |= r->problems->errors == before;
    return false;
  }
  if (option->type == MU_OPT_STRING && !length_in_range(r, option, setting, strlen(text), " bytes")) {
    mu_secret_wipe(text, strlen(text));
    free(text);
    return false;
  }
  *to = text;
  return true;
}

static bool read_enum(struct reader *r, const struct mu_option *option, const struct mui_setting *setting, int *to)
{
  assert(option->names);
  if (!expect(r, setting, setting->type == MUI_SETTING_STRING, "a string"))
    return false;
  for (int i = 0; option->names[i]; i++)
    if (strcmp(option->names[i], setting->string) == 0) {
      *to = i;
      return true;
    }
  struct mu_buf words = MU_BUF_INIT;
  for (size_t i = 0; option->names[i]; i++)
    mu_buf_printf(&words, "%s\"%s\"", i ? ", " : "", option->names[i]);
  const char *near = mui_suggest(setting->string, option->names);
  REPORT(r, setting, "'%s': \"%.64s\" is not one of %s%s%s%s", r->path, setting->string, words.at ? words.at : "",
         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
  mu_buf_free(&words);
  return false;
}

/* ---- lists and groups ---------------------------------------------------------------------------- */

static bool read_strings(struct reader *r, const struct mu_option *option, const struct mui_setting *setting,
                         struct mu_list *to)
{
  if (!expect(r, setting, is_list(setting), "a list of strings [ \"…\" ]") ||
      !length_in_range(r, option, setting, setting->count, " items"))
    return false;
  if (setting->count == 0)
    return true;
  const char **items = calloc(setting->count, sizeof(*items));
  if (!items) {
    r->failed = true;
    return false;
  }
  size_t good = 0;
  for (size_t i = 0; i < setting->count; i++) {
    size_t before = path_index(r, i);
    good += read_text(r, option, &setting->items[i], &items[good]);
    path_back(r, before);
  }
  *to = (struct mu_list){.items = items, .count = good};
  return true;
}

static bool read_groups(struct reader *r, const struct mu_option *option, const struct mui_setting *setting,
                        struct mu_list *to)
{
  assert(option->item_size > 0);
  bool right = is_list(setting);
  for (size_t i = 0; right && i < setting->count; i++) {
    size_t before = path_index(r, i);
    right = expect(r, &setting->items[i], setting->items[i].type == MUI_SETTING_GROUP, "a group { … }");
    path_back(r, before);
    if (!right)
      return false;
  }
  if (!expect(r, setting, right, "a list of groups ( { … }, … )") ||
      !length_in_range(r, option, setting, setting->count, " items"))
    return false;
  if (setting->count == 0)
    return true;
  char *items = calloc(setting->count, option->item_size);
  if (!items) {
    r->failed = true;
    return false;
  }
  for (size_t i = 0; i < setting->count; i++) {
    size_t before = path_index(r, i);
    read_group(r, &setting->items[i], NULL, &option->fields, items + i * option->item_size);
    path_back(r, before);
  }
  *to = (struct mu_list){.items = items, .count = setting->count};
  return true;
}

static bool read_value(struct reader *r, const struct mu_option *option, const struct mui_setting *setting, void *to)
{
  switch ((int)option->type) {
  case MU_OPT_BOOL:
    return read_bool(r, setting, to);
  case MU_OPT_INT:
    return read_int(r, option, setting, to);
  case MU_OPT_FLOAT:
    return read_float(r, option, setting, to);
  case MU_OPT_STRING:
    return read_text(r, option, setting, to);
  case MU_OPT_ENUM:
    return read_enum(r, option, setting, to);
  case MU_OPT_STRINGS:
    return read_strings(r, option, setting, to);
  case MU_OPT_GROUPS:
    return read_groups(r, option, setting, to);
  case MU_OPT_GROUP:
    if (!expect(r, setting, setting->type == MUI_SETTING_GROUP, "a group { … }"))
      return false;
    read_group(r, setting, NULL, &option->fields, to);
    return true;
  case MUI_OPT_SETTING:
    if (!expect(r, setting, setting->type == MUI_SETTING_GROUP, "a group { … }"))
      return false;
    *(const mui_setting **)to = setting;
    return true;
  default:
    assert(!"an option type of another ABI");
    return false;
  }
}

/* ---- presets ------------------------------------------------------------------------------------- */

/* The usual presets, without libconfig: this runs for each item of each list. */
static bool simple_preset(const char *text, char *string, size_t size, struct mui_setting *setting)
{
  size_t len = strlen(text);
  char *end;
  if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
    setting->type = MUI_SETTING_BOOL;
    setting->boolean = text[0] == 't';
    return true;
  }
  if (text[0] == '"') {
    if (len < 2 || len - 2 >= size || memchr(text, '\\', len) || memchr(text + 1, '"', len - 1) != text + len - 1)
      return false;
    memcpy(string, text + 1, len - 2);
    string[len - 2] = '\0';
    setting->type = MUI_SETTING_STRING;
    setting->string = string;
    return true;
  }
  errno = 0;
  setting->type = MUI_SETTING_INT;
  setting->integer = strtoll(text, &end, 10);
  return len > 0 && end == text + len && errno == 0;
}

static void read_preset(struct reader *r, const struct mu_option *option, void *to)
{
  static const struct mui_source nowhere = {.path = ""};
  struct mui_setting simple = {.source = &nowhere};
  struct mui_problems problems = {0};
  struct reader preset = {.problems = &problems, .literal = true};
  char string[128];
  bool read = false;
  path_name(&preset, option->key);
  if (simple_preset(option->preset, string, sizeof(string), &simple)) {
    read = read_value(&preset, option, &simple, to);
  } else {
    struct mu_buf text = MU_BUF_INIT;
    mu_buf_printf(&text, "preset = %s;", option->preset);
    mui_config *config = text.at ? mui_config_load_text("preset", text.at, text.len, &problems) : NULL;
    const struct mui_setting *setting = config ? mui_setting_member(&config->root, "preset") : NULL;
    if (setting)
      read = read_value(&preset, option, setting, to);
    mui_config_free(config);
    mu_buf_free(&text);
  }
  assert(read && problems.errors == 0 && "the preset of an option does not fit its own table");
  r->failed |= !read || preset.failed;
  mui_problems_free(&problems);
}

/* ---- groups by tables ---------------------------------------------------------------------------- */

static void report_unknown(struct reader *r, const struct mui_setting *setting, const struct mu_options *options)
{
  const char **words = calloc(options->count + 1, sizeof(*words));
  size_t n = 0;
  for (size_t i = 0; words && i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    if (!mui_option_is_self(&option))
      words[n++] = option.key;
  }
  const char *near = words ? mui_suggest(setting->name, words) : NULL;
  if (near)
    REPORT(r, setting, "unknown option '%s'; did you mean '%s'?", setting->name, near);
  else if (n == 0)
    REPORT(r, setting, "unknown option '%s'; there are none here", setting->name);
  else
    REPORT(r, setting, "unknown option '%s'", setting->name);
  free(words);
}

static void report_unknowns(struct reader *r, const struct mui_setting *group, const struct mu_options *options)
{
  for (size_t i = 0; i < group->count; i++) {
    bool known = false;
    for (size_t k = 0; !known && k < options->count; k++)
      known = strcmp(mui_option_at(options, k).key, group->items[i].name) == 0;
    if (!known)
      report_unknown(r, &group->items[i], options);
  }
}

static void report_missing(struct reader *r, const struct mui_setting *place, const struct mu_option *option)
{
  const char *file;
  unsigned line;
  mui_setting_place(place, &file, &line);
  if (r->path_len > 0)
    mui_problem(r->problems, false, file, line, "'%s': the required option '%s' is missing", r->path, option->key);
  else
    mui_problem(r->problems, false, file, line, "the required option '%s' is missing", option->key);
}

/* `group` NULL: presets; required ones are reported at `place`, unless that is NULL too. */
static void read_group(struct reader *r, const struct mui_setting *group, const struct mui_setting *place,
                       const struct mu_options *options, char *to)
{
  if (group)
    report_unknowns(r, group, options);
  for (size_t i = 0; i < options->count; i++) {
    struct mu_option option = mui_option_at(options, i);
    void *value = to + option.offset;
    if (mui_option_is_self(&option)) {
      *(const mui_setting **)value = group;
      continue;
    }
    const struct mui_setting *setting = mui_setting_member(group, option.key);
    bool read = false;
    if (setting) {
      size_t before = path_name(r, option.key);
      read = read_value(r, &option, setting, value);
      path_back(r, before);
    } else if ((option.flags & MU_OPT_REQUIRED) && (group || place)) {
      report_missing(r, group ? group : place, &option);
    }
    if (!read && option.type == MU_OPT_GROUP)
      read_group(r, NULL, NULL, &option.fields, value);
    else if (!read && option.preset)
      read_preset(r, &option, value);
  }
}

void *mui_options_read(const mui_setting *group, const mui_setting *place, const struct mu_options *options,
                       size_t size, struct mui_problems *problems)
{
  char *config = calloc(1, size ? size : 1);
  if (!config)
    return NULL;
  struct reader r = {.problems = problems};
  if (group && group->type != MUI_SETTING_GROUP) {
    REPORT(&r, group, "'%s': expected a group { … }, found %s", group->name ? group->name : "config",
           found_text(group));
    place = NULL;
    group = NULL;
  }
  read_group(&r, group, place, options, config);
  if (r.failed) {
    mui_options_free(options, config);
    return NULL;
  }
  return config;
}
