/* SPDX-License-Identifier: ISC */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Not zero: `ws` would leave the unmasking out, which no real client allows it. */
static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

size_t frame(uint8_t *out, uint8_t opcode, const void *payload, size_t len)
{
  size_t n = 0;
  out[n++] = 0x80 | opcode;
  if (len < 126) {
    out[n++] = (uint8_t)(0x80 | len);
  } else if (len <= 0xffff) {
    out[n++] = 0x80 | 126;
    out[n++] = (uint8_t)(len >> 8);
    out[n++] = (uint8_t)len;
  } else {
    out[n++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      out[n++] = (uint8_t)((uint64_t)len >> shift);
  }
  memcpy(out + n, mask, sizeof mask);
  n += sizeof mask;
  for (size_t i = 0; i < len; i++)
    out[n + i] = ((const uint8_t *)payload)[i] ^ mask[i & 3];
  return n + len;
}

void put_all(struct link *link, const void *data, size_t len)
{
  const char *at = data;
  while (len > 0) {
    ssize_t n = send(link->fd, at, len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      struct timespec pause = {0, 100000};
      nanosleep(&pause, NULL);
      continue;
    }
    if (n < 0)
      die("send");
    at += n;
    len -= (size_t)n;
  }
}

static void start(struct links *links, struct link *link, struct target target, const char *path, const char *extra)
{
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(target.port)};
  inet_pton(AF_INET, target.host, &to.sin_addr);
  *link = (struct link){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (link->fd < 0)
    die("socket");
  /* A blocking connect: on loopback it takes as long as the backlog has room. */
  if (connect(link->fd, (struct sockaddr *)&to, sizeof to) != 0)
    die("connect");
  int one = 1;
  setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char request[1024];
  int len = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bXVzdGVyIGxvYWQgdGVzdA==\r\n%s\r\n",
                     path, target.host, target.port, extra);
  put_all(link, request, (size_t)len);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
  if (epoll_ctl(links->epoll, EPOLL_CTL_ADD, link->fd, &event) != 0)
    die("epoll_ctl");
}

void links_open(struct links *links, struct target target, const char *path, size_t count, size_t burst,
                void (*headers)(char *out, size_t size, size_t n))
{
  if (links->epoll <= 0 && (links->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
    die("epoll_create1");
  links->list = calloc(count, sizeof *links->list);
  if (!links->list)
    die("memory");
  links->count = count;
  links->open = links->failed = 0;
  for (size_t n = 0; n < count; n++) {
    char extra[256] = "", own[64];
    if (headers)
      headers(extra, sizeof extra, n);
    if (links->path)
      links->path(own, sizeof own, n);
    start(links, &links->list[n], target, links->path ? own : path, extra);
    while (n + 1 - links->open - links->failed >= burst)
      links_turn(links, 1000);
  }
  int64_t end = now_ns() + 60000000000;
  while (links->open + links->failed < count && now_ns() < end)
    links_turn(links, 100);
}

static void lost(struct links *links, struct link *link)
{
  links->failed++;
  links->open -= link->open;
  close(link->fd);
  link->fd = -1;
  link->open = false;
}

/* The answer to the upgrade: everything up to the blank line; only its status matters. */
static size_t read_answer(struct links *links, struct link *link, const uint8_t *at, size_t len)
{
  for (size_t i = 0; i < len; i++) {
    if (link->head_len == 0 && link->ping_len < 12)
      link->ping[link->ping_len++] = at[i]; /* borrowed for the status line */
    static const char blank[] = "\r\n\r\n";
    link->payload_left = at[i] == (uint8_t)blank[link->payload_left] ? link->payload_left + 1 : at[i] == '\r';
    if (link->payload_left == 4) {
      bool fine = memcmp(link->ping, "HTTP/1.1 101", 12) == 0;
      link->payload_left = 0;
      link->ping_len = 0;
      link->head_len = 0;
      if (!fine) {
        lost(links, link);
        return len;
      }
      link->open = true;
      links->open++;
      return i + 1;
    }
  }
  return len;
}

static void whole(struct links *links, struct link *link)
{
  link->head_len = 0;
  if (link->opcode == 1 || link->opcode == 2) {
    link->texts++;
    if (links->on_text)
      links->on_text(links, link);
  } else if (link->opcode == 9) {
    uint8_t pong[140];
    put_all(link, pong, frame(pong, 10, link->ping, link->ping_len));
  } else if (link->opcode == 10) {
    link->pongs++;
    if (links->on_pong)
      links->on_pong(links, link);
  }
}

static void read_frames(struct links *links, struct link *link, const uint8_t *at, size_t len)
{
  while (len > 0 && link->fd >= 0) {
    if (link->payload_left > 0) {
      size_t n = len < link->payload_left ? len : (size_t)link->payload_left;
      for (size_t i = 0; link->opcode == 9 && i < n && link->ping_len < sizeof link->ping; i++)
        link->ping[link->ping_len++] = at[i];
      at += n;
      len -= n;
      link->payload_left -= n;
      if (link->payload_left == 0)
        whole(links, link);
      continue;
    }
    link->head[link->head_len++] = *at++;
    len--;
    if (link->head_len < 2)
      continue;
    unsigned code = link->head[1] & 127;
    unsigned need = code == 126 ? 4 : code == 127 ? 10 : 2;
    if (link->head_len < need)
      continue;
    uint64_t payload = code;
    if (need > 2) {
      payload = 0;
      for (unsigned i = 2; i < need; i++)
        payload = payload << 8 | link->head[i];
    }
    /* Of a message in fragments the last counts, as what the first said. */
    unsigned opcode = link->head[0] & 15;
    if (opcode == 1 || opcode == 2)
      link->message = (uint8_t)opcode;
    link->opcode = opcode > 2 ? (uint8_t)opcode : link->head[0] & 0x80 ? link->message : 0;
    link->ping_len = 0;
    link->payload_left = payload;
    if (payload == 0)
      whole(links, link);
  }
}

void links_turn(struct links *links, int wait_ms)
{
  static uint8_t buffer[1 << 18];
  struct epoll_event events[256];
  int n = epoll_wait(links->epoll, events, 256, wait_ms);
  for (int i = 0; i < n; i++) {
    struct link *link = events[i].data.ptr;
    if (link->fd < 0)
      continue;
    ssize_t got = recv(link->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (got <= 0) {
      lost(links, link);
      continue;
    }
    size_t used = link->open ? 0 : read_answer(links, link, buffer, (size_t)got);
    if (link->fd >= 0)
      read_frames(links, link, buffer + used, (size_t)got - used);
  }
}

void links_close(struct links *links)
{
  for (size_t i = 0; i < links->count; i++)
    if (links->list[i].fd >= 0)
      close(links->list[i].fd);
  free(links->list);
  links->list = NULL;
  links->count = links->open = 0;
}
