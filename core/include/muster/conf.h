/* SPDX-License-Identifier: ISC */
/**
 * @file conf.h
 * Options: one table per component, from which the host makes everything else.
 *
 * The table gives parsing into the component's own struct, `file:line` errors for unknown names
 * (with a suggestion), wrong types and ranges, `--check-config`, `--describe NAME`, the check of
 * the sample .conf, and the hiding of secrets.
 */
#ifndef MUSTER_CONF_H
#define MUSTER_CONF_H

#include <muster/base.h>

enum mu_option_type {
  MU_OPT_BOOL,    /**< bool */
  MU_OPT_INT,     /**< int64_t */
  MU_OPT_FLOAT,   /**< double; an integer literal serves too */
  MU_OPT_STRING,  /**< const char *; "env:NAME" and "file:/path" are resolved by the host; never NULL if REQUIRED */
  MU_OPT_ENUM,    /**< int: index into `names` */
  MU_OPT_STRINGS, /**< struct mu_list of const char * */
  MU_OPT_GROUP,   /**< a nested struct, by `fields` */
  MU_OPT_GROUPS,  /**< struct mu_list of structs of `item_size` bytes, by `fields` */
};

enum mu_option_flag {
  MU_OPT_REQUIRED = 1,
  MU_OPT_SECRET = 2, /**< never shown, compared in constant time by its user, wiped when freed */
};

/** A list option's value: `count` items one after another at `items`. */
struct mu_list {
  const void *items;
  size_t count;
};

struct mu_option;

/** A table of options as the component was compiled. Make it with MU_OPTIONS(). */
struct mu_options {
  const struct mu_option *table;
  size_t count;
  size_t option_size;
};
#define MU_OPTIONS(array)                                                                                              \
  {                                                                                                                    \
    (array), MU_COUNT(array), sizeof((array)[0])                                                                       \
  }
#define MU_NO_OPTIONS                                                                                                  \
  {                                                                                                                    \
    NULL, 0, 0                                                                                                         \
  }

/** One option. Growth-only; unused members are zero. */
struct mu_option {
  const char *key;
  enum mu_option_type type;
  /** Where the value lies in the component's config struct; within a group, in the group's or the item's struct. */
  size_t offset;
  unsigned flags;
  /** One line for people. */
  const char *help;
  /**
   * The default as it would be written in the file: "30", "\"report\"", "true", "[ \"a\" ]". NULL: zero, NULL or
   * an empty list; members of an absent MU_OPT_GROUP still get theirs, and are not required. Taken literally: no env:, no file:.
   */
  const char *preset;
  /**
   * Inclusive range for numbers; both 0: none; `max` below `min`: no upper bound. For strings (bytes) and lists (items)
   * they bound the length in the same way.
   */
  double min;
  double max;
  /** MU_OPT_ENUM: the words, ended by NULL. */
  const char *const *names;
  /** MU_OPT_GROUP, MU_OPT_GROUPS */
  struct mu_options fields;
  /** MU_OPT_GROUPS: sizeof the item's struct. */
  size_t item_size;
};

/** Where a component's check() reports what the table cannot express. */
struct mu_check;

/**
 * Reports a problem at an option: `path` is "secret" or "servers[1].id" within the component's config,
 * from which the host finds file and line. NULL: the entry itself. Each call is one more problem.
 */
MU_API void mu_check_error(struct mu_check *check, const char *path, const char *format, ...) MU_PRINTF(3, 4);
/** As mu_check_error(), but only a warning: allowed, and worth saying at each start. */
MU_API void mu_check_warn(struct mu_check *check, const char *path, const char *format, ...) MU_PRINTF(3, 4);

#endif
