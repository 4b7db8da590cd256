/* SPDX-License-Identifier: ISC */
/**
 * @file modes.h
 * What a message is, and what the others get of it. Pure: no state, no I/O. Any thread.
 *
 * A reader of its own, because messages here are other people's: what the strict scan of json.h refuses though it is JSON (members given twice,
 * numbers of any length, lone surrogates) passes and is handed on as it was written.
 */
#ifndef RELAY_MODES_H
#define RELAY_MODES_H

#include <muster/base.h>

enum relay_mode {
  RELAY_DIRECT,
  RELAY_JSON,
  RELAY_CUSTOM_HEADER,
};
/** By the words of endpoints.forwarding_mode; false: none of them. */
bool relay_mode_of(struct mu_str word, enum relay_mode *mode);

enum { WIRE_DEPTH_MAX = 32 };

enum wire_kind {
  WIRE_NONE, /**< not there */
  WIRE_NULL,
  WIRE_BOOL,
  WIRE_NUMBER,
  WIRE_STRING,
  WIRE_OBJECT,
  WIRE_ARRAY,
};

/** A value and where it is written, quotes and brackets included. */
struct wire_value {
  struct mu_str text;
  enum wire_kind kind;
};

/** The members of a message that mean something here; given twice, the last counts. */
enum wire_member {
  WIRE_TYPE,
  WIRE_DATA,
  WIRE_TIMESTAMP,
  WIRE_DEVICE_ID,
  WIRE_DEVICE_NAME,
  WIRE_COMMAND_ID,
  WIRE_STATUS,
  WIRE_MESSAGE,
  WIRE_MEMBERS,
};

struct wire {
  /** The whole value; kind WIRE_NONE: the text is no JSON. */
  struct wire_value whole;
  /** Of an object. */
  struct wire_value member[WIRE_MEMBERS];
};

/** Reads a text. 0; MU_ELIMIT: JSON, at least that far, with more than WIRE_DEPTH_MAX levels. */
int wire_read(struct mu_str text, struct wire *wire);

/** Walks the members of an object that wire_read() took: start with `*at` 0. False at the end. `name` with its quotes. */
bool wire_next(struct mu_str object, size_t *at, struct mu_str *name, struct wire_value *value);

/** The text of a string value (or name), escapes resolved, lone surrogates as U+FFFD. Appends. */
void wire_unescape(struct mu_str quoted, struct mu_buf *out);
/** Whether a string's text is `word`, which has no escapes. */
bool wire_is(const struct wire_value *value, const char *word);
bool wire_is_utf8(struct mu_str text);
/** Unicode characters of UTF-8 text. */
size_t wire_characters(struct mu_str text);
/** The first `max` characters of it. */
struct mu_str wire_cut(struct mu_str text, size_t max);

/**
 * What the others get: a text with one reference, or NULL when memory is out. In RELAY_JSON `wire` must have been read from `message`;
 * bytes that are not UTF-8 become U+FFFD there.
 */
mu_text *relay_render(enum relay_mode mode, const char *header, struct mu_str message, const struct wire *wire,
                      int64_t now_ms);

#endif
