/* SPDX-License-Identifier: ISC */
/* What the files of the server component share. */
#ifndef SERVER_STATUS_SERVER_H
#define SERVER_STATUS_SERVER_H

#include <muster/muster.h>

#include "codec.h"
#include "convert.h"

enum { PUSH_REPORT, PUSH_SNAPSHOT };
enum { ACCESS_PUBLIC, ACCESS_TOKEN, ACCESS_LOGIN };

struct config {
  int push;
  double offline_after;
  bool show_ip;
  int frontend_access;
  const char *frontend_token;
  int64_t max_message;
  int64_t ping_every;
  int64_t silent_after;
};

struct status {
  mu_instance *in;
  const struct config *config;
  struct status_codec codec;
  const struct mu_machines *machines;
  void *machines_self;
  const mu_form *forms[STATUS_KINDS];
  const mu_form *element;
  mu_map *agents;          /* provider NUL owner NUL id → struct agent, those that are connected */
  struct agent *undecided; /* an auth provider still thinks */
  struct visit *visits;    /* pages that logged in, or try to */
  mu_group *pages;
  mu_map *watchers;  /* ids of the pages' connections, to send them away when the rules change */
  mu_timer *second;  /* builds snapshots while somebody watches */
  mu_timer *warning; /* once the listeners are open */
  mu_timer *expiry;  /* while pages are there whose login ends */
  mu_text *snapshot; /* the newest */
  mu_text *list;     /* what /api/server/statusInfo last answered, if it is long */
  int64_t list_ns;
  mu_counter *refused, *replaced, *bad, *mismatched, *bad_pages, *pages_refused;
};

/* ---- agents.c -------------------------------------------------------------------------------- */

int agents_admit(void *self, const mu_ws_request *request, struct mu_admission *admission);
int agents_open(void *self, mu_conn *conn);
int agents_message(void *self, mu_conn *conn, const struct mu_message *message);
void agents_closed(void *self, mu_conn *conn, unsigned code);
/* Frees those whose judgement will never come. */
void agents_fini(struct status *status);
/* How many of them have a machine that everybody may see. */
size_t agents_public(const struct status *status);

/* ---- pages.c --------------------------------------------------------------------------------- */

int pages_admit(void *self, const mu_ws_request *request, struct mu_admission *admission);
int pages_open(void *self, mu_conn *conn);
int pages_message(void *self, mu_conn *conn, const struct mu_message *message);
void pages_closed(void *self, mu_conn *conn, unsigned code);
/* Sends every page away; it comes back under the new rules. */
void pages_send_away(struct status *status);
/* A machine reported: event listener. */
void pages_on_report(void *self, const struct mu_event *event);
/* Timer: the snapshot of this second. */
void pages_tick(void *self);
/* Timer: warns if the page is open to strangers. */
void pages_warn(void *self);
/* Event config.reloaded. */
void pages_on_reload(void *self, const struct mu_event *event);

/* ---- login.c --------------------------------------------------------------------------------- */

/* pages_admit() with frontend_access = "login". The connection's data is a visit then. */
int login_admit(struct status *status, const mu_ws_request *request, struct mu_admission *admission);
/* The page is admitted: it stays until its login ends. */
void login_opened(struct status *status, const mu_conn *conn);
/* Timer: closes those whose login has ended. */
void login_tick(void *self);
/* The connection has gone. NULL is allowed. */
void login_left(struct visit *visit);
/* Frees those whose judgement will never come. */
void login_fini(struct status *status);

/* ---- rest.c ---------------------------------------------------------------------------------- */

int rest_status(void *self, mu_http *request);
int rest_statistics(void *self, mu_http *request);
/* A machine came, went or changed in more than its figures: event listener. */
void rest_forget(void *self, const struct mu_event *event);
/* The token in a header Authorization, a view of it; empty: there is none. */
struct mu_str status_bearer(struct mu_str authorization);
/* Whether what came as ?token= or as Authorization: Bearer opens a page with frontend_access = "token"; either may be empty. */
bool status_token_ok(const struct status *status, struct mu_str query, struct mu_str authorization);
/* Appends `[element,…]` of all public machines, sorted. 0 or MU_ENOMEM. */
int status_elements(struct status *status, struct mu_buf *out);

/* ---- uplink.c -------------------------------------------------------------------------------- */

struct uplink_config {
  const char *url;
  const char *server_id;
  const char *secret;
  int form; /* enum status_kind */
  const char *server_name;
  const char *group;
  const char *country;
  const char *location;
  const char *tls_ca_file;
  bool tls_insecure;
};

void uplink_check(const void *config, struct mu_check *check);
int uplink_init(mu_instance *in, const void *config, void **self);
int uplink_start(void *self);
int uplink_stop(void *self);
void uplink_fini(void *self);
extern const struct mu_uplink_ops uplink_ops;

/* ---- plugin.c -------------------------------------------------------------------------------- */

extern const struct mu_form_ops status_form_ops[STATUS_KINDS];
extern const struct mu_form_ops status_element_ops;

#endif
