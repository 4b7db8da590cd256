/* SPDX-License-Identifier: ISC */
/* Any text as a configuration, read by a table with options of every type, compared, shown and freed. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/config.h"

struct item {
  const char *id;
  const char *secret;
  struct mu_list tags;
};

struct config {
  bool flag;
  int64_t port;
  double ratio;
  const char *name;
  const char *secret;
  int push;
  struct mu_list words;
  struct {
    int64_t count;
    bool on;
  } group;
  struct mu_list items;
  const mui_setting *use;
};

static const char *const pushes[] = {"report", "snapshot", NULL};
static const struct mu_option item_table[] = {
    {.key = "id", .type = MU_OPT_STRING, .offset = offsetof(struct item, id), .flags = MU_OPT_REQUIRED, .max = 8},
    {.key = "secret", .type = MU_OPT_STRING, .offset = offsetof(struct item, secret), .flags = MU_OPT_SECRET},
    {.key = "tags", .type = MU_OPT_STRINGS, .offset = offsetof(struct item, tags), .preset = "( \"t\" )"},
};
static const struct mu_option group_table[] = {
    {.key = "count", .type = MU_OPT_INT, .offset = 0, .preset = "3"},
    {.key = "on", .type = MU_OPT_BOOL, .offset = sizeof(int64_t)},
};
static const struct mu_option table[] = {
    {.key = "flag", .type = MU_OPT_BOOL, .offset = offsetof(struct config, flag), .preset = "true"},
    {.key = "port", .type = MU_OPT_INT, .offset = offsetof(struct config, port), .min = 1, .max = 65535},
    {.key = "ratio", .type = MU_OPT_FLOAT, .offset = offsetof(struct config, ratio), .preset = "0.5"},
    {.key = "name", .type = MU_OPT_STRING, .offset = offsetof(struct config, name), .max = 16},
    {.key = "secret", .type = MU_OPT_STRING, .offset = offsetof(struct config, secret), .flags = MU_OPT_SECRET},
    {.key = "push", .type = MU_OPT_ENUM, .offset = offsetof(struct config, push), .names = pushes},
    {.key = "words", .type = MU_OPT_STRINGS, .offset = offsetof(struct config, words), .max = 4},
    {.key = "group", .type = MU_OPT_GROUP, .offset = offsetof(struct config, group), .fields = MU_OPTIONS(group_table)},
    {.key = "items",
     .type = MU_OPT_GROUPS,
     .offset = offsetof(struct config, items),
     .fields = MU_OPTIONS(item_table),
     .item_size = sizeof(struct item)},
    {.key = "use", .type = MUI_OPT_SETTING, .offset = offsetof(struct config, use)},
};
static const struct mu_options options = MU_OPTIONS(table);

/* check() with whatever was read as a path. */
static void check(const void *values, struct mu_check *check)
{
  const struct config *config = values;
  mu_check_error(check, config->name ? config->name : "items[1].id", "reported");
}

static void *read_all(const mui_setting *root, struct mui_problems *problems)
{
  void *values = mui_options_read(root, NULL, &options, sizeof(struct config), problems);
  if (!values)
    abort();
  mui_options_check(check, values, root, NULL, problems);
  mui_options_sample_check(root, &options, problems);
  return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct mui_problems problems = {0};
  mui_config *config = mui_config_load_text("fuzz", (const char *)data, size, &problems);
  if (!config && problems.errors == 0)
    abort(); /* a refusal has a reason */
  if (config) {
    const mui_setting *root = mui_config_root(config);
    void *a = read_all(root, &problems), *b = read_all(root, &problems);
    if (!mui_options_equal(&options, a, b))
      abort();
    struct mu_buf json = MU_BUF_INIT;
    mui_options_json(&options, a, &json);
    mu_buf_free(&json);
    mui_options_free(&options, a);
    mui_options_free(&options, b);
  }
  for (size_t i = 0; i < problems.count; i++)
    if (!problems.list[i].text || (problems.list[i].file && strcmp(problems.list[i].file, "fuzz") != 0))
      abort();
  mui_problems_free(&problems);
  mui_config_free(config);
  return 0;
}
