/* SPDX-License-Identifier: ISC */
/* Statements that depend on what was asked, pages, values. */
#include <math.h>
#include <muster/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

/* ---- statements ------------------------------------------------------------------------------ */

void query_add(struct query *query, const char *text)
{
  mu_buf_adds(&query->sql, text);
}

static void bind(struct query *query, struct mu_value value)
{
  if (query->count < QUERY_VALUES)
    query->values[query->count++] = value;
  else
    query->full = true;
}

void query_value(struct query *query, const char *text, struct mu_value value)
{
  query_add(query, text);
  bind(query, value);
}

void query_text_field(struct query *query, mu_http *request, const char *field, const char *text)
{
  const char *value = mu_rest_text(request, field);
  if (value)
    query_value(query, text, mu_value_text(value));
}

void query_time_field(struct query *query, mu_http *request, const char *field, const char *text)
{
  if (mu_rest_value(request, field))
    query_value(query, text, mu_value_time(mu_rest_int(request, field, 0)));
}

void query_in(struct query *query, const char *text, const struct mu_value *values, size_t count)
{
  static const size_t sizes[] = {1, 10, 100, QUERY_IN_MAX};
  size_t size = 0;
  while (size + 1 < MU_COUNT(sizes) && sizes[size] < count)
    size++;
  query_add(query, text);
  query_add(query, "(");
  for (size_t i = 0; i < sizes[size]; i++) {
    query_add(query, i ? ",?" : "?");
    bind(query, values[i < count ? i : count - 1]);
  }
  query_add(query, ")");
}

void query_join(struct query *query, const struct query *other)
{
  mu_buf_add(&query->sql, other->sql.at, other->sql.len);
  for (size_t i = 0; i < other->count; i++)
    bind(query, other->values[i]);
  query->sql.failed |= other->sql.failed;
  query->full |= other->full;
}

void query_free(struct query *query)
{
  mu_buf_free(&query->sql);
}

static bool is_good(struct query *query, void *kept)
{
  if (!query->sql.failed && !query->full)
    return true;
  query_free(query);
  rest_drop(kept);
  return false;
}

int query_read(struct relay *relay, mu_http *request, struct query *query, rest_then then, void *kept)
{
  if (!is_good(query, kept))
    return MU_ENOMEM;
  int result = rest_read(relay, request, REST_SQL(query->sql.at), query->values, query->count, then, kept);
  query_free(query);
  return result;
}

int query_write(struct relay *relay, mu_http *request, struct query *query, int64_t expect, rest_committed committed,
                rest_then then, void *kept)
{
  if (!is_good(query, kept))
    return MU_ENOMEM;
  const struct mu_statement statement = {
      .sql = {.text = query->sql.at}, .values = query->values, .count = query->count, .expect = expect};
  int result = rest_write(relay, request, &statement, 1, committed, then, kept);
  query_free(query);
  return result;
}

/* ---- pages ----------------------------------------------------------------------------------- */

const struct mu_rest_field page_fields[4] = {IS("total", INTEGER), IS("page", INTEGER), IS("pageSize", INTEGER),
                                             IS("totalPages", INTEGER)};

struct page page_of(mu_http *request, int64_t preset)
{
  int64_t size = mu_rest_int(request, "pageSize", preset);
  return (struct page){.number = mu_rest_int(request, "page", 1), .size = size < PAGE_SIZE_MAX ? size : PAGE_SIZE_MAX};
}

void query_page(struct query *query, const char *columns, const char *from, const struct query *where,
                const char *order, struct page page)
{
  mu_buf_printf(&query->sql, "SELECT t.total_rows, x.* FROM (SELECT COUNT(*) AS total_rows FROM %s", from);
  query_join(query, where);
  /* Ordered from outside: `order` names columns of the result, whichever tables have some of that name. */
  mu_buf_printf(&query->sql, ") t LEFT JOIN (SELECT * FROM (SELECT %s FROM %s", columns, from);
  query_join(query, where);
  mu_buf_printf(&query->sql, ") y ORDER BY %s LIMIT ? OFFSET ?) x ON 1 = 1 ORDER BY %s", order, order);
  bind(query, mu_value_int(page.size));
  bind(query, mu_value_int((page.number - 1) * page.size));
}

struct json_object *page_list(const struct mu_result *result,
                              struct json_object *(*make)(const struct mu_result *result, size_t row, size_t from))
{
  size_t rows = mu_result_at(result, 0, 1)->type == MU_VALUE_NULL ? 0 : result->rows;
  struct json_object *list = json_object_new_array();
  for (size_t row = 0; list && row < rows; row++) {
    struct json_object *made = make(result, row, 1);
    if (made && json_object_array_add(list, made) == 0)
      continue;
    json_object_put(made);
    json_object_put(list);
    return NULL;
  }
  return list;
}

int64_t page_total(const struct mu_result *result)
{
  return mu_result_at(result, 0, 0)->integer;
}

int64_t page_count(int64_t total, struct page page)
{
  return (total + page.size - 1) / page.size;
}

struct json_object *page_json(const struct mu_result *result, struct page page)
{
  struct json_object *made = json_object_new_object();
  int64_t total = page_total(result);
  if (rest_add(made, "total", json_object_new_int64(total)) &&
      rest_add(made, "page", json_object_new_int64(page.number)) &&
      rest_add(made, "pageSize", json_object_new_int64(page.size)) &&
      rest_add(made, "totalPages", json_object_new_int64(page_count(total, page))))
    return made;
  json_object_put(made);
  return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

struct json_object *wide_str(struct mu_str text)
{
  return json_object_new_string_len(text.len ? text.at : "", (int)text.len);
}

struct json_object *wide_datum(struct mu_str text, struct mu_str type)
{
  struct json_object *made = NULL;
  enum json_type is = json_type_null;
  bool plain = mu_str_equal(type, MU_STR("string"));
  if (!plain && mu_json_parse(text.at, text.len, &made, NULL) == 0)
    is = json_object_get_type(made);
  bool number = is == json_type_int || is == json_type_double;
  if (mu_str_equal(type, MU_STR("number"))    ? number
      : mu_str_equal(type, MU_STR("boolean")) ? is == json_type_boolean
                                              : is != json_type_null)
    return made;
  json_object_put(made);
  return wide_str(text);
}

struct json_object *wide_number(double number, bool rounded)
{
  char text[400];
  if (!isfinite(number))
    return NULL;
  if (number == 0)
    return json_object_new_int(0);
  if (rounded && fabs(number) < 1e15 && fabs(number) >= 1e-3) {
    int len = snprintf(text, sizeof text, "%.6f", number);
    while (text[len - 1] == '0')
      text[--len] = '\0';
    if (text[len - 1] == '.')
      text[--len] = '\0';
  } else {
    for (int digits = rounded ? 6 : 15; digits <= 17; digits++) {
      snprintf(text, sizeof text, "%.*g", digits, number);
      if (rounded || strtod(text, NULL) == number)
        break;
    }
  }
  return json_object_new_double_s(number, text);
}

double wide_real(const struct mu_value *value, double otherwise)
{
  if (value->type == MU_VALUE_REAL)
    return value->real;
  if (value->type == MU_VALUE_INTEGER)
    return (double)value->integer;
  return otherwise;
}

struct json_object *wide_duration(const struct mu_value *from, const struct mu_value *to)
{
  bool both = from->type == MU_VALUE_TIME && to->type == MU_VALUE_TIME;
  return both ? json_object_new_int64(to->integer - from->integer) : NULL;
}

bool wide_is_number(struct mu_str text)
{
  struct json_object *made = NULL;
  if (mu_json_parse(text.at, text.len, &made, NULL) != 0)
    return false;
  bool number = json_object_is_type(made, json_type_int) || json_object_is_type(made, json_type_double);
  json_object_put(made);
  return number;
}

/* ---- devices --------------------------------------------------------------------------------- */

static void release_device(void *kept)
{
  struct wide_device *device = kept;
  free(device->endpoint);
  free(device->endpoint_name);
  free(device->uuid);
  free(device->name);
}

static int on_flushed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct wide_device *device = kept;
  return device->next(relay, request, result, kept);
}

static int on_own(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct wide_device *device = kept;
  device->endpoint = rest_text(mu_result_at(result, 0, REST_ENDPOINT_ID));
  device->endpoint_name = rest_text(mu_result_at(result, 0, REST_ENDPOINT_NAME));
  device->uuid = rest_text(mu_result_at(result, 0, REST_DEVICE_ID));
  device->name = rest_text(mu_result_at(result, 0, REST_DEVICE_NAME));
  if (!device->endpoint || !device->endpoint_name || !device->uuid || !device->name)
    return MU_ENOMEM;
  return rest_flush(relay, request, device->endpoint, on_flushed, kept);
}

int wide_own_device(struct relay *relay, mu_http *request, rest_then next)
{
  struct wide_device *device = rest_keep(sizeof *device, release_device);
  if (!device)
    return MU_ENOMEM;
  device->next = next;
  return rest_own_device(relay, request, mu_rest_param(request, "id"), mu_rest_param(request, "uuid"), on_own, device);
}
