/* SPDX-License-Identifier: ISC */
/* Where log lines go. */
#ifndef MUI_BASE_LOGGING_H
#define MUI_BASE_LOGGING_H
#include <muster/log.h>
#include "base/instance.h"

/* Lines below `level` are not written. Default: info, to standard error. */
MUI_API void mui_log_level(enum mu_level level);
/* Gets whole lines without newline instead of standard error; NULL restores. Tests only. */
MUI_API void mui_log_sink(void (*sink)(void *context, enum mu_level level, const char *line), void *context);
/* Walks an instance's counters: *position from 0; NULL at the end. */
MUI_API mu_counter *mui_counter_next(mu_instance *in, size_t *position, const char **name);
/* Frees an instance's limits and counters: for mui_instance_fini(). */
void mui_log_forget(mu_instance *in);

#endif
