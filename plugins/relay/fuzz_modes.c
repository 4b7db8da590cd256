/* SPDX-License-Identifier: ISC */
/* What the strict scan takes, this reader takes, too; what it takes can be walked, handed on, and read again. */
#include <stdlib.h>
#include <string.h>

#include <muster/json.h>

#include "modes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct mu_str object)
{
  struct mu_str name;
  struct wire_value value;
  struct mu_buf out = MU_BUF_INIT;
  for (size_t at = 0; wire_next(object, &at, &name, &value);) {
    wire_unescape(name, &out);
    if (value.kind == WIRE_STRING)
      wire_unescape(value.text, &out);
    if (value.kind == WIRE_OBJECT)
      walk(value.text);
  }
  if (wire_is_utf8(object) && !wire_is_utf8((struct mu_str){out.at, out.len}))
    abort();
  mu_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct mu_str text = {(const char *)data, size};
  struct wire wire;
  int result = wire_read(text, &wire);
  struct mu_json_error error;
  int strict = mu_json_scan(NULL, text.at, size, NULL, &error);
  if (strict == 0 && (result != 0 || wire.whole.kind == WIRE_NONE))
    abort();
  if (strict == MU_ELIMIT && result == 0 && wire.whole.kind != WIRE_NONE)
    abort();
  if (result != 0)
    return 0;
  if (wire.whole.kind == WIRE_OBJECT)
    walk(wire.whole.text);
  for (int mode = RELAY_DIRECT; mode <= RELAY_CUSTOM_HEADER; mode++) {
    mu_text *out = relay_render((enum relay_mode)mode, "h", text, &wire, 1);
    struct wire again;
    if (!out)
      abort();
    /* One level more than the message's own. */
    int read = mode == RELAY_JSON ? wire_read(mu_text_str(out), &again) : 0;
    if (mode == RELAY_JSON && read == 0 &&
        (again.whole.kind != WIRE_OBJECT || !wire_is(&again.member[WIRE_TYPE], "message")))
      abort();
    mu_text_unref(out);
  }
  return 0;
}
