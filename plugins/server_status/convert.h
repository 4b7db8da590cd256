/* SPDX-License-Identifier: ISC */
/*
 * Between the wire forms and the canonical form of docs/metrics.md. Pure; any thread.
 *
 * The wire forms have no word for "unknown": a metric that is missing is 0, "" or [] there. Metrics that a form has no
 * member for (a drop-in collector's, per-core values, …) travel in an extra member `metrics` of the canonical shape.
 */
#ifndef SERVER_STATUS_CONVERT_H
#define SERVER_STATUS_CONVERT_H

#include "codec.h"

/* ---- wire.c: which member is which metric ----------------------------------------------------- */

enum wire_type {
  WIRE_UINT,
  WIRE_NUMBER,
  WIRE_PERCENT,
  WIRE_TEXT,
  WIRE_OF_TOTAL, /* used / total of all disks, as the released programs have it; the metric itself is df's used / (used + free) */
};

struct wire_pair {
  const char *member;
  const char *metric;
  enum wire_type type;
};

/* One object of a form, in the order of its members. */
struct wire_section {
  const char *member; /* "cpu", or "hostInfo.avgStat" */
  const char *collector;
  const struct wire_pair *pairs;
  size_t count;
};

struct wire_form {
  const struct wire_section *sections;
  size_t count;
  const struct wire_pair *rows; /* of disk.disks */
  size_t row_count;
  bool model_in_info; /* cpu.model and cpu.cores are in cpuInfo.info */
};

extern const struct wire_form wire_forms[STATUS_KINDS];
/* What an element of a deployed page has. */
extern const struct wire_form wire_element;
const struct wire_section *wire_section(const struct wire_form *form, const char *member);
/* Whether the form has a member of its own for this metric. */
bool wire_carries(const struct wire_form *form, const char *collector, const char *metric);
/* [a-z][a-z0-9_]*, at most 63 characters. */
bool wire_name_ok(const char *name);

/* ---- convert.c ------------------------------------------------------------------------------- */

/* The canonical form of a report that status_read() accepted: a new object. 0, or an error. */
int convert_metrics(enum status_kind kind, const char *text, size_t len, struct json_object **metrics);

/* ---- render.c -------------------------------------------------------------------------------- */

/* Who reports; NULL is as empty. */
struct status_card {
  const char *id;
  const char *name;
  const char *group;
  const char *country;
  const char *location;
  const char *ip;
};

/* A released server takes no message over 10 240 bytes. */
enum { STATUS_DEPLOYED_LIMIT = 10240, STATUS_DOCUMENTED_LIMIT = 64 * 1024 };

/*
 * A report in a form. What does not fit into `limit` bytes is left out in steps: further metrics of the built-in
 * collectors, then all further metrics, then disks beyond the 16th; *left_out (may be NULL) is the number of steps.
 * `metrics` NULL: none. NULL when memory is out.
 */
mu_text *render_report(enum status_kind kind, const struct status_card *card, struct json_object *metrics,
                       int64_t time_s, size_t limit, unsigned *left_out);

/* The element of a deployed page; `metrics` NULL: never reported, every member with zeros. NULL when memory is out. */
mu_text *render_element(const struct mu_machine *machine, struct json_object *metrics);

#endif
