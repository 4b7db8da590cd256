/* SPDX-License-Identifier: ISC */
/*
 * Mails of a fetcher, one at a time, each on a worker thread: libcurl waits within a call for a mail server's answer to the text and to
 * QUIT, which would hold the loop. Breaking off shuts the sockets down, so that a worker never waits for a server that is silent.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <muster/loop.h>
#include "http/internal.h"

#define MESSAGE_MIN (offsetof(struct mu_mail_message, text) + sizeof(struct mu_str))
enum { SOCKETS = 4 }; /* that one connection attempt opens at a time: two families */

struct mail {
  struct mail *next;
  struct mui_mails *mails;
  mu_fetch_id id;
  mu_fetch_done done; /* NULL: nobody is told any more */
  void *context;
  /* The worker's, while it runs. */
  char *server, *user, *password, *from;
  bool starttls;
  struct curl_slist *to;
  struct mu_buf text;
  size_t read, answer_bytes;
  int status;    /* of the server's last answer that counts */
  bool answered; /* what follows its answer to the text is about QUIT */
  CURLcode code;
  /* Both threads'. */
  pthread_mutex_t lock;
  bool cancelled;
  int sockets[SOCKETS]; /* -1: free */
};

struct mui_mails {
  mu_instance *in;
  struct mui_fetch_frame frame;
  char *ca_file;
  size_t max_waiting, count; /* with the one that runs */
  struct mail *running, *waiting, **waiting_end;
  unsigned refs; /* the fetcher, the one that runs, and finish() */
  bool closed;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void free_secret(char *text)
{
  if (text)
    mu_secret_wipe(text, strlen(text));
  free(text);
}

static void mail_free(struct mail *mail)
{
  free(mail->server);
  free_secret(mail->user);
  free_secret(mail->password);
  free(mail->from);
  curl_slist_free_all(mail->to);
  if (mail->text.at)
    mu_secret_wipe(mail->text.at, mail->text.len);
  mu_buf_free(&mail->text);
  pthread_mutex_destroy(&mail->lock);
  free(mail);
}

static void unref(struct mui_mails *mails)
{
  if (--mails->refs > 0)
    return;
  free(mails->ca_file);
  free(mails);
  curl_global_cleanup();
}

/* ---- on the worker's thread -------------------------------------------------------------------- */

static int on_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
  (void)purpose;
  struct mail *mail = context;
  pthread_mutex_lock(&mail->lock);
  bool cancelled = mail->cancelled;
  for (size_t i = 0; i < SOCKETS; i++)
    if (mail->sockets[i] < 0) {
      mail->sockets[i] = fd;
      break;
    }
  pthread_mutex_unlock(&mail->lock);
  return cancelled ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static int on_close(void *context, curl_socket_t fd)
{
  struct mail *mail = context;
  pthread_mutex_lock(&mail->lock);
  for (size_t i = 0; i < SOCKETS; i++)
    if (mail->sockets[i] == fd)
      mail->sockets[i] = -1;
  int result = close(fd);
  pthread_mutex_unlock(&mail->lock);
  return result;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
  (void)a, (void)b, (void)c, (void)d;
  struct mail *mail = context;
  pthread_mutex_lock(&mail->lock);
  bool cancelled = mail->cancelled;
  pthread_mutex_unlock(&mail->lock);
  return cancelled;
}

static size_t on_read(char *data, size_t size, size_t count, void *context)
{
  struct mail *mail = context;
  size_t left = mail->text.len - mail->read, len = size * count < left ? size * count : left;
  if (len)
    memcpy(data, mail->text.at + mail->read, len);
  mail->read += len;
  return len;
}

/* A line of the server. 221 is its answer to QUIT, which comes after refusals, too. */
static size_t on_line(char *data, size_t size, size_t count, void *context)
{
  struct mail *mail = context;
  size_t len = size * count;
  mail->answer_bytes += len;
  if (mail->answer_bytes > MUI_HEADERS_MAX)
    return 0;
  if (len < 3 || mail->answered || memcmp(data, "221", 3) == 0 || data[0] < '2' || data[0] > '5' || data[1] < '0' ||
      data[1] > '9' || data[2] < '0' || data[2] > '9')
    return len;
  mail->status = (data[0] - '0') * 100 + (data[1] - '0') * 10 + (data[2] - '0');
  mail->answered = mail->read == mail->text.len;
  return len;
}

static size_t on_nothing(char *data, size_t size, size_t count, void *context)
{
  (void)data, (void)context;
  return size * count;
}

static bool host_is_loopback(const char *url)
{
  char *host = NULL;
  CURLU *parsed = curl_url();
  bool loopback = parsed && curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
                  curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK && mui_fetch_loopback(host);
  curl_free(host);
  curl_url_cleanup(parsed);
  return loopback;
}

static bool set_up(CURL *easy, struct mail *mail)
{
  const struct mui_fetch_frame *frame = &mail->mails->frame;
  bool ok = mui_fetch_common(easy, frame);
#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
  SET(CURLOPT_URL, mail->server);
  SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  SET(CURLOPT_USE_SSL, (long)(mail->starttls || !host_is_loopback(mail->server) ? CURLUSESSL_ALL : CURLUSESSL_NONE));
  if (mail->user[0]) {
    SET(CURLOPT_USERNAME, mail->user);
    SET(CURLOPT_PASSWORD, mail->password);
    /* What needs no other server and no library that asks one. */
    SET(CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN;AUTH=CRAM-MD5");
  }
  SET(CURLOPT_TIMEOUT_MS, (long)frame->total_ms);
  SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(frame->total_ms / 1000 + 1)); /* QUIT's, too */
  SET(CURLOPT_FORBID_REUSE, 1L); /* the end of the connection is bounded as well */
  SET(CURLOPT_MAIL_FROM, mail->from);
  SET(CURLOPT_MAIL_RCPT, mail->to);
  SET(CURLOPT_UPLOAD, 1L);
  SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)mail->text.len);
  SET(CURLOPT_READFUNCTION, on_read);
  SET(CURLOPT_READDATA, mail);
  SET(CURLOPT_WRITEFUNCTION, on_nothing);
  SET(CURLOPT_HEADERFUNCTION, on_line);
  SET(CURLOPT_HEADERDATA, mail);
  SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
  SET(CURLOPT_SOCKOPTDATA, mail);
  SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
  SET(CURLOPT_CLOSESOCKETDATA, mail);
  SET(CURLOPT_NOPROGRESS, 0L);
  SET(CURLOPT_XFERINFOFUNCTION, on_progress);
  SET(CURLOPT_XFERINFODATA, mail);
#undef SET
  return ok;
}

static int deliver(void *context)
{
  struct mail *mail = context;
  CURL *easy = curl_easy_init();
  mail->code = easy && set_up(easy, mail) ? curl_easy_perform(easy) : CURLE_OUT_OF_MEMORY;
  curl_easy_cleanup(easy);
  return 0;
}

/* ---- on the loop thread ------------------------------------------------------------------------ */

static void break_off(struct mail *mail)
{
  mail->done = NULL;
  pthread_mutex_lock(&mail->lock);
  mail->cancelled = true;
  for (size_t i = 0; i < SOCKETS; i++)
    if (mail->sockets[i] >= 0)
      shutdown(mail->sockets[i], SHUT_RDWR);
  pthread_mutex_unlock(&mail->lock);
}

static void tell(const struct mail *mail, CURLcode code)
{
  struct mu_fetch_answer answer = {
      .size = sizeof answer, .error = mui_fetch_error(code), .reason = "", .type = "", .body = {"", 0}};
  if (code != CURLE_OK)
    answer.reason = code == CURLE_OPERATION_TIMEDOUT ? "no connection or no answer in time" : curl_easy_strerror(code);
  if (code == CURLE_USE_SSL_FAILED) {
    answer.error = MU_EREFUSED;
    answer.reason = "no STARTTLS";
  } else if (code == CURLE_OK || mail->answered || (mail->status >= 400 && code != CURLE_OPERATION_TIMEDOUT)) {
    answer.error = 0;
    answer.reason = "";
    answer.status = mail->status;
  }
  if (mail->done)
    mail->done(mail->context, &answer);
}

static void on_end(void *context, int result);

static int begin(struct mui_mails *mails, struct mail *mail)
{
  int result =
      mu_work(mails->in,
              &(struct mu_job){
                  .size = sizeof(struct mu_job), .work = deliver, .done = on_end, .context = mail, .what = "a mail"});
  if (result == 0) {
    mails->running = mail;
    mails->refs++;
  }
  return result;
}

static void begin_next(struct mui_mails *mails)
{
  while (!mails->closed && !mails->running && mails->waiting) {
    struct mail *mail = mails->waiting;
    mails->waiting = mail->next;
    if (!mails->waiting)
      mails->waiting_end = &mails->waiting;
    if (begin(mails, mail) == 0)
      return;
    mails->count--;
    tell(mail, CURLE_OUT_OF_MEMORY);
    mail_free(mail);
  }
}

static void on_end(void *context, int result)
{
  struct mail *mail = context;
  struct mui_mails *mails = mail->mails;
  mails->running = NULL;
  mails->count--;
  if (result == MU_ECLOSED) /* the instance is gone: nothing else may be touched */
    mails->closed = true;
  else if (!mails->closed)
    tell(mail, mail->code);
  mail_free(mail);
  begin_next(mails);
  unref(mails);
}

struct mui_mails *mui_mails_new(mu_instance *in, const struct mui_fetch_frame *frame, size_t max_waiting)
{
  struct mui_mails *mails = calloc(1, sizeof *mails);
  if (!mails)
    return NULL;
  *mails = (struct mui_mails){.in = in, .frame = *frame, .max_waiting = max_waiting, .refs = 1};
  mails->waiting_end = &mails->waiting;
  mails->frame.headers = NULL;
  mails->frame.header_count = 0;
  mails->ca_file = frame->ca_file ? strdup(frame->ca_file) : NULL;
  mails->frame.ca_file = mails->ca_file;
  if ((frame->ca_file && !mails->ca_file) || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    free(mails->ca_file);
    free(mails);
    return NULL;
  }
  return mails;
}

void mui_mails_free(struct mui_mails *mails)
{
  if (!mails)
    return;
  mails->closed = true;
  if (mails->running)
    break_off(mails->running);
  while (mails->waiting) {
    struct mail *mail = mails->waiting;
    mails->waiting = mail->next;
    mail_free(mail);
  }
  unref(mails);
}

/* "smtp://host" or "smtps://host", with a port or without. 0, MU_EINVAL, MU_ENOMEM. */
static int server_check(const char *server)
{
  if (!server || (strncasecmp(server, "smtp://", 7) != 0 && strncasecmp(server, "smtps://", 8) != 0))
    return MU_EINVAL;
  const char *rest = strchr(server, ':') + 3;
  if (strpbrk(rest, "/?#@ \\") || !rest[0] || rest[0] == ':')
    return MU_EINVAL;
  CURLU *parsed = curl_url();
  if (!parsed)
    return MU_ENOMEM;
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, server, CURLU_DISALLOW_USER);
  curl_url_cleanup(parsed);
  return code == CURLUE_OK ? 0 : code == CURLUE_OUT_OF_MEMORY ? MU_ENOMEM : MU_EINVAL;
}

static bool login_ok(const char *text)
{
  return !text || (strlen(text) <= 1000 && !strpbrk(text, "\r\n"));
}

static bool copy(struct mail *mail, const struct mu_mail_message *message)
{
  mail->starttls = message->starttls;
  mail->server = strdup(message->server);
  mail->user = strdup(message->user ? message->user : "");
  mail->password = strdup(message->password ? message->password : "");
  mail->from = strdup(message->from);
  for (size_t i = 0; i < message->to_count; i++) {
    struct curl_slist *longer = curl_slist_append(mail->to, message->to[i]);
    if (!longer)
      return false;
    mail->to = longer;
  }
  return mail->server && mail->user && mail->password && mail->from;
}

int mui_mails_add(struct mui_mails *mails, const struct mu_mail_message *message, mu_fetch_done done, void *context,
                  mu_fetch_id id)
{
  if (!message || message->size < MESSAGE_MIN || !login_ok(message->user) || !login_ok(message->password))
    return MU_EINVAL;
  int result = server_check(message->server);
  if (result != 0)
    return result;
  if (mails->running && mails->count > mails->max_waiting)
    return MU_ELIMIT;
  struct mail *mail = calloc(1, sizeof *mail);
  if (!mail)
    return MU_ENOMEM;
  mail->mails = mails;
  mail->id = id;
  mail->done = done;
  mail->context = context;
  pthread_mutex_init(&mail->lock, NULL);
  for (size_t i = 0; i < SOCKETS; i++)
    mail->sockets[i] = -1;
  result = mui_mail_write(message, mu_now_ms(), &mail->text);
  if (result == 0 && !copy(mail, message))
    result = MU_ENOMEM;
  if (result == 0 && !mails->running && !mails->waiting) {
    result = begin(mails, mail);
  } else if (result == 0) {
    *mails->waiting_end = mail;
    mails->waiting_end = &mail->next;
  }
  if (result == 0)
    mails->count++;
  else
    mail_free(mail);
  return result;
}

bool mui_mails_cancel(struct mui_mails *mails, mu_fetch_id id)
{
  if (!mails)
    return false;
  if (mails->running && mails->running->id == id) {
    break_off(mails->running);
    return true;
  }
  for (struct mail **at = &mails->waiting; *at; at = &(*at)->next)
    if ((*at)->id == id) {
      struct mail *mail = *at;
      *at = mail->next;
      if (!mail->next)
        mails->waiting_end = at;
      mails->count--;
      mail_free(mail);
      return true;
    }
  return false;
}

size_t mui_mails_count(const struct mui_mails *mails)
{
  return mails ? mails->count : 0;
}
