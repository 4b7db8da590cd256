/* SPDX-License-Identifier: ISC */
/*
 * The scan against two others: the reference reader says what must be accepted and refused and why, json-c must read
 * whatever was accepted, and all values must agree. Found members are cut out and unescaped as well.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>

#include "reference.h"

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

enum { KEPT = 9 };
#define KEEP(n) ((n) * sizeof(struct mu_json_value))

static const struct mu_field fields[] = {
    {"a", MU_FIELD_NUMBER, 0, 0, 100, KEEP(0)},
    {"b", MU_FIELD_UINT, 0, 0, 0, KEEP(1)},
    {"c", MU_FIELD_INT, 0, -10, 10, KEEP(2)},
    {"s", MU_FIELD_STRING, MU_FIELD_NULLABLE, 0, 5, KEEP(3)},
    {"t", MU_FIELD_BOOL, 0, 0, 0, KEEP(4)},
    {"any", MU_FIELD_ANY, 0, 0, 0, KEEP(5)},
    {"o", MU_FIELD_OBJECT, MU_FIELD_NULLABLE, 0, 0, KEEP(6)},
    {"o.x", MU_FIELD_NUMBER, MU_FIELD_REQUIRED, 0, 0, KEEP(7)},
    {"o.p.q", MU_FIELD_INT, 0, 0, 0, MU_FIELD_CHECK_ONLY},
    {"l", MU_FIELD_ARRAY, 0, 0, 0, KEEP(8)},
    {"l[].n", MU_FIELD_UINT, MU_FIELD_REQUIRED, 0, 0, MU_FIELD_CHECK_ONLY},
    {"l[].m[]", MU_FIELD_BOOL, MU_FIELD_NULLABLE, 0, 0, MU_FIELD_CHECK_ONLY},
};

/* ---- what the table says to a value, read plainly from the table ------------------------------- */

static const struct mu_field *row_of(const char *path)
{
  for (size_t i = 0; i < MU_COUNT(fields); i++)
    if (strcmp(fields[i].path, path) == 0)
      return &fields[i];
  return NULL;
}

/* What follows the path in a longer row: '.', '[' or 0. */
static char leads_on(const char *path)
{
  size_t len = strlen(path);
  for (size_t i = 0; i < MU_COUNT(fields); i++)
    if (strncmp(fields[i].path, path, len) == 0 && (fields[i].path[len] == '[' || fields[i].path[len] == '.'))
      return fields[i].path[len];
  return 0;
}

static bool type_fits(const struct mu_field *row, const struct ref_node *node)
{
  bool within = row->min == 0 && row->max == 0;
  switch (row->type) {
  case MU_FIELD_ANY:
    return true;
  case MU_FIELD_BOOL:
    return node->kind == MU_JSON_BOOL;
  case MU_FIELD_INT:
  case MU_FIELD_UINT:
    if (node->kind != MU_JSON_NUMBER || !node->literal_int)
      return false;
    if (row->type == MU_FIELD_UINT && node->negative && node->magnitude != 0)
      return false;
    if (node->magnitude > (uint64_t)INT64_MAX + node->negative)
      return false;
    return within || (node->number >= row->min && node->number <= row->max);
  case MU_FIELD_NUMBER:
    return node->kind == MU_JSON_NUMBER && (within || (node->number >= row->min && node->number <= row->max));
  case MU_FIELD_STRING:
    return node->kind == MU_JSON_STRING && (within || (double)(node->end - node->begin - 2) <= row->max);
  case MU_FIELD_OBJECT:
    return node->kind == MU_JSON_OBJECT;
  default:
    return node->kind == MU_JSON_ARRAY;
  }
}

static bool same_key(const struct ref_node *a, const struct ref_node *b)
{
  return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* The path of a known member, or false. */
static bool member_path(const char *path, const struct ref_node *member, char *out, size_t room)
{
  if (member->key_len == 0 || member->key_len > 8 || memchr(member->key, '.', member->key_len) ||
      memchr(member->key, '[', member->key_len))
    return false;
  snprintf(out, room, "%s%s%s", path, *path ? "." : "", member->key);
  return row_of(out) || leads_on(out);
}

/* Whether the table accepts the value; values that are kept are noted in `kept`. */
static bool table_accepts(const struct ref_node *node, const char *path, const struct ref_node **kept)
{
  const struct mu_field *row = row_of(path);
  char on = *path ? leads_on(path) : '.';
  if (row && row->offset != MU_FIELD_CHECK_ONLY)
    kept[row->offset / sizeof(struct mu_json_value)] = node;
  if (row && (row->flags & MU_FIELD_NULLABLE) && node->kind == MU_JSON_NULL)
    return true;
  if (row && !type_fits(row, node))
    return false;
  if ((on == '.' && node->kind != MU_JSON_OBJECT) || (on == '[' && node->kind != MU_JSON_ARRAY))
    return false;
  char below[128];
  if (on == '[') {
    snprintf(below, sizeof below, "%s[]", path);
    for (const struct ref_node *e = node->child; e; e = e->next)
      if (!table_accepts(e, below, kept))
        return false;
  }
  if (on != '.')
    return true;
  for (const struct ref_node *m = node->child; m; m = m->next) {
    if (!member_path(path, m, below, sizeof below))
      continue;
    for (const struct ref_node *other = m->next; other; other = other->next)
      if (same_key(m, other))
        return false;
    if (!table_accepts(m, below, kept))
      return false;
  }
  for (size_t i = 0; i < MU_COUNT(fields); i++) {
    size_t len = strlen(path);
    const char *name = fields[i].path + len;
    if (!(fields[i].flags & MU_FIELD_REQUIRED) || strncmp(fields[i].path, path, len) != 0 || name[0] != '.' ||
        strpbrk(name + 1, ".["))
      continue;
    bool there = false;
    for (const struct ref_node *m = node->child; m; m = m->next)
      there = there || (m->key_len == strlen(name + 1) && memcmp(m->key, name + 1, m->key_len) == 0);
    if (!there)
      return false;
  }
  return true;
}

/* ---- comparisons ------------------------------------------------------------------------------ */

static void compare_tree(const struct ref_node *node, struct json_object *theirs)
{
  switch (node->kind) {
  case MU_JSON_NULL:
    CHECK(theirs == NULL);
    break;
  case MU_JSON_BOOL:
    CHECK(json_object_is_type(theirs, json_type_boolean) && json_object_get_boolean(theirs) == node->boolean);
    break;
  case MU_JSON_NUMBER:
    CHECK(json_object_is_type(theirs, node->literal_int ? json_type_int : json_type_double));
    CHECK(json_object_get_double(theirs) == node->number);
    if (node->literal_int && node->negative)
      CHECK((uint64_t)json_object_get_int64(theirs) == 0 - node->magnitude);
    else if (node->literal_int)
      CHECK(json_object_get_uint64(theirs) == node->magnitude);
    break;
  case MU_JSON_STRING:
    CHECK(json_object_is_type(theirs, json_type_string));
    CHECK((size_t)json_object_get_string_len(theirs) == node->string_len);
    CHECK(memcmp(json_object_get_string(theirs), node->string, node->string_len) == 0);
    break;
  case MU_JSON_ARRAY: {
    CHECK(json_object_is_type(theirs, json_type_array));
    size_t n = 0;
    for (const struct ref_node *e = node->child; e; e = e->next)
      compare_tree(e, json_object_array_get_idx(theirs, n++));
    CHECK(json_object_array_length(theirs) == n);
    break;
  }
  default: {
    CHECK(json_object_is_type(theirs, json_type_object));
    int n = 0;
    for (const struct ref_node *m = node->child; m; m = m->next) {
      const struct ref_node *later = m->next;
      while (later && !same_key(m, later))
        later = later->next;
      if (later)
        continue; /* json-c keeps the last one */
      struct json_object *value;
      CHECK(json_object_object_get_ex(theirs, m->key, &value));
      compare_tree(m, value);
      n++;
    }
    CHECK(json_object_object_length(theirs) == n);
  }
  }
}

static void compare_value(const struct ref_node *node, const struct mu_json_value *value, const char *text, size_t len)
{
  CHECK(value->kind == node->kind);
  CHECK(value->at == text + node->begin && value->len == node->end - node->begin);
  CHECK(value->member == text + node->key_begin);
  if (value->kind == MU_JSON_NUMBER) {
    CHECK(value->number == node->number);
    CHECK(value->whole == (node->literal_int && node->magnitude <= (uint64_t)INT64_MAX + node->negative));
    if (value->whole)
      CHECK((uint64_t)value->integer == (node->negative ? 0 - node->magnitude : node->magnitude));
  }
  if (value->kind == MU_JSON_BOOL)
    CHECK(value->boolean == node->boolean);
  struct mu_buf plain = MU_BUF_INIT;
  if (value->kind == MU_JSON_STRING) {
    CHECK(value->escaped == node->escaped);
    CHECK(mu_json_unescape(value, &plain) == 0);
    CHECK(plain.len == node->string_len && memcmp(plain.at, node->string, plain.len) == 0);
    if (!value->escaped)
      CHECK(mu_str_equal(mu_json_str(value), (struct mu_str){node->string, node->string_len}));
  } else {
    CHECK(mu_json_unescape(value, &plain) == MU_ETYPE);
  }
  mu_buf_free(&plain);

  struct mu_edit edit = mu_json_cut((struct mu_str){text, len}, value);
  CHECK(edit.len > value->len);
  mu_text *rest = mu_text_splice((struct mu_str){text, len}, &edit, 1);
  CHECK(rest != NULL && mu_text_len(rest) == len - edit.len);
  CHECK(mu_json_scan(NULL, mu_text_data(rest), mu_text_len(rest), NULL, NULL) == 0);
  mu_text_unref(rest);
}

/* json-c's own opinion, strict as far as it goes. */
static bool json_c_accepts(const char *text, size_t len)
{
  struct json_tokener *tokener = json_tokener_new_ex(64);
  json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
  struct json_object *object = json_tokener_parse_ex(tokener, text, (int)len);
  size_t end = json_tokener_get_parse_end(tokener);
  if (json_tokener_get_error(tokener) == json_tokener_continue) {
    object = json_tokener_parse_ex(tokener, " ", 1);
    end = len;
  }
  bool good = json_tokener_get_error(tokener) == json_tokener_success && end == len;
  json_object_put(object);
  json_tokener_free(tokener);
  return good;
}

/* What json-c reads and writes of an accepted text must be accepted again and mean the same. */
static void round_trip(const struct ref_node *node, const char *text, size_t len)
{
  struct json_object *theirs = NULL, *again = NULL;
  CHECK(mu_json_parse(text, len, &theirs, NULL) == 0);
  compare_tree(node, theirs);
  mu_text *written = mu_json_text(theirs);
  CHECK(written != NULL);
  CHECK(mu_json_parse(mu_text_data(written), mu_text_len(written), &again, NULL) == 0);
  CHECK(json_object_equal(theirs, again));
  mu_text_unref(written);
  json_object_put(theirs);
  json_object_put(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const char *text = (const char *)data;
  enum ref_reason reason;
  struct ref_node *node = ref_parse(text, size, &reason);
  struct mu_json_error error;
  CHECK((mu_json_scan(NULL, text, size, NULL, &error) == 0) == (node != NULL));
  CHECK(error.offset <= size && error.path[0] == '\0' && (error.code == 0) == (node != NULL));
  CHECK(reason != REF_DEPTH || error.code == MU_ELIMIT);
  CHECK((reason != REF_INTEGER && reason != REF_FINITE) || error.code == MU_ERANGE);

  mu_schema *schema = mu_schema_new(fields, MU_COUNT(fields), sizeof fields[0]);
  struct mu_json_value values[KEPT];
  memset(values, 0xa5, sizeof values);
  int code = mu_json_scan(schema, text, size, values, &error);
  if (!node) {
    CHECK(code != 0);
    if (reason == REF_STRUCTURE)
      CHECK(!json_c_accepts(text, size));
  } else {
    const struct ref_node *kept[KEPT] = {0};
    bool accepted = table_accepts(node, "", kept);
    CHECK((code == 0) == accepted);
    CHECK(accepted || code == MU_ETYPE || code == MU_ERANGE || code == MU_EMISSING || code == MU_EEXIST);
    CHECK(accepted || error.path[0] || node->kind != MU_JSON_OBJECT);
    for (size_t i = 0; accepted && i < KEPT; i++) {
      if (kept[i])
        compare_value(kept[i], &values[i], text, size);
      else
        CHECK(values[i].kind == MU_JSON_NONE && values[i].at == NULL);
    }
    round_trip(node, text, size);
  }
  mu_schema_free(schema);
  ref_free(node);
  return 0;
}
