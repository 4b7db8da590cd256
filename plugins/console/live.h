/* SPDX-License-Identifier: ISC */
/* What the files of the live channel share. */
#ifndef CONSOLE_LIVE_H
#define CONSOLE_LIVE_H

#include "console.h"

enum stage {
  STAGE_SILENT,  /* has not said hello */
  STAGE_PLAIN,   /* and is taken for an older client: whole messages of public machines */
  STAGE_FOLLOWS, /* said hello */
};

/* One connection. */
struct watcher {
  struct watcher *next, **link;
  struct console *console;
  mu_conn *conn; /* NULL: not open */
  enum stage stage;
  bool trusted; /* brought the operator's token with the request */
  struct audience *audience;
  mu_timer *timer; /* its patience, until it says hello; then the end of its token */
  /* snapshot.c: the line of those who wait to be told everything. */
  struct watcher *behind, **before; /* `before` NULL: not in it */
};

/* ---- tell.c: who is told what ----------------------------------------------------------------- */

int tell_init(struct console *console);
void tell_free(struct console *console);
/* What a watcher may see at all: in the plain stage nothing of his own. */
bool tell_sees(const struct watcher *watcher, const struct mu_machine *machine, bool is_public);
/* Follows from now on: it knows everything up to here. 0, MU_ENOMEM, MU_ECLOSED. */
int tell_join(struct watcher *watcher);
void tell_leave(struct watcher *watcher);
/* Nobody watches any more. */
void tell_forget(struct console *console);

/* ---- snapshot.c: everything, at the beginning ------------------------------------------------- */

int snapshot_init(struct console *console);
/* Queues it up. Everything is told in slices, one watcher after the other; then it follows. */
void snapshot_queue(struct watcher *watcher);
void snapshot_leave(struct watcher *watcher);
/* Who is being told: it is in no group yet, but has heard of some machines. NULL: nobody. */
struct watcher *snapshot_served(const struct console *console);
void snapshot_free(struct console *console);

#endif
