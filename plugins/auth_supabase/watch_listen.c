/* SPDX-License-Identifier: ISC */
/*
 * LISTEN/NOTIFY for a PostgreSQL of one's own. libpq looks names up and shakes hands in a blocking way, so that is done on a worker
 * thread; afterwards its socket is watched on the loop. The connection string holds a password: no word of it is logged.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notice.h"
#include "watch_source.h"

enum {
  CONNECT_MS = 30000, /* names and all addresses; the thread is written off then */
  REASON_MAX = 160,
};

static const unsigned delays[] = {1, 2, 5, 10, 30};

struct listen {
  struct source source;
  struct attempt *attempt;
  PGconn *connection;
  mu_fd *watch;
  mu_timer *again;
  unsigned failures;
  bool told, stopped;
  char farewell[REASON_MAX]; /* what the server said unasked, at last */
  mu_counter *connects, *notices, *bad;
};

/* For the worker; outlives the source if it must. */
struct attempt {
  struct listen *listen; /* loop thread only; NULL: nobody waits any more */
  char *conninfo, *channel;
  PGconn *connection;
  char reason[REASON_MAX];
};

/* ---- the connection string ------------------------------------------------------------------- */

const char *source_listen_problem(const char *conninfo)
{
  PQconninfoOption *options = PQconninfoParse(conninfo, NULL); /* its words would quote the password */
  if (!options)
    return "it must be \"postgresql://user:password@host:port/database\" or \"host=… dbname=…\", as libpq takes it";
  const char *problem = NULL;
  for (const PQconninfoOption *at = options; at->keyword && !problem; at++) {
    const char *value = at->val ? at->val : "";
    if (strcmp(at->keyword, "replication") == 0 && value[0])
      problem = "a connection for replication cannot LISTEN";
    /* A password with an @ or a slash in it would end up as a host, and libpq tells hosts in its errors. */
    bool stray = (strcmp(at->keyword, "host") == 0 || strcmp(at->keyword, "dbname") == 0) && strchr(value, '@');
    bool port = strcmp(at->keyword, "port") == 0 && value[strspn(value, "0123456789,")];
    if (stray || port)
      problem = "its host, port or database cannot be: in a URL the characters @ : / % ? # of a password are written "
                "%40 %3A %2F %25 "
                "%3F %23";
  }
  PQconninfoFree(options);
  return problem;
}

static void wipe(char *text)
{
  if (text)
    mu_secret_wipe(text, strlen(text));
  free(text);
}

static void attempt_free(struct attempt *attempt)
{
  if (attempt->connection)
    PQfinish(attempt->connection);
  wipe(attempt->conninfo);
  free(attempt->channel);
  free(attempt);
}

/* What the string leaves open: a link that died silently is noticed within a minute. */
static PGconn *connect_with_defaults(const char *conninfo)
{
  static const struct {
    const char *keyword, *value;
  } defaults[] = {{"connect_timeout", "8"},   {"keepalives_idle", "20"},     {"keepalives_interval", "10"},
                  {"keepalives_count", "3"},  {"tcp_user_timeout", "30000"}, {"application_name", "musterd"},
                  {"client_encoding", "UTF8"}};
  const char *keywords[64], *values[64];
  size_t count = 0;
  PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
  if (!options)
    return NULL;
  for (const PQconninfoOption *at = options; at->keyword && count < MU_COUNT(keywords) - 1 - MU_COUNT(defaults); at++)
    if (at->val) {
      keywords[count] = at->keyword;
      values[count++] = at->val;
    }
  for (size_t i = 0; i < MU_COUNT(defaults); i++) {
    bool given = false;
    for (const PQconninfoOption *at = options; at->keyword && !given; at++)
      given = at->val && strcmp(at->keyword, defaults[i].keyword) == 0;
    if (!given) {
      keywords[count] = defaults[i].keyword;
      values[count++] = defaults[i].value;
    }
  }
  keywords[count] = values[count] = NULL;
  PGconn *connection = PQconnectdbParams(keywords, values, 0);
  PQconninfoFree(options);
  return connection;
}

/* The first line says it; the password, should it ever be in there, is not told. */
static void explain(PGconn *connection, char *reason)
{
  const char *said = connection ? PQerrorMessage(connection) : "out of memory";
  snprintf(reason, REASON_MAX, "%.*s", (int)strcspn(said, "\n"), said);
  const char *password = connection ? PQpass(connection) : NULL;
  if (password && password[0] && strstr(said, password))
    snprintf(reason, REASON_MAX, "the connection failed");
}

/* Instead of libpq's own way, which is a line on stderr. */
static void on_words(void *context, const char *said)
{
  struct listen *listen = context;
  snprintf(listen->farewell, sizeof listen->farewell, "%.*s", (int)strcspn(said, "\n"), said);
}

static void on_words_dropped(void *context, const char *said)
{
  (void)context, (void)said;
}

/* ---- on a worker thread ---------------------------------------------------------------------- */

static int work(void *context)
{
  struct attempt *attempt = context;
  attempt->connection = connect_with_defaults(attempt->conninfo);
  bool good = false;
  if (attempt->connection)
    PQsetNoticeProcessor(attempt->connection, on_words_dropped, NULL);
  if (attempt->connection && PQstatus(attempt->connection) == CONNECTION_OK) {
    char *channel = PQescapeIdentifier(attempt->connection, attempt->channel, strlen(attempt->channel));
    char command[300];
    int len = channel ? snprintf(command, sizeof command, "LISTEN %s", channel) : -1;
    PQfreemem(channel);
    PGresult *result = len > 0 && (size_t)len < sizeof command ? PQexec(attempt->connection, command) : NULL;
    good = PQresultStatus(result) == PGRES_COMMAND_OK && PQsetnonblocking(attempt->connection, 1) == 0;
    PQclear(result);
  }
  if (good)
    return 0;
  explain(attempt->connection, attempt->reason);
  PQfinish(attempt->connection); /* here, for a farewell may block, too */
  attempt->connection = NULL;
  return MU_EUNAVAILABLE;
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void disconnect(struct listen *listen)
{
  mu_fd_free(listen->watch);
  listen->watch = NULL;
  if (listen->connection)
    PQfinish(listen->connection); /* set to non-blocking */
  listen->connection = NULL;
}

static void come_back(struct listen *listen, const char *why)
{
  disconnect(listen);
  uint64_t delay_ms = source_delay_ms(delays, MU_COUNT(delays), listen->failures++);
  mu_log(listen->source.in, listen->told ? MU_LOG_DEBUG : MU_LOG_WARN,
         "PostgreSQL does not tell of deleted machines now (%s); next try in %.1f s", why, (double)delay_ms / 1000);
  listen->told = true;
  mu_timer_start(listen->again, delay_ms, 0);
}

static void take_notices(struct listen *listen)
{
  for (PGnotify *notice; !listen->stopped && (notice = PQnotifies(listen->connection)); PQfreemem(notice)) {
    struct notice said;
    mu_count(listen->notices, 1);
    if (notice_read(mu_str(notice->extra), &said) &&
        deletions_id_valid((enum deletions_id)listen->source.config->id_type, mu_str(said.id))) {
      listen->source.events.gone(listen->source.events.self, mu_str(said.id), mu_str(said.owner));
      continue;
    }
    mu_count(listen->bad, 1);
    mu_log_limited(listen->source.in, MU_LOG_WARN, "notice", "channel %s told what is no machine's id: \"%.40s\"",
                   listen->source.config->channel, notice->extra);
    listen->source.events.gap(listen->source.events.self); /* something happened: look */
  }
}

static void on_socket(void *context, int fd, unsigned events)
{
  struct listen *listen = context;
  char reason[REASON_MAX];
  (void)fd, (void)events;
  bool good = PQconsumeInput(listen->connection) == 1;
  take_notices(listen); /* those that came before the end as well */
  if (listen->stopped)
    return;
  /* Nothing was asked, so a result is the server's farewell. */
  while (good && !PQisBusy(listen->connection)) {
    PGresult *result = PQgetResult(listen->connection);
    if (!result)
      break;
    PQclear(result);
  }
  if (good && PQstatus(listen->connection) == CONNECTION_OK)
    return;
  explain(listen->connection, reason);
  if (listen->farewell[0])
    snprintf(reason, sizeof reason, "%s", listen->farewell);
  come_back(listen, reason);
}

static void on_done(void *context, int result)
{
  struct attempt *attempt = context;
  struct listen *listen = attempt->listen;
  if (listen)
    listen->attempt = NULL;
  if (result == MU_ETIMEOUT) { /* it still runs: late() frees it */
    attempt->listen = NULL;
    if (listen)
      come_back(listen, "the connection took too long");
    return;
  }
  if (!listen || result == MU_ECLOSED) {
    attempt_free(attempt);
    return;
  }
  if (result == 0) {
    listen->connection = attempt->connection;
    attempt->connection = NULL;
    listen->farewell[0] = '\0';
    PQsetNoticeProcessor(listen->connection, on_words, listen);
    listen->watch = mu_fd_new(listen->source.in, PQsocket(listen->connection), MU_FD_READ, on_socket, listen);
  }
  if (!listen->watch) {
    come_back(listen, result == 0 ? mu_strerror(MU_ENOMEM) : attempt->reason);
    attempt_free(attempt);
    return;
  }
  attempt_free(attempt);
  listen->failures = 0;
  listen->told = false;
  mu_count(listen->connects, 1);
  mu_log(listen->source.in, MU_LOG_INFO, "PostgreSQL tells of deleted machines on channel %s",
         listen->source.config->channel);
  listen->source.events.gap(listen->source.events.self);
  if (!listen->stopped)
    on_socket(listen, PQsocket(listen->connection),
              MU_FD_READ); /* what came along with the answer is in memory already */
}

static void on_late(void *context, int result)
{
  (void)result;
  attempt_free(context);
}

static void on_again(void *context)
{
  struct listen *listen = context;
  struct attempt *attempt = calloc(1, sizeof *attempt);
  int error = MU_ENOMEM;
  if (attempt) {
    attempt->listen = listen;
    attempt->conninfo = strdup(listen->source.config->listen);
    attempt->channel = strdup(listen->source.config->channel);
    const struct mu_job job = {.size = sizeof job,
                               .work = work,
                               .done = on_done,
                               .late = on_late,
                               .context = attempt,
                               .deadline_ms = CONNECT_MS,
                               .what = "connecting to PostgreSQL"};
    if (attempt->conninfo && attempt->channel)
      error = mu_work(listen->source.in, &job);
    if (error)
      attempt_free(attempt);
    else
      listen->attempt = attempt;
  }
  if (error)
    come_back(listen, mu_strerror(error));
}

/* ---- from start to end ----------------------------------------------------------------------- */

static void listen_start(struct source *source)
{
  on_again(source);
}

static void listen_stop(struct source *source)
{
  struct listen *listen = (struct listen *)source;
  listen->stopped = true;
  if (listen->attempt)
    listen->attempt->listen = NULL;
  listen->attempt = NULL;
  disconnect(listen);
  mu_timer_free(listen->again);
  listen->again = NULL;
}

static void listen_free(struct source *source)
{
  free(source);
}

struct source *source_listen_new(const struct source *base)
{
  static const struct source_ops ops = {.start = listen_start, .stop = listen_stop, .free = listen_free};
  struct listen *listen = calloc(1, sizeof *listen);
  if (!listen)
    return NULL;
  listen->source = *base;
  listen->source.ops = &ops;
  listen->again = mu_timer_new(base->in, on_again, listen);
  listen->connects = mu_counter_get(base->in, "listen_connects");
  listen->notices = mu_counter_get(base->in, "listen_notices");
  listen->bad = mu_counter_get(base->in, "listen_bad");
  if (!listen->again) {
    free(listen);
    return NULL;
  }
  return &listen->source;
}
