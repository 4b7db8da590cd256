/* SPDX-License-Identifier: ISC */
/**
 * @file json.h
 * Hot messages: one strict pass against a table of fields. Everything else: json-c, behind the same gate.
 *
 * Strict means RFC 8259 and more: valid UTF-8 without U+0000 and lone surrogates, nothing after the
 * value, at most 32 levels, integer literals within int64 or uint64, finite numbers. No copy is made: results
 * point into the text that was scanned and are valid as long as that is.
 */
#ifndef MUSTER_JSON_H
#define MUSTER_JSON_H

#include <muster/base.h>

/** json-c's object; include <json-c/json.h> and link json-c to use it. */
struct json_object;

enum mu_json_kind {
  MU_JSON_NONE, /**< the member was not there */
  MU_JSON_NULL,
  MU_JSON_BOOL,
  MU_JSON_NUMBER,
  MU_JSON_STRING,
  MU_JSON_OBJECT,
  MU_JSON_ARRAY,
};

/** What the scan found for one field, and where it lies in the text. */
struct mu_json_value {
  /** The value as written, quotes and brackets included. */
  const char *at;
  uint32_t len;
  /** enum mu_json_kind */
  uint8_t kind;
  /** MU_JSON_STRING: contains backslash escapes; use mu_json_unescape(). */
  bool escaped;
  /** MU_JSON_BOOL */
  bool boolean;
  /** MU_JSON_NUMBER: written without fraction and exponent and within int64: `integer` is exact. */
  bool whole;
  int64_t integer;
  /** MU_JSON_NUMBER, always set. */
  double number;
  /** The quote that opens the member's name; NULL for the top value and array elements. */
  const char *member;
};

enum mu_field_type {
  MU_FIELD_ANY,
  MU_FIELD_BOOL,
  MU_FIELD_INT,    /**< whole number within int64 */
  MU_FIELD_UINT,   /**< whole number, not negative */
  MU_FIELD_NUMBER, /**< any finite number */
  MU_FIELD_STRING,
  MU_FIELD_OBJECT,
  MU_FIELD_ARRAY,
};

enum mu_field_flag {
  MU_FIELD_REQUIRED = 1, /**< must be there, whenever the object around it is */
  MU_FIELD_NULLABLE = 2, /**< `null` is accepted and gives kind MU_JSON_NULL */
};

/** `offset` of a field that is checked but not kept. All fields below an array (`[]`) must use it. */
#define MU_FIELD_CHECK_ONLY SIZE_MAX

/**
 * One row of a field table. `path` is "cpu.percent" or "disk[].total" ("[]": every element). The
 * objects on the way need no row of their own unless they are required. At most 64 known members in one object.
 */
struct mu_field {
  const char *path;
  enum mu_field_type type;
  unsigned flags;
  /** Inclusive range for numbers; both 0: none. For strings `max` bounds the length as written. */
  double min;
  double max;
  /** Where the struct mu_json_value lies in the caller's struct. */
  size_t offset;
};

/** Compiled from a field table; immutable, so any thread may scan with it. */
typedef struct mu_schema mu_schema;

/**
 * Compiles a table. NULL: memory is out or the table contradicts itself (the reason is logged).
 * @param field_size sizeof(struct mu_field) as the caller was compiled
 */
MU_API mu_schema *mu_schema_new(const struct mu_field *fields, size_t count, size_t field_size);
MU_API void mu_schema_free(mu_schema *schema);

struct mu_json_error {
  /** MU_ESYNTAX, MU_ELIMIT (depth), MU_ETYPE, MU_ERANGE, MU_EMISSING, MU_EEXIST (given twice). */
  int code;
  /** Where in the text, in bytes. */
  size_t offset;
  /** The field, "disk[2].total"; empty for a syntax error. Never contains text from outside. */
  char path[96];
  /** What was expected, one line, never contains text from outside: "must be a number from 0 to 100". */
  char what[96];
};

/**
 * Scans `len` bytes against `schema` (NULL: syntax only) and sets every kept field in `out` (all of
 * them are reset first; `out` may be NULL when nothing is kept). Unknown members are checked for
 * syntax and ignored; a known member given twice is refused.
 * @return 0 or the error's code, with `error` filled in (may be NULL)
 */
MU_API int mu_json_scan(const mu_schema *schema, const char *text, size_t len, void *out,
                        struct mu_json_error *error) MU_MUST_USE;

/** The value of a string without quotes; a view into the text. Only for values that are not `escaped`. */
MU_API struct mu_str mu_json_str(const struct mu_json_value *value);

/** Appends the value of a string, escapes resolved. 0, or MU_ETYPE if it is no string, or MU_ENOMEM. */
MU_API int mu_json_unescape(const struct mu_json_value *value, struct mu_buf *out);

/**
 * The edit that takes a member out of the object around it, with the comma that this leaves over.
 * Two members that lie side by side must be taken out with two splices.
 */
MU_API struct mu_edit mu_json_cut(struct mu_str text, const struct mu_json_value *value);

/**
 * Parses with json-c what the scan has accepted first. On success `*out` is a new reference for
 * json_object_put(). @return 0, the scan's error, or MU_ENOMEM
 */
MU_API int mu_json_parse(const char *text, size_t len, struct json_object **out,
                         struct mu_json_error *error) MU_MUST_USE;

/** Serialises, compact, slashes not escaped. NULL: memory is out or a number is not finite. Borrows `object`. */
MU_API mu_text *mu_json_text(struct json_object *object);

MU_API void mu_cleanup_json(struct json_object **object);
/** `MU_AUTO_JSON struct json_object *o = …;` is put when it goes out of scope. */
#define MU_AUTO_JSON __attribute__((cleanup(mu_cleanup_json)))

#endif
