/* SPDX-License-Identifier: ISC */
#include <math.h>

#include "adapt.h"
#include "unit.h"

#define NEAR(is, should) CU_ASSERT_DOUBLE_EQUAL((is), (should), 1e-9)

static void documented(void)
{
  struct adapt adapt = {.factor = 1.0};
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, 90), 1.2);
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, 90), 1.44);
  /* In between it goes back half the way, and arrives. */
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, 50), 1.22);
  for (int i = 0; i < 10; i++)
    adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, 50);
  CU_ASSERT_EQUAL(adapt.factor, 1.0);
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, 10), 1 / 1.2);
}

static void deployed(void)
{
  struct adapt adapt = {.factor = 1.0};
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 81), 1.0);
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 81), 1.0);
  /* Not running: it begins anew. */
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 80), 1.0);
  for (int i = 0; i < 2; i++)
    NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 99), 1.0);
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 99), 1.2);
  /* 5 % of the difference back, also while it is being counted. */
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 50), 1.19);
  adapt = (struct adapt){.factor = 1.0};
  for (int i = 0; i < 4; i++)
    NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 29), 1.0);
  NEAR(adapt_step(&adapt, ADAPTIVE_DEPLOYED, 5, 29), 1 / 1.2);
}

static void limits(void)
{
  static const struct {
    double base, least, most; /* seconds */
  } cases[] = {{5, 2, 30},   {2, 2, 12},   {1, 1, 6},       {10, 4, 30},
               {30, 12, 30}, {60, 24, 60}, {0.1, 0.1, 0.6}, {3600, 1440, 3600}};
  for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (int rule = ADAPTIVE_DOCUMENTED; rule <= ADAPTIVE_DEPLOYED; rule++) {
      struct adapt adapt = {.factor = 1.0};
      for (int step = 0; step < 300; step++)
        adapt_step(&adapt, (enum adaptive)rule, cases[i].base, 100);
      CU_ASSERT(adapt.factor * cases[i].base <= cases[i].most + 1e-9);
      if (rule == ADAPTIVE_DOCUMENTED)
        NEAR(adapt.factor * cases[i].base, cases[i].most);
      for (int step = 0; step < 300; step++)
        adapt_step(&adapt, (enum adaptive)rule, cases[i].base, 0);
      CU_ASSERT(adapt.factor * cases[i].base >= cases[i].least - 1e-9);
      if (rule == ADAPTIVE_DOCUMENTED)
        NEAR(adapt.factor * cases[i].base, cases[i].least);
    }
}

static void off_and_unknown(void)
{
  struct adapt adapt = {.factor = 3.0, .high = 2};
  NEAR(adapt_step(&adapt, ADAPTIVE_OFF, 5, 100), 1.0);
  CU_ASSERT_EQUAL(adapt.high, 0);
  adapt.factor = 2.0;
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 5, NAN), 1.5);
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, 0, 100), 1.0);
  NEAR(adapt_step(&adapt, ADAPTIVE_DOCUMENTED, NAN, 100), 1.0);
}

static const struct unit_test tests[] = {
    {"documented", documented}, {"deployed", deployed}, {"limits", limits}, {"off and unknown", off_and_unknown}};
UNIT_MAIN("adapt", tests)
