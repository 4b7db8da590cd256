/* SPDX-License-Identifier: ISC */
/* The API beside the channel: what this server has, tickets, history, plugins, configuration. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "console.h"

static bool add(struct json_object *object, const char *name, struct json_object *value)
{
  if (object && value && json_object_object_add(object, name, value) == 0)
    return true;
  json_object_put(value);
  return false;
}

static bool add_text(struct json_object *object, const char *name, const char *text)
{
  return add(object, name, json_object_new_string(text));
}

static bool add_flag(struct json_object *object, const char *name, bool flag)
{
  return add(object, name, json_object_new_boolean(flag));
}

static bool add_count(struct json_object *object, const char *name, uint64_t count)
{
  return add(object, name, json_object_new_int64(count > INT64_MAX ? INT64_MAX : (int64_t)count));
}

/* ---- site ------------------------------------------------------------------------------------ */

enum part { PART_RELAY, PART_ACCOUNTS, PART_SESSION, PARTS };

/* Pages that other plugins make possible, and the plugin to add for each. */
static const struct {
  const char *page, *plugin;
} parts[PARTS] = {{"relay", "relay"}, {"accounts", "auth_accounts"}, {"join", "session"}};

static int find_part(void *context, const struct mu_host_instance *instance)
{
  bool *there = context;
  for (size_t i = 0; i < PARTS; i++)
    there[i] |= strcmp(instance->plugin, parts[i].plugin) == 0 && strcmp(instance->state, "running") == 0;
  return 0;
}

bool rest_judged(const struct console *console, enum mu_credential_kind kind)
{
  struct mu_service service;
  for (size_t n = 0; mu_service_nth(console->in, MU_SERVICE_AUTH, n, &service) == 0; n++)
    if (((const struct mu_auth *)service.api)->kinds & (unsigned)kind)
      return true;
  return false;
}

static const char *status_word(const struct console *console)
{
  return live_open(console) ? "open" : console->config->public_status ? "token" : "login";
}

static int get_site(void *self, mu_http *request)
{
  struct console *console = self;
  bool there[PARTS] = {0};
  struct mu_service store;
  const char *history = history_stored(console, &store) ? "store" : console->config->history_machines > 0 ? "ring" : "";
  mu_host_each(console->in, find_part, there);
  struct json_object *body = json_object_new_object(), *pages = json_object_new_object(),
                     *missing = json_object_new_object();
  bool good = add_text(body, "name", mu_node_name(console->in)) &&
              add_text(body, "version", mu_host_version(console->in)) &&
              add_text(body, "status", status_word(console)) &&
              add_flag(body, "login", rest_judged(console, MU_CREDENTIAL_PASSWORD)) &&
              add_text(body, "agent_url", console->config->agent_url) && add_flag(pages, "status", true) &&
              add_flag(pages, "plugins", true) && add_text(pages, "history", history);
  for (size_t i = 0; good && i < PARTS; i++)
    good = add_flag(pages, parts[i].page, there[i]) && (there[i] || add_text(missing, parts[i].page, parts[i].plugin));
  good = good && add(body, "pages", json_object_get(pages)) && add(body, "missing", json_object_get(missing));
  json_object_put(pages);
  json_object_put(missing);
  if (!good) {
    json_object_put(body);
    body = NULL;
  }
  return mu_rest_answer(request, 0, body);
}

/* ---- ticket ---------------------------------------------------------------------------------- */

static int post_ticket(void *self, mu_http *request)
{
  struct console *console = self;
  char text[TICKET_TEXT + 1];
  int error = tickets_new(&console->tickets, mu_http_principal(request), mu_mono_ns(), text);
  if (error == MU_ELIMIT)
    return mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                         MU_WORDS("too many tickets are out; try again later", "凭证过多，请稍后再试"));
  if (error)
    return error;
  struct json_object *body = json_object_new_object();
  bool good = add_text(body, "ticket", text) && add_count(body, "expires_in", TICKET_LIFE_S);
  mu_secret_wipe(text, sizeof text);
  if (!good) {
    json_object_put(body);
    body = NULL;
  }
  return mu_rest_answer(request, 0, body);
}

/* ---- plugins --------------------------------------------------------------------------------- */

static const char *kind_word(enum mu_kind kind)
{
  return kind == MU_SERVER ? "server" : kind == MU_UPLINK ? "uplink" : "collector";
}

static bool add_list(struct json_object *object, const char *name, const char *const *list)
{
  struct json_object *array = json_object_new_array();
  for (; array && *list; list++) {
    struct json_object *item = json_object_new_string(*list);
    if (!item || json_object_array_add(array, item) != 0) {
      json_object_put(item);
      json_object_put(array);
      return false;
    }
  }
  return add(object, name, array);
}

static bool add_callbacks(struct json_object *object, const struct mu_host_instance *instance)
{
  struct json_object *array = json_object_new_array();
  bool good = array != NULL;
  for (size_t i = 0; good && i < instance->callback_count; i++) {
    struct mu_host_callback row = {0};
    size_t size = instance->callback_size < sizeof row ? instance->callback_size : sizeof row;
    memcpy(&row, (const char *)instance->callbacks + i * instance->callback_size, size);
    struct json_object *item = json_object_new_object();
    good = add_text(item, "name", row.name) && add_count(item, "calls", row.calls) &&
           add_count(item, "errors", row.errors) &&
           add(item, "total_ms", json_object_new_double((double)(row.total_ns / 1000) / 1000)) &&
           add_count(item, "p99_us", (uint64_t)(row.p99_ns / 1000)) &&
           add_count(item, "max_us", (uint64_t)(row.max_ns / 1000)) && json_object_array_add(array, item) == 0;
    if (!good)
      json_object_put(item);
  }
  if (good)
    return add(object, "callbacks", array);
  json_object_put(array);
  return false;
}

static bool add_counters(struct json_object *object, const struct mu_host_instance *instance)
{
  struct json_object *counters = json_object_new_object();
  bool good = counters != NULL;
  for (size_t i = 0; good && i < instance->counter_count; i++)
    good = add_count(counters, instance->counters[i].name, instance->counters[i].value);
  if (good)
    return add(object, "counters", counters);
  json_object_put(counters);
  return false;
}

static int add_instance(void *context, const struct mu_host_instance *instance)
{
  struct json_object *array = context, *item = json_object_new_object();
  bool good = add_text(item, "instance", instance->name) && add_text(item, "plugin", instance->plugin) &&
              add_text(item, "version", instance->version) && add_text(item, "summary", instance->summary) &&
              add_text(item, "licence", instance->licence) && add_text(item, "kind", kind_word(instance->kind)) &&
              add_list(item, "provides", instance->provides) && add_list(item, "needs", instance->needs) &&
              add_list(item, "wants", instance->wants) && add_text(item, "state", instance->state) &&
              add_text(item, "file", instance->file) && add_callbacks(item, instance) && add_counters(item, instance) &&
              json_object_array_add(array, item) == 0;
  if (good)
    return 0;
  json_object_put(item);
  return MU_ENOMEM;
}

static int get_plugins(void *self, mu_http *request)
{
  struct console *console = self;
  struct json_object *body = json_object_new_array();
  int error = body ? mu_host_each(console->in, add_instance, body) : MU_ENOMEM;
  if (error) {
    json_object_put(body);
    return error;
  }
  return mu_rest_answer(request, 0, body);
}

static int get_config(void *self, mu_http *request)
{
  struct console *console = self;
  struct mu_buf json = MU_BUF_INIT;
  int error = mu_host_config(console->in, &json);
  mu_text *body = error ? NULL : mu_buf_take_text(&json);
  mu_buf_free(&json);
  if (!body)
    return error ? error : MU_ENOMEM;
  error = mu_http_answer(request, 200, "application/json; charset=utf-8", body);
  mu_text_unref(body);
  return error;
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define FIELDS(array) MU_REST_FIELDS(array)
#define TEXT(name_, ...)                                                                                               \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, __VA_ARGS__                                    \
  }
#define FLAG(name_, ...)                                                                                               \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED, __VA_ARGS__                                   \
  }
#define COUNT(name_, ...)                                                                                              \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED, __VA_ARGS__                                   \
  }
#define TEXTS(name_, ...)                                                                                              \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_ARRAY, .item = MU_REST_STRING, .flags = MU_REST_REQUIRED, __VA_ARGS__             \
  }

static const char *const statuses[] = {"open", "token", "login", NULL};
static const char *const histories[] = {"ring", "store", "", NULL};
static const char *const kinds[] = {"server", "uplink", "collector", NULL};
static const char *const sources[] = {"ring", "store", NULL};

static const struct mu_rest_field pages_fields[] = {
    FLAG("status"),
    FLAG("plugins"),
    FLAG("relay", .help = "The plugin relay runs"),
    FLAG("accounts", .help = "The plugin auth_accounts runs: people, invite codes, API keys"),
    FLAG("join", .help = "The plugin session runs: agents come with an API key"),
    TEXT("history", .one_of = histories, .help = "Where the past of machines comes from; \"\": from nowhere"),
};
static const struct mu_rest_field site_fields[] = {
    TEXT("name", .help = "This node's name"),
    TEXT("version"),
    TEXT("status", .one_of = statuses, .help = "Who sees public machines: everybody, who has the token, who logged in"),
    FLAG("login", .help = "Somebody here judges names and passwords"),
    TEXT("agent_url", .help = "Where agents report; \"\": ws(s):// and the host of this page"),
    {.name = "pages", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = FIELDS(pages_fields)},
    {.name = "missing", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .help = "Page → plugin to add for it"},
};
static const struct mu_rest_field ticket_fields[] = {
    TEXT("ticket", .help = "For the first message of /api/console/live; good once"),
    COUNT("expires_in", .help = "Seconds"),
};
static const struct mu_rest_field history_query[] = {
    {.name = "from",
     .type = MU_REST_INTEGER,
     .max = 253402300799999.0,
     .help = "Unix ms; default: an hour before `to`"},
    {.name = "to", .type = MU_REST_INTEGER, .max = 253402300799999.0, .help = "Unix ms; default: now"},
    {.name = "points", .type = MU_REST_INTEGER, .min = 1, .max = 1000, .help = "At most so many; default 360"},
};
static const struct mu_rest_field series_fields[] = {
    TEXT("name", .help = "\"cpu.percent\", \"disk.disks[/].used_percent\", \"cpu.per_core[0]\""),
    TEXT("unit", .help = "\"%\", \"B\", \"B/s\", \"s\", \"°C\" or \"\""),
};
static const struct mu_rest_field history_fields[] = {
    TEXT("source", .one_of = sources),
    COUNT("retention_ms", .help = "How far back it goes at most"),
    COUNT("from"),
    COUNT("step_ms"),
    COUNT("left_out", .help = "Numbers of the newest report that there is no room for"),
    {.name = "series", .type = MU_REST_ARRAY, .flags = MU_REST_REQUIRED, .fields = FIELDS(series_fields)},
    {.name = "t", .type = MU_REST_ARRAY, .item = MU_REST_INTEGER, .flags = MU_REST_REQUIRED, .help = "Unix ms"},
    {.name = "v",
     .type = MU_REST_ARRAY,
     .item = MU_REST_ARRAY,
     .flags = MU_REST_REQUIRED,
     .help = "One list for each series, one value or null (a gap) for each time"},
};
static const struct mu_rest_field callback_fields[] = {
    TEXT("name"),    COUNT("calls"),
    COUNT("errors"), {.name = "total_ms", .type = MU_REST_NUMBER, .flags = MU_REST_REQUIRED},
    COUNT("p99_us"), COUNT("max_us"),
};
static const struct mu_rest_field plugin_fields[] = {
    TEXT("instance"),
    TEXT("plugin"),
    TEXT("version"),
    TEXT("summary"),
    TEXT("licence"),
    TEXT("kind", .one_of = kinds),
    TEXTS("provides"),
    TEXTS("needs"),
    TEXTS("wants"),
    TEXT("state", .help = "running, stopping, stuck or failed"),
    TEXT("file"),
    {.name = "callbacks", .type = MU_REST_ARRAY, .flags = MU_REST_REQUIRED, .fields = FIELDS(callback_fields)},
    {.name = "counters", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED},
};
static const struct mu_rest_field config_plugin_fields[] = {
    TEXT("instance"),
    TEXT("plugin"),
    TEXT("kind", .one_of = kinds),
    {.name = "config", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED},
};
static const struct mu_rest_field config_fields[] = {
    {.name = "program", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED},
    {.name = "plugins", .type = MU_REST_ARRAY, .flags = MU_REST_REQUIRED, .fields = FIELDS(config_plugin_fields)},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/console/site", PUBLIC, get_site, .summary = "What this server has, for the console's pages",
            .answer = FIELDS(site_fields)),
    MU_REST(POST, "/api/console/ticket", USER, post_ticket, .summary = "A one-use ticket for the live channel",
            .answer = FIELDS(ticket_fields)),
    MU_REST(GET, "/api/console/machines/:key/history", PUBLIC, history_get,
            .summary = "The past of a machine that the caller may see; `key` as in the live channel",
            .query = FIELDS(history_query), .answer = FIELDS(history_fields), .rate = {"console history", 600, 60}),
    MU_REST(GET, "/api/console/plugins", ADMIN, get_plugins, .summary = "All instances, and how they do",
            .answer = FIELDS(plugin_fields), .answer_array = true),
    MU_REST(GET, "/api/console/config", ADMIN, get_config,
            .summary = "The configuration in force; secrets are \"(hidden)\"", .answer = FIELDS(config_fields)),
};

int rest_serve(struct console *console)
{
  const struct mu_rest_api api = {.size = sizeof api,
                                  .title = "Console",
                                  .routes = routes,
                                  .count = MU_COUNT(routes),
                                  .route_size = sizeof routes[0],
                                  .field_size = sizeof site_fields[0]};
  return mu_rest_serve(console->in, &api, console);
}
