/* SPDX-License-Identifier: ISC */
/* mu_fetch() against a server of its own (server.py), which misbehaves by request. */
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "child.h"

static struct child child;
static struct {
  unsigned plain, good, other, silent, closed; /* ports */
  char ca[80];
} server;

static char logged[64 * 1024];

/* ---- frame ----------------------------------------------------------------------------------- */

static void keep_log(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static void setup(void)
{
  logged[0] = '\0';
  mui_log_sink(keep_log, NULL);
  begin(1);
}

/* What came back. */
struct result {
  unsigned calls;
  int error, status;
  unsigned retry;
  char type[64], reason[128];
  char *body;
  size_t len;
  bool done;
  mu_fetcher *fetcher; /* what the callback uses, if anything */
  mu_fetch_id other;
  struct result *next;
};

static void took(void *context, const struct mu_fetch_answer *answer)
{
  struct result *result = context;
  result->calls++;
  result->error = answer->error;
  result->status = answer->status;
  result->retry = answer->retry_after_s;
  snprintf(result->type, sizeof result->type, "%s", answer->type);
  snprintf(result->reason, sizeof result->reason, "%s", answer->reason);
  free(result->body);
  result->len = answer->body.len;
  result->body = malloc(answer->body.len + 1);
  if (answer->body.len)
    memcpy(result->body, answer->body.at, answer->body.len);
  result->body[answer->body.len] = '\0';
  result->done = true;
}

static void result_free(struct result *result)
{
  free(result->body);
  *result = (struct result){0};
}

static const char *url(unsigned port, const char *path)
{
  static char text[256];
  snprintf(text, sizeof text, "http%s://127.0.0.1:%u%s",
           port == server.good || port == server.other || port == server.silent ? "s" : "", port, path);
  return text;
}

static int ask(mu_fetcher *fetcher, const char *address, struct result *result, mu_fetch_id *id)
{
  return mu_fetch(fetcher, &(struct mu_fetch_request){.size = sizeof(struct mu_fetch_request), .url = address}, took,
                  result, id);
}

static mu_fetcher *fetcher_new(struct mu_fetcher_options options)
{
  options.size = sizeof options;
  mu_fetcher *fetcher = mu_fetcher_new(in, &options);
  CU_ASSERT_PTR_NOT_NULL_FATAL(fetcher);
  return fetcher;
}

/* One request and its answer. */
static struct result get(mu_fetcher *fetcher, const char *address)
{
  struct result result = {0};
  int started = ask(fetcher, address, &result, NULL);
  CU_ASSERT_EQUAL(started, 0);
  CU_ASSERT_FALSE(result.done);
  if (started == 0)
    CU_ASSERT(mui_loop_until(runtime.loop, &result.done, 15000));
  CU_ASSERT_EQUAL(result.calls, 1);
  return result;
}

static double seconds(int64_t since_ns)
{
  return (double)(mu_mono_ns() - since_ns) / 1e9;
}

static void turn_for(unsigned ms)
{
  bool never = false;
  mui_loop_until(runtime.loop, &never, ms);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answers(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.tls_ca_file = server.ca});
  unsigned ports[] = {server.plain, server.good};
  for (size_t i = 0; i < MU_COUNT(ports); i++) {
    struct result result = get(fetcher, url(ports[i], "/ok"));
    CU_ASSERT_EQUAL(result.error, 0);
    CU_ASSERT_STRING_EQUAL(result.reason, "");
    CU_ASSERT_EQUAL(result.status, 200);
    CU_ASSERT_STRING_EQUAL(result.type, "application/json");
    CU_ASSERT_STRING_EQUAL(result.body, "{\"a\":1}");
    CU_ASSERT_EQUAL(result.retry, 0);
    result_free(&result);
  }
  struct result result = get(fetcher, url(server.plain, "/retry"));
  CU_ASSERT_EQUAL(result.status, 503);
  CU_ASSERT_EQUAL(result.retry, 17);
  CU_ASSERT_STRING_EQUAL(result.type, "");
  result_free(&result);
  result = get(fetcher, url(server.plain, "/empty"));
  CU_ASSERT_EQUAL(result.status, 200);
  CU_ASSERT_EQUAL(result.len, 0);
  result_free(&result);

  /* Not followed, not unpacked, not remembered. */
  result = get(fetcher, url(server.plain, "/redirect"));
  CU_ASSERT_EQUAL(result.error, 0);
  CU_ASSERT_EQUAL(result.status, 302);
  result_free(&result);
  result = get(fetcher, url(server.plain, "/zipped"));
  CU_ASSERT_STRING_EQUAL(result.body, "not zipped at all");
  result_free(&result);
  result = get(fetcher, url(server.plain, "/cookie"));
  result_free(&result);
  result = get(fetcher, url(server.plain, "/echo"));
  CU_ASSERT_PTR_NULL(strstr(result.body, "ookie"));
  CU_ASSERT_PTR_NULL(strstr(result.body, "Accept-Encoding"));
  result_free(&result);
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  mu_fetcher_free(fetcher);
  CU_ASSERT_STRING_EQUAL(logged, "");
  teardown();
}

static void requests(void)
{
  setup();
  const struct mu_header common[] = {{"apikey", "secret-1"}, {"X-Empty", ""}};
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.headers = common, .header_count = 2});
  const struct mu_header own[] = {{"X-Own", "2"}};
  struct result result = {0};
  struct mu_fetch_request request = {.size = sizeof request,
                                     .method = "POST",
                                     .url = url(server.plain, "/echo?a=%20b"),
                                     .headers = own,
                                     .header_count = 1,
                                     .body = MU_STR("be\0dy")};
  CU_ASSERT_EQUAL(mu_fetch(fetcher, &request, took, &result, NULL), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &result.done, 15000));
  CU_ASSERT_PTR_NOT_NULL_FATAL(result.body);
  CU_ASSERT_EQUAL(strncmp(result.body, "POST /echo?a=%20b HTTP/1.1\r\n", 28), 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(result.body, "apikey: secret-1\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(result.body, "X-Empty:\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(result.body, "X-Own: 2\r\n"));
  CU_ASSERT_PTR_NULL(strstr(result.body, "Expect"));
  CU_ASSERT(result.len > 5 && memcmp(result.body + result.len - 5, "be\0dy", 5) == 0);
  result_free(&result);
  request.method = "DELETE";
  request.body = (struct mu_str){0};
  CU_ASSERT_EQUAL(mu_fetch(fetcher, &request, took, &result, NULL), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &result.done, 15000));
  CU_ASSERT_EQUAL(strncmp(result.body, "DELETE /echo", 12), 0);
  result_free(&result);
  mu_fetcher_free(fetcher);
  teardown();
}

static void refusals(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){0});
  static const struct {
    const char *url;
    int expected;
  } cases[] = {
      {NULL, MU_EINVAL},
      {"", MU_EINVAL},
      {"127.0.0.1/ok", MU_EINVAL},
      {"https://", MU_EINVAL},
      {"ftp://127.0.0.1/", MU_EINVAL},
      {"file:///etc/passwd", MU_EINVAL},
      {"https://user:pass@127.0.0.1/", MU_EINVAL},
      {"http://127.0.0.1/a b", MU_EINVAL},
      {"http://127.0.0.1/a\r\nX: y", MU_EINVAL},
      {"http://example.org/", MU_EREFUSED},
      {"http://10.0.0.1/", MU_EREFUSED},
      {"http://localhost.example.org/", MU_EREFUSED},
      {"http://127.0.0.1.example.org/", MU_EREFUSED},
      {"http://[::2]/", MU_EREFUSED},
      {"http://[::ffff:10.0.0.1]/", MU_EREFUSED},
      {"http://0.0.0.0/", MU_EREFUSED},
  };
  struct result result = {0};
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    int got = ask(fetcher, cases[i].url, &result, NULL);
    if (got != cases[i].expected)
      printf("%s: %s\n", cases[i].url, mu_error_name(got));
    CU_ASSERT_EQUAL(got, cases[i].expected);
  }
  const char *allowed[] = {"http://127.9.8.7:1/", "http://[::1]:1/", "http://LOCALHOST:1/"};
  for (size_t i = 0; i < MU_COUNT(allowed); i++) {
    mu_fetch_id id;
    CU_ASSERT_EQUAL(ask(fetcher, allowed[i], &result, &id), 0);
    mu_fetch_cancel(fetcher, id);
  }
  const struct mu_header bad[] = {{"a\r\nb", "1"}, {"a", "1\r\nX: 2"}, {"a b", "1"}, {"", "1"}, {"a:", "1"}};
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    struct mu_fetch_request request = {
        .size = sizeof request, .url = "http://127.0.0.1:1/", .headers = &bad[i], .header_count = 1};
    CU_ASSERT_EQUAL(mu_fetch(fetcher, &request, took, &result, NULL), MU_EINVAL);
    CU_ASSERT_PTR_NULL(mu_fetcher_new(in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options),
                                                                       .headers = &bad[i],
                                                                       .header_count = 1}));
  }
  struct mu_fetch_request request = {.size = sizeof request, .url = "http://127.0.0.1:1/", .method = "GET / X"};
  CU_ASSERT_EQUAL(mu_fetch(fetcher, &request, took, &result, NULL), MU_EINVAL);
  CU_ASSERT_PTR_NULL(mu_fetcher_new(
      in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options), .tls_ca_file = "/nowhere/ca.pem"}));
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  turn_for(50);
  CU_ASSERT_EQUAL(result.calls, 0);
  mu_fetcher_free(fetcher);
  mu_fetcher_free(NULL);
  teardown();
}

/* ---- failures -------------------------------------------------------------------------------- */

static void limits(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.max_answer = 5000});
  struct result result = get(fetcher, url(server.plain, "/bytes/5000"));
  CU_ASSERT_EQUAL(result.error, 0);
  CU_ASSERT_EQUAL(result.len, 5000);
  result_free(&result);
  const char *paths[] = {"/bytes/5001", "/endless", "/headers"};
  for (size_t i = 0; i < MU_COUNT(paths); i++) {
    result = get(fetcher, url(server.plain, paths[i]));
    CU_ASSERT_EQUAL(result.error, MU_ELIMIT);
    CU_ASSERT_EQUAL(result.status, 0);
    CU_ASSERT_EQUAL(result.len, 0);
    CU_ASSERT(result.reason[0]);
    result_free(&result);
  }
  mu_fetcher_free(fetcher);
  teardown();
}

static void broken(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.tls_ca_file = server.ca});
  const char *paths[] = {"/half", "/close", "/nonsense", "/old"};
  for (size_t i = 0; i < MU_COUNT(paths); i++) {
    struct result result = get(fetcher, url(server.plain, paths[i]));
    CU_ASSERT_EQUAL(result.error, MU_EUNAVAILABLE);
    result_free(&result);
  }
  struct result result = get(fetcher, url(server.closed, "/ok"));
  CU_ASSERT_EQUAL(result.error, MU_EUNAVAILABLE);
  CU_ASSERT_PTR_NULL(strstr(result.reason, "127.0.0.1"));
  result_free(&result);
  mu_fetcher_free(fetcher);
  teardown();
}

static void certificates(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.tls_ca_file = server.ca});
  struct result result = get(fetcher, url(server.other, "/ok")); /* another host's */
  CU_ASSERT_EQUAL(result.error, MU_EREFUSED);
  result_free(&result);
  mu_fetcher_free(fetcher);
  fetcher = fetcher_new((struct mu_fetcher_options){0}); /* an authority that this machine does not know */
  result = get(fetcher, url(server.good, "/ok"));
  CU_ASSERT_EQUAL(result.error, MU_EREFUSED);
  CU_ASSERT(result.reason[0]);
  result_free(&result);
  mu_fetcher_free(fetcher);
  teardown();
}

static void times(void)
{
  setup();
  mu_fetcher *fetcher =
      fetcher_new((struct mu_fetcher_options){.connect_ms = 200, .total_ms = 1000, .tls_ca_file = server.ca});
  int64_t began = mu_mono_ns();
  struct result result = get(fetcher, url(server.silent, "/ok")); /* no handshake */
  CU_ASSERT_EQUAL(result.error, MU_ETIMEOUT);
  CU_ASSERT(seconds(began) >= 0.19);
  CU_ASSERT(seconds(began) < 0.95);
  result_free(&result);
  const char *paths[] = {"/slow", "/hang"};
  for (size_t i = 0; i < MU_COUNT(paths); i++) {
    began = mu_mono_ns();
    result = get(fetcher, url(server.plain, paths[i]));
    CU_ASSERT_EQUAL(result.error, MU_ETIMEOUT);
    CU_ASSERT(seconds(began) >= 0.95);
    CU_ASSERT(seconds(began) < 5);
    result_free(&result);
  }
  result = get(fetcher, url(server.plain, "/ok")); /* over a new connection */
  CU_ASSERT_EQUAL(result.status, 200);
  result_free(&result);
  mu_fetcher_free(fetcher);
  teardown();
}

/* The program's own getaddrinfo() is found before the C library's: names that end in ".slow" take a while. */
MU_EXPORT int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
  size_t length = name ? strlen(name) : 0;
  if (length > 5 && strcmp(name + length - 5, ".slow") == 0)
    nanosleep(&(struct timespec){2, 0}, NULL);
  (void)service, (void)hints, (void)list;
  return EAI_NONAME;
}

static void slow_names(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.connect_ms = 300});
  struct result result = {0};
  int64_t began = mu_mono_ns();
  CU_ASSERT_EQUAL(ask(fetcher, "https://a.slow/", &result, NULL), 0);
  int64_t longest = 0;
  while (!result.done && seconds(began) < 10) {
    int64_t turn = mu_mono_ns();
    turn_for(10);
    if (mu_mono_ns() - turn > longest)
      longest = mu_mono_ns() - turn;
  }
  CU_ASSERT(result.done);
  CU_ASSERT_EQUAL(result.error, MU_ETIMEOUT);
  CU_ASSERT(seconds(began) < 1.9); /* before the name is known */
  CU_ASSERT(longest < 1000000000); /* and nobody waited for it */
  result_free(&result);
  /* Cancelled, and freed, while a name is looked up. */
  mu_fetch_id id;
  began = mu_mono_ns();
  CU_ASSERT_EQUAL(ask(fetcher, "https://b.slow/", &result, &id), 0);
  turn_for(50);
  mu_fetch_cancel(fetcher, id);
  CU_ASSERT_EQUAL(ask(fetcher, "https://c.slow/", &result, &id), 0);
  turn_for(50);
  mu_fetcher_free(fetcher);
  CU_ASSERT(seconds(began) < 1.5);
  turn_for(2500); /* the threads come back to nobody */
  CU_ASSERT_FALSE(result.done);
  teardown();
}

static void fast_failure_of_names(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){0});
  struct result result = get(fetcher, "https://nowhere.test/");
  CU_ASSERT_EQUAL(result.error, MU_EUNAVAILABLE);
  CU_ASSERT_PTR_NULL(strstr(result.reason, "nowhere"));
  result_free(&result);
  mu_fetcher_free(fetcher);
  teardown();
}

/* ---- several ---------------------------------------------------------------------------------- */

static unsigned seen(mu_fetcher *fetcher, const char *member)
{
  struct result result = get(fetcher, url(server.plain, "/seen"));
  char *at = result.body ? strstr(result.body, member) : NULL;
  unsigned value = at ? (unsigned)atoi(strchr(at, ':') + 1) : 0;
  result_free(&result);
  return value;
}

static void many(void)
{
  setup();
  enum { REQUESTS = 40, AT_ONCE = 4 };
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.at_once = AT_ONCE, .waiting = REQUESTS - AT_ONCE});
  unsigned before = seen(fetcher, "\"requests\"");
  static struct result results[REQUESTS];
  for (size_t i = 0; i < REQUESTS; i++) {
    char path[32];
    snprintf(path, sizeof path, i % 4 ? "/bytes/%zu" : "/wait", i);
    CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, path), &results[i], NULL), 0);
  }
  struct result none = {0};
  mu_fetch_id id = 99;
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/ok"), &none, &id), MU_ELIMIT);
  CU_ASSERT_EQUAL(id, 0);
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), REQUESTS);
  for (size_t i = 0; i < REQUESTS; i++) {
    CU_ASSERT(mui_loop_until(runtime.loop, &results[i].done, 15000));
    CU_ASSERT_EQUAL(results[i].calls, 1);
    CU_ASSERT_EQUAL(results[i].status, 200);
    CU_ASSERT_EQUAL(results[i].len, i % 4 ? i : 4);
    result_free(&results[i]);
  }
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  CU_ASSERT_EQUAL(seen(fetcher, "\"requests\"") - before, REQUESTS);
  CU_ASSERT(seen(fetcher, "\"most\"") <= AT_ONCE);
  mu_fetcher_free(fetcher);
  teardown();
}

/* Waiting does not count: ten requests of 200 ms, one after another, each within 1 s. */
static void total_begins_late(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 1, .total_ms = 1500});
  static struct result results[12];
  for (size_t i = 0; i < MU_COUNT(results); i++)
    CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/wait"), &results[i], NULL), 0);
  for (size_t i = 0; i < MU_COUNT(results); i++) {
    CU_ASSERT(mui_loop_until(runtime.loop, &results[i].done, 15000));
    CU_ASSERT_EQUAL(results[i].status, 200);
    result_free(&results[i]);
  }
  mu_fetcher_free(fetcher);
  teardown();
}

static void cancels_other(void *context, const struct mu_fetch_answer *answer)
{
  struct result *result = context;
  took(context, answer);
  mu_fetch_cancel(result->fetcher, result->other);
  mu_fetch_cancel(result->fetcher, result->other);
  CU_ASSERT_EQUAL(ask(result->fetcher, url(server.plain, "/ok"), result->next, NULL), 0);
}

static void frees_all(void *context, const struct mu_fetch_answer *answer)
{
  struct result *result = context;
  took(context, answer);
  mu_fetcher_free(result->fetcher);
}

static void stops_instance(void *context, const struct mu_fetch_answer *answer)
{
  took(context, answer);
  mui_instance_revoke(in);
}

static int ask_with(mu_fetcher *fetcher, const char *path, mu_fetch_done done, struct result *result)
{
  struct mu_fetch_request request = {.size = sizeof request, .url = url(server.plain, path)};
  result->fetcher = fetcher;
  return mu_fetch(fetcher, &request, done, result, NULL);
}

static void from_callbacks(void)
{
  setup();
  struct result first = {0}, cancelled = {0}, last = {0};
  mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 2});
  first.next = &last;
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/hang"), &cancelled, &first.other), 0);
  CU_ASSERT_EQUAL(ask_with(fetcher, "/ok", cancels_other, &first), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &last.done, 5000));
  CU_ASSERT_EQUAL(last.status, 200);
  CU_ASSERT_EQUAL(cancelled.calls, 0);
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  mu_fetcher_free(fetcher);
  result_free(&first);
  result_free(&last);

  /* Waiting ones begin when a running one is cancelled. */
  fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 1});
  mu_fetch_id id, waiting;
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/hang"), &cancelled, &id), 0);
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/hang"), &cancelled, &waiting), 0);
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/ok"), &last, NULL), 0);
  turn_for(50);
  mu_fetch_cancel(fetcher, waiting);
  mu_fetch_cancel(fetcher, id);
  CU_ASSERT(mui_loop_until(runtime.loop, &last.done, 5000));
  CU_ASSERT_EQUAL(last.status, 200);
  CU_ASSERT_EQUAL(cancelled.calls, 0);
  mu_fetcher_free(fetcher);
  result_free(&last);

  /* The fetcher ends in an answer, others run and wait. */
  fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 2});
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/hang"), &cancelled, NULL), 0);
  CU_ASSERT_EQUAL(ask_with(fetcher, "/ok", frees_all, &first), 0);
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/ok"), &cancelled, NULL), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &first.done, 5000));
  turn_for(100);
  CU_ASSERT_EQUAL(cancelled.calls, 0);
  result_free(&first);

  /* So does the instance. */
  fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 2, .tls_ca_file = server.ca});
  CU_ASSERT_EQUAL(ask(fetcher, url(server.good, "/hang"), &cancelled, NULL), 0);
  CU_ASSERT_EQUAL(ask_with(fetcher, "/wait", stops_instance, &first), 0);
  CU_ASSERT_EQUAL(ask(fetcher, url(server.plain, "/ok"), &cancelled, NULL), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &first.done, 5000));
  turn_for(100);
  CU_ASSERT_EQUAL(cancelled.calls, 0);
  CU_ASSERT_PTR_NULL(mu_fetcher_new(in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options)}));
  result_free(&first);
  teardown();
}

/* Revoked at every stage: name, connection, handshake, request, idle. */
static void instance_stops(void)
{
  char slow[] = "https://d.slow/", silent[64], hang[64], tls[64];
  snprintf(silent, sizeof silent, "https://127.0.0.1:%u/", server.silent);
  snprintf(hang, sizeof hang, "http://127.0.0.1:%u/hang", server.plain);
  snprintf(tls, sizeof tls, "https://127.0.0.1:%u/slow", server.good);
  for (unsigned ms = 0; ms <= 60; ms += 20) {
    setup();
    struct result result = {0};
    mu_fetcher *fetcher = fetcher_new((struct mu_fetcher_options){.at_once = 8, .tls_ca_file = server.ca});
    const char *urls[] = {slow, silent, hang, tls};
    for (size_t i = 0; i < 12; i++)
      CU_ASSERT_EQUAL(ask(fetcher, urls[i % 4], &result, NULL), 0);
    turn_for(ms);
    mui_instance_revoke(in);
    turn_for(20);
    CU_ASSERT_EQUAL(result.calls, 0);
    teardown();
  }
  nanosleep(&(struct timespec){2, 200000000}, NULL); /* leave no thread to the sanitizers */
}

/* Whatever the environment says, and whatever the requests hold, goes nowhere. */
static void environment(void)
{
  setup();
  mui_log_level(MU_LOG_DEBUG);
  char proxy[64];
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", server.closed);
  setenv("http_proxy", proxy, 1);
  setenv("https_proxy", proxy, 1);
  setenv("all_proxy", proxy, 1);
  setenv("HOME", child.folder, 1);
  char netrc[96];
  snprintf(netrc, sizeof netrc, "%s/.netrc", child.folder);
  FILE *file = fopen(netrc, "w");
  fprintf(file, "machine 127.0.0.1 login l password p\n");
  fclose(file);
  const struct mu_header header = {"apikey", "very-secret"};
  mu_fetcher *fetcher =
      fetcher_new((struct mu_fetcher_options){.headers = &header, .header_count = 1, .tls_ca_file = server.ca});
  struct result result = get(fetcher, url(server.plain, "/echo?k=very-secret"));
  CU_ASSERT_EQUAL(result.status, 200);
  CU_ASSERT_PTR_NULL(strstr(result.body, "Authorization"));
  result_free(&result);
  result = get(fetcher, url(server.other, "/ok?k=very-secret"));
  CU_ASSERT_EQUAL(result.error, MU_EREFUSED);
  CU_ASSERT_PTR_NULL(strstr(result.reason, "very-secret"));
  result_free(&result);
  mu_fetcher_free(fetcher);
  CU_ASSERT_PTR_NULL(strstr(logged, "very-secret"));
  CU_ASSERT_PTR_NULL(strstr(logged, "http://"));
  unsetenv("http_proxy");
  unsetenv("https_proxy");
  unsetenv("all_proxy");
  mui_log_level(MU_LOG_INFO);
  teardown();
}

static const struct unit_test tests[] = {
    {"answers", answers},
    {"requests", requests},
    {"refused before they are sent", refusals},
    {"limits", limits},
    {"broken answers", broken},
    {"certificates", certificates},
    {"times", times},
    {"slow names", slow_names},
    {"unknown names", fast_failure_of_names},
    {"many", many},
    {"the total begins with the request", total_begins_late},
    {"from callbacks", from_callbacks},
    {"the instance stops", instance_stops},
    {"environment", environment},
};

int main(void)
{
  signal(SIGPIPE, SIG_IGN);
  unsigned *const ports[CHILD_PORTS] = {&server.plain, &server.good, &server.other, &server.silent, &server.closed};
  if (!child_run(&child, "server.py", ports))
    return 1;
  snprintf(server.ca, sizeof server.ca, "%s/ca.pem", child.folder);
  int status = unit_main("fetch", tests, MU_COUNT(tests));
  child_end(&child);
  return status;
}
