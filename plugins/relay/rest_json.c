/* SPDX-License-Identifier: ISC */
/* Rows as JSON, by the tables that also describe the answers. */
#include <stdlib.h>
#include <string.h>

#include "rest.h"

bool rest_add(struct json_object *object, const char *name, struct json_object *value)
{
  if (object && json_object_object_add(object, name, value) == 0)
    return true;
  json_object_put(value);
  return false;
}

struct json_object *rest_wrap(struct json_object *value)
{
  struct json_object *body = value ? json_object_new_object() : NULL;
  if (rest_add(body, "data", value))
    return body;
  json_object_put(body);
  return NULL;
}

struct json_object *rest_data(const char *name, struct json_object *value)
{
  struct json_object *data = value ? json_object_new_object() : NULL;
  if (rest_add(data, name, value))
    return rest_wrap(data);
  json_object_put(data);
  return NULL;
}

static const struct mu_rest_field message_data[] = {
    {.name = "message", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
};
const struct mu_rest_field rest_message_answer[1] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(message_data)},
};

struct json_object *rest_message(const mu_http *request, struct mu_words words)
{
  return rest_data("message", json_object_new_string(mu_rest_words(request, words)));
}

struct json_object *rest_time(int64_t unix_ms)
{
  char text[25];
  mu_iso_time(unix_ms, text);
  return json_object_new_string(text);
}

char *rest_text(const struct mu_value *value)
{
  return value->type == MU_VALUE_TEXT ? strndup(value->text.at, value->text.len) : NULL;
}

static struct json_object *text_json(struct mu_str text)
{
  return json_object_new_string_len(text.len ? text.at : "", (int)text.len);
}

static struct json_object *parsed(struct mu_str text)
{
  struct json_object *made = NULL;
  return mu_json_parse(text.at, text.len, &made, NULL) == 0 ? made : text_json(text);
}

struct json_object *rest_value(const struct mu_value *value, enum mu_rest_type type)
{
  switch (value->type) {
  case MU_VALUE_NULL:
    return NULL;
  case MU_VALUE_INTEGER:
    return type == MU_REST_BOOLEAN ? json_object_new_boolean(value->integer != 0)
                                   : json_object_new_int64(value->integer);
  case MU_VALUE_REAL:
    return json_object_new_double(value->real);
  case MU_VALUE_TIME:
    return rest_time(value->integer);
  case MU_VALUE_TEXT:
    return type == MU_REST_STRING ? text_json(value->text) : parsed(value->text);
  }
  return NULL;
}

struct json_object *rest_row_from(const struct mu_result *result, size_t row, size_t from,
                                  const struct mu_rest_field *fields, size_t count)
{
  struct json_object *object = json_object_new_object();
  for (size_t i = 0; object && i < count && from + i < result->columns; i++) {
    const struct mu_value *value = mu_result_at(result, row, from + i);
    struct json_object *made = rest_value(value, fields[i].type);
    bool null = value->type == MU_VALUE_NULL || (value->type == MU_VALUE_TEXT && fields[i].type != MU_REST_STRING);
    if ((made || null) && rest_add(object, fields[i].name, made))
      continue;
    json_object_put(object);
    return NULL;
  }
  return object;
}

struct json_object *rest_row(const struct mu_result *result, size_t row, const struct mu_rest_field *fields,
                             size_t count)
{
  return rest_row_from(result, row, 0, fields, count);
}

struct json_object *rest_rows(const struct mu_result *result, const struct mu_rest_field *fields, size_t count)
{
  struct json_object *array = json_object_new_array();
  for (size_t row = 0; array && row < result->rows; row++) {
    struct json_object *made = rest_row(result, row, fields, count);
    if (made && json_object_array_add(array, made) == 0)
      continue;
    json_object_put(made);
    json_object_put(array);
    return NULL;
  }
  return array;
}
