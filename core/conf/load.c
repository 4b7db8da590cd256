/* SPDX-License-Identifier: ISC */
/* Loading: libconfig's parser over the expanded text, its tree copied into ours, all files merged into one root. */
#include <dirent.h>
#include <errno.h>
#include <libconfig.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf/internal.h"

/* One file on its way into the tree. */
struct loading {
  struct mui_config *config;
  const struct mui_expanded *expanded;
  bool failed; /* out of memory */
};

/* ---- libconfig's tree → ours ------------------------------------------------------------------ */

static bool line_is_bad(const struct mui_expanded *expanded, unsigned line)
{
  for (size_t i = 0; i < expanded->bad_count; i++)
    if (expanded->bad[i] == line)
      return true;
  return false;
}

static void copy_number(struct loading *l, const config_setting_t *from, struct mui_setting *to)
{
  if (from->type == CONFIG_TYPE_FLOAT) {
    to->type = MUI_SETTING_FLOAT;
    to->number = from->value.fval;
    if (!isfinite(to->number)) {
      mui_problem(l->config->problems, false, to->source->path, to->line, "this number is out of range");
      to->number = 0;
      to->bad = true;
    }
    return;
  }
  to->type = MUI_SETTING_INT;
  to->integer = from->type == CONFIG_TYPE_INT ? from->value.ival : from->value.llval;
  to->bad = to->integer == 0 && line_is_bad(l->expanded, from->line);
}

static void copy(struct loading *l, config_setting_t *from, struct mui_setting *to);

static void copy_items(struct loading *l, config_setting_t *from, struct mui_setting *to)
{
  int count = config_setting_length(from);
  if (count <= 0)
    return;
  to->items = calloc((size_t)count, sizeof(*to->items));
  if (!to->items) {
    l->failed = true;
    return;
  }
  for (int i = 0; i < count; i++) {
    config_setting_t *item = config_setting_get_elem(from, (unsigned)i);
    if (!item->name || item->name[0] != '*') /* renamed: a second setting of a name, reported */
      copy(l, item, &to->items[to->count++]);
  }
}

static void copy(struct loading *l, config_setting_t *from, struct mui_setting *to)
{
  mui_expanded_place(l->expanded, from->line, &to->source, &to->line);
  if (from->name && !(to->name = strdup(from->name)))
    l->failed = true;
  switch (from->type) {
  case CONFIG_TYPE_GROUP:
    to->type = MUI_SETTING_GROUP;
    copy_items(l, from, to);
    break;
  case CONFIG_TYPE_LIST:
    to->type = MUI_SETTING_LIST;
    copy_items(l, from, to);
    break;
  case CONFIG_TYPE_ARRAY:
    to->type = MUI_SETTING_ARRAY;
    copy_items(l, from, to);
    break;
  case CONFIG_TYPE_BOOL:
    to->type = MUI_SETTING_BOOL;
    to->boolean = from->value.ival != 0;
    break;
  case CONFIG_TYPE_STRING: {
    const char *text = from->value.sval ? from->value.sval : "";
    to->type = MUI_SETTING_STRING;
    if (!(to->string = strdup(text)))
      l->failed = true;
    if (from->value.sval)
      mu_secret_wipe(from->value.sval, strlen(from->value.sval)); /* any of them may be a secret */
    break;
  }
  default:
    copy_number(l, from, to);
  }
}

void mui_setting_fini(struct mui_setting *setting)
{
  switch (setting->type) {
  case MUI_SETTING_GROUP:
  case MUI_SETTING_LIST:
  case MUI_SETTING_ARRAY:
    for (size_t i = 0; i < setting->count; i++)
      mui_setting_fini(&setting->items[i]);
    free(setting->items);
    break;
  case MUI_SETTING_STRING:
    if (setting->string)
      mu_secret_wipe(setting->string, strlen(setting->string));
    free(setting->string);
    break;
  default:
    break;
  }
  free(setting->name);
}

/* ---- merging ---------------------------------------------------------------------------------- */

static bool is_list(const struct mui_setting *setting)
{
  return setting->type == MUI_SETTING_LIST || setting->type == MUI_SETTING_ARRAY;
}

/* Moves `n` settings to the end of `to`. */
static bool move_items(struct mui_setting *to, const struct mui_setting *items, size_t n)
{
  if (n == 0)
    return true;
  struct mui_setting *all = realloc(to->items, (to->count + n) * sizeof(*all));
  if (!all)
    return false;
  memcpy(all + to->count, items, n * sizeof(*all));
  to->items = all;
  to->count += n;
  return true;
}

/* Takes a top-level setting into the root; `setting` is empty afterwards. */
static void merge(struct loading *l, struct mui_setting *setting)
{
  struct mui_setting *root = &l->config->root, *before = NULL;
  for (size_t i = 0; !before && setting->name && i < root->count; i++)
    if (strcmp(root->items[i].name, setting->name) == 0)
      before = &root->items[i];
  struct mui_problems *problems = l->config->problems;
  bool foreign = l->config->drop_in && setting->name && mui_word_in(setting->name, l->config->foreign);
  if (l->failed || foreign) {
    mui_setting_fini(setting);
  } else if (!before) {
    if (!move_items(root, setting, 1)) {
      l->failed = true;
      mui_setting_fini(setting);
    }
  } else if (!mui_word_in(setting->name, l->config->appending)) {
    mui_problem(problems, false, setting->source->path, setting->line, "'%s' is already set at %s:%u", setting->name,
                before->source->path, before->line);
    mui_setting_fini(setting);
  } else if (!is_list(before) || !is_list(setting)) {
    mui_problem(problems, false, setting->source->path, setting->line,
                "'%s' can be appended to %s:%u only if both are lists", setting->name, before->source->path,
                before->line);
    mui_setting_fini(setting);
  } else {
    if (move_items(before, setting->items, setting->count))
      setting->count = 0;
    else
      l->failed = true;
    mui_setting_fini(setting);
  }
}

static void merge_root(struct loading *l, config_setting_t *from)
{
  for (int i = 0; i < config_setting_length(from); i++) {
    config_setting_t *item = config_setting_get_elem(from, (unsigned)i);
    const char *second = item->name[0] == '*' ? strchr(item->name + 1, '*') : NULL;
    if (item->name[0] == '*' && !second)
      continue;
    struct mui_setting setting = {0};
    copy(l, item, &setting);
    if (second && setting.name)
      memmove(setting.name, setting.name + (second + 1 - item->name), strlen(second + 1) + 1);
    merge(l, &setting);
  }
}

/* ---- one file --------------------------------------------------------------------------------- */

static void report_parse_error(struct loading *l, const config_t *parsed)
{
  const char *text = config_error_text(parsed);
  const struct mui_source *source;
  unsigned line;
  mui_expanded_place(l->expanded, (unsigned)config_error_line(parsed), &source, &line);
  if (text && strstr(text, "mismatched element type"))
    text = "an array [ … ] holds values of one type; a list ( … ) any";
  else if (!text || strcmp(text, "syntax error") == 0)
    text = "syntax error: expected NAME = VALUE; (the fault may be at the end of the line before)";
  mui_problem(l->config->problems, false, source->path, line, "%s", text);
}

/* False when the text could not be parsed. */
static bool load_text(struct mui_config *config, const struct mui_source *source, const uint64_t identity[3],
                      const char *text, size_t len)
{
  struct mui_expanded expanded;
  mui_expand(config, source, identity, text, len, &expanded);
  bool parsed = false;
  if (!expanded.broken) {
    struct loading l = {.config = config, .expanded = &expanded};
    config_t tree;
    config_init(&tree);
    parsed = config_read_string(&tree, expanded.out.at ? expanded.out.at : "") == CONFIG_TRUE;
    if (parsed)
      merge_root(&l, config_root_setting(&tree));
    else
      report_parse_error(&l, &tree);
    config_destroy(&tree);
    if (l.failed) {
      mui_problem(config->problems, false, source->path, 0, "out of memory");
      parsed = false;
    }
  }
  mui_expanded_free(&expanded);
  return parsed;
}

struct mui_source *mui_source_new(struct mui_config *config, const char *path, unsigned mode)
{
  size_t size = strlen(path) + 1;
  struct mui_source *source = malloc(sizeof(*source) + size);
  if (!source)
    return NULL;
  source->next = config->sources;
  source->folder = config->folder;
  source->mode = mode;
  memcpy(source->path, path, size);
  return config->sources = source;
}

static bool load_file(struct mui_config *config, const char *path)
{
  char why[128];
  uint64_t identity[3];
  size_t len;
  unsigned mode;
  char *text = mui_read_file(path, MUI_CONF_FILE_MAX, &len, &mode, identity, why, sizeof(why));
  if (!text) {
    mui_problem(config->problems, false, path, 0, "cannot be read: %s", why);
    return false;
  }
  mui_file_trust(config->problems, path, mode, identity[2]);
  struct mui_source *source = mui_source_new(config, path, mode);
  if (!source)
    mui_problem(config->problems, false, path, 0, "out of memory");
  bool parsed = source && load_text(config, source, identity, text, len);
  mu_secret_wipe(text, len);
  free(text);
  return parsed;
}

/* ---- conf.d ----------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_drop_in(const char *name)
{
  size_t len = strlen(name);
  return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* The names of the files in order; false when memory is out. */
static bool list_drop_ins(DIR *dir, char ***names, size_t *count)
{
  const struct dirent *entry;
  while ((entry = readdir(dir))) {
    if (!is_drop_in(entry->d_name))
      continue;
    char **all = realloc(*names, (*count + 1) * sizeof(*all));
    if (!all)
      return false;
    *names = all;
    if (!(all[*count] = strdup(entry->d_name)))
      return false;
    ++*count;
  }
  if (*count > 0)
    qsort(*names, *count, sizeof(**names), by_name);
  return true;
}

static void load_drop_ins(struct mui_config *config)
{
  char **names = NULL;
  size_t count = 0;
  char *folder = mui_path_join(config->folder, "conf.d");
  DIR *dir = folder ? opendir(folder) : NULL;
  if (!folder || (!dir && errno != ENOENT))
    mui_problem(config->problems, false, folder ? folder : "conf.d", 0, "cannot be read: %s", strerror(errno));
  if (dir && !list_drop_ins(dir, &names, &count))
    mui_problem(config->problems, false, folder, 0, "out of memory");
  for (size_t i = 0; i < count; i++) {
    char *path = mui_path_join(folder, names[i]);
    if (path)
      load_file(config, path);
    else
      mui_problem(config->problems, false, folder, 0, "out of memory");
    free(path);
    free(names[i]);
  }
  free(names);
  if (dir)
    closedir(dir);
  free(folder);
}

/* ---- the interface ---------------------------------------------------------------------------- */

static mui_config *config_new(const char *path, const char *const *appending, struct mui_problems *problems)
{
  mui_config *config = calloc(1, sizeof(*config));
  char *folder = mui_path_folder(path);
  if (!config || !folder) {
    mui_problem(problems, false, path, 0, "out of memory");
    free(config);
    free(folder);
    return NULL;
  }
  config->folder = folder;
  config->appending = appending;
  config->problems = problems;
  return config;
}

/* The end of loading: the root gets the main file as its place. */
static mui_config *config_done(mui_config *config, bool parsed)
{
  config->problems = NULL;
  config->appending = NULL;
  config->foreign = NULL;
  if (!parsed) {
    mui_config_free(config);
    return NULL;
  }
  const struct mui_source *main_file = config->sources;
  while (main_file->next)
    main_file = main_file->next;
  config->root.source = main_file;
  return config;
}

mui_config *mui_config_load(const char *path, const char *const *appending, const char *const *foreign,
                            struct mui_problems *problems)
{
  mui_config *config = config_new(path, appending, problems);
  if (!config)
    return NULL;
  config->foreign = foreign;
  bool parsed = load_file(config, path);
  config->drop_in = true;
  load_drop_ins(config);
  config->drop_in = false;
  return config_done(config, parsed);
}

static bool load_memory(mui_config *config, const char *name, const char *text, size_t len)
{
  static const uint64_t nowhere[3];
  config->memory = true;
  struct mui_source *source = mui_source_new(config, name, 0);
  if (!source)
    mui_problem(config->problems, false, name, 0, "out of memory");
  if (len > MUI_CONF_FILE_MAX)
    mui_problem(config->problems, false, name, 0, "larger than %d KiB", MUI_CONF_FILE_MAX >> 10);
  return source && len <= MUI_CONF_FILE_MAX && load_text(config, source, nowhere, text, len);
}

mui_config *mui_config_load_text(const char *name, const char *text, size_t len, struct mui_problems *problems)
{
  mui_config *config = config_new(name, NULL, problems);
  return config ? config_done(config, load_memory(config, name, text, len)) : NULL;
}

mui_config *mui_config_load_made(const char *path, const char *text, const char *const *appending,
                                 const char *const *foreign, struct mui_problems *problems)
{
  mui_config *config = config_new(path, appending, problems);
  if (!config)
    return NULL;
  config->foreign = foreign;
  bool parsed = load_memory(config, path, text, strlen(text));
  config->memory = false;
  config->drop_in = true;
  load_drop_ins(config);
  config->drop_in = false;
  return config_done(config, parsed);
}

/* Whether the first mark outside of comments is a bracket: entries of a list, not settings. */
static bool begins_with_group(const char *text, const char *end)
{
  for (; text < end; text++) {
    if (*text == '#')
      text = memchr(text, '\n', (size_t)(end - text));
    if (!text)
      return false;
    if (!strchr(" \t\r\n", *text))
      return *text == '{';
  }
  return false;
}

/* False when the sample could not be parsed. */
static bool load_sample(struct mui_config *config, const char *path)
{
  char why[128];
  uint64_t identity[3];
  size_t len;
  unsigned mode;
  char *text = mui_read_file(path, MUI_CONF_FILE_MAX, &len, &mode, identity, why, sizeof(why));
  struct mui_source *source = text ? mui_source_new(config, path, mode) : NULL;
  struct mu_buf whole = MU_BUF_INIT;
  bool parsed = false;
  if (!text) {
    mui_problem(config->problems, false, path, 0, "cannot be read: %s", why);
  } else {
    bool entries = begins_with_group(text, text + len);
    mu_buf_adds(&whole, entries ? "entries = ( " : "");
    mu_buf_add(&whole, text, len);
    mu_buf_adds(&whole, entries ? "\n);" : "\n");
    if (source && !whole.failed)
      parsed = load_text(config, source, identity, whole.at, whole.len);
    else
      mui_problem(config->problems, false, path, 0, "out of memory");
  }
  mu_buf_free(&whole);
  free(text);
  return parsed;
}

mui_config *mui_config_load_sample(const char *path, struct mui_problems *problems)
{
  mui_config *config = config_new(path, NULL, problems);
  if (!config)
    return NULL;
  config->sample = true;
  return config_done(config, load_sample(config, path));
}

void mui_config_free(mui_config *config)
{
  if (!config)
    return;
  mui_setting_fini(&config->root);
  while (config->sources) {
    struct mui_source *next = config->sources->next;
    free(config->sources);
    config->sources = next;
  }
  free(config->folder);
  free(config);
}

char *mui_config_path(const mui_config *config, const char *path)
{
  return mui_path_join(config->folder, path);
}

const mui_setting *mui_config_root(const mui_config *config)
{
  return &config->root;
}
