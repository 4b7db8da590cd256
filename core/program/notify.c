/* SPDX-License-Identifier: ISC */
/* Tells the service manager that the program is ready, as sd_notify(3) has it: one datagram to the socket that it names. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "program/internal.h"

int mui_notify_ready(void)
{
  static const char ready[] = "READY=1";
  const char *path = getenv("NOTIFY_SOCKET");
  if (!path || !path[0])
    return 0; /* nobody waits */
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t len = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(to.sun_path))
    return -EINVAL;
  memcpy(to.sun_path, path, len);
  if (path[0] == '@')
    to.sun_path[0] = '\0'; /* an abstract name */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
  ssize_t sent = sendto(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL, (const struct sockaddr *)&to, size);
  int error = sent < 0 ? -errno : 0;
  close(fd);
  return error;
}
