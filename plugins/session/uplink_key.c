/* SPDX-License-Identifier: ISC */
/* Who the agent is: the API key, found, asked for, saved and refused, and the session's token. */
#include <string.h>

#include "uplink_state.h"

enum {
  ANSWER_MS = 20000,     /* for the answer to `auth`, which may wait for a backend */
  NEVER_MS = 0x7fffffff, /* until the key is there */
  EXIT_NO_KEY = 78,      /* as for every other wrong configuration */
};

void uplink_forget(struct mu_buf *secret)
{
  if (secret->at)
    mu_secret_wipe(secret->at, secret->capacity);
  mu_buf_free(secret);
}

/* ---- the key --------------------------------------------------------------------------------- */

static bool take_key(struct uplink *uplink, struct mu_str key, enum uplink_source source)
{
  uplink_forget(&uplink->key);
  uplink->source = KEY_NONE;
  if (!uplink_key_ok(key))
    return false;
  mu_buf_add(&uplink->key, key.at, key.len);
  if (uplink->key.failed)
    return false;
  uplink->source = source;
  return true;
}

bool uplink_find_key(struct uplink *uplink)
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
  uplink_forget(&saved);
  return found;
}

void uplink_no_key(struct uplink *uplink)
{
  mu_log(uplink->in, MU_LOG_ERROR,
         "there is no API key for %s: set api_key, or start muster-agent once at a terminal, which asks for it and "
         "saves it",
         uplink->server.text);
  uplink_end(uplink, EXIT_NO_KEY);
}

static void ask(struct uplink *uplink);

static void on_answer(void *context, struct mu_str secret)
{
  struct uplink *uplink = context;
  if (uplink->state != STATE_ASKING)
    return;
  if (secret.len == 0) {
    uplink_say(uplink, "No API key: the agent ends.\n");
    uplink_no_key(uplink);
  } else if (!take_key(uplink, secret, KEY_TYPED)) {
    uplink_say(uplink, "An API key has %d to %d visible characters.\n", UPLINK_KEY_MIN, UPLINK_KEY_MAX);
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
    uplink_again(uplink, 5, "waits for the terminal");
  } else if (error) {
    mu_log(uplink->in, MU_LOG_ERROR, "the API key cannot be asked for: %s", mu_strerror(error));
    uplink_no_key(uplink);
  }
}

/* Without a link meanwhile: servers close one that does not say who it is. */
static void ask_apart(struct uplink *uplink)
{
  uplink->state = STATE_ASKING; /* before `closed` is told */
  mu_client_again(uplink->client, 1000, "asks for the key", NEVER_MS);
  ask(uplink);
}

void uplink_save_key(struct uplink *uplink)
{
  if (uplink->source != KEY_TYPED)
    return;
  struct mu_str key = {uplink->key.at, uplink->key.len};
  int error = uplink->agent->key_save(uplink->agent_self, uplink->server.text, key);
  uplink_say(uplink, error ? "The API key cannot be saved: it is asked for again at the next start.\n"
                           : "The API key is saved: the next start asks nothing.\n");
  if (!error)
    uplink->source = KEY_SAVED;
}

void uplink_key_refused(struct uplink *uplink, const char *code)
{
  bool configured = uplink->source == KEY_CONFIGURED;
  bool known = strcmp(code, "forbidden") != 0;
  mu_count(uplink->refused, 1);
  if (uplink->source == KEY_SAVED)
    uplink->agent->key_forget(uplink->agent_self, uplink->server.text);
  uplink_forget(&uplink->key);
  uplink_forget(&uplink->token);
  uplink->source = KEY_NONE;
  uplink->configured_refused |= configured;
  mu_log(uplink->in, MU_LOG_ERROR, "%s %s%s", uplink->server.text,
         known ? "does not know the API key" : "does not let machines report with this API key",
         configured ? " (api_key)" : "");
  if (!uplink_interactive(uplink)) {
    uplink_end(uplink, MU_EXIT_KEY_REFUSED);
    return;
  }
  uplink_say(uplink, known ? "Invalid API Key\n" : "This API key is not for machines.\n");
  if (uplink_find_key(uplink))
    uplink_again(uplink, 1, "another key");
  else
    ask_apart(uplink);
}

/* ---- authenticating -------------------------------------------------------------------------- */

static void send_auth(struct uplink *uplink, enum uplink_state state)
{
  const struct mu_buf *secret = state == STATE_TOKEN ? &uplink->token : &uplink->key;
  struct mu_buf message = MU_BUF_INIT;
  uplink_text_auth(&message, state == STATE_TOKEN ? "sessionToken" : "apiKey", (struct mu_str){secret->at, secret->len},
                   uplink->machine_id, uplink->config->name);
  mu_text *text = message.failed ? NULL : mu_text_new(message.at, message.len);
  uplink_forget(&message);
  int error = uplink_send(uplink, text);
  mu_text_unref(text);
  if (error) {
    uplink_again(uplink, UPLINK_RETRY_S, "cannot authenticate");
    return;
  }
  uplink->state = state;
  mu_timer_start(uplink->answer, ANSWER_MS, 0);
}

void uplink_no_answer(void *context)
{
  struct uplink *uplink = context;
  mu_log(uplink->in, MU_LOG_WARN, "%s does not answer who this machine is", uplink->server.text);
  uplink_again(uplink, UPLINK_RETRY_S, "no answer");
}

void uplink_authenticate(struct uplink *uplink)
{
  if (uplink->token.len > 0)
    send_auth(uplink, STATE_TOKEN);
  else if (uplink_find_key(uplink))
    send_auth(uplink, STATE_KEY);
  else if (uplink_interactive(uplink))
    ask_apart(uplink);
  else
    uplink_no_key(uplink);
}
