/* SPDX-License-Identifier: ISC */
/* Numbers of RFC 8259: grammar, and the exact value whatever the locale is. */
#ifndef MUI_JSON_NUMBER_H
#define MUI_JSON_NUMBER_H

#include "base/instance.h"

struct mui_json_number {
  bool whole; /* as struct mu_json_value has it */
  int64_t integer;
  double number;
};

/*
 * Reads the number at `*at`, which is '-' or a digit, and moves `*at` behind it, on an error to where it is.
 * `need_value` false: only checks. 0, MU_ESYNTAX, or MU_ERANGE (beyond uint64, below int64, not finite).
 */
int mui_json_number(const char **at, const char *end, bool need_value, struct mui_json_number *out);

#endif
