/* SPDX-License-Identifier: ISC */
/* A server in this process and raw sockets against it: what the tests of connections share. */
#ifndef TESTS_NET_PEER_H
#define TESTS_NET_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <muster/group.h>
#include <muster/loop.h>
#include "base/logging.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "net/net.h"
#include "unit.h"

struct server {
  struct mui_runtime runtime;
  mu_instance *plugin;
  mu_instance *other;
};

static inline void quiet(void *context, enum mu_level level, const char *line)
{
  (void)context;
  if (getenv("VERBOSE"))
    fprintf(stderr, "%d %s\n", level, line);
}

static inline bool server_listen(struct server *server, const struct mui_listen *listen,
                                 const struct mui_limits *limits)
{
  char problem[256];
  int error = mui_net_listen(server->runtime.net, listen, 1, limits, problem, sizeof problem);
  if (error)
    fprintf(stderr, "listen: %s\n", problem);
  return error == 0;
}

static inline bool server_start(struct server *server)
{
  *server = (struct server){0};
  struct mui_runtime *runtime = &server->runtime;
  mui_log_sink(quiet, NULL);
  runtime->node = "test";
  runtime->root = "";
  runtime->loop = mui_loop_new(1, 1);
  runtime->bus = mui_bus_new();
  runtime->core = mui_instance_new(runtime, "core", "core");
  server->plugin = mui_instance_new(runtime, "plugin", "plugin");
  server->other = mui_instance_new(runtime, "other", "other");
  runtime->net = mui_net_new(runtime);
  return runtime->net && server_listen(server, &(struct mui_listen){.address = "127.0.0.1"}, NULL);
}

static inline void on_stopped(void *context)
{
  *(bool *)context = true;
}

static inline void server_stop(struct server *server)
{
  struct mui_runtime *runtime = &server->runtime;
  bool done = false;
  mui_net_stop(runtime->net, on_stopped, &done);
  CU_ASSERT(mui_loop_until(runtime->loop, &done, 2000));
  if (server->plugin)
    mui_instance_revoke(server->plugin);
  mui_instance_revoke(server->other);
  mui_net_free(runtime->net);
  if (server->plugin)
    mui_instance_free(server->plugin);
  mui_instance_free(server->other);
  mui_instance_revoke(runtime->core);
  mui_bus_free(runtime->bus);
  mui_instance_free(runtime->core);
  mui_loop_free(runtime->loop);
  mui_log_sink(NULL, NULL);
}

/* Lets the server work for a while. */
static inline void server_run(struct server *server, uint64_t ms)
{
  bool never = false;
  mui_loop_until(server->runtime.loop, &never, ms);
}

/* ---- the other side -------------------------------------------------------------------------- */

struct peer {
  int fd;
  unsigned char in[1 << 20];
  size_t len;
  bool ended;
};

static inline struct peer *peer_connect(struct server *server)
{
  struct peer *peer = calloc(1, sizeof *peer);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(mui_net_port(server->runtime.net, 0))};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(peer->fd, (struct sockaddr *)&to, sizeof to) != 0)
    peer->ended = true;
  fcntl(peer->fd, F_SETFL, O_NONBLOCK);
  return peer;
}

static inline void peer_free(struct peer *peer)
{
  close(peer->fd);
  free(peer);
}

static inline void peer_write(struct server *server, struct peer *peer, const void *data, size_t len)
{
  const char *at = data;
  while (len && !peer->ended) {
    ssize_t n = send(peer->fd, at, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      server_run(server, 2);
      continue;
    }
    if (n <= 0)
      return;
    at += n;
    len -= (size_t)n;
  }
}

static inline void peer_read(struct peer *peer)
{
  while (peer->len < sizeof peer->in && !peer->ended) {
    ssize_t n = recv(peer->fd, peer->in + peer->len, sizeof peer->in - peer->len, 0);
    if (n > 0)
      peer->len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
      peer->ended = true;
    else
      return;
  }
}

/* Runs the server until the peer has at least `want` bytes, or the link ended, or two seconds are over. */
static inline bool peer_wait(struct server *server, struct peer *peer, size_t want)
{
  for (int i = 0; i < 400; i++) {
    peer_read(peer);
    if (peer->len >= want)
      return true;
    if (peer->ended)
      return false;
    server_run(server, 5);
  }
  return false;
}

static inline bool peer_wait_end(struct server *server, struct peer *peer, unsigned ms)
{
  for (unsigned waited = 0; waited < ms; waited += 5) {
    peer_read(peer);
    if (peer->ended)
      return true;
    server_run(server, 5);
  }
  return false;
}

static inline void peer_take(struct peer *peer, size_t len)
{
  memmove(peer->in, peer->in + len, peer->len - len);
  peer->len -= len;
}

/* Sends an upgrade and returns the status; on 101 what follows stays in `in`, otherwise head and body do. */
static inline int peer_upgrade(struct server *server, struct peer *peer, const char *path, const char *more)
{
  char request[8192];
  int len = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: here:80\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, more);
  peer_write(server, peer, request, (size_t)len);
  for (int i = 0; i < 400; i++) {
    peer_read(peer);
    char *end = memmem(peer->in, peer->len, "\r\n\r\n", 4);
    if (end) {
      int status = atoi((char *)peer->in + 9);
      if (status == 101)
        peer_take(peer, (size_t)((unsigned char *)end + 4 - peer->in));
      return status;
    }
    if (peer->ended)
      return -1;
    server_run(server, 5);
  }
  return 0;
}

static inline struct peer *peer_open(struct server *server, const char *path)
{
  struct peer *peer = peer_connect(server);
  CU_ASSERT_EQUAL(peer_upgrade(server, peer, path, ""), 101);
  return peer;
}

/* One masked frame; `head` is FIN, reserved bits and opcode. */
static inline void peer_frame(struct server *server, struct peer *peer, unsigned char head, const void *data,
                              size_t len)
{
  unsigned char *frame = malloc(len + 14);
  size_t n = 0;
  frame[n++] = head;
  if (len < 126) {
    frame[n++] = (unsigned char)(0x80 | len);
  } else if (len < 65536) {
    frame[n++] = 0x80 | 126;
    frame[n++] = (unsigned char)(len >> 8);
    frame[n++] = (unsigned char)len;
  } else {
    frame[n++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      frame[n++] = (unsigned char)((uint64_t)len >> shift);
  }
  static const unsigned char mask[4] = {1, 2, 3, 4};
  memcpy(frame + n, mask, 4);
  n += 4;
  for (size_t i = 0; i < len; i++)
    frame[n + i] = ((const unsigned char *)data)[i] ^ mask[i & 3];
  peer_write(server, peer, frame, n + len);
  free(frame);
}

static inline void peer_text(struct server *server, struct peer *peer, const char *text)
{
  peer_frame(server, peer, 0x81, text, strlen(text));
}

/* The next frame: its opcode; data in *at. -1: there is none within two seconds. Taken out by peer_take(peer, *whole). */
static inline int peer_next(struct server *server, struct peer *peer, const unsigned char **at, size_t *len,
                            size_t *whole)
{
  if (!peer_wait(server, peer, 2))
    return -1;
  size_t head = 2, n = peer->in[1] & 127;
  if (n == 126) {
    if (!peer_wait(server, peer, 4))
      return -1;
    n = (size_t)peer->in[2] << 8 | peer->in[3];
    head = 4;
  } else if (n == 127) {
    if (!peer_wait(server, peer, 10))
      return -1;
    n = 0;
    for (int i = 2; i < 10; i++)
      n = n << 8 | peer->in[i];
    head = 10;
  }
  if (!peer_wait(server, peer, head + n))
    return -1;
  *at = peer->in + head;
  *len = n;
  *whole = head + n;
  return peer->in[0] & 15;
}

static inline bool peer_expect_text(struct server *server, struct peer *peer, const char *text)
{
  const unsigned char *at;
  size_t len, whole;
  if (peer_next(server, peer, &at, &len, &whole) != 1)
    return false;
  bool same = len == strlen(text) && memcmp(at, text, len) == 0;
  if (!same)
    fprintf(stderr, "got \"%.*s\", not \"%s\"\n", (int)len, (const char *)at, text);
  peer_take(peer, whole);
  return same;
}

/* Frames before the close frame are passed over. The code; 0: there was none. */
static inline unsigned peer_expect_close(struct server *server, struct peer *peer)
{
  const unsigned char *at;
  size_t len, whole;
  for (int i = 0; i < 10000; i++) {
    int opcode = peer_next(server, peer, &at, &len, &whole);
    if (opcode < 0)
      return 0;
    unsigned code = opcode == 8 && len >= 2 ? (unsigned)(at[0] << 8 | at[1]) : 0;
    peer_take(peer, whole);
    if (opcode != 8)
      continue;
    unsigned char answer[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    peer_frame(server, peer, 0x88, answer, 2);
    return code;
  }
  return 0;
}

#endif
