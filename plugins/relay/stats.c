/* SPDX-License-Identifier: ISC */
/* What is true of a fresh start, and what is kept only for a time. */
#include "server.h"

enum {
  HOUR_MS = 3600000,
  PRUNED_AT_ONCE = 5000,
};

static const struct mu_sql nobody_sql = {
    .text = "UPDATE endpoint_stats SET current_connections = 0 WHERE current_connections <> 0"};
static const struct mu_sql prune_data_sql = {
    .text = "DELETE FROM device_data WHERE id IN (SELECT t.id FROM (SELECT id FROM device_data WHERE timestamp < ? "
            "LIMIT 5000) t)"};
static const struct mu_sql prune_commands_sql = {
    .text =
        "DELETE FROM control_commands WHERE id IN (SELECT t.id FROM (SELECT id FROM control_commands WHERE sent_at < ? "
        "LIMIT 5000) t)"};

static void pruned(void *context, const struct mu_result *result)
{
  struct relay *relay = context;
  if (result->error != 0) {
    mu_log_limited(relay->in, MU_LOG_WARN, "prune", "old device data could not be deleted: %s: %s",
                   mu_strerror(result->error), result->reason);
    return;
  }
  for (size_t i = 0; i < result->changed_count; i++)
    if (result->changed[i] >= PRUNED_AT_ONCE) { /* there is more */
      mu_timer_start(relay->prune, 1000, HOUR_MS);
      return;
    }
}

static void prune(void *context)
{
  struct relay *relay = context;
  if (relay->config->data_days == 0)
    return;
  const struct mu_value before = mu_value_time(mu_now_ms() - relay->config->data_days * 86400000);
  const struct mu_statement statements[] = {
      {.sql = prune_data_sql, .values = &before, .count = 1, .expect = MU_ANY_ROWS},
      {.sql = prune_commands_sql, .values = &before, .count = 1, .expect = MU_ANY_ROWS},
  };
  relay->store->write(relay->store_self, relay->in, statements, MU_COUNT(statements), pruned, relay);
}

int stats_start(struct relay *relay)
{
  relay->prune = mu_timer_new(relay->in, prune, relay);
  if (!relay->prune)
    return MU_ENOMEM;
  mu_timer_start(relay->prune, 60000, HOUR_MS);
  return relay_write(relay, nobody_sql, NULL, 0, MU_ANY_ROWS, NULL, NULL);
}
