/* SPDX-License-Identifier: ISC */
/*
 * Hands what tests ask to store/1 and answers with what came of it. POST /test/NAME with one of
 *   {"read": S}  {"write": [S…]}  {"migrate": {"owner", "steps": [{"version", "what", "statements": [SQL…]}]}}
 *   {"flood": {"count": N, "statements": [S…]}}: N transactions at once; {"index": true} among the values is their number
 * S = {"sql" or "sqlite" and "mariadb", "values": [null, 1, 1.5, "text", {"ms": T}, {"fill": BYTES}, {"index": true}], "expect": N}
 * Answers: {"error", "reason", "key", "failed", "rows", "columns", "changed"}; times are {"ms": T}, texts above 1000 bytes
 * {"bytes": N, "same": BYTE or null}. A flood's: {"done": [[error, number]…]} in the order of the answers. {"refused": ERROR}: it was not even taken.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>
#include <muster/muster.h>
#include <muster/store.h>

struct desk;

/* Something asked: gone with its answer, or with the desk. */
struct asked {
  struct asked *next, **before;
  struct desk *desk;
  mu_http_id request;
  int64_t count, left; /* of a flood */
  struct mu_buf done;
};

struct one {
  struct asked *asked;
  int64_t number;
};

struct desk {
  mu_instance *in;
  struct mu_service store;
  struct asked *asked;
  struct one *ones; /* of the flood that is out: one at a time */
};

/* ---- values ---------------------------------------------------------------------------------- */

static struct mu_value value_of(struct json_object *json, int64_t index, char **fill)
{
  struct json_object *member;
  switch (json_object_get_type(json)) {
  case json_type_boolean:
    return mu_value_int(json_object_get_boolean(json));
  case json_type_int:
    return mu_value_int(json_object_get_int64(json));
  case json_type_double:
    return mu_value_real(json_object_get_double(json));
  case json_type_string:
    return mu_value_str((struct mu_str){json_object_get_string(json), (size_t)json_object_get_string_len(json)});
  case json_type_object:
    if (json_object_object_get_ex(json, "ms", &member))
      return mu_value_time(json_object_get_int64(member));
    if (json_object_object_get_ex(json, "nan", &member))
      return mu_value_real(NAN);
    if (json_object_object_get_ex(json, "bytes", &member)) /* not UTF-8 */
      return mu_value_str(MU_STR("a\xff\xfe"
                                 "b"));
    if (json_object_object_get_ex(json, "fill", &member)) {
      size_t len = (size_t)json_object_get_int64(member);
      free(*fill);
      *fill = malloc(len + 1);
      memset(*fill, 'x', len);
      return mu_value_str((struct mu_str){*fill, len});
    }
    return mu_value_int(index);
  default:
    return mu_value_null();
  }
}

static const char *text_of(struct json_object *json, const char *name)
{
  return json_object_get_string(json_object_object_get(json, name));
}

struct script {
  struct mu_statement *statements;
  struct mu_value *values;
  size_t count;
  char *fill;
};

static void script_free(struct script *script)
{
  free(script->statements);
  free(script->values);
  free(script->fill);
}

/* A list of statements as the store wants them; borrows texts from the JSON. */
static struct script script_of(struct json_object *list, int64_t index)
{
  struct script script = {.count = json_object_array_length(list)};
  size_t values = 0, at = 0;
  for (size_t i = 0; i < script.count; i++) {
    struct json_object *own = json_object_object_get(json_object_array_get_idx(list, i), "values");
    values += own ? json_object_array_length(own) : 0;
  }
  script.statements = calloc(script.count + 1, sizeof *script.statements);
  script.values = calloc(values + 1, sizeof *script.values);
  for (size_t i = 0; i < script.count; i++) {
    struct json_object *json = json_object_array_get_idx(list, i), *expect;
    struct json_object *own = json_object_object_get(json, "values");
    struct mu_statement *statement = &script.statements[i];
    statement->sql = (struct mu_sql){text_of(json, "sql"), text_of(json, "sqlite"), text_of(json, "mariadb")};
    statement->expect =
        json_object_object_get_ex(json, "expect", &expect) ? json_object_get_int64(expect) : MU_ANY_ROWS;
    statement->count = own ? json_object_array_length(own) : 0;
    statement->values = script.values + at;
    for (size_t n = 0; n < statement->count; n++)
      script.values[at++] = value_of(json_object_array_get_idx(own, n), index, &script.fill);
  }
  return script;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void add_text(struct mu_buf *out, struct mu_str text)
{
  if (text.len <= 1000) {
    mu_buf_json_string(out, text);
    return;
  }
  bool same = true;
  for (size_t i = 1; i < text.len && same; i++)
    same = text.at[i] == text.at[0];
  mu_buf_printf(out, "{\"bytes\":%zu,\"same\":", text.len);
  if (same)
    mu_buf_json_string(out, (struct mu_str){text.at, 1});
  mu_buf_adds(out, same ? "}" : "null}");
}

static void add_value(struct mu_buf *out, const struct mu_value *value)
{
  char text[64];
  switch (value->type) {
  case MU_VALUE_NULL:
    mu_buf_adds(out, "null");
    break;
  case MU_VALUE_INTEGER:
    mu_buf_printf(out, "%lld", (long long)value->integer);
    break;
  case MU_VALUE_REAL:
    snprintf(text, sizeof text, "%.17g", value->real);
    mu_buf_adds(out, text);
    mu_buf_adds(out, strpbrk(text, ".en") ? "" : ".0");
    break;
  case MU_VALUE_TEXT:
    add_text(out, value->text);
    break;
  case MU_VALUE_TIME:
    mu_buf_printf(out, "{\"ms\":%lld}", (long long)value->integer);
    break;
  }
}

static void answer(struct desk *desk, mu_http_id id, struct mu_buf *out)
{
  mu_http *request = mu_http_find(desk->in, id);
  mu_text *text = mu_buf_take_text(out);
  if (request && text)
    mu_http_answer(request, 200, "application/json; charset=utf-8", text);
  mu_text_unref(text);
}

static void forget(struct asked *asked)
{
  *asked->before = asked->next;
  if (asked->next)
    asked->next->before = asked->before;
  mu_buf_free(&asked->done);
  free(asked);
}

static void on_done(void *context, const struct mu_result *result)
{
  struct asked *asked = context;
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"error\":%d,\"failed\":%zu,\"columns\":%zu,\"reason\":", result->error, result->failed,
                result->columns);
  mu_buf_json_string(&out, mu_str(result->reason));
  mu_buf_adds(&out, ",\"key\":");
  mu_buf_json_string(&out, mu_str(result->key));
  mu_buf_adds(&out, ",\"changed\":[");
  for (size_t i = 0; i < result->changed_count; i++)
    mu_buf_printf(&out, "%s%lld", i ? "," : "", (long long)result->changed[i]);
  mu_buf_adds(&out, "],\"rows\":[");
  for (size_t row = 0; row < result->rows; row++) {
    mu_buf_adds(&out, row ? ",[" : "[");
    for (size_t column = 0; column < result->columns; column++) {
      mu_buf_adds(&out, column ? "," : "");
      add_value(&out, mu_result_at(result, row, column));
    }
    mu_buf_adds(&out, "]");
  }
  mu_buf_adds(&out, "]}");
  answer(asked->desk, asked->request, &out);
  forget(asked);
}

static void tell_flood(struct asked *asked)
{
  mu_buf_adds(&asked->done, "]}");
  answer(asked->desk, asked->request, &asked->done);
  free(asked->desk->ones);
  asked->desk->ones = NULL;
  forget(asked);
}

static void note(struct asked *asked, int64_t number, int error)
{
  mu_buf_printf(&asked->done, "%s[%d,%lld]", asked->left < asked->count ? "," : "{\"done\":[", error,
                (long long)number);
  asked->left--;
}

static void on_one(void *context, const struct mu_result *result)
{
  struct one *one = context;
  struct asked *asked = one->asked;
  note(asked, one->number, result->error);
  if (asked->left == 0)
    tell_flood(asked);
}

/* ---- what is asked --------------------------------------------------------------------------- */

static int flood(struct desk *desk, struct asked *asked, struct json_object *json)
{
  const struct mu_store *store = desk->store.api;
  int64_t count = json_object_get_int64(json_object_object_get(json, "count"));
  if (desk->ones || count < 1)
    return MU_EBUSY;
  asked->count = asked->left = count;
  desk->ones = calloc((size_t)count, sizeof *desk->ones);
  for (int64_t i = 0; i < count; i++) {
    desk->ones[i] = (struct one){asked, i};
    struct script script = script_of(json_object_object_get(json, "statements"), i);
    int error = store->write(desk->store.self, desk->in, script.statements, script.count, on_one, &desk->ones[i]);
    script_free(&script);
    if (error < 0)
      note(asked, i, error);
  }
  if (asked->left == 0)
    tell_flood(asked);
  return 0;
}

static int migrate(struct desk *desk, struct asked *asked, struct json_object *json)
{
  const struct mu_store *store = desk->store.api;
  struct json_object *steps = json_object_object_get(json, "steps");
  struct mu_migration migrations[16] = {0};
  struct mu_sql sql[256] = {0};
  size_t count = json_object_array_length(steps), used = 0;
  for (size_t i = 0; i < count && i < MU_COUNT(migrations); i++) {
    struct json_object *step = json_object_array_get_idx(steps, i), *list = json_object_object_get(step, "statements");
    migrations[i] =
        (struct mu_migration){.version = (unsigned)json_object_get_int(json_object_object_get(step, "version")),
                              .what = text_of(step, "what"),
                              .statements = sql + used,
                              .count = json_object_array_length(list)};
    for (size_t n = 0; n < migrations[i].count && used < MU_COUNT(sql); n++)
      sql[used++].text = json_object_get_string(json_object_array_get_idx(list, n));
  }
  return store->migrate(desk->store.self, desk->in, text_of(json, "owner"), migrations, count, on_done, asked);
}

static int ask(struct desk *desk, struct asked *asked, struct json_object *json)
{
  const struct mu_store *store = desk->store.api;
  struct json_object *what;
  if (json_object_object_get_ex(json, "flood", &what))
    return flood(desk, asked, what);
  if (json_object_object_get_ex(json, "migrate", &what))
    return migrate(desk, asked, what);
  bool reads = json_object_object_get_ex(json, "read", &what);
  struct json_object *list = NULL;
  if (reads) {
    list = json_object_new_array();
    json_object_array_add(list, json_object_get(what));
  } else if (json_object_object_get_ex(json, "write", &what)) {
    list = json_object_get(what);
  }
  if (!list)
    return MU_EINVAL;
  struct script script = script_of(list, 0);
  int error = reads ? store->read(desk->store.self, desk->in, script.statements, on_done, asked)
                    : store->write(desk->store.self, desk->in, script.statements, script.count, on_done, asked);
  script_free(&script);
  json_object_put(list);
  return error;
}

static int handle(void *self, mu_http *request)
{
  struct desk *desk = self;
  struct mu_str body = mu_http_body(request);
  MU_AUTO_JSON struct json_object *json = NULL;
  if (mu_json_parse(body.at, body.len, &json, NULL) < 0)
    return mu_http_error(request, 400, "INVALID_JSON", "no JSON");
  struct asked *asked = calloc(1, sizeof *asked);
  if (!asked)
    return MU_ENOMEM;
  asked->desk = desk;
  asked->request = mu_http_get_id(request);
  asked->next = desk->asked;
  asked->before = &desk->asked;
  if (asked->next)
    asked->next->before = &asked->next;
  desk->asked = asked;
  int error = ask(desk, asked, json);
  if (error < 0) {
    struct mu_buf out = MU_BUF_INIT;
    mu_buf_printf(&out, "{\"refused\":%d}", error);
    answer(desk, asked->request, &out);
    forget(asked);
  }
  return mu_http_find(desk->in, mu_http_get_id(request)) ? MU_PENDING : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_http_route route = {.size = sizeof route,
                                             .path = "/test/" NAME,
                                             .methods = MU_HTTP_POST,
                                             .access = MU_ACCESS_PUBLIC,
                                             .max_body = 60000,
                                             .handle = handle};
  struct desk *desk = calloc(1, sizeof *desk);
  if (!desk)
    return MU_ENOMEM;
  desk->in = in;
  int result = mu_http_route(in, &route, desk);
  if (result < 0)
    free(desk);
  else
    *self = desk;
  return result;
}

static int start(void *self)
{
  struct desk *desk = self;
  return mu_service_get(desk->in, MU_SERVICE_STORE, &desk->store);
}

static void fini(void *self)
{
  struct desk *desk = self;
  while (desk->asked)
    forget(desk->asked);
  free(desk->ones);
  free(desk);
}

static const char *const needs[] = {MU_SERVICE_STORE, NULL};
static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .needs = needs,
                                                  .init = init,
                                                  .start = start,
                                                  .fini = fini}};

MU_PLUGIN(.name = NAME, .version = "1.0", .summary = "lets tests ask the store", .licence = "ISC",
          .components = MU_COMPONENTS(components));
