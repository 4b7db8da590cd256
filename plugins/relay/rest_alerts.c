/* SPDX-License-Identifier: ISC */
/* Alert rules. */
#include <stdlib.h>
#include <string.h>

#include "alerts.h"
#include "rest_wide.h"

#define RULE                                                                                                           \
  "r.id, r.user_id, r.endpoint_id, r.device_id, r.rule_name, r.data_key, r.operator, r.threshold, r.alert_level, "     \
  "r.enabled, r.created_at, r.updated_at"
#define RULE_DEVICE ", d.device_id AS device_name_id, d.custom_name"
#define RULE_FROM "alert_rules r JOIN devices d ON d.id = r.device_id"

static const char *const operators[] = {">", "<", ">=", "<=", "==", "!=", NULL};
static const char *const levels[] = {"info", "warning", "critical", NULL};

static const struct mu_rest_field device_fields[] = {IS("device_id", STRING), IS("custom_name", STRING)};
enum { C_ID, C_ENDPOINT = 2, C_OPERATOR = 6, RULE_COLUMNS = 12 };
static const struct mu_rest_field rule_fields[] = {
    IS("id", STRING),
    IS("user_id", STRING),
    IS("endpoint_id", STRING),
    IS("device_id", STRING, .help = "The device's id"),
    IS("rule_name", STRING),
    IS("data_key", STRING),
    IS("operator", STRING, .one_of = operators),
    IS("threshold", STRING),
    IS("alert_level", STRING, .one_of = levels),
    IS("enabled", BOOLEAN),
    IS("created_at", TIME),
    IS("updated_at", TIME),
    IS("device", OBJECT, .fields = MU_REST_FIELDS(device_fields)),
};

static struct json_object *rule_json(const struct mu_result *result, size_t row, size_t from)
{
  struct json_object *made = rest_row_from(result, row, from, rule_fields, RULE_COLUMNS);
  struct json_object *device = rest_row_from(result, row, from + RULE_COLUMNS, device_fields, MU_COUNT(device_fields));
  if (made && device && rest_add(made, "device", json_object_get(device))) {
    json_object_put(device);
    return made;
  }
  json_object_put(device);
  json_object_put(made);
  return NULL;
}

static int no_rule(mu_http *request)
{
  return mu_rest_error(request, 404, "ALERT_RULE_NOT_FOUND", MU_WORDS("There is no such alert rule", "告警规则不存在"));
}

/* ---- show ------------------------------------------------------------------------------------ */

static int on_rules(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  struct json_object *data = json_object_new_object(), *rules = page_list(result, rule_json);
  if (rules && rest_add(data, "rules", rules) && rest_add(data, "pagination", page_json(result, page_of(request, 20))))
    return mu_rest_answer(request, 0, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

static int list_rules(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct query where = QUERY_INIT, query = QUERY_INIT;
  query_value(&where, " WHERE r.user_id = ?", mu_value_text(user));
  query_text_field(&where, request, "endpoint_id", " AND r.endpoint_id = ?");
  query_text_field(&where, request, "device_id", " AND r.device_id = ?");
  query_text_field(&where, request, "data_key", " AND r.data_key = ?");
  query_text_field(&where, request, "alert_level", " AND r.alert_level = ?");
  if (mu_rest_value(request, "enabled"))
    query_value(&where, " AND r.enabled = ?", mu_value_int(mu_rest_int(request, "enabled", 0)));
  query_page(&query, RULE RULE_DEVICE, RULE_FROM, &where, "created_at DESC, id", page_of(request, 20));
  query_free(&where);
  return query_read(self, request, &query, on_rules, NULL);
}

static int read_rule(struct relay *relay, mu_http *request, struct mu_str id, rest_then then, void *kept)
{
  const struct mu_value values[] = {mu_value_str(id), mu_value_text(rest_user(relay, request))};
  return rest_read(relay, request,
                   REST_SQL("SELECT " RULE RULE_DEVICE " FROM " RULE_FROM " WHERE r.id = ? AND r.user_id = ?"),
                   REST_VALUES(values), then, kept);
}

static int on_rule(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return result->rows ? mu_rest_answer(request, 0, rest_wrap(rule_json(result, 0, 0))) : no_rule(request);
}

static int get_rule(void *self, mu_http *request)
{
  return rest_user(self, request) ? read_rule(self, request, mu_rest_param(request, "id"), on_rule, NULL) : 0;
}

/* ---- after a commit -------------------------------------------------------------------------- */

/* A rule that is written; it is in force before the answer. */
struct change {
  char id[WIDE_ID_SIZE];
  char *endpoint;
  char *threshold; /* NULL: as it is */
  rest_then then;  /* with the rule's row */
};

static void release_change(void *kept)
{
  struct change *change = kept;
  free(change->endpoint);
  free(change->threshold);
}

/* The answer waits in the request's own name: the client may leave. */
struct waiting {
  struct task task;
  mu_http_id request;
  int status;
  struct json_object *body;
};

static void release_waiting(struct task *task)
{
  json_object_put(((struct waiting *)task)->body);
}

static void in_force(void *context, int error)
{
  (void)error; /* logged; the next poll finds it */
  struct waiting *waiting = context;
  mu_http *request = mu_http_find(waiting->task.relay->in, waiting->request);
  struct json_object *body = waiting->body;
  waiting->body = NULL;
  if (request)
    mu_rest_answer(request, waiting->status, body);
  else
    json_object_put(body);
  task_free(waiting);
}

/* Takes `body`. */
static int answer_in_force(struct relay *relay, mu_http *request, const char *endpoint, struct json_object *body)
{
  struct waiting *waiting = body ? task_new(relay, sizeof *waiting, release_waiting) : NULL;
  if (!waiting) {
    json_object_put(body);
    return MU_ENOMEM;
  }
  waiting->request = mu_http_get_id(request);
  waiting->body = body;
  alerts_refresh(relay, endpoint, in_force, waiting);
  return MU_PENDING;
}

static void nothing(void *context, int error)
{
  (void)context, (void)error;
}

/* Also when nobody waits for an answer any more. */
static void committed(struct relay *relay, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct change *change = kept;
  alerts_refresh(relay, change->endpoint, nothing, NULL);
}

static int on_changed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  if (!result->rows)
    return no_rule(request);
  return answer_in_force(relay, request, change->endpoint, rest_wrap(rule_json(result, 0, 0)));
}

/* ---- make ------------------------------------------------------------------------------------ */

static bool threshold_words(const char *operator_, const char *threshold, struct mu_words *words)
{
  double number;
  *words = MU_WORDS("must be a number with this operator", "该运算符要求阈值为数字");
  return !alert_is_numeric(alert_operator_of(mu_str(operator_))) || alert_number(mu_str(threshold), &number);
}

/* The threshold as text; numbers and booleans are taken as they are written. NULL: answered, or memory is out. */
static char *take_threshold(mu_http *request, int *answer)
{
  struct json_object *value = mu_rest_value(request, "threshold");
  *answer = 0;
  enum json_type type = json_object_get_type(value);
  const char *text =
      type == json_type_string || type == json_type_int || type == json_type_double || type == json_type_boolean
          ? json_object_get_string(value)
          : NULL;
  size_t characters = text ? wire_characters(mu_str(text)) : 0;
  if (characters == 0 || characters > ALERT_TEXT_MAX) {
    *answer = mu_rest_invalid(
        request, "threshold",
        MU_WORDS("must be a number or a text of 1 to 100 characters", "必须是数字或 1-100 个字符的文本"));
    return NULL;
  }
  char *copy = strdup(text);
  *answer = copy ? 0 : MU_ENOMEM;
  return copy;
}

static int on_inserted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  if (result->error == MU_EREFUSED)
    return mu_rest_error(request, 400, "ALERT_RULE_LIMIT_REACHED",
                         MU_WORDS("You have 50 alert rules, which is the most", "告警规则数量已达上限 (50)"));
  if (result->error != 0) /* deleted in between */
    return rest_no_device(request);
  return read_rule(relay, request, mu_str(change->id), on_changed, kept);
}

static int insert_rule(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct change *change = kept;
  if (result->rows == 0)
    return rest_no_endpoint(request);
  if (mu_result_at(result, 0, 1)->type == MU_VALUE_NULL)
    return rest_no_device(request);
  change->endpoint = rest_text(mu_result_at(result, 0, 0));
  if (!change->endpoint)
    return MU_ENOMEM;
  struct mu_value now = mu_value_time(mu_now_ms()), user = mu_value_text(rest_user(relay, request));
  const struct mu_value values[] = {
      mu_value_text(change->id),
      user,
      *mu_result_at(result, 0, 0),
      *mu_result_at(result, 0, 1),
      mu_value_text(mu_rest_text(request, "rule_name")),
      mu_value_text(mu_rest_text(request, "data_key")),
      mu_value_text(mu_rest_text(request, "operator")),
      mu_value_text(change->threshold),
      mu_value_text(mu_rest_text(request, "alert_level")),
      mu_value_int(mu_rest_int(request, "enabled", 1) != 0),
      now,
      now,
      user,
      mu_value_int(ALERT_RULES_MAX),
  };
#define INSERT                                                                                                         \
  "INSERT INTO alert_rules (id, user_id, endpoint_id, device_id, rule_name, data_key, operator, threshold, "           \
  "alert_level, enabled, created_at, updated_at) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
#define ROOM "WHERE (SELECT COUNT(*) FROM alert_rules c WHERE c.user_id = ?) < ?"
  const struct mu_statement statement = REST_STATEMENT(REST_SQL2(INSERT ROOM, INSERT "FROM DUAL " ROOM), values, 1);
  return rest_write(relay, request, &statement, 1, committed, on_inserted, kept);
}

static int post_rule(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct change *change = rest_keep(sizeof *change, release_change);
  if (!change)
    return MU_ENOMEM;
  int answer;
  struct mu_words words;
  change->threshold = take_threshold(request, &answer);
  if (change->threshold && !threshold_words(mu_rest_text(request, "operator"), change->threshold, &words)) {
    rest_drop(change);
    return mu_rest_invalid(request, "threshold", words);
  }
  if (!change->threshold || relay_uuid(change->id) != 0) {
    answer = change->threshold ? MU_EIO : answer;
    rest_drop(change);
    return answer;
  }
  const struct mu_value values[] = {mu_value_text(mu_rest_text(request, "device_id")),
                                    mu_value_text(mu_rest_text(request, "endpoint_id")), mu_value_text(user)};
  return rest_read(self, request,
                   REST_SQL("SELECT e.id, d.id FROM endpoints e LEFT JOIN devices d ON d.endpoint_id = e.id AND "
                            "d.id = ? WHERE e.id = ? AND e.user_id = ?"),
                   REST_VALUES(values), insert_rule, change);
}

/* ---- change ---------------------------------------------------------------------------------- */

static int on_updated(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  return result->error != 0 ? no_rule(request) : read_rule(relay, request, mu_str(change->id), change->then, kept);
}

/* `result` is the rule as it is. */
static int update_rule(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct change *change = kept;
  if (result->rows == 0)
    return no_rule(request);
  MU_AUTO_FREE char *id = rest_text(mu_result_at(result, 0, C_ID));
  MU_AUTO_FREE char *old_operator = rest_text(mu_result_at(result, 0, C_OPERATOR));
  MU_AUTO_FREE char *old_threshold = rest_text(mu_result_at(result, 0, C_OPERATOR + 1));
  change->endpoint = rest_text(mu_result_at(result, 0, C_ENDPOINT));
  if (!id || strlen(id) >= sizeof change->id || !old_operator || !old_threshold || !change->endpoint)
    return MU_ENOMEM;
  memcpy(change->id, id, strlen(id) + 1);
  const char *operator_ = mu_rest_text(request, "operator");
  struct mu_words words;
  if ((operator_ || change->threshold) &&
      !threshold_words(operator_ ? operator_ : old_operator, change->threshold ? change->threshold : old_threshold,
                       &words))
    return mu_rest_invalid(request, "threshold", words);
  struct query query = QUERY_INIT;
  query_value(&query, "UPDATE alert_rules SET updated_at = ?", mu_value_time(mu_now_ms()));
  query_text_field(&query, request, "rule_name", ", rule_name = ?");
  query_text_field(&query, request, "data_key", ", data_key = ?");
  query_text_field(&query, request, "operator", ", operator = ?");
  query_text_field(&query, request, "alert_level", ", alert_level = ?");
  if (change->threshold)
    query_value(&query, ", threshold = ?", mu_value_text(change->threshold));
  if (mu_rest_value(request, "enabled"))
    query_value(&query, ", enabled = ?", mu_value_int(mu_rest_int(request, "enabled", 1) != 0));
  query_value(&query, " WHERE id = ?", mu_value_text(change->id));
  query_value(&query, " AND user_id = ?", mu_value_text(rest_user(relay, request)));
  return query_write(relay, request, &query, 1, committed, on_updated, kept);
}

static int begin_update(struct relay *relay, mu_http *request, rest_then then)
{
  if (!rest_user(relay, request))
    return 0;
  struct change *change = rest_keep(sizeof *change, release_change);
  if (!change)
    return MU_ENOMEM;
  change->then = then;
  int answer;
  if (mu_rest_value(request, "threshold") && !(change->threshold = take_threshold(request, &answer))) {
    rest_drop(change);
    return answer;
  }
  return read_rule(relay, request, mu_rest_param(request, "id"), update_rule, change);
}

static int put_rule(void *self, mu_http *request)
{
  return begin_update(self, request, on_changed);
}

static const struct mu_rest_field toggle_fields[] = {IS("id", STRING), IS("enabled", BOOLEAN), IS("updated_at", TIME)};

static int on_toggled(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  if (!result->rows)
    return no_rule(request);
  struct json_object *data = json_object_new_object();
  if (rest_add(data, "id", rest_value(mu_result_at(result, 0, C_ID), MU_REST_STRING)) &&
      rest_add(data, "enabled", rest_value(mu_result_at(result, 0, 9), MU_REST_BOOLEAN)) &&
      rest_add(data, "updated_at", rest_value(mu_result_at(result, 0, 11), MU_REST_TIME)))
    return answer_in_force(relay, request, change->endpoint, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

static int toggle_rule(void *self, mu_http *request)
{
  return begin_update(self, request, on_toggled);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static int on_deleted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  if (result->error != 0)
    return no_rule(request);
  return answer_in_force(relay, request, change->endpoint,
                         rest_message(request, MU_WORDS("The alert rule was deleted", "告警规则已删除")));
}

static int delete_found(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct change *change = kept;
  if (result->rows == 0)
    return no_rule(request);
  change->endpoint = rest_text(mu_result_at(result, 0, C_ENDPOINT));
  if (!change->endpoint)
    return MU_ENOMEM;
  const struct mu_value values[] = {*mu_result_at(result, 0, C_ID), mu_value_text(rest_user(relay, request))};
  const struct mu_statement statement =
      REST_STATEMENT(REST_SQL("DELETE FROM alert_rules WHERE id = ? AND user_id = ?"), values, 1);
  return rest_write(relay, request, &statement, 1, committed, on_deleted, kept);
}

static int delete_rule(void *self, mu_http *request)
{
  if (!rest_user(self, request))
    return 0;
  struct change *change = rest_keep(sizeof *change, release_change);
  return change ? read_rule(self, request, mu_rest_param(request, "id"), delete_found, change) : MU_ENOMEM;
}

/* ---- routes ---------------------------------------------------------------------------------- */

#define RULE_BODY(needed)                                                                                              \
  {.name = "rule_name", .also = "ruleName", .type = MU_REST_STRING, .flags = needed, .min = 1, .max = 100},            \
      {.name = "data_key", .also = "dataKey", .type = MU_REST_STRING, .flags = needed, .min = 1, .max = 100},          \
      {.name = "operator", .type = MU_REST_STRING, .flags = needed, .one_of = operators},                              \
      {.name = "threshold",                                                                                            \
       .type = MU_REST_ANY,                                                                                            \
       .flags = needed,                                                                                                \
       .help = "A number, or a text of 1 to 100 characters; > < >= <= need a number"},                                 \
      {.name = "alert_level", .also = "alertLevel", .type = MU_REST_STRING, .flags = needed, .one_of = levels},        \
  {                                                                                                                    \
    .name = "enabled", .type = MU_REST_BOOLEAN                                                                         \
  }

static const struct mu_rest_field post_body[] = {
    ENDPOINT_ID_FIELD,
    {.name = "device_id",
     .also = "deviceId",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 191,
     .help = "A device of it, by its id"},
    RULE_BODY(MU_REST_REQUIRED),
};
static const struct mu_rest_field put_body[] = {RULE_BODY(0)};
static const struct mu_rest_field toggle_body[] = {
    {.name = "enabled", .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED}};
static const struct mu_rest_field list_query[] = {
    PAGE_FIELDS,
    {.name = "endpoint_id", .also = "endpointId", .type = MU_REST_STRING, .help = "Only rules of this endpoint"},
    {.name = "device_id", .also = "deviceId", .type = MU_REST_STRING, .help = "Only rules of this device, by its id"},
    {.name = "data_key", .also = "dataKey", .type = MU_REST_STRING},
    {.name = "alert_level", .also = "alertLevel", .type = MU_REST_STRING, .one_of = levels},
    {.name = "enabled", .type = MU_REST_BOOLEAN},
};
static const struct mu_rest_field list_data[] = {IS("rules", ARRAY, .fields = MU_REST_FIELDS(rule_fields)),
                                                 IS("pagination", OBJECT, .fields = MU_REST_FIELDS(page_fields))};
static const struct mu_rest_field list_answer[] = {IN_DATA(list_data)}, rule_answer[] = {IN_DATA(rule_fields)},
                                  toggle_answer[] = {IN_DATA(toggle_fields)};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/alert-rules", USER, list_rules, .summary = "The caller's alert rules, newest first",
            .query = MU_REST_FIELDS(list_query), .answer = MU_REST_FIELDS(list_answer)),
    MU_REST(POST, "/api/alert-rules", USER, post_rule, .summary = "Makes an alert rule; at most 50 per user",
            .body = MU_REST_FIELDS(post_body), .answer = MU_REST_FIELDS(rule_answer), .status = 201),
    MU_REST(GET, "/api/alert-rules/:id", USER, get_rule, .summary = "One of the caller's alert rules",
            .owner = "alert rule", .answer = MU_REST_FIELDS(rule_answer)),
    MU_REST(PUT, "/api/alert-rules/:id", USER, put_rule, .summary = "Changes what is given of an alert rule",
            .owner = "alert rule", .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(rule_answer)),
    MU_REST(PATCH, "/api/alert-rules/:id", USER, put_rule, .summary = "As PUT", .owner = "alert rule",
            .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(rule_answer)),
    MU_REST(DELETE, "/api/alert-rules/:id", USER, delete_rule, .summary = "Deletes an alert rule and its alerts",
            .owner = "alert rule", .answer = MU_REST_FIELDS(rest_message_answer)),
    MU_REST(PATCH, "/api/alert-rules/:id/toggle", USER, toggle_rule, .summary = "Switches an alert rule on or off",
            .owner = "alert rule", .body = MU_REST_FIELDS(toggle_body), .answer = MU_REST_FIELDS(toggle_answer)),
    MU_REST(PUT, "/api/alert-rules/:id/toggle", USER, toggle_rule, .summary = "As PATCH", .owner = "alert rule",
            .body = MU_REST_FIELDS(toggle_body), .answer = MU_REST_FIELDS(toggle_answer)),
};

const struct rest_part rest_alerts_part = REST_PART(routes);
