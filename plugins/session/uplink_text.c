/* SPDX-License-Identifier: ISC */
/* What the uplink says, as texts. */
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <json-c/json.h>

#include "uplink.h"

/* ---- data ------------------------------------------------------------------------------------ */

/* One collector as text; its memory is the caller's. */
struct part {
  const char *name;
  mu_text *text;
};

static size_t total(const struct part *parts, size_t count)
{
  size_t sum = 0;
  for (size_t i = 0; i < count; i++)
    if (parts[i].text)
      sum += mu_text_len(parts[i].text) + 6 * strlen(parts[i].name) + 4; /* a name may be escaped */
  return sum;
}

static void leave_out_longest(struct part *parts, size_t count)
{
  struct part *longest = NULL;
  for (size_t i = 0; i < count; i++)
    if (parts[i].text && (!longest || mu_text_len(parts[i].text) > mu_text_len(longest->text)))
      longest = &parts[i];
  mu_text_unref(longest->text);
  longest->text = NULL;
}

mu_text *uplink_text_data(const struct mu_report *report, size_t max, unsigned *left_out)
{
  enum { AROUND = 256 };
  size_t count = 0, room = (size_t)json_object_object_length(report->metrics);
  struct part *parts = calloc(room + 1, sizeof *parts);
  struct mu_buf out = MU_BUF_INIT;
  mu_text *text = NULL;
  *left_out = 0;
  if (!parts)
    return NULL;
  json_object_object_foreach(report->metrics, name, value)
  {
    if (!json_object_is_type(value, json_type_object))
      continue;
    parts[count] = (struct part){.name = name, .text = mu_json_text(value)};
    if (!parts[count++].text)
      goto out;
  }
  for (; *left_out < count && total(parts, count) + AROUND > max; (*left_out)++)
    leave_out_longest(parts, count);
  mu_buf_adds(&out, "{\"type\":\"data\",\"boot\":");
  mu_buf_json_string(&out, mu_str(report->boot));
  mu_buf_printf(&out, ",\"seq\":%llu,\"timestamp\":%lld,\"metrics\":", (unsigned long long)report->seq,
                (long long)report->time_ms);
  char before = '{';
  for (size_t i = 0; i < count; i++) {
    if (!parts[i].text)
      continue;
    mu_buf_add(&out, &before, 1);
    before = ',';
    mu_buf_json_string(&out, mu_str(parts[i].name));
    mu_buf_add(&out, ":", 1);
    mu_buf_add(&out, mu_text_data(parts[i].text), mu_text_len(parts[i].text));
  }
  mu_buf_adds(&out, before == '{' ? "{}}" : "}}");
  text = mu_buf_take_text(&out);
out:
  for (size_t i = 0; i < count; i++)
    mu_text_unref(parts[i].text);
  free(parts);
  mu_buf_free(&out);
  return text;
}

/* ---- system_info ----------------------------------------------------------------------------- */

static struct json_object *metric(const struct json_object *metrics, const char *collector, const char *name,
                                  json_type type)
{
  struct json_object *group, *value;
  if (metrics && json_object_object_get_ex(metrics, collector, &group) &&
      json_object_object_get_ex(group, name, &value) && json_object_is_type(value, type))
    return value;
  return NULL;
}

/* Bounded as servers do; a character that is cut in the middle becomes a replacement mark. */
static void add_text(struct mu_buf *out, const char *member, const char *text, size_t max)
{
  if (!text || !text[0])
    return;
  mu_buf_printf(out, ",\"%s\":", member);
  mu_buf_json_string(out, (struct mu_str){text, strnlen(text, max)});
}

static void add_from(struct mu_buf *out, const char *member, const struct json_object *metrics, const char *name,
                     const char *otherwise, size_t max)
{
  struct json_object *value = metric(metrics, "system", name, json_type_string);
  add_text(out, member, value ? json_object_get_string(value) : otherwise, max);
}

static void add_number(struct mu_buf *out, const char *member, struct json_object *value, int64_t otherwise)
{
  int64_t number = value ? json_object_get_int64(value) : otherwise;
  if (number > 0)
    mu_buf_printf(out, ",\"%s\":%lld", member, (long long)number);
}

static void add_collectors(struct mu_buf *out, const struct uplink_facts *facts)
{
  enum { MOST = 50 };
  const char *name;
  mu_buf_adds(out, ",\"collectors\":[");
  for (size_t n = 0; n < MOST && (name = facts->agent->collector(facts->agent_self, n)); n++) {
    mu_buf_adds(out, n ? "," : "");
    mu_buf_json_string(out, (struct mu_str){name, strnlen(name, 60)});
  }
  mu_buf_adds(out, "]");
}

mu_text *uplink_text_info(const struct uplink_facts *facts)
{
  struct mu_buf out = MU_BUF_INIT;
  struct utsname names = {0};
  struct sysinfo memory = {0};
  uname(&names);
  sysinfo(&memory);
  mu_buf_printf(&out, "{\"type\":\"system_info\",\"public\":%s", facts->is_public ? "true" : "false");
  add_text(&out, "ip", facts->ip, 60);
  add_number(&out, "ram", metric(facts->metrics, "memory", "total", json_type_int),
             (int64_t)memory.totalram * memory.mem_unit);
  add_number(&out, "cpu", metric(facts->metrics, "cpu", "cores", json_type_int), sysconf(_SC_NPROCESSORS_ONLN));
  add_from(&out, "hostname", facts->metrics, "hostname", names.nodename, 250);
  add_from(&out, "os", facts->metrics, "os", "linux", 120);
  add_from(&out, "arch", facts->metrics, "arch", names.machine, 60);
  add_from(&out, "kernel", facts->metrics, "kernel", names.release, 120);
  add_text(&out, "name", facts->name, 128);
  if (facts->agent) {
    add_text(&out, "agentVersion", facts->agent->version(facts->agent_self), 60);
    add_collectors(&out, facts);
  }
  mu_buf_adds(&out, "}");
  mu_text *text = mu_buf_take_text(&out);
  mu_buf_free(&out);
  return text;
}

/* ---- auth ------------------------------------------------------------------------------------ */

void uplink_text_auth(struct mu_buf *out, const char *member, struct mu_str secret, const char *machine_id,
                      const char *name)
{
  mu_buf_printf(out, "{\"type\":\"auth\",\"%s\":", member);
  mu_buf_json_string(out, secret);
  add_text(out, "machineId", machine_id, 128);
  add_text(out, "name", name, 128);
  mu_buf_adds(out, "}");
}
