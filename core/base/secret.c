/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <sys/random.h>

#include <muster/base.h>

bool mu_secret_equal(struct mu_str a, struct mu_str b)
{
  return a.len == b.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0;
}

void mu_secret_wipe(void *data, size_t len)
{
  if (data)
    OPENSSL_cleanse(data, len);
}

int mu_random(void *data, size_t len)
{
  char *at = data;
  while (len > 0) {
    size_t ask = len < 256 ? len : 256; /* up to 256 bytes come whole */
    if (getrandom(at, ask, 0) != (ssize_t)ask)
      return MU_EIO;
    at += ask;
    len -= ask;
  }
  return 0;
}

void mu_cleanup_free(void *pointer_to_pointer)
{
  void *p;
  memcpy(&p, pointer_to_pointer, sizeof p);
  free(p);
}

void mu_cleanup_close(int *descriptor)
{
  if (*descriptor >= 0)
    close(*descriptor);
}
