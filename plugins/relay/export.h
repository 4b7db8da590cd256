/* SPDX-License-Identifier: ISC */
/* Device data as a table: a row per device and time, a column per key. Any thread. */
#ifndef RELAY_EXPORT_H
#define RELAY_EXPORT_H

#include <muster/base.h>

enum {
  EXPORT_VALUES_MAX = 50000,
  EXPORT_KEYS_MAX = 1000,
  EXPORT_BYTES_MAX = 64 << 20,
};

/** One value. Those of one device and time stand side by side. */
struct export_value {
  struct mu_str device, name, key, text, type;
  int64_t ms;
};

/**
 * CSV with a header line; keys in the order of their first value. A text that a spreadsheet would take for a formula gets an apostrophe.
 * 0, MU_ELIMIT, MU_ENOMEM.
 */
int export_csv(const struct export_value *values, size_t count, struct mu_buf *out) MU_MUST_USE;
/** A JSON array of {"device_id","device_name","timestamp","data":{key:value}}. 0, MU_ELIMIT, MU_ENOMEM. */
int export_json(const struct export_value *values, size_t count, struct mu_buf *out) MU_MUST_USE;
/** One cell: quoted where it must be, an apostrophe before what begins like a formula unless it is a number. */
void export_cell(struct mu_buf *out, struct mu_str text, bool number);

#endif
