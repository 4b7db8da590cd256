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
/*
 * `stream`: $JOURNAL_STREAM, or NULL. Where it names standard error, a journal reads that: each line then begins with its priority, which
 * the journal takes off. Before threads are.
 */
MUI_API void mui_log_journal(const char *stream);
/* What a line of that level to standard error begins with: "<4>", or "" where no journal reads it. */
MUI_API const char *mui_log_mark(enum mu_level level);
/* While somebody types at the terminal lines wait, 64 KiB of them; letting go writes them. Any thread. */
MUI_API void mui_log_hold(bool hold);
/*
 * Appends `text` at `line + at` so that it cannot start a line, move a cursor, reorder what is read or break the encoding. Returns the
 * new length; adds no NUL. What does not fit in `room` is left out.
 */
MUI_API size_t mui_log_escape(char *line, size_t at, size_t room, const char *text);
/* Walks an instance's counters: *position from 0; NULL at the end. */
MUI_API mu_counter *mui_counter_next(mu_instance *in, size_t *position, const char **name);
/* Frees an instance's limits and counters: for mui_instance_fini(). */
void mui_log_forget(mu_instance *in);

#endif
