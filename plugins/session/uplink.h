/* SPDX-License-Identifier: ISC */
/* The agent's side of the session protocol: what its files share; uplink_state.h has what is behind the component itself. */
#ifndef SESSION_UPLINK_H
#define SESSION_UPLINK_H

#include <muster/agent.h>
#include <muster/muster.h>

struct json_object;

/* ---- uplink_options.c ------------------------------------------------------------------------ */

struct uplink_config {
  const char *url;
  const char *api_key;
  const char *name;
  const char *machine_id;
  bool is_public;
  bool tls_verify;
  const char *tls_ca_file;
};

#define UPLINK_OPTIONS 7
extern const struct mu_option uplink_options[UPLINK_OPTIONS];
void uplink_check(const void *config, struct mu_check *check);

enum { UPLINK_KEY_MIN = 8, UPLINK_KEY_MAX = 256 };
bool uplink_key_ok(struct mu_str key);

/* Whom an address names: what a saved key is bound to. */
struct uplink_server {
  bool tls;
  char host[256]; /* without brackets, in small letters */
  char port[6];
  char text[272]; /* "host:port", as people read it and keys are saved */
};
/* NULL: good; otherwise what is wrong, without any part of the URL. */
const char *uplink_server(const char *url, struct uplink_server *server);

/* ---- uplink_window.c: samples that wait ------------------------------------------------------- */

struct uplink_window_item {
  struct uplink_window_item *next;
  uint64_t seq;
  mu_text *text;
};

/* In the order of their numbers: those that were sent and wait to be acknowledged, then those that were not. */
struct uplink_window {
  struct uplink_window_item *first, **last;
  struct uplink_window_item *unsent; /* the first that was not sent; NULL: all were */
  size_t count, bytes;
  size_t max_count, max_bytes;
};

void uplink_window_init(struct uplink_window *window, size_t max_count, size_t max_bytes);
/* Takes its own reference. The number of older ones that went for it, or MU_ENOMEM. */
int uplink_window_add(struct uplink_window *window, uint64_t seq, mu_text *text);
/* Everything up to `seq` is stored. */
void uplink_window_ack(struct uplink_window *window, uint64_t seq);
/* The next to send, or NULL; uplink_window_sent() goes on to the one after it. */
mu_text *uplink_window_next(const struct uplink_window *window);
void uplink_window_sent(struct uplink_window *window);
/* All are to be sent again. */
void uplink_window_rewind(struct uplink_window *window);
/* Keeps only the newest, to be sent. The number of those that went and had never been sent. */
size_t uplink_window_newest(struct uplink_window *window);
void uplink_window_clear(struct uplink_window *window);

/* ---- uplink_text.c: what it says -------------------------------------------------------------- */

/* Longest message that servers take. */
#define UPLINK_MESSAGE_MAX (64 * 1024)

/* A report as a message `data`. Collectors are left out, the longest first, until it fits; `left_out` counts them. NULL: memory. */
mu_text *uplink_text_data(const struct mu_report *report, size_t max, unsigned *left_out);

struct uplink_facts {
  const struct json_object *metrics; /* of the newest report; NULL: none yet, the system is asked */
  const char *ip;                    /* NULL: unknown */
  const char *name;                  /* NULL: the host's */
  bool is_public;
  const struct mu_agent *agent; /* NULL: not told */
  void *agent_self;
};
/* The message `system_info`. NULL: memory. */
mu_text *uplink_text_info(const struct uplink_facts *facts);
/* The message `auth`, with key or token. It is a secret: wipe it. */
void uplink_text_auth(struct mu_buf *out, const char *member, struct mu_str secret, const char *machine_id,
                      const char *name);

/* ---- uplink_address.c: this machine's address as the server would see it ----------------------- */

typedef void (*uplink_address_done)(void *context, const char *ip);
/* Asks in the background which address packets to the server would come from; none is sent. `ip` NULL: nobody knows. */
int uplink_address(mu_instance *in, const struct uplink_server *server, uplink_address_done done, void *context);

/* ---- uplink.c: the component ------------------------------------------------------------------ */

int uplink_init(mu_instance *in, const void *config, void **self);
int uplink_start(void *self);
int uplink_stop(void *self);
void uplink_fini(void *self);
extern const char *const uplink_wants[];
extern const struct mu_uplink_ops uplink_ops;

#define UPLINK_COMPONENT                                                                                               \
  {                                                                                                                    \
    .size = sizeof(struct mu_component), .kind = MU_UPLINK, .wants = uplink_wants,                                     \
    .options = MU_OPTIONS(uplink_options), .config_size = sizeof(struct uplink_config), .check = uplink_check,         \
    .init = uplink_init, .start = uplink_start, .stop = uplink_stop, .fini = uplink_fini, .ops = &uplink_ops,          \
  }

#endif
