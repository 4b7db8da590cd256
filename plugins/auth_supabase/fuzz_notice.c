/* SPDX-License-Identifier: ISC */
/* Whatever a NOTIFY's text is: both texts are ended, and a notice that was read has an id. */
#include <stdlib.h>
#include <string.h>

#include "notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct notice notice;
  memset(&notice, 0xa5, sizeof notice);
  bool read = notice_read((struct mu_str){(const char *)data, size}, &notice);
  if (!memchr(notice.id, '\0', sizeof notice.id) || !memchr(notice.owner, '\0', sizeof notice.owner))
    abort();
  if (read && !notice.id[0])
    abort();
  return 0;
}
