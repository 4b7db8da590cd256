/* SPDX-License-Identifier: ISC */
#include "export.h"

#include <muster/json.h>
#include <muster/rest.h>
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

static bool is_text(const struct export_value *value)
{
  return !mu_str_equal(value->type, MU_STR("number")) || !wide_is_number(value->text);
}

static bool same_row(const struct export_value *a, const struct export_value *b)
{
  return a->ms == b->ms && mu_str_equal(a->device, b->device);
}

void export_cell(struct mu_buf *out, struct mu_str text, bool number)
{
  bool quote = false;
  for (size_t i = 0; i < text.len && !quote; i++)
    quote = text.at[i] == '"' || text.at[i] == ',' || text.at[i] == '\n' || text.at[i] == '\r';
  if (quote)
    mu_buf_adds(out, "\"");
  if (!number && text.len > 0 && text.at[0] && strchr("=+-@\t\r\n", text.at[0]))
    mu_buf_adds(out, "'");
  if (quote) {
    for (size_t i = 0; i < text.len; i++)
      mu_buf_add(out, text.at[i] == '"' ? "\"\"" : &text.at[i], text.at[i] == '"' ? 2 : 1);
    mu_buf_adds(out, "\"");
  } else {
    mu_buf_add(out, text.at, text.len);
  }
}

/* ---- CSV ------------------------------------------------------------------------------------- */

/* Columns are numbered from 1 on: the map cannot keep 0. */
struct columns {
  mu_map *by_key;
  const struct export_value **cells; /* of one row */
  size_t count;
};

static int find_columns(const struct export_value *values, size_t count, struct columns *columns, struct mu_buf *out)
{
  mu_buf_adds(out, "device_id,device_name,timestamp");
  for (size_t i = 0; i < count; i++) {
    if (values[i].key.len == 0 || mu_map_get(columns->by_key, values[i].key))
      continue;
    if (columns->count == EXPORT_KEYS_MAX)
      return MU_ELIMIT;
    if (mu_map_add(columns->by_key, values[i].key, (void *)(uintptr_t)++columns->count) != 0)
      return MU_ENOMEM;
    mu_buf_adds(out, ",");
    export_cell(out, values[i].key, false);
  }
  mu_buf_adds(out, "\n");
  columns->cells = calloc(columns->count + 1, sizeof *columns->cells);
  return columns->cells ? 0 : MU_ENOMEM;
}

/* Returns how many values the row took. */
static size_t write_row(const struct export_value *values, size_t count, struct columns *columns, struct mu_buf *out)
{
  size_t taken = 0;
  char time[25];
  memset(columns->cells, 0, (columns->count + 1) * sizeof *columns->cells);
  for (; taken < count && same_row(values, values + taken); taken++)
    columns->cells[(uintptr_t)mu_map_get(columns->by_key, values[taken].key)] = &values[taken];
  export_cell(out, values->device, false);
  mu_buf_adds(out, ",");
  export_cell(out, values->name, false);
  mu_iso_time(values->ms, time);
  mu_buf_printf(out, ",%s", time);
  for (size_t i = 1; i <= columns->count; i++) {
    mu_buf_adds(out, ",");
    if (columns->cells[i])
      export_cell(out, columns->cells[i]->text, !is_text(columns->cells[i]));
  }
  mu_buf_adds(out, "\n");
  return taken;
}

int export_csv(const struct export_value *values, size_t count, struct mu_buf *out)
{
  struct columns columns = {.by_key = mu_map_new()};
  int result = columns.by_key ? find_columns(values, count, &columns, out) : MU_ENOMEM;
  for (size_t i = 0; result == 0 && i < count;) {
    i += write_row(values + i, count - i, &columns, out);
    if (out->len > EXPORT_BYTES_MAX)
      result = MU_ELIMIT;
  }
  mu_map_free(columns.by_key);
  free(columns.cells);
  return result == 0 && out->failed ? MU_ENOMEM : result;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_value(const struct export_value *value, struct mu_buf *out)
{
  MU_AUTO_JSON struct json_object *made = wide_datum(value->text, value->type);
  mu_text *text = made ? mu_json_text(made) : NULL;
  mu_buf_json_string(out, value->key);
  mu_buf_adds(out, ":");
  if (text)
    mu_buf_add(out, mu_text_data(text), mu_text_len(text));
  else
    mu_buf_adds(out, "null");
  mu_text_unref(text);
}

static size_t write_record(const struct export_value *values, size_t count, struct mu_buf *out)
{
  char time[25];
  size_t taken = 0;
  mu_iso_time(values->ms, time);
  mu_buf_adds(out, "{\"device_id\":");
  mu_buf_json_string(out, values->device);
  mu_buf_adds(out, ",\"device_name\":");
  mu_buf_json_string(out, values->name);
  mu_buf_printf(out, ",\"timestamp\":\"%s\",\"data\":{", time);
  bool first = true;
  for (; taken < count && same_row(values, values + taken); taken++) {
    bool again = taken + 1 < count && same_row(values, values + taken + 1) &&
                 mu_str_equal(values[taken].key, values[taken + 1].key);
    if (again) /* sorted by key: the last counts */
      continue;
    mu_buf_adds(out, first ? "" : ",");
    first = false;
    write_value(&values[taken], out);
  }
  mu_buf_adds(out, "}}");
  return taken;
}

int export_json(const struct export_value *values, size_t count, struct mu_buf *out)
{
  mu_buf_adds(out, "[");
  for (size_t i = 0; i < count;) {
    mu_buf_adds(out, i ? "," : "");
    i += write_record(values + i, count - i, out);
    if (out->len > EXPORT_BYTES_MAX)
      return MU_ELIMIT;
  }
  mu_buf_adds(out, "]");
  return out->failed ? MU_ENOMEM : 0;
}
