/* SPDX-License-Identifier: ISC */
/**
 * @file client.h
 * A WebSocket client that stays connected: for uplinks. Loop thread only.
 *
 * Names are resolved off the loop; certificates are verified; after a break it connects again after
 * 3 s × 1.2ⁿ, at most 600 s, with ±20 % jitter, for ever.
 */
#ifndef MUSTER_CLIENT_H
#define MUSTER_CLIENT_H

#include <muster/base.h>

typedef struct mu_client mu_client;

struct mu_header {
  const char *name;
  const char *value;
};

/** Growth-only. Strings are copied. */
struct mu_client_options {
  size_t size;
  /** "ws://host:port/path" or "wss://…". */
  const char *url;
  const struct mu_header *headers;
  size_t header_count;
  /** Accept any certificate: development only; warns at each start. */
  bool tls_insecure;
  /** PEM file with authorities; NULL: the system's. */
  const char *tls_ca_file;
  /** A ping this often (0: 30 s); the link is cut when no pong came within `pong_within_s` (0: 45 s). */
  unsigned ping_every_s;
  unsigned pong_within_s;
  /** Messages that may wait while there is no link (0: 100); full: the oldest goes, counted. */
  size_t max_queue;
  /** Longest message accepted (0: 64 KiB). */
  size_t max_message;
  /** For protocols that must say who they are first: nothing waits for a link, and what a broken one had not sent is dropped. */
  bool no_queue;
};

/** Growth-only. All may be NULL. */
struct mu_client_events {
  size_t size;
  void (*open)(void *self);
  void (*message)(void *self, const char *data, size_t len, bool binary);
  /** The link ended or could not be made. `status`: HTTP status of a refused upgrade, or 0. `code`: close code, 1006 without one. */
  void (*closed)(void *self, int status, unsigned code, const char *reason, uint64_t retry_ms);
};

/** Checks the URL and copies the options; does not connect yet. NULL: bad URL (logged) or memory. */
MU_API mu_client *mu_client_new(mu_instance *in, const struct mu_client_options *options,
                                const struct mu_client_events *events, void *self);
MU_API void mu_client_start(mu_client *client);
MU_API bool mu_client_connected(const mu_client *client);
/**
 * Sends or queues a text message. 0, or MU_ELIMIT when an older one was dropped for it (with `no_queue`: refused, too many wait), or
 * MU_ECLOSED with `no_queue` and no link. Takes its own reference.
 */
MU_API int mu_client_send(mu_client *client, mu_text *text);
/** Messages dropped so far because the queue was full. */
MU_API uint64_t mu_client_dropped(const mu_client *client);
/**
 * Ends the link, or the attempt, with a code and makes a new one after `after_ms`, whatever the schedule says. `closed` follows.
 * While it waits for the next attempt, also inside `closed`: only moves that attempt. Not after mu_client_close().
 */
MU_API void mu_client_again(mu_client *client, unsigned code, const char *reason, uint64_t after_ms);
/** Closes with a code, does not come back. `closed` follows with retry_ms 0. */
MU_API void mu_client_close(mu_client *client, unsigned code, const char *reason);
/** NULL is allowed. */
MU_API void mu_client_free(mu_client *client);

#endif
