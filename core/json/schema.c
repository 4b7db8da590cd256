/* SPDX-License-Identifier: ISC */
/* Field tables → trees. */
#include <math.h>
#include <stdlib.h>

#include <muster/log.h>

#include "json/schema.h"

static struct mui_json_node *node_new(struct mui_json_node *parent, const char *name, size_t len)
{
  struct mui_json_node *node = calloc(1, sizeof *node);
  if (!node)
    return NULL;
  node->parent = parent;
  node->level = parent ? (uint8_t)(parent->level + 1) : 0;
  memcpy(node->name, name, len);
  node->name_len = (uint8_t)len;
  node->offset = MU_FIELD_CHECK_ONLY;
  return node;
}

static void node_free(struct mui_json_node *node)
{
  if (!node)
    return;
  node_free(node->element);
  for (unsigned i = 0; i < node->count; i++)
    node_free(node->members[i]);
  free(node);
}

/* Fixes or compares the type; a path that goes through a value makes it a container. */
static bool become(struct mui_json_node *node, enum mu_field_type type)
{
  if (node->typed)
    return node->type == type;
  node->typed = true;
  node->type = (uint8_t)type;
  return true;
}

/* The element below an array; NULL with `*why` set. */
static struct mui_json_node *step_element(struct mui_json_node *node, const char **why)
{
  if (!become(node, MU_FIELD_ARRAY))
    *why = "is no array elsewhere in the table";
  else if (node->level >= MUI_JSON_DEPTH)
    *why = "lies too deep";
  else if (!node->element && !(node->element = node_new(node, "", 0)))
    *why = "out of memory";
  else
    return node->element;
  return NULL;
}

/* The member of an object, made where it is not there yet; NULL with `*why` set. */
static struct mui_json_node *step_member(struct mui_json_node *node, const char *name, size_t len, const char **why)
{
  if (!become(node, MU_FIELD_OBJECT)) {
    *why = "is no object elsewhere in the table";
    return NULL;
  }
  int at = mui_json_find(node, name, len);
  if (at >= 0)
    return node->members[at];
  if (len == 0 || len > MUI_JSON_NAME_MAX)
    *why = "has a name that is empty or too long";
  else if (node->level >= MUI_JSON_DEPTH)
    *why = "lies too deep";
  else if (node->count == MUI_JSON_MEMBERS)
    *why = "is the 65th member of one object";
  if (*why)
    return NULL;
  struct mui_json_node *member = node_new(node, name, len);
  if (!member) {
    *why = "out of memory";
    return NULL;
  }
  unsigned slot = mui_json_slot(name, len);
  while (node->slots[slot])
    slot = (slot + 1) % MUI_JSON_SLOTS;
  node->members[node->count++] = member;
  node->slots[slot] = (uint8_t)node->count;
  return member;
}

/* Walks "a.b[].c" down from the root, making what is missing. */
static struct mui_json_node *walk(struct mui_json_node *node, const char *path, bool *in_array, const char **why)
{
  bool first = true;
  while (node && *path) {
    if (strncmp(path, "[]", 2) == 0) {
      node = step_element(node, why);
      *in_array = true;
      path += 2;
    } else {
      if (!first && *path != '.') {
        *why = "has a malformed path";
        return NULL;
      }
      path += !first;
      size_t len = strcspn(path, ".[");
      node = step_member(node, path, len, why);
      path += len;
    }
    first = false;
  }
  return node;
}

static const char *add_row(mu_schema *schema, const struct mu_field *field)
{
  const char *why = NULL;
  bool in_array = false;
  struct mui_json_node *node = walk(schema->root, field->path, &in_array, &why);
  if (!node)
    return why;
  if (node->has_row)
    return "stands in the table twice";
  if ((unsigned)field->type > MU_FIELD_ARRAY || (field->flags & ~(unsigned)(MU_FIELD_REQUIRED | MU_FIELD_NULLABLE)))
    return "has an unknown type or flag";
  if (!become(node, field->type))
    return "has two types";
  if (in_array && field->offset != MU_FIELD_CHECK_ONLY)
    return "lies below an array and can only be checked";
  if (!(field->min <= field->max))
    return "has an empty range";
  node->has_row = true;
  node->nullable = field->flags & MU_FIELD_NULLABLE;
  node->ranged = field->min != 0 || field->max != 0;
  node->min = field->min;
  node->max = field->max;
  node->offset = field->offset;
  if (field->flags & MU_FIELD_REQUIRED) {
    if (node->name_len == 0)
      return "is no member and cannot be required";
    int at = mui_json_find(node->parent, node->name, node->name_len);
    node->parent->required |= UINT64_C(1) << at;
  }
  if (node->offset != MU_FIELD_CHECK_ONLY)
    schema->offsets[schema->kept++] = node->offset;
  return NULL;
}

mu_schema *mu_schema_new(const struct mu_field *fields, size_t count, size_t field_size)
{
  mu_schema *schema = calloc(1, sizeof *schema);
  if (!schema)
    return NULL;
  const char *why = NULL;
  const char *path = "";
  schema->root = node_new(NULL, "", 0);
  schema->offsets = calloc(count ? count : 1, sizeof *schema->offsets);
  if (!schema->root || !schema->offsets)
    why = "out of memory";
  else if (field_size < sizeof(struct mu_field))
    why = "the rows are shorter than struct mu_field";
  for (size_t i = 0; !why && i < count; i++) {
    struct mu_field field;
    memcpy(&field, (const char *)fields + i * field_size, sizeof field); /* a newer caller's rows may be longer */
    path = field.path;
    why = path ? add_row(schema, &field) : "a row has no path";
    path = path ? path : "";
  }
  if (!why)
    return schema;
  mu_log(NULL, MU_LOG_ERROR, "field table: \"%s\" %s", path, why);
  mu_schema_free(schema);
  return NULL;
}

void mu_schema_free(mu_schema *schema)
{
  if (!schema)
    return;
  node_free(schema->root);
  free(schema->offsets);
  free(schema);
}
