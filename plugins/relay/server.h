/* SPDX-License-Identifier: ISC */
/* What the files of the WebSocket side share among themselves. */
#ifndef RELAY_SERVER_H
#define RELAY_SERVER_H

#include "relay.h"

/* Why somebody may not stay: the reason of the close, and what the system message says. */
enum verdict {
  VERDICT_WELCOME,
  VERDICT_BAD_URL,
  VERDICT_NO_ENDPOINT,
  VERDICT_BANNED,
  VERDICT_DISABLED,
  VERDICT_FULL,
  VERDICT_ORIGIN,
  VERDICT_CREDENTIAL,
  VERDICT_RULES,   /* the endpoint's access changed */
  VERDICT_REVOKED, /* its owner's password changed */
  VERDICT_FLOOD,
  VERDICT_BUSY,
  VERDICT_INTERNAL,
};

/* A connection. */
struct channel {
  struct relay *relay;
  struct endpoint *endpoint;  /* held; NULL: not known (yet) */
  struct channel *next, **at; /* of the endpoint, once open */
  mu_conn_id conn;
  struct device *device;                    /* as which it identified; held */
  struct channel *device_next, **device_at; /* of the device */
  mu_text *sender;                          /* for the history: the device's name, or "conn-…" */
  struct proof *proof;                      /* what it brought, until it is open */
  int64_t opened_ns;
  int64_t credit_ns; /* messages_per_second: when the account was empty */
  enum verdict verdict;
  uint8_t identifying; /* questions to the database on their way */
  bool chinese;
  bool open;
  bool left; /* closed, or being closed by us */
};

/* What an upgrade brought. */
struct proof {
  char key[16];
  char *origin; /* NULL: none */
  char *token;  /* NULL: none; wiped */
};

/* ---- channel.c --------------------------------------------------------------------------------- */

int channels_init(struct relay *relay);
void channels_fini(struct relay *relay);
/* The endpoint of a pending channel is there (held by the caller), or NULL with the verdict. */
void channel_found(struct relay *relay, mu_conn_id conn, struct endpoint *endpoint, enum verdict verdict);
/* Says why and closes. */
void channel_dismiss(struct channel *channel, enum verdict verdict);
void channels_dismiss(struct endpoint *endpoint, enum verdict verdict);
/* A system message to one. */
void channel_tell(struct channel *channel, mu_conn *conn, const char *level, const char *en, const char *zh);
mu_conn *channel_conn(const struct channel *channel);
/* "conn-…"; NULL when memory is out. */
mu_text *channel_own_name(const struct channel *channel);

/* ---- admission.c ------------------------------------------------------------------------------- */

/* Whether the endpoint's rows let anybody in at all. */
enum verdict endpoint_verdict(const struct endpoint *endpoint);
/* 0: decided, in *verdict; MU_PENDING: somebody judges the credential, and channel_judged() follows. */
int admission_judge(struct channel *channel, enum verdict *verdict);
void channel_judged(struct relay *relay, mu_conn_id conn, enum verdict verdict, const struct mu_principal *principal);
/* Reads what the upgrade brought. False: memory is out. */
bool admission_read(struct channel *channel, const mu_ws_request *request);
void proof_free(struct proof *proof);
unsigned verdict_code(enum verdict verdict);
const char *verdict_reason(enum verdict verdict);
/* {"type":"system",…}; NULL when memory is out. */
mu_text *verdict_message(enum verdict verdict, const struct endpoint *endpoint, bool chinese);
mu_text *system_message(const char *level, const char *text);

/* ---- endpoints.c ------------------------------------------------------------------------------- */

int endpoints_init(struct relay *relay);
int endpoints_start(struct relay *relay);
void endpoints_fini(struct relay *relay);
/* Looks the endpoint up for a pending connection; channel_found() follows. Not 0: it does not. */
int endpoints_look_up(struct relay *relay, const char *key, mu_conn_id conn);
/* Held endpoints stay in memory. */
void endpoint_hold(struct endpoint *endpoint);
void endpoint_release(struct endpoint *endpoint);

/* ---- devices.c --------------------------------------------------------------------------------- */

void devices_identify(struct channel *channel, mu_conn *conn, const struct wire *wire);
/* The connection is no device any more. */
void devices_leave(struct channel *channel);
void device_hold(struct device *device);
void device_release(struct device *device);
void devices_poll(struct relay *relay);
void devices_fini(struct endpoint *endpoint);

/* ---- commands.c -------------------------------------------------------------------------------- */

int commands_init(struct relay *relay);
int commands_start(struct relay *relay);
void commands_fini(struct relay *relay);
void commands_ack(struct channel *channel, const struct wire *wire, bool success);

/* ---- data.c ------------------------------------------------------------------------------------ */

/* One value that waits for the database. */
struct datum {
  struct datum *next;
  struct device *device; /* held */
  const char *type, *unit;
  int64_t ms;
  uint32_t key_len, text_len;
  bool judged;  /* by the alert rules */
  char bytes[]; /* key, text */
};

void data_take(struct channel *channel, const struct wire *wire, int64_t now_ms);
/* The device's uuid is known. */
void data_settled(struct device *device);

/* ---- pending.c --------------------------------------------------------------------------------- */

int pending_init(struct relay *relay);
void pending_fini(struct relay *relay);
void pending_free(struct endpoint *endpoint);
bool pending_any(const struct endpoint *endpoint);
/* A message went out. */
void pending_message(struct endpoint *endpoint, mu_text *text, bool binary, mu_text *sender, int64_t now_ms);
void pending_datum(struct endpoint *endpoint, struct datum *datum);
/* Somebody came (+1) or left (-1). */
void pending_connection(struct endpoint *endpoint, int change);
struct datum *pending_data(const struct endpoint *endpoint);
/* The instance stops: all figures are written once more, with nobody connected. */
void pending_none_connected(struct relay *relay);
/* A write that is none of a batch began or ended: relay_flush() waits for it. */
void pending_write(struct endpoint *endpoint, int change);

/* ---- history.c --------------------------------------------------------------------------------- */

/* The text as it is kept: itself, or a cut copy. A reference; NULL when memory is out. */
mu_text *history_content(mu_text *text, bool binary);

/* ---- stats.c ----------------------------------------------------------------------------------- */

/* Nobody is connected yet; old data go from time to time. */
int stats_start(struct relay *relay);

void tasks_fini(struct relay *relay);

#endif
