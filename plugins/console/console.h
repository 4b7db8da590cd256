/* SPDX-License-Identifier: ISC */
/* What the files of this plugin share. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <muster/muster.h>

#include "changes.h"
#include "ring.h"
#include "tickets.h"

struct json_object;

struct console_config {
  const char *page;
  const char *token;
  bool public_status;
  const char *agent_url;
  int64_t history_machines;
};

struct watcher;
struct snapshots;
struct asked;

struct console {
  mu_instance *in;
  const struct console_config *config;
  struct mu_service machines;
  const struct mu_machines *api;
  const mu_form *form;
  mu_schema *hello;
  mu_timer *warning;
  mu_counter *refused, *left_out, *tickets_refused;
  /* live.c */
  struct watcher *watchers;
  struct tickets tickets;
  /* tell.c */
  mu_group *everyone; /* who follows by differences */
  mu_group *admins;
  mu_group *plain;   /* who never said hello: whole messages, public machines only */
  mu_map *audiences; /* "provider\0owner" → struct audience */
  mu_map *tracks;    /* handle → struct track */
  struct snapshots *snapshots;
  /* past.c */
  mu_map *pasts;       /* handle → struct past */
  int64_t look_ns;     /* not before, for room */
  struct asked *asked; /* requests whose token, or whose answer, is asked for */
  size_t asked_count;
};

/* ---- machine.c: what a machine looks like ----------------------------------------------------- */

extern const struct mu_form_ops machine_form;
/* What people see of it, for the differences. `metrics` is a reference of its own. */
void machine_view(struct console *console, const struct mu_machine *machine, struct view *view);
/* Of maps: borrowed from the machine. */
struct mu_str machine_key(const struct mu_machine *machine);
/* Whether this principal (NULL: nobody) may see it. */
bool machine_visible(const struct mu_machine *machine, const struct mu_principal *principal, bool is_public);

/* ---- live.c: the channel ---------------------------------------------------------------------- */

extern const struct mu_ws_route live_route;
int live_init(struct console *console);
void live_stop(struct console *console);
void live_free(struct console *console);
/* Whether those who did not log in may watch: everybody, or who brings the operator's token. */
bool live_open(const struct console *console);
bool live_token_ok(const struct console *console, struct mu_str token);
/* The token in an Authorization; empty: none, or of another scheme. */
struct mu_str live_bearer(struct mu_str header);

/* ---- tell.c: what the channel tells ----------------------------------------------------------- */

/* A machine changed, or is gone: tells those who watch what is new since they were told last. */
void live_changed(struct console *console, const struct mu_machine *machine);
void live_gone(struct console *console, const struct mu_machine *machine);

/* ---- past.c: the last hour of each machine --------------------------------------------------- */

#define PAST_MS ((int64_t)RING_SLOTS * RING_STEP_MS)

void past_report(struct console *console, const struct mu_machine *machine);
/* It may be public now, or private. */
void past_changed(struct console *console, const struct mu_machine *machine);
void past_gone(struct console *console, const struct mu_machine *machine);
/* NULL: nothing is kept of it. */
const struct ring *past_ring(const struct console *console, const struct mu_machine *machine);
/* Since when it is public, as far as is known; what was before is its owner's. */
int64_t past_public_ms(const struct console *console, const struct mu_machine *machine);
void past_free_all(struct console *console);

/* ---- history.c: who asks for the past, and what they are told -------------------------------- */

int history_get(void *self, mu_http *request);
/* Whether history/1 is there. */
bool history_stored(const struct console *console, struct mu_service *store);
void history_free(struct console *console);

/* ---- rest.c ----------------------------------------------------------------------------------- */

int rest_serve(struct console *console);
/* Whether anybody here judges credentials of this kind. */
bool rest_judged(const struct console *console, enum mu_credential_kind kind);

#endif
