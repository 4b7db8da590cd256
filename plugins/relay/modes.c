/* SPDX-License-Identifier: ISC */
/* What the others get of a message. */
#include <stdio.h>
#include <string.h>

#include "modes.h"

bool relay_mode_of(struct mu_str word, enum relay_mode *mode)
{
  static const char *const words[] = {
      [RELAY_DIRECT] = "DIRECT", [RELAY_JSON] = "JSON", [RELAY_CUSTOM_HEADER] = "CUSTOM_HEADER"};
  for (size_t i = 0; i < MU_COUNT(words); i++)
    if (mu_str_equal(word, mu_str(words[i]))) {
      *mode = (enum relay_mode)i;
      return true;
    }
  return false;
}

static char *put(char *to, struct mu_str part)
{
  if (part.len) /* an empty view may have no address */
    memcpy(to, part.at, part.len);
  return to + part.len;
}

static mu_text *join(const struct mu_str *parts, size_t count)
{
  size_t len = 0;
  for (size_t i = 0; i < count; i++)
    len += parts[i].len;
  char *to;
  mu_text *text = mu_text_alloc(len, &to);
  for (size_t i = 0; text && i < count; i++)
    to = put(to, parts[i]);
  return text;
}

static mu_text *render_json(struct mu_str message, const struct wire *wire, int64_t now_ms)
{
  char now[32];
  snprintf(now, sizeof now, "%lld", (long long)now_ms);
  struct mu_str data = wire->whole.text, time = mu_str(now);
  struct mu_buf quoted = MU_BUF_INIT;
  if (wire->whole.kind == WIRE_NONE) {
    mu_buf_json_string(&quoted, message);
    if (quoted.failed) {
      mu_buf_free(&quoted);
      return NULL;
    }
    data = (struct mu_str){quoted.at, quoted.len};
  } else if (wire->member[WIRE_TYPE].kind != WIRE_NONE && wire->member[WIRE_DATA].kind != WIRE_NONE) {
    const struct wire_value *own = &wire->member[WIRE_TIMESTAMP];
    data = wire->member[WIRE_DATA].text;
    if (own->kind != WIRE_NONE && own->kind != WIRE_NULL)
      time = own->text;
  }
  const struct mu_str parts[] = {MU_STR("{\"type\":\"message\",\"data\":"), data, MU_STR(",\"timestamp\":"), time,
                                 MU_STR("}")};
  mu_text *text = join(parts, MU_COUNT(parts));
  mu_buf_free(&quoted);
  return text;
}

mu_text *relay_render(enum relay_mode mode, const char *header, struct mu_str message, const struct wire *wire,
                      int64_t now_ms)
{
  if (mode == RELAY_JSON)
    return render_json(message, wire, now_ms);
  const struct mu_str parts[] = {mode == RELAY_CUSTOM_HEADER ? mu_str(header) : (struct mu_str){0}, message};
  return join(parts, MU_COUNT(parts));
}
