/* SPDX-License-Identifier: ISC */
/* Who may join an endpoint, and what the others are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define TOKEN_PROTOCOL "muster.token."

enum { PROOF_MAX = 4096 };

/* A credential that somebody judges. */
struct asked {
  struct task task;
  mu_conn_id conn;
  bool now; /* mu_auth_check() has not returned yet */
  bool answered;
  enum verdict verdict;
  const struct mu_principal *principal;
  char *owner;
};

/* ---- words --------------------------------------------------------------------------------------- */

static const struct {
  unsigned code;
  const char *reason, *en, *zh;
} verdicts[] = {
    [VERDICT_WELCOME] = {1000, "", "", ""},
    [VERDICT_BAD_URL] = {MU_CLOSE_POLICY, "Invalid URL format", "Invalid URL format", "Invalid URL format"},
    [VERDICT_NO_ENDPOINT] = {MU_CLOSE_POLICY, "Invalid endpoint", "Invalid endpoint", "Invalid endpoint"},
    [VERDICT_BANNED] = {MU_CLOSE_POLICY, "User is banned", "The endpoint's owner is banned.", "端点所有者已被封禁。"},
    [VERDICT_DISABLED] = {MU_CLOSE_POLICY, "Endpoint is disabled", "The endpoint is disabled.", "端点已被禁用。"},
    [VERDICT_FULL] = {MU_CLOSE_TRY_LATER, "Too many connections", "The endpoint has too many connections.",
                      "端点连接数已达上限。"},
    [VERDICT_ORIGIN] = {MU_CLOSE_POLICY, "Origin is not allowed", "Pages of this origin may not use the endpoint.",
                        "此来源的页面不允许使用该端点。"},
    [VERDICT_CREDENTIAL] = {MU_CLOSE_POLICY, "Access denied", "The endpoint asks for a valid token.",
                            "该端点需要有效的令牌。"},
    [VERDICT_RULES] = {MU_CLOSE_POLICY, "Endpoint access changed", "The endpoint's access rule changed.",
                       "端点访问规则已更改。"},
    [VERDICT_REVOKED] = {MU_CLOSE_POLICY, "User credentials changed", "The owner's credentials changed.",
                         "用户凭据已更改。"},
    [VERDICT_FLOOD] = {MU_CLOSE_RATE, "Too many messages", "Too many messages.", "消息过多。"},
    [VERDICT_BUSY] = {MU_CLOSE_TRY_LATER, "Try again later", "Too much to do; try again later.",
                      "服务繁忙,请稍后再试。"},
    [VERDICT_INTERNAL] = {MU_CLOSE_INTERNAL, "Internal server error", "Internal server error", "Internal server error"},
};

unsigned verdict_code(enum verdict verdict)
{
  return verdicts[verdict].code;
}

const char *verdict_reason(enum verdict verdict)
{
  return verdicts[verdict].reason;
}

mu_text *system_message(const char *level, const char *text)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_printf(&out, "{\"type\":\"system\",\"level\":\"%s\",\"message\":", level);
  mu_buf_json_string(&out, mu_str(text));
  mu_buf_printf(&out, ",\"timestamp\":%lld}", (long long)mu_now_ms());
  mu_text *message = mu_buf_take_text(&out);
  mu_buf_free(&out);
  return message;
}

static void say_disabled(struct mu_buf *out, const struct endpoint *endpoint, bool chinese)
{
  if (endpoint->disabled_reason[0])
    mu_buf_printf(out, chinese ? "禁用原因: %s " : " Reason: %s.", endpoint->disabled_reason);
  if (!endpoint->disabled_ms)
    return;
  char when[25];
  mu_iso_time(endpoint->disabled_ms, when);
  mu_buf_printf(out, chinese ? "禁用时间: %s" : " Since: %s.", when);
}

mu_text *verdict_message(enum verdict verdict, const struct endpoint *endpoint, bool chinese)
{
  struct mu_buf words = MU_BUF_INIT;
  mu_buf_adds(&words, chinese ? verdicts[verdict].zh : verdicts[verdict].en);
  if (verdict == VERDICT_DISABLED && endpoint)
    say_disabled(&words, endpoint, chinese);
  mu_text *message = words.failed ? NULL : system_message("error", words.at);
  mu_buf_free(&words);
  return message;
}

/* ---- what the upgrade brought --------------------------------------------------------------------- */

void proof_free(struct proof *proof)
{
  if (!proof)
    return;
  if (proof->token)
    mu_secret_wipe(proof->token, strlen(proof->token));
  free(proof->token);
  free(proof->origin);
  free(proof);
}

/* "Bearer TOKEN", or one of the subprotocols "muster.token.TOKEN". */
static bool find_token(const mu_ws_request *request, struct mu_str *token)
{
  struct mu_str value;
  if (mu_ws_request_header(request, "authorization", &value) && value.len > 7 &&
      mu_str_equal_nocase((struct mu_str){value.at, 7}, MU_STR("Bearer "))) {
    *token = (struct mu_str){value.at + 7, value.len - 7};
    return true;
  }
  if (!mu_ws_request_header(request, "sec-websocket-protocol", &value))
    return false;
  const size_t prefix = sizeof TOKEN_PROTOCOL - 1;
  for (size_t from = 0; from < value.len;) {
    const char *comma = memchr(value.at + from, ',', value.len - from);
    size_t to = comma ? (size_t)(comma - value.at) : value.len, next = to + 1;
    while (from < to && (value.at[from] == ' ' || value.at[from] == '\t'))
      from++;
    while (to > from && (value.at[to - 1] == ' ' || value.at[to - 1] == '\t'))
      to--;
    if (to - from > prefix && memcmp(value.at + from, TOKEN_PROTOCOL, prefix) == 0) {
      *token = (struct mu_str){value.at + from + prefix, to - from - prefix};
      return true;
    }
    from = next;
  }
  return false;
}

static enum verdict read_key(struct mu_str path, char key[16])
{
  if (path.len <= 4 || memcmp(path.at, "/ws/", 4) != 0)
    return VERDICT_BAD_URL;
  struct mu_str last = {path.at + 4, path.len - 4};
  for (size_t i = 0; i < last.len; i++) {
    char c = last.at[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
      return VERDICT_BAD_URL;
  }
  if (last.len > 12) /* longer than any */
    return VERDICT_NO_ENDPOINT;
  memcpy(key, last.at, last.len);
  return VERDICT_WELCOME;
}

bool admission_read(struct channel *channel, const mu_ws_request *request)
{
  struct mu_str value;
  channel->chinese = mu_ws_request_header(request, "accept-language", &value) && value.len >= 2 &&
                     mu_str_equal_nocase((struct mu_str){value.at, 2}, MU_STR("zh"));
  struct proof *proof = calloc(1, sizeof *proof);
  channel->proof = proof;
  if (!proof)
    return false;
  channel->verdict = read_key(mu_ws_request_path(request), proof->key);
  if (channel->verdict != VERDICT_WELCOME)
    return true;
  if (mu_ws_request_header(request, "origin", &value) && !(proof->origin = strndup(value.at, value.len)))
    return false;
  if (find_token(request, &value) && value.len <= PROOF_MAX && !(proof->token = strndup(value.at, value.len)))
    return false;
  return true;
}

/* ---- judging --------------------------------------------------------------------------------------- */

enum verdict endpoint_verdict(const struct endpoint *endpoint)
{
  if (endpoint->gone)
    return VERDICT_NO_ENDPOINT;
  if (endpoint->banned)
    return VERDICT_BANNED;
  return endpoint->disabled ? VERDICT_DISABLED : VERDICT_WELCOME;
}

static bool origin_allowed(const struct endpoint *endpoint, const char *origin)
{
  if (!origin || !endpoint->origins[0])
    return true;
  for (char *const *at = endpoint->origins; *at; at++)
    if (mu_str_equal_nocase(mu_str(*at), mu_str(origin)))
      return true;
  return false;
}

/* Digests are compared, so that neither time nor length tells anything. */
static bool token_matches(const struct endpoint *endpoint, const char *token)
{
  char digest[RELAY_TOKEN_DIGEST_SIZE];
  if (!token || !endpoint->token_digest[0] || relay_digest(mu_str(token), digest) != 0)
    return false;
  return mu_secret_equal(mu_str(digest), mu_str(endpoint->token_digest));
}

static void release_asked(struct task *task)
{
  struct asked *asked = (struct asked *)task;
  mu_principal_unref(asked->principal);
  free(asked->owner);
}

static void judged(void *context, const struct mu_auth_answer *answer)
{
  struct asked *asked = context;
  struct relay *relay = asked->task.relay;
  const struct mu_principal *who = answer->verdict == MU_AUTH_GRANTED ? answer->principal : NULL;
  asked->answered = true;
  asked->verdict = answer->verdict == MU_AUTH_UNAVAILABLE ? VERDICT_BUSY : VERDICT_CREDENTIAL;
  if (who && strcmp(who->provider, relay->provider) == 0 && strcmp(who->id, asked->owner) == 0) {
    asked->verdict = VERDICT_WELCOME;
    asked->principal = mu_principal_ref(who);
  }
  if (asked->now)
    return;
  channel_judged(relay, asked->conn, asked->verdict, asked->principal);
  task_free(asked);
}

/* The owner, by a login token (two dots) or an API key. */
static int ask_owner(struct channel *channel, enum verdict *verdict)
{
  const char *token = channel->proof->token;
  if (!token)
    return 0;
  struct relay *relay = channel->relay;
  struct asked *asked = task_new(relay, sizeof *asked, release_asked);
  if (!asked || !(asked->owner = strdup(channel->endpoint->user_id))) {
    task_free(asked);
    *verdict = VERDICT_INTERNAL;
    return 0;
  }
  asked->conn = channel->conn;
  asked->now = true;
  const char *dot = strchr(token, '.');
  mu_conn *conn = channel_conn(channel);
  const struct mu_credential credential = {
      .size = sizeof credential,
      .kind = dot && strchr(dot + 1, '.') ? MU_CREDENTIAL_TOKEN : MU_CREDENTIAL_API_KEY,
      .secret = mu_str(token),
      .peer = conn ? mu_conn_peer(conn) : "",
      .provider = relay->provider,
  };
  int result = mu_auth_check(relay->in, &credential, judged, asked);
  asked->now = false;
  if (result == MU_PENDING && !asked->answered)
    return MU_PENDING;
  *verdict = result < 0 ? VERDICT_BUSY : asked->verdict;
  if (asked->principal && conn)
    mu_conn_set_principal(conn, asked->principal);
  task_free(asked);
  return 0;
}

int admission_judge(struct channel *channel, enum verdict *verdict)
{
  const struct endpoint *endpoint = channel->endpoint;
  *verdict = endpoint_verdict(endpoint);
  if (*verdict != VERDICT_WELCOME)
    return 0;
  if (!origin_allowed(endpoint, channel->proof->origin)) {
    *verdict = VERDICT_ORIGIN;
    return 0;
  }
  if (endpoint->access == RELAY_ACCESS_OPEN)
    return 0;
  *verdict = VERDICT_CREDENTIAL;
  if (endpoint->access == RELAY_ACCESS_USER)
    return ask_owner(channel, verdict);
  if (token_matches(endpoint, channel->proof->token))
    *verdict = VERDICT_WELCOME;
  return 0;
}
