/* SPDX-License-Identifier: ISC */
/**
 * @file base.h
 * Text, buffers, maps, time and secrets: what every plugin needs before it does anything.
 *
 * Units: `_ms` milliseconds, `_ns` nanoseconds, `_s` seconds; sizes are bytes.
 */
#ifndef MUSTER_BASE_H
#define MUSTER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/errors.h>
#include <muster/export.h>

/** One running copy of a component. Everything registered through it is revoked when it stops. */
typedef struct mu_instance mu_instance;

#define MU_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- views ---------------------------------------------------------------------------------- */

/** Bytes that somebody else owns; not NUL-terminated. */
struct mu_str {
  const char *at;
  size_t len;
};

/** A view of a string literal. */
#define MU_STR(literal) ((struct mu_str){(literal), sizeof(literal) - 1})

/** A view of a C string; NULL gives an empty view. Any thread. */
MU_API struct mu_str mu_str(const char *text);
MU_API bool mu_str_equal(struct mu_str a, struct mu_str b);
/** Equal without looking at ASCII case. */
MU_API bool mu_str_equal_nocase(struct mu_str a, struct mu_str b);

/** One text for people in the languages of answers; string literals. */
struct mu_words {
  const char *en;
  const char *zh;
};
#define MU_WORDS(en_, zh_) ((struct mu_words){(en_), (zh_)})

/* ---- texts: shared, immutable --------------------------------------------------------------- */

/**
 * A reference-counted, immutable run of bytes. Stored once however many hold it; safe to hold, ref
 * and unref on any thread. The storage leaves room for a frame header, so sending never copies it.
 */
typedef struct mu_text mu_text;

/** A copy of `len` bytes with one reference; NULL when memory is out. */
MU_API mu_text *mu_text_new(const char *data, size_t len);
/** Room for `len` bytes; fill `*data` before anybody else sees the text. NULL when memory is out. */
MU_API mu_text *mu_text_alloc(size_t len, char **data);
MU_API mu_text *mu_text_printf(const char *format, ...) MU_PRINTF(1, 2);
/** Adds a reference and returns `text`; NULL stays NULL. */
MU_API mu_text *mu_text_ref(mu_text *text);
/** Drops a reference; NULL is allowed. */
MU_API void mu_text_unref(mu_text *text);
/** NUL-terminated, valid while a reference is held. */
MU_API const char *mu_text_data(const mu_text *text);
MU_API size_t mu_text_len(const mu_text *text);
MU_API struct mu_str mu_text_str(const mu_text *text);

/** One edit of mu_text_splice(): bytes [at, at+len) of the base become `put`. */
struct mu_edit {
  size_t at;
  size_t len;
  struct mu_str put;
};

/** A new text: `base` with `n` edits applied. Edits must be sorted by `at` and not overlap, else NULL. */
MU_API mu_text *mu_text_splice(struct mu_str base, const struct mu_edit *edits, size_t n);

/* ---- buffers: private, growing -------------------------------------------------------------- */

/** A growing byte buffer. Start from MU_BUF_INIT; `at` is NUL-terminated once anything was added. */
struct mu_buf {
  char *at;
  size_t len;
  size_t capacity;
  /** An append failed: out of memory. Later appends do nothing; test once, at the end. */
  bool failed;
};
#define MU_BUF_INIT                                                                                                    \
  {                                                                                                                    \
    0                                                                                                                  \
  }

MU_API void mu_buf_add(struct mu_buf *buf, const void *data, size_t len);
MU_API void mu_buf_adds(struct mu_buf *buf, const char *text);
MU_API void mu_buf_printf(struct mu_buf *buf, const char *format, ...) MU_PRINTF(2, 3);
/** Appends `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD. */
MU_API void mu_buf_json_string(struct mu_buf *buf, struct mu_str text);
/** Keeps the memory, forgets the content and the failure. */
MU_API void mu_buf_clear(struct mu_buf *buf);
MU_API void mu_buf_free(struct mu_buf *buf);
/** The content as a text with one reference; the buffer is emptied. NULL if an append had failed. */
MU_API mu_text *mu_buf_take_text(struct mu_buf *buf);

/* ---- maps ----------------------------------------------------------------------------------- */

/** A hash map from byte strings (copied in) to pointers (not owned). Not for several threads. */
typedef struct mu_map mu_map;

MU_API mu_map *mu_map_new(void);
/** Frees the map and its keys, not the values. */
MU_API void mu_map_free(mu_map *map);
/** 0, or MU_EEXIST (nothing changed), or MU_ENOMEM. */
MU_API int mu_map_add(mu_map *map, struct mu_str key, void *value);
/** The value, or NULL. */
MU_API void *mu_map_get(const mu_map *map, struct mu_str key);
/** Takes the entry out and returns its value, or NULL. */
MU_API void *mu_map_del(mu_map *map, struct mu_str key);
MU_API size_t mu_map_count(const mu_map *map);
/**
 * Walks all entries in no order: start with `*position` 0, ends with NULL. Between two steps only
 * the entry that was just returned may be deleted.
 */
MU_API void *mu_map_next(const mu_map *map, size_t *position, struct mu_str *key);

/* ---- time ----------------------------------------------------------------------------------- */

/** Wall clock, Unix milliseconds. Any thread. Tests inject it; so may jumps of the system's. */
MU_API int64_t mu_now_ms(void);
/** Monotonic clock, nanoseconds. Any thread. */
MU_API int64_t mu_mono_ns(void);

/* ---- secrets -------------------------------------------------------------------------------- */

/** Compares in a time that depends on the lengths only. Any thread. */
MU_API bool mu_secret_equal(struct mu_str a, struct mu_str b);
/** Overwrites memory in a way the compiler keeps. */
MU_API void mu_secret_wipe(void *data, size_t len);
/** Fills with random bytes from the system; 0 or MU_EIO. */
MU_API int mu_random(void *data, size_t len) MU_MUST_USE;

/* ---- locals that clean up after themselves --------------------------------------------------- */

MU_API void mu_cleanup_free(void *pointer_to_pointer);
MU_API void mu_cleanup_close(int *descriptor);

/** `MU_AUTO_FREE char *s = …;` is freed when it goes out of scope. */
#define MU_AUTO_FREE __attribute__((cleanup(mu_cleanup_free)))
/** `MU_AUTO_CLOSE int fd = …;` is closed when it goes out of scope, unless negative. */
#define MU_AUTO_CLOSE __attribute__((cleanup(mu_cleanup_close)))

#endif
