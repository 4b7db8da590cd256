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

MUI_API void mui_problem(struct mui_problems *problems, bool warning, const char *file, unsigned line,
                         const char *format, ...) MU_PRINTF(5, 6);
/* "file:line: error: text" lines to `to` (a FILE *), sorted by file and line. */
MUI_API void mui_problems_print(const struct mui_problems *problems, void *to);
MUI_API void mui_problems_free(struct mui_problems *problems);

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct mui_config mui_config;
typedef struct mui_setting mui_setting; /* a node of the file, borrowed from its config */

/*
 * Reads `path` and then the .conf files of conf.d beside it (sorted). The names in `appending` (ended by NULL)
 * append across files, any other top-level name set twice is an error naming both places. The names in `foreign` (NULL:
 * none) belong to another program that shares the folder: conf.d may have them, and they are passed over there.
 * NULL only when nothing could be parsed; problems tell why.
 */
MUI_API mui_config *mui_config_load(const char *path, const char *const *appending, const char *const *foreign,
                                    struct mui_problems *problems);
/* The same from memory, as if it were the file `name`; @include is refused. NULL when it could not be parsed. */
MUI_API mui_config *mui_config_load_text(const char *name, const char *text, size_t len, struct mui_problems *problems);
/* As mui_config_load(), with `text` in the place of a file `path` that is not there. */
MUI_API mui_config *mui_config_load_made(const char *path, const char *text, const char *const *appending,
                                         const char *const *foreign, struct mui_problems *problems);
/*
 * One sample file without conf.d, with what is commented out put in force: a line whose first mark is a '#' directly
 * before a name or a bracket ("#port = 1;") is an option that is switched off, "# text" is a remark.
 * A file of entries for a list, "{ name = "x"; config = …; }", is read as the list `entries`.
 */
MUI_API mui_config *mui_config_load_sample(const char *path, struct mui_problems *problems);
/* Settings that were borrowed end here; all strings are wiped. NULL is allowed. */
MUI_API void mui_config_free(mui_config *config);
/* `path`, which a relative one is from the folder of the main file; to be freed. NULL when memory is out. */
MUI_API char *mui_config_path(const mui_config *config, const char *path);

/* ---- options --------------------------------------------------------------------------------- */

/*
 * Internal option type: keeps the group (const mui_setting *) for a later reading; NULL when absent.
 * With the key "" it keeps the very group that is being read, as a place for messages.
 */
#define MUI_OPT_SETTING ((enum mu_option_type)100)

/* The root: all files as one group. */
MUI_API const mui_setting *mui_config_root(const mui_config *config);
/* NULL: no place (NULL and 0). Otherwise never NULL. */
MUI_API void mui_setting_place(const mui_setting *setting, const char **file, unsigned *line);
/* The members of a group or list, one after another; NULL past the end. */
MUI_API const mui_setting *mui_setting_nth(const mui_setting *group, size_t n);
/* The member of a group by its name; NULL: none of that name, or no group. */
MUI_API const mui_setting *mui_setting_member(const mui_setting *group, const char *name);
/* NULL for elements of lists. */
MUI_API const char *mui_setting_name(const mui_setting *setting);
/* The value of a string as written (env: and file: are not resolved); NULL for other types. */
MUI_API const char *mui_setting_string(const mui_setting *setting);

/*
 * Reads a group (NULL: absent, all presets) by a table into a new struct of `size` bytes, reporting every problem:
 * unknown names with a suggestion, types, ranges, missing ones, duplicates, unresolvable env: and file:, secret files
 * that others can read.
 * The struct is returned even when there were errors, so that checking can go on; NULL only when memory is out.
 * @param place where to report a missing required option when `group` is NULL; NULL: those are not reported
 */
MUI_API void *mui_options_read(const mui_setting *group, const mui_setting *place, const struct mu_options *options,
                               size_t size, struct mui_problems *problems);
/* Frees a struct that mui_options_read() made; secrets are wiped. */
MUI_API void mui_options_free(const struct mu_options *options, void *config);
/* Whether two structs hold the same values. */
MUI_API bool mui_options_equal(const struct mu_options *options, const void *a, const void *b);

/*
 * Runs a component's check() on a struct, with places found below `group`. Only after a reading without errors:
 * what could not be read has its preset, and a required string may be NULL.
 */
MUI_API void mui_options_check(void (*check)(const void *config, struct mu_check *check), const void *config,
                               const mui_setting *group, const mui_setting *place, struct mui_problems *problems);

/* Writes the table for people, one option per paragraph: key, type, default, range, help. `to`: FILE *. */
MUI_API void mui_options_describe(const struct mu_options *options, unsigned indent, void *to);
/*
 * Compares a component's sample (its config group) with its table: errors for unknown options and for those that the
 * sample does not show. Of a list of groups, one item has to show each.
 */
MUI_API int mui_options_sample_check(const mui_setting *group, const struct mu_options *options,
                                     struct mui_problems *problems);
/* Appends the effective values of a struct that mui_options_read() made as JSON; secrets, and what env: or file: gave, as "(hidden)" when set. */
MUI_API void mui_options_json(const struct mu_options *options, const void *config, struct mu_buf *out);

/* The word of `words` (ended by NULL) nearest to `word`, or NULL when none is near. */
MUI_API const char *mui_suggest(const char *word, const char *const *words);

#endif
