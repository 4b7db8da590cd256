/* SPDX-License-Identifier: ISC */
/**
 * @file uplink.h
 * Uplinks: how the agent's reports reach a server. Loop thread only.
 */
#ifndef MUSTER_UPLINK_H
#define MUSTER_UPLINK_H

#include <muster/base.h>

struct json_object;

/** One report; borrowed for the call. Growth-only. */
struct mu_report {
  size_t size;
  /** Made new at each start of the agent: 32 hexadecimal digits. */
  const char *boot;
  /** 1, 2, 3, … within `boot`. */
  uint64_t seq;
  int64_t time_ms;
  /** Canonical: {collector: {metric: value}}, the newest good sample of each. Read-only; json_object_get() to keep. */
  struct json_object *metrics;
};

/** Growth-only. */
struct mu_uplink_ops {
  size_t size;
  /** Takes a report. Never blocks; what cannot be sent now waits in the uplink's own bounded queue. */
  int (*report)(void *self, const struct mu_report *report);
};

#endif
