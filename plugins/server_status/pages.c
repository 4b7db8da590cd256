/* SPDX-License-Identifier: ISC */
/* /ws-frontend: each report at once, or a snapshot per second. */
#include <string.h>
#include <strings.h>

#include "server.h"

/* One state as a whole: a slow page gets the newest snapshot only. */
enum { SNAPSHOT_KEY = 1 };
/* Beyond all handles of machines. */
#define PONG_KEY UINT64_MAX

/* ---- who may look ---------------------------------------------------------------------------- */

struct mu_str status_bearer(struct mu_str authorization)
{
  const struct mu_str scheme = MU_STR("Bearer ");
  if (authorization.len < scheme.len || strncasecmp(authorization.at, scheme.at, scheme.len) != 0)
    return (struct mu_str){"", 0};
  return (struct mu_str){authorization.at + scheme.len, authorization.len - scheme.len};
}

bool status_token_ok(const struct status *status, struct mu_str query, struct mu_str authorization)
{
  const struct mu_str wanted = mu_str(status->config->frontend_token);
  return wanted.len > 0 && (mu_secret_equal(query, wanted) || mu_secret_equal(status_bearer(authorization), wanted));
}

int pages_admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct status *status = self;
  struct mu_str query = {"", 0}, authorization = {"", 0};
  if (status->config->frontend_access == ACCESS_PUBLIC)
    return 0;
  if (status->config->frontend_access == ACCESS_LOGIN)
    return login_admit(status, request, admission);
  mu_ws_request_query(request, "token", &query);
  mu_ws_request_header(request, "authorization", &authorization);
  if (status_token_ok(status, query, authorization))
    return 0;
  mu_count(status->pages_refused, 1);
  mu_log_limited(status->in, MU_LOG_WARN, "page refused", "a page from %s was refused: no token or a wrong one",
                 mu_ws_request_peer(request));
  admission->status = 401;
  admission->code = "unauthorized";
  admission->message = "a token is needed";
  return MU_EREFUSED;
}

void pages_warn(void *self)
{
  struct status *status = self;
  if (status->config->frontend_access == ACCESS_PUBLIC && mu_net_public(status->in))
    mu_log(status->in, MU_LOG_WARN,
           "everybody who reaches this server sees its public machines: frontend_access is \"public\" and a listener "
           "is not on loopback");
}

void pages_on_reload(void *self, const struct mu_event *event)
{
  (void)event;
  mu_timer_start(((struct status *)self)->warning, 200, 0); /* listeners change after plugins */
}

/* ---- each report ----------------------------------------------------------------------------- */

/* What pages get of a machine: a reference, or NULL. A text that was kept while show_ip was set still has the address. */
static mu_text *page_text(struct status *status, const struct mu_machine *machine)
{
  mu_text *text = status->machines->text(status->machines_self, machine, status->forms[STATUS_DOCUMENTED]);
  if (!text || status->config->show_ip || !memmem(mu_text_data(text), mu_text_len(text), "\"ip\"", 4))
    return mu_text_ref(text);
  struct status_reading reading;
  if (status_read(&status->codec, STATUS_DOCUMENTED, mu_text_data(text), mu_text_len(text), &reading, NULL) != 0)
    return NULL;
  return status_keep(&reading, mu_text_str(text), machine, false);
}

void pages_on_report(void *self, const struct mu_event *event)
{
  struct status *status = self;
  const struct mu_machine *machine = event->payload;
  if (status->config->push != PUSH_REPORT || !machine->is_public || mu_group_count(status->pages) == 0)
    return;
  mu_text *text = page_text(status, machine);
  if (text)
    mu_group_publish(status->pages, machine->handle, text);
  mu_text_unref(text);
}

struct greeting {
  struct status *status;
  mu_conn *conn;
};

static int greet(void *context, const struct mu_machine *machine)
{
  const struct greeting *greeting = context;
  struct status *status = greeting->status;
  mu_text *text = machine->is_public && machine->text ? page_text(status, machine) : NULL;
  int result = text ? mu_conn_send_latest(greeting->conn, machine->handle, text) : 0;
  mu_text_unref(text);
  return result;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void build_snapshot(struct status *status)
{
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"data\":");
  if (status_elements(status, &out) != 0)
    out.failed = true;
  mu_buf_printf(&out, ",\"timestamp\":%lld,\"type\":\"server_status_update\"}", (long long)(mu_now_ms() / 1000));
  mu_text *text = mu_buf_take_text(&out);
  if (!text)
    return; /* out of memory: the old one stays */
  mu_text_unref(status->snapshot);
  status->snapshot = text;
}

void pages_tick(void *self)
{
  struct status *status = self;
  if (mu_group_count(status->pages) == 0) { /* nobody watches: nothing is built */
    mu_timer_stop(status->second);
    return;
  }
  build_snapshot(status);
  if (status->snapshot)
    mu_group_publish(status->pages, SNAPSHOT_KEY, status->snapshot);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct mu_str watcher_key(const mu_conn_id *id)
{
  return (struct mu_str){(const char *)id, sizeof *id};
}

void pages_closed(void *self, mu_conn *conn, unsigned code)
{
  (void)code;
  mu_conn_id id = mu_conn_get_id(conn);
  mu_map_del(((struct status *)self)->watchers, watcher_key(&id));
  login_left(mu_conn_data(conn));
  mu_conn_set_data(conn, NULL);
}

void pages_send_away(struct status *status)
{
  struct mu_str key;
  size_t position = 0;
  while (mu_map_next(status->watchers, &position, &key)) {
    mu_conn_id id;
    memcpy(&id, key.at, sizeof id);
    mu_conn *conn = mu_conn_find(status->in, id);
    if (conn)
      mu_conn_close(conn, MU_CLOSE_GOING_AWAY, "the configuration changed");
  }
}

int pages_open(void *self, mu_conn *conn)
{
  struct status *status = self;
  mu_conn_id id = mu_conn_get_id(conn);
  int result = mu_map_add(status->watchers, watcher_key(&id), status);
  if (result == 0)
    result = mu_group_join(status->pages, conn);
  if (result != 0)
    return result;
  login_opened(status, conn);
  if (status->config->push == PUSH_REPORT) {
    struct greeting greeting = {status, conn};
    result = status->machines->each(status->machines_self, NULL, NULL, greet, &greeting);
    return result == MU_ENOMEM ? result : 0; /* closed meanwhile: not our failure */
  }
  /* A crowd that comes at once shares one snapshot. */
  if (!mu_timer_active(status->second)) {
    build_snapshot(status);
    mu_timer_start(status->second, 1000, 1000);
  }
  if (status->snapshot)
    mu_conn_send_latest(conn, SNAPSHOT_KEY, status->snapshot);
  return 0;
}

int pages_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct status *status = self;
  struct mu_json_error error;
  int result = status_page_ping(&status->codec, message->at, message->len, &error);
  if (result < 0) {
    mu_count(status->bad_pages, 1);
    mu_log_limited(status->in, MU_LOG_INFO, "bad page message", "message of a page from %s ignored: %s%s%s",
                   mu_conn_peer(conn), error.path, error.path[0] ? " " : "", error.what);
    return 0;
  }
  if (result == 0)
    return 0;
  mu_text *pong = mu_text_printf("{\"timestamp\":%lld,\"type\":\"pong\"}", (long long)(mu_now_ms() / 1000));
  if (!pong)
    return MU_ENOMEM;
  /* Keyed: a page that is behind may ping all the same; only its newest pong waits. */
  result = mu_conn_send_latest(conn, PONG_KEY, pong);
  mu_text_unref(pong);
  return result == MU_ENOMEM ? result : 0;
}
