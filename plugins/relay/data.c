/* SPDX-License-Identifier: ISC */
/* What identified devices send of themselves: a value per key. */
#include <stdlib.h>
#include <string.h>

#include <muster/rest.h>

#include "server.h"

enum {
  KEYS_MAX = 200,      /* of one message */
  KEY_MAX = 100,       /* characters */
  VALUE_MAX = 16000,   /* bytes */
  LATER_MS = 86400000, /* a device's clock may be ahead */
};

static const char *type_of(enum wire_kind kind)
{
  return kind == WIRE_NUMBER                         ? "number"
         : kind == WIRE_BOOL                         ? "boolean"
         : kind == WIRE_OBJECT || kind == WIRE_ARRAY ? "json"
                                                     : "string";
}

static void judge(struct datum *datum)
{
  if (datum->judged || !datum->device->uuid[0])
    return;
  datum->judged = true;
  const struct data_value value = {
      .key = {datum->bytes, datum->key_len},
      .text = {datum->bytes + datum->key_len, datum->text_len},
      .type = datum->type,
      .unit = datum->unit,
      .ms = datum->ms,
  };
  alerts_value(datum->device, &value);
}

void data_settled(struct device *device)
{
  for (struct datum *datum = pending_data(device->endpoint); datum; datum = datum->next)
    if (datum->device == device)
      judge(datum);
}

/* False: it is none that can be kept. */
static bool take_value(struct device *device, struct mu_str name, const struct wire_value *value, int64_t ms,
                       struct mu_buf *room)
{
  mu_buf_clear(room);
  wire_unescape(name, room);
  size_t key_len = room->len;
  if (value->kind == WIRE_STRING)
    wire_unescape(value->text, room);
  else
    mu_buf_add(room, value->text.at, value->text.len);
  struct mu_str key = {room->at, key_len};
  if (room->failed || key_len == 0 || wire_characters(key) > KEY_MAX || room->len - key_len > VALUE_MAX ||
      !wire_is_utf8((struct mu_str){room->at, room->len}))
    return false;
  struct datum *datum = malloc(sizeof *datum + room->len);
  if (!datum)
    return false;
  *datum = (struct datum){.device = device,
                          .type = type_of(value->kind),
                          .unit = relay_unit(key),
                          .ms = ms,
                          .key_len = (uint32_t)key_len,
                          .text_len = (uint32_t)(room->len - key_len)};
  memcpy(datum->bytes, room->at, room->len);
  device_hold(device);
  judge(datum);
  pending_datum(device->endpoint, datum);
  return true;
}

/* Milliseconds or ISO 8601; what is neither, or from the future, is now. */
static int64_t time_of(const struct wire_value *value, int64_t now_ms)
{
  int64_t ms = now_ms;
  if (value->kind == WIRE_NUMBER && value->text.len < 20) {
    char digits[24] = "";
    memcpy(digits, value->text.at, value->text.len);
    double number = strtod(digits, NULL);
    ms = number > 0 && number < 1e15 ? (int64_t)number : now_ms;
  } else if (value->kind == WIRE_STRING && value->text.len < 64) {
    if (!mu_iso_parse((struct mu_str){value->text.at + 1, value->text.len - 2}, &ms))
      ms = now_ms;
  }
  return ms > 0 && ms <= now_ms + LATER_MS ? ms : now_ms;
}

void data_take(struct channel *channel, const struct wire *wire, int64_t now_ms)
{
  struct mu_str object = wire->whole.text;
  const struct wire_value *data = &wire->member[WIRE_DATA];
  int64_t ms = now_ms;
  if (data->kind == WIRE_OBJECT) {
    object = data->text;
    ms = time_of(&wire->member[WIRE_TIMESTAMP], now_ms);
  }
  struct mu_buf room = MU_BUF_INIT;
  struct mu_str name;
  struct wire_value value;
  size_t at = 0, left_out = 0;
  for (size_t keys = 0; wire_next(object, &at, &name, &value); keys++)
    left_out += keys >= KEYS_MAX || !take_value(channel->device, name, &value, ms, &room);
  mu_buf_free(&room);
  if (left_out == 0)
    return;
  mu_instance *in = channel->relay->in;
  mu_count(mu_counter_get(in, "data_left_out"), left_out);
  mu_log_limited(
      in, MU_LOG_INFO, "data left out",
      "%zu values of a message were not stored: too many, too long, or without a name: endpoint=%s device=\"%s\"",
      left_out, channel->endpoint->uuid, channel->device->name_id);
}
