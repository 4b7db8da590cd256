/* SPDX-License-Identifier: ISC */
/* Whatever Realtime sends: a reading or a refusal, every text of it ended, and nothing told of another table. */
#include <stdlib.h>
#include <string.h>

#include "phoenix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const struct phoenix_channel channel = {.topic = "realtime:public:machines",
                                                 .schema = "public",
                                                 .table = "machines",
                                                 .id_column = "id",
                                                 .owner_column = "user_id"};
  struct phoenix_frame frame;
  memset(&frame, 0xa5, sizeof frame);
  if (phoenix_read(&channel, (const char *)data, size, &frame) != 0)
    return 0;
  if (!memchr(frame.id, '\0', sizeof frame.id) || !memchr(frame.owner, '\0', sizeof frame.owner) ||
      !memchr(frame.why, '\0', sizeof frame.why))
    abort();
  if ((frame.kind == PHOENIX_DELETED) != (frame.id[0] != '\0'))
    abort();
  if (frame.kind != PHOENIX_DELETED && frame.owner[0])
    abort();
  if (frame.kind == PHOENIX_DELETED && (!memmem(data, size, "DELETE", 6) && !memmem(data, size, "\\u", 2)))
    abort();
  return 0;
}
