/* SPDX-License-Identifier: ISC */
/**
 * @file errors.h
 * One table for every error a Muster call can return.
 *
 * Calls return 0 (or a count) on success and one of these negative values on failure.
 * A callback returns the same to the host, which counts it and logs it with the plugin's name.
 */
#ifndef MUSTER_ERRORS_H
#define MUSTER_ERRORS_H

#include <muster/export.h>

/** X(name, value, text). Values are part of the ABI: never renumber, only append. */
#define MU_ERRORS(X)                                                                                                   \
  X(MU_EINVAL, -1, "invalid argument")                                                                                 \
  X(MU_ENOMEM, -2, "out of memory")                                                                                    \
  X(MU_ENOENT, -3, "not found")                                                                                        \
  X(MU_EEXIST, -4, "already exists")                                                                                   \
  X(MU_ECONF, -5, "bad configuration")                                                                                 \
  X(MU_EABI, -6, "plugin ABI does not match")                                                                          \
  X(MU_EPERM, -7, "not permitted")                                                                                     \
  X(MU_ELIMIT, -8, "limit exceeded")                                                                                   \
  X(MU_ESYNTAX, -9, "syntax error")                                                                                    \
  X(MU_ETYPE, -10, "wrong type")                                                                                       \
  X(MU_ERANGE, -11, "out of range")                                                                                    \
  X(MU_EMISSING, -12, "required member missing")                                                                       \
  X(MU_EIDENTITY, -13, "identity mismatch")                                                                            \
  X(MU_EUNAVAILABLE, -14, "temporarily unavailable")                                                                   \
  X(MU_EREFUSED, -15, "refused")                                                                                       \
  X(MU_ECLOSED, -16, "closed")                                                                                         \
  X(MU_ETIMEOUT, -17, "timed out")                                                                                     \
  X(MU_EBUSY, -18, "busy")                                                                                             \
  X(MU_EIO, -19, "input/output error")                                                                                 \
  X(MU_ESTUCK, -20, "a job is still running")                                                                          \
  X(MU_EINTERNAL, -21, "internal error")

enum mu_error {
  MU_OK = 0,
#define X(name, value, text) name = value,
  MU_ERRORS(X)
#undef X
  /** Not an error: the answer comes later through the call that the header names. */
  MU_PENDING = 1,
  /** Not an error: reconfigure() cannot take the change as it runs, and the host restarts the instance. */
  MU_RESTART = 2,
};

/** The text of an error value; never NULL. Any thread. */
MU_API const char *mu_strerror(int error);

/** The symbol of an error value, "MU_EINVAL"; never NULL. Any thread. */
MU_API const char *mu_error_name(int error);

#endif
