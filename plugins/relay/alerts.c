/* SPDX-License-Identifier: ISC */
/* Alert rules: in memory with their endpoint, compared with each value. */
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

enum {
  POLL_MS = 4000,    /* other programs' changes take effect within 10 s */
  AT_ONCE = 64,      /* endpoints in one question */
  EARLY_MAX = 200,   /* values of an endpoint whose rules are not there yet */
  EARLY_TEXT = 1000, /* bytes of one; longer ones are left out */
};

#define ROWS_8 "?,?,?,?,?,?,?,?,"
#define ROWS_64 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 "?,?,?,?,?,?,?,?"

/* Rules of the endpoint's owner alone, on devices of this endpoint alone. */
static const struct mu_sql rules_sql = {
    .text = "SELECT r.id, r.endpoint_id, r.user_id, r.rule_name, r.device_id, d.device_id AS name_id, d.custom_name, "
            "e.name, r.data_key, "
            "r.operator, r.threshold, r.alert_level, (SELECT MAX(h.triggered_at) FROM alert_history h WHERE "
            "h.alert_rule_id = r.id) AS last_at FROM alert_rules r JOIN endpoints e ON e.id = r.endpoint_id AND "
            "e.user_id = r.user_id JOIN devices d ON d.id = r.device_id AND d.endpoint_id = r.endpoint_id "
            "WHERE r.enabled <> 0 AND r.endpoint_id IN (" ROWS_64 ") LIMIT 20000"};
enum column {
  C_ID,
  C_ENDPOINT,
  C_USER,
  C_NAME,
  C_DEVICE,
  C_DEVICE_NAME_ID,
  C_DEVICE_NAME,
  C_ENDPOINT_NAME,
  C_KEY,
  C_SIGN,
  C_THRESHOLD,
  C_LEVEL,
  C_LAST,
};

/* A value that came before the rules. */
struct early {
  struct early *next;
  struct mu_str device, key, text;
  const char *type;
  char bytes[];
};

struct alerts {
  struct rule *rules;
  uint64_t serial; /* of the question whose answer this is; 0: none yet */
  struct early *early, **early_end;
  size_t early_count;
};

/* A question for the rules of some endpoints. */
struct loading {
  struct task task;
  char *uuids[AT_ONCE];
  size_t count;
  uint64_t serial;
  relay_done done;
  void *context;
};

/* ---- rules --------------------------------------------------------------------------------------- */

#define TEXTS(rule_)                                                                                                   \
  {                                                                                                                    \
    &(rule_)->id, &(rule_)->user, &(rule_)->name, &(rule_)->device, &(rule_)->device_name_id, &(rule_)->device_name,   \
        &(rule_)->endpoint, &(rule_)->endpoint_name, &(rule_)->key, &(rule_)->sign, &(rule_)->threshold,               \
        &(rule_)->level                                                                                                \
  }

void rule_clear(struct rule *rule)
{
  char **const texts[] = TEXTS(rule);
  for (size_t i = 0; i < MU_COUNT(texts); i++)
    free(*texts[i]);
  *rule = (struct rule){0};
}

bool rule_copy(struct rule *to, const struct rule *from)
{
  *to = *from;
  to->next = NULL;
  char **const texts[] = TEXTS(to);
  bool good = true;
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    *texts[i] = strdup(*texts[i]);
    good = good && *texts[i];
  }
  if (!good)
    rule_clear(to);
  return good;
}

static void free_rules(struct rule *rules)
{
  while (rules) {
    struct rule *next = rules->next;
    rule_clear(rules);
    free(rules);
    rules = next;
  }
}

static char *text_at(const struct mu_result *result, size_t row, enum column column)
{
  struct mu_str text = mu_result_at(result, row, column)->text;
  return strndup(text.len ? text.at : "", text.len);
}

static struct rule *rule_of(const struct mu_result *result, size_t row)
{
  struct rule *rule = calloc(1, sizeof *rule);
  if (!rule)
    return NULL;
  char **const texts[] = TEXTS(rule);
  static const enum column columns[] = {C_ID,       C_USER,          C_NAME, C_DEVICE, C_DEVICE_NAME_ID, C_DEVICE_NAME,
                                        C_ENDPOINT, C_ENDPOINT_NAME, C_KEY,  C_SIGN,   C_THRESHOLD,      C_LEVEL};
  bool good = true;
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    *texts[i] = text_at(result, row, columns[i]);
    good = good && *texts[i];
  }
  rule->operator_ = good ? alert_operator_of(mu_str(rule->sign)) : ALERT_NO_OPERATOR;
  const struct mu_value *last = mu_result_at(result, row, C_LAST);
  rule->last_ms = last->type == MU_VALUE_TIME ? last->integer : 0;
  if (good)
    return rule;
  free_rules(rule);
  return NULL;
}

/* ---- values -------------------------------------------------------------------------------------- */

static void judge(const struct endpoint *endpoint, struct mu_str device, struct mu_str key, struct mu_str text,
                  const char *type)
{
  int64_t now_ms = mu_now_ms();
  for (struct rule *rule = endpoint->alerts->rules; rule; rule = rule->next) {
    if (!mu_str_equal(key, mu_str(rule->key)) || !mu_str_equal(device, mu_str(rule->device)) ||
        !alert_may_hit(rule->last_ms, now_ms) || !alert_matches(rule->operator_, mu_str(rule->threshold), text, type))
      continue;
    if (hits_add(endpoint->relay->alerting, rule, text, now_ms))
      rule->last_ms = now_ms;
  }
}

static void drop_early(struct alerts *alerts)
{
  struct early *early = alerts->early;
  alerts->early = early->next;
  if (!alerts->early)
    alerts->early_end = &alerts->early;
  alerts->early_count--;
  free(early);
}

static struct mu_str put(char **to, struct mu_str text)
{
  struct mu_str kept = {*to, text.len};
  if (text.len)
    memcpy(*to, text.at, text.len);
  *to += text.len;
  return kept;
}

static void keep_early(struct alerts *alerts, struct mu_str device, const struct data_value *value)
{
  struct early *early =
      value->text.len > EARLY_TEXT ? NULL : malloc(sizeof *early + device.len + value->key.len + value->text.len);
  if (!early)
    return;
  char *to = early->bytes;
  *early = (struct early){.type = value->type};
  early->device = put(&to, device);
  early->key = put(&to, value->key);
  early->text = put(&to, value->text);
  *alerts->early_end = early;
  alerts->early_end = &early->next;
  if (++alerts->early_count > EARLY_MAX)
    drop_early(alerts);
}

void alerts_value(struct device *device, const struct data_value *value)
{
  struct endpoint *endpoint = device->endpoint;
  struct alerts *alerts = endpoint->alerts;
  if (!alerts)
    return;
  if (alerts->serial == 0)
    keep_early(alerts, mu_str(device->uuid), value);
  else if (alerts->rules)
    judge(endpoint, mu_str(device->uuid), value->key, value->text, value->type);
}

/* ---- loading ------------------------------------------------------------------------------------- */

static void release_loading(struct task *task)
{
  struct loading *loading = (struct loading *)task;
  for (size_t i = 0; i < loading->count; i++)
    free(loading->uuids[i]);
}

/* False: memory is out, and the rules stay as they were. */
static bool take_rules(struct endpoint *endpoint, const struct mu_result *result)
{
  struct alerts *alerts = endpoint->alerts;
  struct rule *rules = NULL;
  for (size_t row = 0; row < result->rows; row++) {
    if (!mu_str_equal(mu_result_at(result, row, C_ENDPOINT)->text, mu_str(endpoint->uuid)))
      continue;
    struct rule *rule = rule_of(result, row);
    if (!rule) {
      free_rules(rules);
      return false;
    }
    rule->next = rules;
    rules = rule;
    int64_t pending = hits_last(endpoint->relay->alerting, rule->id);
    rule->last_ms = pending > rule->last_ms ? pending : rule->last_ms;
    for (const struct rule *old = alerts->rules; old; old = old->next)
      if (old->last_ms > rule->last_ms && strcmp(old->id, rule->id) == 0)
        rule->last_ms = old->last_ms;
  }
  free_rules(alerts->rules);
  alerts->rules = rules;
  return true;
}

static void loaded(void *context, const struct mu_result *result)
{
  struct loading *loading = context;
  struct relay *relay = loading->task.relay;
  if (result->error != 0)
    mu_log_limited(relay->in, MU_LOG_WARN, "rules", "alert rules could not be read: %s: %s", mu_strerror(result->error),
                   result->reason);
  for (size_t i = 0; result->error == 0 && i < loading->count; i++) {
    struct endpoint *endpoint = relay_endpoint(relay, loading->uuids[i]);
    struct alerts *alerts = endpoint ? endpoint->alerts : NULL;
    if (!alerts || alerts->serial > loading->serial || !take_rules(endpoint, result))
      continue;
    alerts->serial = loading->serial;
    for (; alerts->early; drop_early(alerts))
      judge(endpoint, alerts->early->device, alerts->early->key, alerts->early->text, alerts->early->type);
  }
  if (loading->done)
    loading->done(loading->context, result->error);
  task_free(loading);
}

/* Takes the question; NULL is out of memory. */
static void ask(struct relay *relay, struct loading *loading, relay_done done, void *context)
{
  int error = MU_ENOMEM;
  if (loading) {
    struct mu_value values[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++)
      values[i] = mu_value_text(loading->uuids[i < loading->count ? i : 0]);
    loading->serial = ++relay->alerting->serial;
    loading->done = done;
    loading->context = context;
    error = relay_read(relay, rules_sql, values, AT_ONCE, loaded, loading);
    if (error == 0)
      return;
    task_free(loading);
  }
  mu_log_limited(relay->in, MU_LOG_WARN, "rules", "alert rules could not be read: %s", mu_strerror(error));
  if (done)
    done(context, error);
}

static bool add_endpoint(struct loading *loading, const char *uuid)
{
  char *copy = strdup(uuid);
  if (copy)
    loading->uuids[loading->count++] = copy;
  return copy != NULL;
}

static void ask_one(struct relay *relay, const char *uuid, relay_done done, void *context)
{
  struct loading *loading = task_new(relay, sizeof *loading, release_loading);
  if (loading && !add_endpoint(loading, uuid)) {
    task_free(loading);
    loading = NULL;
  }
  ask(relay, loading, done, context);
}

void alerts_refresh(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context)
{
  const struct endpoint *endpoint = relay_endpoint(relay, endpoint_uuid);
  if (endpoint && endpoint->alerts)
    ask_one(relay, endpoint->uuid, done, context);
  else
    done(context, 0);
}

void alerts_load(struct endpoint *endpoint)
{
  struct alerts *alerts = calloc(1, sizeof *alerts);
  endpoint->alerts = alerts;
  if (!alerts)
    return;
  alerts->early_end = &alerts->early;
  ask_one(endpoint->relay, endpoint->uuid, NULL, NULL);
}

void alerts_unload(struct endpoint *endpoint)
{
  struct alerts *alerts = endpoint->alerts;
  if (!alerts)
    return;
  while (alerts->early)
    drop_early(alerts);
  free_rules(alerts->rules);
  free(alerts);
  endpoint->alerts = NULL;
}

/* What other programs changed. */
static void poll_rules(void *context)
{
  struct relay *relay = ((struct alerting *)context)->relay;
  struct loading *loading = NULL;
  for (const struct endpoint *endpoint = relay->endpoints; endpoint; endpoint = endpoint->next) {
    if (!endpoint->alerts || endpoint->gone)
      continue;
    if (!loading && !(loading = task_new(relay, sizeof *loading, release_loading)))
      return;
    if (add_endpoint(loading, endpoint->uuid) && loading->count == AT_ONCE) {
      ask(relay, loading, NULL, NULL);
      loading = NULL;
    }
  }
  if (loading && loading->count > 0)
    ask(relay, loading, NULL, NULL);
  else
    task_free(loading);
}

/* ---- life ---------------------------------------------------------------------------------------- */

int alerts_init(struct relay *relay)
{
  struct alerting *alerting = calloc(1, sizeof *alerting);
  relay->alerting = alerting;
  if (!alerting)
    return MU_ENOMEM;
  alerting->relay = relay;
  alerting->hits_end = &alerting->hits;
  alerting->notices_end = &alerting->notices;
  alerting->poll = mu_timer_new(relay->in, poll_rules, alerting);
  if (!alerting->poll)
    return MU_ENOMEM;
  mu_timer_start(alerting->poll, POLL_MS, POLL_MS);
  int result = hits_init(alerting);
  return result != 0 ? result : notify_init(alerting);
}

void alerts_fini(struct relay *relay)
{
  struct alerting *alerting = relay->alerting;
  if (!alerting)
    return;
  hits_fini(alerting);
  notify_fini(alerting);
  free(alerting);
  relay->alerting = NULL;
}
