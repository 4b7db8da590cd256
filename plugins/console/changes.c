/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <muster/json.h>

#include "changes.h"

const char *const view_names[VIEW_TEXTS] = {"id", "name", "group", "country", "location", "owner"};

/* ---- keeping --------------------------------------------------------------------------------- */

void view_free(struct view *kept)
{
  for (int i = 0; i < VIEW_TEXTS; i++)
    free((char *)kept->texts[i]);
  json_object_put(kept->metrics);
  *kept = (struct view){0};
}

static const char *text(const struct view *view, int i)
{
  return view->texts[i] ? view->texts[i] : "";
}

int view_keep(struct view *kept, const struct view *view)
{
  struct view fresh = *view;
  memset(fresh.texts, 0, sizeof fresh.texts);
  for (int i = 0; i < VIEW_TEXTS; i++)
    if (!(fresh.texts[i] = strdup(text(view, i)))) {
      fresh.metrics = NULL;
      view_free(&fresh);
      return MU_ENOMEM;
    }
  fresh.metrics = json_object_get(view->metrics);
  view_free(kept);
  *kept = fresh;
  return 0;
}

/* ---- differences ----------------------------------------------------------------------------- */

static void begin(struct mu_buf *out, bool *any, struct mu_str name)
{
  mu_buf_adds(out, *any ? "," : "{");
  *any = true;
  mu_buf_json_string(out, name);
  mu_buf_adds(out, ":");
}

static void put(struct mu_buf *out, struct json_object *value)
{
  mu_text *json = mu_json_text(value);
  if (json)
    mu_buf_add(out, mu_text_data(json), mu_text_len(json));
  else
    mu_buf_adds(out, "null"); /* memory, or no finite number */
  mu_text_unref(json);
}

/* A member that a patch cannot tell from one that is not there. */
static struct json_object *member(struct json_object *object, const char *name)
{
  struct json_object *value;
  return object && json_object_object_get_ex(object, name, &value) ? value : NULL;
}

static struct json_object *object_of(struct json_object *value)
{
  return json_object_is_type(value, json_type_object) ? value : NULL;
}

static void put_removed(struct mu_buf *out, bool *any, struct json_object *from, struct json_object *to)
{
  json_object_object_foreach(from, name, before)
  {
    if (before && !member(to, name)) {
      begin(out, any, mu_str(name));
      mu_buf_adds(out, "null");
    }
  }
}

static bool patch(struct mu_buf *out, struct json_object *from, struct json_object *to, int depth);

static void put_changed(struct mu_buf *out, bool *any, const char *name, struct json_object *before,
                        struct json_object *after, int depth)
{
  if (depth == 0 || !object_of(after) || (before && !object_of(before))) {
    begin(out, any, mu_str(name));
    put(out, after);
    return;
  }
  struct mu_buf inner = MU_BUF_INIT;
  bool some = patch(&inner, before, after, depth - 1);
  if (some || !before) {
    begin(out, any, mu_str(name));
    mu_buf_adds(out, some && !inner.failed ? inner.at : "{}");
  }
  out->failed |= inner.failed;
  mu_buf_free(&inner);
}

/* Objects are patched down to `depth`, everything else is replaced whole. NULL is no object. */
static bool patch(struct mu_buf *out, struct json_object *from, struct json_object *to, int depth)
{
  bool any = false;
  if (from)
    put_removed(out, &any, from, to);
  if (to) {
    json_object_object_foreach(to, name, after)
    {
      struct json_object *before = member(from, name);
      if (after && !(before && json_object_equal(before, after)))
        put_changed(out, &any, name, before, after, depth);
    }
  }
  if (any)
    mu_buf_adds(out, "}");
  return any;
}

bool metrics_patch(struct mu_buf *out, struct json_object *from, struct json_object *to)
{
  return from != to && patch(out, object_of(from), object_of(to), 1);
}

bool view_patch(struct mu_buf *out, const struct view *from, const struct view *to)
{
  bool any = false;
  for (int i = 0; i < VIEW_TEXTS; i++)
    if (strcmp(text(from, i), text(to, i)) != 0) {
      begin(out, &any, mu_str(view_names[i]));
      mu_buf_json_string(out, mu_str(text(to, i)));
    }
  if (from->is_public != to->is_public) {
    begin(out, &any, MU_STR("public"));
    mu_buf_adds(out, to->is_public ? "true" : "false");
  }
  if (from->online != to->online) {
    begin(out, &any, MU_STR("online"));
    mu_buf_adds(out, to->online ? "true" : "false");
  }
  if (from->seen_ms != to->seen_ms) {
    begin(out, &any, MU_STR("lastSeen"));
    mu_buf_printf(out, "%lld", (long long)to->seen_ms);
  }
  struct mu_buf inner = MU_BUF_INIT;
  if (metrics_patch(&inner, from->metrics, to->metrics)) {
    begin(out, &any, MU_STR("metrics"));
    mu_buf_add(out, inner.at, inner.len);
  }
  out->failed |= inner.failed;
  mu_buf_free(&inner);
  if (any)
    mu_buf_adds(out, "}");
  return any;
}
