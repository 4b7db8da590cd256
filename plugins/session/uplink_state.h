/* SPDX-License-Identifier: ISC */
/* An uplink from within: what uplink.c, uplink_key.c and uplink_heard.c share. */
#ifndef SESSION_UPLINK_STATE_H
#define SESSION_UPLINK_STATE_H

#include "uplink.h"

enum {
  UPLINK_BURST = 100, /* what is sent again must not use up what servers allow: 600 reports a minute */
  UPLINK_REFILL_MS = 1000,
  UPLINK_HEARTBEAT_MS = 10 * 60 * 1000,
  UPLINK_RETRY_S = 30,
};

enum uplink_state {
  STATE_DOWN,   /* no link; the client makes one */
  STATE_ASKING, /* somebody is asked for the key */
  STATE_TOKEN,  /* auth was sent, with the session's token */
  STATE_KEY,    /* auth was sent, with the API key */
  STATE_UP,
  STATE_OVER, /* stopping, or the program ends */
};

enum uplink_source { KEY_NONE, KEY_CONFIGURED, KEY_SAVED, KEY_TYPED };

struct uplink {
  mu_instance *in;
  const struct uplink_config *config;
  struct uplink_server server;
  mu_client *client;
  mu_schema *schema;
  const struct mu_agent *agent; /* NULL: the program has none */
  void *agent_self;
  enum uplink_state state;
  bool stopping;  /* mu_stopped() is owed */
  bool link_over; /* the client has ended */
  bool greeted;
  /* who we are */
  struct mu_buf key, token;
  enum uplink_source source;
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

/* ---- uplink.c -------------------------------------------------------------------------------- */

/* Whether somebody sits at a terminal and can be asked. */
bool uplink_interactive(const struct uplink *uplink);
void uplink_say(struct uplink *uplink, const char *format, ...) MU_PRINTF(2, 3);
/* Ends the program. */
void uplink_end(struct uplink *uplink, int status);
/* Tells the program how an attempt to get in went. */
void uplink_attempted(struct uplink *uplink, int error, const char *format, ...) MU_PRINTF(3, 4);
/* Milliseconds, a little more than asked for, so that a crowd does not come back in one step. */
uint64_t uplink_spread_ms(double seconds);
/* Ends the link; a new one comes after `seconds`. */
void uplink_again(struct uplink *uplink, double seconds, const char *why);
/* A message that is no secret. Does not take `text`; NULL is MU_ENOMEM. */
int uplink_send(struct uplink *uplink, mu_text *text);
void uplink_send_info(struct uplink *uplink);
/* Sends as many samples as may go now. */
void uplink_flush(struct uplink *uplink);
/* So many samples were dropped. */
void uplink_lost(struct uplink *uplink, size_t samples);

/* ---- uplink_key.c: who we are ---------------------------------------------------------------- */

void uplink_forget(struct mu_buf *secret);
/* The configured one, else the saved one. False: there is none. */
bool uplink_find_key(struct uplink *uplink);
/* Says so, and ends the program. */
void uplink_no_key(struct uplink *uplink);
/* It was good. */
void uplink_save_key(struct uplink *uplink);
/* The server does not want this key. */
void uplink_key_refused(struct uplink *uplink, const char *code);
/* With the token, else with the key; where there is none, somebody is asked. */
void uplink_authenticate(struct uplink *uplink);
/* The timer `answer`. */
void uplink_no_answer(void *context);

/* ---- uplink_heard.c: what the server says ---------------------------------------------------- */

mu_schema *uplink_heard_schema(void);
void uplink_heard(void *self, const char *data, size_t len, bool binary);

#endif
