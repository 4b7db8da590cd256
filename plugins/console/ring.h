/* SPDX-License-Identifier: ISC */
/* The last hour of one machine: its figures every ten seconds, to within 0.2 %. Pure; in memory only. */
#ifndef CONSOLE_RING_H
#define CONSOLE_RING_H

#include <muster/base.h>

struct json_object;

enum {
  RING_SLOTS = 360,
  RING_STEP_MS = 10000,
  RING_SERIES = 42, /* as many as fit into RING_BYTES */
  RING_NAME = 48,
  RING_BYTES = 32 * 1024, /* of one machine, everything counted */
};

struct ring;

/* NULL: out of memory. */
struct ring *ring_new(void);
void ring_free(struct ring *ring);
/* Whether a report of now is the first of its step. */
bool ring_due(const struct ring *ring, int64_t now_ms);
/* Takes the numbers of a report, {collector: {metric: value}}, if it is due. May move the ring: `*ring` is where it is afterwards. */
void ring_take(struct ring **ring, struct json_object *metrics, int64_t now_ms);
/* What it holds in memory. */
size_t ring_bytes(const struct ring *ring);
/* Begin of the newest step, Unix ms; 0: nothing came yet. */
int64_t ring_newest_ms(const struct ring *ring);
/* Numbers of the newest report that there was no room for. */
unsigned ring_left_out(const struct ring *ring);
size_t ring_series(const struct ring *ring);
const char *ring_name(const struct ring *ring, size_t series);
/* "%", "B", "B/s", "s", "°C" or "". */
const char *ring_unit(const char *name);
/* The mean of the steps that begin in [from_ms, from_ms + span_ms). False: none of them has a value. */
bool ring_value(const struct ring *ring, size_t series, int64_t from_ms, int64_t span_ms, float *value);

#endif
