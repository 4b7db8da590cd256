/* SPDX-License-Identifier: ISC */
/* A second reader of strict JSON, written for clearness instead of speed: what the scan is compared with. */
#ifndef TESTS_FUZZ_REFERENCE_H
#define TESTS_FUZZ_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/json.h>

/* Why a text is refused: the strict list. Only for REF_STRUCTURE must json-c be of the same opinion. */
enum ref_reason {
  REF_OK,
  REF_STRUCTURE,
  REF_SPACE,   /* white space that JSON does not have */
  REF_LITERAL, /* NaN, Infinity, nUll */
  REF_QUOTE,   /* 'text' */
  REF_ESCAPE,
  REF_CONTROL,   /* raw control characters */
  REF_NUL,       /* U+0000 */
  REF_SURROGATE, /* one half of a pair */
  REF_UTF8,
  REF_NUMBER,  /* 01, 1., +1 */
  REF_INTEGER, /* beyond int64 and uint64 */
  REF_FINITE,
  REF_DEPTH,
  REF_TRAILING,
};

struct ref_node {
  enum mu_json_kind kind;
  size_t begin, end; /* in the text */
  bool escaped;
  bool boolean;
  bool literal_int; /* no fraction, no exponent */
  bool negative;
  uint64_t magnitude; /* of a literal_int */
  double number;
  char *string; /* decoded */
  size_t string_len;
  size_t key_begin; /* members only: their name's quote */
  char *key;        /* members only; decoded */
  size_t key_len;
  struct ref_node *child, *next;
};

/* NULL with a reason, or the value; free with ref_free(). */
struct ref_node *ref_parse(const char *text, size_t len, enum ref_reason *reason);
void ref_free(struct ref_node *node);

#endif
