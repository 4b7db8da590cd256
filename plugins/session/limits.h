/* SPDX-License-Identifier: ISC */
/* How often somebody may do something, and who failed to log in too often. */
#ifndef SESSION_LIMITS_H
#define SESSION_LIMITS_H

#include <muster/base.h>

/* So many a minute, at most a minute's worth at once. Zero is full. Times are mu_mono_ns(). */
struct bucket {
  int64_t empty_ns; /* when all that was taken is paid back */
};

/* Nanoseconds to wait for the next one; 0: it may be taken. */
int64_t bucket_wait(const struct bucket *bucket, int64_t per_minute, int64_t now_ns);
void bucket_take(struct bucket *bucket, int64_t per_minute, int64_t now_ns);

/* An address as it counts: IPv4 whole, IPv6 by its /64, anything else by its text. */
struct limit_key {
  unsigned char bytes[24];
  size_t len;
};
struct limit_key limit_key(const char *address);

/* Failed attempts by address; bounded: when it is full, the oldest goes. */
struct failures {
  mu_map *map;
  struct failure *first, **last;
  size_t most;
};

int failures_init(struct failures *failures, size_t most);
void failures_fini(struct failures *failures);
/* Seconds until this address may try again; 0: now. */
unsigned failures_wait(const struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns);
void failures_note(struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns);
/* Takes one back that was noted. */
void failures_forgive(struct failures *failures, const char *address, int64_t per_minute);
/* An attempt of this address that somebody judges for a while: from its beginning to its end, whether or not who made it still waits. */
void failures_begin(struct failures *failures, const char *address, int64_t now_ns);
void failures_end(struct failures *failures, const char *address);
/* Whether so many attempts are under way that, were they all to fail, the address would be over its rate. Where none failed lately: never. */
bool failures_busy(const struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns);

#endif
