/* SPDX-License-Identifier: ISC */
/* Bodies and queries against their tables. Every bad field is named; what handlers see is made here. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>
#include "base/utf8.h"
#include "net/rest.h"

enum { MAX_FAULTS = 50 };
static const int64_t last_second = 253402300799; /* of the year 9999 */

/* Where a value stands: "config.items[2]". */
struct place {
  const struct place *outer;
  const char *name; /* NULL: an item */
  size_t index;
};

static void write_place(const struct place *place, struct mu_buf *out)
{
  if (place->outer)
    write_place(place->outer, out);
  if (!place->name)
    mu_buf_printf(out, "[%zu]", place->index);
  else
    mu_buf_printf(out, "%s%s", place->outer ? "." : "", place->name);
}

void mui_rest_fault(struct mui_rest_faults *faults, struct mu_str field, struct mu_words words)
{
  if (faults->count++ >= MAX_FAULTS)
    return;
  const char *text = faults->zh && words.zh ? words.zh : words.en;
  if (faults->count == 1)
    snprintf(faults->first, sizeof faults->first, "%.*s%s%s", (int)field.len, field.at, field.len ? ": " : "", text);
  mu_buf_adds(&faults->details, faults->count == 1 ? "[{\"field\":" : ",{\"field\":");
  mu_buf_json_string(&faults->details, field);
  mu_buf_adds(&faults->details, ",\"message\":");
  mu_buf_json_string(&faults->details, mu_str(text));
  mu_buf_adds(&faults->details, "}");
}

static void fault(struct mui_rest_faults *faults, const struct place *place, struct mu_words words)
{
  struct mu_buf field = MU_BUF_INIT;
  if (faults->count < MAX_FAULTS)
    write_place(place, &field);
  faults->details.failed |= field.failed;
  mui_rest_fault(faults, (struct mu_str){field.at ? field.at : "", field.len}, words);
  mu_buf_free(&field);
}

/* A missing value, a wrong type, a length: the field's own words, or these. */
static void fault_of(struct mui_rest_faults *faults, const struct place *place, const struct mu_rest_field *field,
                     struct mu_words words)
{
  fault(faults, place, field->words.en ? field->words : words);
}

static void fault_type(struct mui_rest_faults *faults, const struct place *place, const struct mu_rest_field *field,
                       enum mu_rest_type type)
{
  static const struct mu_words words[] = {
      [MU_REST_ANY] = {"must be there", "不能为空"},
      [MU_REST_STRING] = {"must be a text", "必须是字符串"},
      [MU_REST_INTEGER] = {"must be a whole number", "必须是整数"},
      [MU_REST_NUMBER] = {"must be a number", "必须是数字"},
      [MU_REST_BOOLEAN] = {"must be true or false", "必须是布尔值"},
      [MU_REST_TIME] = {"must be a time: ISO 8601, or Unix seconds", "必须是 ISO 8601 时间或 Unix 秒数"},
      [MU_REST_OBJECT] = {"must be an object", "必须是对象"},
      [MU_REST_ARRAY] = {"must be an array", "必须是数组"},
  };
  fault_of(faults, place, field, words[type]);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

enum { BOUND_VALUE, BOUND_CHARACTERS, BOUND_ITEMS };

static void number_text(double value, char out[32])
{
  if (value == floor(value) && fabs(value) < 1e15)
    snprintf(out, 32, "%.0f", value);
  else
    snprintf(out, 32, "%g", value);
}

static void check_bounds(struct mui_rest_faults *faults, const struct place *place, const struct mu_rest_field *field,
                         double value, unsigned kind)
{
  /* "%s" twice: from, to; or once. */
  static const struct {
    struct mu_words both, least, most;
  } words[] = {
      [BOUND_VALUE] = {{"must be from %s to %s", "必须在 %s 到 %s 之间"},
                       {"must be at least %s", "不能小于 %s"},
                       {"must be at most %s", "不能大于 %s"}},
      [BOUND_CHARACTERS] = {{"must have from %s to %s characters", "长度必须为 %s-%s 个字符"},
                            {"must have at least %s characters", "长度不能少于 %s 个字符"},
                            {"must have at most %s characters", "长度不能超过 %s 个字符"}},
      [BOUND_ITEMS] = {{"must have from %s to %s items", "必须包含 %s 到 %s 项"},
                       {"must have at least %s items", "至少需要 %s 项"},
                       {"must have at most %s items", "不能超过 %s 项"}},
  };
  if ((field->min == 0 && field->max == 0) || (value >= field->min && value <= field->max))
    return;
  if (field->words.en) {
    fault(faults, place, field->words);
    return;
  }
  char min[32], max[32], text[2][160];
  number_text(field->min, min);
  number_text(field->max, max);
  bool only_most = kind != BOUND_VALUE && field->min == 0, only_least = field->max >= 1e15;
  struct mu_words form = only_least ? words[kind].least : only_most ? words[kind].most : words[kind].both;
  const char *first = only_most && !only_least ? max : min;
  const char *forms[] = {form.en, form.zh};
  for (size_t i = 0; i < 2; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text[i], sizeof text[i], forms[i], first, max);
#pragma GCC diagnostic pop
  }
  fault(faults, place, (struct mu_words){text[0], text[1]});
}

/* ---- values ---------------------------------------------------------------------------------- */

static void check_words(struct mui_rest_faults *faults, const struct place *place, const struct mu_rest_field *field,
                        const char *text)
{
  struct mu_buf en = MU_BUF_INIT, zh = MU_BUF_INIT;
  mu_buf_adds(&en, "must be one of: ");
  mu_buf_adds(&zh, "必须是以下之一: ");
  for (const char *const *word = field->one_of; *word; word++) {
    if (strcmp(*word, text) == 0)
      goto done;
    mu_buf_printf(&en, "%s%s", word == field->one_of ? "" : ", ", *word);
    mu_buf_printf(&zh, "%s%s", word == field->one_of ? "" : ", ", *word);
  }
  if (en.failed || zh.failed)
    faults->details.failed = true;
  else
    fault(faults, place, field->words.en ? field->words : (struct mu_words){en.at, zh.at});
done:
  mu_buf_free(&en);
  mu_buf_free(&zh);
}

static double characters(struct mu_str text)
{
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++)
    n += ((unsigned char)text.at[i] & 0xc0) != 0x80;
  return (double)n;
}

static void check_string(struct mui_rest_faults *faults, const struct place *place, const struct mui_rest_field *field,
                         struct json_object *value)
{
  struct mu_str text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
  check_bounds(faults, place, &field->is, characters(text), BOUND_CHARACTERS);
  if (field->is.one_of)
    check_words(faults, place, &field->is, text.at);
  if (field->pattern && regexec(field->pattern, text.at, 0, NULL, 0) != 0)
    fault(faults, place,
          field->is.pattern_words.en ? field->is.pattern_words : MU_WORDS("has a wrong form", "格式无效"));
  struct mu_words why = MU_WORDS("is not valid", "无效");
  if (field->is.check && !field->is.check(text, &why))
    fault(faults, place, why);
}

/* A whole number within int64, be it written 5, 5.0 or 5e0. */
static bool whole(struct json_object *value, int64_t *out)
{
  if (json_object_is_type(value, json_type_int)) {
    *out = json_object_get_int64(value);
    return *out != INT64_MAX || json_object_get_uint64(value) <= INT64_MAX;
  }
  if (!json_object_is_type(value, json_type_double))
    return false;
  double number = json_object_get_double(value);
  if (!(fabs(number) <= 9007199254740992.0) || number != floor(number))
    return false;
  *out = (int64_t)number;
  return true;
}

static bool is_number(struct json_object *value)
{
  return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

static bool time_of(struct json_object *value, int64_t *unix_ms)
{
  if (is_number(value)) {
    double seconds = json_object_get_double(value);
    if (!(fabs(seconds) <= (double)last_second))
      return false;
    *unix_ms = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) * 1000
                                                         : (int64_t)floor(seconds * 1000);
    return true;
  }
  struct mu_str text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
  return json_object_is_type(value, json_type_string) && mui_iso_parse(text, false, unix_ms);
}

static bool is_scalar(struct json_object *value, enum mu_rest_type type)
{
  int64_t number;
  switch (type) {
  case MU_REST_ANY:
    return true;
  case MU_REST_STRING:
    return json_object_is_type(value, json_type_string);
  case MU_REST_INTEGER:
    return whole(value, &number);
  case MU_REST_NUMBER:
    return is_number(value);
  case MU_REST_BOOLEAN:
    return json_object_is_type(value, json_type_boolean);
  case MU_REST_TIME:
    return time_of(value, &number);
  case MU_REST_OBJECT:
    return json_object_is_type(value, json_type_object);
  case MU_REST_ARRAY:
    return json_object_is_type(value, json_type_array);
  }
  return false;
}

/* What handlers get of a scalar: a new reference, NULL: out of memory. */
static struct json_object *canonical(struct json_object *value, enum mu_rest_type type)
{
  int64_t number = 0;
  if (type == MU_REST_INTEGER && whole(value, &number))
    return json_object_new_int64(number);
  if (type == MU_REST_TIME && time_of(value, &number))
    return json_object_new_int64(number);
  return json_object_get(value);
}

static bool check_table(const struct mui_rest_table *table, struct json_object *object, const struct place *outer,
                        struct json_object *values, struct mui_rest_faults *faults);

/* An item, or NULL: it was no good, or memory is out (and the faults have failed). */
static struct json_object *check_item(const struct mui_rest_field *field, struct json_object *item,
                                      const struct place *place, struct mui_rest_faults *faults)
{
  enum mu_rest_type type = field->members.count ? MU_REST_OBJECT : field->is.item;
  if (!is_scalar(item, type) || (!item && type == MU_REST_ANY)) {
    struct mu_rest_field plain = {0};
    fault_type(faults, place, &plain, type);
    return NULL;
  }
  struct json_object *made = field->members.count ? json_object_new_object() : canonical(item, type);
  if (!made || (field->members.count && !check_table(&field->members, item, place, made, faults))) {
    faults->details.failed = true;
    json_object_put(made);
    return NULL;
  }
  return made;
}

static struct json_object *check_array(const struct mui_rest_field *field, struct json_object *value,
                                       const struct place *place, struct mui_rest_faults *faults)
{
  size_t count = json_object_array_length(value);
  check_bounds(faults, place, &field->is, (double)count, BOUND_ITEMS);
  struct json_object *made = json_object_new_array();
  for (size_t i = 0; made && i < count && faults->count < MAX_FAULTS; i++) {
    struct place at = {.outer = place, .index = i};
    struct json_object *item = check_item(field, json_object_array_get_idx(value, i), &at, faults);
    if (item && json_object_array_add(made, item) < 0) {
      json_object_put(item);
      faults->details.failed = true;
    }
  }
  return made;
}

/* What handlers see of a value; NULL with a fault, or for want of memory (and the faults have failed). */
static struct json_object *check_value(const struct mui_rest_field *field, struct json_object *value,
                                       const struct place *place, struct mui_rest_faults *faults)
{
  struct json_object *made;
  if (!is_scalar(value, field->is.type)) {
    fault_type(faults, place, &field->is, field->is.type);
    return NULL;
  }
  switch (field->is.type) {
  case MU_REST_STRING:
    check_string(faults, place, field, value);
    break;
  case MU_REST_INTEGER:
  case MU_REST_NUMBER:
    check_bounds(faults, place, &field->is, json_object_get_double(value), BOUND_VALUE);
    break;
  case MU_REST_ARRAY:
    made = check_array(field, value, place, faults);
    faults->details.failed |= !made;
    return made;
  case MU_REST_OBJECT:
    if (field->members.count == 0)
      break;
    made = json_object_new_object();
    if (made && check_table(&field->members, value, place, made, faults))
      return made;
    json_object_put(made);
    faults->details.failed = true;
    return NULL;
  case MU_REST_ANY:
  case MU_REST_BOOLEAN:
  case MU_REST_TIME:
    break;
  }
  made = canonical(value, field->is.type);
  faults->details.failed |= !made;
  return made;
}

static bool judge_member(const struct mui_rest_field *field, bool given, struct json_object *value,
                         const struct place *place, struct json_object *values, struct mui_rest_faults *faults)
{
  struct json_object *made = NULL;
  if (!given) {
    if (field->is.flags & MU_REST_REQUIRED)
      fault_of(faults, place, &field->is, MU_WORDS("is missing", "不能为空"));
    return true;
  }
  if (value) {
    made = check_value(field, value, place, faults);
    if (!made)
      return !faults->details.failed;
  } else if (!(field->is.flags & MU_REST_NULLABLE)) {
    fault_type(faults, place, &field->is, field->is.type);
    return true;
  }
  if (json_object_object_add(values, field->is.name, made) == 0)
    return true;
  json_object_put(made);
  return false;
}

/* The first fault of all gives the error its code, its own or that of what is around it. */
static void name_fault(struct mui_rest_faults *faults, unsigned before, const struct mui_rest_field *field)
{
  if (before == 0 && faults->count > 0 && !faults->code)
    faults->code = field->is.code;
}

static bool check_member(const struct mui_rest_field *field, bool given, struct json_object *value,
                         const struct place *place, struct json_object *values, struct mui_rest_faults *faults)
{
  unsigned before = faults->count;
  bool went = judge_member(field, given, value, place, values, faults);
  name_fault(faults, before, field);
  return went;
}

static bool check_table(const struct mui_rest_table *table, struct json_object *object, const struct place *outer,
                        struct json_object *values, struct mui_rest_faults *faults)
{
  for (size_t i = 0; i < table->count; i++) {
    const struct mui_rest_field *field = &table->fields[i];
    struct place place = {.outer = outer, .name = field->is.name};
    struct json_object *value = NULL;
    bool given = json_object_object_get_ex(object, field->is.name, &value);
    if (!given && field->is.also) {
      given = json_object_object_get_ex(object, field->is.also, &value);
      place.name = given ? field->is.also : field->is.name;
    }
    if (!check_member(field, given, value, &place, values, faults))
      return false;
  }
  return true;
}

bool mui_rest_check_body(const struct mui_rest_table *table, struct json_object *object, struct json_object *values,
                         struct mui_rest_faults *faults)
{
  return check_table(table, object, NULL, values, faults) && !faults->details.failed;
}

/* ---- queries --------------------------------------------------------------------------------- */

/* A parameter as a value of its type; NULL: it is none, or memory is out (and *failed). */
static struct json_object *from_text(struct mu_str text, enum mu_rest_type type, bool *failed)
{
  struct json_object *made = NULL;
  struct mu_json_error error;
  bool numeric = text.len > 0 && (*text.at == '-' || (*text.at >= '0' && *text.at <= '9'));
  switch (type) {
  case MU_REST_BOOLEAN:
    if (mu_str_equal(text, MU_STR("true")) || mu_str_equal(text, MU_STR("1")))
      made = json_object_new_boolean(true);
    else if (mu_str_equal(text, MU_STR("false")) || mu_str_equal(text, MU_STR("0")))
      made = json_object_new_boolean(false);
    else
      return NULL;
    break;
  case MU_REST_INTEGER:
  case MU_REST_NUMBER:
  case MU_REST_TIME:
    if (numeric && text.at[text.len - 1] >= '0' && text.at[text.len - 1] <= '9') {
      int result = mu_json_parse(text.at, text.len, &made, &error);
      *failed |= result == MU_ENOMEM;
      if (result == 0 || type != MU_REST_TIME)
        return made;
    } else if (type != MU_REST_TIME) {
      return NULL;
    }
    made = json_object_new_string_len(text.at, (int)text.len);
    break;
  case MU_REST_ANY:
  case MU_REST_STRING:
    made = json_object_new_string_len(text.at, (int)text.len);
    break;
  case MU_REST_OBJECT:
  case MU_REST_ARRAY:
    return NULL;
  }
  *failed |= !made;
  return made;
}

static bool is_text(struct mu_str value)
{
  return !memchr(value.at, '\0', value.len) && mui_utf8_valid(value.at, value.len);
}

/* One parameter of the query into `*out`. False: it is not there. */
static bool read_parameter(const struct mui_rest_field *field, const char *name, const struct mu_http *request,
                           struct json_object **out, struct mui_rest_faults *faults, bool *bad)
{
  char text[MUI_HEAD_MAX + 1];
  struct mu_str value;
  bool many = field->is.type == MU_REST_ARRAY, given = false;
  enum mu_rest_type type = many ? field->is.item : field->is.type;
  int n = 0;
  while (mui_query_next(request->wsi, name, &n, text, &value)) {
    if (value.len == 0)
      continue; /* "status=": pages send their empty fields, too */
    if (type == MU_REST_TIME)
      for (size_t i = 11; i < value.len; i++) /* "2026-11-21T08:00+01:00", unescaped */
        text[value.at - text + (ptrdiff_t)i] = value.at[i] == ' ' ? '+' : value.at[i];
    struct json_object *made = is_text(value) ? from_text(value, type, &faults->details.failed) : NULL;
    if (!made || (given && !many)) {
      json_object_put(made);
      *bad = true;
      return true;
    }
    given = true;
    if (!many) {
      *out = made;
    } else if ((!*out && !(*out = json_object_new_array())) || json_object_array_add(*out, made) < 0) {
      json_object_put(made);
      faults->details.failed = true;
      return true;
    }
  }
  return given;
}

bool mui_rest_check_query(const struct mui_rest_table *table, const struct mu_http *request, struct json_object *values,
                          struct mui_rest_faults *faults)
{
  for (size_t i = 0; i < table->count; i++) {
    const struct mui_rest_field *field = &table->fields[i];
    struct place place = {.name = field->is.name};
    struct json_object *value = NULL;
    bool bad = false;
    bool given = read_parameter(field, field->is.name, request, &value, faults, &bad);
    if (!given && field->is.also) {
      given = read_parameter(field, field->is.also, request, &value, faults, &bad);
      place.name = given ? field->is.also : field->is.name;
    }
    bool went = true;
    unsigned before = faults->count;
    if (bad) {
      fault_type(faults, &place, &field->is, field->is.type);
      name_fault(faults, before, field);
    } else {
      went = check_member(field, given, value, &place, values, faults);
    }
    json_object_put(value);
    if (!went)
      return false;
  }
  return !faults->details.failed;
}
