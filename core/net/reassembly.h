/* SPDX-License-Identifier: ISC */
/* Messages from pieces of frames: caps, fragments, UTF-8. No sockets, so that it can be fuzzed. */
#ifndef MUI_NET_REASSEMBLY_H
#define MUI_NET_REASSEMBLY_H

#include "base/instance.h"

/* Where a UTF-8 text was cut: how many bytes the open character still needs, and what the next may be. */
struct mui_utf8_state {
  uint8_t need, low, high;
};
/* Goes on with `len` bytes. False: no UTF-8, whatever follows. */
MUI_API bool mui_utf8_more(struct mui_utf8_state *state, const char *at, size_t len);

/* A message of which a part is there. Zero-initialise. */
struct mui_assembly {
  char *at; /* NULL while nothing is kept */
  size_t len, capacity;
  uint32_t frames; /* that ended without ending the message */
  struct mui_utf8_state utf8;
  bool begun, binary;
};

struct mui_piece {
  const char *at;
  size_t len;
  uint64_t remaining; /* bytes of this frame that are still to come */
  bool first;         /* of the message */
  bool final;         /* the message ends with this piece */
  bool binary;
};

/*
 * Takes a piece. 0: more is to come. 1: *whole has the message: the piece itself, or memory of the assembly, followed by a NUL and
 * valid until mui_assembly_reset(). Otherwise the code to close with; nothing is kept then.
 */
MUI_API int mui_assembly_add(struct mui_assembly *assembly, const struct mui_piece *piece, size_t max_message,
                             bool allow_binary, struct mu_str *whole);
/* Frees what is kept. */
MUI_API void mui_assembly_reset(struct mui_assembly *assembly);

#endif
