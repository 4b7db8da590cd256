/* SPDX-License-Identifier: ISC */
/* The description of all REST APIs, OpenAPI 3.1, from the tables that also check what comes in. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>
#include "net/rest.h"

/* Whether memory ran out is asked once, at the end. */
struct writer {
  bool failed;
};

/* Takes `value`; NULL: memory is out. Borrows the object. */
static void put(struct writer *w, struct json_object *object, const char *name, struct json_object *value)
{
  if (value && object && json_object_object_add(object, name, value) == 0)
    return;
  json_object_put(value);
  w->failed = true;
}

static void puts_(struct writer *w, struct json_object *object, const char *name, const char *text)
{
  put(w, object, name, json_object_new_string(text));
}

static void append(struct writer *w, struct json_object *array, struct json_object *value)
{
  if (value && array && json_object_array_add(array, value) == 0)
    return;
  json_object_put(value);
  w->failed = true;
}

/* A new member that is an object; borrowed. */
static struct json_object *object_in(struct writer *w, struct json_object *object, const char *name)
{
  struct json_object *made = json_object_new_object();
  put(w, object, name, made);
  return w->failed ? NULL : made;
}

static struct json_object *array_in(struct writer *w, struct json_object *object, const char *name)
{
  struct json_object *made = json_object_new_array();
  put(w, object, name, made);
  return w->failed ? NULL : made;
}

/* ---- schemas --------------------------------------------------------------------------------- */

static void put_bound(struct writer *w, struct json_object *schema, const char *name, double value)
{
  bool is_whole = value == floor(value) && fabs(value) < 9e15;
  put(w, schema, name, is_whole ? json_object_new_int64((int64_t)value) : json_object_new_double(value));
}

static void put_bounds(struct writer *w, struct json_object *schema, const struct mu_rest_field *field)
{
  static const char *const names[][2] = {[MU_REST_STRING] = {"minLength", "maxLength"},
                                         [MU_REST_INTEGER] = {"minimum", "maximum"},
                                         [MU_REST_NUMBER] = {"minimum", "maximum"},
                                         [MU_REST_ARRAY] = {"minItems", "maxItems"}};
  if ((field->min == 0 && field->max == 0) || field->type >= MU_COUNT(names) || !names[field->type][0])
    return;
  bool number = field->type == MU_REST_INTEGER || field->type == MU_REST_NUMBER;
  if (number || field->min != 0)
    put_bound(w, schema, names[field->type][0], field->min);
  if (field->max < 1e15)
    put_bound(w, schema, names[field->type][1], field->max);
}

static const char *type_name(enum mu_rest_type type)
{
  static const char *const names[] = {
      [MU_REST_STRING] = "string",   [MU_REST_INTEGER] = "integer", [MU_REST_NUMBER] = "number",
      [MU_REST_BOOLEAN] = "boolean", [MU_REST_TIME] = "string",     [MU_REST_OBJECT] = "object",
      [MU_REST_ARRAY] = "array"};
  return type < MU_COUNT(names) ? names[type] : NULL;
}

/* `answer`: what the server says, where times are always texts. */
static void put_type(struct writer *w, struct json_object *schema, enum mu_rest_type type, bool nullable, bool answer)
{
  const char *name = type_name(type);
  bool seconds = type == MU_REST_TIME && !answer;
  if (!name)
    return;
  if (type == MU_REST_TIME && !seconds)
    puts_(w, schema, "format", "date-time");
  if (!nullable && !seconds) {
    puts_(w, schema, "type", name);
    return;
  }
  struct json_object *types = array_in(w, schema, "type");
  append(w, types, json_object_new_string(name));
  if (seconds)
    append(w, types, json_object_new_string("number"));
  if (nullable)
    append(w, types, json_object_new_string("null"));
}

static void put_members(struct writer *w, struct json_object *schema, const struct mui_rest_table *table, bool answer);

static struct json_object *schema_of(struct writer *w, const struct mui_rest_field *field, bool answer)
{
  const struct mu_rest_field *is = &field->is;
  bool nullable = is->flags & MU_REST_NULLABLE;
  struct json_object *schema = json_object_new_object();
  put_type(w, schema, is->type, nullable, answer);
  put_bounds(w, schema, is);
  if (is->type == MU_REST_TIME && !answer)
    puts_(w, schema, "description", is->help ? is->help : "ISO 8601, or Unix seconds");
  else if (is->help)
    puts_(w, schema, "description", is->help);
  if (is->flags & MU_REST_SECRET) {
    puts_(w, schema, "format", "password");
    put(w, schema, answer ? "readOnly" : "writeOnly", json_object_new_boolean(true));
  }
  if (is->one_of) {
    struct json_object *words = array_in(w, schema, "enum");
    for (const char *const *word = is->one_of; *word; word++)
      append(w, words, json_object_new_string(*word));
    if (nullable)
      append(w, words, json_object_new_null());
  }
  if (is->pattern) {
    char pattern[512];
    if (snprintf(pattern, sizeof pattern, "^(%s)$", is->pattern) < (int)sizeof pattern)
      puts_(w, schema, "pattern", pattern);
  }
  if (is->type == MU_REST_OBJECT)
    put_members(w, schema, &field->members, answer);
  if (is->type == MU_REST_ARRAY) {
    struct json_object *items = object_in(w, schema, "items");
    put_type(w, items, field->members.count ? MU_REST_OBJECT : is->item, false, answer);
    put_members(w, items, &field->members, answer);
  }
  return schema;
}

static void put_members(struct writer *w, struct json_object *schema, const struct mui_rest_table *table, bool answer)
{
  if (table->count == 0)
    return;
  struct json_object *members = object_in(w, schema, "properties");
  struct json_object *required = NULL;
  for (size_t i = 0; i < table->count && !w->failed; i++) {
    const struct mui_rest_field *field = &table->fields[i];
    struct json_object *made = schema_of(w, field, answer);
    put(w, members, field->is.name, made);
    if (field->is.also && !w->failed)
      puts_(w, made, "x-muster-also", field->is.also);
    if (!(field->is.flags & MU_REST_REQUIRED))
      continue;
    if (!required)
      required = array_in(w, schema, "required");
    append(w, required, json_object_new_string(field->is.name));
  }
}

/* ---- operations ------------------------------------------------------------------------------ */

static void put_parameters(struct writer *w, struct json_object *operation, const struct mui_rest_row *row)
{
  struct json_object *parameters = array_in(w, operation, "parameters");
  for (const char *at = row->is.path; (at = strstr(at, "/:"));) {
    at += 2;
    struct json_object *parameter = json_object_new_object();
    append(w, parameters, parameter);
    if (w->failed)
      return;
    put(w, parameter, "name", json_object_new_string_len(at, (int)strcspn(at, "/+")));
    puts_(w, parameter, "in", "path");
    put(w, parameter, "required", json_object_new_boolean(true));
    struct json_object *schema = object_in(w, parameter, "schema");
    puts_(w, schema, "type", "string");
  }
  for (size_t i = 0; i < row->query.count && !w->failed; i++) {
    const struct mui_rest_field *field = &row->query.fields[i];
    struct json_object *parameter = json_object_new_object();
    append(w, parameters, parameter);
    if (w->failed)
      return;
    puts_(w, parameter, "name", field->is.name);
    puts_(w, parameter, "in", "query");
    if (field->is.flags & MU_REST_REQUIRED)
      put(w, parameter, "required", json_object_new_boolean(true));
    if (field->is.also)
      puts_(w, parameter, "x-muster-also", field->is.also);
    put(w, parameter, "schema", schema_of(w, field, false));
  }
}

static struct json_object *content(struct writer *w, struct json_object *around)
{
  struct json_object *types = object_in(w, around, "content");
  struct json_object *json = object_in(w, types, "application/json");
  return object_in(w, json, "schema");
}

static void put_body(struct writer *w, struct json_object *operation, const struct mui_rest_row *row)
{
  if (row->body.count == 0)
    return;
  struct json_object *body = object_in(w, operation, "requestBody");
  bool required = false;
  for (size_t i = 0; i < row->body.count; i++)
    required |= (row->body.fields[i].is.flags & MU_REST_REQUIRED) != 0;
  put(w, body, "required", json_object_new_boolean(required));
  struct json_object *schema = content(w, body);
  puts_(w, schema, "type", "object");
  put_members(w, schema, &row->body, false);
}

static void put_error(struct writer *w, struct json_object *answers, const char *status, const char *what,
                      enum mu_rest_errors errors)
{
  static const char *const schemas[] = {[MU_REST_ERRORS_FULL] = "#/components/schemas/Error",
                                        [MU_REST_ERRORS_SHORT] = "#/components/schemas/ShortError",
                                        [MU_REST_ERRORS_TEXT] = "#/components/schemas/TextError"};
  struct json_object *answer = object_in(w, answers, status);
  puts_(w, answer, "description", what);
  struct json_object *schema = content(w, answer);
  puts_(w, schema, "$ref", schemas[errors]);
}

static void put_answers(struct writer *w, struct json_object *operation, const struct mui_rest_row *row)
{
  struct json_object *answers = object_in(w, operation, "responses");
  char status[8];
  snprintf(status, sizeof status, "%d", row->is.status ? row->is.status : 200);
  struct json_object *answer = object_in(w, answers, status);
  puts_(w, answer, "description", row->is.summary ? row->is.summary : "Success");
  if (row->answer.count) {
    struct json_object *schema = content(w, answer), *object = schema;
    if (row->is.answer_array) {
      puts_(w, schema, "type", "array");
      object = object_in(w, schema, "items");
    }
    puts_(w, object, "type", "object");
    put_members(w, object, &row->answer, true);
  }
  bool parameters = strstr(row->is.path, "/:") != NULL;
  if (row->body.count || row->query.count)
    put_error(w, answers, "400", "INVALID_JSON, VALIDATION_ERROR", row->is.errors);
  if (row->is.access != MU_ACCESS_PUBLIC) {
    put_error(w, answers, "401", "MISSING_TOKEN, INVALID_TOKEN", row->is.errors);
    put_error(w, answers, "403", "FORBIDDEN, or the code of whoever judges tokens", row->is.errors);
  }
  if (parameters)
    put_error(w, answers, "404", "There is no such thing", row->is.errors);
  if (row->rate)
    put_error(w, answers, "429", "RATE_LIMIT_EXCEEDED", row->is.errors);
  put_error(w, answers, "default", "Any other error", row->is.errors);
}

/* "/api/endpoints/:id" is "/api/endpoints/{id}" there. */
static void path_of(const char *declared, struct mu_buf *out)
{
  for (const char *at = declared; *at;) {
    if (at[0] == '/' && at[1] == ':') {
      size_t len = strcspn(at + 2, "/+");
      mu_buf_printf(out, "/{%.*s}", (int)len, at + 2);
      at += 2 + len + (at[2 + len] == '+');
    } else {
      mu_buf_add(out, at++, 1);
    }
  }
}

static const char *method_of(enum mu_http_method method)
{
  return method == MU_HTTP_GET     ? "get"
         : method == MU_HTTP_POST  ? "post"
         : method == MU_HTTP_PUT   ? "put"
         : method == MU_HTTP_PATCH ? "patch"
                                   : "delete";
}

static void put_operation(struct writer *w, struct json_object *paths, const struct mui_rest_row *row)
{
  struct mu_buf path = MU_BUF_INIT;
  path_of(row->is.path, &path);
  struct json_object *item = NULL;
  if (path.failed)
    w->failed = true;
  else if (!json_object_object_get_ex(paths, path.at, &item))
    item = object_in(w, paths, path.at);
  mu_buf_free(&path);
  struct json_object *operation = object_in(w, item, method_of(row->is.method));
  struct json_object *tags = array_in(w, operation, "tags");
  append(w, tags, json_object_new_string(row->set->in->name));
  if (row->is.summary)
    puts_(w, operation, "summary", row->is.summary);
  static const char *const access[] = {
      [MU_ACCESS_PUBLIC] = "public", [MU_ACCESS_USER] = "user", [MU_ACCESS_ADMIN] = "admin"};
  puts_(w, operation, "x-muster-access", access[row->is.access]);
  if (row->is.owner)
    puts_(w, operation, "x-muster-owner", row->is.owner);
  struct json_object *security = array_in(w, operation, "security");
  if (row->is.access != MU_ACCESS_PUBLIC) {
    struct json_object *bearer = json_object_new_object();
    append(w, security, bearer);
    if (!w->failed)
      array_in(w, bearer, "bearer");
  }
  if (row->rate) {
    struct json_object *rate = object_in(w, operation, "x-muster-rate");
    puts_(w, rate, "name", row->is.rate.name);
    put(w, rate, "count", json_object_new_int64(row->is.rate.count));
    put(w, rate, "window_s", json_object_new_int64(row->is.rate.window_s));
  }
  put_parameters(w, operation, row);
  put_body(w, operation, row);
  put_answers(w, operation, row);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static struct json_object *components(void)
{
  static const char text[] =
      "{\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"}},"
      "\"schemas\":{"
      "\"Error\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
      "\"required\":[\"code\",\"message\",\"timestamp\",\"requestId\"],\"properties\":{"
      "\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},"
      "\"details\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"field\",\"message\"],"
      "\"properties\":{"
      "\"field\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}}},"
      "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},\"requestId\":{\"type\":\"string\"}}}}},"
      "\"ShortError\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
      "\"required\":[\"code\",\"message\"],\"properties\":{\"code\":{\"type\":\"string\"},\"message\":{\"type\":"
      "\"string\"}}}}},"
      "\"TextError\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"string\"}}}}}";
  struct json_object *made = NULL;
  return mu_json_parse(text, sizeof text - 1, &made, NULL) == 0 ? made : NULL;
}

mu_text *mui_rest_describe(struct mui_net *net, const struct mui_listener *listener)
{
  struct writer w = {0};
  struct json_object *document = json_object_new_object();
  puts_(&w, document, "openapi", "3.1.0");
  struct json_object *info = object_in(&w, document, "info");
  puts_(&w, info, "title", "Muster");
  puts_(&w, info, "version", MUSTER_VERSION);
  struct json_object *tags = array_in(&w, document, "tags");
  struct json_object *paths = object_in(&w, document, "paths");
  for (const struct mui_rest_set *set = net->rest->sets; set && !w.failed; set = set->next) {
    if (!mui_listener_serves(listener, set->in))
      continue;
    struct json_object *tag = json_object_new_object();
    append(&w, tags, tag);
    if (w.failed)
      break;
    puts_(&w, tag, "name", set->in->name);
    puts_(&w, tag, "description", set->title);
    for (size_t i = 0; i < set->count && !w.failed; i++)
      put_operation(&w, paths, &set->rows[i]);
  }
  put(&w, document, "components", components());
  mu_text *text = w.failed ? NULL : mu_json_text(document);
  json_object_put(document);
  return text;
}
