/* SPDX-License-Identifier: ISC */
/* Host names to addresses, off the loop. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/internal.h"

#define DEADLINE_MS 5000
#define ADDRESSES_MAX 8

struct resolve {
  void (*done)(void *context, int error, const struct mui_address *list, size_t count);
  void *context;
  uint16_t port;
  char host[256];
  struct mui_address list[ADDRESSES_MAX];
  size_t count;
};

static int error_of(int gai)
{
  switch (gai) {
  case 0:
    return 0;
  case EAI_NONAME:
#ifdef EAI_NODATA
  case EAI_NODATA:
#endif
    return MU_ENOENT;
  case EAI_AGAIN:
    return MU_EUNAVAILABLE;
  case EAI_MEMORY:
    return MU_ENOMEM;
  default:
    return MU_EIO;
  }
}

static void add(struct resolve *resolve, const struct addrinfo *info)
{
  struct mui_address *address = &resolve->list[resolve->count];
  if (getnameinfo(info->ai_addr, info->ai_addrlen, address->text, sizeof(address->text), NULL, 0, NI_NUMERICHOST) != 0)
    return;
  for (size_t i = 0; i < resolve->count; i++)
    if (strcmp(resolve->list[i].text, address->text) == 0)
      return;
  address->port = resolve->port;
  resolve->count++;
}

static int look_up(struct resolve *resolve, int flags)
{
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
  struct addrinfo *all = NULL;
  int error = error_of(getaddrinfo(resolve->host, NULL, &hints, &all));
  if (error)
    return error;
  for (struct addrinfo *info = all; info && resolve->count < ADDRESSES_MAX; info = info->ai_next)
    add(resolve, info);
  freeaddrinfo(all);
  return resolve->count > 0 ? 0 : MU_ENOENT;
}

static int look_up_job(void *context)
{
  return look_up(context, 0);
}

static void on_numeric(void *context)
{
  struct resolve *resolve = context;
  resolve->done(resolve->context, 0, resolve->list, resolve->count);
  free(resolve);
}

static void on_job(void *context, int result)
{
  struct resolve *resolve = context;
  if (result == MU_ETIMEOUT) { /* the worker still has `resolve` */
    resolve->done(resolve->context, result, NULL, 0);
    return;
  }
  if (result == 0)
    resolve->done(resolve->context, 0, resolve->list, resolve->count);
  else if (result != MU_ECLOSED)
    resolve->done(resolve->context, result, NULL, 0);
  free(resolve);
}

static void on_late(void *context, int result)
{
  (void)result;
  free(context);
}

int mui_resolve(mu_instance *in, const char *host, uint16_t port,
                void (*done)(void *context, int error, const struct mui_address *list, size_t count), void *context)
{
  struct resolve *resolve = calloc(1, sizeof(*resolve));
  if (!resolve)
    return MU_ENOMEM;
  resolve->done = done;
  resolve->context = context;
  resolve->port = port;
  int error = MU_EINVAL;
  int length = snprintf(resolve->host, sizeof(resolve->host), "%s", host ? host : "");
  if (length <= 0 || (size_t)length >= sizeof(resolve->host))
    goto failed;

  if (look_up(resolve, AI_NUMERICHOST) == 0) {
    error = mu_post(in, on_numeric, free, resolve);
  } else {
    struct mu_job job = {.size = sizeof(job),
                         .work = look_up_job,
                         .done = on_job,
                         .late = on_late,
                         .context = resolve,
                         .deadline_ms = DEADLINE_MS,
                         .what = "getaddrinfo"};
    error = mu_work(in, &job);
  }
  if (!error)
    return 0;
failed:
  free(resolve);
  return error;
}
