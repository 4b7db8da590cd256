/* SPDX-License-Identifier: ISC */
/* The connections of endpoints: coming, messages, going. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { FLOOD_WINDOW_S = 5 };

struct channels {
  mu_counter *refused, *relayed, *controls, *too_deep, *flooded;
};

mu_conn *channel_conn(const struct channel *channel)
{
  return mu_conn_find(channel->relay->in, channel->conn);
}

/* ---- coming -------------------------------------------------------------------------------------- */

static void free_channel(struct channel *channel)
{
  if (channel->endpoint)
    endpoint_release(channel->endpoint);
  proof_free(channel->proof);
  mu_text_unref(channel->sender);
  free(channel);
}

static void attach(struct channel *channel, struct endpoint *endpoint)
{
  if (channel->endpoint)
    return;
  endpoint_hold(endpoint);
  channel->endpoint = endpoint;
}

/* 0: decided, MU_PENDING, or an error. What is in memory is as good as a row. */
static int look_up(struct channel *channel)
{
  struct relay *relay = channel->relay;
  struct endpoint *endpoint = mu_map_get(relay->by_key, mu_str(channel->proof->key));
  if (endpoint) {
    attach(channel, endpoint);
    return admission_judge(channel, &channel->verdict);
  }
  int result = endpoints_look_up(relay, channel->proof->key, channel->conn);
  if (result != MU_ELIMIT)
    return result ? result : MU_PENDING;
  channel->verdict = VERDICT_BUSY;
  return 0;
}

static int admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct relay *relay = self;
  struct channel *channel = calloc(1, sizeof *channel);
  if (!channel)
    return MU_ENOMEM;
  channel->relay = relay;
  channel->conn = mu_ws_request_conn(request);
  int result = MU_ENOMEM;
  if (!admission_read(channel, request))
    goto fail;
  result = channel->verdict == VERDICT_WELCOME ? look_up(channel) : 0;
  if (result < 0)
    goto fail;
  admission->data = channel;
  return result;
fail:
  free_channel(channel);
  return result;
}

/* Refused or not: what there is to say can be said only once it is open. */
static void decide(struct channel *channel, mu_conn *conn, enum verdict verdict)
{
  channel->verdict = verdict;
  mu_conn_admit(conn, 0, NULL);
}

void channel_judged(struct relay *relay, mu_conn_id id, enum verdict verdict, const struct mu_principal *principal)
{
  mu_conn *conn = mu_conn_find(relay->in, id);
  struct channel *channel = conn ? mu_conn_data(conn) : NULL;
  if (!channel)
    return;
  if (principal)
    mu_conn_set_principal(conn, principal);
  decide(channel, conn, verdict);
}

void channel_found(struct relay *relay, mu_conn_id id, struct endpoint *endpoint, enum verdict verdict)
{
  mu_conn *conn = mu_conn_find(relay->in, id);
  struct channel *channel = conn ? mu_conn_data(conn) : NULL;
  if (!channel)
    return;
  if (endpoint) {
    attach(channel, endpoint);
    if (admission_judge(channel, &verdict) == MU_PENDING)
      return;
  }
  decide(channel, conn, verdict);
}

void channel_tell(struct channel *channel, mu_conn *conn, const char *level, const char *en, const char *zh)
{
  mu_text *message = system_message(level, channel->chinese ? zh : en);
  if (message)
    mu_conn_send(conn, message);
  mu_text_unref(message);
}

static void dismiss(struct channel *channel, mu_conn *conn, enum verdict verdict)
{
  channel->verdict = verdict;
  mu_text *message = verdict_message(verdict, channel->endpoint, channel->chinese);
  if (message)
    mu_conn_send(conn, message);
  mu_text_unref(message);
  mu_conn_close(conn, verdict_code(verdict), verdict_reason(verdict));
}

mu_text *channel_own_name(const struct channel *channel)
{
  return mu_text_printf("conn-%llx", (unsigned long long)channel->conn);
}

static int opened(void *self, mu_conn *conn)
{
  struct relay *relay = self;
  struct channel *channel = mu_conn_data(conn);
  struct endpoint *endpoint = channel->endpoint;
  proof_free(channel->proof);
  channel->proof = NULL;
  channel->opened_ns = mu_mono_ns();
  if (channel->verdict == VERDICT_WELCOME && endpoint)
    channel->verdict = endpoint_verdict(endpoint); /* it may have changed while a credential was judged */
  if (channel->verdict == VERDICT_WELCOME && endpoint->connections >= (size_t)relay->config->max_connections)
    channel->verdict = VERDICT_FULL;
  if (channel->verdict != VERDICT_WELCOME) {
    mu_count(relay->channels->refused, 1);
    mu_log_limited(relay->in, MU_LOG_INFO, "refused", "%s: refused: reason=\"%s\" endpoint=%s", mu_conn_peer(conn),
                   verdict_reason(channel->verdict), endpoint ? endpoint->uuid : "-");
    channel->left = true;
    dismiss(channel, conn, channel->verdict);
    return 0;
  }
  channel->sender = channel_own_name(channel);
  if (!channel->sender || mu_group_join(endpoint->group, conn) != 0) {
    channel->left = true;
    return MU_ENOMEM;
  }
  channel->open = true;
  channel->next = endpoint->channels;
  channel->at = &endpoint->channels;
  if (channel->next)
    channel->next->at = &channel->next;
  endpoint->channels = channel;
  endpoint->connections++;
  pending_connection(endpoint, 1);
  return 0;
}

/* ---- going --------------------------------------------------------------------------------------- */

static void say_closed(const struct channel *channel, mu_conn *conn, unsigned code)
{
  const struct relay *relay = channel->relay;
  bool normal = code == MU_CLOSE_NORMAL || code == MU_CLOSE_GOING_AWAY || code == 1005;
  double seconds = (double)(mu_mono_ns() - channel->opened_ns) / 1e9;
  const char *reason = channel->verdict != VERDICT_WELCOME ? verdict_reason(channel->verdict)
                       : code == 1006                      ? "the link broke"
                       : code == MU_CLOSE_TRY_LATER        ? "it reads too slowly"
                                                           : "";
  mu_log_limited(relay->in, normal ? MU_LOG_INFO : MU_LOG_WARN, normal ? "closed" : "closed abnormally",
                 "%s: closed: code=%u reason=\"%s\" seconds=%.1f endpoint=%s device=\"%s\"", mu_conn_peer(conn), code,
                 reason, seconds, channel->endpoint->uuid, channel->device ? channel->device->name_id : "");
}

/* It is no part of the endpoint any more, though its link may last a little. */
static void leave(struct channel *channel, mu_conn *conn, unsigned code)
{
  if (channel->left)
    return;
  channel->left = true;
  if (!channel->open)
    return;
  say_closed(channel, conn, code);
  devices_leave(channel);
  *channel->at = channel->next;
  if (channel->next)
    channel->next->at = channel->at;
  channel->endpoint->connections--;
  pending_connection(channel->endpoint, -1);
}

void channel_dismiss(struct channel *channel, enum verdict verdict)
{
  mu_conn *conn = channel_conn(channel);
  if (!conn || channel->left)
    return;
  dismiss(channel, conn, verdict);
  leave(channel, conn, verdict_code(verdict));
}

void channels_dismiss(struct endpoint *endpoint, enum verdict verdict)
{
  struct channel *next;
  for (struct channel *channel = endpoint->channels; channel; channel = next) {
    next = channel->next;
    channel_dismiss(channel, verdict);
  }
}

static void closed(void *self, mu_conn *conn, unsigned code)
{
  (void)self;
  struct channel *channel = mu_conn_data(conn);
  leave(channel, conn, code);
  free_channel(channel);
}

/* ---- messages ------------------------------------------------------------------------------------ */

/* A bucket that holds five seconds' worth. */
static bool over_rate(struct channel *channel, int64_t rate)
{
  int64_t now = mu_mono_ns(), empty = now - FLOOD_WINDOW_S * 1000000000LL;
  if (channel->credit_ns < empty)
    channel->credit_ns = empty;
  channel->credit_ns += 1000000000LL / rate;
  return channel->credit_ns > now;
}

static bool is_control(struct channel *channel, mu_conn *conn, const struct wire *wire)
{
  if (wire_is(&wire->member[WIRE_TYPE], "identify")) {
    if (wire->member[WIRE_DEVICE_ID].kind != WIRE_STRING)
      return false;
    devices_identify(channel, conn, wire);
    return true;
  }
  if (!wire_is(&wire->member[WIRE_TYPE], "control_ack"))
    return false;
  bool success = wire_is(&wire->member[WIRE_STATUS], "success");
  if (!success && !wire_is(&wire->member[WIRE_STATUS], "failed"))
    return false;
  commands_ack(channel, wire, success);
  return true;
}

/* JSON in a binary message whose strings are not UTF-8 cannot be spliced into a text: makes it one. */
static bool make_text(struct mu_str *text, struct mu_buf *room, struct wire *wire)
{
  if (wire->whole.kind == WIRE_NONE || wire_is_utf8(*text))
    return true;
  struct mu_buf quoted = MU_BUF_INIT;
  mu_buf_json_string(&quoted, *text);
  if (!quoted.failed)
    wire_unescape((struct mu_str){quoted.at, quoted.len}, room);
  bool good = !quoted.failed && !room->failed;
  mu_buf_free(&quoted);
  if (!good)
    return false;
  *text = (struct mu_str){room->at, room->len};
  return wire_read(*text, wire) == 0;
}

/* Only an object can be a control message or hold a device's data. */
static bool may_be_object(const struct mu_message *message)
{
  for (size_t i = 0; i < message->len; i++)
    if (message->at[i] != ' ' && message->at[i] != '\t' && message->at[i] != '\n' && message->at[i] != '\r')
      return message->at[i] == '{';
  return false;
}

static int pass_on(struct channel *channel, mu_conn *conn, struct mu_str text, bool binary, const struct wire *wire)
{
  struct endpoint *endpoint = channel->endpoint;
  int64_t now_ms = mu_now_ms();
  mu_text *out = relay_render(endpoint->mode, endpoint->header, text, wire, now_ms);
  if (!out)
    return MU_ENOMEM;
  bool as_binary = binary && endpoint->mode != RELAY_JSON;
  mu_group_relay(endpoint->group, out, as_binary, conn);
  pending_message(endpoint, out, as_binary, channel->sender, now_ms);
  mu_text_unref(out);
  mu_count(channel->relay->channels->relayed, 1);
  if (channel->device && wire->whole.kind == WIRE_OBJECT)
    data_take(channel, wire, now_ms);
  return 0;
}

static int on_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct relay *relay = self;
  struct channel *channel = mu_conn_data(conn);
  if (channel->left || !channel->open)
    return 0;
  if (relay->config->messages_per_second && over_rate(channel, relay->config->messages_per_second)) {
    mu_count(relay->channels->flooded, 1);
    channel_dismiss(channel, VERDICT_FLOOD);
    return 0;
  }
  bool json = channel->endpoint->mode == RELAY_JSON;
  struct mu_str text = {message->at, message->len};
  struct wire wire = {0};
  if (json || may_be_object(message)) {
    if (wire_read(text, &wire) == MU_ELIMIT && json) {
      mu_count(relay->channels->too_deep, 1);
      channel_tell(channel, conn, "error", "The message has more than 32 levels and was not relayed.",
                   "消息嵌套超过 32 层,未转发。");
      return 0;
    }
    if (wire.whole.kind == WIRE_OBJECT && is_control(channel, conn, &wire)) {
      mu_count(relay->channels->controls, 1);
      return 0;
    }
  }
  struct mu_buf room = MU_BUF_INIT;
  int result = MU_ENOMEM;
  if (!json || !message->binary || make_text(&text, &room, &wire))
    result = pass_on(channel, conn, text, message->binary, &wire);
  mu_buf_free(&room);
  return result;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static int add_route(struct relay *relay, const char *path)
{
  const struct config *config = relay->config;
  size_t max = (size_t)config->max_message, waiting = (size_t)config->max_waiting;
  unsigned every = (unsigned)config->ping_every;
  const struct mu_ws_route route = {.size = sizeof route,
                                    .path = path,
                                    .origin = MU_ORIGIN_ANY, /* each endpoint has its own list */
                                    .max_message = max,
                                    .binary = true,
                                    .any_subprotocol = true,
                                    .ping_every_s = every,
                                    /* with the second of the wheel and the five of a close: dead for 30 s at most */
                                    .silent_after_s = every + (every + 1) / 2,
                                    .max_queue = waiting > 2 * max ? waiting : 2 * max,
                                    .admit = admit,
                                    .open = opened,
                                    .message = on_message,
                                    .closed = closed};
  return mu_ws_route(relay->in, &route, relay);
}

int channels_init(struct relay *relay)
{
  struct channels *channels = calloc(1, sizeof *channels);
  relay->channels = channels;
  if (!channels)
    return MU_ENOMEM;
  channels->refused = mu_counter_get(relay->in, "connections_refused");
  channels->relayed = mu_counter_get(relay->in, "messages_relayed");
  channels->controls = mu_counter_get(relay->in, "control_messages");
  channels->too_deep = mu_counter_get(relay->in, "messages_too_deep");
  channels->flooded = mu_counter_get(relay->in, "connections_flooding");
  int result = add_route(relay, "/ws/*");
  if (result == 0)
    result = add_route(relay, "/*"); /* whatever nobody else serves: "Invalid URL format" */
  return result;
}

void channels_fini(struct relay *relay)
{
  free(relay->channels);
}
