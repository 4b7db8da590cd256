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
/* Fills in the answer from what libcurl says of the end; `type` is the storage of the content type. */
void mui_fetch_answer(struct mui_fetch *fetch, CURLcode code, struct mu_fetch_answer *answer, char type[64]);

#endif
