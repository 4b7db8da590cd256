/* SPDX-License-Identifier: ISC */
/* Where the members come from: what the machine told of itself, else its figures, else nothing is known. */
#include <json-c/json.h>
#include <stddef.h>

#include "machine.h"

struct told {
  struct mu_json_value ip, ram, cpu, hostname, os;
};

static const struct mu_field told_fields[] = {
    {.path = "ip", .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct told, ip)},
    {.path = "ram", .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct told, ram)},
    {.path = "cpu", .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct told, cpu)},
    {.path = "hostname", .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct told, hostname)},
    {.path = "os", .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct told, os)},
};

int machine_reader_new(mu_schema **reader)
{
  *reader = mu_schema_new(told_fields, MU_COUNT(told_fields), sizeof told_fields[0]);
  return *reader ? 0 : MU_ENOMEM;
}

static void put_string(struct mu_buf *out, const char *member, const char *text)
{
  mu_buf_printf(out, ",\"%s\":", member);
  mu_buf_json_string(out, mu_str(text));
}

static void put_time(struct mu_buf *out, const char *member, int64_t ms)
{
  if (ms > 0)
    mu_buf_printf(out, ",\"%s\":%lld", member, (long long)ms);
  else
    mu_buf_printf(out, ",\"%s\":null", member);
}

/* A figure that stands for what the machine did not tell; only the kinds of value that it could have told. */
static struct json_object *figure(struct json_object *metrics, const char *collector, const char *metric)
{
  struct json_object *group = NULL, *value = NULL;
  if (!metrics || !json_object_object_get_ex(metrics, collector, &group) ||
      !json_object_is_type(group, json_type_object) || !json_object_object_get_ex(group, metric, &value))
    return NULL;
  bool plain = json_object_is_type(value, json_type_string) || json_object_is_type(value, json_type_int) ||
               json_object_is_type(value, json_type_double);
  return plain ? value : NULL;
}

/* As it was told, byte for byte: text stays text, and 8 does not become 8.0. */
static void put_told(struct mu_buf *out, const char *member, const struct mu_json_value *told,
                     struct json_object *instead)
{
  mu_buf_printf(out, ",\"%s\":", member);
  if (told->kind == MU_JSON_STRING || told->kind == MU_JSON_NUMBER) {
    mu_buf_add(out, told->at, told->len);
    return;
  }
  mu_text *text = instead ? mu_json_text(instead) : NULL;
  if (text)
    mu_buf_add(out, mu_text_data(text), mu_text_len(text));
  else
    mu_buf_adds(out, "null");
  mu_text_unref(text);
}

mu_text *machine_text(const mu_schema *reader, const struct mu_machine *machine, struct json_object *metrics)
{
  struct told told = {0};
  if (machine->facts && mu_json_scan(reader, mu_text_data(machine->facts), mu_text_len(machine->facts), &told, NULL))
    told = (struct told){0};
  mu_text *figures = json_object_is_type(metrics, json_type_object) ? mu_json_text(metrics) : NULL;
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"machineId\":");
  mu_buf_json_string(&out, mu_str(machine->id));
  put_string(&out, "userId", machine->owner);
  put_string(&out, "name", machine->name[0] ? machine->name : machine->id);
  if (told.ip.kind != MU_JSON_STRING && machine->ip[0])
    put_string(&out, "ip", machine->ip);
  else
    put_told(&out, "ip", &told.ip, NULL);
  put_told(&out, "ram", &told.ram, figure(metrics, "memory", "total"));
  put_told(&out, "cpu", &told.cpu, figure(metrics, "cpu", "cores"));
  put_told(&out, "hostname", &told.hostname, figure(metrics, "system", "hostname"));
  put_told(&out, "os", &told.os, figure(metrics, "system", "os"));
  put_string(&out, "status", machine->online ? "online" : "offline");
  put_time(&out, "connectedAt", machine->linked_ms);
  put_time(&out, "lastSeen", machine->seen_ms);
  mu_buf_adds(&out, ",\"metrics\":");
  if (figures)
    mu_buf_add(&out, mu_text_data(figures), mu_text_len(figures));
  else
    mu_buf_adds(&out, "{}");
  mu_buf_adds(&out, "}");
  mu_text_unref(figures);
  return mu_buf_take_text(&out);
}

mu_text *machine_update(const char *event, struct mu_str machine)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"type\":\"machine_update\",\"event\":\"%s\",\"machine\":", event);
  mu_buf_add(&out, machine.at, machine.len);
  mu_buf_adds(&out, "}");
  return mu_buf_take_text(&out);
}
