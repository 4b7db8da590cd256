/* SPDX-License-Identifier: ISC */
/* For administrators: anybody's endpoints, disabled and enabled. */
#include <stdlib.h>
#include <string.h>

#include "rest.h"

/* ---- a user's endpoints ---------------------------------------------------------------------- */

static int on_user(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->rows > 0)
    return mu_rest_answer(request, 0, rest_data("endpoints", json_object_new_array()));
  return mu_rest_error(request, 404, "USER_NOT_FOUND", MU_WORDS("There is no such user", "用户不存在"));
}

static int on_endpoints(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  if (result->rows > 0)
    return mu_rest_answer(request, 0, rest_endpoint_list(relay, request, result));
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id"))};
  return rest_read(relay, request, REST_SQL("SELECT id FROM users WHERE id = ?"), REST_VALUES(values), on_user, NULL);
}

static int list_endpoints(void *self, mu_http *request)
{
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id"))};
  return rest_read(
      self, request,
      REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE user_id = ? ORDER BY created_at DESC, id"),
      REST_VALUES(values), on_endpoints, NULL);
}

/* ---- disable, enable ------------------------------------------------------------------------- */

struct verb {
  bool disables;
  const char *name; /* in ban_logs */
  const char *code; /* of the error when it is so already */
  struct mu_words already, done;
  struct mu_sql sql;
  rest_then then;
};

static int on_disabled(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept);
static int on_enabled(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept);

/* The same values for both, in the same order. */
static const struct verb disable = {
    .disables = true,
    .name = "disable",
    .code = "ENDPOINT_ALREADY_DISABLED",
    .already = {"The endpoint is disabled already", "端点已被禁用"},
    .done = {"The endpoint was disabled", "端点已禁用"},
    .sql.text = "UPDATE endpoints SET is_disabled = 1, disabled_at = ?, disabled_reason = ?, disabled_by = ? "
                "WHERE id = ? AND is_disabled = 0",
    .then = on_disabled};
static const struct verb enable = {
    .name = "enable",
    .code = "ENDPOINT_NOT_DISABLED",
    .already = {"The endpoint is not disabled", "端点未被禁用"},
    .done = {"The endpoint was enabled", "端点已启用"},
    .sql.text = "UPDATE endpoints SET is_disabled = 0, disabled_at = ?, disabled_reason = ?, disabled_by = ? "
                "WHERE id = ? AND is_disabled <> 0",
    .then = on_enabled};

static int switched(struct relay *relay, mu_http *request, const struct mu_result *result, struct rest_change *change,
                    const struct verb *verb)
{
  if (result->error == MU_EREFUSED)
    return mu_rest_error(request, 400, verb->code, verb->already);
  if (result->error)
    return result->error;
  struct json_object *endpoint = rest_row(result, 0, rest_endpoint_fields, REST_ENDPOINT_COLUMNS);
  struct json_object *body = endpoint ? json_object_new_object() : NULL;
  if (!body) {
    json_object_put(endpoint);
    return MU_ENOMEM;
  }
  change->body = body;
  rest_add(body, "message", json_object_new_string(mu_rest_words(request, verb->done)));
  if (!rest_add(body, "endpoint", endpoint))
    return MU_ENOMEM;
  return rest_refresh(relay, request, change->endpoint_uuid, rest_answer_change, change);
}

static int on_disabled(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  return switched(relay, request, result, kept, &disable);
}

static int on_enabled(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  return switched(relay, request, result, kept, &enable);
}

/* `result`: any endpoint's row, as rest_own_endpoint() reads those of its owner. */
static int write_switch(struct relay *relay, mu_http *request, const struct mu_result *result, const struct verb *verb)
{
  if (result->rows == 0)
    return rest_no_endpoint(request);
  const struct mu_principal *who = mu_http_principal(request);
  char log_id[RELAY_UUID_SIZE];
  struct rest_change *change = rest_change_new(result);
  int error = change ? relay_uuid(log_id) : MU_ENOMEM;
  if (error == 0 && !who)
    error = MU_EPERM;
  if (error != 0) {
    rest_drop(change);
    return error;
  }
  const struct mu_value id = *mu_result_at(result, 0, REST_ENDPOINT_ID), now = mu_value_time(change->ms);
  const struct mu_value reason = mu_value_text(verb->disables ? mu_rest_text(request, "reason") : NULL);
  const struct mu_value by = mu_value_text(who->id);
  const struct mu_value set[] = {verb->disables ? now : mu_value_null(), reason, verb->disables ? by : mu_value_null(),
                                 id};
  const struct mu_value log[] = {mu_value_text(log_id), id, mu_value_text(verb->name), reason, by, now};
  const struct mu_value shown[] = {id};
  const struct mu_statement statements[] = {
      REST_STATEMENT(verb->sql, set, 1),
      REST_STATEMENT(REST_SQL("INSERT INTO ban_logs (id, target_type, target_id, action, reason, operator_id, "
                              "created_at) VALUES (?, 'endpoint', ?, ?, ?, ?, ?)"),
                     log, 1),
      REST_STATEMENT(REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE id = ?"), shown, MU_ANY_ROWS),
  };
  return rest_write(relay, request, statements, MU_COUNT(statements), rest_changed, verb->then, change);
}

static int to_disable(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return write_switch(relay, request, result, &disable);
}

static int to_enable(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return write_switch(relay, request, result, &enable);
}

static int read_any(struct relay *relay, mu_http *request, rest_then then)
{
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id"))};
  return rest_read(relay, request, REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE id = ?"),
                   REST_VALUES(values), then, NULL);
}

static int disable_endpoint(void *self, mu_http *request)
{
  return read_any(self, request, to_disable);
}

static int enable_endpoint(void *self, mu_http *request)
{
  return read_any(self, request, to_enable);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field switched_answer[] = {
    {.name = "message", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint",
     .type = MU_REST_OBJECT,
     .flags = MU_REST_REQUIRED,
     .fields = {rest_endpoint_fields, REST_ENDPOINT_COLUMNS}},
};
static const struct mu_rest_field disable_body[] = {
    {.name = "reason",
     .type = MU_REST_STRING,
     .flags = MU_REST_NULLABLE,
     .max = 255,
     .help = "Shown to who wants to connect"},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/admin/users/:id/endpoints", ADMIN, list_endpoints, .summary = "A user's endpoints, newest first",
            .answer = MU_REST_FIELDS(rest_endpoints_answer)),
    MU_REST(POST, "/api/admin/endpoints/:id/disable", ADMIN, disable_endpoint,
            .summary = "Closes an endpoint's connections and lets no new ones in", .body = MU_REST_FIELDS(disable_body),
            .answer = MU_REST_FIELDS(switched_answer)),
    MU_REST(POST, "/api/admin/endpoints/:id/enable", ADMIN, enable_endpoint, .summary = "Lets connections in again",
            .answer = MU_REST_FIELDS(switched_answer)),
};

const struct rest_part rest_admin = REST_PART(routes);
