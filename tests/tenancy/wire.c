/* SPDX-License-Identifier: ISC */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Noreturn void fail(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  fputs("tenancy: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

int64_t now_ms(void)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void wires_init(struct wires *wires, uint16_t port)
{
  wires->port = port;
  wires->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (wires->epoll < 0)
    fail("epoll_create1: %s", strerror(errno));
}

/* Everything, however long it takes: the server never waits for us, so this ends. False: the link broke. */
static bool put_all(int fd, const void *data, size_t len)
{
  const char *at = data;
  while (len > 0) {
    ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false; /* reading will tell */
    at += n;
    len -= (size_t)n;
  }
  return true;
}

static void put_frame(int fd, uint8_t opcode, const char *payload, size_t len)
{
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint8_t out[4096];
  size_t n = 0;
  if (len > sizeof out - 8)
    fail("a message of %zu bytes", len);
  out[n++] = 0x80 | opcode;
  if (len < 126) {
    out[n++] = (uint8_t)(0x80 | len);
  } else {
    out[n++] = 0x80 | 126;
    out[n++] = (uint8_t)(len >> 8);
    out[n++] = (uint8_t)len;
  }
  memcpy(out + n, mask, sizeof mask);
  n += sizeof mask;
  for (size_t i = 0; i < len; i++)
    out[n + i] = (uint8_t)payload[i] ^ mask[i & 3];
  put_all(fd, out, n + len);
}

void wire_send(struct wire *wire, const char *format, ...)
{
  char text[4000];
  if (wire->fd < 0)
    return;
  va_list args;
  va_start(args, format);
  int len = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (len < 0 || (size_t)len >= sizeof text)
    fail("a message is too long: %.60s", format);
  put_frame(wire->fd, 1, text, (size_t)len);
}

static void end(struct wire *wire)
{
  if (wire->fd >= 0)
    close(wire->fd);
  wire->fd = -1;
  wire->len = 0;
}

void wire_close(struct wire *wire, bool politely)
{
  if (wire->fd < 0)
    return;
  if (politely) {
    put_frame(wire->fd, 8, "\x03\xe8", 2);
  } else {
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  end(wire);
}

void wire_free(struct wire *wire)
{
  wire_close(wire, true);
  free(wire->at);
  free(wire->begun);
  wire->at = wire->begun = NULL;
}

static void listen_for(struct wires *wires, struct wire *wire, int how, uint32_t what)
{
  struct epoll_event event = {.events = what, .data.ptr = wire};
  if (epoll_ctl(wires->epoll, how, wire->fd, &event) != 0)
    fail("epoll_ctl: %s", strerror(errno));
}

void wire_pause(struct wires *wires, struct wire *wire, bool pause)
{
  wire->paused = pause;
  if (wire->fd >= 0)
    listen_for(wires, wire, EPOLL_CTL_MOD, pause ? 0 : EPOLLIN);
}

void wire_open(struct wires *wires, struct wire *wire, const char *path, void *owner)
{
  *wire = (struct wire){
      .at = wire->at, .room = wire->room, .begun = wire->begun, .begun_room = wire->begun_room, .owner = owner};
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(wires->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (wires->receive_buffer > 0) /* before the connection is made: it bounds the window from the start */
    setsockopt(wire->fd, SOL_SOCKET, SO_RCVBUF, &wires->receive_buffer, sizeof wires->receive_buffer);
  if (wire->fd < 0 || connect(wire->fd, (const struct sockaddr *)&to, sizeof to) != 0)
    fail("connect: %s", strerror(errno));
  const int one = 1;
  setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char text[1024];
  int len = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bXVzdGVyIGxvYWQgdGVzdA==\r\n\r\n",
                     path, wires->port);
  put_all(wire->fd, text, (size_t)len);
  /* Byte by byte: what follows the answer belongs to the messages. */
  for (len = 0; len < (int)sizeof text - 1; len++) {
    if (recv(wire->fd, text + len, 1, 0) != 1)
      fail("%s: no answer to the upgrade", path);
    text[len + 1] = '\0';
    if (len > 3 && memcmp(text + len - 3, "\r\n\r\n", 4) == 0)
      break;
  }
  if (memcmp(text, "HTTP/1.1 101", 12) != 0)
    fail("%s: %.60s", path, text);
  listen_for(wires, wire, EPOLL_CTL_ADD, EPOLLIN);
}

static void lost(struct wires *wires, struct wire *wire)
{
  end(wire);
  wires->closed(wire, wire->code);
}

/* One more fragment; with the last, the message is told. */
static void take_fragment(struct wires *wires, struct wire *wire, const char *payload, size_t size, bool last)
{
  if (wire->begun_room - wire->begun_len < size + 1) {
    wire->begun_room = 2 * (wire->begun_len + size + 1);
    wire->begun = realloc(wire->begun, wire->begun_room);
    if (!wire->begun)
      fail("memory");
  }
  memcpy(wire->begun + wire->begun_len, payload, size);
  wire->begun_len += size;
  if (!last)
    return;
  wire->begun[wire->begun_len] = '\0';
  size = wire->begun_len;
  wire->begun_len = 0;
  wires->text(wire, wire->begun, size);
}

/* One frame from the front. 0: it is not whole. */
static size_t take_frame(struct wires *wires, struct wire *wire, char *at, size_t len)
{
  const uint8_t *head = (const uint8_t *)at;
  if (len < 2)
    return 0;
  size_t size = head[1], skip = 2;
  if (size > 125) {
    skip = size == 126 ? 4 : 10;
    if (len < skip)
      return 0;
    size = 0;
    for (size_t i = 2; i < skip; i++)
      size = size << 8 | head[i];
  }
  if (len - skip < size)
    return 0;
  char *payload = at + skip;
  unsigned opcode = head[0] & 15;
  bool last = head[0] & 0x80;
  if (opcode == 0 || (opcode == 1 && !last)) {
    if ((opcode == 0) != (wire->begun_len > 0))
      fail("a fragment out of its order");
    take_fragment(wires, wire, payload, size, last);
  } else if (opcode == 1) {
    if (wire->begun_len > 0)
      fail("a message within another");
    char next = payload[size]; /* there is room for one more */
    payload[size] = '\0';
    wires->text(wire, payload, size);
    payload[size] = next;
  } else if (opcode == 8) {
    wire->code = size >= 2 ? (unsigned)((uint8_t)payload[0] << 8 | (uint8_t)payload[1]) : 1005;
  } else if (opcode == 9) {
    put_frame(wire->fd, 10, payload, size);
  } else if (opcode != 10) {
    fail("a frame of kind %u", opcode);
  }
  return skip + size;
}

static void ready(struct wires *wires, struct wire *wire)
{
  enum { CHUNK = 65536 };
  if (wire->room - wire->len < CHUNK + 1) {
    wire->room = wire->room ? wire->room * 2 : 2 * CHUNK;
    wire->at = realloc(wire->at, wire->room);
    if (!wire->at)
      fail("memory");
  }
  ssize_t got = recv(wire->fd, wire->at + wire->len, CHUNK, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got <= 0) {
    lost(wires, wire);
    return;
  }
  wire->len += (size_t)got;
  size_t used = 0;
  for (size_t n; wire->fd >= 0 && (n = take_frame(wires, wire, wire->at + used, wire->len - used)) > 0; used += n)
    ;
  if (wire->fd < 0)
    return;
  memmove(wire->at, wire->at + used, wire->len - used);
  wire->len -= used;
  if (wire->code)
    lost(wires, wire);
}

int wires_turn(struct wires *wires, int wait_ms)
{
  struct epoll_event events[64];
  int n = epoll_wait(wires->epoll, events, 64, wait_ms);
  for (int i = 0; i < n; i++) {
    struct wire *wire = events[i].data.ptr;
    if (wire->fd < 0)
      continue;
    if (wire->paused) /* an error is told even to those who do not listen */
      lost(wires, wire);
    else
      ready(wires, wire);
  }
  return n;
}
