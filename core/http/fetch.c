/* SPDX-License-Identifier: ISC */
/*
 * Requests that share connections: a queue in front of libcurl's multi handle, which tells through callbacks what it waits for.
 *
 * libcurl's own handle may not be touched inside its callbacks, so these only set watches and timers; `done` is called from the
 * loop, where everything is allowed, freeing the fetcher too.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/log.h>
#include <muster/loop.h>
#include "http/internal.h"

struct mu_fetcher {
  struct mui_resource resource; /* first */
  mu_instance *in;
  CURLM *multi;
  mu_timer *timer;    /* libcurl's */
  mu_timer *deadline; /* of the oldest request that runs: libcurl does not count while a request waits within it */
  struct mui_fetch *running, **running_end;
  struct mui_fetch *waiting, **waiting_end;
  size_t running_count, waiting_count;
  mu_fetch_id last_id;
  struct mui_fetch_frame frame;
  struct mui_mails *mails;   /* NULL: none was sent yet */
  struct mu_header *headers; /* their texts are ours */
  char *ca_file;
  unsigned at_once, max_waiting;
  unsigned busy; /* depth of drain() */
  bool closing;  /* watches are no longer ours to touch */
  bool gone;     /* freed within drain() */
  bool stale;    /* a request timed out: its connection may be dead for all others, too */
};

#define OPTIONS_MIN (offsetof(struct mu_fetcher_options, waiting) + sizeof(unsigned))

/* ---- lists, oldest first --------------------------------------------------------------------- */

static void list_add(struct mui_fetch ***end, struct mui_fetch *fetch)
{
  fetch->next = NULL;
  fetch->pprev = *end;
  **end = fetch;
  *end = &fetch->next;
}

static void list_del(mu_fetcher *fetcher, struct mui_fetch *fetch)
{
  struct mui_fetch ***end = fetch->began_ns ? &fetcher->running_end : &fetcher->waiting_end;
  if (fetch->began_ns)
    fetcher->running_count--;
  else
    fetcher->waiting_count--;
  *fetch->pprev = fetch->next;
  if (fetch->next)
    fetch->next->pprev = fetch->pprev;
  else
    *end = fetch->pprev;
}

/* ---- libcurl's callbacks --------------------------------------------------------------------- */

static void drain(mu_fetcher *fetcher);

static void on_ready(void *context, int fd, unsigned events)
{
  mu_fetcher *fetcher = context;
  int still;
  curl_multi_socket_action(fetcher->multi, fd,
                           (events & MU_FD_READ ? CURL_CSELECT_IN : 0) | (events & MU_FD_WRITE ? CURL_CSELECT_OUT : 0),
                           &still);
  drain(fetcher);
}

static void on_timer(void *context)
{
  mu_fetcher *fetcher = context;
  int still;
  curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &still);
  drain(fetcher);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context)
{
  (void)easy;
  mu_fetcher *fetcher = context;
  mu_fd *watch = socket_context;
  if (fetcher->closing)
    return 0;
  if (what == CURL_POLL_REMOVE) {
    curl_multi_assign(fetcher->multi, fd, NULL);
    mu_fd_free(watch);
    return 0;
  }
  unsigned events = (what & CURL_POLL_IN ? MU_FD_READ : 0u) | (what & CURL_POLL_OUT ? MU_FD_WRITE : 0u);
  if (watch) {
    mu_fd_events(watch, events);
    return 0;
  }
  watch = mu_fd_new(fetcher->in, fd, events, on_ready, fetcher);
  /* Without memory nobody watches and the request meets its deadline; an error here would end libcurl's handle for good. */
  if (watch)
    curl_multi_assign(fetcher->multi, fd, watch);
  return 0;
}

static int want_timer(CURLM *multi, long after_ms, void *context)
{
  (void)multi;
  mu_fetcher *fetcher = context;
  if (fetcher->closing)
    return 0;
  if (after_ms < 0)
    mu_timer_stop(fetcher->timer);
  else
    mu_timer_start(fetcher->timer, (uint64_t)after_ms, 0);
  return 0;
}

static CURLM *multi_new(mu_fetcher *fetcher)
{
  CURLM *multi = curl_multi_init();
  if (!multi)
    return NULL;
  if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, want_socket) != CURLM_OK ||
      curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, fetcher) != CURLM_OK ||
      curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, want_timer) != CURLM_OK ||
      curl_multi_setopt(multi, CURLMOPT_TIMERDATA, fetcher) != CURLM_OK ||
      curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) != CURLM_OK ||
      curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)fetcher->at_once) != CURLM_OK) {
    curl_multi_cleanup(multi);
    return NULL;
  }
  return multi;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void arm_deadline(mu_fetcher *fetcher)
{
  if (!fetcher->running) {
    mu_timer_stop(fetcher->deadline);
    return;
  }
  int64_t left = fetcher->running->began_ns / 1000000 + fetcher->frame.total_ms - mu_mono_ns() / 1000000;
  mu_timer_start(fetcher->deadline, left > 0 ? (uint64_t)left + 1 : 1, 0);
}

static int begin(mu_fetcher *fetcher, struct mui_fetch *fetch)
{
  /* After a timeout the old connections are not trusted until they are gone: see drain(). */
  curl_easy_setopt(fetch->easy, CURLOPT_FRESH_CONNECT, fetcher->stale ? 1L : 0L);
  if (curl_multi_add_handle(fetcher->multi, fetch->easy) != CURLM_OK)
    return MU_ENOMEM;
  fetch->began_ns = mu_mono_ns();
  list_add(&fetcher->running_end, fetch);
  if (fetcher->running_count++ == 0)
    arm_deadline(fetcher);
  return 0;
}

/* Takes a request out, wherever it is; the caller frees it. */
static void take(mu_fetcher *fetcher, struct mui_fetch *fetch)
{
  if (fetch->began_ns)
    curl_multi_remove_handle(fetcher->multi, fetch->easy);
  list_del(fetcher, fetch);
}

/* The request is in no list. */
static void tell(struct mui_fetch *fetch, CURLcode code)
{
  struct mu_fetch_answer answer;
  char type[64];
  mui_fetch_answer(fetch, code, &answer, type);
  fetch->done(fetch->context, &answer);
  mui_fetch_free(fetch);
}

static void finish(mu_fetcher *fetcher, struct mui_fetch *fetch, CURLcode code)
{
  take(fetcher, fetch);
  if (code == CURLE_OPERATION_TIMEDOUT)
    fetcher->stale = true;
  tell(fetch, code);
}

static void fetcher_delete(mu_fetcher *fetcher)
{
  for (size_t i = 0; i < fetcher->frame.header_count; i++) {
    mu_secret_wipe((char *)(uintptr_t)fetcher->headers[i].value, strlen(fetcher->headers[i].value));
    free((char *)(uintptr_t)fetcher->headers[i].name);
    free((char *)(uintptr_t)fetcher->headers[i].value);
  }
  free(fetcher->headers);
  free(fetcher->ca_file);
  free(fetcher);
  curl_global_cleanup();
}

/* Once nothing runs, new connections for the next ones. */
static void refresh(mu_fetcher *fetcher)
{
  CURLM *fresh = multi_new(fetcher);
  if (!fresh)
    return;
  curl_multi_cleanup(fetcher->multi); /* its last calls of want_socket take the watches away */
  mu_timer_stop(fetcher->timer);
  fetcher->multi = fresh;
  fetcher->stale = false;
}

static void end_finished(mu_fetcher *fetcher)
{
  int left;
  for (CURLMsg *message; !fetcher->gone && (message = curl_multi_info_read(fetcher->multi, &left));) {
    struct mui_fetch *fetch = NULL;
    CURLcode code = message->data.result;
    if (message->msg == CURLMSG_DONE &&
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch) == CURLE_OK && fetch)
      finish(fetcher, fetch, code);
  }
}

static void end_late(mu_fetcher *fetcher)
{
  int64_t limit = mu_mono_ns() - (int64_t)fetcher->frame.total_ms * 1000000;
  while (!fetcher->gone && fetcher->running && fetcher->running->began_ns <= limit)
    finish(fetcher, fetcher->running, CURLE_OPERATION_TIMEDOUT);
}

static void begin_waiting(mu_fetcher *fetcher)
{
  while (!fetcher->gone && fetcher->waiting && fetcher->running_count < fetcher->at_once) {
    struct mui_fetch *fetch = fetcher->waiting;
    list_del(fetcher, fetch);
    if (begin(fetcher, fetch) != 0)
      tell(fetch, CURLE_OUT_OF_MEMORY);
  }
}

static void drain(mu_fetcher *fetcher)
{
  fetcher->busy++;
  end_finished(fetcher);
  end_late(fetcher);
  if (!fetcher->gone && fetcher->stale && fetcher->running_count == 0 && fetcher->busy == 1)
    refresh(fetcher);
  begin_waiting(fetcher);
  if (!fetcher->gone)
    arm_deadline(fetcher);
  if (--fetcher->busy == 0 && fetcher->gone)
    fetcher_delete(fetcher);
}

static void on_deadline(void *context)
{
  drain(context);
}

/* ---- the fetcher ----------------------------------------------------------------------------- */

static void close_all(mu_fetcher *fetcher)
{
  while (fetcher->running || fetcher->waiting) {
    struct mui_fetch *fetch = fetcher->running ? fetcher->running : fetcher->waiting;
    take(fetcher, fetch);
    mui_fetch_free(fetch);
  }
  mui_mails_free(fetcher->mails);
  fetcher->mails = NULL;
  curl_multi_cleanup(fetcher->multi);
  fetcher->multi = NULL;
  mu_timer_free(fetcher->timer);
  mu_timer_free(fetcher->deadline);
  mui_resource_del(&fetcher->resource);
  if (fetcher->busy)
    fetcher->gone = true;
  else
    fetcher_delete(fetcher);
}

/* The watches are younger than the fetcher: they are revoked and freed already. The timers are older: they still live. */
static void on_revoke(struct mui_resource *resource)
{
  mu_fetcher *fetcher = (mu_fetcher *)resource;
  fetcher->closing = true;
  close_all(fetcher);
}

static bool copy_headers(mu_fetcher *fetcher, const struct mu_fetcher_options *options)
{
  fetcher->headers = calloc(options->header_count ? options->header_count : 1, sizeof *fetcher->headers);
  if (!fetcher->headers)
    return false;
  fetcher->frame.headers = fetcher->headers;
  for (size_t i = 0; i < options->header_count; i++) {
    char *name = strdup(options->headers[i].name), *value = strdup(options->headers[i].value);
    if (!name || !value) {
      free(name);
      free(value);
      return false;
    }
    fetcher->headers[fetcher->frame.header_count++] = (struct mu_header){name, value};
  }
  return true;
}

static bool options_ok(mu_instance *in, const struct mu_fetcher_options *options)
{
  const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
  if (!(curl->features & CURL_VERSION_SSL) || !(curl->features & CURL_VERSION_ASYNCHDNS)) {
    mu_log(in, MU_LOG_ERROR, "this libcurl (%s) has no TLS, or resolves names on the caller's thread", curl->version);
    return false;
  }
  for (size_t i = 0; i < options->header_count; i++)
    if (!mui_fetch_header_ok(&options->headers[i])) {
      mu_log(in, MU_LOG_ERROR, "HTTP header %zu cannot be sent: control characters, or a bad name", i);
      return false;
    }
  if (options->tls_ca_file && access(options->tls_ca_file, R_OK) != 0) {
    mu_log(in, MU_LOG_ERROR, "the file with certificate authorities cannot be read: %s", options->tls_ca_file);
    return false;
  }
  return true;
}

mu_fetcher *mu_fetcher_new(mu_instance *in, const struct mu_fetcher_options *options)
{
  if (!in || in->closed || !options || options->size < OPTIONS_MIN || !options_ok(in, options))
    return NULL;
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return NULL;
  mu_fetcher *fetcher = calloc(1, sizeof *fetcher);
  if (!fetcher) {
    curl_global_cleanup();
    return NULL;
  }
  fetcher->in = in;
  fetcher->running_end = &fetcher->running;
  fetcher->waiting_end = &fetcher->waiting;
  fetcher->at_once = options->at_once ? options->at_once : 32;
  fetcher->max_waiting = options->waiting ? options->waiting : 1024;
  fetcher->frame.connect_ms = options->connect_ms ? options->connect_ms : 3000;
  fetcher->frame.total_ms = options->total_ms ? options->total_ms : 8000;
  fetcher->frame.max_answer = options->max_answer ? options->max_answer : 64 * 1024;
  if (options->tls_ca_file) {
    fetcher->ca_file = strdup(options->tls_ca_file);
    fetcher->frame.ca_file = fetcher->ca_file;
  }
  if ((options->tls_ca_file && !fetcher->ca_file) || !copy_headers(fetcher, options))
    goto fail;
  fetcher->timer = mu_timer_new(in, on_timer, fetcher);
  fetcher->deadline = mu_timer_new(in, on_deadline, fetcher);
  fetcher->multi = multi_new(fetcher);
  if (!fetcher->timer || !fetcher->deadline || !fetcher->multi)
    goto fail;
  mui_resource_add(in, &fetcher->resource, on_revoke); /* after the timers: see on_revoke() */
  return fetcher;
fail:
  if (fetcher->multi)
    curl_multi_cleanup(fetcher->multi);
  mu_timer_free(fetcher->timer);
  mu_timer_free(fetcher->deadline);
  fetcher_delete(fetcher);
  return NULL;
}

void mu_fetcher_free(mu_fetcher *fetcher)
{
  if (fetcher)
    close_all(fetcher);
}

int mu_fetch(mu_fetcher *fetcher, const struct mu_fetch_request *request, mu_fetch_done done, void *context,
             mu_fetch_id *id)
{
  if (id)
    *id = 0;
  if (!fetcher || !done)
    return MU_EINVAL;
  bool wait = fetcher->waiting || fetcher->running_count >= fetcher->at_once;
  if (wait && fetcher->waiting_count >= fetcher->max_waiting)
    return MU_ELIMIT;
  struct mui_fetch *fetch;
  int result = mui_fetch_make(&fetcher->frame, request, &fetch);
  if (result != 0)
    return result;
  fetch->id = ++fetcher->last_id;
  fetch->done = done;
  fetch->context = context;
  if (wait) {
    list_add(&fetcher->waiting_end, fetch);
    fetcher->waiting_count++;
  } else if (begin(fetcher, fetch) != 0) {
    mui_fetch_free(fetch);
    return MU_ENOMEM;
  }
  if (id)
    *id = fetch->id;
  return 0;
}

int mu_mail(mu_fetcher *fetcher, const struct mu_mail_message *message, mu_fetch_done done, void *context,
            mu_fetch_id *id)
{
  if (id)
    *id = 0;
  if (!fetcher || !done)
    return MU_EINVAL;
  if (!fetcher->mails)
    fetcher->mails = mui_mails_new(fetcher->in, &fetcher->frame, fetcher->max_waiting);
  if (!fetcher->mails)
    return MU_ENOMEM;
  int result = mui_mails_add(fetcher->mails, message, done, context, ++fetcher->last_id);
  if (result == 0 && id)
    *id = fetcher->last_id;
  return result;
}

void mu_fetch_cancel(mu_fetcher *fetcher, mu_fetch_id id)
{
  if (!fetcher || !id || mui_mails_cancel(fetcher->mails, id))
    return;
  struct mui_fetch *lists[] = {fetcher->running, fetcher->waiting};
  for (size_t i = 0; i < MU_COUNT(lists); i++)
    for (struct mui_fetch *fetch = lists[i]; fetch; fetch = fetch->next)
      if (fetch->id == id) {
        take(fetcher, fetch);
        mui_fetch_free(fetch);
        /* Its place is free: the next one begins from the loop. */
        if (!fetcher->busy && fetcher->waiting)
          mu_timer_start(fetcher->deadline, 0, 0);
        return;
      }
}

size_t mu_fetch_count(const mu_fetcher *fetcher)
{
  return fetcher ? fetcher->running_count + fetcher->waiting_count + mui_mails_count(fetcher->mails) : 0;
}
