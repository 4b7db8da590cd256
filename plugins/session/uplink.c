/* SPDX-License-Identifier: ISC */
/*
 * The agent's side of the session protocol: who it is, then what it measures.
 *
 * Samples wait in the window until the server has acknowledged them. A server that stores nothing acknowledges nothing: for it only
 * the newest waits for a link.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "uplink.h"

enum {
  WINDOW_MAX = 1000,
  WINDOW_BYTES = 8 * 1024 * 1024,
  HEARTBEAT_MS = 10 * 60 * 1000,
  ANSWER_MS = 20000, /* for the answer to `auth`, which may wait for a backend */
  /* What is sent again must not use up what servers allow: 600 reports a minute. */
  BURST = 100,
  REFILL = 8,
  REFILL_MS = 1000,
  RETRY_S = 30,
  RETRY_MAX_S = 3600,
  REPLACED_S = 300,
  NEVER_MS = 0x7fffffff, /* until the key is there */
  EXIT_NO_KEY = 78,      /* as for every other wrong configuration */
};

enum state {
  STATE_DOWN,   /* no link; the client makes one */
  STATE_ASKING, /* somebody is asked for the key */
  STATE_TOKEN,  /* auth was sent, with the session's token */
  STATE_KEY,    /* auth was sent, with the API key */
  STATE_UP,
  STATE_OVER, /* stopping, or the program ends */
};

enum source { KEY_NONE, KEY_CONFIGURED, KEY_SAVED, KEY_TYPED };

/* The members of all messages that servers send. Types are judged where they are used: other servers may differ. */
struct fields {
  struct mu_json_value type, message, code, retryable, retry_after, token, user, machine, durable, boot, seq, ack_boot,
      ack_seq, payload;
};

struct uplink {
  mu_instance *in;
  const struct uplink_config *config;
  struct uplink_server server;
  mu_client *client;
  mu_schema *schema;
  const struct mu_agent *agent; /* NULL: the program has none */
  void *agent_self;
  enum state state;
  bool stopping;  /* mu_stopped() is owed */
  bool link_over; /* the client has ended */
  bool greeted;
  /* who we are */
  struct mu_buf key, token;
  enum source source;
  bool configured_refused;
  const char *machine_id;
  /* what waits */
  struct uplink_window window;
  bool known, durable; /* whether the server stores samples, as it said last; not known: it has said nothing yet */
  char boot[65];
  unsigned credit;
  int64_t paused_ns; /* nothing is sent before */
  uint64_t again_ms; /* instead of the client's own schedule; 0: none */
  struct json_object *metrics;
  mu_text *info; /* as it was sent over this link */
  char *ip;
  bool ip_pending, info_due;
  mu_timer *answer, *heartbeat, *refill;
  mu_counter *sent, *dropped, *refused, *shortened, *acknowledged, *limited, *bad, *unknown, *told;
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

/* ---- small things ---------------------------------------------------------------------------- */

static bool interactive(const struct uplink *uplink)
{
  return uplink->agent && uplink->agent->interactive(uplink->agent_self);
}

MU_PRINTF(2, 3)
static void say(struct uplink *uplink, const char *format, ...)
{
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (uplink->agent)
    uplink->agent->say(uplink->agent_self, text);
}

static void forget_secret(struct mu_buf *secret)
{
  if (secret->at)
    mu_secret_wipe(secret->at, secret->capacity);
  mu_buf_free(secret);
}

static void end_program(struct uplink *uplink, int status)
{
  uplink->state = STATE_OVER;
  mu_timer_stop(uplink->answer);
  mu_client_close(uplink->client, 1000, "agent ends");
  if (uplink->agent)
    uplink->agent->end(uplink->agent_self, status);
}

/* Milliseconds, a little more than asked for, so that a crowd does not come back in one step. */
static uint64_t spread_ms(double seconds)
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

/* Ends the link; a new one comes after `seconds`. */
static void again(struct uplink *uplink, double seconds, const char *why)
{
  uplink->state = STATE_DOWN;
  mu_timer_stop(uplink->answer);
  uplink->again_ms = spread_ms(seconds);
  mu_client_again(uplink->client, 1000, why, uplink->again_ms);
}

/* A message that is no secret. Does not take `text`. */
static int send_text(struct uplink *uplink, mu_text *text)
{
  return text ? mu_client_send(uplink->client, text) : MU_ENOMEM;
}

static void send_plain(struct uplink *uplink, const char *message)
{
  mu_text *text = mu_text_new(message, strlen(message));
  send_text(uplink, text);
  mu_text_unref(text);
}

/* ---- the key --------------------------------------------------------------------------------- */

static bool take_key(struct uplink *uplink, struct mu_str key, enum source source)
{
  forget_secret(&uplink->key);
  uplink->source = KEY_NONE;
  if (!uplink_key_ok(key))
    return false;
  mu_buf_add(&uplink->key, key.at, key.len);
  if (uplink->key.failed)
    return false;
  uplink->source = source;
  return true;
}

/* The configured one, else the saved one. False: there is none. */
static bool find_key(struct uplink *uplink)
{
  const char *configured = uplink->config->api_key;
  if (uplink->source != KEY_NONE)
    return true;
  if (configured && !uplink->configured_refused)
    return take_key(uplink, mu_str(configured), KEY_CONFIGURED);
  struct mu_buf saved = MU_BUF_INIT;
  int error = uplink->agent ? uplink->agent->key_load(uplink->agent_self, uplink->server.text, &saved) : MU_ENOENT;
  bool found = error == 0 && take_key(uplink, (struct mu_str){saved.at ? saved.at : "", saved.len}, KEY_SAVED);
  if (error == 0 && !found)
    mu_log(uplink->in, MU_LOG_WARN, "what is saved for %s is no API key", uplink->server.text);
  forget_secret(&saved);
  return found;
}

static void no_key(struct uplink *uplink)
{
  mu_log(uplink->in, MU_LOG_ERROR,
         "there is no API key for %s: set api_key, or start muster-agent once at a terminal, which asks for it and "
         "saves it",
         uplink->server.text);
  end_program(uplink, EXIT_NO_KEY);
}

static void ask(struct uplink *uplink);

static void on_answer(void *context, struct mu_str secret)
{
  struct uplink *uplink = context;
  if (uplink->state != STATE_ASKING)
    return;
  if (secret.len == 0) {
    say(uplink, "No API key: the agent ends.\n");
    no_key(uplink);
  } else if (!take_key(uplink, secret, KEY_TYPED)) {
    say(uplink, "An API key has %d to %d visible characters.\n", UPLINK_KEY_MIN, UPLINK_KEY_MAX);
    ask(uplink);
  } else {
    uplink->state = STATE_DOWN;
    uplink->again_ms = 0;
    mu_client_again(uplink->client, 1000, "key", 0);
  }
}

static void ask(struct uplink *uplink)
{
  uplink->state = STATE_ASKING;
  int error = uplink->agent->ask(uplink->agent_self, uplink->in, "API Key: ", on_answer, uplink);
  if (error == MU_EBUSY) { /* another uplink asks */
    again(uplink, 5, "waits for the terminal");
  } else if (error) {
    mu_log(uplink->in, MU_LOG_ERROR, "the API key cannot be asked for: %s", mu_strerror(error));
    no_key(uplink);
  }
}

/* Without a link meanwhile: servers close one that does not say who it is. */
static void ask_apart(struct uplink *uplink)
{
  uplink->state = STATE_ASKING; /* before `closed` is told */
  mu_client_again(uplink->client, 1000, "asks for the key", NEVER_MS);
  ask(uplink);
}

static void save_key(struct uplink *uplink)
{
  if (uplink->source != KEY_TYPED)
    return;
  struct mu_str key = {uplink->key.at, uplink->key.len};
  int error = uplink->agent->key_save(uplink->agent_self, uplink->server.text, key);
  say(uplink, error ? "The API key cannot be saved: it is asked for again at the next start.\n"
                    : "The API key is saved: the next start asks nothing.\n");
  if (!error)
    uplink->source = KEY_SAVED;
}

/* The server does not want this key. */
static void key_refused(struct uplink *uplink, const char *code)
{
  bool configured = uplink->source == KEY_CONFIGURED;
  bool known = strcmp(code, "forbidden") != 0;
  mu_count(uplink->refused, 1);
  if (uplink->source == KEY_SAVED)
    uplink->agent->key_forget(uplink->agent_self, uplink->server.text);
  forget_secret(&uplink->key);
  forget_secret(&uplink->token);
  uplink->source = KEY_NONE;
  uplink->configured_refused |= configured;
  mu_log(uplink->in, MU_LOG_ERROR, "%s %s%s", uplink->server.text,
         known ? "does not know the API key" : "does not let machines report with this API key",
         configured ? " (api_key)" : "");
  if (!interactive(uplink)) {
    end_program(uplink, MU_EXIT_KEY_REFUSED);
    return;
  }
  say(uplink, known ? "Invalid API Key\n" : "This API key is not for machines.\n");
  if (find_key(uplink))
    again(uplink, 1, "another key");
  else
    ask_apart(uplink);
}

/* ---- what is sent ---------------------------------------------------------------------------- */

static void lost(struct uplink *uplink, size_t samples)
{
  if (samples == 0)
    return;
  mu_count(uplink->dropped, samples);
  mu_log_limited(uplink->in, MU_LOG_WARN, "dropped", "%zu samples that could not be sent were dropped", samples);
}

/* As many as may go now. */
static void flush(struct uplink *uplink)
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
  if (uplink->credit < BURST && !mu_timer_active(uplink->refill))
    mu_timer_start(uplink->refill, REFILL_MS, 0);
  if (uplink->durable || uplink_window_next(&uplink->window))
    return;
  uplink_window_clear(&uplink->window); /* nobody will acknowledge them */
}

static void on_refill(void *context)
{
  struct uplink *uplink = context;
  uplink->credit = uplink->credit + REFILL < BURST ? uplink->credit + REFILL : BURST;
  flush(uplink);
  if (uplink->state == STATE_UP && (uplink->credit < BURST || uplink_window_next(&uplink->window)))
    mu_timer_start(uplink->refill, REFILL_MS, 0);
}

static void send_info(struct uplink *uplink)
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
  if (same || send_text(uplink, text) != 0) {
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
  send_info(uplink);
  flush(uplink);
}

static void on_heartbeat(void *context)
{
  struct uplink *uplink = context;
  if (uplink->state != STATE_UP)
    return;
  mu_text *text = mu_text_printf("{\"type\":\"heartbeat\",\"timestamp\":%lld}", (long long)mu_now_ms());
  send_text(uplink, text);
  mu_text_unref(text);
}

static void send_auth(struct uplink *uplink, enum state state)
{
  const struct mu_buf *secret = state == STATE_TOKEN ? &uplink->token : &uplink->key;
  struct mu_buf message = MU_BUF_INIT;
  uplink_text_auth(&message, state == STATE_TOKEN ? "sessionToken" : "apiKey", (struct mu_str){secret->at, secret->len},
                   uplink->machine_id, uplink->config->name);
  mu_text *text = message.failed ? NULL : mu_text_new(message.at, message.len);
  forget_secret(&message);
  int error = send_text(uplink, text);
  mu_text_unref(text);
  if (error) {
    again(uplink, RETRY_S, "cannot authenticate");
    return;
  }
  uplink->state = state;
  mu_timer_start(uplink->answer, ANSWER_MS, 0);
}

static void on_no_answer(void *context)
{
  struct uplink *uplink = context;
  mu_log(uplink->in, MU_LOG_WARN, "%s does not answer who this machine is", uplink->server.text);
  again(uplink, RETRY_S, "no answer");
}

static void authenticate(struct uplink *uplink)
{
  if (uplink->token.len > 0)
    send_auth(uplink, STATE_TOKEN);
  else if (find_key(uplink))
    send_auth(uplink, STATE_KEY);
  else if (interactive(uplink))
    ask_apart(uplink);
  else
    no_key(uplink);
}

/* ---- what is received ------------------------------------------------------------------------ */

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

static void on_success(struct uplink *uplink, const struct fields *got)
{
  char user[129], machine[129];
  bool by_key = uplink->state == STATE_KEY;
  if (!by_key && uplink->state != STATE_TOKEN)
    return;
  mu_timer_stop(uplink->answer);
  uplink->state = STATE_UP;
  if (got->token.kind == MU_JSON_STRING) {
    forget_secret(&uplink->token);
    mu_json_unescape(&got->token, &uplink->token);
    if (uplink->token.failed)
      forget_secret(&uplink->token);
  }
  id_of(&got->user, user, sizeof user);
  id_of(&got->machine, machine, sizeof machine);
  mu_log(uplink->in, MU_LOG_INFO, "authenticated at %s %s: user %s, machine %s", uplink->server.text,
         by_key ? "with the API key" : "by its session", user, machine);
  if (by_key)
    save_key(uplink);
  uplink->durable = got->durable.kind == MU_JSON_BOOL && got->durable.boolean;
  uplink->known = true;
  mu_text_unref(uplink->info);
  uplink->info = NULL;
  uplink->info_due = uplink->ip_pending; /* a moment: the address is being asked for; nothing else goes before */
  if (!uplink->info_due)
    send_info(uplink);
  uplink_window_rewind(&uplink->window);
  stored(uplink, &got->ack_boot, &got->ack_seq);
  if (!uplink->durable)
    lost(uplink, uplink_window_newest(&uplink->window));
  uplink->credit = BURST;
  uplink->paused_ns = 0;
  mu_timer_start(uplink->heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
  flush(uplink);
}

static void on_deleted(struct uplink *uplink, const char *message)
{
  bool saved = uplink->source == KEY_SAVED;
  if (saved)
    uplink->agent->key_forget(uplink->agent_self, uplink->server.text);
  forget_secret(&uplink->key);
  forget_secret(&uplink->token);
  uplink->source = KEY_NONE;
  mu_log(uplink->in, MU_LOG_ERROR, "%s says that this machine was deleted%s: %s", uplink->server.text,
         saved ? "; the saved API key is deleted, too" : "", message);
  say(uplink, "This machine was deleted at the server.%s\n", saved ? " The saved API key is deleted, too." : "");
  end_program(uplink, MU_EXIT_MACHINE_DELETED);
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
    double wait = retry_s(got) > 0 ? retry_s(got) : RETRY_S;
    mu_log(uplink->in, MU_LOG_WARN, "%s cannot authenticate this machine now (%s: %s)", uplink->server.text, code,
           message);
    say(uplink, "The server cannot check the API key now: %s. The next try is in %.0f s.\n",
        message[0] ? message : code, wait);
    again(uplink, wait, "waits");
  } else if (token) {
    mu_log(uplink->in, MU_LOG_INFO, "the session is over (%s): authenticating with the API key", code);
    forget_secret(&uplink->token);
    authenticate(uplink);
  } else if (strcmp(code, "invalid_api_key") == 0 || strcmp(code, "forbidden") == 0 ||
             (!code[0] && strcmp(message, "Invalid API Key") == 0)) { /* released servers give no code */
    key_refused(uplink, code);
  } else {
    mu_log(uplink->in, MU_LOG_ERROR, "%s does not authenticate this machine (%s: %s)", uplink->server.text, code,
           message);
    again(uplink, RETRY_S, "not authenticated");
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
    uplink->paused_ns = mu_mono_ns() + (int64_t)(spread_ms(wait) * 1000000);
    uplink_window_rewind(&uplink->window); /* which of them was refused is not said */
    mu_timer_start(uplink->refill, REFILL_MS, 0);
  } else if (strcmp(code, "not_authenticated") == 0 && uplink->state == STATE_UP) {
    again(uplink, 1, "not authenticated");
  } else if (uplink->state == STATE_TOKEN || uplink->state == STATE_KEY) {
    forget_secret(&uplink->token); /* it does not like how we say who we are: next time with the key */
    again(uplink, RETRY_S, "not authenticated");
  }
}

static void on_message(void *self, const char *data, size_t len, bool binary)
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
  if (!uplink->greeted && interactive(uplink)) {
    uplink->agent->say(uplink->agent_self, banner);
    say(uplink, "Connected To Server %s\n", uplink->server.text);
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
  authenticate(uplink);
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
  uplink->state = STATE_DOWN;
  uint64_t wait_ms = uplink->again_ms ? uplink->again_ms : retry_ms;
  if (code == MU_CLOSE_REPLACED) {
    wait_ms = spread_ms(REPLACED_S);
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
    say(uplink, "%s cannot be reached (%s). The next try is in %.0f s.\n", uplink->server.text,
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
    send_info(uplink); /* what collectors know better than the system's plain answers */
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
  lost(uplink, (size_t)gone);
  flush(uplink);
  if (uplink->known && !uplink->durable)
    lost(uplink, uplink_window_newest(&uplink->window));
  return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int uplink_init(mu_instance *in, const void *config, void **self)
{
  static const struct mu_client_events events = {
      .size = sizeof events, .open = on_open, .message = on_message, .closed = on_closed};
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
  uplink->schema = mu_schema_new(fields, MU_COUNT(fields), sizeof fields[0]);
  uplink->answer = mu_timer_new(in, on_no_answer, uplink);
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
  if (!find_key(uplink) && !interactive(uplink))
    no_key(uplink); /* the program ends: nobody can be asked */
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
  forget_secret(&uplink->key);
  forget_secret(&uplink->token);
  uplink_window_clear(&uplink->window);
  mu_text_unref(uplink->info);
  json_object_put(uplink->metrics);
  mu_schema_free(uplink->schema);
  free(uplink->ip);
  free(uplink);
}

const char *const uplink_wants[] = {MU_SERVICE_AGENT, NULL};
const struct mu_uplink_ops uplink_ops = {.size = sizeof(struct mu_uplink_ops), .report = report};
