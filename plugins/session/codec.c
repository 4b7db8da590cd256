/* SPDX-License-Identifier: ISC */
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

#define NO MU_FIELD_CHECK_ONLY

#define TEXT(path_, max_, offset_)                                                                                     \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_STRING, .max = max_, .offset = offset_                                             \
  }
#define OPTIONAL(path_, max_, offset_)                                                                                 \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_STRING, .flags = MU_FIELD_NULLABLE, .max = max_, .offset = offset_                 \
  }
#define ANY(path_, offset_)                                                                                            \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_ANY, .offset = offset_                                                             \
  }
#define COLLECTOR(path_)                                                                                               \
  {                                                                                                                    \
    .path = path_, .type = MU_FIELD_OBJECT, .offset = NO                                                               \
  }

#define AUTH(member) offsetof(struct auth_fields, member)
static const struct mu_field auth_fields[] = {
    TEXT("apiKey", 1024, AUTH(api_key)),
    TEXT("sessionToken", 4096, AUTH(session_token)),
    TEXT("machineId", SESSION_ID_MAX, AUTH(machine_id)),
    TEXT("name", 128, AUTH(name)),
    TEXT("scope", 16, AUTH(scope)),
};

static const struct mu_field plain_fields[] = {
    {.path = "timestamp", .type = MU_FIELD_INT, .offset = offsetof(struct plain_fields, timestamp)},
};

#define INFO(member) offsetof(struct info_fields, member)
static const struct mu_field info_fields[] = {
    ANY("ip", INFO(ip)),
    ANY("ram", INFO(ram)),
    ANY("cpu", INFO(cpu)),
    OPTIONAL("hostname", 255, INFO(hostname)),
    OPTIONAL("os", 128, INFO(os)),
    OPTIONAL("arch", 64, INFO(arch)),
    OPTIONAL("kernel", 128, INFO(kernel)),
    OPTIONAL("agentVersion", 64, INFO(agent_version)),
    {.path = "collectors", .type = MU_FIELD_ARRAY, .flags = MU_FIELD_NULLABLE, .offset = INFO(collectors)},
    TEXT("collectors[]", 64, NO),
    OPTIONAL("name", 128, INFO(name)),
    {.path = "public", .type = MU_FIELD_BOOL, .offset = INFO(is_public)},
};

#define DATA(member) offsetof(struct data_fields, member)
static const struct mu_field data_fields[] = {
    TEXT("boot", SESSION_BOOT_MAX, DATA(boot)),
    {.path = "seq", .type = MU_FIELD_UINT, .offset = DATA(seq)},
    {.path = "timestamp", .type = MU_FIELD_UINT, .offset = DATA(timestamp)},
    {.path = "metrics", .type = MU_FIELD_OBJECT, .flags = MU_FIELD_REQUIRED, .offset = DATA(metrics)},
    /* Every collector must be an object; those that everybody has are judged here, others where they are read. */
    COLLECTOR("metrics.cpu"),
    COLLECTOR("metrics.memory"),
    COLLECTOR("metrics.disk"),
    COLLECTOR("metrics.network"),
    COLLECTOR("metrics.system"),
};

#define TABLE(type_, fields_, struct_)                                                                                 \
  {                                                                                                                    \
    type_, fields_, MU_COUNT(fields_), sizeof(struct struct_)                                                          \
  }
const struct codec_table codec_tables[CODEC_TYPES] = {
    [CODEC_AUTH] = TABLE("auth", auth_fields, auth_fields),
    [CODEC_PING] = TABLE("ping", plain_fields, plain_fields),
    [CODEC_PONG] = TABLE("pong", plain_fields, plain_fields),
    [CODEC_INFO] = TABLE("system_info", info_fields, info_fields),
    [CODEC_HEARTBEAT] = TABLE("heartbeat", plain_fields, plain_fields),
    [CODEC_DATA] = TABLE("data", data_fields, data_fields),
};

/* ---- types ----------------------------------------------------------------------------------- */

static const struct mu_field type_field = {
    .path = "type", .type = MU_FIELD_STRING, .flags = MU_FIELD_REQUIRED, .max = 64, .offset = NO};

int codec_init(struct codec *codec)
{
  struct mu_field field = type_field;
  field.offset = 0;
  codec->type = mu_schema_new(&field, 1, sizeof field);
  return codec->type ? 0 : MU_ENOMEM;
}

void codec_fini(struct codec *codec)
{
  mu_schema_free(codec->type);
  codec->type = NULL;
}

mu_schema *codec_schema(const struct mu_field *fields, size_t count, size_t field_size)
{
  struct mu_field *rows = calloc(count + 1, sizeof *rows);
  if (!rows)
    return NULL;
  for (size_t i = 0; i < count; i++)
    memcpy(&rows[i], (const char *)fields + i * field_size, field_size < sizeof *rows ? field_size : sizeof *rows);
  rows[count] = type_field;
  mu_schema *schema = mu_schema_new(rows, count + 1, sizeof *rows);
  free(rows);
  return schema;
}

static const char *skip_space(const char *at, const char *end)
{
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

static bool type_character(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

bool codec_type_ok(struct mu_str type)
{
  if (type.len == 0 || type.len > SESSION_TYPE_MAX || !(type.at[0] >= 'a' && type.at[0] <= 'z'))
    return false;
  for (size_t i = 1; i < type.len; i++)
    if (!type_character(type.at[i]))
      return false;
  return true;
}

struct mu_str codec_peek(struct mu_str text)
{
  static const char name[] = "\"type\"";
  const struct mu_str none = {"", 0};
  const char *end = text.at + text.len, *at = skip_space(text.at, end);
  if (at == end || *at != '{')
    return none;
  at = skip_space(at + 1, end);
  if ((size_t)(end - at) < sizeof name - 1 || memcmp(at, name, sizeof name - 1) != 0)
    return none;
  at = skip_space(at + sizeof name - 1, end);
  if (at == end || *at != ':')
    return none;
  at = skip_space(at + 1, end);
  if (at == end || *at != '"')
    return none;
  const char *from = ++at;
  while (at < end && type_character(*at))
    at++;
  const struct mu_str type = {from, (size_t)(at - from)};
  return at < end && *at == '"' && codec_type_ok(type) ? type : none;
}

int codec_read_type(const struct codec *codec, struct mu_str text, struct mu_str *type, struct mu_buf *scratch,
                    struct mu_json_error *error)
{
  struct mu_json_value value;
  *type = (struct mu_str){"", 0};
  int result = mu_json_scan(codec->type, text.at, text.len, &value, error);
  if (result == 0)
    *type = codec_string(&value, scratch);
  return result;
}

/* ---- errors ---------------------------------------------------------------------------------- */

bool codec_is_bad_json(struct mu_str text, const struct mu_json_error *error)
{
  if (!error->path[0])
    return true;
  /* A member's error may come before one of the text as a whole. A number that is not finite is the member's. */
  int code = mu_json_scan(NULL, text.at, text.len, NULL, NULL);
  return code != 0 && code != MU_ERANGE;
}

void codec_error_text(const struct mu_json_error *error, char *out, size_t room)
{
  snprintf(out, room, "%s%s%s", error->path, error->path[0] ? " " : "", error->what);
}

static int wrong(struct mu_json_error *error, const char *path, const char *what)
{
  *error = (struct mu_json_error){.code = MU_ETYPE};
  snprintf(error->path, sizeof error->path, "%s", path);
  snprintf(error->what, sizeof error->what, "%s", what);
  return MU_ETYPE;
}

/* ---- values ---------------------------------------------------------------------------------- */

struct mu_str codec_string(const struct mu_json_value *value, struct mu_buf *scratch)
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

bool codec_id_ok(struct mu_str id, size_t max)
{
  if (id.len == 0 || id.len > max)
    return false;
  for (size_t i = 0; i < id.len; i++) {
    char c = id.at[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
          c == ':' || c == '-'))
      return false;
  }
  return true;
}

/* An id that is there must be a good one, written without escapes. */
static bool id_value_ok(const struct mu_json_value *value, size_t max)
{
  return value->kind == MU_JSON_NONE || (!value->escaped && codec_id_ok(mu_json_str(value), max));
}

int codec_check_auth(const struct auth_fields *auth, struct mu_json_error *error)
{
  if (!auth->api_key.kind && !auth->session_token.kind)
    return wrong(error, "apiKey", "is missing");
  if (auth->api_key.kind && auth->session_token.kind)
    return wrong(error, "sessionToken", "must not be given together with apiKey");
  if (!id_value_ok(&auth->machine_id, SESSION_ID_MAX))
    return wrong(error, "machineId", "must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -");
  struct mu_str scope = auth->scope.kind && !auth->scope.escaped ? mu_json_str(&auth->scope) : MU_STR("");
  if (auth->scope.kind && !mu_str_equal(scope, MU_STR("agent")) && !mu_str_equal(scope, MU_STR("admin")))
    return wrong(error, "scope", "must be \"agent\" or \"admin\"");
  return 0;
}

int codec_check_info(const struct info_fields *info, struct mu_json_error *error)
{
  static const char what[] = "must be a number, a string of at most 64 bytes, or null";
  const struct {
    const char *path;
    const struct mu_json_value *value;
  } rows[] = {{"ip", &info->ip}, {"ram", &info->ram}, {"cpu", &info->cpu}};
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    const struct mu_json_value *value = rows[i].value;
    bool text = value->kind == MU_JSON_STRING && value->len <= SESSION_TEXT_MAX + 2;
    bool number = value->kind == MU_JSON_NUMBER && value->len <= SESSION_TEXT_MAX;
    if (!text && !number && value->kind != MU_JSON_NULL && value->kind != MU_JSON_NONE)
      return wrong(error, rows[i].path, what);
  }
  if (info->collectors.kind == MU_JSON_ARRAY && info->collectors.len > SESSION_COLLECTORS_MAX)
    return wrong(error, "collectors", "must be at most 4096 bytes long");
  return 0;
}

int codec_check_data(const struct data_fields *data, struct mu_json_error *error)
{
  if (!id_value_ok(&data->boot, SESSION_BOOT_MAX))
    return wrong(error, "boot", "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -");
  if (data->boot.kind && !data->seq.kind)
    return wrong(error, "seq", "must be given with boot");
  if (data->seq.kind && !data->boot.kind)
    return wrong(error, "boot", "must be given with seq");
  return 0;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

mu_text *codec_facts(const struct info_fields *info)
{
  enum { ALWAYS = 5 };
  const struct {
    const char *name;
    const struct mu_json_value *value;
  } rows[] = {
      {"ip", &info->ip},
      {"ram", &info->ram},
      {"cpu", &info->cpu},
      {"hostname", &info->hostname},
      {"os", &info->os},
      {"arch", &info->arch},
      {"kernel", &info->kernel},
      {"agentVersion", &info->agent_version},
      {"collectors", &info->collectors},
  };
  struct mu_buf out = MU_BUF_INIT;
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    bool known = rows[i].value->kind != MU_JSON_NONE;
    if (!known && i >= ALWAYS)
      continue;
    mu_buf_printf(&out, "%c\"%s\":", i ? ',' : '{', rows[i].name);
    mu_buf_add(&out, known ? rows[i].value->at : "null", known ? rows[i].value->len : 4);
  }
  mu_buf_adds(&out, "}");
  mu_text *text = mu_buf_take_text(&out);
  mu_buf_free(&out);
  return text;
}

/* Behind the string whose quote is at `at`. */
static const char *skip_string(const char *at, const char *end)
{
  for (at++; at < end && *at != '"'; at++)
    at += *at == '\\';
  return at + 1;
}

bool codec_is_canonical(struct mu_str metrics)
{
  const char *end = metrics.at + metrics.len;
  unsigned depth = 0;
  for (const char *at = metrics.at; at < end;) {
    switch (*at) {
    case '"':
      at = skip_string(at, end);
      continue;
    case '{':
    case '[':
      depth++;
      break;
    case '}':
    case ']':
      depth--;
      break;
    case ':':
      if (depth > 1)
        break;
      at = skip_space(at + 1, end);
      if (at == end || *at != '{')
        return false;
      depth = 2;
      break;
    default:
      break;
    }
    at++;
  }
  return true;
}

int codec_metrics(const char *text, size_t len, struct json_object **metrics)
{
  MU_AUTO_JSON struct json_object *all = NULL;
  int result = mu_json_parse(text, len, &all, NULL);
  if (result != 0)
    return result;
  if (!json_object_is_type(all, json_type_object))
    return MU_ETYPE;
  struct json_object *kept = json_object_new_object();
  if (!kept)
    return MU_ENOMEM;
  json_object_object_foreach(all, name, collector)
  {
    if (!json_object_is_type(collector, json_type_object))
      continue;
    if (json_object_object_add(kept, name, json_object_get(collector)) != 0) {
      json_object_put(collector);
      json_object_put(kept);
      return MU_ENOMEM;
    }
  }
  *metrics = kept;
  return 0;
}
