/* SPDX-License-Identifier: ISC */
/* What the files of conf/ share: the tree of settings, and the text that libconfig gets to see. */
#ifndef MUI_CONF_INTERNAL_H
#define MUI_CONF_INTERNAL_H

#include <stdio.h>

#include "conf/config.h"

enum {
  MUI_CONF_FILE_MAX = 1 << 20,
  MUI_CONF_TEXT_MAX = 4 << 20, /* all includes of one file together */
  MUI_CONF_SECRET_MAX = 64 << 10,
  MUI_CONF_DEPTH = 32,
  MUI_CONF_INCLUDES = 10,
};

/* One file that was read. */
struct mui_source {
  struct mui_source *next;
  const char *folder; /* of the main file; borrowed from the config */
  unsigned mode;      /* permissions; 0: from memory */
  char path[];
};

enum mui_setting_type {
  MUI_SETTING_GROUP,
  MUI_SETTING_LIST,  /* ( … ) */
  MUI_SETTING_ARRAY, /* [ … ] */
  MUI_SETTING_BOOL,
  MUI_SETTING_INT,
  MUI_SETTING_FLOAT,
  MUI_SETTING_STRING,
};

struct mui_setting {
  char *name; /* NULL: an element of a list, or the root */
  enum mui_setting_type type;
  bool bad; /* the literal did not fit its type, which was reported */
  unsigned line;
  const struct mui_source *source;
  union {
    bool boolean;
    int64_t integer;
    double number;
    char *string;
  };
  struct mui_setting *items; /* groups, lists, arrays */
  size_t count;
};

struct mui_config {
  struct mui_setting root;
  struct mui_source *sources;
  char *folder;
  const char *const *appending;
  const char *const *foreign;
  struct mui_problems *problems; /* while loading */
  bool memory;                   /* from memory: no includes */
  bool sample;
  bool drop_in; /* a file of conf.d is being read */
};

/* A stretch of the expanded text that comes from one file. */
struct mui_segment {
  unsigned line; /* its first in the expanded text */
  const struct mui_source *source;
  unsigned first; /* the same line there */
};

/*
 * A file with its includes put in, without comments. All integers have the suffix L, so that libconfig does not wrap
 * them.
 * A name that is set twice was renamed: "*7" was reported and is dropped, "*7*plugins" is appended to `plugins`.
 */
struct mui_expanded {
  struct mu_buf out;
  struct mui_segment *segments;
  size_t count;
  unsigned line; /* the last line of `out` */
  unsigned *bad; /* lines with literals that did not fit and are 0 now */
  size_t bad_count;
  bool broken; /* was reported: not worth parsing */
};

/* Puts a text together, reports all that libconfig would take wrongly or explain badly. `identity`: mui_read_file()'s. */
void mui_expand(struct mui_config *config, const struct mui_source *source, const uint64_t identity[3],
                const char *text, size_t len, struct mui_expanded *to);
void mui_expanded_free(struct mui_expanded *expanded);
/* Where a line of the expanded text comes from. */
void mui_expanded_place(const struct mui_expanded *expanded, unsigned line, const struct mui_source **source,
                        unsigned *source_line);

struct mui_source *mui_source_new(struct mui_config *config, const char *path, unsigned mode);
/*
 * Reads a regular file whole, at most `max` bytes. NULL: `why` has a text for people.
 * The result is NUL-terminated and to be wiped and freed. `identity` (may be NULL) gets device, inode and owner.
 */
char *mui_read_file(const char *path, size_t max, size_t *len, unsigned *mode, uint64_t identity[3], char *why,
                    size_t why_size);
/* Who can write a configuration runs what he likes as this user: an error if that is everybody, a warning if it is another user. */
void mui_file_trust(struct mui_problems *problems, const char *path, unsigned mode, uint64_t owner);
/* `path` as seen from `folder`; to be freed. */
char *mui_path_join(const char *folder, const char *path);
/* The folder of a path: "." when it names none; to be freed. */
char *mui_path_folder(const char *path);
bool mui_word_in(const char *word, const char *const *words);

const struct mui_setting *mui_setting_find(const struct mui_setting *group, const char *name, size_t len);
void mui_setting_fini(struct mui_setting *setting);
/* Option i of a table, however large the options of its maker are. */
struct mu_option mui_option_at(const struct mu_options *options, size_t i);
/* Whether it is the internal option that keeps the group itself. */
bool mui_option_is_self(const struct mu_option *option);

#endif
