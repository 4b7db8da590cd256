/* SPDX-License-Identifier: ISC */
/* Hits on their way into alert_history: a few at a time, each once; old ones are taken out. */
#include <stdlib.h>
#include <string.h>

#include "alerts.h"
#include "server.h"

enum {
  HITS_MAX = 10000, /* that wait */
  AT_ONCE = 50,
  COLUMNS = 7,
  TICK_MS = 200,
  RETRY_S = 2,
  PRUNE_FIRST_MS = 60000,
  PRUNE_MS = 3600000,
  PRUNE_ROWS = 1000, /* one transaction */
};

/* Sent twice it changes nothing the second time; of a rule that is gone it makes nothing. */
#define HIT                                                                                                            \
  "INTO alert_history (id, alert_rule_id, device_id, triggered_at, data_key, triggered_value, threshold, "             \
  "alert_level, status, notification_sent, email_sent) "                                                               \
  "SELECT ?, r.id, r.device_id, ?, ?, ?, ?, ?, 'unread', 0, 0 FROM alert_rules r WHERE r.id = ?"
static const struct mu_sql hit_sql = {.sqlite = "INSERT OR IGNORE " HIT, .mariadb = "INSERT IGNORE " HIT};

static const struct mu_sql prune_sql = {
    .sqlite = "DELETE FROM alert_history WHERE id IN (SELECT id FROM alert_history WHERE triggered_at < ? LIMIT 1000)",
    .mariadb = "DELETE FROM alert_history WHERE triggered_at < ? LIMIT 1000"};

void hit_free(struct hit *hit)
{
  rule_clear(&hit->rule);
  free(hit->value);
  free(hit);
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* Back to the front, in their order. */
static void take_back(struct alerting *alerting)
{
  struct hit **end = &alerting->flying;
  while (*end)
    end = &(*end)->next;
  *end = alerting->hits;
  if (!alerting->hits)
    alerting->hits_end = end == &alerting->flying ? &alerting->hits : end;
  alerting->hits = alerting->flying;
  alerting->flying = NULL;
  alerting->retry_ns = mu_mono_ns() + RETRY_S * 1000000000LL;
}

static void written(void *context, const struct mu_result *result)
{
  struct alerting *alerting = context;
  bool again = result->error == MU_EUNAVAILABLE || result->error == MU_ETIMEOUT || result->error == MU_EIO ||
               result->error == MU_ELIMIT;
  if (result->error != 0)
    mu_log_limited(alerting->relay->in, MU_LOG_WARN, "hits", "alerts could not be stored: %s: %s",
                   mu_strerror(result->error), result->reason);
  if (again) {
    take_back(alerting);
    return;
  }
  struct hit *hit = alerting->flying;
  alerting->flying = NULL;
  for (size_t i = 0; hit; i++) {
    struct hit *next = hit->next;
    alerting->hit_count--;
    bool there = result->error == 0 && (hit->tries > 1 || (i < result->changed_count && result->changed[i] > 0));
    hit->tries = 0;
    mu_count(alerting->dropped, result->error != 0);
    if (there)
      notify_add(alerting, hit);
    else
      hit_free(hit);
    hit = next;
  }
}

static void write_some(struct alerting *alerting, mu_store_done done)
{
  struct relay *relay = alerting->relay;
  struct mu_statement statements[AT_ONCE];
  struct mu_value values[AT_ONCE][COLUMNS];
  size_t count = 0;
  struct hit **end = &alerting->hits;
  for (struct hit *hit = alerting->hits; hit && count < AT_ONCE; hit = hit->next, count++) {
    struct mu_value *v = values[count];
    hit->tries++;
    v[0] = mu_value_text(hit->id);
    v[1] = mu_value_time(hit->ms);
    v[2] = mu_value_text(hit->rule.key);
    v[3] = mu_value_text(hit->value);
    v[4] = mu_value_text(hit->rule.threshold);
    v[5] = mu_value_text(hit->rule.level);
    v[6] = mu_value_text(hit->rule.id);
    statements[count] = (struct mu_statement){.sql = hit_sql, .values = v, .count = COLUMNS, .expect = MU_ANY_ROWS};
    end = &hit->next;
  }
  if (count == 0)
    return;
  alerting->flying = alerting->hits;
  alerting->hits = *end;
  *end = NULL;
  if (!alerting->hits)
    alerting->hits_end = &alerting->hits;
  int error = relay->store->write(relay->store_self, relay->in, statements, count, done, alerting);
  if (error != 0)
    take_back(alerting);
}

static void tick(void *context)
{
  struct alerting *alerting = context;
  int64_t now = mu_mono_ns();
  if (!alerting->flying && alerting->hits && alerting->retry_ns <= now)
    write_some(alerting, written);
  bool waits = notify_tick(alerting, now);
  if (!waits && !alerting->hits && !alerting->flying)
    mu_timer_stop(alerting->tick);
}

void alerts_wake(struct alerting *alerting)
{
  if (!mu_timer_active(alerting->tick))
    mu_timer_start(alerting->tick, TICK_MS, TICK_MS);
}

void alerts_stop(struct relay *relay)
{
  struct alerting *alerting = relay->alerting;
  struct hit *flying = alerting->flying; /* the store has those already, and written() comes for them */
  alerting->flying = NULL;
  /* What the store takes now it carries out; nobody is told any more. */
  while (alerting->hits) {
    write_some(alerting, NULL);
    if (!alerting->flying) /* it took nothing */
      break;
    while (alerting->flying) {
      struct hit *hit = alerting->flying;
      alerting->flying = hit->next;
      alerting->hit_count--;
      hit_free(hit);
    }
  }
  alerting->flying = flying;
}

/* ---- hits ---------------------------------------------------------------------------------------- */

bool hits_add(struct alerting *alerting, const struct rule *rule, struct mu_str value, int64_t now_ms)
{
  struct hit *hit = alerting->hit_count < HITS_MAX ? calloc(1, sizeof *hit) : NULL;
  if (!hit) {
    mu_count(alerting->dropped, 1);
    mu_log_limited(alerting->relay->in, MU_LOG_WARN, "alerts dropped",
                   "an alert was not stored: %d wait for the database", HITS_MAX);
    return false;
  }
  struct mu_str cut = wire_cut(value, ALERT_TEXT_MAX);
  hit->value = strndup(cut.len ? cut.at : "", cut.len);
  if (!rule_copy(&hit->rule, rule) || !hit->value || relay_uuid(hit->id) != 0) {
    hit_free(hit);
    return false;
  }
  hit->ms = now_ms;
  *alerting->hits_end = hit;
  alerting->hits_end = &hit->next;
  alerting->hit_count++;
  mu_count(alerting->hit, 1);
  alerts_wake(alerting);
  return true;
}

static int64_t last_of(const struct hit *hit, const char *rule_id)
{
  int64_t last = 0;
  for (; hit; hit = hit->next)
    if (hit->ms > last && strcmp(hit->rule.id, rule_id) == 0)
      last = hit->ms;
  return last;
}

int64_t hits_last(const struct alerting *alerting, const char *rule_id)
{
  int64_t flying = last_of(alerting->flying, rule_id), waiting = last_of(alerting->hits, rule_id);
  return flying > waiting ? flying : waiting;
}

/* ---- old ones ------------------------------------------------------------------------------------ */

static void prune(void *context);

static void pruned(void *context, const struct mu_result *result)
{
  struct alerting *alerting = context;
  if (result->error != 0)
    mu_log_limited(alerting->relay->in, MU_LOG_WARN, "prune alerts", "old alerts could not be deleted: %s: %s",
                   mu_strerror(result->error), result->reason);
  else if (result->changed_count > 0 && result->changed[0] >= PRUNE_ROWS)
    prune(alerting);
}

static void prune(void *context)
{
  struct alerting *alerting = context;
  struct relay *relay = alerting->relay;
  const struct mu_value values[] = {mu_value_time(mu_now_ms() - relay->config->alerts.days * 86400000)};
  relay_write(relay, prune_sql, values, MU_COUNT(values), MU_ANY_ROWS, pruned, alerting);
}

/* ---- life ---------------------------------------------------------------------------------------- */

int hits_init(struct alerting *alerting)
{
  mu_instance *in = alerting->relay->in;
  alerting->hit = mu_counter_get(in, "alerts");
  alerting->dropped = mu_counter_get(in, "alerts_dropped");
  alerting->tick = mu_timer_new(in, tick, alerting);
  alerting->prune = mu_timer_new(in, prune, alerting);
  if (!alerting->tick || !alerting->prune)
    return MU_ENOMEM;
  mu_timer_start(alerting->prune, PRUNE_FIRST_MS, PRUNE_MS);
  return 0;
}

static void free_all(struct hit *hit)
{
  while (hit) {
    struct hit *next = hit->next;
    hit_free(hit);
    hit = next;
  }
}

void hits_fini(struct alerting *alerting)
{
  free_all(alerting->hits);
  free_all(alerting->flying);
}
