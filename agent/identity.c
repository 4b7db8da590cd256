/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <muster/log.h>

#include "identity.h"
#include "keys.h"

enum { BYTES = 16 };

static void format(const unsigned char raw[BYTES], char out[IDENTITY_SIZE])
{
  unsigned char id[BYTES];
  memcpy(id, raw, BYTES);
  id[6] =
      (unsigned char)((id[6] & 0x0f) | 0x40); /* the version and variant of RFC 9562, as systemd's own derived ids */
  id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
  size_t at = 0;
  for (size_t i = 0; i < BYTES; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      out[at++] = '-';
    at += (size_t)snprintf(out + at, IDENTITY_SIZE - at, "%02x", id[i]);
  }
}

static int nibble(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 hexadecimal digits that are not all zero; "uninitialized" and an empty file are no ids. */
static bool parse(const char *text, size_t len, unsigned char id[BYTES])
{
  bool any = false;
  if (len < 2 * BYTES || (len > 2 * BYTES && text[2 * BYTES] != '\n'))
    return false;
  for (size_t i = 0; i < BYTES; i++) {
    int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    id[i] = (unsigned char)(high << 4 | low);
    any |= id[i] != 0;
  }
  return any;
}

static bool from_machine(const char *root, char out[IDENTITY_SIZE])
{
  static const char label[] = "muster-agent machine 1";
  char path[512], text[64];
  unsigned char id[BYTES], digest[EVP_MAX_MD_SIZE];
  unsigned digest_len = 0;
  snprintf(path, sizeof(path), "%s/etc/machine-id", root);
  MU_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
  if (len <= 0 || !parse(text, (size_t)len, id))
    return false;
  bool good =
      HMAC(EVP_sha256(), id, BYTES, (const unsigned char *)label, sizeof(label) - 1, digest, &digest_len) != NULL;
  if (good)
    format(digest, out);
  mu_secret_wipe(id, sizeof(id));
  mu_secret_wipe(text, sizeof(text));
  return good;
}

static bool is_identity(const char *text, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : nibble(text[i]) < 0)
      return false;
  return len == IDENTITY_SIZE - 1;
}

static int saved(const mu_instance *in, const char *folder, const char *name, char out[IDENTITY_SIZE])
{
  struct mu_buf text = MU_BUF_INIT;
  int error = keys_read(in, folder, name, &text);
  if (!error && !is_identity(text.at ? text.at : "", text.len))
    error = MU_EINVAL;
  if (!error)
    memcpy(out, text.at, IDENTITY_SIZE);
  mu_buf_free(&text);
  return error;
}

int identity_find(const mu_instance *in, const char *root, const char *folder, char out[IDENTITY_SIZE])
{
  static const char name[] = "machine-id";
  unsigned char random[BYTES];
  if (from_machine(root, out))
    return 0;
  int found = saved(in, folder, name, out);
  if (!found)
    return 0;
  int error = mu_random(random, sizeof(random));
  if (error)
    return error;
  format(random, out);
  struct mu_str id = {out, IDENTITY_SIZE - 1};
  /* Of two agents that begin at once one is first; this machine must not be two. */
  error = found == MU_ENOENT ? keys_add(in, folder, name, id) : keys_write(in, folder, name, id);
  if (error == MU_EEXIST)
    error = saved(in, folder, name, out);
  if (error)
    mu_log(
        in, MU_LOG_WARN,
        "there is no usable %s/etc/machine-id, and the id made instead cannot be saved: this machine is a new one at "
        "each start",
        root);
  return 0;
}
