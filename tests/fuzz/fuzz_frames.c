/* SPDX-License-Identifier: ISC */
/*
 * Reassembly against a plain model: the input is a list of pieces, each a control byte, a length byte and data. Whatever comes whole
 * must equal what was put in, be UTF-8 if it is text, within the cap; and nothing may be kept after a refusal.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/reassembly.h"

enum { CAP = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct mui_assembly assembly = {0};
  char model[CAP + 256];
  size_t model_len = 0;
  bool begun = false, text = false;
  while (size >= 2) {
    uint8_t control = data[0];
    size_t len = data[1] < size - 2 ? data[1] : size - 2;
    struct mui_piece piece = {
        .at = (const char *)data + 2,
        .len = len,
        .first = (control & 1) || !begun,
        .final = control & 2,
        .binary = control & 4,
        .remaining = control & 2 ? 0 : (uint64_t)(control >> 3) << (control & 31),
    };
    data += 2 + len;
    size -= 2 + len;
    if (piece.first) {
      model_len = 0;
      text = !piece.binary;
      begun = true;
    }
    memcpy(model + model_len, piece.at, len);
    model_len += len;
    struct mu_str whole;
    int got = mui_assembly_add(&assembly, &piece, CAP, true, &whole);
    assert(got == 0 || got == 1 || (got >= 1000 && got < 5000));
    assert(assembly.capacity < 2 * CAP + 64 && assembly.len <= CAP);
    if (got == 1) {
      assert(piece.final && whole.len == model_len && memcmp(whole.at, model, model_len) == 0);
      assert(!text || mui_utf8_valid(model, model_len));
    } else if (got == 0) {
      assert(!piece.final && model_len <= CAP);
    } else {
      assert(!assembly.at && !assembly.begun);
      /* A refusal has a reason. */
      if (got == 1007)
        assert(text && (!piece.final || !mui_utf8_valid(model, model_len)));
      if (got == 1009)
        assert(model_len + piece.remaining > CAP);
    }
    if (got) {
      mui_assembly_reset(&assembly);
      begun = false;
    }
  }
  mui_assembly_reset(&assembly);
  return 0;
}
