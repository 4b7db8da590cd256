/* SPDX-License-Identifier: ISC */
/* Configuration files: libconfig text plus conf.d, secrets, strict numbers; read into structs by option tables. */
#ifndef MUI_CONF_CONFIG_H
#define MUI_CONF_CONFIG_H

#include <muster/conf.h>
#include "base/instance.h"

/* ---- problems -------------------------------------------------------------------------------- */

struct mui_problem {
  bool warning;
  char *file; /* NULL: no place */
  unsigned line;
  char *text;
};

/* Everything that was found, in the order of finding. Zero-initialise. */
struct mui_problems {
  struct mui_problem *list;
  size_t count;
  size_t errors; /* those that are not warnings */
};

MUI_API void mui_problem(struct mui_problems *problems, bool warning, const char *file, unsigned line, const char *format,
                         ...) MU_PRINTF(5, 6);
/* "file:line: error: text" lines to `to` (a FILE *), sorted by file and line. */
MUI_API void mui_problems_print(const struct mui_problems *problems, void *to);
MUI_API void mui_problems_free(struct mui_problems *problems);

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct mui_config mui_config;
typedef struct mui_setting mui_setting; /* a node of the file, borrowed from its config */

/*
 * Reads `path` and then conf.d/*.conf (sorted) in the folder beside it. The names in `appending` (ended by NULL)
 * append across files, any other top-level name set twice is an error naming both places.
 * NULL only when nothing could be parsed; problems tell why.
 */
MUI_API mui_config *mui_config_load(const char *path, const char *const *appending, struct mui_problems *problems);
MUI_API void mui_config_free(mui_config *config);

/* ---- options --------------------------------------------------------------------------------- */

/* Internal option type: keeps the setting (const mui_setting *) for a later reading; NULL when absent. */
#define MUI_OPT_SETTING ((enum mu_option_type)100)

/* The root: all files as one group. */
MUI_API const mui_setting *mui_config_root(const mui_config *config);
MUI_API void mui_setting_place(const mui_setting *setting, const char **file, unsigned *line);

/*
 * Reads a group (NULL: absent, all presets) by a table into a new struct of `size` bytes, reporting every problem:
 * unknown names with a suggestion, types, ranges, missing ones, duplicates, unresolvable env: and file:, secret files readable by others.
 * The struct is returned even when there were errors, so that checking can go on; NULL only when memory is out.
 * @param place where to report a missing required option when `group` is NULL
 */
MUI_API void *mui_options_read(const mui_setting *group, const mui_setting *place, const struct mu_options *options,
                               size_t size, struct mui_problems *problems);
/* Frees a struct that mui_options_read() made; secrets are wiped. */
MUI_API void mui_options_free(const struct mu_options *options, void *config);
/* Whether two structs hold the same values. */
MUI_API bool mui_options_equal(const struct mu_options *options, const void *a, const void *b);

/* Runs a component's check() on a struct, with places found below `group`. */
MUI_API void mui_options_check(void (*check)(const void *config, struct mu_check *check), const void *config,
                               const mui_setting *group, const mui_setting *place, struct mui_problems *problems);

/* Writes the table for people, one option per paragraph: key, type, default, range, help. `to`: FILE *. */
MUI_API void mui_options_describe(const struct mu_options *options, unsigned indent, void *to);
/* Appends the effective values as JSON, secrets as "•••" when set. */
MUI_API void mui_options_json(const struct mu_options *options, const void *config, struct mu_buf *out);

/* The word of `words` (ended by NULL) nearest to `word`, or NULL when none is near. */
MUI_API const char *mui_suggest(const char *word, const char *const *words);

#endif
