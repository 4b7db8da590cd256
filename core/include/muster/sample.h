/* SPDX-License-Identifier: ISC */
/**
 * @file sample.h
 * Collectors: what a machine measures of itself.
 *
 * A collector reads; it executes nothing and listens nowhere. collect() runs on a worker thread, never twice at once for one
 * instance, under a deadline: a hung one is written off, shown as stuck, and delays nobody else.
 */
#ifndef MUSTER_SAMPLE_H
#define MUSTER_SAMPLE_H

#include <muster/base.h>

/** Named, typed metrics that one collect() fills. Metric names: snake_case; units in docs/metrics.md. */
typedef struct mu_sample mu_sample;

/** Growth-only. */
struct mu_collector_ops {
  size_t size;
  /** Seconds; 0: 5 and 3. Both can be set in the configuration. */
  double interval_s;
  double deadline_s;
  /**
   * Fills `sample`. A negative value is counted and logged, and the newest good sample is kept; what was filled in is
   * thrown away. Worker thread.
   */
  int (*collect)(void *self, mu_sample *sample);
};

/** The setters put a metric into the sample, or into the row that is open. Not finite numbers are left out, and counted. */
MU_API void mu_sample_int(mu_sample *sample, const char *name, int64_t value);
/** Above INT64_MAX it is stored as INT64_MAX. */
MU_API void mu_sample_uint(mu_sample *sample, const char *name, uint64_t value);
MU_API void mu_sample_float(mu_sample *sample, const char *name, double value);
MU_API void mu_sample_bool(mu_sample *sample, const char *name, bool value);
/** Bytes that are no UTF-8 are replaced. */
MU_API void mu_sample_text(mu_sample *sample, const char *name, const char *value);
/** A list of plain numbers: per-core values. One that is not finite leaves the whole list out: places mean something. */
MU_API void mu_sample_floats(mu_sample *sample, const char *name, const double *values, size_t count);

/** A list of rows (disks, interfaces): list_begin, then per row: row, setters; then list_end. No nesting. */
MU_API void mu_sample_list_begin(mu_sample *sample, const char *name);
MU_API void mu_sample_row(mu_sample *sample);
MU_API void mu_sample_list_end(mu_sample *sample);

/** Monotonic nanoseconds of this sample: rates divide by the difference. Injected in tests. */
MU_API int64_t mu_sample_mono_ns(const mu_sample *sample);
/** Where the machine's files are: "" normally, a folder with recorded trees in tests: "%s/proc/stat". */
MU_API const char *mu_sample_root(const mu_sample *sample);

/**
 * A file under /proc or /sys that is read again and again: the descriptor is kept. Belongs to the caller; one thread at a time.
 */
typedef struct mu_procfile mu_procfile;

/** `path` is absolute and put below `root`. NULL when memory is out; a missing file is seen at the read. */
MU_API mu_procfile *mu_procfile_new(const char *root, const char *path);
/** The whole content, NUL-terminated, valid until the next read. MU_ENOENT, MU_EIO, MU_ELIMIT (over 4 MiB), MU_ENOMEM. */
MU_API int mu_procfile_read(mu_procfile *file, struct mu_str *content) MU_MUST_USE;
MU_API void mu_procfile_free(mu_procfile *file);

/** The root for procfiles of this instance: the agent's option `root`, normally "". */
MU_API const char *mu_host_root(const mu_instance *in);

#endif
