/* SPDX-License-Identifier: ISC */
/* What the files of http/ share: a request, made ready for libcurl. */
#ifndef MUI_HTTP_INTERNAL_H
#define MUI_HTTP_INTERNAL_H

#include <curl/curl.h>

#include <muster/fetch.h>
#include "base/instance.h"

enum { MUI_HEADERS_MAX = 64 * 1024 }; /* of one answer */

struct mui_fetch {
  struct mui_fetch *next;
  struct mui_fetch **pprev;
  mu_fetch_id id;
  CURL *easy;
  struct curl_slist *headers;
  mu_fetch_done done;
  void *context;
  int64_t began_ns; /* 0: waits */
  struct mu_buf body;
  size_t max_answer;
  size_t header_bytes;
  bool too_long;
  char failure
      [CURL_ERROR_SIZE]; /* libcurl's words: never shown, they name the host; here so that it has somewhere to put them */
};

/* What all requests of a fetcher have in common. */
struct mui_fetch_frame {
  const struct mu_header *headers;
  size_t header_count;
  const char *ca_file;
  unsigned connect_ms, total_ms;
  size_t max_answer;
};

/* Whether the URL may be asked at all. 0, MU_EINVAL, MU_EREFUSED, MU_ENOMEM. */
int mui_fetch_url_check(const char *url);
/* Checks a header's name and value: no line ends, nothing that would make two of one. */
bool mui_fetch_header_ok(const struct mu_header *header);
/* 0, MU_EINVAL, MU_EREFUSED, MU_ENOMEM. */
int mui_fetch_make(const struct mui_fetch_frame *frame, const struct mu_fetch_request *request, struct mui_fetch **out);
/* The handle must not be with a multi handle any more. */
void mui_fetch_free(struct mui_fetch *fetch);
/* What every handle is told, whatever it speaks: certificates, times, nothing from the environment. False: memory. */
bool mui_fetch_common(CURL *easy, const struct mui_fetch_frame *frame);
/* Whether the host of a URL says this machine. */
bool mui_fetch_loopback(const char *host);
/* What the end of a transfer means; 0: it went well. */
int mui_fetch_error(CURLcode code);
/* Fills in the answer from what libcurl says of the end; `type` is the storage of the content type. */
void mui_fetch_answer(struct mui_fetch *fetch, CURLcode code, struct mu_fetch_answer *answer, char type[64]);

/* ---- mail ------------------------------------------------------------------------------------ */

/* The mails of a fetcher, one at a time. */
struct mui_mails;

/* NULL: memory. The frame's file name is copied. */
struct mui_mails *mui_mails_new(mu_instance *in, const struct mui_fetch_frame *frame, size_t max_waiting);
/* Ends all without `done`; one that is on its way is broken off. NULL is allowed. */
void mui_mails_free(struct mui_mails *mails);
int mui_mails_add(struct mui_mails *mails, const struct mu_mail_message *message, mu_fetch_done done, void *context,
                  mu_fetch_id id);
/* False: it is none of these. */
bool mui_mails_cancel(struct mui_mails *mails, mu_fetch_id id);
size_t mui_mails_count(const struct mui_mails *mails);

/* Whether a mail's address can be sent to: local@domain, ASCII, no quotes. */
bool mui_mail_address_ok(const char *address);
/* The whole message, as it goes over the wire. 0, MU_EINVAL: an address or a text is none; MU_EIO, MU_ENOMEM. */
int mui_mail_write(const struct mu_mail_message *message, int64_t now_ms, struct mu_buf *out);

#endif
