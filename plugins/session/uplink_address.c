/* SPDX-License-Identifier: ISC */
/* On a worker: a name may take long to be looked up. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uplink.h"

struct question {
  char host[256], port[6];
  char ip[NI_MAXHOST];
  uplink_address_done done;
  void *context;
};

/* Connecting a datagram socket sends nothing: the kernel chooses the way, and with it the address. */
static int work(void *context)
{
  struct question *question = context;
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
  if (getaddrinfo(question->host, question->port, &hints, &list) != 0)
    return MU_ENOENT;
  for (const struct addrinfo *at = list; at && !question->ip[0]; at = at->ai_next) {
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    MU_AUTO_CLOSE int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
        getnameinfo((struct sockaddr *)&own, len, question->ip, sizeof question->ip, NULL, 0, NI_NUMERICHOST) != 0)
      question->ip[0] = '\0';
  }
  freeaddrinfo(list);
  question->ip[strcspn(question->ip, "%")] = '\0'; /* the zone of a link-local address means nothing elsewhere */
  return 0;
}

static void done(void *context, int result)
{
  struct question *question = context;
  if (result != MU_ECLOSED)
    question->done(question->context, result == 0 && question->ip[0] ? question->ip : NULL);
  if (result != MU_ETIMEOUT)
    free(question);
}

static void late(void *context, int result)
{
  (void)result;
  free(context);
}

int uplink_address(mu_instance *in, const struct uplink_server *server, uplink_address_done fn, void *context)
{
  struct question *question = calloc(1, sizeof *question);
  if (!question)
    return MU_ENOMEM;
  memcpy(question->host, server->host, sizeof question->host);
  memcpy(question->port, server->port, sizeof question->port);
  question->done = fn;
  question->context = context;
  const struct mu_job job = {.size = sizeof job,
                             .work = work,
                             .done = done,
                             .late = late,
                             .context = question,
                             .deadline_ms = 2000,
                             .what = "own address"};
  int error = mu_work(in, &job);
  if (error)
    free(question);
  return error;
}
