/* SPDX-License-Identifier: ISC */
/* Whatever passes the scan must convert and be written again in both forms, and pass the scan again. */
#include <json-c/json.h>
#include <stdlib.h>

#include "convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written_again(const struct status_codec *codec, struct json_object *metrics)
{
  static const struct status_card card = {.id = "a"};
  for (int kind = 0; kind < STATUS_KINDS; kind++) {
    struct status_reading reading;
    mu_text *text = render_report((enum status_kind)kind, &card, metrics, 1, STATUS_DOCUMENTED_LIMIT, NULL);
    if (text &&
        status_read(codec, (enum status_kind)kind, mu_text_data(text), mu_text_len(text), &reading, NULL) != 0 &&
        mu_text_len(text) <= STATUS_DOCUMENTED_LIMIT)
      abort();
    mu_text_unref(text);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct status_codec codec;
  if (!codec.page && status_codec_init(&codec) != 0)
    abort();
  const char *text = (const char *)data;
  struct status_reading by[STATUS_KINDS];
  struct mu_json_error error;
  status_page_ping(&codec, text, size, &error);
  int first = status_read(&codec, STATUS_DOCUMENTED, text, size, &by[0], &error);
  int second = status_read(&codec, STATUS_DEPLOYED, text, size, &by[1], &error);
  if ((first == 0) != (second == 0) || (first == 0 && by[0].kind != by[1].kind))
    abort(); /* the hint must not matter */
  if (first != 0)
    return 0;
  const struct mu_machine machine = {.size = sizeof machine,
                                     .id = "a",
                                     .name = "n\"",
                                     .group = "g",
                                     .country = "US",
                                     .location = "l",
                                     .ip = "",
                                     .provider = "",
                                     .owner = "",
                                     .fixed = 15};
  mu_text *kept = status_keep(&by[0], (struct mu_str){text, size}, &machine, false);
  if (!kept || mu_json_scan(NULL, mu_text_data(kept), mu_text_len(kept), NULL, NULL) != 0)
    abort();
  mu_text_unref(kept);
  struct json_object *metrics = NULL;
  if (convert_metrics(by[0].kind, text, size, &metrics) == 0) {
    written_again(&codec, metrics);
    mu_text *element = render_element(&machine, metrics);
    if (!element || mu_json_scan(NULL, mu_text_data(element), mu_text_len(element), NULL, NULL) != 0)
      abort();
    mu_text_unref(element);
  }
  json_object_put(metrics);
  return 0;
}
