/* SPDX-License-Identifier: ISC */
/*
 * What REST clients write, by the first byte: a body against a table with a field of every kind, a time, a list of languages, a path.
 * What passed must be as the table says; what did not must be told in valid JSON.
 */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>
#include "base/utf8.h"
#include "net/rest.h"

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool even(struct mu_str value, struct mu_words *why)
{
  *why = MU_WORDS("must be even", "必须为偶数");
  return value.len % 2 == 0;
}

static const char *const colours[] = {"red", "green", NULL};
static const struct mu_rest_field inner[] = {
    {.name = "x", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED, .min = 0, .max = 9},
    {.name = "t", .type = MU_REST_TIME},
};
static const struct mu_rest_field fields[] = {
    {.name = "s", .also = "S", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .min = 1, .max = 8, .check = even},
    {.name = "w", .type = MU_REST_STRING, .one_of = colours},
    {.name = "p", .type = MU_REST_STRING, .pattern = "[a-z]+(_[a-z]+)*", .flags = MU_REST_NULLABLE},
    {.name = "i", .type = MU_REST_INTEGER, .min = -5, .max = 5},
    {.name = "n", .type = MU_REST_NUMBER},
    {.name = "b", .type = MU_REST_BOOLEAN},
    {.name = "t", .type = MU_REST_TIME},
    {.name = "y", .type = MU_REST_ANY},
    {.name = "o", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(inner)},
    {.name = "a", .type = MU_REST_ARRAY, .min = 0, .max = 3, .fields = MU_REST_FIELDS(inner)},
    {.name = "l", .type = MU_REST_ARRAY, .item = MU_REST_INTEGER},
};

static struct json_object *member(struct json_object *object, const char *name)
{
  struct json_object *value = NULL;
  json_object_object_get_ex(object, name, &value);
  return value;
}

static void check_inner(struct json_object *object)
{
  struct json_object *x = member(object, "x"), *t = member(object, "t");
  CHECK(json_object_is_type(x, json_type_int) && json_object_get_int64(x) >= 0 && json_object_get_int64(x) <= 9);
  CHECK(!t || json_object_is_type(t, json_type_int));
  CHECK(json_object_object_length(object) == 1 + (t != NULL));
}

static void check_passed(struct json_object *values)
{
  struct json_object *s = member(values, "s"), *w = member(values, "w"), *p = member(values, "p"),
                     *i = member(values, "i"), *n = member(values, "n"), *a = member(values, "a"),
                     *l = member(values, "l"), *t = member(values, "t"), *o = member(values, "o");
  CHECK(json_object_is_type(s, json_type_string) && json_object_get_string_len(s) % 2 == 0);
  CHECK(json_object_get_string_len(s) > 0 && json_object_get_string_len(s) <= 32);
  CHECK(mui_utf8_valid(json_object_get_string(s), (size_t)json_object_get_string_len(s)));
  CHECK(!w || strcmp(json_object_get_string(w), "red") == 0 || strcmp(json_object_get_string(w), "green") == 0);
  CHECK(!p ||
        strspn(json_object_get_string(p), "abcdefghijklmnopqrstuvwxyz_") == (size_t)json_object_get_string_len(p));
  CHECK(!i || (json_object_is_type(i, json_type_int) && labs(json_object_get_int64(i)) <= 5));
  CHECK(!n || isfinite(json_object_get_double(n)));
  CHECK(!t || json_object_is_type(t, json_type_int));
  if (o)
    check_inner(o);
  for (size_t at = 0; a && at < json_object_array_length(a); at++)
    check_inner(json_object_array_get_idx(a, at));
  CHECK(!a || json_object_array_length(a) <= 3);
  for (size_t at = 0; l && at < json_object_array_length(l); at++)
    CHECK(json_object_is_type(json_object_array_get_idx(l, at), json_type_int));
}

static void body(const struct mui_rest_table *table, const char *text, size_t len, bool zh)
{
  struct json_object *object = NULL;
  if (mu_json_parse(text, len, &object, NULL) != 0)
    return;
  if (json_object_is_type(object, json_type_object)) {
    struct json_object *values = json_object_new_object();
    struct mui_rest_faults faults = {.zh = zh};
    CHECK(values && mui_rest_check_body(table, object, values, &faults));
    if (faults.count) {
      struct mu_json_error error;
      mu_buf_adds(&faults.details, "]");
      CHECK(!faults.details.failed && mu_json_scan(NULL, faults.details.at, faults.details.len, NULL, &error) == 0);
    } else {
      CHECK(faults.details.len == 0);
      check_passed(values);
      mu_text *again = mu_json_text(values);
      CHECK(again);
      mu_text_unref(again);
    }
    mu_buf_free(&faults.details);
    json_object_put(values);
  }
  json_object_put(object);
}

static void times(struct mu_str text)
{
  int64_t strict, loose, back;
  char shown[25];
  bool good = mui_iso_parse(text, true, &strict);
  bool also = mui_iso_parse(text, false, &loose);
  CHECK(!good || (also && strict == loose));
  if (!also)
    return;
  mu_iso_time(loose, shown);
  CHECK(strlen(shown) == 24 && mu_iso_parse(mu_str(shown), &back));
  /* Zones lead out of the years of four digits by less than a day. */
  CHECK(back == loose || loose < -62167219200000 || loose > 253402300799999);
}

static void paths(struct mu_str path)
{
  struct mui_route route = {.path = (char[]){"/a/:x/b/:y"}, .parameters = 2};
  struct mu_str values[MUI_ROUTE_PARAMETERS] = {{0}};
  if (!mui_route_parameters(&route, path, values))
    return;
  char again[4096];
  int len = snprintf(again, sizeof again, "/a/%.*s/b/%.*s", (int)values[0].len, values[0].at, (int)values[1].len,
                     values[1].at);
  CHECK(memchr(path.at, '\0', path.len) || (size_t)len >= sizeof again ||
        mu_str_equal(path, (struct mu_str){again, (size_t)len}));
  CHECK(values[0].len > 0 && values[1].len > 0 && !memchr(values[0].at, '/', values[0].len) &&
        !memchr(values[1].at, '/', values[1].len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct mui_rest_table table;
  static struct mui_runtime runtime;
  if (!table.fields) {
    mu_instance *in = mui_instance_new(&runtime, "fuzz", "fuzz");
    CHECK(in && mui_rest_compile(in, (struct mu_rest_fields)MU_REST_FIELDS(fields), sizeof *fields, "/", &table) == 0);
    mui_instance_free(in);
  }
  if (size == 0)
    return 0;
  char *text = malloc(size); /* without the first byte, with a NUL; exactly as large, so that reading beyond is seen */
  CHECK(text);
  memcpy(text, data + 1, size - 1);
  text[size - 1] = '\0';
  struct mu_str rest = {text, size - 1};
  switch (data[0] % 5) {
  case 0:
  case 1:
    body(&table, text, size - 1, data[0] % 5);
    break;
  case 2:
    times(rest);
    break;
  case 3:
    mui_reads_chinese(text);
    break;
  default:
    if (rest.len > 0 && text[0] == '/')
      paths(rest);
  }
  free(text);
  return 0;
}
