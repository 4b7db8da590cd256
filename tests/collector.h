/* SPDX-License-Identifier: ISC */
/* A collector on a copy of a recorded tree: its descriptor is used as the agent does, files change between the samples. */
#ifndef TESTS_COLLECTOR_H
#define TESTS_COLLECTOR_H

#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include <muster/muster.h>
#include "base/instance.h"
#include "conf/config.h"
#include "json/sample.h"
#include "unit.h"

struct rig {
  char root[64];
  struct mui_runtime runtime;
  mu_instance *in;
  const struct mu_component *component;
  void *config;
  void *self;
  int64_t mono_ns;
  struct json_object *metrics; /* of the newest sample */
  unsigned omitted;
};

/* Writes a file below the root in place, so that kept descriptors see it; NULL removes it. Makes the folders. */
static inline void rig_put(struct rig *rig, const char *path, const char *content)
{
  char full[PATH_MAX];
  snprintf(full, sizeof(full), "%s%s", rig->root, path);
  if (!content) {
    unlink(full);
    return;
  }
  for (char *slash = strchr(full + strlen(rig->root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(full, 0755);
    *slash = '/';
  }
  FILE *file = fopen(full, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  fputs(content, file);
  fclose(file);
}

/* The content of a file of the fixtures, for free(). */
static inline char *rig_read(const char *fixture, const char *path)
{
  char full[PATH_MAX];
  snprintf(full, sizeof(full), FIXTURES "/proc/%s%s", fixture, path);
  FILE *file = fopen(full, "r");
  if (!file)
    return NULL;
  char *text = NULL;
  size_t size = 0;
  ssize_t len = getdelim(&text, &size, '\0', file);
  fclose(file);
  if (len < 0) {
    free(text);
    return strdup("");
  }
  return text;
}

static struct rig *rig_copying;
static size_t rig_copying_from;

static int rig_copy_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
  (void)info;
  (void)walk;
  char full[PATH_MAX], target[PATH_MAX];
  const char *below = path + rig_copying_from;
  if (type == FTW_F) {
    char *text = rig_read(below[0] ? path + strlen(FIXTURES "/proc/") : "", "");
    rig_put(rig_copying, below, text ? text : "");
    free(text);
  } else if (type == FTW_SL) {
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len > 0) {
      target[len] = '\0';
      rig_put(rig_copying, below, "");
      rig_put(rig_copying, below, NULL);
      snprintf(full, sizeof(full), "%s%s", rig_copying->root, below);
      return symlink(target, full);
    }
  }
  return 0;
}

static inline int rig_remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
  (void)info;
  (void)type;
  (void)walk;
  return remove(path);
}

/* A copy of the tree (NULL: an empty one), and an instance on it with the presets of its options; not yet initialised. */
static inline void rig_open(struct rig *rig, const char *fixture)
{
  memset(rig, 0, sizeof(*rig));
  strcpy(rig->root, "/tmp/muster-tree-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(rig->root));
  if (fixture) {
    char from[PATH_MAX];
    snprintf(from, sizeof(from), FIXTURES "/proc/%s", fixture);
    rig_copying = rig;
    rig_copying_from = strlen(from);
    CU_ASSERT_EQUAL_FATAL(nftw(from, rig_copy_one, 16, FTW_PHYS), 0);
  }
  rig->runtime.root = rig->root;
  rig->mono_ns = INT64_C(1000000000000);
  rig->component = muster_plugin.components.table;
  rig->in = mui_instance_new(&rig->runtime, muster_plugin.name, muster_plugin.name);
  CU_ASSERT_PTR_NOT_NULL_FATAL(rig->in);
  struct mui_problems problems = {0};
  rig->config = mui_options_read(NULL, NULL, &rig->component->options, rig->component->config_size, &problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(rig->config);
  CU_ASSERT_EQUAL(problems.errors, 0);
  mui_problems_free(&problems);
}

/* Where the value of an option lies; what a test changes it must put back before rig_close(). */
static inline void *rig_option(struct rig *rig, const char *key)
{
  const struct mu_options *options = &rig->component->options;
  for (size_t i = 0; i < options->count; i++)
    if (strcmp(options->table[i].key, key) == 0)
      return (char *)rig->config + options->table[i].offset;
  CU_FAIL_FATAL("no such option");
  return NULL;
}

static inline void rig_init(struct rig *rig)
{
  CU_ASSERT_EQUAL_FATAL(rig->component->init(rig->in, rig->config, &rig->self), 0);
}

/* One sample, `seconds` after the one before. The collector's result. */
static inline int rig_collect(struct rig *rig, double seconds)
{
  rig->mono_ns += (int64_t)(seconds * 1e9);
  mu_sample *sample = mui_sample_new(rig->root, rig->mono_ns);
  CU_ASSERT_PTR_NOT_NULL_FATAL(sample);
  const struct mu_collector_ops *ops = rig->component->ops;
  int result = ops->collect(rig->self, sample);
  rig->omitted = mui_sample_omitted(sample);
  json_object_put(rig->metrics);
  rig->metrics = mui_sample_take(sample);
  mui_sample_free(sample);
  /* Not a finite number, a list without its end: never, whatever the tree holds. */
  CU_ASSERT_EQUAL(rig->omitted, 0);
  return result;
}

static inline void rig_close(struct rig *rig)
{
  json_object_put(rig->metrics);
  if (rig->self)
    rig->component->fini(rig->self);
  mui_options_free(&rig->component->options, rig->config);
  mui_instance_free(rig->in);
  nftw(rig->root, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what the newest sample holds ------------------------------------------------------------ */

static inline struct json_object *rig_get(const struct rig *rig, const char *name)
{
  struct json_object *value = NULL;
  json_object_object_get_ex(rig->metrics, name, &value);
  return value;
}

/* NaN: it is not there. */
static inline double rig_number(const struct rig *rig, const char *name)
{
  struct json_object *value = rig_get(rig, name);
  return value ? json_object_get_double(value) : NAN;
}

/* "-": it is not there. */
static inline const char *rig_text(const struct rig *rig, const char *name)
{
  struct json_object *value = rig_get(rig, name);
  return value ? json_object_get_string(value) : "-";
}

static inline size_t rig_count(const struct rig *rig, const char *list)
{
  struct json_object *value = rig_get(rig, list);
  return value ? json_object_array_length(value) : 0;
}

/* The row of a list whose text `key` is `is`, or NULL. */
static inline struct json_object *rig_row(const struct rig *rig, const char *list, const char *key, const char *is)
{
  struct json_object *rows = rig_get(rig, list), *value;
  for (size_t i = 0; rows && i < json_object_array_length(rows); i++) {
    struct json_object *row = json_object_array_get_idx(rows, i);
    if (json_object_object_get_ex(row, key, &value) && strcmp(json_object_get_string(value), is) == 0)
      return row;
  }
  return NULL;
}

static inline double row_number(struct json_object *row, const char *name)
{
  struct json_object *value = NULL;
  return row && json_object_object_get_ex(row, name, &value) ? json_object_get_double(value) : NAN;
}

#define CHECK_NEAR(is, should) CU_ASSERT_DOUBLE_EQUAL((is), (should), 0.011)

#endif
