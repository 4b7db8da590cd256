/* SPDX-License-Identifier: ISC */
/* Whatever Supabase answers: a user's id is a short text without control characters, or there is none. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "lookup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct json_object *rows = NULL;
  struct lookup_answer answer;
  if (mu_json_parse((const char *)data, size, &rows, NULL) != 0)
    return 0;
  bool usable = json_object_is_type(rows, json_type_array);
  for (size_t i = 0; usable && i < json_object_array_length(rows); i++)
    usable = json_object_is_type(json_object_array_get_idx(rows, i), json_type_object); /* as rest.c sees to */
  static const struct lookup_config plain = {.table = "users", .column = "apikey"},
                                    digested = {.table = "users", .column = "apikey", .digest_column = "sum"};
  lookup_mistyped(&plain, LOOKUP_BY_KEY, MU_STR("zz"), rows);
  for (unsigned turn = 0; usable && turn < 4; turn++) {
    lookup_judge(turn & 1 ? &plain : &digested, turn & 2 ? LOOKUP_BY_KEY : LOOKUP_BY_ID, rows, &answer);
    size_t named = strnlen(answer.key, KEY_HEX);
    if (named != 0 && (named != KEY_HEX - 1 || answer.verdict != LOOKUP_FOUND))
      abort();
    size_t length = strlen(answer.id);
    if ((answer.verdict == LOOKUP_FOUND && length == 0) || length > LOOKUP_ID || !answer.why)
      abort();
    for (size_t i = 0; i < length; i++)
      if ((unsigned char)answer.id[i] < ' ' || answer.id[i] == 0x7f)
        abort();
  }
  json_object_put(rows);
  return 0;
}
