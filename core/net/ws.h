/* SPDX-License-Identifier: ISC */
/* What conn.c, admit.c, queue.c, group.c and wheel.c share. */
#ifndef MUI_NET_WS_H
#define MUI_NET_WS_H

#include "net/internal.h"
#include "net/reassembly.h"

enum {
  MUI_RX_BUFFER = 2048,   /* bytes of a message that the library hands over at once */
  MUI_TX_PACKET = 65536,  /* bytes of a write; a frame that is longer goes out in fragments */
  MUI_TLS_RECORD = 16384, /* bytes of a fragment within TLS, which takes one record at a time */
  MUI_UNSENT_MAX = 32768, /* bytes in the kernel that the network has not taken, beyond which nothing more is written */
  MUI_WHEEL_SLOTS = 64,   /* seconds */
};

enum mui_conn_state {
  MUI_CONN_ADMITTED, /* the answer to the upgrade is not out yet */
  MUI_CONN_PENDING,  /* upgraded; nothing is read until mu_conn_admit() */
  MUI_CONN_OPEN,
  MUI_CONN_CLOSING, /* decided; the close frame follows when it is writable */
  MUI_CONN_ENDING,  /* the close frame is with the library, or the peer began, or the link broke */
};

/* One waiting message. `text` NULL: dropped in the meantime. */
struct mui_waiting {
  uint64_t key; /* 0: never replaced */
  mu_text *text;
  bool binary;
  bool directed; /* sent to this connection alone */
  bool fence;    /* what waits before it is not replaced in its place: newer news would overtake this one */
};

/* Messages that wait for one reader: a ring, and beyond a few keyed ones an index by key. Zero-initialise. */
struct mui_queue {
  struct mui_waiting *ring;
  uint32_t capacity; /* power of two */
  uint32_t head;     /* serial of the oldest; serial & (capacity - 1) is its place */
  uint32_t count;    /* dropped ones included */
  uint32_t *index;   /* serial + 1 by hashed key; 0: free. Serials that have left are skipped */
  uint32_t index_size, index_used;
  uint32_t fence; /* serial of the newest fence, if `fenced` */
  bool fenced;
  size_t bytes; /* of frames, and a little for each entry */
};

struct mui_member;

struct mu_conn {
  struct lws *wsi;
  struct mui_session *session;
  struct mui_net *net;
  struct mui_route *route; /* NULL: its instance has stopped */
  mu_conn_id id;
  void *data;
  const struct mu_principal *principal;
  char *peer; /* NULL: session->address */
  struct mui_member *members;
  struct mui_queue queue;
  struct mui_waiting begun; /* the message that goes out in fragments; text NULL: none. No longer in the queue */
  size_t begun_at;          /* how much of it has been written */
  struct mui_assembly assembly;
  struct mu_conn *wheel_next, **wheel_pprev;
  struct mu_conn *dirty_next, **dirty_pprev;
  int64_t heard_ns;
  char *reason;       /* of the close */
  uint32_t due_s;     /* when the wheel looks at it */
  uint32_t ping_s;    /* when the next ping is due */
  uint32_t message_s; /* when the unfinished message must be whole; 0: there is none */
  uint32_t limit_s;   /* when a close or a pending admission must have come to an end; 0: none */
  uint32_t blocked_s; /* since when nothing was taken; 0: it is not blocked */
  int unsent;         /* bytes in the kernel when that was looked at */
  uint16_t code;      /* of the close; 0: none yet */
  uint8_t state;
  uint8_t pings; /* unanswered */
  bool pending;  /* not admitted (yet): nothing is sent or read, and it is in no group */
  bool ping_due; /* goes out before the next fragment */
  bool upgraded;
  bool opened; /* open() was called, or data wait to be freed: closed() is owed */
};

struct mui_slot {
  struct mu_conn *conn;
  uint32_t next_free; /* slot + 1 */
};

struct mui_net_ws {
  struct mui_slot *slots;
  uint32_t slot_count, free_slot; /* slot + 1 */
  uint64_t serial;
  size_t conns;
  struct mu_conn *wheel[MUI_WHEEL_SLOTS];
  uint32_t now_s; /* the second that the wheel is at */
  int64_t began_ns;
  mu_timer *second;
  struct mu_conn *dirty; /* written to at the end of this turn of the loop */
  mu_timer *flush;
  char scratch[MUI_RX_BUFFER + 1];
  unsigned char write[LWS_PRE + MUI_TX_PACKET];
};

/* ---- admit.c --------------------------------------------------------------------------------- */

/* Judges an upgrade. 0: go on, the session has a connection. -1: refused and answered. */
int mui_ws_upgrade(struct lws *wsi, struct mui_session *session, const char *protocol);

/* ---- conn.c ---------------------------------------------------------------------------------- */

/* A connection in state ADMITTED, in the slot table; NULL: no memory. */
struct mu_conn *mui_conn_new(struct mui_session *session, struct lws *wsi, struct mui_route *route);
/* Tells the plugin, leaves everything, frees. */
void mui_conn_gone(struct mu_conn *conn);
static inline bool mui_conn_live(const struct mu_conn *conn)
{
  return conn->state <= MUI_CONN_OPEN;
}
/* The library closes for wrong frames by itself and does not say so: after its close frame nothing may be written. */
bool mui_conn_library_closes(struct mu_conn *conn);
/* The link is of no use any more: the library ends it soon, not now. */
void mui_conn_break(struct mu_conn *conn);

/* ---- queue.c --------------------------------------------------------------------------------- */

/* 0, MU_ELIMIT (over `max`, nothing was taken) or MU_ENOMEM. `conflate`: never over the limit; see group.h. */
MUI_API int mui_queue_put(struct mui_queue *queue, const struct mui_waiting *message, bool conflate, size_t max);
MUI_API void mui_queue_clear(struct mui_queue *queue);
static inline bool mui_queue_empty(const struct mui_queue *queue)
{
  return queue->count == 0;
}
/* Whether a message with this key waits; `key` is not 0. */
MUI_API bool mui_queue_has(struct mui_queue *queue, uint64_t key);
/* Whether messages wait that were sent to this connection alone. */
MUI_API bool mui_queue_directed(const struct mui_queue *queue);
/* Takes out the oldest message if its frame is longer than `size`; its reference passes to the caller. */
MUI_API bool mui_queue_take_long(struct mui_queue *queue, size_t size, struct mui_waiting *message);
/*
 * Gathers whole frames, at most `size` bytes, into `into`; one larger frame comes alone, *out then points into *held, whose
 * reference passes to the caller. Returns the bytes; 0: nothing waits.
 */
MUI_API size_t mui_queue_take(struct mui_queue *queue, unsigned char *into, size_t size, unsigned char **out,
                              mu_text **held, unsigned *messages);

/* Queues, or writes at once if the reader is idle and `now`. As mu_conn_send(). */
int mui_conn_put(struct mu_conn *conn, const struct mui_waiting *message, bool conflate, bool now);
/* Writes what waits, as far as one write goes. */
void mui_conn_flush(struct mu_conn *conn);
/* A ping of our own, now, if nothing waits (true: it was sent), or before the next fragment of a long message. */
bool mui_conn_ping(struct mu_conn *conn);
/* Forgets what waits, and the rest of a message that goes out. */
void mui_conn_forget(struct mu_conn *conn);
void mui_ws_flush_dirty(void *net_ws);

/* ---- group.c --------------------------------------------------------------------------------- */

void mui_conn_leave_all(struct mu_conn *conn);

/* ---- wheel.c --------------------------------------------------------------------------------- */

/* Looks at the connection at `at_s` at the latest. */
void mui_wheel_by(struct mu_conn *conn, uint32_t at_s);
void mui_wheel_remove(struct mu_conn *conn);
/* Timer: the next second. */
MUI_API void mui_wheel_second(void *net_ws);

#endif
