/* SPDX-License-Identifier: ISC */
/**
 * @file agent.h
 * The service agent/1 of muster-agent, for uplinks: who sits at the terminal, the saved key, the end. Loop thread only.
 *
 * List it in `wants`. Prompts and saved keys belong to the person who runs the agent, never to the server.
 */
#ifndef MUSTER_AGENT_H
#define MUSTER_AGENT_H

#include <muster/base.h>

/** Exit statuses that tell a service manager not to try again. */
enum mu_agent_exit {
  MU_EXIT_KEY_REFUSED = 77,     /**< the server does not know the key */
  MU_EXIT_MACHINE_DELETED = 79, /**< the machine was taken away from its user */
};

/** `secret` is empty when there was no answer: the terminal was closed. It is wiped after the call. */
typedef void (*mu_agent_answer)(void *context, struct mu_str secret);

/** The service "agent/1". Growth-only. */
struct mu_agent {
  size_t size;
  /** Somebody sits at a terminal and can be asked: not as a service, not with input or output redirected. */
  bool (*interactive)(void *self);
  /** Writes lines for people to the terminal, control characters escaped but for newlines; nothing when not interactive. */
  void (*say)(void *self, const char *text);
  /**
   * Asks at the terminal without echo. Log lines wait until it is answered. `done` is called once, unless `in` stops first.
   * 0, MU_EBUSY: another question is open, or MU_EUNAVAILABLE: not interactive.
   */
  int (*ask)(void *self, mu_instance *in, const char *prompt, mu_agent_answer done, void *context);
  /**
   * The key saved for a server ("host:port"): file mode 0600 in a folder of mode 0700; a file that others can read is refused. The
   * buffer holds a secret: wipe it. 0, MU_ENOENT, MU_EPERM, MU_EIO.
   */
  int (*key_load)(void *self, const char *server, struct mu_buf *key);
  int (*key_save)(void *self, const char *server, struct mu_str key);
  int (*key_forget)(void *self, const char *server);
  /** A UUID that stays the machine's: derived from /etc/machine-id, which it does not reveal; else made once and saved. */
  const char *(*machine_id)(void *self);
  /** The program's version. */
  const char *(*version)(void *self);
  /** Name of the n-th collector that runs, or NULL past the end. */
  const char *(*collector)(void *self, size_t n);
  /** Ends the program in order, with this exit status. */
  void (*end)(void *self, int status);
  /**
   * An attempt to get in at a server is over. `error` 0: it is in; otherwise `why` is a line for people. An uplink goes on as always; a program that
   * tries only once (`--join`) ends. Members of services grow at the end: absent where `size` does not reach.
   */
  void (*attempted)(void *self, int error, const char *why);
};
#define MU_SERVICE_AGENT "agent/1"

#endif
