/* SPDX-License-Identifier: ISC */
/* Users, their machines, agents and admins as the driver knows them, and what it holds against every byte that comes. */
#ifndef TESTS_TENANCY_H
#define TESTS_TENANCY_H

#include "wire.h"

enum { MACHINES_MAX = 32, MARK = 32, TOKEN_MAX = 2048, PAGES = 2, ROGUES = 8 };

struct machine {
  char id[132];
  bool there;
  /* A removal may have crossed an authentication of its agent: only when that is linked again it is clear what is there. */
  bool doubt, crossed;
  unsigned removals; /* without an answer, since `auths_then` */
  uint64_t auths_then;
  uint64_t n; /* newest number sent */
  /* What pages may show: strict means never, from the page's pong `strict_after` on. */
  bool strict;
  unsigned outstanding; /* switches without an answer */
  uint64_t strict_after[PAGES];
};

struct owner {
  char provider[32], id[64], key[256];
  char mark[MARK + 1]; /* unguessable, in everything that its machines say */
  bool shy;            /* never lets pages see a machine */
  struct machine machines[MACHINES_MAX];
  size_t count;
  uint64_t auths; /* of its agents, begun */
  char admin_token[TOKEN_MAX], agent_token[TOKEN_MAX];
};

enum kind { AGENT, ADMIN, PAGE, ROGUE };

/* What wire->owner points to. */
struct who {
  enum kind kind;
  void *self;
};

struct agent {
  struct wire wire;
  struct who who;
  struct owner *owner;
  char wanted[64]; /* machine id; empty: the server makes one */
  char token[TOKEN_MAX];
  struct machine *machine;
  uint64_t first; /* number sent on this connection */
  bool asked, open, pong;
};

/* What an admin must believe after all that it was told. */
struct view {
  bool there, online;
  uint64_t n;
};

struct admin {
  struct wire wire;
  struct who who;
  struct owner *owner;
  bool first; /* of its owner: the only one that switches what pages see */
  bool asked, open, pong, listed;
  struct view views[MACHINES_MAX];
};

struct page {
  struct wire wire;
  struct who who;
  uint64_t pings, pongs;
};

struct rogue {
  struct wire wire;
  struct who who;
  struct owner *owner;
  bool asked;
  unsigned turns;
};

struct run {
  struct wires wires;
  struct owner *owners;
  size_t owner_count;
  struct agent *agents;
  size_t agent_count;
  struct admin *admins;
  size_t admin_count;
  struct page pages[PAGES];
  struct rogue rogues[ROGUES];
  uint64_t n; /* of samples, in all */
  uint64_t random;
  /* Figures. */
  uint64_t pushes, updates, lists, bytes, marks, page_reports, refused, removed, replaced, reconnects, checks;
  uint64_t events[6];
};

extern struct run run;

uint64_t dice(uint64_t sides);
struct machine *machine_of(struct owner *owner, const char *id, bool make);

/* ---- oracle.c -------------------------------------------------------------------------------- */

/* Takes every message; ends the program at the first byte of somebody else's. */
void oracle_text(struct wire *wire, char *text, size_t len);
void oracle_closed(struct wire *wire, unsigned code);
/* Lets everything come to rest and compares what every admin believes with what is. */
void oracle_checkpoint(void);

#endif
