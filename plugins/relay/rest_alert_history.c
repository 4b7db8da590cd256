/* SPDX-License-Identifier: ISC */
/* Alerts: list, count, read, processed, deleted; the link of a notification. */
#include <stdlib.h>
#include <string.h>

#include "alerts.h"
#include "rest_wide.h"

enum { BATCH_MAX = QUERY_IN_MAX };

#define ALERT                                                                                                          \
  "h.id, h.alert_rule_id, h.device_id, h.triggered_at, h.data_key, h.triggered_value, h.threshold, h.alert_level, "    \
  "h.status, h.read_at, h.processed_at, h.notification_sent, h.email_sent, r.rule_name, r.operator, r.endpoint_id, "   \
  "d.device_id AS device_name_id, d.custom_name"
#define ALERT_FROM "alert_history h JOIN alert_rules r ON r.id = h.alert_rule_id JOIN devices d ON d.id = h.device_id"
#define OWN "alert_rule_id IN (SELECT id FROM alert_rules WHERE user_id = ?)"

static const char *const levels[] = {"info", "warning", "critical", NULL};
static const char *const statuses[] = {"unread", "read", "processed", NULL};

enum { ALERT_COLUMNS = 13, C_RULE_NAME = 13, C_NAMES = 16 };
static const struct mu_rest_field rule_fields[] = {IS("rule_name", STRING), IS("operator", STRING),
                                                   IS("endpoint_id", STRING)};
static const struct mu_rest_field device_fields[] = {IS("device_id", STRING), IS("custom_name", STRING)};
static const struct mu_rest_field alert_fields[] = {
    IS("id", STRING),
    IS("alert_rule_id", STRING),
    IS("device_id", STRING, .help = "The device's id"),
    IS("triggered_at", TIME),
    IS("data_key", STRING),
    IS("triggered_value", STRING),
    IS("threshold", STRING),
    IS("alert_level", STRING, .one_of = levels),
    IS("status", STRING, .one_of = statuses),
    MAY("read_at", TIME),
    MAY("processed_at", TIME),
    IS("notification_sent", BOOLEAN, .help = "The webhook took it"),
    IS("email_sent", BOOLEAN, .help = "The mail server took its mail"),
    IS("alert_rule", OBJECT, .fields = MU_REST_FIELDS(rule_fields)),
    IS("device", OBJECT, .fields = MU_REST_FIELDS(device_fields)),
    IS("alertRuleId", STRING, .help = "From here on the same again, as other clients read it"),
    IS("deviceId", STRING),
    IS("triggeredAt", TIME),
    IS("dataKey", STRING),
    IS("triggeredValue", STRING),
    IS("alertLevel", STRING, .one_of = levels),
    MAY("readAt", TIME),
    MAY("processedAt", TIME),
    IS("ruleName", STRING),
    IS("deviceName", STRING),
};

static bool add_again(struct json_object *alert, const struct mu_result *result, size_t row, size_t from)
{
  static const struct {
    const char *name;
    size_t column;
    enum mu_rest_type type;
  } again[] = {{"alertRuleId", 1, MU_REST_STRING},    {"deviceId", 2, MU_REST_STRING},
               {"triggeredAt", 3, MU_REST_TIME},      {"dataKey", 4, MU_REST_STRING},
               {"triggeredValue", 5, MU_REST_STRING}, {"alertLevel", 7, MU_REST_STRING},
               {"readAt", 9, MU_REST_TIME},           {"processedAt", 10, MU_REST_TIME},
               {"ruleName", 13, MU_REST_STRING},      {"deviceName", 17, MU_REST_STRING}};
  for (size_t i = 0; i < MU_COUNT(again); i++)
    if (!rest_add(alert, again[i].name, rest_value(mu_result_at(result, row, from + again[i].column), again[i].type)))
      return false;
  return true;
}

static struct json_object *alert_json(const struct mu_result *result, size_t row, size_t from)
{
  struct json_object *made = rest_row_from(result, row, from, alert_fields, ALERT_COLUMNS);
  struct json_object *rule = rest_row_from(result, row, from + C_RULE_NAME, rule_fields, MU_COUNT(rule_fields));
  struct json_object *device = rest_row_from(result, row, from + C_NAMES, device_fields, MU_COUNT(device_fields));
  bool good = made && rule && device && rest_add(made, "alert_rule", json_object_get(rule)) &&
              rest_add(made, "device", json_object_get(device)) && add_again(made, result, row, from);
  json_object_put(rule);
  json_object_put(device);
  if (good)
    return made;
  json_object_put(made);
  return NULL;
}

static int no_alert(mu_http *request)
{
  return mu_rest_error(request, 404, "ALERT_NOT_FOUND", MU_WORDS("There is no such alert", "告警记录不存在"));
}

/* ---- show ------------------------------------------------------------------------------------ */

static int on_alerts(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  struct page page = page_of(request, 20);
  int64_t total = page_total(result);
  struct json_object *data = json_object_new_object(), *alerts = page_list(result, alert_json);
  if (alerts && rest_add(data, "data", alerts) && rest_add(data, "total", json_object_new_int64(total)) &&
      rest_add(data, "page", json_object_new_int64(page.number)) &&
      rest_add(data, "pageSize", json_object_new_int64(page.size)) &&
      rest_add(data, "totalPages", json_object_new_int64(page_count(total, page))))
    return mu_rest_answer(request, 0, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

static int list_alerts(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct query where = QUERY_INIT, query = QUERY_INIT;
  query_value(&where, " WHERE r.user_id = ?", mu_value_text(user));
  query_text_field(&where, request, "status", " AND h.status = ?");
  query_text_field(&where, request, "alert_level", " AND h.alert_level = ?");
  query_text_field(&where, request, "device_id", " AND h.device_id = ?");
  query_text_field(&where, request, "endpoint_id", " AND r.endpoint_id = ?");
  query_text_field(&where, request, "alert_rule_id", " AND h.alert_rule_id = ?");
  query_text_field(&where, request, "data_key", " AND h.data_key = ?");
  query_time_field(&where, request, "start_time", " AND h.triggered_at >= ?");
  query_time_field(&where, request, "end_time", " AND h.triggered_at <= ?");
  query_page(&query, ALERT, ALERT_FROM, &where, "triggered_at DESC, id", page_of(request, 20));
  query_free(&where);
  return query_read(self, request, &query, on_alerts, NULL);
}

static int on_alert(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return result->rows ? mu_rest_answer(request, 0, rest_wrap(alert_json(result, 0, 0))) : no_alert(request);
}

static int read_alert(struct relay *relay, mu_http *request)
{
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")),
                                    mu_value_text(rest_user(relay, request))};
  return rest_read(relay, request, REST_SQL("SELECT " ALERT " FROM " ALERT_FROM " WHERE h.id = ? AND r.user_id = ?"),
                   REST_VALUES(values), on_alert, NULL);
}

static int get_alert(void *self, mu_http *request)
{
  return rest_user(self, request) ? read_alert(self, request) : 0;
}

static int on_count(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return mu_rest_answer(request, 0, rest_data("count", json_object_new_int64(mu_result_at(result, 0, 0)->integer)));
}

static int get_count(void *self, mu_http *request)
{
  const struct mu_value values[] = {mu_value_text(rest_user(self, request))};
  if (values[0].type == MU_VALUE_NULL)
    return 0;
  return rest_read(self, request,
                   REST_SQL("SELECT COUNT(*) FROM alert_rules r JOIN alert_history h ON h.alert_rule_id = r.id WHERE "
                            "r.user_id = ? AND h.status = 'unread'"),
                   REST_VALUES(values), on_count, NULL);
}

/* ---- one of them ----------------------------------------------------------------------------- */

static int on_marked(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return result->error != 0 ? no_alert(request) : read_alert(relay, request);
}

/* `sql` has two times, the id and the user. */
static int mark(struct relay *relay, mu_http *request, struct mu_sql sql)
{
  const char *user = rest_user(relay, request);
  if (!user)
    return 0;
  struct mu_value now = mu_value_time(mu_now_ms());
  const struct mu_value values[] = {now, now, mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  const struct mu_statement statement = REST_STATEMENT(sql, values, 1);
  return rest_write(relay, request, &statement, 1, NULL, on_marked, NULL);
}

/* What is read stays read since when it was, and what is processed stays processed. */
#define READ                                                                                                           \
  "UPDATE alert_history SET read_at = COALESCE(read_at, ?, ?), status = CASE WHEN status = 'processed' THEN "          \
  "'processed' ELSE 'read' END WHERE id = ? AND " OWN
#define PROCESSED                                                                                                      \
  "UPDATE alert_history SET read_at = COALESCE(read_at, ?), processed_at = COALESCE(processed_at, ?), "                \
  "status = 'processed' WHERE id = ? AND " OWN

static int mark_read(void *self, mu_http *request)
{
  return mark(self, request, REST_SQL(READ));
}

static int mark_processed(void *self, mu_http *request)
{
  return mark(self, request, REST_SQL(PROCESSED));
}

static int on_deleted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error != 0)
    return no_alert(request);
  return mu_rest_answer(request, 0, rest_message(request, MU_WORDS("The alert was deleted", "告警记录已删除")));
}

static int delete_alert(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  const struct mu_statement statement =
      REST_STATEMENT(REST_SQL("DELETE FROM alert_history WHERE id = ? AND " OWN), values, 1);
  return rest_write(self, request, &statement, 1, NULL, on_deleted, NULL);
}

/* ---- many of them ---------------------------------------------------------------------------- */

static int on_batch(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  int64_t changed = result->changed_count > 0 ? result->changed[0] : 0;
  return mu_rest_answer(request, 0, rest_data("count", json_object_new_int64(changed)));
}

/* `query` has everything but who and which. */
static int batch(struct relay *relay, mu_http *request, struct query *query)
{
  const char *user = rest_user(relay, request);
  struct json_object *ids = mu_rest_value(request, "ids");
  size_t count = json_object_array_length(ids);
  struct mu_value values[BATCH_MAX];
  for (size_t i = 0; i < count; i++)
    values[i] = mu_value_text(json_object_get_string(json_object_array_get_idx(ids, i)));
  query_value(query, OWN " AND id IN ", mu_value_text(user));
  query_in(query, "", values, count);
  return query_write(relay, request, query, MU_ANY_ROWS, NULL, on_batch, NULL);
}

static int batch_read(void *self, mu_http *request)
{
  if (!rest_user(self, request))
    return 0;
  struct query query = QUERY_INIT;
  query_value(&query, "UPDATE alert_history SET read_at = ?, status = 'read' WHERE status = 'unread' AND ",
              mu_value_time(mu_now_ms()));
  return batch(self, request, &query);
}

static int batch_delete(void *self, mu_http *request)
{
  if (!rest_user(self, request))
    return 0;
  struct query query = QUERY_INIT;
  query_add(&query, "DELETE FROM alert_history WHERE ");
  return batch(self, request, &query);
}

/* ---- the link of a notification --------------------------------------------------------------- */

static int bad_link(mu_http *request, struct mu_words words)
{
  return mu_rest_error(request, 401, "UNAUTHORIZED", words);
}

static int on_link(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error != 0) /* it is good as long as the alert is unread */
    return bad_link(request,
                    MU_WORDS("The link was used, or the alert was read or deleted", "链接已使用,或告警已读或已删除"));
  return mu_rest_answer(request, 0, rest_message(request, MU_WORDS("The alert is marked as read", "告警已标记为已读")));
}

static int follow_link(void *self, mu_http *request)
{
  struct relay *relay = self;
  char id[WIDE_ID_SIZE];
  int error = notify_token(relay->alerting, mu_str(mu_rest_text(request, "token")), id);
  if (error == MU_ETIMEOUT)
    return bad_link(request, MU_WORDS("The link has expired", "Token 已过期"));
  if (error != 0)
    return bad_link(request, MU_WORDS("The link's signature is wrong", "Token 签名无效"));
  const struct mu_value values[] = {mu_value_time(mu_now_ms()), mu_value_text(id)};
  const struct mu_statement statement = REST_STATEMENT(
      REST_SQL("UPDATE alert_history SET status = 'read', read_at = ? WHERE id = ? AND status = 'unread'"), values, 1);
  return rest_write(relay, request, &statement, 1, NULL, on_link, NULL);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct mu_rest_field list_query[] = {
    PAGE_FIELDS,
    {.name = "status", .type = MU_REST_STRING, .one_of = statuses},
    {.name = "alert_level", .also = "alertLevel", .type = MU_REST_STRING, .one_of = levels},
    {.name = "device_id", .also = "deviceId", .type = MU_REST_STRING, .help = "Only of this device, by its id"},
    {.name = "endpoint_id", .also = "endpointId", .type = MU_REST_STRING, .help = "Only of this endpoint"},
    {.name = "alert_rule_id", .also = "alertRuleId", .type = MU_REST_STRING, .help = "Only of this rule"},
    {.name = "data_key", .also = "dataKey", .type = MU_REST_STRING},
    {.name = "start_time", .also = "startTime", .type = MU_REST_TIME},
    {.name = "end_time", .also = "endTime", .type = MU_REST_TIME},
};
static const struct mu_rest_field list_data[] = {IS("data", ARRAY, .fields = MU_REST_FIELDS(alert_fields)),
                                                 IS("total", INTEGER), IS("page", INTEGER), IS("pageSize", INTEGER),
                                                 IS("totalPages", INTEGER)};
static const struct mu_rest_field count_data[] = {IS("count", INTEGER)};
static const struct mu_rest_field batch_body[] = {
    {.name = "ids",
     .also = "alertIds",
     .type = MU_REST_ARRAY,
     .item = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = BATCH_MAX,
     .help = "Of alerts; others than the caller's are left out",
     .words = {"ids must be an array of 1 to 500 ids", "alertIds 必须是数组 (1-500 项)"}}};
static const struct mu_rest_field link_query[] = {{.name = "token",
                                                   .type = MU_REST_STRING,
                                                   .flags = MU_REST_REQUIRED | MU_REST_SECRET,
                                                   .min = 1,
                                                   .max = 2000,
                                                   .words = {"token is missing or too long", "缺少 Token 参数"}}};
static const struct mu_rest_field list_answer[] = {IN_DATA(list_data)}, alert_answer[] = {IN_DATA(alert_fields)},
                                  count_answer[] = {IN_DATA(count_data)};

/* Released pages and scripts do not agree on the method. */
#define MARK(method_, path_, handle_, summary_)                                                                        \
  MU_REST(method_, path_, USER, handle_, .summary = (summary_), .owner = "alert",                                      \
          .answer = MU_REST_FIELDS(alert_answer))
#define BATCH(method_, path_, handle_, summary_)                                                                       \
  MU_REST(method_, path_, USER, handle_, .summary = (summary_), .body = MU_REST_FIELDS(batch_body),                    \
          .answer = MU_REST_FIELDS(count_answer))

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/alert-history", USER, list_alerts, .summary = "The caller's alerts, newest first",
            .query = MU_REST_FIELDS(list_query), .answer = MU_REST_FIELDS(list_answer)),
    MU_REST(GET, "/api/alert-history/unread/count", USER, get_count, .summary = "How many of them are unread",
            .answer = MU_REST_FIELDS(count_answer)),
    BATCH(POST, "/api/alert-history/batch/read", batch_read, "Marks alerts as read"),
    BATCH(PUT, "/api/alert-history/batch/read", batch_read, "As POST"),
    BATCH(PATCH, "/api/alert-history/batch/read", batch_read, "As POST"),
    BATCH(POST, "/api/alert-history/batch/delete", batch_delete, "Deletes alerts"),
    BATCH(DELETE, "/api/alert-history/batch/delete", batch_delete, "As POST"),
    MU_REST(GET, "/api/alert-history/mark-read", PUBLIC, follow_link,
            .summary = "The link of a notification: marks its alert as read, once and within 24 hours",
            .query = MU_REST_FIELDS(link_query), .answer = MU_REST_FIELDS(rest_message_answer),
            .rate = {"relay_mark_read", 60, 60}),
    MU_REST(GET, "/api/alert-history/:id", USER, get_alert, .summary = "One of the caller's alerts", .owner = "alert",
            .answer = MU_REST_FIELDS(alert_answer)),
    MU_REST(DELETE, "/api/alert-history/:id", USER, delete_alert, .summary = "Deletes an alert", .owner = "alert",
            .answer = MU_REST_FIELDS(rest_message_answer)),
    MARK(PUT, "/api/alert-history/:id/read", mark_read, "Marks an alert as read"),
    MARK(PATCH, "/api/alert-history/:id/read", mark_read, "As PUT"),
    MARK(POST, "/api/alert-history/:id/read", mark_read, "As PUT"),
    MARK(PUT, "/api/alert-history/:id/processed", mark_processed, "Marks an alert as processed"),
    MARK(PATCH, "/api/alert-history/:id/processed", mark_processed, "As PUT"),
    MARK(POST, "/api/alert-history/:id/processed", mark_processed, "As PUT"),
};

const struct rest_part rest_alert_history_part = REST_PART(routes);
