/* SPDX-License-Identifier: ISC */
/* Where the members come from: what the machine told of itself, else its figures, else nothing is known. */
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

struct figures {
  struct mu_json_value ram, cpu, hostname, os;
};

static const struct mu_field figure_fields[] = {
    {.path = "memory.total", .offset = offsetof(struct figures, ram)},
    {.path = "cpu.cores", .offset = offsetof(struct figures, cpu)},
    {.path = "system.hostname", .offset = offsetof(struct figures, hostname)},
    {.path = "system.os", .offset = offsetof(struct figures, os)},
};

int machine_reader_init(struct machine_reader *reader)
{
  reader->told = mu_schema_new(told_fields, MU_COUNT(told_fields), sizeof told_fields[0]);
  reader->figures = mu_schema_new(figure_fields, MU_COUNT(figure_fields), sizeof figure_fields[0]);
  return reader->told && reader->figures ? 0 : MU_ENOMEM;
}

void machine_reader_fini(struct machine_reader *reader)
{
  mu_schema_free(reader->told);
  mu_schema_free(reader->figures);
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

/* Only the kinds of value that a machine can tell. */
static bool plain(const struct mu_json_value *value)
{
  return value->kind == MU_JSON_STRING || value->kind == MU_JSON_NUMBER;
}

/* As it was told, byte for byte: text stays text, and 8 does not become 8.0. */
static void put_told(struct mu_buf *out, const char *member, const struct mu_json_value *told,
                     const struct mu_json_value *instead)
{
  if (!plain(told))
    told = instead;
  mu_buf_printf(out, ",\"%s\":", member);
  if (told && plain(told))
    mu_buf_add(out, told->at, told->len);
  else
    mu_buf_adds(out, "null");
}

mu_text *machine_text(const struct machine_reader *reader, const struct mu_machine *machine, const mu_text *figures)
{
  struct told told = {0};
  if (machine->facts &&
      mu_json_scan(reader->told, mu_text_data(machine->facts), mu_text_len(machine->facts), &told, NULL))
    told = (struct told){0};
  struct figures instead = {0};
  if (figures && !(plain(&told.ram) && plain(&told.cpu) && plain(&told.hostname) && plain(&told.os)) &&
      mu_json_scan(reader->figures, mu_text_data(figures), mu_text_len(figures), &instead, NULL))
    instead = (struct figures){0};
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"machineId\":");
  mu_buf_json_string(&out, mu_str(machine->id));
  put_string(&out, "userId", machine->owner);
  put_string(&out, "name", machine->name[0] ? machine->name : machine->id);
  if (told.ip.kind != MU_JSON_STRING && machine->ip[0])
    put_string(&out, "ip", machine->ip);
  else
    put_told(&out, "ip", &told.ip, NULL);
  put_told(&out, "ram", &told.ram, &instead.ram);
  put_told(&out, "cpu", &told.cpu, &instead.cpu);
  put_told(&out, "hostname", &told.hostname, &instead.hostname);
  put_told(&out, "os", &told.os, &instead.os);
  put_string(&out, "status", machine->online ? "online" : "offline");
  put_time(&out, "connectedAt", machine->linked_ms);
  put_time(&out, "lastSeen", machine->seen_ms);
  mu_buf_adds(&out, ",\"metrics\":");
  if (figures)
    mu_buf_add(&out, mu_text_data(figures), mu_text_len(figures));
  else
    mu_buf_adds(&out, "{}");
  mu_buf_adds(&out, "}");
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
