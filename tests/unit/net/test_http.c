/* SPDX-License-Identifier: ISC */
/* Routes, handlers and ids over real sockets; what hostile bytes do is in tests/e2e/test_http_hostile.py. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <muster/http.h>
#include <muster/loop.h>
#include "base/clock.h"
#include "base/logging.h"
#include "loop/loop.h"
#include "net/net.h"
#include "unit.h"

static struct mui_runtime runtime;
static mu_instance *in;
static char log_text[4096];

static void keep_line(void *context, enum mu_level level, const char *line)
{
  (void)context;
  size_t len = strlen(log_text);
  if (level >= MU_LOG_WARN)
    snprintf(log_text + len, sizeof log_text - len, "%s\n", line);
}

static void setup(void)
{
  runtime = (struct mui_runtime){.node = "test", .root = ""};
  log_text[0] = '\0';
  mui_log_sink(keep_line, NULL);
  runtime.loop = mui_loop_new(1, 0);
  runtime.core = mui_instance_new(&runtime, "core", "core");
  runtime.net = mui_net_new(&runtime);
  CU_ASSERT_PTR_NOT_NULL_FATAL(runtime.net);
  in = mui_instance_new(&runtime, "tester", "tester");
  struct mui_listen listen = {.address = "127.0.0.1"};
  struct mui_limits limits = {.max_connections = 100, .header_timeout_s = 5, .body_timeout_s = 5, .send_timeout_s = 5};
  char problem[200];
  CU_ASSERT_EQUAL_FATAL(mui_net_listen(runtime.net, &listen, 1, &limits, problem, sizeof problem), 0);
}

static void teardown(void)
{
  mui_instance_revoke(in);
  mui_net_free(runtime.net);
  mui_instance_free(in);
  mui_instance_revoke(runtime.core);
  mui_loop_free(runtime.loop);
  mui_instance_free(runtime.core);
  mui_log_sink(NULL, NULL);
}

/* One connection of a thread of its own: sends, reads to the end. */
struct talk {
  const char *ask;
  char answer[8192];
  bool done;
  pthread_t thread;
};

static void mark_done(void *context)
{
  *(bool *)context = true;
}

static void *run_talk(void *context)
{
  struct talk *talk = context;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(mui_net_port(runtime.net, 0))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  size_t have = 0;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, talk->ask, strlen(talk->ask), MSG_NOSIGNAL) > 0)
    for (ssize_t got; have < sizeof talk->answer - 1; have += (size_t)got)
      if ((got = recv(fd, talk->answer + have, sizeof talk->answer - 1 - have, 0)) <= 0)
        break;
  talk->answer[have] = '\0';
  close(fd);
  mu_post(runtime.core, mark_done, NULL, &talk->done);
  return NULL;
}

static void begin(struct talk *talk, const char *ask)
{
  talk->ask = ask;
  talk->done = false;
  pthread_create(&talk->thread, NULL, run_talk, talk);
}

static const char *end(struct talk *talk)
{
  CU_ASSERT_TRUE(mui_loop_until(runtime.loop, &talk->done, 8000));
  pthread_join(talk->thread, NULL);
  return talk->answer;
}

#define ASK(method, path) method " " path " HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

static const char *ask(const char *text)
{
  static struct talk talk;
  begin(&talk, text);
  return end(&talk);
}

static int add(const char *path, unsigned methods, enum mu_access access, int (*handle)(void *, mu_http *))
{
  const struct mu_http_route route = {
      .size = sizeof route, .path = path, .methods = methods, .access = access, .max_body = 100, .handle = handle};
  return mu_http_route(in, &route, in);
}

static int hello(void *self, mu_http *request)
{
  CU_ASSERT_PTR_EQUAL(self, in);
  mu_text *text = mu_text_printf("hello");
  struct mu_str value;
  CU_ASSERT_FALSE(mu_http_query(request, "none", &value));
  CU_ASSERT_FALSE(mu_http_query(request, "na", &value));
  CU_ASSERT_TRUE(mu_http_query(request, "name", &value));
  CU_ASSERT_TRUE(mu_str_equal(value, MU_STR("a b")));
  CU_ASSERT_TRUE(mu_http_query(request, "empty", &value));
  CU_ASSERT_EQUAL(value.len, 0);
  CU_ASSERT_TRUE(mu_http_header(request, "x-mine", &value));
  CU_ASSERT_TRUE(mu_str_equal(value, MU_STR("yes")));
  CU_ASSERT_FALSE(mu_http_header(request, "x-other", &value));
  CU_ASSERT_STRING_EQUAL(mu_http_peer(request), "127.0.0.1");
  CU_ASSERT_PTR_NULL(mu_http_principal(request));
  CU_ASSERT_EQUAL(mu_http_set(request, "X-Good", "fine"), 0);
  CU_ASSERT_EQUAL(mu_http_set(request, "X-Bad", "a\r\nX: b"), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_set(request, "X Bad", "a"), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_set(request, "X-Bad:", "a"), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_set(request, "", "a"), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_set(request, "content-length", "1"), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_set(request, "Cache-Control", "max-age=5"), 0);
  CU_ASSERT_EQUAL(mu_http_answer(request, 99, NULL, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_answer(request, 200, "text/plain\r\nX: y", text), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_http_answer(request, 200, "text/plain", text), 0);
  CU_ASSERT_EQUAL(mu_http_answer(request, 200, "text/plain", text), MU_ECLOSED);
  CU_ASSERT_PTR_NULL(mu_http_find(in, mu_http_get_id(request)));
  mu_text_unref(text);
  return 0;
}

static void test_answer(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/hello", MU_HTTP_GET, MU_ACCESS_PUBLIC, hello), 0);
  const char *answer =
      ask("GET /hello?nam=1&name=a+b&empty= HTTP/1.1\r\nHost: t\r\nX-Mine: yes\r\nConnection: close\r\n\r\n");
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "HTTP/1.1 200 OK\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\r\nX-Good: fine\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\r\nCache-Control: max-age=5\r\n"));
  CU_ASSERT_PTR_NULL(strstr(answer, "no-store"));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\r\nContent-Length: 5\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\r\n\r\nhello"));
  teardown();
}

static int fails(void *self, mu_http *request)
{
  (void)self, (void)request;
  return MU_EIO;
}

static int forgets(void *self, mu_http *request)
{
  (void)self, (void)request;
  return 0;
}

static void test_bad_handlers(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/fails", MU_HTTP_GET, MU_ACCESS_PUBLIC, fails), 0);
  CU_ASSERT_EQUAL(add("/forgets", MU_HTTP_GET, MU_ACCESS_PUBLIC, forgets), 0);
  CU_ASSERT_EQUAL(add("/admin", MU_HTTP_GET, MU_ACCESS_ADMIN, forgets), 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(ask(ASK("GET", "/fails")), "HTTP/1.1 500 "));
  CU_ASSERT_PTR_NOT_NULL(strstr(log_text, "/fails"));
  const char *answer = ask(ASK("GET", "/forgets"));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "HTTP/1.1 500 "));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "{\"code\":\"internal_error\",\"message\":\""));
  CU_ASSERT_PTR_NOT_NULL(strstr(ask(ASK("GET", "/admin")), "HTTP/1.1 401 "));
  struct mui_account_row row;
  CU_ASSERT_TRUE(mui_account_read(in, MUI_CB_HTTP, &row));
  CU_ASSERT_EQUAL(row.calls, 2);
  CU_ASSERT_EQUAL(row.errors, 1);
  struct mui_net_stats stats;
  mui_net_read(runtime.net, &stats);
  CU_ASSERT_EQUAL(stats.http_requests, 3);
  CU_ASSERT_EQUAL(stats.http_4xx, 1);
  CU_ASSERT_EQUAL(stats.http_5xx, 2);
  teardown();
}

static void test_bad_routes(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/a", MU_HTTP_GET, 0, hello), MU_EINVAL);
  CU_ASSERT_EQUAL(add("/a", MU_HTTP_GET, (enum mu_access)9, hello), MU_EINVAL);
  CU_ASSERT_EQUAL(add("/a", 0, MU_ACCESS_PUBLIC, hello), MU_EINVAL);
  CU_ASSERT_EQUAL(add("/a", 32, MU_ACCESS_PUBLIC, hello), MU_EINVAL);
  CU_ASSERT_EQUAL(add("/a", MU_HTTP_GET, MU_ACCESS_PUBLIC, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(add("a", MU_HTTP_GET, MU_ACCESS_PUBLIC, hello), MU_EINVAL);
  CU_ASSERT_EQUAL(add("/a", MU_HTTP_GET, MU_ACCESS_PUBLIC, hello), 0);
  CU_ASSERT_EQUAL(add("/a", MU_HTTP_GET, MU_ACCESS_PUBLIC, hello), MU_EEXIST);
  struct mu_http_files files = {
      .size = sizeof files, .prefix = "/f/", .folder = "/nonexistent/folder", .access = MU_ACCESS_PUBLIC};
  CU_ASSERT_EQUAL(mu_http_files(in, &files), MU_EIO);
  files.prefix = "/f";
  CU_ASSERT_EQUAL(mu_http_files(in, &files), MU_EINVAL);
  files = (struct mu_http_files){.size = sizeof files,
                                 .prefix = "/f/",
                                 .folder = FIXTURES "/server-status",
                                 .index = "none.html",
                                 .access = MU_ACCESS_PUBLIC};
  CU_ASSERT_EQUAL(mu_http_files(in, &files), MU_EIO);
  files.index = "agent-report.json";
  files.cache_control = "a\r\nX: b";
  CU_ASSERT_EQUAL(mu_http_files(in, &files), MU_EINVAL);
  files.cache_control = NULL;
  CU_ASSERT_EQUAL(mu_http_files(in, &files), 0);
  CU_ASSERT_EQUAL(mu_http_files(in, &files), MU_EEXIST);
  CU_ASSERT_PTR_NOT_NULL(strstr(ask(ASK("GET", "/f/")), "Content-Type: application/json"));
  CU_ASSERT_PTR_NOT_NULL(strstr(ask(ASK("GET", "/f/none")), "HTTP/1.1 404 "));
  teardown();
}

static mu_http_id kept_id;
static bool kept;

static int keeps(void *self, mu_http *request)
{
  (void)self;
  kept_id = mu_http_get_id(request);
  kept = true;
  return MU_PENDING;
}

static void test_later(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/keeps", MU_HTTP_POST, MU_ACCESS_PUBLIC, keeps), 0);
  mu_instance *other = mui_instance_new(&runtime, "other", "other");
  struct talk talk;
  kept = false;
  begin(&talk, "POST /keeps HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody");
  CU_ASSERT_TRUE_FATAL(mui_loop_until(runtime.loop, &kept, 5000));
  mu_http *request = mu_http_find(in, kept_id);
  CU_ASSERT_PTR_NOT_NULL_FATAL(request);
  CU_ASSERT_PTR_NULL(mu_http_find(other, kept_id)); /* another instance's requests are nobody's */
  CU_ASSERT_PTR_NULL(mu_http_find(in, kept_id + (UINT64_C(1) << 32)));
  CU_ASSERT_PTR_NULL(mu_http_find(in, 0));
  CU_ASSERT_PTR_NULL(mu_http_find(in, UINT64_MAX));
  CU_ASSERT_TRUE(mu_str_equal(mu_http_body(request), MU_STR("body")));
  CU_ASSERT_EQUAL(mu_http_error(request, 409, "no", "text with \"quotes\""), 0);
  CU_ASSERT_PTR_NULL(mu_http_find(in, kept_id));
  const char *answer = end(&talk);
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "HTTP/1.1 409 "));
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "{\"code\":\"no\",\"message\":\"text with \\\"quotes\\\"\"}"));
  /* The slot's next request has another id. */
  mu_http_id old = kept_id;
  kept = false;
  begin(&talk, "POST /keeps HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CU_ASSERT_TRUE_FATAL(mui_loop_until(runtime.loop, &kept, 5000));
  CU_ASSERT_NOT_EQUAL(old, kept_id);
  CU_ASSERT_PTR_NULL(mu_http_find(in, old));
  /* Its instance stops: those who wait are told. */
  mui_instance_revoke(in);
  CU_ASSERT_PTR_NULL(mu_http_find(in, kept_id));
  CU_ASSERT_PTR_NOT_NULL(strstr(end(&talk), "HTTP/1.1 503 "));
  CU_ASSERT_PTR_NOT_NULL(strstr(ask(ASK("GET", "/keeps")), "HTTP/1.1 404 "));
  mui_instance_free(other);
  teardown();
}

static int64_t offset_ns;

static int64_t shifted_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec + offset_ns;
}

static void test_never(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/keeps", MU_HTTP_GET, MU_ACCESS_PUBLIC, keeps), 0);
  struct talk talk;
  kept = false;
  offset_ns = 0;
  mui_clock_inject(NULL, shifted_ns);
  begin(&talk, ASK("GET", "/keeps"));
  CU_ASSERT_TRUE_FATAL(mui_loop_until(runtime.loop, &kept, 5000));
  bool never = false;
  offset_ns = INT64_C(29000000000);
  mui_loop_until(runtime.loop, &never, 500);
  CU_ASSERT_PTR_NOT_NULL(mu_http_find(in, kept_id));
  offset_ns = INT64_C(31000000000);
  CU_ASSERT_PTR_NOT_NULL(strstr(end(&talk), "HTTP/1.1 504 "));
  CU_ASSERT_PTR_NULL(mu_http_find(in, kept_id));
  mui_clock_inject(NULL, NULL);
  teardown();
}

/* A link of this thread that asks for something that waits. */
static int ask_and_wait(void)
{
  static const char text[] = "GET /keeps HTTP/1.1\r\nHost: t\r\n\r\nGET /keeps HTTP/1.1\r\nHost: t\r\n\r\n";
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(mui_net_port(runtime.net, 0))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  kept = false;
  CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  CU_ASSERT_EQUAL(send(fd, text, sizeof text - 1, MSG_NOSIGNAL), (ssize_t)sizeof text - 1);
  CU_ASSERT_TRUE_FATAL(mui_loop_until(runtime.loop, &kept, 5000));
  CU_ASSERT_PTR_NOT_NULL(mu_http_find(in, kept_id));
  return fd;
}

/* The request of who left is gone before its answer; that of who only said all is not. */
static void test_left(void)
{
  setup();
  CU_ASSERT_EQUAL(add("/keeps", MU_HTTP_GET, MU_ACCESS_PUBLIC, keeps), 0);
  bool never = false;
  for (int reset = 0; reset < 2; reset++) {
    int fd = ask_and_wait();
    mui_loop_until(runtime.loop, &never, 600);
    CU_ASSERT_PTR_NOT_NULL(mu_http_find(in, kept_id));
    const struct linger at_once = {.l_onoff = 1};
    if (reset)
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    for (int i = 0; i < 40 && mu_http_find(in, kept_id); i++)
      mui_loop_until(runtime.loop, &never, 100);
    CU_ASSERT_PTR_NULL(mu_http_find(in, kept_id));
  }
  int fd = ask_and_wait();
  shutdown(fd, SHUT_WR);
  mui_loop_until(runtime.loop, &never, 1200);
  mu_http *request = mu_http_find(in, kept_id);
  CU_ASSERT_PTR_NOT_NULL_FATAL(request);
  CU_ASSERT_EQUAL(mu_http_error(request, 409, "no", "later"), 0);
  mui_loop_until(runtime.loop, &never, 100);
  char answer[2000] = "";
  CU_ASSERT(recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT) > 0);
  CU_ASSERT_EQUAL(strncmp(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 ", 38), 0);
  close(fd);
  teardown();
}

static const struct unit_test tests[] = {
    {"a handler sees the request and answers", test_answer},
    {"handlers without an answer, and access rules", test_bad_handlers},
    {"routes and folders that are refused", test_bad_routes},
    {"answers that come later, ids, the end of an instance", test_later},
    {"no answer within 30 s", test_never},
    {"who leaves while the answer waits", test_left},
};
UNIT_MAIN("http", tests)
