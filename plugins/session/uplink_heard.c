/* SPDX-License-Identifier: ISC */
/* What the server says to the agent. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "uplink_state.h"

/* The members of all messages that servers send. Types are judged where they are used: other servers may differ. */
struct fields {
  struct mu_json_value type, message, code, retryable, retry_after, token, user, machine, durable, boot, seq, ack_boot,
      ack_seq, payload;
};

#define FIELD(path_, type_, member_)                                                                                   \
  {                                                                                                                    \
    .path = path_, .type = type_, .flags = MU_FIELD_NULLABLE, .offset = offsetof(struct fields, member_)               \
  }
static const struct mu_field fields[] = {
    {.path = "type", .type = MU_FIELD_STRING, .flags = MU_FIELD_REQUIRED, .offset = offsetof(struct fields, type)},
    FIELD("message", MU_FIELD_ANY, message),
    FIELD("code", MU_FIELD_ANY, code),
    FIELD("retryable", MU_FIELD_ANY, retryable),
    FIELD("retryAfter", MU_FIELD_ANY, retry_after),
    FIELD("sessionToken", MU_FIELD_ANY, token),
    FIELD("userId", MU_FIELD_ANY, user),
    FIELD("machineId", MU_FIELD_ANY, machine),
    FIELD("durable", MU_FIELD_ANY, durable),
    FIELD("boot", MU_FIELD_ANY, boot),
    FIELD("seq", MU_FIELD_ANY, seq),
    {.path = "lastAck", .type = MU_FIELD_OBJECT, .flags = MU_FIELD_NULLABLE, .offset = MU_FIELD_CHECK_ONLY},
    FIELD("lastAck.boot", MU_FIELD_ANY, ack_boot),
    FIELD("lastAck.seq", MU_FIELD_ANY, ack_seq),
    FIELD("payload", MU_FIELD_ANY, payload),
};

mu_schema *uplink_heard_schema(void)
{
  return mu_schema_new(fields, MU_COUNT(fields), sizeof fields[0]);
}

/* The value of a string member, for the log and comparisons: cut, without escapes resolved; "" when it is none. */
static const char *text_of(const struct mu_json_value *value, char *out, size_t size)
{
  out[0] = '\0';
  if (value->kind == MU_JSON_STRING)
    snprintf(out, size, "%.*s", (int)(value->len - 2 < size ? value->len - 2 : size - 1), value->at + 1);
  return out;
}

/* userId may be a number. */
static const char *id_of(const struct mu_json_value *value, char *out, size_t size)
{
  if (value->kind == MU_JSON_NUMBER)
    snprintf(out, size, "%.*s", (int)(value->len < size ? value->len : size - 1), value->at);
  else
    text_of(value, out, size);
  return out[0] ? out : "?";
}

static double retry_s(const struct fields *got)
{
  return got->retry_after.kind == MU_JSON_NUMBER && got->retry_after.number > 0 ? got->retry_after.number : 0;
}

static void stored(struct uplink *uplink, const struct mu_json_value *boot, const struct mu_json_value *seq)
{
  char text[65];
  if (seq->kind != MU_JSON_NUMBER || !seq->whole || seq->integer < 0 || !uplink->boot[0] ||
      strcmp(text_of(boot, text, sizeof text), uplink->boot) != 0)
    return;
  size_t before = uplink->window.count;
  uplink_window_ack(&uplink->window, (uint64_t)seq->integer);
  mu_count(uplink->acknowledged, before - uplink->window.count);
}

/* What people will see: ids say nothing to them. */
static const char *shown_name(const struct uplink *uplink, char *room, size_t size)
{
  if (uplink->config->name)
    return uplink->config->name;
  if (gethostname(room, size) < 0)
    snprintf(room, size, "?");
  room[size - 1] = '\0';
  return room;
}

static void on_success(struct uplink *uplink, const struct fields *got)
{
  char user[129], machine[129], host[256];
  bool by_key = uplink->state == STATE_KEY;
  if (!by_key && uplink->state != STATE_TOKEN)
    return;
  mu_timer_stop(uplink->answer);
  uplink->state = STATE_UP;
  if (got->token.kind == MU_JSON_STRING) {
    uplink_forget(&uplink->token);
    mu_json_unescape(&got->token, &uplink->token);
    if (uplink->token.failed)
      uplink_forget(&uplink->token);
  }
  id_of(&got->user, user, sizeof user);
  id_of(&got->machine, machine, sizeof machine);
  mu_log(uplink->in, MU_LOG_INFO, "authenticated at %s %s: user %s, machine %s", uplink->server.text,
         by_key ? "with the API key" : "by its session", user, machine);
  if (by_key)
    uplink_save_key(uplink);
  uplink_attempted(uplink, 0, "%s knows the API key, and will show this machine as \"%s\"", uplink->server.text,
                   shown_name(uplink, host, sizeof host));
  uplink->durable = got->durable.kind == MU_JSON_BOOL && got->durable.boolean;
  uplink->known = true;
  mu_text_unref(uplink->info);
  uplink->info = NULL;
  uplink->info_due = uplink->ip_pending; /* a moment: the address is being asked for; nothing else goes before */
  if (!uplink->info_due)
    uplink_send_info(uplink);
  uplink_window_rewind(&uplink->window);
  stored(uplink, &got->ack_boot, &got->ack_seq);
  if (!uplink->durable)
    uplink_lost(uplink, uplink_window_newest(&uplink->window));
  uplink->credit = UPLINK_BURST;
  uplink->paused_ns = 0;
  mu_timer_start(uplink->heartbeat, UPLINK_HEARTBEAT_MS, UPLINK_HEARTBEAT_MS);
  uplink_flush(uplink);
}

static void on_deleted(struct uplink *uplink, const char *message)
{
  bool saved = uplink->source == KEY_SAVED;
  if (saved)
    uplink->agent->key_forget(uplink->agent_self, uplink->server.text);
  uplink_forget(&uplink->key);
  uplink_forget(&uplink->token);
  uplink->source = KEY_NONE;
  mu_log(uplink->in, MU_LOG_ERROR, "%s says that this machine was deleted%s: %s", uplink->server.text,
         saved ? "; the saved API key is deleted, too" : "", message);
  uplink_say(uplink, "This machine was deleted at the server.%s\n", saved ? " The saved API key is deleted, too." : "");
  uplink_end(uplink, MU_EXIT_MACHINE_DELETED);
}

static void on_failed(struct uplink *uplink, const struct fields *got)
{
  char code[64], message[200];
  bool token = uplink->state == STATE_TOKEN;
  if (!token && uplink->state != STATE_KEY)
    return;
  text_of(&got->code, code, sizeof code);
  text_of(&got->message, message, sizeof message);
  mu_timer_stop(uplink->answer);
  bool retryable =
      got->retryable.kind == MU_JSON_BOOL
          ? got->retryable.boolean
          : strcmp(code, "unavailable") == 0 || strcmp(code, "rate_limited") == 0 || strcmp(code, "machine_limit") == 0;
  if (strcmp(code, "machine_deleted") == 0) {
    on_deleted(uplink, message);
  } else if (retryable) {
    double wait = retry_s(got) > 0 ? retry_s(got) : UPLINK_RETRY_S;
    mu_log(uplink->in, MU_LOG_WARN, "%s cannot authenticate this machine now (%s: %s)", uplink->server.text, code,
           message);
    uplink_say(uplink, "The server cannot check the API key now: %s. The next try is in %.0f s.\n",
               message[0] ? message : code, wait);
    uplink_attempted(uplink, MU_EUNAVAILABLE, "%s cannot check the API key now (%s: %s)", uplink->server.text, code,
                     message);
    uplink_again(uplink, wait, "waits");
  } else if (token) {
    mu_log(uplink->in, MU_LOG_INFO, "the session is over (%s): authenticating with the API key", code);
    uplink_forget(&uplink->token);
    uplink_authenticate(uplink);
  } else if (strcmp(code, "invalid_api_key") == 0 || strcmp(code, "forbidden") == 0 ||
             (!code[0] && strcmp(message, "Invalid API Key") == 0)) { /* released servers give no code */
    uplink_key_refused(uplink, code);
  } else {
    mu_log(uplink->in, MU_LOG_ERROR, "%s does not authenticate this machine (%s: %s)", uplink->server.text, code,
           message);
    uplink_attempted(uplink, MU_EREFUSED, "%s does not authenticate this machine (%s: %s)", uplink->server.text, code,
                     message);
    uplink_again(uplink, UPLINK_RETRY_S, "not authenticated");
  }
}

static void on_error(struct uplink *uplink, const struct fields *got)
{
  char code[64], message[200];
  text_of(&got->code, code, sizeof code);
  text_of(&got->message, message, sizeof message);
  mu_log_limited(uplink->in, MU_LOG_WARN, "error", "%s refuses a message (%s: %s)", uplink->server.text, code, message);
  if (strcmp(code, "rate_limited") == 0) {
    double wait = retry_s(got) > 0 ? retry_s(got) : 1;
    mu_count(uplink->limited, 1);
    uplink->paused_ns = mu_mono_ns() + (int64_t)(uplink_spread_ms(wait) * 1000000);
    uplink_window_rewind(&uplink->window); /* which of them was refused is not said */
    mu_timer_start(uplink->refill, UPLINK_REFILL_MS, 0);
  } else if (strcmp(code, "not_authenticated") == 0 && uplink->state == STATE_UP) {
    uplink_again(uplink, 1, "not authenticated");
  } else if (uplink->state == STATE_TOKEN || uplink->state == STATE_KEY) {
    uplink_forget(&uplink->token); /* it does not like how we say who we are: next time with the key */
    uplink_again(uplink, UPLINK_RETRY_S, "not authenticated");
  }
}

static void send_plain(struct uplink *uplink, const char *message)
{
  mu_text *text = mu_text_new(message, strlen(message));
  uplink_send(uplink, text);
  mu_text_unref(text);
}

void uplink_heard(void *self, const char *data, size_t len, bool binary)
{
  struct uplink *uplink = self;
  struct fields got;
  struct mu_json_error error = {0};
  char type[64], message[200];
  if (uplink->state == STATE_OVER)
    return;
  if (binary || mu_json_scan(uplink->schema, data, len, &got, &error) != 0) {
    mu_count(uplink->bad, 1);
    mu_log_limited(uplink->in, MU_LOG_WARN, "bad message", "a message from %s cannot be read: %s %s",
                   uplink->server.text, error.path, binary ? "it is binary" : error.what);
    return;
  }
  text_of(&got.type, type, sizeof type);
  if (strcmp(type, "ping") == 0) {
    send_plain(uplink, "{\"type\":\"pong\"}");
  } else if (strcmp(type, "ack") == 0) {
    stored(uplink, &got.boot, &got.seq);
  } else if (strcmp(type, "auth_success") == 0) {
    on_success(uplink, &got);
  } else if (strcmp(type, "auth_failed") == 0) {
    on_failed(uplink, &got);
  } else if (strcmp(type, "machine_deleted") == 0) {
    on_deleted(uplink, text_of(&got.message, message, sizeof message));
  } else if (strcmp(type, "error") == 0) {
    on_error(uplink, &got);
  } else if (strcmp(type, "data") == 0) {
    mu_count(uplink->told, 1);
    mu_log(uplink->in, MU_LOG_DEBUG, "a message for this machine, %u bytes", (unsigned)got.payload.len);
  } else if (strcmp(type, "pong") != 0) {
    mu_count(uplink->unknown, 1);
    mu_log_limited(uplink->in, MU_LOG_DEBUG, "unknown", "a message of type \"%s\" is not for agents", type);
  }
}
