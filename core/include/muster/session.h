/* SPDX-License-Identifier: ISC */
/**
 * @file session.h
 * The service session/1: further message types on the connections of the session protocol. Loop thread only.
 *
 * A message is one JSON object with a text member "type". Whoever registers a type gets its messages, checked against the
 * type's own field table in the one pass that the protocol makes anyway. docs/session.md has the types that exist.
 */
#ifndef MUSTER_SESSION_H
#define MUSTER_SESSION_H

#include <muster/auth.h>
#include <muster/conn.h>
#include <muster/json.h>
#include <muster/machines.h>

/** Who a connection is, by the scope of what it proved itself with. As bits, or-ed, where several may. */
enum mu_session_scope {
  MU_SESSION_NOBODY = 1, /**< has not said yet */
  MU_SESSION_AGENT = 2,  /**< speaks for one machine */
  MU_SESSION_ADMIN = 4,  /**< watches a user's machines */
};

/** Who sent a message; borrowed for the call. Growth-only. */
struct mu_session_peer {
  size_t size;
  mu_conn *conn;
  enum mu_session_scope scope;
  /** Who it is; NULL for MU_SESSION_NOBODY. The user is (provider, owner). */
  const struct mu_principal *principal;
  /** MU_SESSION_AGENT: the machine; otherwise NULL. Reference it to keep it. */
  const struct mu_machine *machine;
};

/** A message; borrowed for the call. Growth-only. */
struct mu_session_message {
  size_t size;
  /** The whole text, which the strict scan has accepted. */
  struct mu_str text;
  /** The handler's struct, filled in by its field table; NULL without table. */
  const void *fields;
};

/** A message type. Growth-only; it, its strings and its table are copied. */
struct mu_session_handler {
  size_t size;
  /** [a-z][a-z0-9_]*, at most 31 characters. */
  const char *type;
  /** enum mu_session_scope values, or-ed: who may send it. Others get `not_authenticated` or `forbidden`. */
  unsigned scopes;
  /** The members beside "type"; a message that breaks the table gets `bad_field` or `bad_json` and does not arrive. */
  const struct mu_field *fields;
  size_t field_count;
  size_t field_size; /**< sizeof(struct mu_field) as the caller was compiled */
  /** sizeof the struct that the table's offsets lie in; 0: nothing is kept. At most 4 KiB. */
  size_t fields_size;
  /** A negative value is counted and answered with the error code `internal`; the connection stays. */
  int (*message)(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message);
};

/** A sample for whoever stores samples; borrowed for the call. Growth-only. */
struct mu_session_sample {
  size_t size;
  const struct mu_machine *machine;
  /** The agent's run, at most 64 characters, and the number within it. */
  const char *boot;
  uint64_t seq;
  /** Unix ms by the agent's clock; 0: it did not say. */
  int64_t time_ms;
  /** Canonical: a JSON object {collector: {metric: value}}. */
  mu_text *metrics;
};

/** Who stores samples, so that they can be acknowledged. Growth-only. */
struct mu_session_keeper {
  size_t size;
  /**
   * Takes a sample; stored() follows once it is committed. Negative: not taken, the agent sends it again after a reconnect. Also called
   * with samples that were stored before: storing is idempotent by (machine, boot, seq).
   */
  int (*sample)(void *self, const struct mu_session_sample *sample);
  /** The newest committed sample of a machine: fills `boot` (65 bytes) and `seq`. 0, or MU_ENOENT: none is known. */
  int (*last)(void *self, const struct mu_machine *machine, char *boot, uint64_t *seq);
};

/** Called once. `scope` 0: refused, and the error was sent. The connection is looked up by its id: it may have gone meanwhile. */
typedef void (*mu_session_proved)(void *context, mu_conn_id conn, enum mu_session_scope scope);

/** The service "session/1". Growth-only. */
struct mu_session {
  size_t size;
  /** Registers a message type; ends with `in`. 0, MU_EINVAL, MU_ENOMEM, or MU_EEXIST: the type is taken, and the log names both. */
  int (*handle)(void *self, mu_instance *in, const struct mu_session_handler *handler, void *handler_self);
  /**
   * Takes a session token for a connection that is MU_SESSION_NOBODY, or admin already of the same user, as `admin_connect` does: checks
   * signature, time, revocation, the user and that its scope is `wanted`. On success the connection has that scope and principal.
   * `refuse` is the message type of a refusal: {"type":refuse,"message":…,"code":…}; too many failures are counted by address, as auth's.
   * 0: `done` was called, MU_PENDING: it will be (not at all when `in` stops first).
   */
  int (*prove)(void *self, mu_instance *in, mu_conn *conn, struct mu_str token, enum mu_session_scope wanted,
               const char *refuse, mu_session_proved done, void *context);
  /** Sends {"type":"error","code":…,"message":…,"refType":…,"retryAfter":…}; `ref_type` NULL and `retry_after_s` 0 are left out. */
  int (*error)(void *self, mu_conn *conn, const char *code, const char *message, const char *ref_type,
               unsigned retry_after_s);
  /** Sends {"type":"data","payload":…} to the machine's connection; `payload` is any JSON value. 0, MU_ENOENT: no link, or MU_ELIMIT. */
  int (*send)(void *self, const struct mu_machine *machine, struct mu_str payload);
  /** Makes `in` the keeper of samples; ends with `in`. MU_EEXIST: there is one. Until then agents are told durable: false. */
  int (*keep)(void *self, mu_instance *in, const struct mu_session_keeper *keeper, void *keeper_self);
  /** The keeper has committed every sample of (machine, boot) up to `seq`: acknowledged within a second. */
  void (*stored)(void *self, const struct mu_machine *machine, const char *boot, uint64_t seq);
};
#define MU_SERVICE_SESSION "session/1"

#endif
