/* SPDX-License-Identifier: ISC */
/* One-use tickets: who was asked for a token over HTTP opens a WebSocket without it. In memory, bounded. */
#ifndef CONSOLE_TICKETS_H
#define CONSOLE_TICKETS_H

#include <muster/auth.h>

enum {
  TICKET_TEXT = 43, /* 256 bits */
  TICKET_LIFE_S = 30,
  TICKETS_MAX = 1024,
  TICKETS_EACH = 8, /* of one user */
};

struct ticket {
  char text[TICKET_TEXT + 1]; /* empty: a free place */
  int64_t until_ns;
  const struct mu_principal *principal;
};

struct tickets {
  struct ticket *at; /* made at the first */
};

/* Makes one, and fills `text`. Of a user who has too many the oldest goes. 0, MU_ELIMIT: too many in all, MU_ENOMEM, MU_EIO. */
int tickets_new(struct tickets *tickets, const struct mu_principal *principal, int64_t now_ns,
                char text[TICKET_TEXT + 1]);
/* Takes it: whose it is, with a reference; NULL: there is none, it was used, or it is too old. */
const struct mu_principal *tickets_take(struct tickets *tickets, struct mu_str text, int64_t now_ns);
/* This user's are worth nothing any more; `credential` not empty: those that it had got. */
void tickets_revoke(struct tickets *tickets, const struct mu_principal *revoked);
void tickets_free(struct tickets *tickets);

#endif
