/* SPDX-License-Identifier: ISC */
/* /ws-report: agents of both forms. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

/* A connection, or the wish for one while an auth provider thinks. */
struct agent {
  struct status *status;
  struct agent *next; /* of the undecided */
  bool judging;       /* inside admit(): the answer is wanted there */
  bool decided;
  bool orphaned; /* the connection went away before the answer came */
  bool registered;
  enum mu_verdict verdict;
  unsigned retry_after_s;
  const struct mu_principal *principal;
  mu_conn_id conn;                  /* 0: not open yet */
  const struct mu_machine *machine; /* referenced */
  enum status_kind kind;            /* of its last report */
  char *id;
  char *peer;
};

static void agent_free(struct agent *agent)
{
  mu_principal_unref(agent->principal);
  if (agent->machine)
    agent->status->machines->unref(agent->machine);
  free(agent->id);
  free(agent->peer);
  free(agent);
}

static void no_longer_undecided(struct agent *agent)
{
  for (struct agent **at = &agent->status->undecided; *at; at = &(*at)->next)
    if (*at == agent) {
      *at = agent->next;
      return;
    }
}

void agents_fini(struct status *status)
{
  while (status->undecided) {
    struct agent *agent = status->undecided;
    status->undecided = agent->next;
    agent_free(agent);
  }
}

static int agent_key(const struct mu_principal *principal, struct mu_buf *key)
{
  mu_buf_add(key, principal->provider, strlen(principal->provider) + 1);
  mu_buf_add(key, principal->owner, strlen(principal->owner) + 1);
  mu_buf_add(key, principal->id, strlen(principal->id) + 1);
  return key->failed ? MU_ENOMEM : 0;
}

/* ---- who is it ------------------------------------------------------------------------------- */

static void log_refusal(struct status *status, const char *id, const char *peer, const char *why)
{
  mu_count(status->refused, 1);
  mu_log_limited(status->in, MU_LOG_WARN, "agent refused", "agent \"%.64s\" from %s refused: %s", id, peer, why);
}

/* The machine of an agent that proved itself; the newer connection wins. 0, or a negative error. */
static int take_place(struct agent *agent, mu_conn *conn)
{
  struct status *status = agent->status;
  const struct mu_principal *who = agent->principal;
  const struct mu_machine *machine =
      status->machines->find(status->machines_self, who->provider, who->owner, who->id, true);
  if (!machine) {
    mu_conn_close(conn, MU_CLOSE_TRY_LATER, "too many machines");
    return 0;
  }
  agent->machine = status->machines->ref(machine);
  struct mu_buf key = MU_BUF_INIT;
  int result = agent_key(who, &key);
  if (result == 0) {
    struct mu_str name = {key.at, key.len};
    struct agent *older = mu_map_del(status->agents, name);
    if (older)
      older->registered = false;
    result = mu_map_add(status->agents, name, agent);
    agent->registered = result == 0;
    mu_conn *old = older ? mu_conn_find(status->in, older->conn) : NULL;
    if (old) {
      mu_count(status->replaced, 1);
      mu_log_limited(status->in, MU_LOG_INFO, "agent replaced",
                     "agent \"%s\": a newer connection from %s replaces the one from %s", who->id, mu_conn_peer(conn),
                     mu_conn_peer(old));
      mu_conn_close(old, MU_CLOSE_REPLACED, "a newer connection of this id");
    }
  }
  mu_buf_free(&key);
  return result;
}

static void finish_later(struct agent *agent)
{
  struct status *status = agent->status;
  mu_conn *conn = mu_conn_find(status->in, agent->conn);
  if (!conn)
    return; /* closed() comes, or came */
  if (agent->verdict == MU_AUTH_GRANTED) {
    mu_conn_set_principal(conn, agent->principal);
    mu_conn_admit(conn, 0, NULL);
  } else if (agent->verdict == MU_AUTH_UNAVAILABLE)
    mu_conn_admit(conn, MU_CLOSE_TRY_LATER, "try again later");
  else {
    log_refusal(status, agent->id, agent->peer, "unknown id or wrong secret");
    mu_conn_admit(conn, MU_CLOSE_POLICY, "unknown server id or wrong secret");
  }
}

static void judged(void *context, const struct mu_auth_answer *answer)
{
  struct agent *agent = context;
  no_longer_undecided(agent);
  if (agent->orphaned) {
    agent_free(agent);
    return;
  }
  agent->decided = true;
  agent->verdict = answer->verdict;
  agent->retry_after_s = answer->retry_after_s;
  if (answer->verdict == MU_AUTH_GRANTED && answer->principal->role != MU_ROLE_MACHINE)
    agent->verdict = MU_AUTH_REFUSED; /* people do not report */
  if (agent->verdict == MU_AUTH_GRANTED)
    agent->principal = mu_principal_ref(answer->principal);
  if (!agent->judging)
    finish_later(agent);
}

static int refuse(struct mu_admission *admission, int status, const char *code, const char *message)
{
  admission->status = status;
  admission->code = code;
  admission->message = message;
  return MU_EREFUSED;
}

int agents_admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct status *status = self;
  const char *peer = mu_ws_request_peer(request);
  struct mu_str id = {"", 0}, secret = {"", 0};
  bool has_id = mu_ws_request_header(request, "x-server-id", &id) && id.len > 0;
  bool has_secret = mu_ws_request_header(request, "x-auth-secret", &secret) && secret.len > 0;
  struct agent *agent = calloc(1, sizeof *agent);
  if (!agent)
    return MU_ENOMEM;
  agent->status = status;
  agent->conn = mu_ws_request_conn(request);
  agent->id = strndup(id.len ? id.at : "", id.len < 64 ? id.len : 64);
  agent->peer = strdup(peer);
  if (!agent->id || !agent->peer) {
    agent_free(agent);
    return MU_ENOMEM;
  }
  if (!has_id || !has_secret) {
    log_refusal(status, agent->id, peer, has_id ? "X-AUTH-SECRET is missing" : "X-SERVER-ID is missing");
    agent_free(agent);
    return refuse(admission, 401, "unauthorized", "X-SERVER-ID and X-AUTH-SECRET are needed");
  }
  agent->judging = true;
  int result = mu_auth_check(
      status->in,
      &(struct mu_credential){
          .size = sizeof(struct mu_credential), .kind = MU_CREDENTIAL_SERVER, .id = id, .secret = secret, .peer = peer},
      judged, agent);
  agent->judging = false;
  if (result < 0) {
    agent_free(agent);
    return result;
  }
  if (!agent->decided) {
    agent->next = status->undecided;
    status->undecided = agent;
    admission->data = agent;
    return MU_PENDING;
  }
  if (agent->verdict == MU_AUTH_GRANTED) {
    admission->principal = agent->principal;
    admission->data = agent;
    return 0;
  }
  if (agent->verdict == MU_AUTH_UNAVAILABLE) {
    admission->retry_after_s = agent->retry_after_s;
    log_refusal(status, agent->id, peer, "nobody could judge it now");
    agent_free(agent);
    return refuse(admission, 503, "unavailable", "try again later");
  }
  log_refusal(status, agent->id, peer, "unknown id or wrong secret");
  agent_free(agent);
  return refuse(admission, 401, "unauthorized", "unknown server id or wrong secret");
}

int agents_open(void *self, mu_conn *conn)
{
  (void)self;
  return take_place(mu_conn_data(conn), conn);
}

void agents_closed(void *self, mu_conn *conn, unsigned code)
{
  struct status *status = self;
  struct agent *agent = mu_conn_data(conn);
  if (!agent)
    return;
  mu_conn_set_data(conn, NULL);
  if (agent->registered) {
    struct mu_buf key = MU_BUF_INIT;
    if (agent_key(agent->principal, &key) == 0)
      mu_map_del(status->agents, (struct mu_str){key.at, key.len});
    mu_buf_free(&key);
    mu_log(status->in, MU_LOG_DEBUG, "agent \"%s\" left: %u", agent->id, code);
  }
  if (agent->decided)
    agent_free(agent);
  else
    agent->orphaned = true; /* judged() frees it */
}

/* ---- reports --------------------------------------------------------------------------------- */

static void drop(struct status *status, const struct agent *agent, mu_counter *counter, const char *path,
                 const char *what)
{
  mu_count(counter, 1);
  mu_log_limited(status->in, MU_LOG_WARN, "bad report", "report of \"%s\" dropped: %s%s%s", agent->machine->id, path,
                 path[0] ? " " : "", what);
}

int agents_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct status *status = self;
  struct agent *agent = mu_conn_data(conn);
  if (!agent || !agent->machine)
    return 0; /* being closed */
  struct status_reading reading;
  struct mu_json_error error;
  int result = status_read(&status->codec, agent->kind, message->at, message->len, &reading, &error);
  if (result != 0) {
    drop(status, agent, status->bad, error.path, error.what);
    return 0;
  }
  agent->kind = reading.kind;
  result = status_identity(&reading, mu_str(agent->machine->id));
  if (result == MU_EIDENTITY) {
    drop(status, agent, status->mismatched, "serverId", "identity_mismatch: it is another machine's id");
    return 0;
  }
  if (result != 0)
    return result;
  mu_text *kept =
      status_keep(&reading, (struct mu_str){message->at, message->len}, agent->machine, status->config->show_ip);
  if (!kept)
    return MU_ENOMEM;
  struct mu_buf scratch[5] = {MU_BUF_INIT}; /* texts that need resolving get one each: all are used at once */
  const struct mu_machine_report report = {.size = sizeof report,
                                           .form = status->forms[reading.kind],
                                           .text = kept,
                                           .valid_ms = (uint64_t)(status->config->offline_after * 1000),
                                           .name = status_string(&reading.name, &scratch[0]),
                                           .group = status_string(&reading.group, &scratch[1]),
                                           .country = status_string(&reading.country, &scratch[2]),
                                           .location = status_string(&reading.location, &scratch[3]),
                                           .ip = status_string(&reading.ip, &scratch[4])};
  result = status->machines->report(status->machines_self, agent->machine, &report);
  if (result == MU_ENOENT) { /* forgotten while it was silent, and back now */
    const struct mu_machine *again = status->machines->find(status->machines_self, agent->principal->provider,
                                                            agent->principal->owner, agent->principal->id, true);
    if (again) {
      status->machines->unref(agent->machine);
      agent->machine = status->machines->ref(again);
      result = status->machines->report(status->machines_self, again, &report);
    } else
      result = MU_ELIMIT;
  }
  for (size_t i = 0; i < MU_COUNT(scratch); i++)
    mu_buf_free(&scratch[i]);
  mu_text_unref(kept);
  return result;
}

size_t agents_public(const struct status *status)
{
  size_t count = 0, position = 0;
  for (struct agent *agent; (agent = mu_map_next(status->agents, &position, &(struct mu_str){0}));)
    count += agent->machine && agent->machine->is_public;
  return count;
}
