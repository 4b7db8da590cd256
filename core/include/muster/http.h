/* SPDX-License-Identifier: ISC */
/**
 * @file http.h
 * HTTP routes of the server, answered at once or later, and static files. Loop thread only.
 */
#ifndef MUSTER_HTTP_H
#define MUSTER_HTTP_H

#include <muster/auth.h>
#include <muster/base.h>

enum mu_http_method {
  MU_HTTP_GET = 1, /**< serves HEAD as well: the core leaves the body out */
  MU_HTTP_POST = 2,
  MU_HTTP_PUT = 4,
  MU_HTTP_PATCH = 8,
  MU_HTTP_DELETE = 16,
};

/**
 * Who may ask. 0 is no rule, and a route without a rule is refused at load. People show who they are with `Authorization: Bearer`
 * and a token that a provider of auth/1 judges (MU_CREDENTIAL_TOKEN): 401 without one or with a bad one, 403 without the right,
 * 503 while no provider can tell.
 */
enum mu_access {
  MU_ACCESS_PUBLIC = 1, /**< everybody */
  MU_ACCESS_USER,       /**< a principal of role user or admin */
  MU_ACCESS_ADMIN,
};

/** A request; borrowed inside the callback, across time named by its id. */
typedef struct mu_http mu_http;
typedef uint64_t mu_http_id;

/** An HTTP path. Growth-only; it and its strings are copied. */
struct mu_http_route {
  size_t size;
  /** "/api/statistics", or a prefix "/api/console/" followed by '*'. Exact beats prefix, long beats short. */
  const char *path;
  /** enum mu_http_method values, or-ed. */
  unsigned methods;
  enum mu_access access;
  /** Longest body in bytes; over it 413. 0: no body expected. */
  size_t max_body;
  /**
   * Answers now with mu_http_answer(), or keeps the id and returns MU_PENDING; a request that has no answer after 30 s gets 504.
   * A negative value without an answer gives 500.
   */
  int (*handle)(void *self, mu_http *request);
};

/** Claims a path for its methods. MU_EEXIST: taken, and the log names both. Call from init. */
MU_API int mu_http_route(mu_instance *in, const struct mu_http_route *route, void *self);

MU_API mu_http_id mu_http_get_id(const mu_http *request);
/** NULL: the client left or it was answered. */
MU_API mu_http *mu_http_find(mu_instance *in, mu_http_id id);

MU_API enum mu_http_method mu_http_method(const mu_http *request);
MU_API struct mu_str mu_http_path(const mu_http *request);
/** A decoded query parameter. False: not there. Views are valid as long as the request. */
MU_API bool mu_http_query(const mu_http *request, const char *name, struct mu_str *value);
/** Name in lower case, without colon. */
MU_API bool mu_http_header(const mu_http *request, const char *name, struct mu_str *value);
MU_API struct mu_str mu_http_body(const mu_http *request);
MU_API const char *mu_http_peer(const mu_http *request);
/**
 * Whether it came within TLS: this server's own, or that of a trusted proxy that says so (X-Forwarded-Proto: https). For addresses that
 * people are told: https and wss, or http and ws.
 */
MU_API bool mu_http_secure(const mu_http *request);
/** NULL: nobody logged in. */
MU_API const struct mu_principal *mu_http_principal(const mu_http *request);

/**
 * Adds a header to the answer. 0, MU_EINVAL (control characters, or a header that the core writes: Content-Type, Content-Length, Date,
 * Connection, …), MU_ELIMIT, MU_ENOMEM.
 */
MU_API int mu_http_set(mu_http *request, const char *name, const char *value);
/**
 * Ends the request. Takes its own reference of `body` (may be NULL). `type`: "application/json; charset=utf-8". 0, MU_ECLOSED (answered
 * before, or the client left), MU_EINVAL (no status of 200 to 599, or control characters in `type`).
 */
MU_API int mu_http_answer(mu_http *request, int status, const char *type, mu_text *body);
/** Ends the request with {"code":…,"message":…}. Returns as mu_http_answer(). */
MU_API int mu_http_error(mu_http *request, int status, const char *code, const char *message);

/** Static files. Growth-only; it and its strings are copied. */
struct mu_http_files {
  size_t size;
  /** "/" or "/assets/". */
  const char *prefix;
  /**
   * A flat folder; regular files only, no links, read into memory now: at most 256 files, 16 MiB in all. Who accepts it gets NAME.br or
   * NAME.gz instead of NAME, where they lie beside it.
   */
  const char *folder;
  /** Served for the prefix itself; NULL: none. */
  const char *index;
  enum mu_access access;
  /**
   * Value of Cache-Control; NULL: "no-cache". ETags are made by the core. Files whose names end in '-' and at least 16 hexadecimal digits of
   * their content ("app-0123456789abcdef.js") are `immutable`, whatever this says.
   */
  const char *cache_control;
  /** Value of Content-Security-Policy; NULL: "default-src 'self'". */
  const char *content_security_policy;
};

/** Serves a folder with ETag and security headers. 0, MU_EINVAL, MU_EIO, MU_ELIMIT, MU_EEXIST, MU_ENOMEM. Call from init. */
MU_API int mu_http_files(mu_instance *in, const struct mu_http_files *files);

#endif
