/* SPDX-License-Identifier: ISC */
/* With --fields: the field tables as JSON, for the black-box tests that break every one of them. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "unit.h"

#define PEEKS(text, wanted) CU_ASSERT(mu_str_equal(codec_peek(mu_str(text)), mu_str(wanted)))

static void peeks(void)
{
  PEEKS("{\"type\":\"data\",\"x\":1}", "data");
  PEEKS(" \t\r\n{ \"type\" \n:\t\"system_info\"}", "system_info");
  PEEKS("{\"type\":\"a_type_of_thirty_one_character\"}", "a_type_of_thirty_one_character");
  PEEKS("{\"type\":\"a_type_of_more_than_31_characters\"}", "");
  PEEKS("{\"x\":1,\"type\":\"data\"}", "");
  PEEKS("{\"type\":\"d\\u0061ta\"}", "");
  PEEKS("{\"type\":\"Data\"}", "");
  PEEKS("{\"type\":\"\"}", "");
  PEEKS("{\"type\":\"1a\"}", "");
  PEEKS("{\"type\":data}", "");
  PEEKS("[\"type\"]", "");
  static const char whole[] = "{\"type\":\"data\"}";
  for (size_t len = 0; len < sizeof whole - 2; len++)
    CU_ASSERT(codec_peek((struct mu_str){whole, len}).len == 0);
}

static void type_is_read_wherever_it_is(void)
{
  struct codec codec;
  struct mu_str type;
  struct mu_buf scratch = MU_BUF_INIT;
  struct mu_json_error error;
  CU_ASSERT_FATAL(codec_init(&codec) == 0);
  CU_ASSERT(codec_read_type(&codec, MU_STR("{\"a\":{\"type\":1},\"type\":\"ping\"}"), &type, &scratch, &error) == 0);
  CU_ASSERT(mu_str_equal(type, MU_STR("ping")));
  CU_ASSERT(codec_read_type(&codec, MU_STR("{\"t\\u0079pe\":\"p\\u0069ng\"}"), &type, &scratch, &error) == 0);
  CU_ASSERT(mu_str_equal(type, MU_STR("ping")));
  const struct {
    const char *text;
    bool bad_json;
    const char *what;
  } rows[] = {
      {"{}", false, "type is missing"},
      {"{\"type\":5}", false, "type must be a string"},
      {"{\"type\":5", true, NULL},
      {"{\"type\":null}", false, "type must be a string"},
      {"{\"type\":1e400}", false, "type must be a string"},
      {"{\"x\":1e400}", true, NULL},
      {"{\"type\":\"a\",\"type\":\"a\"}", false, "type is given twice"},
      {"{\"type\":\"a\"} x", true, "bytes after the value"},
      {"[]", true, "must be an object"},
      {"5", true, "must be an object"},
      {"", true, "expected a value"},
  };
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    struct mu_str text = mu_str(rows[i].text);
    char what[224];
    CU_ASSERT(codec_read_type(&codec, text, &type, &scratch, &error) != 0 && type.len == 0);
    CU_ASSERT(codec_is_bad_json(text, &error) == rows[i].bad_json);
    codec_error_text(&error, what, sizeof what);
    if (rows[i].what)
      CU_ASSERT_STRING_EQUAL(what, rows[i].what);
  }
  mu_buf_free(&scratch);
  codec_fini(&codec);
}

/* Reads `text` as a message of this type; the error's text is in `what`. */
static int read_as(enum codec_type kind, const char *text, void *fields, char *what)
{
  const struct codec_table *table = &codec_tables[kind];
  mu_schema *schema = codec_schema(table->fields, table->count, sizeof(struct mu_field));
  CU_ASSERT_FATAL(schema != NULL);
  struct mu_json_error error = {0};
  memset(fields, 0, table->size);
  int result = mu_json_scan(schema, text, strlen(text), fields, &error);
  if (result == 0)
    result = kind == CODEC_AUTH   ? codec_check_auth(fields, &error)
             : kind == CODEC_INFO ? codec_check_info(fields, &error)
             : kind == CODEC_DATA ? codec_check_data(fields, &error)
                                  : 0;
  codec_error_text(&error, what, 224);
  mu_schema_free(schema);
  return result;
}

#define GOOD(kind, text, fields) CU_ASSERT(read_as(kind, text, fields, what) == 0)
#define BAD(kind, text, fields, wanted)                                                                                \
  do {                                                                                                                 \
    CU_ASSERT(read_as(kind, text, fields, what) != 0);                                                                 \
    CU_ASSERT_STRING_EQUAL(what, wanted);                                                                              \
  } while (0)

static void auth_takes_one_credential(void)
{
  struct auth_fields fields;
  char what[224], text[400];
  GOOD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\"}", &fields);
  GOOD(CODEC_AUTH, "{\"type\":\"auth\",\"sessionToken\":\"t\",\"scope\":\"agent\",\"machineId\":\"A.b_c:d-9\"}",
       &fields);
  GOOD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\",\"scope\":\"admin\",\"extra\":[{}]}", &fields);
  BAD(CODEC_AUTH, "{\"type\":\"auth\"}", &fields, "apiKey is missing");
  BAD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\",\"sessionToken\":\"t\"}", &fields,
      "sessionToken must not be given together with apiKey");
  BAD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\",\"apiKey\":\"k\"}", &fields, "apiKey is given twice");
  BAD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\",\"scope\":\"root\"}", &fields,
      "scope must be \"agent\" or \"admin\"");
  BAD(CODEC_AUTH, "{\"type\":\"auth\",\"apiKey\":\"k\",\"scope\":\"adm\\u0069n\"}", &fields,
      "scope must be \"agent\" or \"admin\"");
  static const char *const bad[] = {"", "a b", "a/b", "\\u0061", "\xc3\xa4", "a\\\"b"};
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    snprintf(text, sizeof text, "{\"type\":\"auth\",\"apiKey\":\"k\",\"machineId\":\"%s\"}", bad[i]);
    BAD(CODEC_AUTH, text, &fields, "machineId must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -");
  }
  snprintf(text, sizeof text, "{\"type\":\"auth\",\"apiKey\":\"k\",\"machineId\":\"%0128d\"}", 0);
  GOOD(CODEC_AUTH, text, &fields);
  snprintf(text, sizeof text, "{\"type\":\"auth\",\"apiKey\":\"k\",\"machineId\":\"%0129d\"}", 0);
  BAD(CODEC_AUTH, text, &fields, "machineId must be at most 128 bytes long");
}

static void facts_keep_what_was_sent(void)
{
  struct info_fields fields;
  char what[224], text[5000];
  GOOD(CODEC_INFO,
       "{\"type\":\"system_info\",\"ram\":\"16 GB\",\"ip\":\"1.2.3.4\",\"cpu\":8,\"kernel\":\"6.1\",\"x\":1,"
       "\"collectors\":[ \"cpu\" ]}",
       &fields);
  mu_text *facts = codec_facts(&fields);
  CU_ASSERT_STRING_EQUAL(mu_text_data(facts), "{\"ip\":\"1.2.3.4\",\"ram\":\"16 GB\",\"cpu\":8,\"hostname\":null,"
                                              "\"os\":null,\"kernel\":\"6.1\",\"collectors\":[ \"cpu\" ]}");
  mu_text_unref(facts);
  GOOD(CODEC_INFO, "{\"type\":\"system_info\"}", &fields);
  facts = codec_facts(&fields);
  CU_ASSERT_STRING_EQUAL(mu_text_data(facts), "{\"ip\":null,\"ram\":null,\"cpu\":null,\"hostname\":null,\"os\":null}");
  mu_text_unref(facts);
  static const char *const any[] = {"ip", "ram", "cpu"}, *const bad[] = {"true", "[]", "{}", "[1]"};
  for (size_t i = 0; i < MU_COUNT(any); i++)
    for (size_t j = 0; j < MU_COUNT(bad); j++) {
      char wanted[200];
      snprintf(text, sizeof text, "{\"type\":\"system_info\",\"%s\":%s}", any[i], bad[j]);
      snprintf(wanted, sizeof wanted, "%s must be a number, a string of at most 64 bytes, or null", any[i]);
      BAD(CODEC_INFO, text, &fields, wanted);
    }
  snprintf(text, sizeof text, "{\"type\":\"system_info\",\"ram\":\"%064d\"}", 0);
  GOOD(CODEC_INFO, text, &fields);
  snprintf(text, sizeof text, "{\"type\":\"system_info\",\"ram\":\"%065d\"}", 0);
  BAD(CODEC_INFO, text, &fields, "ram must be a number, a string of at most 64 bytes, or null");
  snprintf(text, sizeof text, "{\"type\":\"system_info\",\"ram\":1.%064d}", 0);
  BAD(CODEC_INFO, text, &fields, "ram must be a number, a string of at most 64 bytes, or null");
  BAD(CODEC_INFO, "{\"type\":\"system_info\",\"collectors\":[\"cpu\",5]}", &fields, "collectors[1] must be a string");
  int n = snprintf(text, sizeof text, "{\"type\":\"system_info\",\"collectors\":[\"\"");
  while (n < 4200)
    n += snprintf(text + n, sizeof text - (size_t)n, ",\"0123456789\"");
  snprintf(text + n, sizeof text - (size_t)n, "]}");
  BAD(CODEC_INFO, text, &fields, "collectors must be at most 4096 bytes long");
}

static void data_needs_metrics(void)
{
  struct data_fields fields;
  char what[224];
  GOOD(CODEC_DATA, "{\"type\":\"data\",\"metrics\":{}}", &fields);
  GOOD(CODEC_DATA, "{\"type\":\"data\",\"boot\":\"b\",\"seq\":0,\"timestamp\":1,\"metrics\":{\"gpu\":{}}}", &fields);
  CU_ASSERT(fields.seq.whole && fields.metrics.len == 10);
  BAD(CODEC_DATA, "{\"type\":\"data\"}", &fields, "metrics is missing");
  BAD(CODEC_DATA, "{\"type\":\"data\",\"boot\":\"b\",\"metrics\":{}}", &fields, "seq must be given with boot");
  BAD(CODEC_DATA, "{\"type\":\"data\",\"seq\":1,\"metrics\":{}}", &fields, "boot must be given with seq");
  BAD(CODEC_DATA, "{\"type\":\"data\",\"boot\":\"\",\"seq\":1,\"metrics\":{}}", &fields,
      "boot must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -");
  BAD(CODEC_DATA, "{\"type\":\"data\",\"boot\":\"b\",\"seq\":-1,\"metrics\":{}}", &fields,
      "seq must be a whole number from 0 to 9223372036854775807");
  BAD(CODEC_DATA, "{\"type\":\"data\",\"metrics\":{\"cpu\":[]}}", &fields, "metrics.cpu must be an object");
}

static void metrics_are_objects(void)
{
  struct json_object *metrics = NULL;
  struct mu_str text = MU_STR("{\"cpu\":{\"percent\":1},\"x\":5,\"y\":[],\"z\":null,\"gpu\":{}}");
  CU_ASSERT_FATAL(codec_metrics(text.at, text.len, &metrics) == 0);
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(metrics, JSON_C_TO_STRING_PLAIN),
                         "{\"cpu\":{\"percent\":1},\"gpu\":{}}");
  json_object_put(metrics);
  CU_ASSERT(codec_metrics("[]", 2, &metrics) == MU_ETYPE);
  CU_ASSERT(codec_metrics("{", 1, &metrics) == MU_ESYNTAX);
}

/* What is canonical as it came goes on as it came: the quick look must agree with the parser. */
static void canonical_as_it_came(void)
{
  static const struct {
    const char *text;
    bool canonical;
  } rows[] = {
      {"{}", true},
      {" { \n\t} ", true},
      {"{\"cpu\":{}}", true},
      {"{ \"cpu\" :\r\n{ \"percent\" : 1 } , \"own\" : {\"list\":[1,{\"a\":[]},\"x\"],\"n\":null,\"t\":true}}", true},
      {"{\"a\\\"b:5,\\\\\":{\"x\":\"}]\\\\\"},\"\":{}}", true},
      {"{\"x\":{\"a\":{\"b\":{\"c\":5}}}}", true},
      {"{\"x\":5}", false},
      {"{\"x\": null}", false},
      {"{\"x\":\"{\"}", false},
      {"{\"x\":[{}]}", false},
      {"{\"cpu\":{\"percent\":1},\"x\":true}", false},
      {"{\"cpu\":{\"percent\":[1]},\"x\" :\t-1.5,\"gpu\":{}}", false},
      {"{\"cpu\":{\"a\":\"\\\\\"},\"x\":5}", false},
      {"{\"x\":{},\"x\":5}", false},
  };
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    CU_ASSERT_EQUAL(mu_json_scan(NULL, rows[i].text, strlen(rows[i].text), NULL, NULL), 0);
    CU_ASSERT_EQUAL(codec_is_canonical(mu_str(rows[i].text)), rows[i].canonical);
  }
}

/* A caller that was compiled against a smaller struct mu_field. */
static void tables_of_older_plugins(void)
{
  struct {
    const char *path;
    enum mu_field_type type;
    unsigned flags;
  } old[] = {{"a", MU_FIELD_BOOL, MU_FIELD_REQUIRED}, {"b.c", MU_FIELD_STRING, 0}};
  struct mu_json_error error;
  char fields[1024] = {0};
  mu_schema *schema = codec_schema((const struct mu_field *)(const void *)old, 2, sizeof old[0]);
  CU_ASSERT_FATAL(schema != NULL);
  CU_ASSERT(mu_json_scan(schema, "{\"type\":\"x\",\"a\":true}", 21, fields, &error) == 0);
  CU_ASSERT(mu_json_scan(schema, "{\"type\":\"x\",\"a\":1}", 18, fields, &error) == MU_ETYPE);
  CU_ASSERT(mu_json_scan(schema, "{\"a\":true}", 10, fields, &error) == MU_EMISSING);
  CU_ASSERT_STRING_EQUAL(error.path, "type");
  mu_schema_free(schema);
}

static const struct unit_test tests[] = {
    {"the type is seen when it comes first", peeks},
    {"the type is read wherever it is", type_is_read_wherever_it_is},
    {"auth takes exactly one credential", auth_takes_one_credential},
    {"facts keep values as they were sent", facts_keep_what_was_sent},
    {"data needs metrics", data_needs_metrics},
    {"metrics are objects in an object", metrics_are_objects},
    {"canonical as it came", canonical_as_it_came},
    {"tables of older plugins", tables_of_older_plugins},
};

static void print_fields(void)
{
  static const char *const types[] = {"any", "bool", "int", "uint", "number", "string", "object", "array"};
  printf("[");
  for (size_t i = 0, n = 0; i < CODEC_TYPES; i++)
    for (size_t j = 0; j < codec_tables[i].count; j++) {
      const struct mu_field *field = &codec_tables[i].fields[j];
      printf("%s{\"type\":\"%s\",\"path\":\"%s\",\"kind\":\"%s\",\"nullable\":%s,\"required\":%s,\"max\":%.0f}",
             n++ ? ",\n" : "", codec_tables[i].type, field->path, types[field->type],
             field->flags & MU_FIELD_NULLABLE ? "true" : "false", field->flags & MU_FIELD_REQUIRED ? "true" : "false",
             field->max);
    }
  printf("]\n");
}

int main(int argc, char **argv)
{
  if (argc == 2 && strcmp(argv[1], "--fields") == 0) {
    print_fields();
    return 0;
  }
  return unit_main("session: messages", tests, MU_COUNT(tests));
}
