/* SPDX-License-Identifier: ISC */
/*
 * The bound: epoll, frames, nothing else. Understands just what bench_load sends (whole unfragmented frames),
 * answers pings, keeps the newest text per connection, sends every text to all pages. Usage: bench_raw PORT
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
  int fd;
  bool open, page;
  size_t len;
  char *newest;
  uint8_t buffer[4096];
};

static struct peer *pages[20000];
static size_t page_count;

static void answer(struct peer *peer)
{
  /* The load generator does not check the accept key. */
  static const char text[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
  peer->open = true;
  peer->page = strstr((char *)peer->buffer, "GET /ws-frontend") != NULL;
  if (peer->page && page_count < sizeof pages / sizeof pages[0])
    pages[page_count++] = peer;
  send(peer->fd, text, sizeof text - 1, MSG_NOSIGNAL);
}

static void text(struct peer *peer, const uint8_t *payload, size_t len)
{
  peer->newest = realloc(peer->newest, len);
  if (!peer->newest)
    exit(1);
  memcpy(peer->newest, payload, len);
  uint8_t frame[4096];
  size_t n = 0;
  frame[n++] = 0x81;
  if (len < 126) {
    frame[n++] = (uint8_t)len;
  } else {
    frame[n++] = 126;
    frame[n++] = (uint8_t)(len >> 8);
    frame[n++] = (uint8_t)len;
  }
  memcpy(frame + n, payload, len);
  for (size_t i = 0; i < page_count; i++)
    send(pages[i]->fd, frame, n + len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Handles whole frames at the start of the buffer; what is left over stays. */
static void frames(struct peer *peer)
{
  size_t at = 0;
  while (peer->len - at >= 6) {
    const uint8_t *head = peer->buffer + at;
    size_t len = head[1] & 127, need = 6;
    if (len == 126) {
      len = (size_t)head[2] << 8 | head[3];
      need = 8;
    }
    if (peer->len - at < need + len)
      break;
    uint8_t mask[4];
    memcpy(mask, head + need - 4, 4);
    uint8_t *payload = peer->buffer + at + need;
    for (size_t i = 0; i < len; i++)
      payload[i] ^= mask[i & 3];
    if ((head[0] & 15) == 1)
      text(peer, payload, len);
    else if ((head[0] & 15) == 9)
      send(peer->fd, "\x8a\0", 2, MSG_NOSIGNAL);
    at += need + len;
  }
  memmove(peer->buffer, peer->buffer + at, peer->len - at);
  peer->len -= at;
}

static void drop(struct peer *peer)
{
  for (size_t i = 0; i < page_count; i++)
    if (pages[i] == peer)
      pages[i] = pages[--page_count];
  close(peer->fd);
  free(peer->newest);
  free(peer);
}

static void readable(struct peer *peer)
{
  ssize_t n = recv(peer->fd, peer->buffer + peer->len, sizeof peer->buffer - 1 - peer->len, MSG_DONTWAIT);
  if (n <= 0) {
    drop(peer);
    return;
  }
  peer->len += (size_t)n;
  if (!peer->open) {
    peer->buffer[peer->len] = 0;
    char *end = strstr((char *)peer->buffer, "\r\n\r\n");
    if (!end)
      return;
    answer(peer);
    size_t used = (size_t)((uint8_t *)end + 4 - peer->buffer);
    memmove(peer->buffer, peer->buffer + used, peer->len - used);
    peer->len -= used;
  }
  frames(peer);
}

int main(int argc, char **argv)
{
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0))};
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0) {
    perror("bench_raw");
    return 1;
  }
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) {
        readable(events[i].data.ptr);
        continue;
      }
      struct peer *peer = calloc(1, sizeof *peer);
      if (!peer || (peer->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
        free(peer);
        continue;
      }
      setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      struct epoll_event add = {.events = EPOLLIN, .data.ptr = peer};
      epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &add);
    }
  }
}
