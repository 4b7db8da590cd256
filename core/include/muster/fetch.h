/* SPDX-License-Identifier: ISC */
/**
 * @file fetch.h
 * HTTP requests and mail to other servers: libcurl, in a library of its own (libmuster-http). Loop thread only.
 *
 * Link Muster::http (`muster_add_plugin(NAME LIBRARIES Muster::http)`, or pkg-config muster-http). Certificates are verified, redirects
 * are not followed, plain http goes to loopback only, HTTP/2 where the server has it. URLs and headers may hold secrets: neither is
 * ever logged or part of `reason`.
 */
#ifndef MUSTER_FETCH_H
#define MUSTER_FETCH_H

#include <muster/base.h>
#include <muster/client.h>

/** Requests that share connections and limits. */
typedef struct mu_fetcher mu_fetcher;
/** Names a request for ever; 0 is none. */
typedef uint64_t mu_fetch_id;

/** Growth-only. Strings are copied; secrets among them are wiped. */
struct mu_fetcher_options {
  size_t size;
  /** Headers of every request. */
  const struct mu_header *headers;
  size_t header_count;
  /** PEM file with authorities; NULL: the system's. */
  const char *tls_ca_file;
  /** 0: 3000 and 8000 ms. The total begins when the request begins, not while it waits for its turn. */
  unsigned connect_ms;
  unsigned total_ms;
  /** Longest answer in bytes (0: 64 KiB); beyond it the request fails with MU_ELIMIT. */
  size_t max_answer;
  /** Requests at once (0: 32) and further ones that wait for their turn (0: 1024). */
  unsigned at_once;
  unsigned waiting;
};

/** Growth-only. Everything is copied. */
struct mu_fetch_request {
  size_t size;
  /** "GET", … NULL: GET. */
  const char *method;
  /** "https://…", or "http://" to loopback. */
  const char *url;
  const struct mu_header *headers;
  size_t header_count;
  struct mu_str body;
};

/** Borrowed for the call. Growth-only. */
struct mu_fetch_answer {
  size_t size;
  /**
   * 0: there is a status. MU_ETIMEOUT, MU_ELIMIT: answer too long, MU_EREFUSED: the certificate or plain http, MU_EUNAVAILABLE: no
   * connection or a broken one, MU_ECLOSED: the fetcher was freed, MU_ENOMEM.
   */
  int error;
  /** For the log, one line, without URL and secrets; "" when there is no error. */
  const char *reason;
  int status;
  /** Content-Type without parameters, lower case; "" when there was none. */
  const char *type;
  struct mu_str body;
  /** Retry-After in seconds, or 0. */
  unsigned retry_after_s;
};
typedef void (*mu_fetch_done)(void *context, const struct mu_fetch_answer *answer);

/** Belongs to the instance: when that stops first, its requests end without `done`. NULL: memory, or a bad option (logged). */
MU_API mu_fetcher *mu_fetcher_new(mu_instance *in, const struct mu_fetcher_options *options);
/** Ends all requests without `done`. NULL is allowed. */
MU_API void mu_fetcher_free(mu_fetcher *fetcher);
/**
 * Begins a request; `done` is called once, never before this returns. `id` may be NULL.
 * 0, MU_EINVAL: the URL or a header, MU_EREFUSED: plain http to elsewhere, MU_ELIMIT: too many wait, MU_ENOMEM.
 */
MU_API int mu_fetch(mu_fetcher *fetcher, const struct mu_fetch_request *request, mu_fetch_done done, void *context,
                    mu_fetch_id *id) MU_MUST_USE;
/** Growth-only. Everything is copied; the password and the texts are wiped. */
struct mu_mail_message {
  size_t size;
  /** "smtps://host:465", or "smtp://host:587": there STARTTLS is required, except to loopback. */
  const char *server;
  /** To loopback, too. */
  bool starttls;
  /** Login; NULL or "": none. PLAIN, LOGIN or CRAM-MD5, what the server offers. */
  const char *user;
  const char *password;
  /** "local@domain", ASCII. */
  const char *from;
  /** Who is shown; NULL or "": the address alone. */
  const char *from_name;
  /** Addresses, 1 to 100. All see each other. */
  const char *const *to;
  size_t to_count;
  /** UTF-8, no control characters, at most 1000 bytes. */
  const char *subject;
  /** UTF-8, lines end with LF or CRLF. */
  struct mu_str text;
};
/**
 * Sends a plain text mail to all of `to`, or to none; a fetcher sends one at a time, in order, each over a connection of its own and within
 * `total_ms`. `done`, once, never before this returns: `error` as for requests, MU_EREFUSED also when there is no STARTTLS; with `error` 0
 * `status` is the server's: 250 it took the mail, 400 to 599 it did not. `type` and `body` are empty.
 * 0, MU_EINVAL: the server, an address or a text cannot be used, MU_ELIMIT: too many wait, MU_ENOMEM, MU_EIO: no random bytes.
 */
MU_API int mu_mail(mu_fetcher *fetcher, const struct mu_mail_message *message, mu_fetch_done done, void *context,
                   mu_fetch_id *id) MU_MUST_USE;
/** Ends a request or mail without `done`. Nothing when it has ended. */
MU_API void mu_fetch_cancel(mu_fetcher *fetcher, mu_fetch_id id);
/** Requests and mails that run and wait now. */
MU_API size_t mu_fetch_count(const mu_fetcher *fetcher);

#endif
