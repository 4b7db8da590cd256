/* SPDX-License-Identifier: ISC */
/* Who watches: one group of connections per owner, and the machine_list that its members share. */
#ifndef ADMIN_PUSH_WATCHES_H
#define ADMIN_PUSH_WATCHES_H

#include <muster/muster.h>

/* The admins of one owner. */
struct watch {
  mu_group *group; /* belongs to the instance, which takes it back by itself */
  mu_text *list;   /* NULL: something changed since */
  uint64_t woke;   /* handle of a machine whose first report follows at once */
  size_t key_length;
  char key[]; /* provider NUL owner */
};

struct watches {
  mu_instance *in;
  mu_map *by_owner;
  mu_map *conns;    /* connection id → struct watch */
  size_t look_from; /* that many connections: time to look for those that have gone */
};

int watches_init(struct watches *watches, mu_instance *in);
/* After the groups have been taken back. */
void watches_fini(struct watches *watches);
/* The owner's watch, NULL when nobody watches. */
struct watch *watches_of(struct watches *watches, const char *provider, const char *owner);
/* Adds a connection to the watch of its principal. 0 (also when it was there), or an error. */
int watches_join(struct watches *watches, mu_conn *conn, struct watch **watch);
/* Closes all of them: they come back when somebody can serve them again. */
void watches_send_away(struct watches *watches);

#endif
