/* SPDX-License-Identifier: ISC */
/* Endpoints: list, make, show, delete, how they forward; statistics and messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest.h"

static const char *const modes[] = {"DIRECT", "JSON", "CUSTOM_HEADER", NULL};

const struct mu_rest_field rest_endpoint_fields[REST_ENDPOINT_FIELDS] = {
    {.name = "id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "The last part of its address"},
    {.name = "name", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "user_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "forwarding_mode", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .one_of = modes},
    {.name = "custom_header", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "created_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
    {.name = "last_active_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "is_disabled", .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED},
    {.name = "disabled_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "disabled_reason", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "disabled_by", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "websocket_url", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
};

/* A Host that may stand in an address. */
static bool is_host(struct mu_str host)
{
  for (size_t i = 0; i < host.len; i++)
    if (!((host.at[i] >= 'a' && host.at[i] <= 'z') || (host.at[i] >= 'A' && host.at[i] <= 'Z') ||
          (host.at[i] >= '0' && host.at[i] <= '9') || strchr(".-:[]", host.at[i])))
      return false;
  return host.len > 0;
}

struct json_object *rest_websocket_url(const struct relay *relay, mu_http *request, struct mu_str key)
{
  struct mu_buf url = MU_BUF_INIT;
  struct mu_str host, scheme;
  mu_buf_adds(&url, relay->config->websocket_base_url);
  if (url.len == 0 && mu_http_header(request, "host", &host) && is_host(host)) {
    /* Whatever a proxy says is believed: a wrong answer would go to who asked, and to nobody else. */
    bool safe = mu_http_secure(request) ||
                (mu_http_header(request, "x-forwarded-proto", &scheme) && mu_str_equal_nocase(scheme, MU_STR("https")));
    mu_buf_printf(&url, "%s%.*s", safe ? "wss://" : "ws://", (int)host.len, host.at);
  }
  mu_buf_printf(&url, "/ws/%.*s", (int)key.len, key.at);
  struct json_object *made = url.failed ? NULL : json_object_new_string_len(url.at, (int)url.len);
  mu_buf_free(&url);
  return made;
}

/* A row of REST_ENDPOINT_SELECT as E. */
static struct json_object *endpoint_json(struct relay *relay, mu_http *request, const struct mu_result *result,
                                         size_t row)
{
  struct json_object *made = rest_row(result, row, rest_endpoint_fields, REST_ENDPOINT_COLUMNS);
  struct json_object *url = rest_websocket_url(relay, request, mu_result_at(result, row, REST_ENDPOINT_KEY)->text);
  if (made && url && rest_add(made, "websocket_url", url))
    return made;
  json_object_put(made ? NULL : url);
  json_object_put(made);
  return NULL;
}

static int on_endpoint(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return mu_rest_answer(request, 0, rest_data("endpoint", endpoint_json(relay, request, result, 0)));
}

static int get_endpoint(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_endpoint, NULL);
}

static int get_health(void *self, mu_http *request)
{
  (void)self;
  struct json_object *body = json_object_new_object();
  rest_add(body, "status", json_object_new_string("ok"));
  return mu_rest_answer(request, 0, body);
}

struct json_object *rest_endpoint_list(struct relay *relay, mu_http *request, const struct mu_result *result)
{
  struct json_object *list = json_object_new_array();
  for (size_t row = 0; list && row < result->rows; row++) {
    struct json_object *made = endpoint_json(relay, request, result, row);
    if (made && json_object_array_add(list, made) == 0)
      continue;
    json_object_put(made);
    json_object_put(list);
    return NULL;
  }
  return rest_data("endpoints", list);
}

static int on_endpoints(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return mu_rest_answer(request, 0, rest_endpoint_list(relay, request, result));
}

static int list_endpoints(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  const struct mu_value values[] = {mu_value_text(user)};
  if (!user)
    return 0;
  return rest_read(
      self, request,
      REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE user_id = ? ORDER BY created_at DESC, id"),
      REST_VALUES(values), on_endpoints, NULL);
}

/* ---- a new one ------------------------------------------------------------------------------- */

/* The user's row is locked first: of two requests at once the second counts what the first made, wherever it came in. */
static const struct mu_sql lock_sql = {.sqlite = "SELECT id FROM users WHERE id = ?",
                                       .mariadb = "SELECT id FROM users WHERE id = ? FOR UPDATE"};
#define INSERT_ENDPOINT(from)                                                                                          \
  "INSERT INTO endpoints (id, endpoint_id, name, user_id, forwarding_mode, custom_header, created_at, is_disabled) "   \
  "SELECT ?, ?, ?, ?, ?, ?, ?, 0" from " WHERE (SELECT COUNT(*) FROM endpoints WHERE user_id = ?) < ?"
static const struct mu_sql insert_sql = {.sqlite = INSERT_ENDPOINT(""), .mariadb = INSERT_ENDPOINT(" FROM DUAL")};

static int on_created(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  if (result->error == MU_EREFUSED)
    return mu_rest_error(request, 400, "ENDPOINT_LIMIT_REACHED",
                         MU_WORDS("There are as many endpoints as one user may have", "每个用户最多只能创建 5 个端点"));
  if (result->error == MU_ENOENT)
    return mu_rest_error(request, 401, "INVALID_TOKEN", MU_WORDS("The user no longer exists", "用户不存在"));
  return result->error ? result->error : on_endpoint(relay, request, result, NULL);
}

static int create_endpoint(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  char uuid[RELAY_UUID_SIZE], key[11], preset[64];
  if (!user)
    return 0;
  int error = relay_uuid(uuid);
  if (error == 0)
    error = relay_random_id(key, sizeof key - 1);
  if (error != 0)
    return error;
  const char *name = mu_rest_text(request, "name"), *mode = mu_rest_text(request, "forwarding_mode");
  if (!name || !*name) {
    snprintf(preset, sizeof preset, "%s-%.4s", mu_rest_words(request, MU_WORDS("Endpoint", "端点")), key);
    name = preset;
  }
  const struct mu_value locked[] = {mu_value_text(user)};
  const struct mu_value made[] = {
      mu_value_text(uuid),
      mu_value_text(key),
      mu_value_text(name),
      mu_value_text(user),
      mu_value_text(mode ? mode : "DIRECT"),
      mu_value_text(mu_rest_text(request, "custom_header")),
      mu_value_time(mu_now_ms()),
      mu_value_text(user),
      mu_value_int(RELAY_ENDPOINTS_MAX),
  };
  const struct mu_value shown[] = {mu_value_text(uuid)};
  const struct mu_statement statements[] = {
      REST_STATEMENT(lock_sql, locked, MU_ANY_ROWS),
      REST_STATEMENT(insert_sql, made, 1),
      REST_STATEMENT(REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE id = ?"), shown, MU_ANY_ROWS),
  };
  return rest_write(self, request, statements, MU_COUNT(statements), NULL, on_created, NULL);
}

/* ---- deleting -------------------------------------------------------------------------------- */

static void deleted(struct relay *relay, const struct mu_result *result, void *kept)
{
  const struct rest_change *change = kept;
  (void)result;
  endpoint_gone(relay, change->endpoint_uuid);
}

static int on_deleted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error == MU_EREFUSED)
    return rest_no_endpoint(request);
  if (result->error)
    return result->error;
  return mu_rest_answer(request, 0, rest_message(request, MU_WORDS("The endpoint was deleted", "端点已删除")));
}

static int on_delete(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct rest_change *change = rest_change_new(result);
  if (!change)
    return MU_ENOMEM;
  const struct mu_value id[] = {*mu_result_at(result, 0, REST_ENDPOINT_ID)};
  const struct mu_statement statements[] = {
      REST_STATEMENT(REST_SQL("DELETE FROM muster_endpoint_access WHERE endpoint_id = ?"), id, MU_ANY_ROWS),
      REST_STATEMENT(REST_SQL("DELETE FROM endpoints WHERE id = ?"), id, 1),
  };
  return rest_write(relay, request, statements, MU_COUNT(statements), deleted, on_deleted, change);
}

static int delete_endpoint(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_delete, NULL);
}

/* ---- how it forwards ------------------------------------------------------------------------- */

static int on_mode_set(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct rest_change *change = kept;
  if (result->error == MU_EREFUSED)
    return rest_no_endpoint(request);
  if (result->error)
    return result->error;
  change->body = rest_data("endpoint", endpoint_json(relay, request, result, 0));
  return rest_refresh(relay, request, change->endpoint_uuid, rest_answer_change, change);
}

static int on_mode(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct rest_change *change = rest_change_new(result);
  if (!change)
    return MU_ENOMEM;
  const struct mu_value id = *mu_result_at(result, 0, REST_ENDPOINT_ID);
  const struct mu_value mode = mu_value_text(mu_rest_text(request, "forwarding_mode"));
  const struct mu_value both[] = {mode, mu_value_text(mu_rest_text(request, "custom_header")), id};
  const struct mu_value one[] = {mode, id};
  const struct mu_value shown[] = {id};
  bool header = mu_rest_given(request, "custom_header");
  const struct mu_statement statements[] = {
      {.sql = header ? REST_SQL("UPDATE endpoints SET forwarding_mode = ?, custom_header = ? WHERE id = ?")
                     : REST_SQL("UPDATE endpoints SET forwarding_mode = ? WHERE id = ?"),
       .values = header ? both : one,
       .count = header ? MU_COUNT(both) : MU_COUNT(one),
       .expect = 1},
      REST_STATEMENT(REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE id = ?"), shown, MU_ANY_ROWS),
  };
  return rest_write(relay, request, statements, MU_COUNT(statements), rest_changed, on_mode_set, change);
}

static int set_mode(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_mode, NULL);
}

/* ---- figures and messages -------------------------------------------------------------------- */

static const struct mu_rest_field stats_fields[] = {
    {.name = "current_connections", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED},
    {.name = "total_connections", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED},
    {.name = "total_messages", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED},
    {.name = "last_active_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
};

static const struct mu_rest_field message_fields[] = {
    {.name = "id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "The endpoint's id"},
    {.name = "content", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "As it was sent on, cut if long"},
    {.name = "sender_info", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "created_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
};

static int on_stats(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->rows == 0)
    return rest_no_endpoint(request);
  return mu_rest_answer(request, 0, rest_wrap(rest_row(result, 0, stats_fields, MU_COUNT(stats_fields))));
}

/* The endpoint whose figures or messages are asked for. */
struct asked {
  char *uuid;
};

static void release_asked(void *kept)
{
  free(((struct asked *)kept)->uuid);
}

static int on_stats_flushed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct asked *asked = kept;
  (void)result;
  const struct mu_value values[] = {mu_value_text(asked->uuid)};
  return rest_read(relay, request,
                   REST_SQL("SELECT COALESCE(s.current_connections, 0), COALESCE(s.total_connections, 0), "
                            "COALESCE(s.total_messages, 0), endpoints.last_active_at FROM endpoints "
                            "LEFT JOIN endpoint_stats s ON s.endpoint_id = endpoints.id WHERE endpoints.id = ?"),
                   REST_VALUES(values), on_stats, NULL);
}

static int on_messages(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return mu_rest_answer(request, 0, rest_data("messages", rest_rows(result, message_fields, MU_COUNT(message_fields))));
}

static int on_messages_flushed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct asked *asked = kept;
  (void)result;
  const struct mu_value values[] = {mu_value_text(asked->uuid), mu_value_int(RELAY_KEPT)};
  return rest_read(relay, request,
                   REST_SQL("SELECT id, endpoint_id, content, sender_info, created_at FROM messages "
                            "WHERE endpoint_id = ? ORDER BY created_at DESC, id LIMIT ?"),
                   REST_VALUES(values), on_messages, NULL);
}

static int flush_then(struct relay *relay, mu_http *request, const struct mu_result *result, rest_then then)
{
  struct asked *asked = rest_keep(sizeof *asked, release_asked);
  if (asked && (asked->uuid = rest_text(mu_result_at(result, 0, REST_ENDPOINT_ID))))
    return rest_flush(relay, request, asked->uuid, then, asked);
  rest_drop(asked);
  return MU_ENOMEM;
}

static int on_stats_owned(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return flush_then(relay, request, result, on_stats_flushed);
}

static int on_messages_owned(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return flush_then(relay, request, result, on_messages_flushed);
}

static int get_stats(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_stats_owned, NULL);
}

static int get_messages(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_messages_owned, NULL);
}

/* ---- routes ---------------------------------------------------------------------------------- */

#define DATA(fields_)                                                                                                  \
  {                                                                                                                    \
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(fields_)},            \
  }

static const struct mu_rest_field endpoint_data[] = {
    {.name = "endpoint",
     .type = MU_REST_OBJECT,
     .flags = MU_REST_REQUIRED,
     .fields = MU_REST_FIELDS(rest_endpoint_fields)},
};
static const struct mu_rest_field endpoints_data[] = {
    {.name = "endpoints",
     .type = MU_REST_ARRAY,
     .flags = MU_REST_REQUIRED,
     .fields = MU_REST_FIELDS(rest_endpoint_fields)},
};
static const struct mu_rest_field messages_data[] = {
    {.name = "messages",
     .type = MU_REST_ARRAY,
     .flags = MU_REST_REQUIRED,
     .max = RELAY_KEPT,
     .fields = MU_REST_FIELDS(message_fields)},
};
static const struct mu_rest_field endpoint_answer[] = DATA(endpoint_data);
const struct mu_rest_field rest_endpoints_answer[1] = DATA(endpoints_data);
static const struct mu_rest_field stats_answer[] = DATA(stats_fields);
static const struct mu_rest_field messages_answer[] = DATA(messages_data);

static const char *const ok[] = {"ok", NULL};
static const struct mu_rest_field health_answer[] = {
    {.name = "status", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .one_of = ok},
};

static const struct mu_rest_field create_body[] = {
    {.name = "name",
     .type = MU_REST_STRING,
     .flags = MU_REST_NULLABLE,
     .max = 100,
     .help = "One is made up when there is none"},
    {.name = "forwarding_mode", .type = MU_REST_STRING, .one_of = modes, .help = "DIRECT when it is not given"},
    {.name = "custom_header", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .max = 255},
};
static const struct mu_rest_field mode_body[] = {
    {.name = "forwarding_mode",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .one_of = modes,
     .code = "INVALID_INPUT"},
    {.name = "custom_header",
     .type = MU_REST_STRING,
     .flags = MU_REST_NULLABLE,
     .max = 255,
     .help = "Before each message of CUSTOM_HEADER; stays as it is when it is not given",
     .code = "INVALID_INPUT"},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/health", PUBLIC, get_health, .summary = "Whether the server answers",
            .answer = MU_REST_FIELDS(health_answer)),
    MU_REST(GET, "/api/endpoints", USER, list_endpoints, .summary = "The caller's endpoints, newest first",
            .answer = MU_REST_FIELDS(rest_endpoints_answer)),
    MU_REST(POST, "/api/endpoints", USER, create_endpoint,
            .summary = "Makes an endpoint; 400 ENDPOINT_LIMIT_REACHED beyond five", .body = MU_REST_FIELDS(create_body),
            .answer = MU_REST_FIELDS(endpoint_answer), .status = 201),
    MU_REST(GET, "/api/endpoints/:id", USER, get_endpoint, .summary = "One of the caller's endpoints",
            .owner = "endpoint", .answer = MU_REST_FIELDS(endpoint_answer)),
    MU_REST(DELETE, "/api/endpoints/:id", USER, delete_endpoint,
            .summary = "Deletes an endpoint with all that belongs to it, and closes its connections",
            .owner = "endpoint", .answer = MU_REST_FIELDS(rest_message_answer)),
    MU_REST(PUT, "/api/endpoints/:id/forwarding-mode", USER, set_mode,
            .summary = "Sets what the others receive, for open connections too", .owner = "endpoint",
            .body = MU_REST_FIELDS(mode_body), .answer = MU_REST_FIELDS(endpoint_answer)),
    MU_REST(GET, "/api/endpoints/:id/stats", USER, get_stats, .summary = "Connections and messages of an endpoint",
            .owner = "endpoint", .answer = MU_REST_FIELDS(stats_answer)),
    MU_REST(GET, "/api/endpoints/:id/messages", USER, get_messages, .summary = "The newest 50 messages, newest first",
            .owner = "endpoint", .answer = MU_REST_FIELDS(messages_answer)),
};

const struct rest_part rest_endpoints = REST_PART(routes);
