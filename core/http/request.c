/* SPDX-License-Identifier: ISC */
/* One request: what may be asked, how libcurl is told, what its answer means. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "http/internal.h"

#define REQUEST_MIN (offsetof(struct mu_fetch_request, body) + sizeof(struct mu_str))

/* ---- what may be asked ----------------------------------------------------------------------- */

bool mui_fetch_loopback(const char *host)
{
  struct in_addr v4;
  return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
         (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

int mui_fetch_url_check(const char *url)
{
  if (!url || !strstr(url, "://"))
    return MU_EINVAL;
  int result = MU_ENOMEM;
  char *scheme = NULL, *host = NULL;
  CURLU *parsed = curl_url();
  if (!parsed)
    return MU_ENOMEM;
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER);
  if (code == CURLUE_OK)
    code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(parsed, CURLUPART_HOST, &host, 0);
  if (code == CURLUE_OUT_OF_MEMORY)
    goto out;
  result = MU_EINVAL;
  if (code != CURLUE_OK || !host[0])
    goto out;
  if (strcasecmp(scheme, "https") == 0)
    result = 0;
  else if (strcasecmp(scheme, "http") == 0)
    result = mui_fetch_loopback(host) ? 0 : MU_EREFUSED;
out:
  curl_free(scheme);
  curl_free(host);
  curl_url_cleanup(parsed);
  return result;
}

#define TOKEN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

bool mui_fetch_header_ok(const struct mu_header *header)
{
  if (!header->name || !header->value || !header->name[0] ||
      strspn(header->name, TOKEN_CHARACTERS) != strlen(header->name))
    return false;
  for (const char *at = header->value; *at; at++)
    if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
      return false;
  return true;
}

static bool method_ok(const char *method)
{
  size_t length = strlen(method);
  return length > 0 && length < 16 && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == length;
}

static int add_headers(struct curl_slist **list, const struct mu_header *headers, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    if (!mui_fetch_header_ok(&headers[i]))
      return MU_EINVAL;
    struct mu_buf line = MU_BUF_INIT;
    /* "Name;" is libcurl's way to write a header without value; "Name:" would take it out. */
    if (headers[i].value[strspn(headers[i].value, " \t")])
      mu_buf_printf(&line, "%s: %s", headers[i].name, headers[i].value);
    else
      mu_buf_printf(&line, "%s;", headers[i].name);
    struct curl_slist *longer = line.failed ? NULL : curl_slist_append(*list, line.at);
    mu_secret_wipe(line.at, line.len);
    mu_buf_free(&line);
    if (!longer)
      return MU_ENOMEM;
    *list = longer;
  }
  return 0;
}

/* ---- libcurl's callbacks ----------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
  struct mui_fetch *fetch = context;
  size_t len = size * count;
  if (len > fetch->max_answer - fetch->body.len) {
    fetch->too_long = true;
    return 0;
  }
  mu_buf_add(&fetch->body, data, len);
  return fetch->body.failed ? 0 : len;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
  (void)data;
  struct mui_fetch *fetch = context;
  fetch->header_bytes += size * count;
  if (fetch->header_bytes > MUI_HEADERS_MAX) {
    fetch->too_long = true;
    return 0;
  }
  return size * count;
}

/* A peer that is gone without a word ends the connection, and with it all requests that share it, after as long as one may take. */
static int on_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
  (void)purpose;
  const unsigned *total_ms = context;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, total_ms, sizeof *total_ms);
  return CURL_SOCKOPT_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK

bool mui_fetch_common(CURL *easy, const struct mui_fetch_frame *frame)
{
  bool ok = true;
  SET(CURLOPT_PROXY, ""); /* empty: not the environment's either */
  SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_VERBOSE, 0L);
  SET(CURLOPT_SSL_VERIFYPEER, 1L);
  SET(CURLOPT_SSL_VERIFYHOST, 2L);
  SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  if (frame->ca_file) {
    SET(CURLOPT_CAINFO, frame->ca_file);
    SET(CURLOPT_CAPATH, NULL); /* this file and nothing beside it */
  }
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)frame->connect_ms);
  /* A name that is still being looked up when time is over: its thread is left to itself, for waiting would hold the loop. */
  SET(CURLOPT_QUICK_EXIT, 1L);
  return ok;
}

static bool set_up(struct mui_fetch *fetch, const struct mui_fetch_frame *frame, const struct mu_fetch_request *request)
{
  CURL *easy = fetch->easy;
  const char *method = request->method ? request->method : "GET";
  bool ok = mui_fetch_common(easy, frame);
  SET(CURLOPT_URL, request->url);
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
  SET(CURLOPT_FOLLOWLOCATION, 0L);
  SET(CURLOPT_ERRORBUFFER, fetch->failure);
  SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
  SET(CURLOPT_HTTP09_ALLOWED, 0L);
  SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
  SET(CURLOPT_SOCKOPTDATA, (void *)(uintptr_t)&frame->total_ms);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, fetch);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, fetch);
  SET(CURLOPT_PRIVATE, fetch);
  SET(CURLOPT_USERAGENT, "muster/" MUSTER_VERSION);
  SET(CURLOPT_HTTPHEADER, fetch->headers);
  if (strcmp(method, "HEAD") == 0) {
    SET(CURLOPT_NOBODY, 1L);
  } else if (request->body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
             strcmp(method, "PATCH") == 0) {
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    SET(CURLOPT_COPYPOSTFIELDS, request->body.len ? request->body.at : "");
    SET(CURLOPT_CUSTOMREQUEST, method);
  } else if (strcmp(method, "GET") != 0) {
    SET(CURLOPT_CUSTOMREQUEST, method);
  }
#undef SET
  return ok;
}

int mui_fetch_make(const struct mui_fetch_frame *frame, const struct mu_fetch_request *request, struct mui_fetch **out)
{
  if (!request || request->size < REQUEST_MIN || (request->method && !method_ok(request->method)))
    return MU_EINVAL;
  int result = mui_fetch_url_check(request->url);
  if (result != 0)
    return result;
  struct mui_fetch *fetch = calloc(1, sizeof *fetch);
  if (!fetch)
    return MU_ENOMEM;
  fetch->max_answer = frame->max_answer;
  result = add_headers(&fetch->headers, frame->headers, frame->header_count);
  if (result == 0)
    result = add_headers(&fetch->headers, request->headers, request->header_count);
  if (result != 0)
    goto fail;
  result = MU_ENOMEM;
  struct curl_slist *longer = curl_slist_append(fetch->headers, "Expect:"); /* bodies at once, no "100 Continue" */
  if (!longer)
    goto fail;
  fetch->headers = longer;
  fetch->easy = curl_easy_init();
  if (!fetch->easy || !set_up(fetch, frame, request))
    goto fail;
  *out = fetch;
  return 0;
fail:
  mui_fetch_free(fetch);
  return result;
}

void mui_fetch_free(struct mui_fetch *fetch)
{
  if (!fetch)
    return;
  curl_easy_cleanup(fetch->easy);
  for (struct curl_slist *line = fetch->headers; line; line = line->next)
    mu_secret_wipe(line->data, strlen(line->data));
  curl_slist_free_all(fetch->headers);
  mu_buf_free(&fetch->body);
  free(fetch);
}

/* ---- the answer ------------------------------------------------------------------------------ */

int mui_fetch_error(CURLcode code)
{
  switch (code) {
  case CURLE_OK:
    return 0;
  case CURLE_OPERATION_TIMEDOUT:
    return MU_ETIMEOUT;
  case CURLE_OUT_OF_MEMORY:
    return MU_ENOMEM;
  case CURLE_FILESIZE_EXCEEDED:
    return MU_ELIMIT;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS:
    return MU_EREFUSED;
  default:
    return MU_EUNAVAILABLE;
  }
}

/* "Application/JSON; charset=utf-8" → "application/json" */
static void content_type(CURL *easy, char type[64])
{
  char *given = NULL;
  size_t length = 0;
  if (curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &given) == CURLE_OK && given)
    length = strcspn(given, "; \t");
  if (length >= 64)
    length = 0;
  for (size_t i = 0; i < length; i++)
    type[i] = (char)(given[i] >= 'A' && given[i] <= 'Z' ? given[i] + ('a' - 'A') : given[i]);
  type[length] = '\0';
}

void mui_fetch_answer(struct mui_fetch *fetch, CURLcode code, struct mu_fetch_answer *answer, char type[64])
{
  *answer = (struct mu_fetch_answer){.size = sizeof *answer, .error = mui_fetch_error(code), .reason = "", .type = ""};
  if (code != CURLE_OK)
    answer->reason = curl_easy_strerror(code); /* fixed words: no host, no URL */
  if (code == CURLE_OPERATION_TIMEDOUT)
    answer->reason = "no connection or no answer in time";
  if (fetch->too_long) {
    answer->error = MU_ELIMIT;
    answer->reason = "the answer is too long";
  } else if (fetch->body.failed) {
    answer->error = MU_ENOMEM;
    answer->reason = "out of memory";
  }
  if (answer->error != 0)
    return;
  long status = 0;
  curl_off_t retry = 0;
  curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 100) {
    answer->error = MU_EUNAVAILABLE;
    answer->reason = "an answer without a status";
    return;
  }
  answer->status = (int)status;
  curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &retry);
  answer->retry_after_s = retry > 0 ? (unsigned)(retry < 86400 ? retry : 86400) : 0;
  content_type(fetch->easy, type);
  answer->type = type;
  answer->body = (struct mu_str){fetch->body.at ? fetch->body.at : "", fetch->body.len};
}
