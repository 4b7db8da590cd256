/* SPDX-License-Identifier: ISC */
/* Frames of Supabase's Realtime. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include <muster/json.h>

#include "phoenix.h"

mu_text *phoenix_join(const struct phoenix_channel *channel, uint64_t ref, const char *token)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "[\"%llu\",\"%llu\",", (unsigned long long)ref, (unsigned long long)ref);
  mu_buf_json_string(&out, mu_str(channel->topic));
  mu_buf_adds(&out,
              ",\"phx_join\",{\"config\":{\"broadcast\":{\"ack\":false,\"self\":false},\"presence\":{\"key\":\"\"},"
              "\"postgres_changes\":[{\"event\":\"DELETE\",\"schema\":");
  mu_buf_json_string(&out, mu_str(channel->schema));
  mu_buf_adds(&out, ",\"table\":");
  mu_buf_json_string(&out, mu_str(channel->table));
  mu_buf_adds(&out, "}],\"private\":false}");
  if (token) {
    mu_buf_adds(&out, ",\"access_token\":");
    mu_buf_json_string(&out, mu_str(token));
  }
  mu_buf_adds(&out, "}]");
  mu_text *text = mu_buf_take_text(&out);
  if (!text)
    mu_buf_free(&out);
  return text;
}

mu_text *phoenix_heartbeat(uint64_t ref)
{
  return mu_text_printf("[null,\"%llu\",\"phoenix\",\"heartbeat\",{}]", (unsigned long long)ref);
}

/* ---- reading --------------------------------------------------------------------------------- */

static const char *text_of(struct json_object *value)
{
  return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static struct json_object *member(struct json_object *object, const char *name)
{
  struct json_object *value = NULL;
  return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value) ? value
                                                                                                          : NULL;
}

/* We sent it as a text; a number is the same ref to us. */
static uint64_t ref_of(struct json_object *value)
{
  if (json_object_is_type(value, json_type_int))
    return json_object_get_uint64(value);
  const char *at = text_of(value);
  uint64_t ref = 0;
  for (; *at >= '0' && *at <= '9' && ref < UINT64_MAX / 100; at++)
    ref = ref * 10 + (uint64_t)(*at - '0');
  return *at ? 0 : ref;
}

static void explain(struct phoenix_frame *frame, struct json_object *value)
{
  const char *words = text_of(value);
  if (!*words && value)
    words = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
  snprintf(frame->why, sizeof frame->why, "%s", words ? words : "");
}

static void read_reply(struct phoenix_frame *frame, struct json_object *payload)
{
  frame->kind = PHOENIX_REPLY;
  frame->ok = strcmp(text_of(member(payload, "status")), "ok") == 0;
  if (frame->ok)
    return;
  struct json_object *response = member(payload, "response"), *reason = member(response, "reason");
  explain(frame, reason ? reason : response);
}

/* An id is a text or a whole number; anything else names no row, and nobody. */
static bool read_id(char *out, size_t size, struct json_object *value)
{
  if (!json_object_is_type(value, json_type_string) && !json_object_is_type(value, json_type_int))
    return false;
  const char *id = json_object_get_string(value);
  size_t len = strlen(id);
  if (len == 0 || len >= size)
    return false;
  memcpy(out, id, len + 1);
  return true;
}

static void read_change(const struct phoenix_channel *channel, struct phoenix_frame *frame, struct json_object *payload)
{
  struct json_object *data = member(payload, "data");
  if (strcmp(text_of(member(data, "type")), "DELETE") != 0 ||
      strcmp(text_of(member(data, "schema")), channel->schema) != 0 ||
      strcmp(text_of(member(data, "table")), channel->table) != 0)
    return;
  struct json_object *row = member(data, "old_record");
  bool named = read_id(frame->id, sizeof frame->id, member(row, channel->id_column));
  frame->kind = named ? PHOENIX_DELETED : PHOENIX_NAMELESS;
  /* There with REPLICA IDENTITY FULL, or where it is part of the primary key. */
  if (named && channel->owner_column[0])
    read_id(frame->owner, sizeof frame->owner, member(row, channel->owner_column));
  struct json_object *errors = member(data, "errors");
  if (frame->kind == PHOENIX_NAMELESS && errors)
    explain(frame, errors);
}

static void read_event(const struct phoenix_channel *channel, struct phoenix_frame *frame, const char *event,
                       struct json_object *payload)
{
  if (strcmp(event, "phx_reply") == 0) {
    read_reply(frame, payload);
  } else if (strcmp(event, "system") == 0) {
    /* Others of its kind tell of other extensions. */
    const char *extension = text_of(member(payload, "extension"));
    if (*extension && strcmp(extension, "postgres_changes") != 0)
      return;
    frame->kind = PHOENIX_SYSTEM;
    frame->ok = strcmp(text_of(member(payload, "status")), "ok") == 0;
    explain(frame, member(payload, "message"));
  } else if (strcmp(event, "postgres_changes") == 0) {
    read_change(channel, frame, payload);
  } else if (strcmp(event, "phx_error") == 0 || strcmp(event, "phx_close") == 0) {
    frame->kind = PHOENIX_CLOSED;
  }
}

int phoenix_read(const struct phoenix_channel *channel, const char *text, size_t len, struct phoenix_frame *frame)
{
  *frame = (struct phoenix_frame){.kind = PHOENIX_OTHER};
  MU_AUTO_JSON struct json_object *top = NULL;
  int error = mu_json_parse(text, len, &top, NULL);
  if (error)
    return error == MU_ENOMEM ? error : MU_ESYNTAX;
  if (!json_object_is_type(top, json_type_array) || json_object_array_length(top) != 5 ||
      !json_object_is_type(json_object_array_get_idx(top, 2), json_type_string) ||
      !json_object_is_type(json_object_array_get_idx(top, 3), json_type_string))
    return MU_ESYNTAX;
  frame->join_ref = ref_of(json_object_array_get_idx(top, 0));
  frame->ref = ref_of(json_object_array_get_idx(top, 1));
  const char *topic = text_of(json_object_array_get_idx(top, 2));
  const char *event = text_of(json_object_array_get_idx(top, 3));
  struct json_object *payload = json_object_array_get_idx(top, 4);
  if (strcmp(topic, channel->topic) == 0)
    read_event(channel, frame, event, payload);
  else if (strcmp(topic, "phoenix") == 0 && strcmp(event, "phx_reply") == 0)
    read_reply(frame, payload);
  return 0;
}
