/* SPDX-License-Identifier: ISC */
/* The server component: options, life. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

static const struct mu_option options[] = {
    {.key = "websocket_base_url",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, websocket_base_url),
     .preset = "\"\"",
     .max = 512,
     .help = "What clients are told to connect to, \"ws://host:3001\"; the endpoint's \"/ws/ID\" is added. Empty: what "
             "the request for it was addressed to."},
    {.key = "max_message",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_message),
     .preset = "1048576",
     .min = 1024,
     .max = 104857600,
     .help = "Longest message in bytes; beyond it the connection is closed with 1009. A change restarts the relay."},
    {.key = "max_waiting",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_waiting),
     .preset = "4194304",
     .min = 65536,
     .max = 1073741824,
     .help = "Bytes that may wait for a reader that is slow; beyond them it is closed with 1013. At least twice "
             "max_message is allowed. A change restarts the relay."},
    {.key = "max_connections",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_connections),
     .preset = "10000",
     .min = 1,
     .max = 1000000,
     .help = "Connections of one endpoint."},
    {.key = "max_devices",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_devices),
     .preset = "10000",
     .min = 1,
     .max = 1000000,
     .help = "Devices of one endpoint; `identify` of a further one is answered with an error."},
    {.key = "max_history",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_history),
     .preset = "67108864",
     .min = 1048576,
     .max = 4294967296,
     .help = "Bytes of messages and device data that may wait for the database, of all endpoints together; beyond them "
             "the oldest are dropped and counted."},
    {.key = "messages_per_second",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, messages_per_second),
     .preset = "0",
     .min = 0,
     .max = 1000000,
     .help = "Messages that one connection may send in a second, on average over five; beyond it is closed with 4008. "
             "0: no limit."},
    {.key = "ping_every",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, ping_every),
     .preset = "15",
     .min = 1,
     .max = 3600,
     .help = "Seconds between pings. A connection from which nothing came for half as long again is closed. A change "
             "restarts the relay."},
    {.key = "flush_every",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, flush_every),
     .preset = "1000",
     .min = 50,
     .max = 5000,
     .help = "Milliseconds between two writes of an endpoint's messages, device data and statistics."},
    {.key = "data_days",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, data_days),
     .preset = "0",
     .min = 0,
     .max = 36500,
     .help = "Days that device data and commands are kept. 0: for ever."},
    {.key = "alerts",
     .type = MU_OPT_GROUP,
     .offset = offsetof(struct config, alerts),
     .fields = MU_OPTIONS(alert_options),
     .help = "What becomes of alerts: how long they are kept, and who else is told."},
};

static void check(const void *given, struct mu_check *check)
{
  const struct config *config = given;
  const char *url = config->websocket_base_url;
  alerts_check(&config->alerts, check);
  size_t len = strlen(url);
  if (len && strncmp(url, "ws://", 5) != 0 && strncmp(url, "wss://", 6) != 0)
    mu_check_error(check, "websocket_base_url", "websocket_base_url begins with \"ws://\" or \"wss://\"");
  else if (len && url[len - 1] == '/')
    mu_check_error(check, "websocket_base_url", "websocket_base_url has no slash at its end: \"/ws/ID\" is added");
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fini(void *self)
{
  struct relay *relay = self;
  rest_fini(relay);
  endpoints_fini(relay);
  alerts_fini(relay);
  tasks_fini(relay);
  commands_fini(relay);
  pending_fini(relay);
  channels_fini(relay);
  mu_map_free(relay->by_key);
  mu_map_free(relay->by_uuid);
  mu_map_free(relay->online);
  free(relay);
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct relay *relay = calloc(1, sizeof *relay);
  if (!relay)
    return MU_ENOMEM;
  relay->in = in;
  relay->config = config;
  int result = MU_ENOMEM;
  relay->by_key = mu_map_new();
  relay->by_uuid = mu_map_new();
  relay->online = mu_map_new();
  if (!relay->by_key || !relay->by_uuid || !relay->online)
    goto fail;
  static int (*const parts[])(struct relay *) = {endpoints_init, pending_init, commands_init,
                                                 channels_init,  alerts_init,  rest_init};
  for (size_t i = 0; i < MU_COUNT(parts); i++)
    if ((result = parts[i](relay)) != 0)
      goto fail;
  *self = relay;
  return 0;
fail:
  fini(relay);
  return result;
}

static int start(void *self)
{
  struct relay *relay = self;
  struct mu_service service;
  int result = mu_service_get(relay->in, MU_SERVICE_STORE, &service);
  if (result != 0)
    return result;
  relay->store = service.api;
  relay->store_self = service.self;
  result = mu_service_get(relay->in, MU_SERVICE_ACCOUNTS, &service);
  if (result != 0)
    return result;
  relay->provider = ((const struct mu_accounts *)service.api)->provider;
  static int (*const parts[])(struct relay *) = {tables_migrate, stats_start, commands_start, endpoints_start,
                                                 rest_start};
  for (size_t i = 0; i < MU_COUNT(parts) && result == 0; i++)
    result = parts[i](relay);
  return result;
}

static void written(void *context, int error)
{
  struct relay *relay = context;
  if (error != 0)
    mu_log(relay->in, MU_LOG_WARN, "the last messages and statistics were not stored: %s", mu_strerror(error));
  relay->written = true;
  if (relay->awaited)
    mu_stopped(relay->in);
}

static int stop(void *self)
{
  struct relay *relay = self;
  relay->stopping = true;
  if (!relay->store) /* it never started */
    return 0;
  alerts_stop(relay);
  pending_none_connected(relay);
  relay_flush(relay, NULL, written, relay);
  relay->awaited = !relay->written;
  return relay->awaited ? MU_PENDING : 0;
}

static int reconfigure(void *self, const void *given)
{
  struct relay *relay = self;
  const struct config *old = relay->config, *new = given;
  if (new->max_message != old->max_message || new->max_waiting != old->max_waiting ||
      new->ping_every != old->ping_every || !alerts_reconfigure(&old->alerts, &new->alerts))
    return MU_RESTART;
  relay->config = new;
  return 0;
}

static const char *const needs[] = {MU_SERVICE_STORE, MU_SERVICE_ACCOUNTS, NULL};
static const char *const wants[] = {MU_SERVICE_AUTH, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .needs = needs,
    .wants = wants,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
    .reconfigure = reconfigure,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "relay", .version = "1.0.0", .summary = "The relay protocol: endpoints, devices, messages, REST API",
          .licence = "ISC", .components = MU_COMPONENTS(components));
