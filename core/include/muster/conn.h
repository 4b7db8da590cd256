/* SPDX-License-Identifier: ISC */
/**
 * @file conn.h
 * WebSocket connections of the server: routes, messages, sending, closing. Loop thread only.
 *
 * A connection is borrowed inside a callback. Across time it is named by its id, which is never used twice: a late
 * answer can never reach a stranger.
 */
#ifndef MUSTER_CONN_H
#define MUSTER_CONN_H

#include <muster/auth.h>
#include <muster/base.h>

typedef struct mu_conn mu_conn;
/** Names a connection for ever; 0 is none. */
typedef uint64_t mu_conn_id;

/** Close codes of RFC 6455 and Muster's own. */
enum mu_close {
  MU_CLOSE_NORMAL = 1000,
  MU_CLOSE_GOING_AWAY = 1001,
  MU_CLOSE_UNSUPPORTED = 1003,
  MU_CLOSE_BAD_TEXT = 1007,
  MU_CLOSE_POLICY = 1008,
  MU_CLOSE_TOO_BIG = 1009,
  MU_CLOSE_INTERNAL = 1011,
  MU_CLOSE_TRY_LATER = 1013,
  MU_CLOSE_AUTH_TIMEOUT = 4001,
  MU_CLOSE_AUTH_REFUSED = 4002,
  MU_CLOSE_DELETED = 4003,
  MU_CLOSE_RATE = 4008,
  MU_CLOSE_REPLACED = 4009,
  MU_CLOSE_REVOKED = 4010,
};

/** A request for an upgrade; borrowed for the call. */
typedef struct mu_ws_request mu_ws_request;
MU_API struct mu_str mu_ws_request_path(const mu_ws_request *request);
/** Name in lower case, without colon. False: not there. The view is valid for the call. */
MU_API bool mu_ws_request_header(const mu_ws_request *request, const char *name, struct mu_str *value);
/** A decoded query parameter, as above. */
MU_API bool mu_ws_request_query(const mu_ws_request *request, const char *name, struct mu_str *value);
/** The client's address as text, taken from trusted proxies' headers where those apply. */
MU_API const char *mu_ws_request_peer(const mu_ws_request *request);
/** The id that the connection has if it is admitted: for mu_conn_admit() after MU_PENDING. */
MU_API mu_conn_id mu_ws_request_conn(const mu_ws_request *request);

/** What admit() decided. */
struct mu_admission {
  /** A refusal's HTTP status (400–599); 0 with MU_EREFUSED is 403. */
  int status;
  /** A refusal's machine-readable code, snake_case, a string literal: {"code":…,"message":…} is the answer's body. */
  const char *code;
  const char *message;
  /** Sent as Retry-After unless 0. */
  unsigned retry_after_s;
  /** Admitted: who it is, or NULL. The core takes its own reference. */
  const struct mu_principal *principal;
  /** Admitted: kept for mu_conn_data(). */
  void *data;
};

enum mu_origin_rule {
  MU_ORIGIN_SAME, /**< a browser's Origin must name this host, or be in the listener's `origins`; no Origin is fine */
  MU_ORIGIN_ANY,  /**< for channels with credentials of their own in each message */
  MU_ORIGIN_NONE, /**< programs only: any Origin is refused */
};

struct mu_message {
  const char *at; /**< followed by a NUL that is not part of it */
  size_t len;
  bool binary;
};

/** A WebSocket path. Growth-only; it and its strings are copied. The callbacks' `self` is the one that was given to mu_ws_route(). */
struct mu_ws_route {
  size_t size;
  /** "/ws-report", or a prefix that ends in '/' followed by '*': "/ws/" "*". Exact beats prefix, long beats short. */
  const char *path;
  enum mu_origin_rule origin;
  /** Longest message in bytes; over it 1009. 0: 64 KiB. */
  size_t max_message;
  /** Accept binary messages; otherwise 1003. */
  bool binary;
  /**
   * Whatever subprotocol a client offers first is accepted and echoed; otherwise an offer is refused with 400. So are, always, what is
   * no list of names, a list of more than 126 bytes, and a first name of more than 62 or that is a number.
   */
  bool any_subprotocol;
  /** The server sends a ping this often; 0: 30 s. Two unanswered: the link is cut. */
  unsigned ping_every_s;
  /** Closed with 1001 when nothing at all, ping and pong included, came for this long; 0: never. */
  unsigned silent_after_s;
  /** Bytes that may wait for a reader that does not read; beyond, by policy (group.h). 0: 256 KiB. */
  size_t max_queue;
  /**
   * Decides before the upgrade. 0: admitted. MU_EREFUSED: refused as `admission` says. MU_PENDING: upgraded, but not open: nothing is
   * read or sent until mu_conn_admit(); keep mu_ws_request_conn() for it. Without a decision for 30 s it is closed with 4001.
   * NULL: everybody is admitted.
   */
  int (*admit)(void *self, const mu_ws_request *request, struct mu_admission *admission);
  /** Admitted and open, after MU_PENDING not before mu_conn_admit() said so; a negative value closes it with 1011. May be NULL. */
  int (*open)(void *self, mu_conn *conn);
  /** One whole message, valid UTF-8 unless binary. A negative value is counted and logged; the link stays. */
  int (*message)(void *self, mu_conn *conn, const struct mu_message *message);
  /**
   * After the last of the others; once per open, and once for an admission with `data` that never came to open. `code` 1006:
   * the link broke, 1005: the peer gave none. May be NULL.
   */
  void (*closed)(void *self, mu_conn *conn, unsigned code);
};

/** Claims a path. MU_EEXIST: somebody else has it, and the log names both. Call from init. */
MU_API int mu_ws_route(mu_instance *in, const struct mu_ws_route *route, void *self);

/** Whether a listener that serves this instance has an address other than loopback. Listeners open after all plugins have started. */
MU_API bool mu_net_public(mu_instance *in);

MU_API mu_conn_id mu_conn_get_id(const mu_conn *conn);
/** NULL: it is gone or closing. A connection whose admission is pending is found, too. */
MU_API mu_conn *mu_conn_find(mu_instance *in, mu_conn_id id);
/**
 * The decision after MU_PENDING. `code` 0: open() runs, before this returns if the upgrade is through, and messages are read;
 * otherwise the connection is closed so, and open() never runs. Without effect on a connection that is not pending.
 */
MU_API void mu_conn_admit(mu_conn *conn, unsigned code, const char *reason);

MU_API void *mu_conn_data(const mu_conn *conn);
MU_API void mu_conn_set_data(mu_conn *conn, void *data);
/** NULL: nobody logged in. Borrowed. */
MU_API const struct mu_principal *mu_conn_principal(const mu_conn *conn);
MU_API void mu_conn_set_principal(mu_conn *conn, const struct mu_principal *principal);
MU_API const char *mu_conn_peer(const mu_conn *conn);
/** mu_mono_ns() of the last byte that came. */
MU_API int64_t mu_conn_last_heard(const mu_conn *conn);

/**
 * Sends a text message: written at once if nothing waits, else queued. Takes its own reference.
 * 0, MU_ECLOSED, MU_EBUSY: its admission is pending, or MU_ELIMIT: the queue was full and it is being closed with 1013.
 */
MU_API int mu_conn_send(mu_conn *conn, mu_text *text);
/**
 * As mu_conn_send(), but replaces a waiting message with the same non-zero key: live state. The number of keys is the bound:
 * nobody is closed for being slow.
 */
MU_API int mu_conn_send_latest(mu_conn *conn, uint64_t key, mu_text *text);
MU_API int mu_conn_send_binary(mu_conn *conn, mu_text *bytes);
/**
 * Closes with a code and a reason (at most 123 bytes) that the client is sure to see if it still reads; what waits
 * is dropped unless it was sent with mu_conn_send() just before (up to one write of 64 KB goes out first).
 */
MU_API void mu_conn_close(mu_conn *conn, unsigned code, const char *reason);

#endif
