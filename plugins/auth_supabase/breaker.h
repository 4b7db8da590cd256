/* SPDX-License-Identifier: ISC */
/* A circuit breaker: after 5 failures in a row nothing is asked for 5 s, doubling to 20 s; then one probe decides. Pure. */
#ifndef AUTH_SUPABASE_BREAKER_H
#define AUTH_SUPABASE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_FAILURES = 5, BREAKER_FIRST_MS = 5000, BREAKER_LONGEST_MS = 20000 };

/* All zero: closed. Times are of any clock that only goes forward. */
struct breaker {
  unsigned failures;    /* in a row, while closed */
  int64_t open_ms;      /* length of the present opening; 0: closed */
  int64_t open_till_ms; /* then a probe may go */
  bool probing;
};

enum breaker_leave {
  BREAKER_NO,
  BREAKER_YES,
  BREAKER_PROBE, /* this request decides */
};

/* Whether a request may go now. Each one that goes ends in exactly one of the three calls below. */
enum breaker_leave breaker_ask(struct breaker *breaker, int64_t now_ms);
/* True: it was open, and is closed now. */
bool breaker_worked(struct breaker *breaker);
/* True: it opened, or stays open for longer. */
bool breaker_failed(struct breaker *breaker, bool probe, int64_t now_ms);
/* The request was never sent. */
void breaker_unsent(struct breaker *breaker, bool probe);
/* How long until the next probe; 0: closed, or a probe may go. */
int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ms);

#endif
