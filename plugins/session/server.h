/* SPDX-License-Identifier: ISC */
/* What the files of the server component share: connections, machines, answers. */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include <muster/muster.h>

#include "codec.h"
#include "limits.h"
#include "tokens.h"

struct server;

struct config {
  const char *jwt_secret;
  int64_t token_hours;
  int64_t admin_token_hours;
  int64_t auth_timeout;
  int64_t ping_every;
  int64_t failed_auths_per_minute;
  int64_t messages_per_minute;
  int64_t reports_per_minute;
  bool allow_agent_token_as_admin;
};

/* A connection. */
struct link {
  struct server *server;
  struct link *next, **at; /* all of them */
  mu_conn_id conn;
  enum mu_session_scope scope;
  bool pending;     /* somebody judges what it proved itself with */
  bool ended;       /* its machine was deleted: what still comes is ignored */
  bool named;       /* gave a name of its own, so that its host name is none */
  bool durable;     /* was told so */
  bool reported;    /* sent a sample already */
  bool hole;        /* a sample was not taken: no later one is, until it reconnects and sends it again */
  uint8_t bad_json; /* so far */
  uint8_t pings;    /* since the last message */
  uint8_t refused;  /* messages over the rate, in the minute that began at refused_ns */
  int64_t opened_ns;
  int64_t ping_ns; /* the next one */
  int64_t refused_ns;
  int64_t hole_ns;
  int64_t expires_s; /* admins: Unix seconds; 0: never */
  struct bucket messages, reports;
  struct place *place; /* agents; NULL once the machine is deleted */
  const struct mu_machine *machine;
};

enum { PAST_BOOTS = 4 };

/* What is known of a machine across its connections, until it is deleted. */
struct place {
  uint64_t handle;
  struct link *link; /* NULL: not connected */
  uint64_t seq;      /* the newest live sample: its number in `boot`, which is empty when there was none */
  int64_t time_ms;   /* by the agent's clock, but never later than it came */
  char boot[SESSION_BOOT_MAX + 1];
  uint64_t past[PAST_BOOTS]; /* hashes of the runs before, newest first; 0: none */
  bool ack;                  /* waits in acks */
  uint64_t ack_seq;
  char ack_boot[SESSION_BOOT_MAX + 1];
  struct place *next_ack;
};

struct server {
  mu_instance *in;
  const struct config *config;
  const struct mu_machines *machines;
  void *machines_self;
  const mu_form *form;
  struct codec codec;
  mu_map *handlers; /* by type */
  mu_map *places;   /* by handle */
  struct link *links;
  struct attempt *attempts; /* credentials that somebody judges */
  struct failures failures;
  mu_token_key *key;
  struct revocations revocations;
  int64_t longest_s; /* that a token may live, by any configuration so far */
  mu_timer *sweep, *ack_timer;
  struct place *acks; /* those that wait for one */
  mu_text *ping, *pong;
  struct {
    mu_instance *in;
    struct mu_session_keeper ops;
    void *self;
  } keeper;
  struct user *users; /* instances whose end is noticed */
  mu_counter *granted, *resumed, *refused, *limited, *unavailable, *timeouts, *bad_json, *bad_fields, *unknown,
      *out_of_place, *rate_limited, *replaced, *failed, *replays, *not_kept, *deleted, *silent;
};

/* ---- server.c: connections ------------------------------------------------------------------- */

int server_open(void *self, mu_conn *conn);
int server_message(void *self, mu_conn *conn, const struct mu_message *message);
void server_closed(void *self, mu_conn *conn, unsigned code);
/* {"type":"error",…}: 0 or an error of mu_conn_send(). */
int server_error(mu_conn *conn, const char *code, const char *message, const char *ref_type, unsigned retry_after_s);
/* The service's error(). */
int session_error(void *self, mu_conn *conn, const char *code, const char *message, const char *ref_type,
                  unsigned retry_after_s);
/* Sends what a buffer holds and frees it. */
int server_send(mu_conn *conn, struct mu_buf *text);
/* One limited line about a peer that does something wrong, with a counter. */
void server_wrong(struct server *server, const mu_conn *conn, mu_counter *counter, const char *topic, const char *what);

/* ---- dispatch.c: message types --------------------------------------------------------------- */

int dispatch_init(struct server *server);
void dispatch_fini(struct server *server);
/* The service's handle(). */
int dispatch_handle(void *self, mu_instance *in, const struct mu_session_handler *handler, void *handler_self);
/* Reads a message and gives it to its handler, or answers what is wrong with it. */
int dispatch_message(struct link *link, mu_conn *conn, struct mu_str text);
/* What `in` registers here ends with it. 0 or an error. */
int dispatch_user(struct server *server, mu_instance *in);

/* ---- auth.c: credentials --------------------------------------------------------------------- */

int auth_message(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
/* The service's prove(). */
int auth_prove(void *self, mu_instance *in, mu_conn *conn, struct mu_str token, enum mu_session_scope wanted,
               const char *refuse, mu_session_proved done, void *context);
/* `auth.revoked` */
void auth_on_revoked(void *self, const struct mu_event *event);
/* The time is over for a connection that has not said who it is. */
void auth_too_late(struct link *link, mu_conn *conn);
/* The connection ends, perhaps while its credential is judged: who does not wait for the answer failed, until the key proves good. */
void auth_left(struct link *link);
/* A user of prove() stopped: nobody is told any more. */
void auth_forget_user(struct server *server, mu_instance *in);
void auth_fini(struct server *server);

/* ---- agents.c: machines ---------------------------------------------------------------------- */

enum arrival { ARRIVED, ARRIVAL_DELETED, ARRIVAL_TOO_MANY, ARRIVAL_FAILED };

/* Makes the link its machine's and the machine online; an older link goes. `id` empty: it gets one by its address. */
enum arrival agents_arrive(struct link *link, mu_conn *conn, const struct mu_principal *principal, struct mu_str id,
                           struct mu_str name);
/* Takes that back. Without effect on a link that has no machine. */
void agents_leave(struct link *link);
int agents_info(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
int agents_heartbeat(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
int agents_data(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
void agents_on_deleted(void *self, const struct mu_event *event);
/* {"type":"machine_deleted",…} and the end of the connection. */
void agents_say_deleted(struct link *link, mu_conn *conn);
struct place *agents_place(struct server *server, const struct mu_machine *machine);
int agents_send(void *self, const struct mu_machine *machine, struct mu_str payload);
void agents_fini(struct server *server);
extern const struct mu_form_ops agents_form, agents_canonical_form;

/* ---- keeper.c: samples that are stored ------------------------------------------------------- */

int keeper_keep(void *self, mu_instance *in, const struct mu_session_keeper *keeper, void *keeper_self);
void keeper_stored(void *self, const struct mu_machine *machine, const char *boot, uint64_t seq);
void keeper_forget_user(struct server *server, mu_instance *in);
void keeper_sample(struct link *link, const struct mu_session_sample *sample);
/* A sample of this agent was not taken: what comes after it must not be acknowledged. */
void keeper_gap(struct link *link);
/* The place goes: no acknowledgement any more. */
void keeper_drop(struct server *server, struct place *place);
void keeper_tick(void *self);

/* ---- ping.c: what time brings ---------------------------------------------------------------- */

void ping_sweep(void *self);

#endif
