/* SPDX-License-Identifier: ISC */
/* Two reports of anything: the difference makes the second of the first, and the ring stays within its bound. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <muster/json.h>

#include "changes.h"
#include "ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 7386, as readers of the channel do it. */
static struct json_object *merged(struct json_object *target, struct json_object *patch)
{
  if (!json_object_is_type(patch, json_type_object))
    return json_object_get(patch);
  struct json_object *result = json_object_new_object();
  if (json_object_is_type(target, json_type_object)) {
    json_object_object_foreach(target, name, value) json_object_object_add(result, name, json_object_get(value));
  }
  json_object_object_foreach(patch, member, change)
  {
    struct json_object *old = NULL;
    json_object_object_get_ex(result, member, &old);
    if (!change) {
      json_object_object_del(result, member);
    } else {
      struct json_object *now = merged(old, change);
      json_object_object_add(result, member, now);
    }
  }
  return result;
}

/* Nulls two levels deep are as good as nothing. */
static struct json_object *without_nulls(struct json_object *object, int depth)
{
  if (!json_object_is_type(object, json_type_object) || depth < 0)
    return json_object_get(object);
  struct json_object *result = json_object_new_object();
  json_object_object_foreach(object, name, value)
  {
    if (value)
      json_object_object_add(result, name, without_nulls(value, depth - 1));
  }
  return result;
}

/* Only what a merge patch can say: no objects with nulls in them below the metrics. */
static bool sayable(struct json_object *object, int depth)
{
  if (!json_object_is_type(object, json_type_object))
    return true;
  if (depth == 0)
    return false;
  json_object_object_foreach(object, name, value)
  {
    (void)name;
    if (!sayable(value, depth - 1))
      return false;
  }
  return true;
}

static void check_patch(struct json_object *from, struct json_object *to)
{
  struct mu_buf out = MU_BUF_INIT;
  struct json_object *patch = NULL, *wanted = without_nulls(to, 1);
  bool any = metrics_patch(&out, from, to);
  if (any && mu_json_parse(out.at, out.len, &patch, NULL) != 0)
    abort();
  if (sayable(from, 2) && sayable(to, 2)) {
    struct json_object *before = without_nulls(from, 1), *made = any ? merged(before, patch) : json_object_get(before);
    if (!json_object_equal(made, wanted))
      abort();
    json_object_put(before);
    json_object_put(made);
  }
  json_object_put(patch);
  json_object_put(wanted);
  mu_buf_free(&out);
}

/* The text is two objects, one after the other, with a newline between them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const char *text = (const char *)data, *newline = memchr(text, '\n', size);
  struct json_object *from = NULL, *to = NULL;
  size_t first = newline ? (size_t)(newline - text) : size;
  if (mu_json_parse(text, first, &from, NULL) == 0 && newline &&
      mu_json_parse(newline + 1, size - first - 1, &to, NULL) == 0 && json_object_is_type(from, json_type_object) &&
      json_object_is_type(to, json_type_object))
    check_patch(from, to);
  struct ring *ring = ring_new();
  for (int i = 1; i < 6; i++)
    ring_take(&ring, i % 2 ? from : to, (int64_t)size * 7919 * i);
  if (ring_bytes(ring) > RING_BYTES || ring_series(ring) > RING_SERIES)
    abort();
  for (size_t i = 0; i < ring_series(ring); i++) {
    float value;
    if (strlen(ring_name(ring, i)) >= RING_NAME || !ring_unit(ring_name(ring, i)))
      abort();
    ring_value(ring, i, (int64_t)size * 1000, 3600000, &value);
  }
  ring_free(ring);
  json_object_put(from);
  json_object_put(to);
  return 0;
}
