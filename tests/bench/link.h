/* SPDX-License-Identifier: ISC */
/* Client connections for load: many per process, one epoll, nothing allocated per message. */
#ifndef TESTS_BENCH_LINK_H
#define TESTS_BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link {
  int fd;
  bool open;        /* the upgrade was answered with 101 */
  uint8_t head[14]; /* of the frame that is being read, or the answer's last bytes before the upgrade is done */
  unsigned head_len;
  uint64_t payload_left;
  uint8_t opcode;    /* 0: a fragment with which no message ends */
  uint8_t message;   /* what the first fragment said */
  uint8_t ping[125]; /* payload of a ping that is being read */
  unsigned ping_len;
  int64_t sent_ns; /* of the message that waits for its answer */
  uint64_t texts, pongs;
};

struct target {
  const char *host;
  uint16_t port;
};

struct links {
  int epoll;
  struct link *list;
  size_t count;
  size_t open;
  size_t failed;
  void (*on_text)(struct links *links, struct link *link); /* a whole text message came */
  void (*on_pong)(struct links *links, struct link *link);
  void (*path)(char *out, size_t size, size_t n); /* of link n; NULL: that of links_open() */
};

int64_t now_ns(void);
/* Builds a masked frame into `out`, which has 14 bytes more than `len`. Returns its length. */
size_t frame(uint8_t *out, uint8_t opcode, const void *payload, size_t len);
/* Writes all or ends the program: the load generator never has more than a socket buffer in flight. */
void put_all(struct link *link, const void *data, size_t len);
/* Opens `count` links in bursts of `burst`; `headers` may be NULL or a function that adds lines for link n. */
void links_open(struct links *links, struct target target, const char *path, size_t count, size_t burst,
                void (*headers)(char *out, size_t size, size_t n));
/* Handles what is ready, waiting at most `wait_ms`. */
void links_turn(struct links *links, int wait_ms);
void links_close(struct links *links);

#endif
