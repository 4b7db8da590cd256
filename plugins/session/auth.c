/* SPDX-License-Identifier: ISC */
/* Credentials: API keys, session tokens, the proof of other message types, revocation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { RETRY_UNAVAILABLE_S = 5, RETRY_BUSY_S = 5, RETRY_LIMIT_S = 60, ADDRESS_SIZE = 64 };

/* A credential that somebody judges, for a connection that may go meanwhile. */
struct attempt {
  struct attempt *next, **at;
  struct server *server;
  mu_conn_id conn;
  enum mu_session_scope wanted;
  mu_text *token;          /* resumed with; NULL: an API key */
  struct mu_claims claims; /* of the token */
  char machine_id[SESSION_ID_MAX + 1];
  char name[SESSION_ID_MAX + 1];
  const char *refuse; /* the type of a refusal: "auth_failed", or what prove() was told, which is `own_refuse` */
  char own_refuse[SESSION_TYPE_MAX + 1];
  mu_instance *prover; /* prove(): on whose behalf; NULL: by the message auth, or nobody waits any more */
  bool proving;
  bool under_way;  /* an API key that is counted at its address until it is judged */
  bool left_alone; /* whoever brought it has gone: counted as a failure unless it turns out to be none */
  char address[ADDRESS_SIZE];
  mu_session_proved done;
  void *context;
};

static struct attempt *attempt_new(struct server *server, mu_conn *conn, enum mu_session_scope wanted)
{
  struct attempt *attempt = calloc(1, sizeof *attempt);
  if (!attempt)
    return NULL;
  attempt->server = server;
  attempt->conn = mu_conn_get_id(conn);
  snprintf(attempt->address, sizeof attempt->address, "%s", mu_conn_peer(conn));
  attempt->wanted = wanted;
  attempt->refuse = "auth_failed";
  attempt->next = server->attempts;
  attempt->at = &server->attempts;
  if (attempt->next)
    attempt->next->at = &attempt->next;
  server->attempts = attempt;
  return attempt;
}

static void attempt_free(struct attempt *attempt)
{
  struct server *server = attempt->server;
  if (attempt->under_way)
    failures_end(&server->failures, attempt->address);
  if (attempt->left_alone)
    failures_forgive(&server->failures, attempt->address, server->config->failed_auths_per_minute);
  *attempt->at = attempt->next;
  if (attempt->next)
    attempt->next->at = attempt->at;
  mu_text_unref(attempt->token);
  free(attempt);
}

void auth_fini(struct server *server)
{
  while (server->attempts) {
    struct attempt *attempt = server->attempts;
    server->attempts = attempt->next;
    mu_text_unref(attempt->token);
    free(attempt);
  }
}

void auth_forget_user(struct server *server, mu_instance *in)
{
  for (struct attempt *attempt = server->attempts; attempt; attempt = attempt->next)
    if (attempt->prover == in)
      attempt->prover = NULL;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Why somebody is refused: what is said, and whether the connection ends with it. */
enum refusal {
  REFUSED_KEY,
  REFUSED_UNAVAILABLE,
  REFUSED_RATE,
  REFUSED_EXPIRED,
  REFUSED_TOKEN,
  REFUSED_SCOPE,
  REFUSED_MANY,
  REFUSED_LATE,
};

static const struct {
  const char *code, *message;
  unsigned close; /* 0: it stays, for another try */
  bool retryable;
} refusals[] = {
    [REFUSED_KEY] = {"invalid_api_key", "Invalid API Key", MU_CLOSE_AUTH_REFUSED, false},
    [REFUSED_UNAVAILABLE] = {"unavailable", "Authentication is not possible now", MU_CLOSE_TRY_LATER, true},
    [REFUSED_RATE] = {"rate_limited", "Too many failed attempts", MU_CLOSE_TRY_LATER, true},
    [REFUSED_EXPIRED] = {"token_expired", "The session token has expired", 0, false},
    [REFUSED_TOKEN] = {"token_invalid", "The session token is not valid", 0, false},
    [REFUSED_SCOPE] = {"forbidden", "Not permitted with this credential", MU_CLOSE_AUTH_REFUSED, false},
    [REFUSED_MANY] = {"machine_limit", "The user has too many machines", MU_CLOSE_TRY_LATER, true},
    [REFUSED_LATE] = {"auth_timeout", "Authentication took too long", MU_CLOSE_AUTH_TIMEOUT, true},
};

static void say_refused(mu_conn *conn, const char *type, enum refusal why, unsigned retry_after_s, bool stays)
{
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":");
  mu_buf_json_string(&text, mu_str(type));
  mu_buf_printf(&text, ",\"message\":\"%s\",\"code\":\"%s\",\"retryable\":%s", refusals[why].message,
                refusals[why].code, refusals[why].retryable ? "true" : "false");
  if (retry_after_s)
    mu_buf_printf(&text, ",\"retryAfter\":%u", retry_after_s);
  mu_buf_adds(&text, "}");
  server_send(conn, &text);
  if (refusals[why].close && !stays)
    mu_conn_close(conn, refusals[why].close, refusals[why].code);
}

static void refuse(struct server *server, mu_conn *conn, const char *type, enum refusal why, unsigned retry_after_s,
                   bool stays)
{
  server_wrong(server, conn,
               why == REFUSED_RATE          ? server->limited
               : why == REFUSED_LATE        ? server->timeouts
               : why == REFUSED_UNAVAILABLE ? server->unavailable
                                            : server->refused,
               "not authenticated", refusals[why].code);
  say_refused(conn, type, why, retry_after_s, stays);
}

/* The end of an attempt; the connection may have gone. Frees the attempt. */
static void finish_refused(struct attempt *attempt, mu_conn *conn, enum refusal why, unsigned retry_after_s)
{
  struct link *link = conn ? mu_conn_data(conn) : NULL;
  if (link) {
    link->pending = false;
    /* A watcher whose new token is not good keeps what it had. */
    refuse(attempt->server, conn, attempt->refuse, why, retry_after_s, link->scope != MU_SESSION_NOBODY);
  }
  if (attempt->prover)
    attempt->done(attempt->context, attempt->conn, 0);
  attempt_free(attempt);
}

/* A wrong key or a forged token: it counts against the address, and from some number on only that is said. */
static void finish_wrong(struct attempt *attempt, mu_conn *conn, enum refusal why)
{
  struct server *server = attempt->server;
  int64_t now_ns = mu_mono_ns(), rate = server->config->failed_auths_per_minute;
  if (attempt->left_alone) {
    attempt->left_alone = false; /* rightly counted */
    finish_refused(attempt, conn, why, 0);
    return;
  }
  unsigned wait = failures_wait(&server->failures, attempt->address, rate, now_ns);
  if (wait) {
    finish_refused(attempt, conn, REFUSED_RATE, wait);
    return;
  }
  failures_note(&server->failures, attempt->address, rate, now_ns);
  finish_refused(attempt, conn, why, 0);
}

static void say_success(struct link *link, mu_conn *conn, const struct mu_principal *principal, mu_text *token,
                        int64_t expires_in_s)
{
  struct server *server = link->server;
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":\"auth_success\",\"sessionToken\":");
  mu_buf_json_string(&text, mu_text_str(token));
  mu_buf_adds(&text, ",\"message\":\"Authentication successful\",\"userId\":");
  mu_buf_json_string(&text, mu_str(principal->owner));
  if (link->machine) {
    mu_buf_adds(&text, ",\"machineId\":");
    mu_buf_json_string(&text, mu_str(link->machine->id));
  }
  mu_buf_printf(&text, ",\"expiresIn\":%lld", (long long)expires_in_s);
  if (link->machine) {
    link->durable = server->keeper.in != NULL;
    mu_buf_printf(&text, ",\"durable\":%s", link->durable ? "true" : "false");
    char boot[SESSION_BOOT_MAX + 1] = "";
    uint64_t seq = 0;
    if (link->durable && server->keeper.ops.last(server->keeper.self, link->machine, boot, &seq) == 0) {
      boot[SESSION_BOOT_MAX] = '\0';
      mu_buf_adds(&text, ",\"lastAck\":{\"boot\":");
      mu_buf_json_string(&text, mu_str(boot));
      mu_buf_printf(&text, ",\"seq\":%llu}", (unsigned long long)seq);
    }
  }
  mu_buf_adds(&text, "}");
  server_send(conn, &text);
}

/* ---- granted --------------------------------------------------------------------------------- */

static mu_text *sign(struct server *server, const struct mu_principal *principal, const char *machine,
                     enum mu_session_scope scope, int64_t now_s, int64_t lifetime_s)
{
  bool own = principal->role == MU_ROLE_MACHINE;
  const struct token_bearer bearer = {.user = own ? principal->id : principal->owner,
                                      .provider = principal->provider,
                                      .credential = principal->credential,
                                      .machine = machine,
                                      .scope = scope == MU_SESSION_ADMIN ? TOKEN_ADMIN
                                               : own                     ? TOKEN_MACHINE
                                                                         : TOKEN_AGENT};
  return tokens_sign(server->key, &bearer, now_s, lifetime_s);
}

/* The first ping is due; spread a little, because connections come in crowds. */
static void begin_pings(struct link *link)
{
  int64_t every_ns = link->server->config->ping_every * 1000000000;
  link->ping_ns = mu_mono_ns() + every_ns - every_ns / 4 * (int64_t)(link->conn >> 24 & 15) / 15;
}

static void granted_agent(struct attempt *attempt, struct link *link, mu_conn *conn,
                          const struct mu_principal *principal)
{
  struct server *server = attempt->server;
  enum arrival arrival = agents_arrive(link, conn, principal, mu_str(attempt->machine_id), mu_str(attempt->name));
  if (arrival == ARRIVAL_DELETED) {
    link->pending = false;
    agents_say_deleted(link, conn);
    attempt_free(attempt);
    return;
  }
  if (arrival != ARRIVED) {
    finish_refused(attempt, conn, arrival == ARRIVAL_TOO_MANY ? REFUSED_MANY : REFUSED_UNAVAILABLE,
                   arrival == ARRIVAL_TOO_MANY ? RETRY_LIMIT_S : RETRY_UNAVAILABLE_S);
    return;
  }
  int64_t now_s = mu_now_ms() / 1000, lifetime_s = server->config->token_hours * 3600;
  mu_text *token = attempt->token ? mu_text_ref(attempt->token)
                                  : sign(server, principal, link->machine->id, MU_SESSION_AGENT, now_s, lifetime_s);
  if (!token) { /* a name that does not fit, or no memory */
    mu_log_limited(server->in, MU_LOG_ERROR, "sign", "no session token could be signed for a user of %s",
                   principal->provider);
    agents_leave(link);
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_LIMIT_S);
    return;
  }
  mu_conn_set_principal(conn, principal);
  link->pending = false;
  link->scope = MU_SESSION_AGENT;
  begin_pings(link);
  mu_count(attempt->token ? server->resumed : server->granted, 1);
  say_success(link, conn, principal, token, attempt->token ? attempt->claims.expires - now_s : lifetime_s);
  mu_text_unref(token);
  attempt_free(attempt);
}

static void granted_admin(struct attempt *attempt, struct link *link, mu_conn *conn,
                          const struct mu_principal *principal)
{
  struct server *server = attempt->server;
  const struct mu_principal *before = link->scope == MU_SESSION_ADMIN ? mu_conn_principal(conn) : NULL;
  if (before && (strcmp(before->provider, principal->provider) != 0 || strcmp(before->owner, principal->owner) != 0)) {
    finish_refused(attempt, conn, REFUSED_SCOPE, 0);
    return;
  }
  int64_t now_s = mu_now_ms() / 1000, lifetime_s = server->config->admin_token_hours * 3600;
  mu_text *token = NULL;
  if (!attempt->token && !(token = sign(server, principal, "", MU_SESSION_ADMIN, now_s, lifetime_s))) {
    mu_log_limited(server->in, MU_LOG_ERROR, "sign", "no session token could be signed for a user of %s",
                   principal->provider);
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_LIMIT_S);
    return;
  }
  mu_conn_set_principal(conn, principal);
  link->pending = false;
  if (link->scope == MU_SESSION_NOBODY)
    begin_pings(link);
  link->scope = MU_SESSION_ADMIN;
  link->expires_s = attempt->token ? attempt->claims.expires : now_s + lifetime_s;
  mu_count(attempt->token ? server->resumed : server->granted, 1);
  if (!attempt->proving)
    say_success(link, conn, principal, token ? token : attempt->token, link->expires_s - now_s);
  mu_text_unref(token);
  if (attempt->prover)
    attempt->done(attempt->context, attempt->conn, MU_SESSION_ADMIN);
  attempt_free(attempt);
}

static void granted(struct attempt *attempt, mu_conn *conn, const struct mu_principal *principal)
{
  struct link *link = mu_conn_data(conn);
  bool machine = principal->role == MU_ROLE_MACHINE, person = !machine && principal->role != MU_ROLE_NONE;
  if (attempt->wanted == MU_SESSION_ADMIN ? !person : !person && !machine)
    finish_refused(attempt, conn, REFUSED_SCOPE, 0);
  else if (attempt->wanted == MU_SESSION_ADMIN)
    granted_admin(attempt, link, conn, principal);
  else
    granted_agent(attempt, link, conn, principal);
}

/* ---- judged ---------------------------------------------------------------------------------- */

/* NULL: gone, or no longer waiting because its time was over. */
static mu_conn *waiting(const struct attempt *attempt)
{
  mu_conn *conn = mu_conn_find(attempt->server->in, attempt->conn);
  const struct link *link = conn ? mu_conn_data(conn) : NULL;
  return link && (link->pending || link->scope == MU_SESSION_ADMIN) ? conn : NULL;
}

static void key_judged(void *context, const struct mu_auth_answer *answer)
{
  struct attempt *attempt = context;
  mu_conn *conn = waiting(attempt);
  if (answer->verdict == MU_AUTH_UNAVAILABLE) {
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE,
                   answer->retry_after_s ? answer->retry_after_s : RETRY_UNAVAILABLE_S);
  } else if (answer->verdict != MU_AUTH_GRANTED) {
    finish_wrong(attempt, conn, REFUSED_KEY);
  } else if (!conn) {
    finish_refused(attempt, NULL, REFUSED_UNAVAILABLE, 0);
  } else {
    granted(attempt, conn, answer->principal);
  }
}

/* While somebody was asked, it may have expired or been revoked, or the secret may have changed. */
static bool still_good(const struct attempt *attempt)
{
  const struct server *server = attempt->server;
  struct mu_claims claims = {.size = sizeof claims};
  return mu_token_check(server->key, mu_text_str(attempt->token), mu_now_ms() / 1000, &claims) == 0 &&
         !revocations_has(&server->revocations, &claims);
}

/* The token was good; this is whether its bearer still is. Nobody can tell: it is good until it expires. */
static void known_judged(void *context, const struct mu_auth_answer *answer)
{
  struct attempt *attempt = context;
  mu_conn *conn = waiting(attempt);
  const struct mu_claims *claims = &attempt->claims;
  bool own = strcmp(claims->scope, TOKEN_MACHINE) == 0;
  if (!conn) {
    finish_refused(attempt, NULL, REFUSED_UNAVAILABLE, 0);
  } else if (!still_good(attempt) || (answer->verdict != MU_AUTH_GRANTED && answer->verdict != MU_AUTH_UNAVAILABLE)) {
    finish_refused(attempt, conn, REFUSED_TOKEN, 0);
  } else if (answer->verdict == MU_AUTH_GRANTED) {
    if ((answer->principal->role == MU_ROLE_MACHINE) != own)
      finish_refused(attempt, conn, REFUSED_TOKEN, 0);
    else
      granted(attempt, conn, answer->principal);
  } else if (own) { /* the token does not say whose machine it is */
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE,
                   answer->retry_after_s ? answer->retry_after_s : RETRY_UNAVAILABLE_S);
  } else {
    const struct mu_principal *principal = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                                                   .provider = claims->provider,
                                                                                   .id = claims->subject,
                                                                                   .name = "",
                                                                                   .role = MU_ROLE_USER,
                                                                                   .owner = claims->subject,
                                                                                   .credential = claims->credential});
    if (principal)
      granted(attempt, conn, principal);
    else
      finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_UNAVAILABLE_S);
    mu_principal_unref(principal);
  }
}

/* Whether a token that is ours is good for what is wanted; otherwise why not. */
static bool token_suits(const struct attempt *attempt, enum refusal *why)
{
  const struct server *server = attempt->server;
  const struct mu_claims *claims = &attempt->claims;
  bool agent = strcmp(claims->scope, TOKEN_AGENT) == 0, own = strcmp(claims->scope, TOKEN_MACHINE) == 0;
  bool admin = strcmp(claims->scope, TOKEN_ADMIN) == 0, to_admin = attempt->wanted == MU_SESSION_ADMIN;
  *why = REFUSED_TOKEN;
  if (!claims->provider[0] || !(agent || own || admin) || revocations_has(&server->revocations, claims))
    return false;
  if (!admin && !codec_id_ok(mu_str(claims->machine), SESSION_ID_MAX))
    return false;
  if (!to_admin && !admin && attempt->machine_id[0] && strcmp(attempt->machine_id, claims->machine) != 0)
    return false; /* another machine's */
  *why = REFUSED_SCOPE;
  return to_admin ? admin || (agent && server->config->allow_agent_token_as_admin) : !admin;
}

/* Takes a token: 0 when it is decided, MU_PENDING. The attempt is freed when it is. */
static int take_token(struct attempt *attempt, mu_conn *conn, struct mu_str token)
{
  struct server *server = attempt->server;
  struct mu_claims *claims = &attempt->claims;
  *claims = (struct mu_claims){.size = sizeof *claims};
  int result = mu_token_check(server->key, token, mu_now_ms() / 1000, claims);
  enum refusal why = REFUSED_UNAVAILABLE;
  if (result == MU_ESYNTAX || result == MU_EREFUSED) {
    finish_wrong(attempt, conn, REFUSED_TOKEN);
    return 0;
  }
  if (result == MU_ETIMEOUT || (result == 0 && !token_suits(attempt, &why))) {
    finish_refused(attempt, conn, result == MU_ETIMEOUT ? REFUSED_EXPIRED : why, 0);
    return 0;
  }
  attempt->token = result == 0 ? mu_text_new(token.at, token.len) : NULL;
  if (!attempt->token) {
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_UNAVAILABLE_S);
    return 0;
  }
  if (attempt->wanted == MU_SESSION_AGENT)
    memcpy(attempt->machine_id, claims->machine, strlen(claims->machine) + 1);
  const struct mu_credential credential = {.size = sizeof credential,
                                           .kind = MU_CREDENTIAL_KNOWN,
                                           .id = mu_str(claims->subject),
                                           .secret = mu_str(claims->credential),
                                           .peer = mu_conn_peer(conn),
                                           .provider = claims->provider};
  result = mu_auth_check(server->in, &credential, known_judged, attempt);
  if (result >= 0)
    return result;
  finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_UNAVAILABLE_S);
  return 0;
}

static int take_key(struct attempt *attempt, mu_conn *conn, const struct mu_json_value *value)
{
  struct server *server = attempt->server;
  int64_t now_ns = mu_mono_ns(), rate = server->config->failed_auths_per_minute;
  unsigned wait = failures_wait(&server->failures, attempt->address, rate, now_ns);
  if (!wait && failures_busy(&server->failures, attempt->address, rate, now_ns))
    wait = RETRY_BUSY_S;
  if (wait) {
    finish_refused(attempt, conn, REFUSED_RATE, wait);
    return 0;
  }
  struct mu_buf scratch = MU_BUF_INIT;
  const struct mu_credential credential = {.size = sizeof credential,
                                           .kind = MU_CREDENTIAL_API_KEY,
                                           .secret = codec_string(value, &scratch),
                                           .peer = mu_conn_peer(conn)};
  int result = 0;
  if (credential.secret.len == 0)
    finish_wrong(attempt, conn, REFUSED_KEY);
  else
    result = mu_auth_check(server->in, &credential, key_judged, attempt);
  if (scratch.at)
    mu_secret_wipe(scratch.at, scratch.capacity);
  mu_buf_free(&scratch);
  if (result == MU_PENDING) {
    attempt->under_way = true;
    failures_begin(&server->failures, attempt->address, now_ns);
  } else if (result < 0) {
    finish_refused(attempt, conn, REFUSED_UNAVAILABLE, RETRY_UNAVAILABLE_S);
  }
  return 0;
}

void auth_left(struct link *link)
{
  struct server *server = link->server;
  if (!link->pending)
    return;
  for (struct attempt *attempt = server->attempts; attempt; attempt = attempt->next)
    if (attempt->conn == link->conn && attempt->under_way) {
      attempt->under_way = false;
      failures_end(&server->failures, attempt->address);
      attempt->left_alone = true; /* counted as that instead */
      failures_note(&server->failures, attempt->address, server->config->failed_auths_per_minute, mu_mono_ns());
      return;
    }
}

/* ---- how it begins --------------------------------------------------------------------------- */

int auth_message(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct server *server = self;
  mu_conn *conn = peer->conn;
  const struct auth_fields *fields = message->fields;
  struct mu_json_error error;
  if (codec_check_auth(fields, &error) != 0) {
    char what[224];
    codec_error_text(&error, what, sizeof what);
    server_wrong(server, conn, server->bad_fields, "bad_field", what);
    server_error(conn, "bad_field", what, "auth", 0);
    return 0;
  }
  bool admin = fields->scope.kind && mu_str_equal(mu_json_str(&fields->scope), MU_STR("admin"));
  struct attempt *attempt = attempt_new(server, conn, admin ? MU_SESSION_ADMIN : MU_SESSION_AGENT);
  if (!attempt)
    return MU_ENOMEM;
  struct link *link = mu_conn_data(conn);
  link->pending = true;
  struct mu_buf scratch = MU_BUF_INIT;
  struct mu_str id = codec_string(&fields->machine_id, &scratch);
  if (!admin && id.len > 0)
    memcpy(attempt->machine_id, id.at, id.len); /* its length was checked */
  struct mu_str name = codec_string(&fields->name, &scratch);
  if (name.len < sizeof attempt->name && name.len > 0)
    memcpy(attempt->name, name.at, name.len);
  mu_buf_free(&scratch);
  if (fields->session_token.kind && fields->session_token.escaped)
    finish_wrong(attempt, conn, REFUSED_TOKEN); /* no token needs an escape */
  else if (fields->session_token.kind)
    take_token(attempt, conn, mu_json_str(&fields->session_token));
  else
    take_key(attempt, conn, &fields->api_key);
  return 0;
}

int auth_prove(void *self, mu_instance *in, mu_conn *conn, struct mu_str token, enum mu_session_scope wanted,
               const char *refusal_type, mu_session_proved done, void *context)
{
  struct server *server = self;
  struct link *link = mu_conn_data(conn);
  if (!codec_type_ok(mu_str(refusal_type)) || !done || wanted != MU_SESSION_ADMIN || !link)
    return MU_EINVAL;
  int result = dispatch_user(server, in);
  if (result != 0)
    return result;
  struct attempt *attempt = attempt_new(server, conn, wanted);
  if (!attempt)
    return MU_ENOMEM;
  memcpy(attempt->own_refuse, refusal_type, strlen(refusal_type));
  attempt->refuse = attempt->own_refuse;
  attempt->prover = in;
  attempt->proving = true;
  attempt->done = done;
  attempt->context = context;
  if (link->scope == MU_SESSION_AGENT) {
    finish_refused(attempt, conn, REFUSED_SCOPE, 0);
    return 0;
  }
  link->pending = link->scope == MU_SESSION_NOBODY;
  return take_token(attempt, conn, token);
}

void auth_too_late(struct link *link, mu_conn *conn)
{
  bool asked = link->pending; /* then it is not the client who is slow */
  link->pending = false;
  refuse(link->server, conn, "auth_failed", asked ? REFUSED_UNAVAILABLE : REFUSED_LATE, asked ? RETRY_UNAVAILABLE_S : 0,
         false);
}

void auth_on_revoked(void *self, const struct mu_event *event)
{
  struct server *server = self;
  const struct mu_principal *who = event->payload;
  if (!who)
    return;
  revocations_note(&server->revocations, who, mu_now_ms() / 1000, server->longest_s);
  /*
   * The core closes those of the same role; who resumed while nobody could judge is a plain user, whatever it was before. A machine of the
   * same id is somebody else.
   */
  bool machine = who->role == MU_ROLE_MACHINE;
  for (struct link *link = server->links, *next; link; link = next) {
    next = link->next;
    mu_conn *conn = link->scope != MU_SESSION_NOBODY ? mu_conn_find(server->in, link->conn) : NULL;
    const struct mu_principal *principal = conn ? mu_conn_principal(conn) : NULL;
    if (principal && (principal->role == MU_ROLE_MACHINE) == machine &&
        strcmp(principal->provider, who->provider) == 0 && strcmp(principal->id, who->id) == 0 &&
        (!who->credential[0] || strcmp(principal->credential, who->credential) == 0))
      mu_conn_close(conn, MU_CLOSE_REVOKED, "revoked");
  }
}
