/* SPDX-License-Identifier: ISC */
/**
 * Passwords: bcrypt on worker threads, a few at a time, so that a flood of logins costs neither the loop nor the whole pool. Loop
 * thread only, except where a comment says otherwise.
 */
#ifndef AUTH_ACCOUNTS_PASSWORD_H
#define AUTH_ACCOUNTS_PASSWORD_H

#include <muster/muster.h>

enum {
  PASSWORD_COST = 10,
  PASSWORD_HASH_SIZE = 61, /* 60 characters, with a NUL */
};

struct hasher;

/**
 * What comes of it, once: 0 (it matches; or `hash` is made), MU_EREFUSED (it does not), MU_EUNAVAILABLE (the pool is full), MU_EIO. Not called
 * when the instance stops first.
 */
typedef void (*hasher_done)(void *context, int result, const char *hash);
/** Whether somebody still waits; asked before the work begins, and false spares it: `done` then says MU_ECLOSED. */
typedef bool (*hasher_wanted)(void *context);

/** `threads` at a time, `queue` waiting. */
struct hasher *hasher_new(mu_instance *in, size_t threads, size_t queue);
void hasher_bounds(struct hasher *hasher, size_t threads, size_t queue);
/** After the instance was revoked. NULL is allowed. */
void hasher_free(struct hasher *hasher);
/** Nothing further is begun; `idle` is called when what runs has ended, unless nothing does. */
void hasher_stop(struct hasher *hasher, void (*idle)(void *context), void *context);
bool hasher_runs(const struct hasher *hasher);
/**
 * Compares a password with a stored hash. NULL, or a text that is no bcrypt hash: the same work, and then it does not match. `wanted` may be NULL.
 * 0, MU_ENOMEM, MU_ELIMIT: too many wait. The password is copied, and wiped.
 */
int hasher_verify(struct hasher *hasher, const char *password, const char *stored, hasher_wanted wanted,
                  hasher_done done, void *context);
int hasher_make(struct hasher *hasher, const char *password, hasher_wanted wanted, hasher_done done, void *context);

/* The work itself; blocks. Any thread. */

/** Whether a stored text is a bcrypt hash of a cost that can be borne. */
bool password_hash_ok(const char *stored);
/** 0 or MU_EIO, MU_ENOMEM. */
int password_hash(const char *password, char out[PASSWORD_HASH_SIZE]);
/** 0, MU_EREFUSED, MU_ENOMEM. */
int password_verify(const char *password, const char *stored);

#endif
