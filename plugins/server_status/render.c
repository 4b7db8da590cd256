/* SPDX-License-Identifier: ISC */
/* Canonical form → wire forms. Members are written in the order that the released programs use. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

enum { MOST_STEPS = 3, MOST_ROWS_WHEN_TIGHT = 16 };

static struct json_object *find(struct json_object *metrics, const char *collector, const char *metric)
{
  struct json_object *group = NULL, *value = NULL;
  if (!metrics || !json_object_object_get_ex(metrics, collector, &group) ||
      !json_object_is_type(group, json_type_object))
    return NULL;
  return json_object_object_get_ex(group, metric, &value) ? value : NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The shortest digits that give the same number back. */
static void put_double(struct mu_buf *out, double value)
{
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  mu_buf_adds(out, text);
}

static void put_uint(struct mu_buf *out, struct json_object *value)
{
  int64_t whole = 0;
  if (json_object_is_type(value, json_type_int))
    whole = json_object_get_int64(value);
  else if (json_object_is_type(value, json_type_double)) {
    double number = json_object_get_double(value);
    whole = !(number > 0) ? 0 : number >= 9.2e18 ? INT64_MAX : (int64_t)llround(number);
  }
  mu_buf_printf(out, "%lld", (long long)(whole > 0 ? whole : 0));
}

static void put_number(struct mu_buf *out, struct json_object *value, bool percent)
{
  if (json_object_is_type(value, json_type_int) && !percent) {
    put_uint(out, value);
    return;
  }
  double number = json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)
                      ? json_object_get_double(value)
                      : 0;
  if (!isfinite(number) || number < 0)
    number = 0;
  put_double(out, percent && number > 100 ? 100 : number);
}

/* A string that is at most `max` bytes long as written, cut at a character: what a reader would refuse is not sent. */
static void put_cut(struct mu_buf *out, struct mu_str text, size_t max)
{
  size_t start = out->len;
  for (;;) {
    mu_buf_json_string(out, text);
    size_t written = out->len - start;
    if (out->failed || written <= max + 2)
      return;
    out->len = start;
    size_t surplus = (written - max - 2 + 5) / 6; /* a byte is written as six at most */
    text.len -= surplus < text.len ? surplus : text.len;
    while (text.len > 0 && ((unsigned char)text.at[text.len] & 0xc0) == 0x80)
      text.len--;
  }
}

static void put_text(struct mu_buf *out, struct json_object *value, size_t max)
{
  struct mu_str text = {"", 0};
  if (json_object_is_type(value, json_type_string))
    text = (struct mu_str){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
  put_cut(out, text, max);
}

static void put_value(struct mu_buf *out, struct json_object *value, enum wire_type type, size_t max)
{
  switch (type) {
  case WIRE_UINT:
    put_uint(out, value);
    break;
  case WIRE_NUMBER:
  case WIRE_PERCENT:
    put_number(out, value, type == WIRE_PERCENT);
    break;
  case WIRE_TEXT:
    put_text(out, value, max);
    break;
  case WIRE_OF_TOTAL: /* of several metrics: put_section() */
    break;
  }
}

/* Where the two that it is made of are not known, the metric itself stands in. */
static void put_of_total(struct mu_buf *out, struct json_object *metrics)
{
  struct json_object *total = find(metrics, "disk", "total"), *used = find(metrics, "disk", "used");
  if (!total || !used) {
    put_number(out, find(metrics, "disk", "used_percent"), true);
    return;
  }
  double share = json_object_get_double(used) / json_object_get_double(total) * 100;
  put_double(out, share > 0 ? fmin(share, 100) : 0); /* 0 of 0 is no number */
}

/* `,"member":value` for each; the first comma only if `comma`. */
static void put_section(struct mu_buf *out, const struct wire_form *form, const char *name, struct json_object *metrics,
                        bool comma)
{
  const struct wire_section *section = wire_section(form, name);
  for (size_t i = 0; section && i < section->count; i++) {
    const struct wire_pair *pair = &section->pairs[i];
    mu_buf_printf(out, "%s\"%s\":", comma || i > 0 ? "," : "", pair->member);
    if (pair->type == WIRE_OF_TOTAL)
      put_of_total(out, metrics);
    else
      put_value(out, find(metrics, section->collector, pair->metric), pair->type, STATUS_TEXT_MAX);
  }
}

static void put_rows(struct mu_buf *out, const struct wire_form *form, struct json_object *metrics, size_t most)
{
  struct json_object *rows = find(metrics, "disk", "disks");
  mu_buf_adds(out, "[");
  size_t count = json_object_is_type(rows, json_type_array) ? json_object_array_length(rows) : 0;
  bool first = true;
  for (size_t i = 0; i < count && i < most; i++) {
    struct json_object *row = json_object_array_get_idx(rows, i);
    if (!json_object_is_type(row, json_type_object))
      continue;
    mu_buf_adds(out, first ? "{" : ",{");
    first = false;
    for (size_t j = 0; j < form->row_count; j++) {
      struct json_object *value = NULL;
      const struct wire_pair *pair = &form->rows[j];
      bool there = json_object_object_get_ex(row, pair->metric, &value);
      /* The two that the documented form has not are only there when they are known. */
      if (!there && form == &wire_forms[STATUS_DOCUMENTED] && j >= form->row_count - 2)
        continue;
      mu_buf_printf(out, "%s\"%s\":", j ? "," : "", pair->member);
      put_value(out, value, pair->type, strcmp(pair->metric, "path") == 0 ? STATUS_PATH_MAX : STATUS_TEXT_MAX);
    }
    mu_buf_adds(out, "}");
  }
  mu_buf_adds(out, "]");
}

/* `[ "<model> x <logical cpus> " ]` */
static void put_info(struct mu_buf *out, struct json_object *metrics)
{
  const char *model = json_object_get_string(find(metrics, "cpu", "model"));
  int64_t cores = json_object_get_int64(find(metrics, "cpu", "cores"));
  mu_buf_adds(out, "[");
  if (model && cores > 0) {
    struct mu_buf line = MU_BUF_INIT;
    mu_buf_printf(&line, "%s x %lld ", model, (long long)cores);
    if (line.failed)
      out->failed = true;
    else
      put_cut(out, (struct mu_str){line.at, line.len}, STATUS_TEXT_MAX);
    mu_buf_free(&line);
  } else if (model)
    put_cut(out, mu_str(model), STATUS_TEXT_MAX);
  mu_buf_adds(out, "]");
}

/* ---- the extra member ------------------------------------------------------------------------ */

static bool finite_below(struct json_object *value)
{
  if (json_object_is_type(value, json_type_double))
    return isfinite(json_object_get_double(value));
  if (json_object_is_type(value, json_type_array)) {
    for (size_t i = 0; i < json_object_array_length(value); i++)
      if (!finite_below(json_object_array_get_idx(value, i)))
        return false;
  } else if (json_object_is_type(value, json_type_object)) {
    json_object_object_foreach(value, key, inner)
    {
      (void)key;
      if (!finite_below(inner))
        return false;
    }
  }
  return true;
}

static bool is_built_in(const char *collector)
{
  static const char *const names[] = {"cpu", "memory", "disk", "network", "system", "agent"};
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (strcmp(names[i], collector) == 0)
      return true;
  return false;
}

static void put_tree(struct mu_buf *out, struct json_object *value)
{
  if (json_object_is_type(value, json_type_double))
    put_double(out, json_object_get_double(value));
  else if (json_object_is_type(value, json_type_array)) {
    mu_buf_adds(out, "[");
    for (size_t i = 0; i < json_object_array_length(value); i++) {
      mu_buf_adds(out, i ? "," : "");
      put_tree(out, json_object_array_get_idx(value, i));
    }
    mu_buf_adds(out, "]");
  } else if (json_object_is_type(value, json_type_object)) {
    bool first = true;
    mu_buf_adds(out, "{");
    json_object_object_foreach(value, key, inner)
    {
      mu_buf_adds(out, first ? "" : ",");
      first = false;
      mu_buf_json_string(out, mu_str(key));
      mu_buf_adds(out, ":");
      put_tree(out, inner);
    }
    mu_buf_adds(out, "}");
  } else if (json_object_is_type(value, json_type_string))
    put_text(out, value, SIZE_MAX - 2);
  else
    mu_buf_adds(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
}

/* `,"metrics":{…}` with what the form has no member for; nothing when there is none. */
static void put_extra(struct mu_buf *out, const struct wire_form *form, struct json_object *metrics, bool built_in)
{
  bool any = false;
  if (!metrics)
    return;
  json_object_object_foreach(metrics, name, group)
  {
    bool open = false;
    if (!json_object_is_type(group, json_type_object) || (!built_in && is_built_in(name)) || !wire_name_ok(name))
      continue;
    json_object_object_foreach(group, metric, value)
    {
      /* What a deployed agent says in members of its own is no news to a deployed page, even if it does not show it. */
      bool carried = wire_carries(form, name, metric) ||
                     (form == &wire_element && wire_carries(&wire_forms[STATUS_DEPLOYED], name, metric));
      if (!value || carried || !wire_name_ok(metric) || !finite_below(value))
        continue;
      if (!open)
        mu_buf_printf(out, "%s\"%s\":{", any ? "," : ",\"metrics\":{", name);
      mu_buf_printf(out, "%s\"%s\":", open ? "," : "", metric);
      put_tree(out, value);
      any = open = true;
    }
    if (open)
      mu_buf_adds(out, "}");
  }
  if (any)
    mu_buf_adds(out, "}");
}

/* ---- forms ----------------------------------------------------------------------------------- */

static void put_string(struct mu_buf *out, const char *before, const char *text)
{
  mu_buf_adds(out, before);
  mu_buf_json_string(out, mu_str(text));
}

static void put_optional(struct mu_buf *out, const char *before, const char *text)
{
  if (text && text[0])
    put_string(out, before, text);
}

static void put_documented(struct mu_buf *out, const struct status_card *card, struct json_object *metrics,
                           int64_t time_s, size_t rows)
{
  const struct wire_form *form = &wire_forms[STATUS_DOCUMENTED];
  put_string(out, "{\"serverId\":", card->id);
  put_string(out, ",\"serverName\":", card->name && card->name[0] ? card->name : card->id);
  put_optional(out, ",\"group\":", card->group);
  put_optional(out, ",\"countryCode\":", card->country);
  put_optional(out, ",\"location\":", card->location);
  put_optional(out, ",\"ip\":", card->ip);
  mu_buf_adds(out, ",\"cpu\":{");
  put_section(out, form, "cpu", metrics, false);
  mu_buf_adds(out, "},\"memory\":{");
  put_section(out, form, "memory", metrics, false);
  mu_buf_adds(out, "},\"disk\":");
  put_rows(out, form, metrics, rows);
  mu_buf_adds(out, ",\"network\":{");
  put_section(out, form, "network", metrics, false);
  mu_buf_adds(out, "},\"system\":{");
  put_section(out, form, "system", metrics, false);
  mu_buf_printf(out, "},\"timestamp\":%lld", (long long)(time_s > 0 ? time_s : 0));
}

/* All six sub-objects, always: a released dashboard crashes without one. The identity is the server's to fill in. */
static void put_deployed(struct mu_buf *out, const struct status_card *card, struct json_object *metrics, size_t rows)
{
  const struct wire_form *form = &wire_forms[STATUS_DEPLOYED];
  put_string(out, "{\"name\":", card->name);
  put_string(out, ",\"group\":", card->group);
  mu_buf_adds(out, ",\"id\":\"\",\"lastReportTime\":0,\"hostInfo\":{");
  put_section(out, form, "hostInfo", metrics, false);
  mu_buf_adds(out, ",\"avgStat\":{");
  put_section(out, form, "hostInfo.avgStat", metrics, false);
  mu_buf_adds(out, "}},\"cpuInfo\":{");
  put_section(out, form, "cpuInfo", metrics, false);
  mu_buf_adds(out, ",\"info\":");
  put_info(out, metrics);
  mu_buf_adds(out, "},\"virtualMemoryInfo\":{");
  put_section(out, form, "virtualMemoryInfo", metrics, false);
  mu_buf_adds(out, "},\"swapMemoryInfo\":{");
  put_section(out, form, "swapMemoryInfo", metrics, false);
  mu_buf_adds(out, "},\"diskInfo\":{");
  put_section(out, form, "diskInfo", metrics, false);
  mu_buf_adds(out, ",\"partitions\":");
  put_rows(out, form, metrics, rows);
  mu_buf_adds(out, "},\"networkInfo\":{");
  put_section(out, form, "networkInfo", metrics, false);
  put_string(out, "},\"ip\":", card->ip);
  put_string(out, ",\"loc\":", card->country);
}

mu_text *render_report(enum status_kind kind, const struct status_card *card, struct json_object *metrics,
                       int64_t time_s, size_t limit, unsigned *left_out)
{
  struct mu_buf out = MU_BUF_INIT;
  for (unsigned step = 0;; step++) {
    size_t rows = step < MOST_STEPS ? SIZE_MAX : MOST_ROWS_WHEN_TIGHT;
    mu_buf_clear(&out);
    if (kind == STATUS_DOCUMENTED)
      put_documented(&out, card, metrics, time_s, rows);
    else
      put_deployed(&out, card, metrics, rows);
    if (step < 2)
      put_extra(&out, &wire_forms[kind], metrics, step == 0);
    mu_buf_adds(&out, "}");
    if (out.len > limit && step < MOST_STEPS && !out.failed)
      continue;
    if (left_out)
      *left_out = step;
    return mu_buf_take_text(&out);
  }
}

mu_text *render_element(const struct mu_machine *machine, struct json_object *metrics)
{
  const struct wire_form *form = &wire_element;
  struct mu_buf out = MU_BUF_INIT;
  struct mu_buf platform = MU_BUF_INIT;
  put_string(&out, "{\"name\":", machine->name[0] ? machine->name : machine->id);
  put_string(&out, ",\"group\":", machine->group);
  put_string(&out, ",\"id\":", machine->id);
  mu_buf_printf(&out, ",\"lastReportTime\":%lld", (long long)(machine->last_report_ms / 1000));
  put_section(&out, form, "uptime", metrics, true);
  const char *version = json_object_get_string(find(metrics, "system", "platform_version"));
  mu_buf_adds(&platform, "");
  if (find(metrics, "system", "platform"))
    mu_buf_adds(&platform, json_object_get_string(find(metrics, "system", "platform")));
  if (version && version[0])
    mu_buf_printf(&platform, "%s%s", platform.len ? " " : "", version);
  put_string(&out, ",\"platform\":", platform.at);
  put_section(&out, form, "cpu", metrics, true);
  put_section(&out, form, "memory", metrics, true);
  put_section(&out, form, "disk", metrics, true);
  put_section(&out, form, "speed", metrics, true);
  char loc[32] = "";
  for (size_t i = 0; i < sizeof loc - 1 && machine->country[i]; i++)
    loc[i] = (char)(machine->country[i] >= 'A' && machine->country[i] <= 'Z' ? machine->country[i] + 32
                                                                             : machine->country[i]);
  put_string(&out, ",\"loc\":", loc);
  mu_buf_adds(&out, ",\"hostInfo\":{\"cpuInfo\":");
  put_info(&out, metrics);
  mu_buf_adds(&out, ",\"avgStat\":{");
  put_section(&out, form, "avgStat", metrics, false);
  mu_buf_adds(&out, "}");
  put_section(&out, form, "ram", metrics, true);
  put_section(&out, form, "disks", metrics, true);
  mu_buf_adds(&out, ",\"diskPartitions\":");
  put_rows(&out, form, metrics, SIZE_MAX);
  put_section(&out, form, "transfer", metrics, true);
  put_section(&out, form, "system", metrics, true);
  mu_buf_printf(&out, "},\"isOnline\":%s", machine->online ? "true" : "false");
  put_extra(&out, form, metrics, true);
  mu_buf_adds(&out, "}");
  if (platform.failed)
    out.failed = true;
  mu_buf_free(&platform);
  return mu_buf_take_text(&out);
}
