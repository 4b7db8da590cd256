/* SPDX-License-Identifier: ISC */
/* The agent's side: one report, one message, in the form that the server speaks. Best effort: nothing is acknowledged. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { QUEUE = 100 }; /* as the released agent's */

struct uplink {
  mu_instance *in;
  const struct uplink_config *config;
  mu_client *client;
  bool told_shortened;
  bool stopping;
  mu_counter *sent, *dropped, *refused, *shortened;
};

void uplink_check(const void *given, struct mu_check *check)
{
  const struct uplink_config *config = given;
  if (config->url && strncmp(config->url, "ws://", 5) != 0 && strncmp(config->url, "wss://", 6) != 0)
    mu_check_error(check, "url", "the URL must begin with ws:// or wss://");
  if (config->server_id && !config->server_id[0])
    mu_check_error(check, "server_id", "the id is empty");
  if (config->secret && !config->secret[0])
    mu_check_error(check, "secret", "the secret is empty");
  for (const char *at = config->secret; at && *at; at++)
    if (*at <= ' ' || *at > '~') {
      mu_check_error(check, "secret", "the secret has a character that cannot travel in a header: use visible ASCII");
      break;
    }
  for (const char *at = config->server_id; at && *at; at++)
    if (*at <= ' ' || *at > '~') {
      mu_check_error(check, "server_id", "the id has a character that cannot travel in a header: use visible ASCII");
      break;
    }
  if (config->tls_insecure)
    mu_check_warn(check, "tls_insecure", "certificates are not checked: anybody on the way can read the secret");
}

static void opened(void *self)
{
  struct uplink *uplink = self;
  mu_log(uplink->in, MU_LOG_INFO, "connected to %s as \"%s\"", uplink->config->url, uplink->config->server_id);
}

static void closed(void *self, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  struct uplink *uplink = self;
  if (uplink->stopping) {
    mu_stopped(uplink->in);
    return;
  }
  double seconds = (double)retry_ms / 1000;
  if (status == 401 || status == 403) {
    mu_count(uplink->refused, 1);
    mu_log(uplink->in, MU_LOG_ERROR,
           "refused: unknown server id or wrong secret (id \"%s\", HTTP %d); next try in %.0f s",
           uplink->config->server_id, status, seconds);
  } else if (status)
    mu_log(uplink->in, MU_LOG_WARN, "%s answered with HTTP %d; next try in %.0f s", uplink->config->url, status,
           seconds);
  else if (code == MU_CLOSE_REPLACED)
    mu_log(uplink->in, MU_LOG_ERROR, "another agent reports as \"%s\": this link was closed; next try in %.0f s",
           uplink->config->server_id, seconds);
  else
    mu_log(uplink->in, MU_LOG_WARN, "no link to %s (%u%s%s); next try in %.0f s", uplink->config->url, code,
           reason && reason[0] ? ", " : "", reason ? reason : "", seconds);
}

int uplink_init(mu_instance *in, const void *config, void **self)
{
  static const struct mu_client_events events = {.size = sizeof events, .open = opened, .closed = closed};
  struct uplink *uplink = calloc(1, sizeof *uplink);
  if (!uplink)
    return MU_ENOMEM;
  uplink->in = in;
  uplink->config = config;
  const struct mu_header headers[] = {{"X-SERVER-ID", uplink->config->server_id},
                                      {"X-AUTH-SECRET", uplink->config->secret}};
  const struct mu_client_options options = {.size = sizeof options,
                                            .url = uplink->config->url,
                                            .headers = headers,
                                            .header_count = MU_COUNT(headers),
                                            .tls_insecure = uplink->config->tls_insecure,
                                            .tls_ca_file = uplink->config->tls_ca_file,
                                            .ping_every_s = 30,
                                            .pong_within_s = 45,
                                            .max_queue = QUEUE};
  uplink->client = mu_client_new(in, &options, &events, uplink);
  if (!uplink->client) {
    free(uplink);
    return MU_EINVAL;
  }
  uplink->sent = mu_counter_get(in, "reports");
  uplink->dropped = mu_counter_get(in, "reports_dropped");
  uplink->refused = mu_counter_get(in, "refused");
  uplink->shortened = mu_counter_get(in, "reports_shortened");
  *self = uplink;
  return 0;
}

int uplink_start(void *self)
{
  mu_client_start(((struct uplink *)self)->client);
  return 0;
}

int uplink_stop(void *self)
{
  struct uplink *uplink = self;
  uplink->stopping = true;
  mu_client_close(uplink->client, MU_CLOSE_GOING_AWAY, "agent stops");
  return MU_PENDING; /* closed() follows, after the server has seen the close frame */
}

/* The host has revoked the client already. */
void uplink_fini(void *self)
{
  free(self);
}

static const char *own_name(const struct uplink_config *config, struct json_object *metrics)
{
  struct json_object *system = NULL, *name = NULL;
  if (config->server_name && config->server_name[0])
    return config->server_name;
  if (json_object_object_get_ex(metrics, "system", &system) && json_object_object_get_ex(system, "hostname", &name))
    return json_object_get_string(name);
  return NULL;
}

static int report(void *self, const struct mu_report *given)
{
  struct uplink *uplink = self;
  const struct uplink_config *config = uplink->config;
  const struct status_card card = {.id = config->server_id,
                                   .name = own_name(config, given->metrics),
                                   .group = config->group,
                                   .country = config->country,
                                   .location = config->location};
  enum status_kind kind = (enum status_kind)config->form;
  unsigned left_out = 0;
  mu_text *text = render_report(kind, &card, given->metrics, given->time_ms / 1000,
                                kind == STATUS_DEPLOYED ? STATUS_DEPLOYED_LIMIT : STATUS_DOCUMENTED_LIMIT, &left_out);
  if (!text)
    return MU_ENOMEM;
  if (left_out) {
    mu_count(uplink->shortened, 1);
    if (!uplink->told_shortened)
      mu_log(uplink->in, MU_LOG_WARN, "the report is longer than the server takes: %s left out",
             left_out == 1   ? "further metrics of the built-in collectors are"
             : left_out == 2 ? "metrics that the form has no member for are"
                             : "these metrics and disks beyond the 16th are");
    uplink->told_shortened = true;
  }
  int result = mu_client_send(uplink->client, text);
  mu_text_unref(text);
  if (result == MU_ELIMIT) { /* the oldest of the queue went for it */
    mu_count(uplink->dropped, 1);
    mu_log_limited(uplink->in, MU_LOG_WARN, "queue", "%d reports wait for a link: the oldest was dropped", QUEUE);
    result = 0;
  }
  if (result == 0)
    mu_count(uplink->sent, 1);
  return result;
}

const struct mu_uplink_ops uplink_ops = {.size = sizeof(struct mu_uplink_ops), .report = report};
