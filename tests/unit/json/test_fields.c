/* SPDX-License-Identifier: ISC */
/* Field tables: every field × wrong types, generated from the table; ranges, missing, double, paths. */
#include <json-c/json.h>
#include <muster/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

struct report {
  struct mu_json_value id, name, percent, cores, total, online, disk, network, note, timestamp;
};

#define AT(member) offsetof(struct report, member)
static const struct mu_field fields[] = {
    {"id", MU_FIELD_STRING, MU_FIELD_REQUIRED, 0, 16, AT(id)},
    {"name", MU_FIELD_STRING, MU_FIELD_NULLABLE, 0, 0, AT(name)},
    {"cpu", MU_FIELD_OBJECT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
    {"cpu.percent", MU_FIELD_NUMBER, MU_FIELD_REQUIRED, 0, 100, AT(percent)},
    {"cpu.cores", MU_FIELD_INT, 0, 1, 4096, AT(cores)},
    {"memory.total", MU_FIELD_UINT, MU_FIELD_REQUIRED, 0, 0, AT(total)},
    {"memory.delta", MU_FIELD_INT, 0, 0, 0, MU_FIELD_CHECK_ONLY},
    {"online", MU_FIELD_BOOL, 0, 0, 0, AT(online)},
    {"disk", MU_FIELD_ARRAY, MU_FIELD_REQUIRED, 0, 0, AT(disk)},
    {"disk[].path", MU_FIELD_STRING, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
    {"disk[].total", MU_FIELD_UINT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
    {"disk[].share", MU_FIELD_NUMBER, MU_FIELD_NULLABLE, 0, 1, MU_FIELD_CHECK_ONLY},
    {"per_core[]", MU_FIELD_NUMBER, 0, 0, 0, MU_FIELD_CHECK_ONLY},
    {"network", MU_FIELD_OBJECT, MU_FIELD_NULLABLE, 0, 0, AT(network)},
    {"network.io.speed", MU_FIELD_NUMBER, 0, 0, 0, MU_FIELD_CHECK_ONLY},
    {"note", MU_FIELD_ANY, 0, 0, 0, AT(note)},
    {"timestamp", MU_FIELD_UINT, MU_FIELD_REQUIRED, 0, 0, AT(timestamp)},
};

static const char good[] = "{\"id\":\"m1\",\"name\":\"\\u0041b\",\"cpu\":{\"percent\":7.5,\"cores\":4},\"memory\":{"
                           "\"total\":25276510208,\"delta\":-3},"
                           "\"online\":true,\"disk\":[{\"path\":\"/\",\"total\":1,\"share\":0.5},{\"path\":\"/"
                           "b\",\"total\":2,\"share\":null}],"
                           "\"per_core\":[1,2.5],\"network\":{\"io\":{\"speed\":0}},\"note\":[1],\"timestamp\":"
                           "1795246128,\"more\":{\"cpu\":1}}";

static const struct {
  const char *literal;
  enum mu_json_kind kind;
  bool whole;
} wrongs[] = {
    {"null", MU_JSON_NULL, false},    {"true", MU_JSON_BOOL, false},
    {"\"7\"", MU_JSON_STRING, false}, {"{}", MU_JSON_OBJECT, false},
    {"[]", MU_JSON_ARRAY, false},     {"1.5", MU_JSON_NUMBER, false},
    {"-1", MU_JSON_NUMBER, true},     {"9223372036854775808", MU_JSON_NUMBER, false},
    {"12", MU_JSON_NUMBER, true},
};

/* What the scan must say to a literal in this field. */
static int expected(const struct mu_field *field, size_t wrong)
{
  enum mu_json_kind kind = wrongs[wrong].kind;
  if (kind == MU_JSON_NULL)
    return field->type == MU_FIELD_ANY || (field->flags & MU_FIELD_NULLABLE) ? 0 : MU_ETYPE;
  double number = strtod(wrongs[wrong].literal, NULL);
  bool ranged = field->min != 0 || field->max != 0;
  switch (field->type) {
  case MU_FIELD_ANY:
    return 0;
  case MU_FIELD_BOOL:
    return kind == MU_JSON_BOOL ? 0 : MU_ETYPE;
  case MU_FIELD_STRING:
    return kind == MU_JSON_STRING ? 0 : MU_ETYPE;
  case MU_FIELD_OBJECT:
    return kind == MU_JSON_OBJECT ? 0 : MU_ETYPE; /* what an empty one lacks is another matter */
  case MU_FIELD_ARRAY:
    return kind == MU_JSON_ARRAY ? 0 : MU_ETYPE;
  case MU_FIELD_INT:
  case MU_FIELD_UINT:
    if (kind != MU_JSON_NUMBER || strchr(wrongs[wrong].literal, '.'))
      return MU_ETYPE;
    if (!wrongs[wrong].whole || (field->type == MU_FIELD_UINT && number < 0))
      return MU_ERANGE;
    break;
  default:
    if (kind != MU_JSON_NUMBER)
      return MU_ETYPE;
  }
  return ranged && (number < field->min || number > field->max) ? MU_ERANGE : 0;
}

/* Puts a literal where the path leads, in the second element of arrays; `shown` gets the path with its index. */
static void put(struct json_object *at, const char *path, const char *literal, char *shown)
{
  struct json_object *value = literal ? json_object_new_double_s(0, literal) : NULL;
  shown[0] = '\0';
  for (;;) {
    size_t len = strcspn(path, ".[");
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)len, path);
    strcat(shown, key);
    path += len;
    if (!*path) {
      if (value)
        json_object_object_add(at, key, value);
      else
        json_object_object_del(at, key);
      return;
    }
    struct json_object *next = NULL;
    CU_ASSERT_FATAL(json_object_object_get_ex(at, key, &next));
    at = next;
    if (*path == '[') {
      strcat(shown, "[1]");
      path += 2;
      if (!*path) {
        json_object_array_put_idx(at, 1, value);
        return;
      }
      at = json_object_array_get_idx(at, 1);
    }
    strcat(shown, ".");
    path++;
  }
}

static mu_schema *schema_new(void)
{
  mu_schema *schema = mu_schema_new(fields, MU_COUNT(fields), sizeof fields[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  return schema;
}

static void test_good(void)
{
  mu_schema *schema = schema_new();
  struct report r;
  memset(&r, 0xee, sizeof r);
  struct mu_json_error error;
  CU_ASSERT_EQUAL(mu_json_scan(schema, good, strlen(good), &r, &error), 0);
  CU_ASSERT_EQUAL(r.id.kind, MU_JSON_STRING);
  CU_ASSERT(mu_str_equal(mu_json_str(&r.id), MU_STR("m1")));
  CU_ASSERT(r.name.escaped);
  CU_ASSERT_EQUAL(r.percent.number, 7.5);
  CU_ASSERT(!r.percent.whole);
  CU_ASSERT(r.cores.whole && r.cores.integer == 4 && r.cores.number == 4);
  CU_ASSERT_EQUAL(r.total.integer, 25276510208);
  CU_ASSERT(r.online.kind == MU_JSON_BOOL && r.online.boolean);
  CU_ASSERT(r.disk.kind == MU_JSON_ARRAY && r.disk.at[0] == '[' && r.disk.at[r.disk.len - 1] == ']');
  CU_ASSERT(r.note.len == 3 && memcmp(r.note.at, "[1]", 3) == 0);
  CU_ASSERT(memcmp(r.note.member, "\"note\"", 6) == 0);
  CU_ASSERT_EQUAL(error.code, 0);
  /* everything is reset, also what is not there now */
  const char *small = "{\"id\":\"m\",\"cpu\":{\"percent\":1},\"memory\":{\"total\":1},\"disk\":[],\"timestamp\":1}";
  CU_ASSERT_EQUAL(mu_json_scan(schema, small, strlen(small), &r, NULL), 0);
  CU_ASSERT(r.name.kind == MU_JSON_NONE && r.online.kind == MU_JSON_NONE && r.network.kind == MU_JSON_NONE);
  CU_ASSERT(!r.name.escaped && r.name.at == NULL);
  mu_schema_free(schema);
}

static void test_wrong_types(void)
{
  mu_schema *schema = schema_new();
  unsigned refused = 0;
  for (size_t f = 0; f < MU_COUNT(fields); f++) {
    for (size_t w = 0; w < MU_COUNT(wrongs); w++) {
      struct json_object *tree = json_tokener_parse(good);
      char shown[96];
      put(tree, fields[f].path, wrongs[w].literal, shown);
      const char *text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN);
      struct report r;
      struct mu_json_error error;
      int code = mu_json_scan(schema, text, strlen(text), &r, &error);
      int must = expected(&fields[f], w);
      if (fields[f].type == MU_FIELD_OBJECT && must == 0)
        must = strcmp(fields[f].path, "cpu") == 0 ? MU_EMISSING : 0; /* {} lacks percent */
      CU_ASSERT_EQUAL(code, must);
      if (code != must)
        printf("\n  %s = %s: %d, expected %d", shown, wrongs[w].literal, code, must);
      if (must) {
        refused++;
        CU_ASSERT_EQUAL(error.code, must);
        if (must != MU_EMISSING) {
          CU_ASSERT_STRING_EQUAL(error.path, shown);
          CU_ASSERT(strncmp(text + error.offset, wrongs[w].literal, strlen(wrongs[w].literal)) == 0);
        } else {
          CU_ASSERT_STRING_EQUAL(error.path, "cpu.percent");
        }
        CU_ASSERT(error.what[0] != '\0');
      }
      json_object_put(tree);
    }
  }
  CU_ASSERT(refused > 100);
  mu_schema_free(schema);
}

static void test_missing(void)
{
  mu_schema *schema = schema_new();
  for (size_t f = 0; f < MU_COUNT(fields); f++) {
    struct json_object *tree = json_tokener_parse(good);
    char shown[96];
    if (strcmp(fields[f].path, "per_core[]") == 0) {
      json_object_put(tree);
      continue;
    }
    put(tree, fields[f].path, NULL, shown);
    const char *text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN);
    struct mu_json_error error;
    int code = mu_json_scan(schema, text, strlen(text), NULL, &error);
    CU_ASSERT_EQUAL(code, fields[f].flags & MU_FIELD_REQUIRED ? MU_EMISSING : 0);
    CU_ASSERT_STRING_EQUAL(error.path, fields[f].flags & MU_FIELD_REQUIRED ? shown : "");
    json_object_put(tree);
  }
  mu_schema_free(schema);
}

static int scan_with(const mu_schema *schema, const char *text, struct mu_json_error *error)
{
  return mu_json_scan(schema, text, strlen(text), NULL, error);
}

static void test_twice(void)
{
  const struct mu_field table[] = {
      {"cpu", MU_FIELD_NUMBER, 0, 0, 0, MU_FIELD_CHECK_ONLY},
      {"d[].\xc3\xa9", MU_FIELD_NUMBER, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
      {"d[].\xf0\x9f\x98\x80", MU_FIELD_NUMBER, 0, 0, 0, MU_FIELD_CHECK_ONLY},
  };
  mu_schema *schema = mu_schema_new(table, MU_COUNT(table), sizeof table[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  struct mu_json_error error;
  CU_ASSERT_EQUAL(scan_with(schema, "{\"cpu\":1,\"cpu\":1}", &error), MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(error.path, "cpu");
  CU_ASSERT_EQUAL(scan_with(schema, "{\"cpu\":1,\"cp\\u0075\":1}", &error), MU_EEXIST);
  CU_ASSERT_EQUAL(scan_with(schema, "{\"\\u0063\\u0070\\u0075\":1,\"cpu\":2}", &error), MU_EEXIST);
  CU_ASSERT_EQUAL(scan_with(schema, "{\"cp\\u0075\":\"no\"}", &error), MU_ETYPE);
  CU_ASSERT_EQUAL(scan_with(schema, "{\"d\":[{\"\\u00E9\":1},{}]}", &error), MU_EMISSING);
  CU_ASSERT_STRING_EQUAL(error.path, "d[1].\xc3\xa9");
  CU_ASSERT_EQUAL(scan_with(schema, "{\"d\":[{\"\\u00E9\":1,\"\\ud83d\\ude00\":true}]}", &error), MU_ETYPE);
  CU_ASSERT_EQUAL(scan_with(schema, "{\"x\":1,\"x\":1,\"cpu \":1,\"cpu\\u0020\":1,\"\":1,\"\":2}", &error), 0);
  mu_schema_free(schema);
}

static void test_ranges(void)
{
  mu_schema *schema = schema_new();
  struct mu_json_error error;
  const char *head = "\"cpu\":{\"percent\":%s},\"memory\":{\"total\":%s},\"disk\":[],\"timestamp\":1}";
  static const struct {
    const char *id, *percent, *total;
    int code;
    const char *path, *what;
  } cases[] = {
      {"m", "0", "0", 0, "", ""},
      {"m", "100", "9223372036854775807", 0, "", ""},
      {"m", "100.000000000000001", "0", 0, "", ""}, /* the same double as 100 */
      {"m", "100.5", "0", MU_ERANGE, "cpu.percent", "must be a number from 0 to 100"},
      {"m", "-1e-9", "0", MU_ERANGE, "cpu.percent", "must be a number from 0 to 100"},
      {"m", "1e999", "0", MU_ERANGE, "cpu.percent", "must be a finite number, if whole within 64 bits"},
      {"m", "1", "9223372036854775808", MU_ERANGE, "memory.total",
       "must be a whole number from 0 to 9223372036854775807"},
      {"m", "1", "18446744073709551616", MU_ERANGE, "memory.total", "must be a finite number, if whole within 64 bits"},
      {"m", "1", "-1", MU_ERANGE, "memory.total", "must be a whole number from 0 to 9223372036854775807"},
      {"m", "1", "1.0", MU_ETYPE, "memory.total", "must be a whole number"},
      {"m", "1", "1e3", MU_ETYPE, "memory.total", "must be a whole number"},
      {"m", "1", "-0", 0, "", ""},
      {"0123456789abcdef", "1", "0", 0, "", ""},
      {"0123456789abcdefX", "1", "0", MU_ERANGE, "id", "must be at most 16 bytes long"},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    char text[512];
    int len = snprintf(text, sizeof text, "{\"id\":\"%s\",", cases[i].id);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text + len, sizeof text - (size_t)len, head, cases[i].percent, cases[i].total);
#pragma GCC diagnostic pop
    CU_ASSERT_EQUAL(scan_with(schema, text, &error), cases[i].code);
    if (cases[i].code) {
      CU_ASSERT_STRING_EQUAL(error.path, cases[i].path);
      CU_ASSERT_STRING_EQUAL(error.what, cases[i].what);
    }
  }
  mu_schema_free(schema);
}

static void test_tops(void)
{
  struct mu_json_error error;
  const struct mu_field list[] = {{"[].total", MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
                                  {"[].m[][]", MU_FIELD_BOOL, 0, 0, 0, MU_FIELD_CHECK_ONLY}};
  mu_schema *schema = mu_schema_new(list, 2, sizeof list[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  CU_ASSERT_EQUAL(scan_with(schema, "[{\"total\":1},{\"total\":2,\"m\":[[],[true]]}]", &error), 0);
  CU_ASSERT_EQUAL(scan_with(schema, "[{\"total\":1},{\"total\":2,\"m\":[[],[true,3]]}]", &error), MU_ETYPE);
  CU_ASSERT_STRING_EQUAL(error.path, "[1].m[1][1]");
  CU_ASSERT_EQUAL(scan_with(schema, "[[]]", &error), MU_ETYPE);
  CU_ASSERT_STRING_EQUAL(error.path, "[0]");
  CU_ASSERT_EQUAL(scan_with(schema, "{}", &error), MU_ETYPE);
  CU_ASSERT_STRING_EQUAL(error.path, "");
  CU_ASSERT_STRING_EQUAL(error.what, "must be an array");
  mu_schema_free(schema);

  const struct mu_field top[] = {{"", MU_FIELD_OBJECT, 0, 0, 0, 0}};
  schema = mu_schema_new(top, 1, sizeof top[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  struct mu_json_value value;
  CU_ASSERT_EQUAL(mu_json_scan(schema, " {} ", 4, &value, &error), 0);
  CU_ASSERT(value.kind == MU_JSON_OBJECT && value.len == 2 && value.member == NULL);
  CU_ASSERT_EQUAL(mu_json_scan(schema, "[]", 2, &value, &error), MU_ETYPE);
  mu_schema_free(schema);

  /* rows longer than ours, from a caller that is newer */
  struct {
    struct mu_field field;
    char more[24];
  } longer[2] = {{.field = {"a", MU_FIELD_INT, 0, 0, 0, MU_FIELD_CHECK_ONLY}},
                 {.field = {"b", MU_FIELD_BOOL, 0, 0, 0, MU_FIELD_CHECK_ONLY}}};
  schema = mu_schema_new(&longer[0].field, 2, sizeof longer[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  CU_ASSERT_EQUAL(scan_with(schema, "{\"b\":1}", &error), MU_ETYPE);
  mu_schema_free(schema);
}

static void test_contradictions(void)
{
#define ROW(path, type)                                                                                                \
  {                                                                                                                    \
    path, type, 0, 0, 0, MU_FIELD_CHECK_ONLY                                                                           \
  }
  static const struct mu_field tables[][2] = {
      {ROW("a", MU_FIELD_INT), ROW("a", MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW("a.b", MU_FIELD_INT)},
      {ROW("a.b", MU_FIELD_INT), ROW("a", MU_FIELD_ARRAY)},
      {ROW("a[]", MU_FIELD_INT), ROW("a.b", MU_FIELD_INT)},
      {ROW("a[]", MU_FIELD_INT), {"a[].b", MU_FIELD_INT, 0, 0, 0, MU_FIELD_CHECK_ONLY}},
      {ROW("a", MU_FIELD_INT), {"b[].c", MU_FIELD_INT, 0, 0, 0, 8}},
      {ROW("a", MU_FIELD_INT), {"b", MU_FIELD_INT, 0, 5, 4, MU_FIELD_CHECK_ONLY}},
      {ROW("a", MU_FIELD_INT), {"b", MU_FIELD_INT, 64, 0, 0, MU_FIELD_CHECK_ONLY}},
      {ROW("a", MU_FIELD_INT), {"b[]", MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY}},
      {ROW("a", MU_FIELD_INT), ROW("b..c", MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW("b.", MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW("b[x]", MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW("b[]c", MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW(NULL, MU_FIELD_INT)},
      {ROW("a", MU_FIELD_INT), ROW("b", (enum mu_field_type)99)},
  };
  for (size_t i = 0; i < MU_COUNT(tables); i++)
    CU_ASSERT_PTR_NULL(mu_schema_new(tables[i], 2, sizeof tables[i][0]));
  CU_ASSERT_PTR_NULL(mu_schema_new(tables[0], 1, 8));

  struct mu_field many[65];
  char names[65][8];
  for (size_t i = 0; i < 65; i++) {
    snprintf(names[i], sizeof names[i], "m%zu", i);
    many[i] = (struct mu_field){names[i], MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY};
  }
  CU_ASSERT_PTR_NULL(mu_schema_new(many, 65, sizeof many[0]));
  mu_schema *schema = mu_schema_new(many, 64, sizeof many[0]);
  CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{");
  for (size_t i = 0; i < 64; i++)
    mu_buf_printf(&text, "%s\"m%zu\":%zu", i ? "," : "", i, i);
  struct mu_json_error error;
  CU_ASSERT_EQUAL(mu_json_scan(schema, text.at, text.len, NULL, &error), MU_ESYNTAX);
  mu_buf_adds(&text, "}");
  CU_ASSERT_EQUAL(mu_json_scan(schema, text.at, text.len, NULL, &error), 0);
  char *last = strstr(text.at, "\"m63\"");
  last[3] = 'x';
  CU_ASSERT_EQUAL(mu_json_scan(schema, text.at, text.len, NULL, &error), MU_EMISSING);
  CU_ASSERT_STRING_EQUAL(error.path, "m63");
  mu_buf_free(&text);
  mu_schema_free(schema);
  mu_schema_free(NULL);
}

static const struct unit_test tests[] = {
    {"a good report gives its fields", test_good},
    {"every field with wrong types, each error names it", test_wrong_types},
    {"every field missing", test_missing},
    {"a known member given twice, also with escapes", test_twice},
    {"ranges and lengths", test_ranges},
    {"arrays and other top values", test_tops},
    {"tables that contradict themselves", test_contradictions},
};
UNIT_MAIN("json fields", tests)
