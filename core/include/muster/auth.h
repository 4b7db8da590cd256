/* SPDX-License-Identifier: ISC */
/**
 * @file auth.h
 * Who is asking: credentials, principals and the service auth/1. Loop thread only, except for refs of principals.
 *
 * A principal is the pair (provider instance, id): the users of two backends are never mistaken for each other.
 */
#ifndef MUSTER_AUTH_H
#define MUSTER_AUTH_H

#include <muster/base.h>

enum mu_role {
  MU_ROLE_NONE,
  MU_ROLE_MACHINE, /**< speaks for one machine */
  MU_ROLE_USER,
  MU_ROLE_ADMIN,
};

/** Immutable and reference-counted; strings live as long as it does. Growth-only. */
struct mu_principal {
  size_t size;
  /** The provider's instance name, "auth_static". */
  const char *provider;
  /** The user's id, or the machine's for MU_ROLE_MACHINE; unique within the provider. Never empty. */
  const char *id;
  /** For people; may be empty. */
  const char *name;
  enum mu_role role;
  /** MU_ROLE_MACHINE: the user who owns the machine; "" is the operator. Otherwise equal to `id`. */
  const char *owner;
  /**
   * Which of the user's keys proved it: opaque, no secret, and the same after a restart, so that a signed token can name it. "": none
   * in particular, or the provider does not tell.
   */
  const char *credential;
  /** Unix s: when what proved it runs out by itself; 0: never. Whoever keeps a connection open on it heeds this himself. */
  int64_t expires_s;
};

/** A copy with one reference; NULL when memory is out. */
MU_API const struct mu_principal *mu_principal_new(const struct mu_principal *values);
MU_API const struct mu_principal *mu_principal_ref(const struct mu_principal *principal);
MU_API void mu_principal_unref(const struct mu_principal *principal);
/** Same provider, id and role. NULL equals nothing. */
MU_API bool mu_principal_equal(const struct mu_principal *a, const struct mu_principal *b);

enum mu_credential_kind {
  MU_CREDENTIAL_SERVER = 1,   /**< id and secret of a configured machine */
  MU_CREDENTIAL_API_KEY = 2,  /**< secret only */
  MU_CREDENTIAL_PASSWORD = 4, /**< id is the user's name */
  MU_CREDENTIAL_TOKEN = 8,    /**< secret is a signed token */
  /**
   * Somebody whom `provider` has granted before: id is the user, secret is mu_principal.credential. Asked is whether that still
   * holds. Only that provider is asked; MU_AUTH_UNAVAILABLE when it cannot tell now.
   */
  MU_CREDENTIAL_KNOWN = 16,
};

/** What somebody brought; borrowed for the call. Growth-only. */
struct mu_credential {
  size_t size;
  enum mu_credential_kind kind;
  struct mu_str id;
  struct mu_str secret;
  /** Text form of the peer's address. */
  const char *peer;
  /** MU_CREDENTIAL_KNOWN: the provider's instance name. Otherwise NULL, or the only provider to ask. */
  const char *provider;
};

enum mu_verdict {
  MU_AUTH_UNKNOWN, /**< not one of ours: the next provider is asked */
  MU_AUTH_GRANTED,
  MU_AUTH_REFUSED,     /**< known and wrong: nobody else is asked */
  MU_AUTH_UNAVAILABLE, /**< cannot tell now; the client may try again */
};

/** Growth-only. */
struct mu_auth_answer {
  size_t size;
  enum mu_verdict verdict;
  /** MU_AUTH_GRANTED: borrowed. */
  const struct mu_principal *principal;
  /** MU_AUTH_UNAVAILABLE: seconds, or 0. */
  unsigned retry_after_s;
  /** For the log, never for the client and never with the secret in it; may be NULL. */
  const char *reason;
  /** MU_AUTH_REFUSED: for the client, a string literal in capitals, where it may know more: "USER_BANNED". NULL: it may not. */
  const char *code;
  /** What the code means, for the person at the client. NULL texts: the core's own, that he may not do that now. */
  struct mu_words words;
};

typedef void (*mu_auth_done)(void *context, const struct mu_auth_answer *answer);

/** The service "auth/1"; several providers. Growth-only. */
struct mu_auth {
  size_t size;
  /** The enum mu_credential_kind values that this provider judges, or-ed. */
  unsigned kinds;
  /**
   * Judges a credential: calls `done` exactly once, before returning (and returns 0) or later (and returns MU_PENDING).
   * Equal work for known and unknown ids; secrets compared by mu_secret_equal().
   * No grant is older than what the provider has revoked: a row that was read before an `auth.revoked` of that user, and arrives
   * after it, is read again.
   */
  int (*judge)(void *self, const struct mu_credential *credential, mu_auth_done done, void *context);
};
#define MU_SERVICE_AUTH "auth/1"

/**
 * Asks the providers in the configuration's order. `done` is called exactly once, possibly before
 * this returns; not at all when `in` stops first. What nobody knows is refused; it is unavailable while a provider that the configuration
 * names is not running, and where none judges credentials of this kind. The component lists auth/1 in `needs` or `wants`.
 * @return 0 when `done` was called, MU_PENDING when it will be, MU_ECLOSED when `in` has stopped
 */
MU_API int mu_auth_check(mu_instance *in, const struct mu_credential *credential, mu_auth_done done, void *context);

/**
 * Event `auth.revoked`: the core closes all connections of the principal, or, where `credential` is not empty, those that this
 * credential opened. Payload: struct mu_principal. Providers emit it when an entry, a key or a secret is taken back or changed.
 */
#define MU_EVENT_AUTH_REVOKED "auth.revoked"

/**
 * Event `auth.denied`: an attempt was refused. Payload: struct mu_auth_denied. Emitted by mu_auth_check(), after its answer.
 * `verdict`: MU_AUTH_REFUSED, or MU_AUTH_UNKNOWN when no provider knew the credential.
 */
#define MU_EVENT_AUTH_DENIED "auth.denied"
struct mu_auth_denied {
  size_t size;
  enum mu_credential_kind kind;
  enum mu_verdict verdict;
  const char *id;
  const char *peer;
};

/** For mu_event_declare(): payloads that are principals. */
MU_API const struct mu_event_ops *mu_principal_event_ops(void);

#endif
