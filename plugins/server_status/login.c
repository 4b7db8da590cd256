/* SPDX-License-Identifier: ISC */
/* frontend_access = "login": a page brings the token of somebody who logged in, and waits while a provider judges it. */
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum { LOOK_MS = 2000 }; /* for logins that have expired */

/* A page that logs in: its connection's data. While its token is judged it outlives the connection if it must. */
struct visit {
  struct visit *next, **pprev;
  struct status *status;
  mu_conn_id conn;
  bool judging; /* inside login_admit(): the answer is wanted there */
  bool decided;
  bool orphaned; /* the connection went away before the answer came */
  enum mu_verdict verdict;
  unsigned retry_after_s;
  const struct mu_principal *principal;
};

static void visit_free(struct visit *visit)
{
  *visit->pprev = visit->next;
  if (visit->next)
    visit->next->pprev = visit->pprev;
  mu_principal_unref(visit->principal);
  free(visit);
}

void login_fini(struct status *status)
{
  while (status->visits)
    visit_free(status->visits); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

void login_opened(struct status *status, const mu_conn *conn)
{
  const struct mu_principal *principal = mu_conn_principal(conn);
  if (principal && principal->expires_s && !mu_timer_active(status->expiry))
    mu_timer_start(status->expiry, LOOK_MS, LOOK_MS);
}

void login_tick(void *self)
{
  struct status *status = self;
  int64_t now_s = mu_now_ms() / 1000;
  bool any = false;
  for (struct visit *visit = status->visits, *next; visit; visit = next) {
    next = visit->next;
    int64_t expires_s = visit->principal ? visit->principal->expires_s : 0;
    mu_conn *conn = expires_s ? mu_conn_find(status->in, visit->conn) : NULL;
    any = any || conn;
    if (conn && expires_s <= now_s)
      mu_conn_close(conn, MU_CLOSE_REVOKED, "the login has expired");
  }
  if (!any)
    mu_timer_stop(status->expiry);
}

static void log_refusal(struct status *status, const char *peer, const char *why)
{
  mu_count(status->pages_refused, 1);
  mu_log_limited(status->in, MU_LOG_WARN, "page refused", "a page from %s was refused: %s", peer, why);
}

void login_left(struct visit *visit)
{
  if (!visit)
    return;
  if (visit->decided)
    visit_free(visit);
  else
    visit->orphaned = true; /* judged() frees it */
}

static void finish_later(struct visit *visit)
{
  mu_conn *conn = mu_conn_find(visit->status->in, visit->conn);
  if (conn && visit->verdict == MU_AUTH_GRANTED) {
    mu_conn_set_principal(conn, visit->principal);
    mu_conn_admit(conn, 0, NULL);
  } else if (conn && visit->verdict == MU_AUTH_UNAVAILABLE) {
    mu_conn_admit(conn, MU_CLOSE_TRY_LATER, "try again later");
  } else if (conn) {
    log_refusal(visit->status, mu_conn_peer(conn), "its token is not valid");
    mu_conn_admit(conn, MU_CLOSE_AUTH_REFUSED, "the token is not valid");
  }
}

static void judged(void *context, const struct mu_auth_answer *answer)
{
  struct visit *visit = context;
  if (visit->orphaned) {
    visit_free(visit);
    return;
  }
  visit->decided = true;
  visit->verdict = answer->verdict;
  visit->retry_after_s = answer->retry_after_s;
  if (answer->verdict == MU_AUTH_GRANTED) {
    enum mu_role role = answer->principal->role;
    if (role == MU_ROLE_USER || role == MU_ROLE_ADMIN)
      visit->principal = mu_principal_ref(answer->principal);
    else
      visit->verdict = MU_AUTH_REFUSED; /* machines do not watch */
  }
  if (!visit->judging)
    finish_later(visit);
}

static int refuse(struct status *status, const mu_ws_request *request, struct mu_admission *admission,
                  const char *message)
{
  log_refusal(status, mu_ws_request_peer(request), message);
  admission->status = 401;
  admission->code = "unauthorized";
  admission->message = message;
  return MU_EREFUSED;
}

int login_admit(struct status *status, const mu_ws_request *request, struct mu_admission *admission)
{
  struct mu_str header = {"", 0};
  mu_ws_request_header(request, "authorization", &header);
  struct mu_credential credential = {.size = sizeof credential,
                                     .kind = MU_CREDENTIAL_TOKEN,
                                     .secret = status_bearer(header),
                                     .peer = mu_ws_request_peer(request)};
  if (credential.secret.len == 0)
    return refuse(status, request, admission, "log in first");
  struct visit *visit = calloc(1, sizeof *visit);
  if (!visit)
    return MU_ENOMEM;
  *visit = (struct visit){.next = status->visits,
                          .pprev = &status->visits,
                          .status = status,
                          .conn = mu_ws_request_conn(request),
                          .judging = true};
  if (visit->next)
    visit->next->pprev = &visit->next;
  status->visits = visit;
  int result = mu_auth_check(status->in, &credential, judged, visit);
  visit->judging = false;
  if (result >= 0 && (!visit->decided || visit->verdict == MU_AUTH_GRANTED)) {
    admission->principal = visit->principal;
    admission->data = visit;
    return visit->decided ? 0 : MU_PENDING;
  }
  unsigned retry_after_s = visit->retry_after_s;
  bool unavailable = result >= 0 && visit->verdict == MU_AUTH_UNAVAILABLE;
  visit_free(visit);
  if (result < 0)
    return result;
  if (!unavailable)
    return refuse(status, request, admission, "the token is not valid");
  log_refusal(status, mu_ws_request_peer(request), "nobody could judge its token now");
  admission->status = 503;
  admission->code = "unavailable";
  admission->message = "try again later";
  admission->retry_after_s = retry_after_s;
  return MU_EREFUSED;
}
