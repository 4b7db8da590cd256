/* SPDX-License-Identifier: ISC */
/* How long between reports: load lengthens it, idleness shortens it. Pure: no clock, no state but its own. */
#ifndef AGENT_ADAPT_H
#define AGENT_ADAPT_H

#include <stdint.h>

enum adaptive { ADAPTIVE_DOCUMENTED, ADAPTIVE_DEPLOYED, ADAPTIVE_OFF };

/* How often adapt_step() is called. */
#define ADAPT_EVERY_NS (10 * INT64_C(1000000000))
#define ADAPT_INTERVAL_MIN 2.0
#define ADAPT_INTERVAL_MAX 30.0

struct adapt {
  double factor;      /* of all intervals; start with 1 */
  unsigned high, low; /* how many times running the load was so */
};

/*
 * One check. `base_s` is the fastest configured interval: base_s × factor stays within the limits above, and a base that is
 * outside of them is not passed further on that side.
 *
 * Documented: above 80 the intervals grow by a fifth, below 30 they shrink by as much, between the difference to 1 is halved.
 * Deployed: the same steps only after three and five times running, and between 5 % of the difference.
 *
 * @param load the greater of the CPU's and the memory's percent; NaN: unknown, as between
 * @return the new factor
 */
double adapt_step(struct adapt *adapt, enum adaptive rule, double base_s, double load);

#endif
