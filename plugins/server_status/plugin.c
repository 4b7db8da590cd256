/* SPDX-License-Identifier: ISC */
/* The server component: options, forms, routes, life. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

static const char *const push_words[] = {"report", "snapshot", NULL};
static const char *const access_words[] = {"public", "token", "login", NULL};

static const struct mu_option options[] = {
    {.key = "push",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct config, push),
     .preset = "\"report\"",
     .names = push_words,
     .help =
         "What pages get: \"report\", each report at once (documented), or \"snapshot\", the full list every second "
         "(released pages)."},
    {.key = "offline_after",
     .type = MU_OPT_FLOAT,
     .offset = offsetof(struct config, offline_after),
     .preset = "30",
     .min = 0.1,
     .max = 86400,
     .help = "Seconds without a report after which a machine is offline."},
    {.key = "show_ip",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct config, show_ip),
     .preset = "false",
     .help = "Whether pages get the machines' addresses."},
    {.key = "frontend_access",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct config, frontend_access),
     .preset = "\"public\"",
     .names = access_words,
     .help = "Who may watch: \"public\", everybody; \"token\", who knows frontend_token; \"login\", who is logged in "
             "and says so in the "
             "header Authorization: Bearer …"},
    {.key = "frontend_token",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, frontend_token),
     .flags = MU_OPT_SECRET,
     .max = 256,
     .help = "For frontend_access = \"token\": given as ?token=… or in the header Authorization: Bearer …"},
    {.key = "max_message",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_message),
     .preset = "65536",
     .min = 4096,
     .max = 1048576,
     .help = "Longest report in bytes; beyond it the link is closed with 1009."},
    {.key = "ping_every",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, ping_every),
     .preset = "54",
     .min = 1,
     .max = 3600,
     .help = "Seconds between pings to an agent."},
    {.key = "silent_after",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, silent_after),
     .preset = "60",
     .min = 2,
     .max = 86400,
     .help = "Seconds after which an agent or page that sent nothing, not even a pong, is cut off."},
};

static void check(const void *given, struct mu_check *check)
{
  const struct config *config = given;
  const char *token = config->frontend_token ? config->frontend_token : "";
  if (config->frontend_access == ACCESS_TOKEN && !token[0])
    mu_check_error(check, "frontend_access", "frontend_access is \"token\" and there is no frontend_token");
  else if (config->frontend_access == ACCESS_TOKEN && strlen(token) < 16)
    mu_check_warn(check, "frontend_token", "the token is shorter than 16 characters: easy to guess");
  else if (config->frontend_access != ACCESS_TOKEN && token[0])
    mu_check_warn(check, "frontend_token", "frontend_token has no effect: frontend_access is not \"token\"");
  if (config->ping_every >= config->silent_after)
    mu_check_warn(check, "ping_every",
                  "agents that send nothing between pings are cut off: silent_after is not longer");
}

static const char *const form_words[] = {"documented", "deployed", NULL};

static const struct mu_option uplink_options[] = {
    {.key = "url",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, url),
     .flags = MU_OPT_REQUIRED,
     .max = 2048,
     .help = "Where to report: \"ws://host:port/ws-report\" or \"wss://…\"."},
    {.key = "server_id",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, server_id),
     .flags = MU_OPT_REQUIRED,
     .max = 128,
     .help = "The machine's id, as the server's configuration has it."},
    {.key = "secret",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, secret),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .max = 256,
     .help = "The secret that goes with it."},
    {.key = "form",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct uplink_config, form),
     .preset = "\"documented\"",
     .names = form_words,
     .help = "\"documented\" for Muster, \"deployed\" for a released dashboard (1.x)."},
    {.key = "server_name",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, server_name),
     .max = 128,
     .help = "The machine's name; absent: its host name."},
    {.key = "group",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, group),
     .max = 128,
     .help = "The group it is shown in."},
    {.key = "country",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, country),
     .max = 16,
     .help = "Two letters, \"CN\"."},
    {.key = "location",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, location),
     .max = 128,
     .help = "Where the machine is."},
    {.key = "tls_ca_file",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, tls_ca_file),
     .max = 4096,
     .help = "PEM file with the authorities that may sign the server's certificate; absent: the system's."},
    {.key = "tls_insecure",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct uplink_config, tls_insecure),
     .preset = "false",
     .help = "Accept any certificate. For development only."},
};

/* ---- forms ----------------------------------------------------------------------------------- */

static int documented_metrics(void *self, const struct mu_machine *machine, struct json_object **metrics)
{
  (void)self;
  return convert_metrics(STATUS_DOCUMENTED, mu_text_data(machine->text), mu_text_len(machine->text), metrics);
}

static int deployed_metrics(void *self, const struct mu_machine *machine, struct json_object **metrics)
{
  (void)self;
  return convert_metrics(STATUS_DEPLOYED, mu_text_data(machine->text), mu_text_len(machine->text), metrics);
}

static int render_documented(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct status *status = self;
  struct json_object *metrics = status->machines->metrics(status->machines_self, machine);
  if (!metrics)
    return MU_EINVAL;
  const struct status_card card = {.id = machine->id,
                                   .name = machine->name,
                                   .group = machine->group,
                                   .country = machine->country,
                                   .location = machine->location,
                                   .ip = status->config->show_ip ? machine->ip : NULL};
  *text =
      render_report(STATUS_DOCUMENTED, &card, metrics, machine->last_report_ms / 1000, STATUS_DOCUMENTED_LIMIT, NULL);
  return *text ? 0 : MU_ENOMEM;
}

static int render_for_snapshot(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct status *status = self;
  struct json_object *metrics = machine->text ? status->machines->metrics(status->machines_self, machine) : NULL;
  if (machine->text && !metrics)
    return MU_EINVAL;
  *text = render_element(machine, metrics);
  return *text ? 0 : MU_ENOMEM;
}

const struct mu_form_ops status_form_ops[STATUS_KINDS] = {
    [STATUS_DOCUMENTED] = {.size = sizeof(struct mu_form_ops),
                           .name = "server_status.documented",
                           .to_metrics = documented_metrics,
                           .render = render_documented},
    [STATUS_DEPLOYED] = {.size = sizeof(struct mu_form_ops),
                         .name = "server_status.deployed",
                         .to_metrics = deployed_metrics},
};

const struct mu_form_ops status_element_ops = {.size = sizeof(struct mu_form_ops),
                                               .name = "server_status.element",
                                               .render = render_for_snapshot,
                                               .depends_on_state = true};

/* ---- life ------------------------------------------------------------------------------------ */

static int add_routes(struct status *status)
{
  const struct config *config = status->config;
  const struct mu_ws_route agents = {.size = sizeof agents,
                                     .path = "/ws-report",
                                     .origin = MU_ORIGIN_ANY, /* no page can set the headers that it takes */
                                     .max_message = (size_t)config->max_message,
                                     .ping_every_s = (unsigned)config->ping_every,
                                     .silent_after_s = (unsigned)config->silent_after,
                                     .admit = agents_admit,
                                     .open = agents_open,
                                     .message = agents_message,
                                     .closed = agents_closed};
  const struct mu_ws_route pages = {.size = sizeof pages,
                                    .path = "/ws-frontend",
                                    .origin = MU_ORIGIN_SAME,
                                    .max_message = 4096,
                                    .ping_every_s = (unsigned)(config->silent_after / 2),
                                    .silent_after_s = (unsigned)config->silent_after,
                                    .max_queue = 1024 * 1024,
                                    .admit = pages_admit,
                                    .open = pages_open,
                                    .message = pages_message,
                                    .closed = pages_closed};
  /* A token of the configuration is judged by the handlers, the same for pages and REST; a login by the core. */
  const enum mu_access access = config->frontend_access == ACCESS_LOGIN ? MU_ACCESS_USER : MU_ACCESS_PUBLIC;
  const struct mu_http_route list = {.size = sizeof list,
                                     .path = "/api/server/statusInfo",
                                     .methods = MU_HTTP_GET,
                                     .access = access,
                                     .handle = rest_status};
  const struct mu_http_route statistics = {.size = sizeof statistics,
                                           .path = "/api/statistics",
                                           .methods = MU_HTTP_GET,
                                           .access = access,
                                           .handle = rest_statistics};
  int result = mu_ws_route(status->in, &agents, status);
  if (result == 0)
    result = mu_ws_route(status->in, &pages, status);
  if (result == 0)
    result = mu_http_route(status->in, &list, status);
  if (result == 0)
    result = mu_http_route(status->in, &statistics, status);
  return result;
}

static void fini(void *self)
{
  struct status *status = self;
  agents_fini(status);
  login_fini(status);
  mu_map_free(status->agents);
  mu_map_free(status->watchers);
  mu_text_unref(status->snapshot);
  mu_text_unref(status->list);
  status_codec_fini(&status->codec);
  free(status);
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct status *status = calloc(1, sizeof *status);
  if (!status)
    return MU_ENOMEM;
  status->in = in;
  status->config = config;
  int result = status_codec_init(&status->codec);
  if (result != 0)
    goto fail;
  result = MU_ENOMEM;
  status->agents = mu_map_new();
  status->watchers = mu_map_new();
  status->pages = mu_group_new(in, "pages", MU_GROUP_CONFLATE);
  status->second = mu_timer_new(in, pages_tick, status);
  status->warning = mu_timer_new(in, pages_warn, status);
  status->expiry = mu_timer_new(in, login_tick, status);
  if (!status->agents || !status->watchers || !status->pages || !status->second || !status->warning || !status->expiry)
    goto fail;
  status->refused = mu_counter_get(in, "agents_refused");
  status->replaced = mu_counter_get(in, "agents_replaced");
  status->bad = mu_counter_get(in, "bad_reports");
  status->mismatched = mu_counter_get(in, "identity_mismatch");
  status->bad_pages = mu_counter_get(in, "bad_page_messages");
  status->pages_refused = mu_counter_get(in, "pages_refused");
  result = add_routes(status);
  if (result != 0)
    goto fail;
  *self = status;
  return 0;
fail:
  fini(status);
  return result;
}

static int start(void *self)
{
  struct status *status = self;
  struct mu_service service;
  int result = mu_service_get(status->in, MU_SERVICE_MACHINES, &service);
  if (result != 0)
    return result;
  status->machines = service.api;
  status->machines_self = service.self;
  for (int i = 0; i < STATUS_KINDS; i++) {
    status->forms[i] = status->machines->form_add(service.self, status->in, &status_form_ops[i], status);
    if (!status->forms[i])
      return MU_EEXIST;
  }
  status->element = status->machines->form_add(service.self, status->in, &status_element_ops, status);
  if (!status->element)
    return MU_EEXIST;
  result = mu_event_on(status->in, MU_EVENT_MACHINE_REPORT, 0, pages_on_report, status);
  if (result == 0)
    result = mu_event_on(status->in, MU_EVENT_CONFIG_RELOADED, 0, pages_on_reload, status);
  static const char *const changes[] = {MU_EVENT_MACHINE_ONLINE, MU_EVENT_MACHINE_INFO, MU_EVENT_MACHINE_OFFLINE,
                                        MU_EVENT_MACHINE_DELETED};
  for (size_t i = 0; i < MU_COUNT(changes) && result == 0; i++)
    result = mu_event_on(status->in, changes[i], 0, rest_forget, status);
  mu_timer_start(status->warning, 200, 0); /* listeners open after all plugins have started */
  return result;
}

static bool same_text(const char *a, const char *b)
{
  return strcmp(a ? a : "", b ? b : "") == 0;
}

static int reconfigure(void *self, const void *given)
{
  struct status *status = self;
  const struct config *old = status->config, *new = given;
  if ((new->frontend_access == ACCESS_LOGIN) != (old->frontend_access == ACCESS_LOGIN))
    return MU_RESTART; /* another rule for the routes */
  if (new->max_message != old->max_message || new->ping_every != old->ping_every ||
      new->silent_after != old->silent_after)
    mu_log(status->in, MU_LOG_WARN, "max_message, ping_every and silent_after are used from the next start on");
  bool rules = new->push != old->push || new->frontend_access != old->frontend_access ||
               !same_text(new->frontend_token, old->frontend_token);
  status->config = new;
  if (rules)
    pages_send_away(status);
  return 0;
}

static const char *const needs[] = {MU_SERVICE_MACHINES, NULL};
static const char *const wants[] = {MU_SERVICE_AUTH, NULL};

static const struct mu_component components[] = {
    {
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
        .fini = fini,
    },
    {
        .size = sizeof(struct mu_component),
        .kind = MU_UPLINK,
        .options = MU_OPTIONS(uplink_options),
        .config_size = sizeof(struct uplink_config),
        .check = uplink_check,
        .init = uplink_init,
        .start = uplink_start,
        .stop = uplink_stop,
        .fini = uplink_fini,
        .ops = &uplink_ops,
    },
};

MU_PLUGIN(.name = "server_status", .version = "1.0.0", .summary = "The server-status protocol: agents, pages, uplink",
          .licence = "ISC", .components = MU_COMPONENTS(components));
