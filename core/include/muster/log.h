/* SPDX-License-Identifier: ISC */
/**
 * @file log.h
 * Log lines and counters, always in the name of an instance. Any thread.
 *
 * Control characters (ANSI sequences, CR/LF) in arguments are escaped by the log, so text from
 * outside may be passed as it is. Secrets may not: never hand one to a log call.
 */
#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

#include <muster/base.h>

enum mu_level { MU_LOG_DEBUG, MU_LOG_INFO, MU_LOG_WARN, MU_LOG_ERROR };

MU_API void mu_log(const mu_instance *in, enum mu_level level, const char *format, ...) MU_PRINTF(3, 4);

/**
 * For lines that hostile input can cause: at most one a second for each `topic` (a string literal;
 * its address is not used, its text is) and instance. The next line says how many were left out.
 */
MU_API void mu_log_limited(mu_instance *in, enum mu_level level, const char *topic, const char *format, ...)
    MU_PRINTF(4, 5);

/** Whether lines of this level are written: for skipping costly arguments. */
MU_API bool mu_log_enabled(enum mu_level level);

/** A number that only grows, shown by the console and in the periodic statistics. */
typedef struct mu_counter mu_counter;

/**
 * Finds or makes the instance's counter; lives as long as the instance. `name` is snake_case.
 * The same name always gives the same counter. NULL when memory is out; mu_count() accepts NULL.
 */
MU_API mu_counter *mu_counter_get(mu_instance *in, const char *name);
MU_API void mu_count(mu_counter *counter, uint64_t n);
MU_API uint64_t mu_counter_value(const mu_counter *counter);

#endif
