/* SPDX-License-Identifier: ISC */
/* Whatever a connection says: the peek agrees with the scan, what passes can be kept, every error names something. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void accepted(int kind, const void *fields)
{
  struct mu_json_error error;
  char what[224];
  if (kind == CODEC_INFO && codec_check_info(fields, &error) == 0) {
    mu_text *facts = codec_facts(fields);
    struct json_object *object = NULL;
    if (!facts || mu_json_parse(mu_text_data(facts), mu_text_len(facts), &object, NULL) != 0 ||
        !json_object_object_get_ex(object, "os", NULL))
      abort();
    json_object_put(object);
    mu_text_unref(facts);
  }
  if (kind == CODEC_DATA && codec_check_data(fields, &error) == 0) {
    const struct data_fields *sample = fields;
    struct json_object *metrics = NULL;
    if (sample->metrics.at[0] != '{' || codec_metrics(sample->metrics.at, sample->metrics.len, &metrics) != 0)
      abort();
    json_object_object_foreach(metrics, name, collector)
    {
      if (!name || !json_object_is_type(collector, json_type_object))
        abort();
    }
    struct json_object *all = NULL;
    bool canonical = codec_is_canonical((struct mu_str){sample->metrics.at, sample->metrics.len});
    if (mu_json_parse(sample->metrics.at, sample->metrics.len, &all, NULL) != 0 ||
        (canonical && json_object_object_length(all) != json_object_object_length(metrics)))
      abort();
    json_object_put(all);
    json_object_put(metrics);
  }
  if (kind == CODEC_AUTH && codec_check_auth(fields, &error) != 0) {
    codec_error_text(&error, what, sizeof what);
    if (!error.path[0] || !strstr(what, error.path))
      abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct codec codec;
  static mu_schema *schemas[CODEC_TYPES];
  if (!codec.type) {
    if (codec_init(&codec) != 0)
      abort();
    for (int i = 0; i < CODEC_TYPES; i++)
      if (!(schemas[i] = codec_schema(codec_tables[i].fields, codec_tables[i].count, sizeof(struct mu_field))))
        abort();
  }
  const struct mu_str text = {(const char *)data, size};
  struct mu_json_error error;
  struct mu_buf scratch = MU_BUF_INIT;
  struct mu_str peeked = codec_peek(text), type;
  int result = codec_read_type(&codec, text, &type, &scratch, &error);
  if (result == 0 && peeked.len > 0 && !mu_str_equal(peeked, type))
    abort();
  if (result != 0 && codec_is_bad_json(text, &error) && !error.path[0] && !error.what[0])
    abort();
  for (int i = 0; i < CODEC_TYPES; i++) {
    union {
      struct auth_fields auth;
      struct info_fields info;
      struct data_fields data;
      struct plain_fields plain;
    } fields;
    memset(&fields, 0, sizeof fields);
    int code = mu_json_scan(schemas[i], text.at, text.len, &fields, &error);
    char what[224];
    codec_error_text(&error, what, sizeof what);
    if (code == 0 && result != 0)
      abort(); /* every table has the type in it */
    if (code == 0)
      accepted(i, &fields);
    else if (!what[0])
      abort();
  }
  mu_buf_free(&scratch);
  return 0;
}
