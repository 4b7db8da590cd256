/* SPDX-License-Identifier: ISC */
#include <math.h>

#include "adapt.h"

#define HIGH 80.0
#define LOW 30.0
#define STEP 1.2
/* A base far from 5 s is not stretched or shortened more than 5 s may be. */
#define FACTOR_MIN 0.4
#define FACTOR_MAX 6.0

static double limit(double factor, double base_s)
{
  double low = fmin(fmax(ADAPT_INTERVAL_MIN / base_s, FACTOR_MIN), 1.0);
  double high = fmax(fmin(ADAPT_INTERVAL_MAX / base_s, FACTOR_MAX), 1.0);
  return fmin(fmax(factor, low), high);
}

double adapt_step(struct adapt *adapt, enum adaptive rule, double base_s, double load)
{
  if (rule == ADAPTIVE_OFF || !(base_s > 0)) {
    *adapt = (struct adapt){.factor = 1.0};
    return adapt->factor;
  }
  adapt->high = load > HIGH ? adapt->high + 1 : 0;
  adapt->low = load < LOW ? adapt->low + 1 : 0;
  if (adapt->high >= (rule == ADAPTIVE_DEPLOYED ? 3 : 1)) {
    adapt->factor *= STEP;
    adapt->high = 0;
  } else if (adapt->low >= (rule == ADAPTIVE_DEPLOYED ? 5 : 1)) {
    adapt->factor /= STEP;
    adapt->low = 0;
  } else {
    adapt->factor += (1.0 - adapt->factor) * (rule == ADAPTIVE_DEPLOYED ? 0.05 : 0.5);
    if (fabs(adapt->factor - 1.0) < 0.01)
      adapt->factor = 1.0;
  }
  adapt->factor = limit(adapt->factor, base_s);
  return adapt->factor;
}
