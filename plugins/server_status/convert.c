/* SPDX-License-Identifier: ISC */
/* Wire forms → canonical form. */
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

/* More than this per second is a counter that went back and wrapped around. */
#define FASTEST 1e15

static struct json_object *member(struct json_object *object, const char *name)
{
  struct json_object *value = NULL;
  return object && json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value)
             ? value
             : NULL;
}

/* "hostInfo.avgStat": one dot at most. */
static struct json_object *at_path(struct json_object *top, const char *path)
{
  const char *dot = strchr(path, '.');
  if (!dot)
    return member(top, path);
  char first[32];
  size_t length = (size_t)(dot - path);
  if (length >= sizeof first)
    return NULL;
  memcpy(first, path, length);
  first[length] = '\0';
  return member(member(top, first), dot + 1);
}

/* Takes `value`, also on failure. */
static int add(struct json_object *to, const char *name, struct json_object *value)
{
  if (value && json_object_object_add(to, name, value) == 0)
    return 0;
  json_object_put(value);
  return MU_ENOMEM;
}

static struct json_object *collector(struct json_object *metrics, const char *name)
{
  struct json_object *object = member(metrics, name);
  if (object)
    return object;
  object = json_object_new_object();
  return object && add(metrics, name, object) == 0 ? object : NULL;
}

static bool suits(struct json_object *value, enum wire_type type)
{
  if (type == WIRE_TEXT)
    return json_object_is_type(value, json_type_string);
  return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

/* Copies what is there by a table; the values are shared. An empty text says "unknown", but for virtualization. */
static int copy_pairs(struct json_object *from, const struct wire_pair *pairs, size_t count, struct json_object *to)
{
  for (size_t i = 0; i < count; i++) {
    struct json_object *value = member(from, pairs[i].member);
    if (!value || !suits(value, pairs[i].type))
      continue;
    if (pairs[i].type == WIRE_TEXT && json_object_get_string_len(value) == 0 &&
        strcmp(pairs[i].metric, "virtualization") != 0)
      continue;
    if (add(to, pairs[i].metric, json_object_get(value)) != 0)
      return MU_ENOMEM;
  }
  return 0;
}

static int copy_rows(struct json_object *list, const struct wire_form *form, struct json_object *metrics)
{
  struct json_object *disk = collector(metrics, "disk");
  struct json_object *rows = json_object_new_array();
  if (!disk || add(disk, "disks", rows) != 0)
    return MU_ENOMEM;
  for (size_t i = 0; i < json_object_array_length(list); i++) {
    struct json_object *row = json_object_new_object();
    if (!row || json_object_array_add(rows, row) != 0) {
      json_object_put(row);
      return MU_ENOMEM;
    }
    if (copy_pairs(json_object_array_get_idx(list, i), form->rows, form->row_count, row) != 0)
      return MU_ENOMEM;
  }
  return 0;
}

/* ---- what only one form has ------------------------------------------------------------------ */

/* "<model> x <logical cpus> ", once per model: the first model, the sum of the CPUs. */
static int read_info(struct json_object *info, struct json_object *metrics)
{
  struct json_object *cpu = collector(metrics, "cpu");
  if (!cpu)
    return MU_ENOMEM;
  int64_t cores = 0;
  for (size_t i = 0; i < json_object_array_length(info); i++) {
    const char *text = json_object_get_string(json_object_array_get_idx(info, i));
    size_t length = text ? strlen(text) : 0;
    while (length > 0 && text[length - 1] == ' ')
      length--;
    size_t digits = length;
    while (digits > 0 && text[digits - 1] >= '0' && text[digits - 1] <= '9')
      digits--;
    if (digits < length && length - digits < 7 && digits >= 3 && memcmp(text + digits - 3, " x ", 3) == 0) {
      cores += strtol(text + digits, NULL, 10);
      length = digits - 3;
    }
    if (i == 0 && length > 0 && add(cpu, "model", json_object_new_string_len(text, (int)length)) != 0)
      return MU_ENOMEM;
  }
  return cores > 0 ? add(cpu, "cores", json_object_new_int64(cores)) : 0;
}

/* Where the released agent subtracts unsigned numbers below zero, the truth is 0. */
static int floor_wrapped(struct json_object *metrics)
{
  struct json_object *memory = member(metrics, "memory");
  struct json_object *used = member(memory, "used");
  struct json_object *total = member(memory, "total");
  if (used && total && json_object_get_double(used) > json_object_get_double(total) &&
      (add(memory, "used", json_object_new_int64(0)) != 0 ||
       add(memory, "used_percent", json_object_new_int64(0)) != 0))
    return MU_ENOMEM;
  static const char *const speeds[] = {"rx_speed", "tx_speed"};
  struct json_object *network = member(metrics, "network");
  for (size_t i = 0; i < MU_COUNT(speeds); i++) {
    struct json_object *speed = member(network, speeds[i]);
    if (speed && json_object_get_double(speed) > FASTEST && add(network, speeds[i], json_object_new_int64(0)) != 0)
      return MU_ENOMEM;
  }
  return 0;
}

/*
 * What the rows say of all disks together: the documented form says nothing else of them, and neither says what is free. The share is
 * made as df makes it, for the deployed form's own is of the whole disk. A row without `free` leaves it at what the form says.
 */
static int sum_disks(struct json_object *metrics)
{
  enum { TOTAL, USED, FREE, SUMS };
  static const char *const names[SUMS] = {"total", "used", "free"};
  struct json_object *disk = member(metrics, "disk");
  struct json_object *rows = member(disk, "disks");
  size_t count = json_object_is_type(rows, json_type_array) ? json_object_array_length(rows) : 0;
  if (!rows || (count == 0 && member(disk, "total")))
    return 0;
  int64_t sums[SUMS] = {0};
  bool known[SUMS] = {true, true, true};
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < SUMS; j++) {
      struct json_object *value = member(json_object_array_get_idx(rows, i), names[j]);
      known[j] = known[j] && value;
      if (__builtin_add_overflow(sums[j], json_object_get_int64(value), &sums[j]))
        return 0;
    }
  for (size_t j = 0; j < SUMS; j++)
    if (!member(disk, names[j]) && (j != FREE || known[FREE]) &&
        add(disk, names[j], json_object_new_int64(sums[j])) != 0)
      return MU_ENOMEM;
  bool as_df = known[USED] && known[FREE];
  double used = (double)sums[USED], whole = as_df ? used + (double)sums[FREE] : (double)sums[TOTAL];
  if (!as_df && member(disk, "used_percent"))
    return 0;
  double percent = whole > 0 ? fmin(100, round(1e4 * used / whole) / 100) : 0;
  return add(disk, "used_percent", json_object_new_double(percent));
}

/* ---- the extra member ------------------------------------------------------------------------ */

static bool is_plain(struct json_object *value)
{
  enum json_type type = json_object_get_type(value);
  return type == json_type_boolean || type == json_type_int || type == json_type_double || type == json_type_string;
}

/* Numbers, texts, booleans, lists of numbers, lists of rows of plain values: nothing deeper. */
static bool shape_ok(struct json_object *value)
{
  if (is_plain(value))
    return true;
  if (!json_object_is_type(value, json_type_array))
    return false;
  for (size_t i = 0; i < json_object_array_length(value); i++) {
    struct json_object *element = json_object_array_get_idx(value, i);
    if (json_object_is_type(element, json_type_object)) {
      json_object_object_foreach(element, key, inner) if (!wire_name_ok(key) || !is_plain(inner)) return false;
    } else if (!suits(element, WIRE_NUMBER))
      return false;
  }
  return true;
}

/* Adds what the form has no member for; what its members say is not overruled. */
static int merge(struct json_object *extra, const struct wire_form *form, struct json_object *metrics)
{
  if (!extra || !json_object_is_type(extra, json_type_object))
    return 0;
  json_object_object_foreach(extra, name, group)
  {
    if (!wire_name_ok(name) || !json_object_is_type(group, json_type_object))
      continue;
    json_object_object_foreach(group, metric, value)
    {
      if (!wire_name_ok(metric) || wire_carries(form, name, metric) || !shape_ok(value))
        continue;
      struct json_object *to = collector(metrics, name);
      if (!to || add(to, metric, json_object_get(value)) != 0)
        return MU_ENOMEM;
    }
  }
  return 0;
}

int convert_metrics(enum status_kind kind, const char *text, size_t len, struct json_object **out)
{
  const struct wire_form *form = &wire_forms[kind];
  MU_AUTO_JSON struct json_object *top = NULL;
  MU_AUTO_JSON struct json_object *metrics = NULL;
  int result = mu_json_parse(text, len, &top, NULL);
  if (result != 0)
    return result;
  metrics = json_object_new_object();
  if (!metrics)
    return MU_ENOMEM;
  for (size_t i = 0; i < form->count; i++) {
    const struct wire_section *section = &form->sections[i];
    struct json_object *from = at_path(top, section->member);
    if (!from)
      continue;
    struct json_object *to = collector(metrics, section->collector);
    if (!to || copy_pairs(from, section->pairs, section->count, to) != 0)
      return MU_ENOMEM;
  }
  struct json_object *rows = at_path(top, kind == STATUS_DOCUMENTED ? "disk" : "diskInfo.partitions");
  if (json_object_is_type(rows, json_type_array))
    result = copy_rows(rows, form, metrics);
  struct json_object *info = kind == STATUS_DEPLOYED ? at_path(top, "cpuInfo.info") : NULL;
  if (result == 0 && json_object_is_type(info, json_type_array))
    result = read_info(info, metrics);
  if (result == 0 && kind == STATUS_DEPLOYED)
    result = floor_wrapped(metrics);
  if (result == 0)
    result = merge(member(top, "metrics"), form, metrics);
  if (result == 0)
    result = sum_disks(metrics);
  if (result != 0)
    return result;
  *out = metrics;
  metrics = NULL;
  return 0;
}
