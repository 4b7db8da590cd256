/* SPDX-License-Identifier: ISC */
/* What the files of the alert rules share: alerts.c rules in memory, alerts_hits.c hits on their way to the store, alerts_notify.c webhooks,
 * alerts_mail.c mail. */
#ifndef RELAY_ALERTS_H
#define RELAY_ALERTS_H

#include "relay.h"

enum {
  ALERT_RULES_MAX = 50,     /* per user */
  ALERT_PAUSE_MS = 300000,  /* between two hits of a rule */
  ALERT_TEXT_MAX = 100,     /* characters of a value and of a threshold */
  ALERT_LINK_S = 24 * 3600, /* how long a link of a notification is good */
};

enum alert_operator {
  ALERT_ABOVE,
  ALERT_BELOW,
  ALERT_AT_LEAST,
  ALERT_AT_MOST,
  ALERT_EQUAL,
  ALERT_OTHER,
  ALERT_NO_OPERATOR,
};

/** ALERT_NO_OPERATOR: none of the six. */
enum alert_operator alert_operator_of(struct mu_str text);
/** Whether it takes numbers only. */
bool alert_is_numeric(enum alert_operator operator_);
/** A finite decimal number and nothing else. */
bool alert_number(struct mu_str text, double *number);
/** Whether a value of a type of device_data ("number", …) is a hit. */
bool alert_matches(enum alert_operator operator_, struct mu_str threshold, struct mu_str text, const char *type);
/** Whether a rule that hit at `last_ms` (0: never) may hit again; the clock may have been set in between. */
bool alert_may_hit(int64_t last_ms, int64_t now_ms);

/** A rule that is enabled. */
struct rule {
  struct rule *next;
  char *id, *user, *name, *device, *device_name_id, *device_name, *endpoint, *endpoint_name, *key, *sign, *threshold,
      *level;
  enum alert_operator operator_;
  int64_t last_ms; /* its last hit; 0: none */
};

/** A hit until it is stored, and told. */
struct hit {
  struct hit *next, **at;
  struct alerting *alerting; /* being told */
  struct rule rule;          /* as it was */
  char id[RELAY_UUID_SIZE];
  char *value;
  int64_t ms;
  unsigned tries;
  int64_t due_ns; /* being told: the next try; INT64_MAX: on its way */
};

struct alerting {
  struct relay *relay;
  uint64_t serial; /* of questions for rules: what was asked later is newer */
  mu_timer *poll, *tick, *prune;
  struct hit *hits, **hits_end; /* to be stored */
  struct hit *flying;           /* being stored */
  size_t hit_count;
  int64_t retry_ns;
  struct hit *notices, **notices_end; /* to be told */
  size_t notice_count;
  struct mu_fetcher *fetcher;
  mu_token_key *key; /* of links */
  struct mails *mails;
  mu_counter *hit, *dropped, *told, *untold;
};

/* ---- alerts.c ---------------------------------------------------------------------------------- */

/** Copies the texts. False: memory is out, and nothing is kept. */
bool rule_copy(struct rule *to, const struct rule *from);
void rule_clear(struct rule *rule);
/** Rules of the endpoint changed: read again. `done` as in endpoint_refresh(). */
void alerts_refresh(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context);

/* ---- alerts_hits.c ----------------------------------------------------------------------------- */

int hits_init(struct alerting *alerting);
void hits_fini(struct alerting *alerting);
void hit_free(struct hit *hit);
/** A rule hit. False: it could not be kept. */
bool hits_add(struct alerting *alerting, const struct rule *rule, struct mu_str value, int64_t now_ms);
/** When the rule hit last, of what is not stored yet; 0: not. */
int64_t hits_last(const struct alerting *alerting, const char *rule_id);

/* ---- alerts_notify.c --------------------------------------------------------------------------- */

enum {
  NOTICES_MAX = 1000, /* that wait, of webhooks and of mails */
  NOTICE_TRIES = 4,
  LINK_SECRET_MIN = 32,
};
/** Nanoseconds until the next try, after so many. */
int64_t notice_pause_ns(unsigned tries);
/** The address of a link that is good once; false: links are not configured, or memory is out. */
bool notify_link(const struct alerting *alerting, const struct hit *hit, struct mu_buf *link);
int notify_init(struct alerting *alerting);
void notify_fini(struct alerting *alerting);
/** Stored, and its memory is given away. */
void notify_add(struct alerting *alerting, struct hit *hit);
/** What is due is sent. True: something waits. */
bool notify_tick(struct alerting *alerting, int64_t now_ns);
/** The tick, started when something waits. */
void alerts_wake(struct alerting *alerting);
/** alert_history.id of a link's token, into `id`. 0, MU_EREFUSED, MU_ESYNTAX, MU_ETIMEOUT. */
int notify_token(const struct alerting *alerting, struct mu_str token, char id[192]);

/* ---- alerts_mail.c ----------------------------------------------------------------------------- */

int mails_init(struct alerting *alerting);
void mails_fini(struct alerting *alerting);
void mails_check(const struct mail_config *config, struct mu_check *check);
/** A hit that is stored. */
void mails_add(struct alerting *alerting, const struct hit *hit);
/** What is due is sent. True: something waits. */
bool mails_tick(struct alerting *alerting, int64_t now_ns);

#endif
