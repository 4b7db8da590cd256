/* SPDX-License-Identifier: ISC */
/* Texts from outside and from rows that others wrote: times, keys, names, stored hashes. */
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  char *text = malloc(size + 1);
  if (!text)
    abort();
  if (size > 0)
    memcpy(text, data, size);
  text[size] = '\0';
  const struct mu_str whole = {text, size};
  int64_t first = -1, last = -1;
  bool good = time_of_text(whole, false, &first);
  if (good != time_of_text(whole, true, &last) && size != 10)
    abort();
  if (good) {
    char iso[25];
    int64_t again = -1;
    mu_iso_time(first, iso);
    if (first < 0 || !time_of_text(mu_str(iso), false, &again) || again != first || (size != 10 && last != first))
      abort();
  }
  if (key_shaped(whole) && (size != KEY_SIZE - 1 || strlen(text) != size))
    abort();
  if (username_ok(whole) && (size > USERNAME_MAX || strlen(text) != size))
    abort();
  if (password_hash_ok(text) && (strlen(text) != PASSWORD_HASH_SIZE - 1 || text[0] != '$'))
    abort();
  struct json_object *value = NULL;
  if (mu_json_parse(text, size, &value, NULL) == 0 && time_of_json(value, &first) && first < 0)
    abort();
  json_object_put(value);
  free(text);
  return 0;
}
