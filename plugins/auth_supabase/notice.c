/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>

#include "notice.h"

static bool take(char *out, size_t size, struct mu_str text)
{
  if (text.len == 0 || text.len >= size || memchr(text.at, '\0', text.len))
    return false;
  memcpy(out, text.at, text.len);
  out[text.len] = '\0';
  return true;
}

/* A text or a whole number. */
static bool take_member(char *out, size_t size, struct json_object *object, const char *name)
{
  struct json_object *value = NULL;
  if (!json_object_object_get_ex(object, name, &value) ||
      (!json_object_is_type(value, json_type_string) && !json_object_is_type(value, json_type_int)))
    return false;
  return take(out, size, mu_str(json_object_get_string(value))); /* the parser takes no NUL */
}

bool notice_read(struct mu_str text, struct notice *notice)
{
  *notice = (struct notice){0};
  if (text.len == 0 || text.at[0] != '{') /* no id begins so */
    return take(notice->id, sizeof notice->id, text);
  MU_AUTO_JSON struct json_object *object = NULL;
  if (mu_json_parse(text.at, text.len, &object, NULL) != 0 || !json_object_is_type(object, json_type_object) ||
      !take_member(notice->id, sizeof notice->id, object, "id"))
    return false;
  take_member(notice->owner, sizeof notice->owner, object, "owner"); /* a row may be nobody's */
  return true;
}
