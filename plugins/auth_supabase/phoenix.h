/* SPDX-License-Identifier: ISC */
/* Frames of Supabase's Realtime: [join_ref, ref, topic, event, payload], version 2.0.0 of Phoenix's serializer. Any thread. */
#ifndef AUTH_SUPABASE_PHOENIX_H
#define AUTH_SUPABASE_PHOENIX_H

#include <muster/base.h>

/* What is watched. */
struct phoenix_channel {
  const char *topic; /* "realtime:…" */
  const char *schema;
  const char *table;
  const char *id_column;
  const char *owner_column; /* "": not looked at */
};

enum phoenix_kind {
  PHOENIX_OTHER,    /* of no interest */
  PHOENIX_REPLY,    /* to a push of ours: `ref`, `ok`, `why` */
  PHOENIX_SYSTEM,   /* the database's side of the subscription: `ok`, `why` */
  PHOENIX_DELETED,  /* a row of the table is gone: `id`, and `owner` when the old row has it */
  PHOENIX_NAMELESS, /* one is gone, and the frame does not say which */
  PHOENIX_CLOSED,   /* the channel ended: phx_error, phx_close */
};

struct phoenix_frame {
  enum phoenix_kind kind;
  uint64_t join_ref, ref; /* 0: none */
  bool ok;
  char id[129];
  char owner[201]; /* "": not told */
  char why[160];   /* the server's words, cut; from outside */
};

/* "realtime:…" from schema and table. `token`: sent along, NULL: none. NULL: memory. */
mu_text *phoenix_join(const struct phoenix_channel *channel, uint64_t ref, const char *token);
mu_text *phoenix_heartbeat(uint64_t ref);

/* 0, MU_ESYNTAX: no frame at all, or MU_ENOMEM. Frames of other topics and tables are PHOENIX_OTHER. */
int phoenix_read(const struct phoenix_channel *channel, const char *text, size_t len, struct phoenix_frame *frame);

#endif
