/* SPDX-License-Identifier: ISC */
#include <float.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"

#define AT(member) offsetof(struct status_reading, member)
#define NO MU_FIELD_CHECK_ONLY
#define NEED MU_FIELD_REQUIRED
#define NULLS MU_FIELD_NULLABLE

#define TEXT(path_, flags_, max_, offset_)                                                                             \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_STRING, .flags = flags_, .max = max_, .offset = offset_                            \
  }
#define NUMBER(path_, max_)                                                                                            \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_NUMBER, .min = 0, .max = max_, .offset = NO                                        \
  }
#define COUNT(path_)                                                                                                   \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_UINT, .offset = NO                                                                 \
  }
#define OBJECT(path_, flags_)                                                                                          \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_OBJECT, .flags = flags_, .offset = NO                                              \
  }
#define ARRAY(path_, flags_)                                                                                           \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_ARRAY, .flags = flags_, .offset = NO                                               \
  }
#define ANY(path_, offset_)                                                                                            \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_ANY, .offset = offset_                                                             \
  }

/* Seconds up to the year 9999: milliseconds, given by mistake, are out of range. */
#define LAST_SECOND 253402300799.0

static const struct mu_field documented[] = {
    TEXT("serverId", NEED, 128, AT(id)),
    TEXT("serverName", NEED, STATUS_TEXT_MAX, AT(name)),
    TEXT("group", NULLS, STATUS_TEXT_MAX, AT(group)),
    TEXT("countryCode", NULLS, 16, AT(country)),
    TEXT("location", NULLS, STATUS_TEXT_MAX, AT(location)),
    TEXT("ip", NULLS, 64, AT(ip)),
    {.path = "cpu", .type = MU_FIELD_OBJECT, .flags = NEED, .offset = AT(cpu)},
    NUMBER("cpu.percent", 100),
    {.path = "cpu.cores", .type = MU_FIELD_UINT, .min = 0, .max = 1000000, .offset = NO},
    TEXT("cpu.modelName", 0, STATUS_TEXT_MAX, NO),
    {.path = "memory", .type = MU_FIELD_OBJECT, .flags = NEED, .offset = AT(memory)},
    COUNT("memory.total"),
    COUNT("memory.used"),
    COUNT("memory.available"),
    NUMBER("memory.usedPercent", 100),
    ARRAY("disk", NEED),
    OBJECT("disk[]", 0),
    TEXT("disk[].path", 0, STATUS_PATH_MAX, NO),
    COUNT("disk[].total"),
    COUNT("disk[].used"),
    COUNT("disk[].free"),
    NUMBER("disk[].usedPercent", 100),
    NUMBER("disk[].readSpeed", DBL_MAX),
    NUMBER("disk[].writeSpeed", DBL_MAX),
    OBJECT("network", NEED),
    TEXT("network.interfaceName", 0, STATUS_TEXT_MAX, NO),
    COUNT("network.bytesSent"),
    COUNT("network.bytesRecv"),
    NUMBER("network.inSpeed", DBL_MAX),
    NUMBER("network.outSpeed", DBL_MAX),
    OBJECT("system", NEED),
    TEXT("system.hostname", 0, STATUS_TEXT_MAX, NO),
    TEXT("system.os", 0, STATUS_TEXT_MAX, NO),
    TEXT("system.platform", 0, STATUS_TEXT_MAX, NO),
    TEXT("system.arch", 0, STATUS_TEXT_MAX, NO),
    TEXT("system.kernel", 0, STATUS_TEXT_MAX, NO),
    COUNT("system.uptime"),
    {.path = "timestamp", .type = MU_FIELD_UINT, .flags = NEED, .min = 0, .max = LAST_SECOND, .offset = NO},
    OBJECT("metrics", 0),
};

/*
 * Whole and not negative, up to 2^64 - 1: where the released agent subtracts unsigned counters, its result may have
 * wrapped around, and the report is good otherwise. That it is whole is checked after the pass.
 */
#define WRAPPING(path_, n_)                                                                                            \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_NUMBER, .min = 0, .max = 18446744073709551615.0, .offset = AT(wrapping[n_])        \
  }
static const char *const wrapping_paths[] = {"virtualMemoryInfo.used", "networkInfo.netInSpeed",
                                             "networkInfo.netOutSpeed"};

/* The sub-objects and lists that a released agent cannot fill in are null. */
static const struct mu_field deployed[] = {
    ANY("cpu", AT(cpu)),
    ANY("memory", AT(memory)),
    TEXT("name", NULLS, STATUS_TEXT_MAX, AT(name)),
    TEXT("group", NULLS, STATUS_TEXT_MAX, AT(group)),
    TEXT("id", NULLS, STATUS_TEXT_MAX, NO),
    COUNT("lastReportTime"),
    TEXT("ip", NULLS, 64, AT(ip)),
    TEXT("loc", NULLS, 16, AT(country)),
    OBJECT("hostInfo", NULLS),
    TEXT("hostInfo.kernelArch", 0, STATUS_TEXT_MAX, NO),
    TEXT("hostInfo.kernelVersion", 0, STATUS_TEXT_MAX, NO),
    TEXT("hostInfo.virtualizationSystem", 0, STATUS_TEXT_MAX, NO),
    COUNT("hostInfo.uptime"),
    COUNT("hostInfo.bootTime"),
    TEXT("hostInfo.os", 0, STATUS_TEXT_MAX, NO),
    TEXT("hostInfo.platform", 0, STATUS_TEXT_MAX, NO),
    TEXT("hostInfo.platformFamily", 0, STATUS_TEXT_MAX, NO),
    TEXT("hostInfo.platformVersion", 0, STATUS_TEXT_MAX, NO),
    OBJECT("hostInfo.avgStat", NULLS),
    NUMBER("hostInfo.avgStat.load1", DBL_MAX),
    NUMBER("hostInfo.avgStat.load5", DBL_MAX),
    NUMBER("hostInfo.avgStat.load15", DBL_MAX),
    {.path = "cpuInfo", .type = MU_FIELD_OBJECT, .flags = NEED, .offset = AT(cpu_info)},
    NUMBER("cpuInfo.percent", 100),
    ARRAY("cpuInfo.info", NULLS),
    TEXT("cpuInfo.info[]", 0, STATUS_TEXT_MAX, NO),
    {.path = "virtualMemoryInfo", .type = MU_FIELD_OBJECT, .flags = NEED, .offset = AT(memory_info)},
    COUNT("virtualMemoryInfo.total"),
    WRAPPING("virtualMemoryInfo.used", 0),
    NUMBER("virtualMemoryInfo.usedPercent", DBL_MAX), /* of a wrapped `used` */
    OBJECT("swapMemoryInfo", NULLS),
    COUNT("swapMemoryInfo.total"),
    COUNT("swapMemoryInfo.used"),
    COUNT("swapMemoryInfo.free"),
    NUMBER("swapMemoryInfo.usedPercent", 100),
    OBJECT("diskInfo", NULLS),
    COUNT("diskInfo.total"),
    COUNT("diskInfo.used"),
    NUMBER("diskInfo.usedPercent", 100),
    ARRAY("diskInfo.partitions", NULLS),
    OBJECT("diskInfo.partitions[]", 0),
    TEXT("diskInfo.partitions[].mountPoint", 0, STATUS_PATH_MAX, NO),
    TEXT("diskInfo.partitions[].fstype", 0, STATUS_TEXT_MAX, NO),
    COUNT("diskInfo.partitions[].total"),
    COUNT("diskInfo.partitions[].free"),
    COUNT("diskInfo.partitions[].used"),
    NUMBER("diskInfo.partitions[].usedPercent", 100),
    OBJECT("networkInfo", NULLS),
    WRAPPING("networkInfo.netInSpeed", 1),
    WRAPPING("networkInfo.netOutSpeed", 2),
    COUNT("networkInfo.netInTransfer"),
    COUNT("networkInfo.netOutTransfer"),
    OBJECT("metrics", 0),
};

static const struct mu_field probe[] = {ANY("cpu", AT(cpu)), ANY("memory", AT(memory)), ANY("cpuInfo", AT(cpu_info)),
                                        ANY("virtualMemoryInfo", AT(memory_info))};

static const struct mu_field page[] = {{.path = "type", .type = MU_FIELD_STRING, .max = 64, .offset = AT(type)}};

const struct mu_field *const status_fields[STATUS_KINDS] = {documented, deployed};
const size_t status_field_counts[STATUS_KINDS] = {MU_COUNT(documented), MU_COUNT(deployed)};

int status_codec_init(struct status_codec *codec)
{
  for (int i = 0; i < STATUS_KINDS; i++)
    codec->forms[i] = mu_schema_new(status_fields[i], status_field_counts[i], sizeof(struct mu_field));
  codec->probe = mu_schema_new(probe, MU_COUNT(probe), sizeof probe[0]);
  codec->page = mu_schema_new(page, MU_COUNT(page), sizeof page[0]);
  if (codec->forms[0] && codec->forms[1] && codec->probe && codec->page)
    return 0;
  status_codec_fini(codec);
  return MU_ENOMEM;
}

void status_codec_fini(struct status_codec *codec)
{
  for (int i = 0; i < STATUS_KINDS; i++)
    mu_schema_free(codec->forms[i]);
  mu_schema_free(codec->probe);
  mu_schema_free(codec->page);
  *codec = (struct status_codec){0};
}

/* One form's pass; fields of the other form are left reset. */
static int read_as(const struct status_codec *codec, enum status_kind kind, const char *text, size_t len,
                   struct status_reading *reading, struct mu_json_error *error)
{
  *reading = (struct status_reading){.kind = kind};
  int code = mu_json_scan(codec->forms[kind], text, len, reading, error);
  for (size_t i = 0; code == 0 && i < MU_COUNT(wrapping_paths); i++) {
    const struct mu_json_value *value = &reading->wrapping[i];
    if (value->kind != MU_JSON_NUMBER || value->whole)
      continue;
    if (!memchr(value->at, '.', value->len) && !memchr(value->at, 'e', value->len) &&
        !memchr(value->at, 'E', value->len))
      continue; /* above INT64_MAX, and whole */
    code = MU_ETYPE;
    if (error) {
      error->code = code;
      error->offset = (size_t)(value->at - text);
      snprintf(error->path, sizeof error->path, "%s", wrapping_paths[i]);
      snprintf(error->what, sizeof error->what, "must be a whole number");
    }
  }
  return code;
}

int status_read(const struct status_codec *codec, enum status_kind hint, const char *text, size_t len,
                struct status_reading *reading, struct mu_json_error *error)
{
  int code = read_as(codec, hint, text, len, reading, error);
  /* A text with the members of both is a documented one, whatever the agent sent before. */
  bool both = code == 0 && hint == STATUS_DEPLOYED && (reading->cpu.kind || reading->memory.kind);
  if ((code == 0 && !both) || code == MU_ESYNTAX || code == MU_ELIMIT)
    return code;
  struct status_reading seen = {0};
  /* A member of the other form given twice is no news to a documented report, so that one has the last word. */
  if (mu_json_scan(codec->probe, text, len, &seen, NULL) != 0)
    return hint == STATUS_DOCUMENTED ? code : read_as(codec, STATUS_DOCUMENTED, text, len, reading, error);
  bool is_documented = seen.cpu.kind || seen.memory.kind || !(seen.cpu_info.kind || seen.memory_info.kind);
  enum status_kind kind = is_documented ? STATUS_DOCUMENTED : STATUS_DEPLOYED;
  return kind == hint ? code : read_as(codec, kind, text, len, reading, error);
}

struct mu_str status_string(const struct mu_json_value *value, struct mu_buf *scratch)
{
  if (value->kind != MU_JSON_STRING)
    return (struct mu_str){"", 0};
  if (!value->escaped)
    return mu_json_str(value);
  mu_buf_clear(scratch);
  if (mu_json_unescape(value, scratch) != 0)
    return (struct mu_str){"", 0};
  return (struct mu_str){scratch->at, scratch->len};
}

int status_identity(const struct status_reading *reading, struct mu_str id)
{
  if (reading->kind != STATUS_DOCUMENTED)
    return 0;
  struct mu_buf scratch = MU_BUF_INIT;
  int code = mu_str_equal(status_string(&reading->id, &scratch), id) ? 0 : scratch.failed ? MU_ENOMEM : MU_EIDENTITY;
  mu_buf_free(&scratch);
  return code;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

enum { MOST_EDITS = 6 };

static void add_edit(struct mu_edit *edits, size_t *count, struct mu_edit edit)
{
  size_t at = *count;
  for (; at > 0 && edits[at - 1].at > edit.at; at--)
    edits[at] = edits[at - 1];
  edits[at] = edit;
  ++*count;
}

mu_text *status_keep(const struct status_reading *reading, struct mu_str text, const struct mu_machine *machine,
                     bool show_ip)
{
  /* A deployed text is shown nowhere as it is: its page gets elements that are made from it. */
  if (reading->kind != STATUS_DOCUMENTED)
    return mu_text_new(text.at, text.len);
  const struct {
    const char *member;
    unsigned bit;
    const char *want;
    const struct mu_json_value *value;
  } rows[] = {
      {"serverName", MU_MACHINE_NAME, machine ? machine->name : NULL, &reading->name},
      {"group", MU_MACHINE_GROUP, machine ? machine->group : NULL, &reading->group},
      {"countryCode", MU_MACHINE_COUNTRY, machine ? machine->country : NULL, &reading->country},
      {"location", MU_MACHINE_LOCATION, machine ? machine->location : NULL, &reading->location},
  };
  struct mu_buf put[MU_COUNT(rows)] = {MU_BUF_INIT}; /* new values; [0] also gets the members that were not there */
  struct mu_edit edits[MOST_EDITS];
  size_t count = 0;
  mu_text *kept = NULL;
  struct mu_buf added = MU_BUF_INIT;
  for (size_t i = 0; machine && i < MU_COUNT(rows); i++) {
    const struct mu_json_value *value = rows[i].value;
    if (!(machine->fixed & rows[i].bit))
      continue;
    if (value->kind == MU_JSON_NONE) {
      mu_buf_printf(&added, ",\"%s\":", rows[i].member);
      mu_buf_json_string(&added, mu_str(rows[i].want));
    } else if (value->kind == MU_JSON_NULL || value->escaped ||
               !mu_str_equal(mu_json_str(value), mu_str(rows[i].want))) {
      mu_buf_json_string(&put[i], mu_str(rows[i].want));
      if (i > 0)
        add_edit(edits, &count, (struct mu_edit){(size_t)(value->at - text.at), value->len, {put[i].at, put[i].len}});
    }
  }
  if (added.len > 0 || put[0].len > 0) {
    /* serverName is always there: what is new comes after it. */
    if (put[0].len == 0)
      mu_buf_add(&put[0], reading->name.at, reading->name.len);
    mu_buf_add(&put[0], added.at, added.len);
    add_edit(edits, &count,
             (struct mu_edit){(size_t)(reading->name.at - text.at), reading->name.len, {put[0].at, put[0].len}});
  }
  if (!show_ip && reading->ip.kind != MU_JSON_NONE)
    add_edit(edits, &count, mu_json_cut(text, &reading->ip));
  bool failed = added.failed;
  for (size_t i = 0; i < MU_COUNT(put); i++)
    failed = failed || put[i].failed;
  if (!failed)
    kept = count ? mu_text_splice(text, edits, count) : mu_text_new(text.at, text.len);
  for (size_t i = 0; i < MU_COUNT(put); i++)
    mu_buf_free(&put[i]);
  mu_buf_free(&added);
  return kept;
}

int status_page_ping(const struct status_codec *codec, const char *text, size_t len, struct mu_json_error *error)
{
  struct status_reading reading = {0};
  int code = mu_json_scan(codec->page, text, len, &reading, error);
  return code != 0 ? code : mu_str_equal(mu_json_str(&reading.type), MU_STR("ping"));
}
