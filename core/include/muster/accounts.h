/* SPDX-License-Identifier: ISC */
/**
 * @file accounts.h
 * The service "accounts/1": people with passwords, kept in a store. Loop thread only.
 *
 * Who they are is asked through auth/1 like everywhere else; this service is for what only their keeper can do.
 */
#ifndef MUSTER_ACCOUNTS_H
#define MUSTER_ACCOUNTS_H

#include <muster/store.h>

/** `error` 0: `password` is the one-time password, borrowed and wiped after the call. Otherwise `reason` says what is wrong. */
typedef void (*mu_accounts_made)(void *context, int error, const char *password, const char *reason);

/** Growth-only. */
struct mu_accounts {
  size_t size;
  /** The provider's instance name: mu_principal.provider of these people. */
  const char *provider;
  /**
   * Makes the administrator, or gives an existing one a new password and ends their sessions. 0: `done` comes once, perhaps before this
   * returns. Otherwise it does not come.
   */
  int (*admin)(void *self, mu_instance *in, const char *username, mu_accounts_made done, void *context);
  /**
   * Adds a member to the administrators' list of users: a number per user, by an SQL expression over `users.id`:
   * "(SELECT COUNT(*) FROM endpoints WHERE user_id = users.id)". Ends with `in`. 0, MU_EEXIST, MU_ENOMEM.
   */
  int (*user_count)(void *self, mu_instance *in, const char *member, const char *sql);
};
#define MU_SERVICE_ACCOUNTS "accounts/1"

#endif
