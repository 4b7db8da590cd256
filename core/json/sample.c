/* SPDX-License-Identifier: ISC */
/* Samples are built as json-c objects: they are made once per interval and become part of a report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/utf8.h"
#include "json/sample.h"

enum { NAME_MAX_LEN = 63 };

struct mu_sample {
  const char *root;
  int64_t mono_ns;
  struct json_object *top;  /* NULL once it was taken */
  struct json_object *list; /* the open list, a member of `top` */
  struct json_object *row;  /* the open row, an element of `list` */
  unsigned skipped;         /* open lists that are left out whole: bad name, or inside another list */
  unsigned omitted;
};

mu_sample *mui_sample_new(const char *root, int64_t mono_ns)
{
  mu_sample *sample = calloc(1, sizeof *sample);
  if (!sample)
    return NULL;
  sample->root = root ? root : "";
  sample->mono_ns = mono_ns;
  sample->top = json_object_new_object();
  if (!sample->top) {
    free(sample);
    return NULL;
  }
  return sample;
}

void mui_sample_free(mu_sample *sample)
{
  if (!sample)
    return;
  json_object_put(sample->top);
  free(sample);
}

struct json_object *mui_sample_take(mu_sample *sample)
{
  struct json_object *top = sample->top;
  sample->top = sample->list = sample->row = NULL;
  return top;
}

unsigned mui_sample_omitted(const mu_sample *sample)
{
  return sample->omitted;
}

int64_t mu_sample_mono_ns(const mu_sample *sample)
{
  return sample->mono_ns;
}

const char *mu_sample_root(const mu_sample *sample)
{
  return sample->root;
}

/* [a-z][a-z0-9_]* */
static bool name_valid(const char *name)
{
  if (!name || *name < 'a' || *name > 'z')
    return false;
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return name[len] == '\0' && len <= NAME_MAX_LEN;
}

/* Takes `value`; puts it into what is open, or counts it as left out. */
static bool put(mu_sample *sample, const char *name, struct json_object *value)
{
  struct json_object *into = sample->list ? sample->row : sample->top;
  if (value && into && !sample->skipped && name_valid(name) && !json_object_object_get_ex(into, name, NULL) &&
      json_object_object_add(into, name, value) == 0)
    return true;
  json_object_put(value);
  sample->omitted++;
  return false;
}

/* The shortest of 15 to 17 digits that reads back the same; json-c would write 0.1 with seventeen. */
static struct json_object *number(double value)
{
  if (!isfinite(value))
    return NULL;
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  if (text[strspn(text, "0123456789+-.e")]) /* some locale's decimal point: leave it to json-c */
    return json_object_new_double(value);
  return json_object_new_double_s(value, text);
}

void mu_sample_int(mu_sample *sample, const char *name, int64_t value)
{
  put(sample, name, json_object_new_int64(value));
}

void mu_sample_uint(mu_sample *sample, const char *name, uint64_t value)
{
  put(sample, name, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void mu_sample_float(mu_sample *sample, const char *name, double value)
{
  put(sample, name, number(value));
}

void mu_sample_bool(mu_sample *sample, const char *name, bool value)
{
  put(sample, name, json_object_new_boolean(value));
}

void mu_sample_text(mu_sample *sample, const char *name, const char *value)
{
  if (!value) {
    put(sample, name, NULL);
    return;
  }
  size_t len = strlen(value);
  if (len <= INT32_MAX && mui_utf8_valid(value, len)) {
    put(sample, name, json_object_new_string_len(value, (int)len));
    return;
  }
  struct mu_buf clean = MU_BUF_INIT;
  for (size_t i = 0; i < len;) {
    size_t step = mui_utf8_step(value + i, len - i);
    mu_buf_add(&clean, step ? value + i : "\xef\xbf\xbd", step ? step : 3);
    i += step ? step : 1;
  }
  bool usable = !clean.failed && clean.len <= INT32_MAX;
  put(sample, name, usable ? json_object_new_string_len(clean.at, (int)clean.len) : NULL);
  mu_buf_free(&clean);
}

void mu_sample_floats(mu_sample *sample, const char *name, const double *values, size_t count)
{
  struct json_object *list = json_object_new_array();
  for (size_t i = 0; list && i < count; i++) {
    struct json_object *value = number(values[i]);
    if (!value || json_object_array_add(list, value) != 0) {
      json_object_put(value);
      json_object_put(list);
      list = NULL;
    }
  }
  put(sample, name, list);
}

void mu_sample_list_begin(mu_sample *sample, const char *name)
{
  if (sample->list || sample->skipped) {
    sample->skipped++;
    sample->omitted++;
    return;
  }
  struct json_object *list = json_object_new_array();
  if (put(sample, name, list))
    sample->list = list;
  else
    sample->skipped++;
}

void mu_sample_row(mu_sample *sample)
{
  if (sample->skipped)
    return;
  sample->row = NULL;
  if (!sample->list)
    return;
  struct json_object *row = json_object_new_object();
  if (row && json_object_array_add(sample->list, row) == 0)
    sample->row = row;
  else
    json_object_put(row);
}

void mu_sample_list_end(mu_sample *sample)
{
  if (sample->skipped) {
    sample->skipped--;
    return;
  }
  sample->list = sample->row = NULL;
}
