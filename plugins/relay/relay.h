/* SPDX-License-Identifier: ISC */
/**
 * @file relay.h
 * What the files of the relay share. Loop thread only.
 *
 * Who writes what: channel.c, endpoints.c, modes.c, devices.c, commands.c, data.c, pending.c, history.c, stats.c, tables.c are the WebSocket
 * side; rest*.c the REST API; alerts*.c the alert rules.
 *
 * Names: an endpoint's `uuid` is endpoints.id, its `key` endpoints.endpoint_id, the last part of its address and, by default, its only
 * credential: never in a log line. A device's `uuid` is devices.id, its `name_id` devices.device_id, as it calls itself.
 *
 * An endpoint is in memory while it has connections, something that is not written yet, or was used a moment ago. What REST changes in a row of
 * endpoints, users or devices it tells by the functions of "changes" below, after the commit; without that it takes effect within 10 s, like
 * changes of other programs.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <muster/muster.h>

#include "modes.h"

enum {
  RELAY_KEPT = 50,              /**< messages per endpoint */
  RELAY_CONTENT_MAX = 5000,     /**< characters of one */
  RELAY_DEVICE_ID_MAX = 64,     /**< characters */
  RELAY_NAME_MAX = 100,         /**< characters of a device's name */
  RELAY_COMMAND_MS = 5000,      /**< for an ack */
  RELAY_ENDPOINTS_MAX = 5,      /**< per user */
  RELAY_UUID_SIZE = 37,         /**< with its NUL */
  RELAY_TOKEN_DIGEST_SIZE = 65, /**< SHA-256 in lower-case hex, with its NUL */
};

/** Of alerts.mail: alerts_mail.c. */
struct mail_config {
  const char *server; /**< "": no mail */
  bool starttls;
  const char *user;
  const char *password;
  const char *from;
  const char *from_name;
  const char *ca_file;
  int64_t per_user;
  int64_t period;
};

/** Of alerts: alerts_notify.c. */
struct alert_config {
  int64_t days;
  const char *webhook;
  const char *webhook_secret;
  const char *webhook_ca_file;
  const char *public_url; /**< without a slash at its end; "" when not configured */
  const char *link_secret;
  struct mail_config mail;
};

/** Filled from the option table in plugin.c. */
struct config {
  const char *websocket_base_url; /**< "ws://host:3001", without a slash at its end; "" when not configured */
  int64_t max_message;
  int64_t max_waiting;
  int64_t max_connections;
  int64_t max_devices;
  int64_t max_history;
  int64_t messages_per_second;
  int64_t ping_every;
  int64_t flush_every;
  int64_t data_days;
  struct alert_config alerts;
};

enum relay_access {
  RELAY_ACCESS_OPEN,  /**< whoever knows the address */
  RELAY_ACCESS_TOKEN, /**< and the endpoint's token */
  RELAY_ACCESS_USER,  /**< and is its owner, by login token or API key */
};

struct relay;
struct endpoint;

/** A device of an endpoint in memory: it is connected, or something of it is not written yet. */
struct device {
  struct endpoint *endpoint;
  char *name_id;
  /** "" until the database has answered its first `identify`. */
  char uuid[192];
  mu_text *name; /**< devices.custom_name; never NULL */
  size_t connections;
  struct channel *newest; /**< where commands go: the connection that identified last; NULL: offline */
  size_t refs;
  unsigned asking; /**< times that the database is asked about it */
  bool listed;     /**< in relay->online */
};

/** What alerts.c keeps per endpoint. */
struct alerts;

/** A row of endpoints, its owner's state and its connections. Strings are never NULL. */
struct endpoint {
  struct relay *relay;
  char *uuid;
  char *key;
  char *name;
  char *user_id;
  enum relay_mode mode;
  char *header; /**< of RELAY_CUSTOM_HEADER; "" */
  bool disabled;
  int64_t disabled_ms;
  char *disabled_reason;
  bool banned; /**< its owner, or the owner is inactive */
  enum relay_access access;
  char token_digest[RELAY_TOKEN_DIGEST_SIZE]; /**< "" when none is set: then nobody gets in by token */
  char **origins;                             /**< ended by NULL; empty: any */

  mu_group *group;
  struct channel *channels;
  size_t connections;
  mu_map *devices; /**< by name_id */

  struct pending *pending; /**< what is not written yet; pending.c */
  struct alerts *alerts;   /**< alerts.c; NULL until it says otherwise */

  struct endpoint *next, **at; /* all of them */
  int64_t used_ns;             /* the last connection or look-up */
  unsigned held;               /* look-ups, commands and writes that point here */
  bool gone;                   /* its row was deleted */
};

struct relay {
  mu_instance *in;
  const struct config *config;
  const struct mu_store *store;
  void *store_self;
  const char *provider; /**< of its users: mu_principal.provider */

  struct endpoint *endpoints;
  mu_map *by_key;  /**< endpoints by key */
  mu_map *by_uuid; /**< endpoints by uuid */
  mu_map *online;  /**< connected devices by uuid */

  struct lookups *lookups;   /* endpoints.c */
  struct writing *writing;   /* pending.c */
  struct commands *commands; /* commands.c */
  struct channels *channels; /* channel.c */
  struct task *tasks;        /* what waits for an answer; tasks.c */
  struct rest *rest;         /**< rest.c's own */
  struct alerting *alerting; /**< alerts.c's own */

  mu_timer *poll, *prune;
  uint64_t epoch; /* changes so far: what was read before one is read again */
  bool stopping;
  bool written, awaited; /* all of it, at the end */
};

/* ---- asking ----------------------------------------------------------------------------------- */

/** NULL: not in memory, which says nothing about the database. */
struct endpoint *relay_endpoint(const struct relay *relay, const char *endpoint_uuid);
/** Whether it has a connection now, by devices.id. */
bool relay_device_online(const struct relay *relay, const char *device_uuid);

/* ---- changes, told after their commit --------------------------------------------------------- */

/** `error` 0, or why the database did not do it (struct mu_result). */
typedef void (*relay_done)(void *context, int error);
/**
 * The endpoint's row, its access row or its owner's row changed: read again and applied to open connections. `done` (may be NULL) is called when that
 * is so, possibly before this returns; not when the instance stops first. A PUT answers after it, so that the next message goes by the new rule.
 */
void endpoint_refresh(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context);
/** The endpoint was deleted: closes its connections now. */
void endpoint_gone(struct relay *relay, const char *endpoint_uuid);
/** A device was renamed. */
void device_renamed(struct relay *relay, const char *device_uuid, const char *name);

/* ---- writing ---------------------------------------------------------------------------------- */

/**
 * Writes what is pending of one endpoint (NULL: of all) and calls `done` once it is committed; possibly before this returns. A GET of
 * messages, statistics, data or commands calls it first, so that it never tells what a crash would take back.
 * Not called when the instance stops first.
 */
void relay_flush(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context);

/* ---- commands --------------------------------------------------------------------------------- */

/** What a device is asked to do. Everything is copied. */
struct relay_order {
  const char *endpoint_uuid;
  const char *device_uuid;
  const char *command;  /**< 1–100 characters */
  struct mu_str params; /**< a JSON object's text that passed the strict scan; empty: {} */
  const char *batch_id; /**< becomes params.batchId, sent and stored; NULL: none */
};
/**
 * `error` 0: it is stored and sent. MU_EUNAVAILABLE, MU_EIO, …: the database, and nothing was sent. MU_ECLOSED: the device left in the meantime,
 * and its row says failed. `command_id` "" unless it was stored.
 */
typedef void (*relay_commanded)(void *context, int error, const char *command_id, int64_t sent_ms, int64_t timeout_ms);
/**
 * Stores a command as pending, sends it to the device and follows it: its row becomes success, failed (both by the device's ack) or timeout.
 * `done` comes later, once, unless the instance stops first. 0, MU_ENOENT: the device is offline, MU_EINVAL, MU_ELIMIT, MU_ENOMEM: `done` is not called.
 */
int relay_command(struct relay *relay, const struct relay_order *order, relay_commanded done, void *context);

/* ---- device data ------------------------------------------------------------------------------- */

/** One value of a device as it is stored in device_data. */
struct data_value {
  struct mu_str key;
  struct mu_str text; /**< numbers, booleans and JSON as sent, strings unescaped */
  const char *type;   /**< "number", "boolean", "json", "string" */
  const char *unit;   /**< NULL: none */
  int64_t ms;
};

/* alerts*.c. */
enum { ALERT_OPTIONS = 7, MAIL_OPTIONS = 9 };
extern const struct mu_option alert_options[ALERT_OPTIONS];
extern const struct mu_option mail_options[MAIL_OPTIONS];
void alerts_check(const struct alert_config *config, struct mu_check *check);
/** Whether the other options can be taken as it runs. */
bool alerts_reconfigure(const struct alert_config *old, const struct alert_config *new_);
int alerts_init(struct relay *relay);
/** Called from the instance's stop: what hit is written. */
void alerts_stop(struct relay *relay);
/** Called from the instance's fini; alerts_init() may not have been. */
void alerts_fini(struct relay *relay);
/** The endpoint came into memory: load its enabled rules. */
void alerts_load(struct endpoint *endpoint);
/** The endpoint goes from memory: free endpoint->alerts. */
void alerts_unload(struct endpoint *endpoint);
/**
 * A value came; it will be stored with the next batch. device->uuid is set. Everything is borrowed. To write, use the store; the endpoint may go
 * from memory before `done`: name it by uuid.
 */
void alerts_value(struct device *device, const struct data_value *value);

/* rest.c. */
/** Claims the routes; called from init. */
int rest_init(struct relay *relay);
/** All services are bound; called from start. */
int rest_start(struct relay *relay);
void rest_fini(struct relay *relay);

/* ---- asking the store ------------------------------------------------------------------------- */

/** What waits for an answer that does not come when the instance stops first; freed then. Put it first into a struct of your own. */
struct task {
  struct task *next, **at;
  struct relay *relay;
  void (*release)(struct task *task); /* what hangs on it; may be NULL */
};
/** Zeroed memory that begins with a struct task; NULL when memory is out. */
void *task_new(struct relay *relay, size_t size, void (*release)(struct task *task));
/** Releases and frees. NULL is allowed. */
void task_free(void *task);
/** One statement that gives rows; `done` gets `context`. As mu_store.read(). */
int relay_read(struct relay *relay, struct mu_sql sql, const struct mu_value *values, size_t count, mu_store_done done,
               void *context);
/** One transaction of one statement; `expect` as in struct mu_statement. */
int relay_write(struct relay *relay, struct mu_sql sql, const struct mu_value *values, size_t count, int64_t expect,
                mu_store_done done, void *context);

/* ---- small things ------------------------------------------------------------------------------ */

/** A random UUID v4. 0 or MU_EIO. */
int relay_uuid(char out[RELAY_UUID_SIZE]) MU_MUST_USE;
/** Many of them. */
int relay_uuids(char (*out)[RELAY_UUID_SIZE], size_t count) MU_MUST_USE;
/** `len` URL-safe random characters and a NUL. 0 or MU_EIO. */
int relay_random_id(char *out, size_t len) MU_MUST_USE;
/** SHA-256 of a token in lower-case hex, as muster_endpoint_access keeps it. 0 or MU_EIO. */
int relay_digest(struct mu_str token, char out[RELAY_TOKEN_DIGEST_SIZE]) MU_MUST_USE;
/** The unit that goes with a key's name, or NULL. */
const char *relay_unit(struct mu_str key);

/* tables.c */
/** Brings the tables up to date; what is asked afterwards waits for it. */
int tables_migrate(struct relay *relay);

#endif
