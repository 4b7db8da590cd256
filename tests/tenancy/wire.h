/* SPDX-License-Identifier: ISC */
/* WebSocket clients that see every byte: many in one process, one epoll, whole messages. */
#ifndef TESTS_TENANCY_WIRE_H
#define TESTS_TENANCY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
  int fd; /* -1: closed */
  bool paused;
  unsigned code; /* of the close frame that came; 0: none */
  char *at;      /* what came and is no whole frame yet */
  size_t len, room;
  char *begun; /* the fragments of a message that came */
  size_t begun_len, begun_room;
  void *owner;
};

struct wires {
  int epoll;
  uint16_t port;
  int receive_buffer; /* of the wires that are opened; 0: the system's choice */
  /* A whole text message, followed by a NUL. The wire may be closed in it. */
  void (*text)(struct wire *wire, char *text, size_t len);
  /* The server closed it, or broke it (code 0); it is closed already. */
  void (*closed)(struct wire *wire, unsigned code);
};

/* Ends the program with a message. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now_ms(void);
void wires_init(struct wires *wires, uint16_t port);
/* Connects and upgrades; waits for the answer. */
void wire_open(struct wires *wires, struct wire *wire, const char *path, void *owner);
void wire_send(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With a close frame or, not `politely`, with a reset in the middle of whatever is on its way. */
void wire_close(struct wire *wire, bool politely);
/* Closes it, if it is open, and frees what it holds. */
void wire_free(struct wire *wire);
/* Stops reading, or goes on. */
void wire_pause(struct wires *wires, struct wire *wire, bool pause);
/* Handles what is ready, waiting at most `wait_ms`. Returns how many wires had something. */
int wires_turn(struct wires *wires, int wait_ms);

#endif
