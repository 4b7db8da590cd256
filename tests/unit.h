/* SPDX-License-Identifier: ISC */
/* The frame of a CUnit program: one suite, tests listed once, exit status 1 on any failure. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <CUnit/Basic.h>

struct unit_test {
  const char *name;
  void (*run)(void);
};

/* Runs the tests and prints CUnit's summary; the program's exit status. */
static inline int unit_main(const char *suite_name, const struct unit_test *tests, size_t count)
{
  if (CU_initialize_registry() != CUE_SUCCESS)
    return 1;
  CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
  for (size_t i = 0; suite && i < count; i++)
    if (!CU_add_test(suite, tests[i].name, tests[i].run))
      return 1;
  CU_basic_set_mode(CU_BRM_VERBOSE);
  CU_basic_run_tests();
  unsigned failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
  CU_cleanup_registry();
  return count == 0 || failed > 0;
}

#define UNIT_MAIN(suite_name, tests)                                                                                   \
  int main(void)                                                                                                       \
  {                                                                                                                    \
    return unit_main((suite_name), (tests), sizeof(tests) / sizeof((tests)[0]));                                       \
  }

#endif
