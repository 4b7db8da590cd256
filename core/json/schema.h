/* SPDX-License-Identifier: ISC */
/* A compiled field table: the tree that the scan walks along with the text. */
#ifndef MUI_JSON_SCHEMA_H
#define MUI_JSON_SCHEMA_H

#include <string.h>

#include <muster/json.h>

enum { MUI_JSON_DEPTH = 32, MUI_JSON_NAME_MAX = 63, MUI_JSON_MEMBERS = 64, MUI_JSON_SLOTS = 128 };

struct mui_json_node {
  struct mui_json_node *parent;     /* NULL: the top value */
  char name[MUI_JSON_NAME_MAX + 1]; /* "": an array's element, or the top value */
  uint8_t name_len;
  uint8_t type;  /* enum mu_field_type */
  uint8_t level; /* containers around it */
  bool has_row;
  bool typed; /* the type is fixed, by a row or by what lies below */
  bool nullable;
  bool ranged;
  double min, max;
  size_t offset;
  struct mui_json_node *element; /* "[]" */
  unsigned count;
  struct mui_json_node *members[MUI_JSON_MEMBERS];
  uint64_t required;             /* bit n: members[n] */
  uint8_t slots[MUI_JSON_SLOTS]; /* 1 + index into members, 0: free; open addressing, at most half full */
};

struct mu_schema {
  struct mui_json_node *root;
  size_t kept; /* fields with an offset */
  size_t *offsets;
};

/* `len` > 0. Names in one object rarely agree in length, first and last byte. */
static inline unsigned mui_json_slot(const char *name, size_t len)
{
  return ((unsigned)len * 11u + (unsigned char)name[0] * 3u + (unsigned char)name[len - 1] * 23u) % MUI_JSON_SLOTS;
}

/* Index into `members`, or -1. */
static inline int mui_json_find(const struct mui_json_node *node, const char *name, size_t len)
{
  if (len == 0)
    return -1;
  for (unsigned slot = mui_json_slot(name, len); node->slots[slot]; slot = (slot + 1) % MUI_JSON_SLOTS) {
    int at = node->slots[slot] - 1;
    const struct mui_json_node *member = node->members[at];
    if (member->name_len == len && memcmp(member->name, name, len) == 0)
      return at;
  }
  return -1;
}

#endif
