/* SPDX-License-Identifier: ISC */
/* The components: options, life. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"
#include "uplink.h"

enum { SWEEP_MS = 500, SECRET_MIN = 32, SECRET_MAX = 4096, ADDRESSES_MAX = 4096, REVOCATIONS_MAX = 4096 };

static const struct mu_option options[] = {
    {.key = "jwt_secret",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, jwt_secret),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .help = "Signs the session tokens: 32 bytes or more, at most 4096. When it changes, no token is good any more."},
    {.key = "token_hours",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, token_hours),
     .preset = "24",
     .min = 1,
     .max = 8760,
     .help = "Hours for which an agent may come back with its session token."},
    {.key = "admin_token_hours",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, admin_token_hours),
     .preset = "12",
     .min = 1,
     .max = 8760,
     .help = "Hours after which an admin's session token and its connections end."},
    {.key = "auth_timeout",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, auth_timeout),
     .preset = "10",
     .min = 1,
     .max = 300,
     .help = "Seconds within which a connection must have authenticated."},
    {.key = "ping_every",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, ping_every),
     .preset = "30",
     .min = 1,
     .max = 3600,
     .help = "Seconds between pings; a connection that says nothing to two of them is closed."},
    {.key = "failed_auths_per_minute",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, failed_auths_per_minute),
     .preset = "5",
     .min = 1,
     .max = 100000,
     .help = "Failed authentications of one address (IPv6: of one /64) in a minute; more are told to wait."},
    {.key = "messages_per_minute",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, messages_per_minute),
     .preset = "60",
     .min = 10,
     .max = 1000000,
     .help = "Messages of one connection in a minute, reports apart."},
    {.key = "reports_per_minute",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, reports_per_minute),
     .preset = "600",
     .min = 1,
     .max = 1000000,
     .help = "Reports (messages \"data\") of one agent in a minute, those that it sends again included."},
    {.key = "allow_agent_token_as_admin",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct config, allow_agent_token_as_admin),
     .preset = "false",
     .help = "Let an agent's session token open an admin connection, as released clients do."},
};

static void check(const void *given, struct mu_check *check)
{
  const struct config *config = given;
  size_t len = config->jwt_secret ? strlen(config->jwt_secret) : 0;
  if (config->jwt_secret && (len < SECRET_MIN || len > SECRET_MAX))
    mu_check_error(check, "jwt_secret", "jwt_secret has %zu bytes: it needs %d to %d", len, SECRET_MIN, SECRET_MAX);
  if (config->allow_agent_token_as_admin)
    mu_check_warn(check, "allow_agent_token_as_admin",
                  "whoever has the session token of one machine sees all machines of its user");
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fini(void *self)
{
  struct server *server = self;
  while (server->links) { /* none: the host has closed them all */
    struct link *link = server->links;
    server->links = link->next;
    free(link);
  }
  auth_fini(server);
  agents_fini(server);
  dispatch_fini(server);
  failures_fini(&server->failures);
  revocations_fini(&server->revocations);
  mu_token_key_free(server->key);
  mu_text_unref(server->ping);
  mu_text_unref(server->pong);
  free(server);
}

static void count_all(struct server *server)
{
  const struct {
    mu_counter **to;
    const char *name;
  } rows[] = {
      {&server->granted, "auth_granted"},
      {&server->resumed, "auth_resumed"},
      {&server->refused, "auth_refused"},
      {&server->limited, "auth_rate_limited"},
      {&server->timeouts, "auth_timeouts"},
      {&server->unavailable, "auth_unavailable"},
      {&server->bad_json, "bad_json"},
      {&server->bad_fields, "bad_fields"},
      {&server->unknown, "unknown_types"},
      {&server->out_of_place, "messages_out_of_place"},
      {&server->rate_limited, "rate_limited"},
      {&server->replaced, "agents_replaced"},
      {&server->failed, "handlers_failed"},
      {&server->replays, "replays"},
      {&server->not_kept, "samples_not_kept"},
      {&server->deleted, "machines_deleted"},
      {&server->silent, "silent"},
  };
  for (size_t i = 0; i < MU_COUNT(rows); i++)
    *rows[i].to = mu_counter_get(server->in, rows[i].name);
}

static int add_routes(struct server *server)
{
  static const char *const paths[] = {"/", "/ws/session"};
  int result = 0;
  for (size_t i = 0; i < MU_COUNT(paths) && result == 0; i++) {
    const struct mu_ws_route route = {.size = sizeof route,
                                      .path = paths[i],
                                      .origin = MU_ORIGIN_ANY, /* every connection brings its own credentials */
                                      .max_message = SESSION_MESSAGE_MAX,
                                      .max_queue = 1024 * 1024,
                                      .open = server_open,
                                      .message = server_message,
                                      .closed = server_closed};
    result = mu_ws_route(server->in, &route, server);
  }
  return result;
}

static void note_lifetimes(struct server *server)
{
  const int64_t hours[] = {server->config->token_hours, server->config->admin_token_hours};
  for (size_t i = 0; i < MU_COUNT(hours); i++)
    if (server->longest_s < hours[i] * 3600)
      server->longest_s = hours[i] * 3600;
}

static const struct mu_session session = {.size = sizeof session,
                                          .handle = dispatch_handle,
                                          .prove = auth_prove,
                                          .error = session_error,
                                          .send = agents_send,
                                          .keep = keeper_keep,
                                          .stored = keeper_stored};

static int init(mu_instance *in, const void *config, void **self)
{
  struct server *server = calloc(1, sizeof *server);
  if (!server)
    return MU_ENOMEM;
  server->in = in;
  server->config = config;
  note_lifetimes(server);
  revocations_init(&server->revocations, REVOCATIONS_MAX);
  int result = failures_init(&server->failures, ADDRESSES_MAX);
  if (result == 0)
    result = dispatch_init(server);
  if (result != 0)
    goto fail;
  result = MU_ENOMEM;
  server->places = mu_map_new();
  server->key = tokens_key(server->config->jwt_secret);
  server->ping = mu_text_printf("{\"type\":\"ping\"}");
  server->pong = mu_text_printf("{\"type\":\"pong\"}");
  server->sweep = mu_timer_new(in, ping_sweep, server);
  server->ack_timer = mu_timer_new(in, keeper_tick, server);
  if (!server->places || !server->key || !server->ping || !server->pong || !server->sweep || !server->ack_timer)
    goto fail;
  count_all(server);
  result = add_routes(server);
  if (result == 0)
    result = mu_service_provide(in, MU_SERVICE_SESSION, &session, server);
  if (result != 0)
    goto fail;
  *self = server;
  return 0;
fail:
  fini(server);
  return result;
}

static int start(void *self)
{
  struct server *server = self;
  struct mu_service service;
  int result = mu_service_get(server->in, MU_SERVICE_MACHINES, &service);
  if (result != 0)
    return result;
  server->machines = service.api;
  server->machines_self = service.self;
  server->form = server->machines->form_add(service.self, server->in, &agents_form, server);
  if (!server->form || !server->machines->form_add(service.self, server->in, &agents_canonical_form, server))
    return MU_EEXIST;
  result = mu_event_on(server->in, MU_EVENT_MACHINE_DELETED, 0, agents_on_deleted, server);
  if (result == 0)
    result = mu_event_on(server->in, MU_EVENT_AUTH_REVOKED, 0, auth_on_revoked, server);
  if (result == 0)
    mu_timer_start(server->sweep, SWEEP_MS, SWEEP_MS);
  return result;
}

static int reconfigure(void *self, const void *given)
{
  struct server *server = self;
  const struct config *new = given;
  if (strcmp(new->jwt_secret, server->config->jwt_secret) != 0) {
    mu_token_key *key = tokens_key(new->jwt_secret);
    if (!key)
      return MU_ENOMEM;
    mu_token_key_free(server->key);
    server->key = key;
  }
  server->config = new;
  note_lifetimes(server);
  return 0;
}

static const char *const provides[] = {MU_SERVICE_SESSION, NULL};
static const char *const needs[] = {MU_SERVICE_MACHINES, NULL};
static const char *const wants[] = {MU_SERVICE_AUTH, NULL};

static const struct mu_component components[] = {
    {
        .size = sizeof(struct mu_component),
        .kind = MU_SERVER,
        .provides = provides,
        .needs = needs,
        .wants = wants,
        .options = MU_OPTIONS(options),
        .config_size = sizeof(struct config),
        .check = check,
        .init = init,
        .start = start,
        .reconfigure = reconfigure,
        .fini = fini,
    },
    UPLINK_COMPONENT,
};

MU_PLUGIN(.name = "session", .version = "1.0.0",
          .summary = "The session protocol: agents and admins by API key, uplink", .licence = "ISC",
          .components = MU_COMPONENTS(components));
