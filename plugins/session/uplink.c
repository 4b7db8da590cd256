/* SPDX-License-Identifier: ISC */
/*
 * The agent's side of the session protocol: its link, and what it sends.
 *
 * Samples wait in the window until the server has acknowledged them. A server that stores nothing acknowledges nothing: for it only
 * the newest waits for a link.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "uplink_state.h"

enum {
  WINDOW_MAX = 1000,
  WINDOW_BYTES = 8 * 1024 * 1024,
  REFILL = 8, /* messages each UPLINK_REFILL_MS */
  RETRY_MAX_S = 3600,
  REPLACED_S = 300,
};

/* ---- small things ---------------------------------------------------------------------------- */

bool uplink_interactive(const struct uplink *uplink)
{
  return uplink->agent && uplink->agent->interactive(uplink->agent_self);
}

void uplink_say(struct uplink *uplink, const char *format, ...)
{
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (uplink->agent)
    uplink->agent->say(uplink->agent_self, text);
}

void uplink_end(struct uplink *uplink, int status)
{
  uplink->state = STATE_OVER;
  mu_timer_stop(uplink->answer);
  mu_client_close(uplink->client, 1000, "agent ends");
  if (uplink->agent)
    uplink->agent->end(uplink->agent_self, status);
}

void uplink_attempted(struct uplink *uplink, int error, const char *format, ...)
{
  const struct mu_agent *agent = uplink->agent;
  char why[512];
  va_list args;
  if (!agent || agent->size < offsetof(struct mu_agent, attempted) + sizeof agent->attempted || !agent->attempted)
    return;
  va_start(args, format);
  vsnprintf(why, sizeof why, format, args);
  va_end(args);
  agent->attempted(uplink->agent_self, error, why);
}

uint64_t uplink_spread_ms(double seconds)
{
  uint32_t random = 0;
  if (seconds < 1)
    seconds = 1;
  if (seconds > RETRY_MAX_S)
    seconds = RETRY_MAX_S;
  if (mu_random(&random, sizeof random) < 0)
    random = UINT32_MAX / 2;
  return (uint64_t)(seconds * 1000 * (1 + 0.2 * ((double)random / UINT32_MAX)));
}

void uplink_again(struct uplink *uplink, double seconds, const char *why)
{
  uplink->state = STATE_DOWN;
  mu_timer_stop(uplink->answer);
  uplink->again_ms = uplink_spread_ms(seconds);
  mu_client_again(uplink->client, 1000, why, uplink->again_ms);
}

int uplink_send(struct uplink *uplink, mu_text *text)
{
  return text ? mu_client_send(uplink->client, text) : MU_ENOMEM;
}

/* ---- what is sent ---------------------------------------------------------------------------- */

void uplink_lost(struct uplink *uplink, size_t samples)
{
  if (samples == 0)
    return;
  mu_count(uplink->dropped, samples);
  mu_log_limited(uplink->in, MU_LOG_WARN, "dropped", "%zu samples that could not be sent were dropped", samples);
}

void uplink_flush(struct uplink *uplink)
{
  mu_text *text;
  if (uplink->state != STATE_UP || uplink->info_due || mu_mono_ns() < uplink->paused_ns)
    return;
  while (uplink->credit > 0 && (text = uplink_window_next(&uplink->window))) {
    if (mu_client_send(uplink->client, text) != 0)
      break; /* the link is slow: the next tick tries again */
    mu_count(uplink->sent, 1);
    uplink->credit--;
    uplink_window_sent(&uplink->window);
  }
  if (uplink->credit < UPLINK_BURST && !mu_timer_active(uplink->refill))
    mu_timer_start(uplink->refill, UPLINK_REFILL_MS, 0);
  if (uplink->durable || uplink_window_next(&uplink->window))
    return;
  uplink_window_clear(&uplink->window); /* nobody will acknowledge them */
}

static void on_refill(void *context)
{
  struct uplink *uplink = context;
  uplink->credit = uplink->credit + REFILL < UPLINK_BURST ? uplink->credit + REFILL : UPLINK_BURST;
  uplink_flush(uplink);
  if (uplink->state == STATE_UP && (uplink->credit < UPLINK_BURST || uplink_window_next(&uplink->window)))
    mu_timer_start(uplink->refill, UPLINK_REFILL_MS, 0);
}

void uplink_send_info(struct uplink *uplink)
{
  const struct uplink_config *config = uplink->config;
  const struct uplink_facts facts = {.metrics = uplink->metrics,
                                     .ip = uplink->ip,
                                     .name = config->name,
                                     .is_public = config->is_public,
                                     .agent = uplink->agent,
                                     .agent_self = uplink->agent_self};
  mu_text *text = uplink_text_info(&facts);
  uplink->info_due = false;
  bool same = uplink->info && text && mu_str_equal(mu_text_str(uplink->info), mu_text_str(text));
  if (same || uplink_send(uplink, text) != 0) {
    mu_text_unref(text);
    return;
  }
  mu_text_unref(uplink->info);
  uplink->info = text;
}

static void on_address(void *context, const char *ip)
{
  struct uplink *uplink = context;
  uplink->ip_pending = false;
  if (ip && (!uplink->ip || strcmp(uplink->ip, ip) != 0)) {
    free(uplink->ip);
    uplink->ip = strdup(ip);
  }
  if (uplink->state != STATE_UP)
    return;
  uplink_send_info(uplink);
  uplink_flush(uplink);
}

static void on_heartbeat(void *context)
{
  struct uplink *uplink = context;
  if (uplink->state != STATE_UP)
    return;
  mu_text *text = mu_text_printf("{\"type\":\"heartbeat\",\"timestamp\":%lld}", (long long)mu_now_ms());
  uplink_send(uplink, text);
  mu_text_unref(text);
}

/* ---- the link -------------------------------------------------------------------------------- */

static void greet(struct uplink *uplink)
{
  static const char banner[] = "\n"
                               "  ##   ##  ##   ##   #####   ########  #######  ######\n"
                               "  ### ###  ##   ##  ##          ##     ##       ##   ##\n"
                               "  ## # ##  ##   ##   #####      ##     #####    ######\n"
                               "  ##   ##  ##   ##       ##     ##     ##       ##  ##\n"
                               "  ##   ##   #####    #####      ##     #######  ##   ##\n"
                               "\n";
  if (!uplink->greeted && uplink_interactive(uplink)) {
    uplink->agent->say(uplink->agent_self, banner);
    uplink_say(uplink, "Connected To Server %s\n", uplink->server.text);
  }
  uplink->greeted = true;
}

static void on_open(void *self)
{
  struct uplink *uplink = self;
  if (uplink->state == STATE_OVER)
    return;
  mu_log(uplink->in, MU_LOG_INFO, "connected to %s", uplink->server.text);
  greet(uplink);
  if (!uplink->ip_pending)
    uplink->ip_pending = uplink_address(uplink->in, &uplink->server, on_address, uplink) == 0;
  uplink_authenticate(uplink);
}

static void on_closed(void *self, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  struct uplink *uplink = self;
  mu_timer_stop(uplink->answer);
  mu_timer_stop(uplink->heartbeat);
  mu_timer_stop(uplink->refill);
  uplink->link_over = uplink->state == STATE_OVER && retry_ms == 0;
  if (uplink->stopping) {
    mu_stopped(uplink->in);
    return;
  }
  if (uplink->state == STATE_OVER || uplink->state == STATE_ASKING)
    return;
  if (status)
    uplink_attempted(uplink, MU_EUNAVAILABLE, "%s answered with HTTP %d: is that the address of a Muster server?",
                     uplink->server.text, status);
  else
    uplink_attempted(uplink, MU_EUNAVAILABLE, "there is no link to %s: %s", uplink->server.text,
                     reason && reason[0] ? reason : "it was closed");
  uplink->state = STATE_DOWN;
  uint64_t wait_ms = uplink->again_ms ? uplink->again_ms : retry_ms;
  if (code == MU_CLOSE_REPLACED) {
    wait_ms = uplink_spread_ms(REPLACED_S);
    mu_log(uplink->in, MU_LOG_ERROR,
           "another agent reports as this machine (machine_id %s): this link was closed; next try in %.0f s",
           uplink->machine_id ? uplink->machine_id : "made by the server", (double)wait_ms / 1000);
  } else if (status) {
    mu_log(uplink->in, MU_LOG_WARN, "%s answered with HTTP %d; next try in %.0f s", uplink->server.text, status,
           (double)wait_ms / 1000);
  } else {
    mu_log(uplink->in, MU_LOG_WARN, "no link to %s (%u%s%s); next try in %.0f s", uplink->server.text, code,
           reason && reason[0] ? ", " : "", reason ? reason : "", (double)wait_ms / 1000);
  }
  if (!uplink->greeted)
    uplink_say(uplink, "%s cannot be reached (%s). The next try is in %.0f s.\n", uplink->server.text,
               reason && reason[0] ? reason : "no link", (double)wait_ms / 1000);
  if (wait_ms != retry_ms)
    mu_client_again(uplink->client, 1000, NULL, wait_ms);
  uplink->again_ms = 0;
}

static int report(void *self, const struct mu_report *given)
{
  struct uplink *uplink = self;
  unsigned left_out = 0;
  bool first = !uplink->metrics;
  json_object_put(uplink->metrics);
  uplink->metrics = json_object_get(given->metrics);
  if (uplink->state == STATE_OVER)
    return 0;
  if (first && uplink->state == STATE_UP && !uplink->info_due)
    uplink_send_info(uplink); /* what collectors know better than the system's plain answers */
  snprintf(uplink->boot, sizeof uplink->boot, "%s", given->boot);
  mu_text *text = uplink_text_data(given, UPLINK_MESSAGE_MAX, &left_out);
  if (!text)
    return MU_ENOMEM;
  if (left_out) {
    mu_count(uplink->shortened, 1);
    mu_log_limited(uplink->in, MU_LOG_WARN, "long", "a report is longer than servers take: %u collectors are left out",
                   left_out);
  }
  int gone = uplink_window_add(&uplink->window, given->seq, text);
  mu_text_unref(text);
  if (gone < 0)
    return gone;
  uplink_lost(uplink, (size_t)gone);
  uplink_flush(uplink);
  if (uplink->known && !uplink->durable)
    uplink_lost(uplink, uplink_window_newest(&uplink->window));
  return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int uplink_init(mu_instance *in, const void *config, void **self)
{
  static const struct mu_client_events events = {
      .size = sizeof events, .open = on_open, .message = uplink_heard, .closed = on_closed};
  struct uplink *uplink = calloc(1, sizeof *uplink);
  if (!uplink)
    return MU_ENOMEM;
  uplink->in = in;
  uplink->config = config;
  uplink_window_init(&uplink->window, WINDOW_MAX, WINDOW_BYTES);
  int error = MU_EINVAL;
  if (uplink_server(uplink->config->url, &uplink->server))
    goto fail;
  const struct mu_client_options options = {.size = sizeof options,
                                            .url = uplink->config->url,
                                            .tls_insecure = !uplink->config->tls_verify,
                                            .tls_ca_file = uplink->config->tls_ca_file,
                                            .no_queue = true};
  if (!(uplink->client = mu_client_new(in, &options, &events, uplink)))
    goto fail;
  error = MU_ENOMEM;
  uplink->schema = uplink_heard_schema();
  uplink->answer = mu_timer_new(in, uplink_no_answer, uplink);
  uplink->heartbeat = mu_timer_new(in, on_heartbeat, uplink);
  uplink->refill = mu_timer_new(in, on_refill, uplink);
  if (!uplink->schema || !uplink->answer || !uplink->heartbeat || !uplink->refill)
    goto fail;
  const struct {
    mu_counter **to;
    const char *name;
  } counters[] = {{&uplink->sent, "reports"},
                  {&uplink->dropped, "reports_dropped"},
                  {&uplink->refused, "keys_refused"},
                  {&uplink->shortened, "reports_shortened"},
                  {&uplink->acknowledged, "reports_acknowledged"},
                  {&uplink->limited, "rate_limited"},
                  {&uplink->bad, "bad_messages"},
                  {&uplink->unknown, "unknown_types"},
                  {&uplink->told, "messages"}};
  for (size_t i = 0; i < MU_COUNT(counters); i++)
    *counters[i].to = mu_counter_get(in, counters[i].name);
  *self = uplink;
  return 0;
fail:
  uplink_fini(uplink);
  return error;
}

int uplink_start(void *self)
{
  struct uplink *uplink = self;
  struct mu_service service;
  if (mu_service_get(uplink->in, MU_SERVICE_AGENT, &service) == 0) {
    uplink->agent = service.api;
    uplink->agent_self = service.self;
  }
  uplink->machine_id = uplink->config->machine_id;
  if (!uplink->machine_id && uplink->agent)
    uplink->machine_id = uplink->agent->machine_id(uplink->agent_self);
  if (uplink->machine_id && !uplink->machine_id[0])
    uplink->machine_id = NULL;
  if (!uplink_find_key(uplink) && !uplink_interactive(uplink))
    uplink_no_key(uplink); /* the program ends: nobody can be asked */
  else
    mu_client_start(uplink->client);
  return 0;
}

int uplink_stop(void *self)
{
  struct uplink *uplink = self;
  uplink->state = STATE_OVER;
  if (uplink->link_over)
    return 0;
  uplink->stopping = true;
  mu_client_close(uplink->client, MU_CLOSE_GOING_AWAY, "agent stops");
  return MU_PENDING; /* on_closed() follows, after the server has seen the close frame */
}

/* The host has revoked client and timers already. */
void uplink_fini(void *self)
{
  struct uplink *uplink = self;
  uplink_forget(&uplink->key);
  uplink_forget(&uplink->token);
  uplink_window_clear(&uplink->window);
  mu_text_unref(uplink->info);
  json_object_put(uplink->metrics);
  mu_schema_free(uplink->schema);
  free(uplink->ip);
  free(uplink);
}

const char *const uplink_wants[] = {MU_SERVICE_AGENT, NULL};
const struct mu_uplink_ops uplink_ops = {.size = sizeof(struct mu_uplink_ops), .report = report};
