/* SPDX-License-Identifier: ISC */
/* Timers, descriptors, signals, posts and the resolver. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/instance.h"
#include "loop/loop.h"
#include "unit.h"

struct frame {
  struct mui_runtime runtime;
  mu_instance *in;
  mu_timer *timer;
  mu_fd *watch;
  int fds[2];
  unsigned count, dropped;
  unsigned events;
  bool done;
};

static void setup(struct frame *frame)
{
  memset(frame, 0, sizeof(*frame));
  frame->runtime.loop = mui_loop_new(2, 1);
  frame->in = mui_instance_new(&frame->runtime, "one", "test");
  frame->runtime.core = frame->in;
  CU_ASSERT_FATAL(frame->runtime.loop && frame->in);
}

static void teardown(struct frame *frame)
{
  mui_instance_free(frame->in);
  CU_ASSERT_EQUAL(mui_loop_free(frame->runtime.loop), 0);
}

static void sleep_ms(unsigned ms)
{
  struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

static void wait_ms(struct frame *frame, unsigned ms)
{
  bool never = false;
  mui_loop_until(frame->runtime.loop, &never, ms);
}

/* ---- timers ---- */

static void tick(void *context)
{
  struct frame *frame = context;
  frame->count++;
  frame->done = true;
}

static void tick_and_free(void *context)
{
  struct frame *frame = context;
  mu_timer_free(frame->timer);
  frame->timer = NULL;
  tick(frame);
}

static void test_timer(void)
{
  struct frame frame;
  setup(&frame);
  mu_timer *timer = mu_timer_new(frame.in, tick, &frame);
  CU_ASSERT_FALSE(mu_timer_active(timer));
  mu_timer_start(timer, 20, 0);
  CU_ASSERT_TRUE(mu_timer_active(timer));
  wait_ms(&frame, 60);
  CU_ASSERT_EQUAL(frame.count, 1);
  CU_ASSERT_FALSE(mu_timer_active(timer));
  int64_t began_ns = mu_mono_ns();
  mu_timer_start(timer, 5, 10);
  for (int i = 0; i < 200 && frame.count < 5; i++)
    wait_ms(&frame, 10);
  CU_ASSERT_TRUE(frame.count >= 5);
  CU_ASSERT_TRUE(frame.count <= 2 + (mu_mono_ns() - began_ns) / 10000000); /* and not oftener than it was told */
  mu_timer_stop(timer);
  unsigned before = frame.count;
  wait_ms(&frame, 30);
  CU_ASSERT_EQUAL(frame.count, before);
  mu_timer_start(timer, UINT64_MAX, UINT64_MAX);
  wait_ms(&frame, 5);
  CU_ASSERT_EQUAL(frame.count, before);
  mu_timer_free(timer);
  mu_timer_free(NULL);
  frame.timer = mu_timer_new(frame.in, tick_and_free, &frame);
  mu_timer_start(frame.timer, 1, 1);
  wait_ms(&frame, 30);
  CU_ASSERT_EQUAL(frame.count, before + 1);
  struct mui_account_row row;
  CU_ASSERT_TRUE(mui_account_read(frame.in, MUI_CB_TIMER, &row));
  CU_ASSERT_EQUAL(row.calls, frame.count);
  teardown(&frame);
}

static int64_t fired_ns;

static void note_time(void *context)
{
  fired_ns = mu_mono_ns();
  tick(context);
}

static void start_late(void *context)
{
  struct frame *frame = context;
  sleep_ms(80); /* the loop's cached time is 80 ms old now */
  frame->events = 1;
  mu_timer_start(frame->timer, 50, 0);
}

static void test_timer_after_long_callback(void)
{
  struct frame frame;
  setup(&frame);
  frame.timer = mu_timer_new(frame.in, note_time, &frame);
  int64_t began_ns = mu_mono_ns();
  CU_ASSERT_EQUAL(mu_post(frame.in, start_late, NULL, &frame), 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &frame.done, 2000));
  CU_ASSERT_TRUE(fired_ns - began_ns >= 129 * 1000000);
  teardown(&frame);
}

static void test_timer_revoked(void)
{
  struct frame frame;
  setup(&frame);
  mu_timer *timer = mu_timer_new(frame.in, tick, &frame);
  mu_timer_start(timer, 0, 1);
  mui_instance_revoke(frame.in);
  wait_ms(&frame, 20);
  CU_ASSERT_EQUAL(frame.count, 0);
  CU_ASSERT_PTR_NULL(mu_timer_new(frame.in, tick, &frame));
  teardown(&frame);
}

/* ---- descriptors ---- */

static void on_fd(void *context, int fd, unsigned events)
{
  struct frame *frame = context;
  char byte;
  if (events & MU_FD_READ)
    CU_ASSERT_EQUAL(read(fd, &byte, 1), 1);
  frame->events |= events;
  tick(frame);
}

static void on_fd_free(void *context, int fd, unsigned events)
{
  struct frame *frame = context;
  mu_fd_free(frame->watch);
  frame->watch = NULL;
  (void)fd;
  frame->events |= events;
  tick(frame);
}

static void test_fd(void)
{
  struct frame frame;
  setup(&frame);
  CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, frame.fds), 0);
  frame.watch = mu_fd_new(frame.in, frame.fds[0], MU_FD_READ, on_fd, &frame);
  wait_ms(&frame, 5);
  CU_ASSERT_EQUAL(frame.count, 0);
  CU_ASSERT_EQUAL(write(frame.fds[1], "x", 1), 1);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &frame.done, 1000));
  CU_ASSERT_EQUAL(frame.events, MU_FD_READ);
  mu_fd_events(frame.watch, 0);
  CU_ASSERT_EQUAL(write(frame.fds[1], "x", 1), 1);
  wait_ms(&frame, 10);
  CU_ASSERT_EQUAL(frame.count, 1);
  mu_fd_events(frame.watch, MU_FD_READ | MU_FD_WRITE);
  mui_loop_turn(frame.runtime.loop);
  CU_ASSERT_EQUAL(frame.events, MU_FD_READ | MU_FD_WRITE);
  mu_fd_free(frame.watch);
  mu_fd_free(NULL);
  frame.count = 0;
  frame.watch = mu_fd_new(frame.in, frame.fds[0], MU_FD_WRITE, on_fd_free, &frame);
  wait_ms(&frame, 10);
  CU_ASSERT_EQUAL(frame.count, 1);
  CU_ASSERT_PTR_NULL(mu_fd_new(frame.in, -1, MU_FD_READ, on_fd, &frame));
  CU_ASSERT_PTR_NOT_NULL(mu_fd_new(frame.in, frame.fds[0], MU_FD_WRITE, on_fd, &frame));
  mui_instance_revoke(frame.in);
  wait_ms(&frame, 10);
  CU_ASSERT_EQUAL(frame.count, 1);
  close(frame.fds[0]);
  close(frame.fds[1]);
  teardown(&frame);
}

/* ---- signals and the end ---- */

static void on_signal(void *context, int number)
{
  struct frame *frame = context;
  frame->events = (unsigned)number;
  mui_loop_break(frame->runtime.loop);
}

static void test_signal_and_break(void)
{
  struct frame frame;
  setup(&frame);
  CU_ASSERT_EQUAL(mui_loop_on_signal(frame.runtime.loop, SIGUSR1, on_signal, NULL), 0);
  CU_ASSERT_EQUAL(mui_loop_on_signal(frame.runtime.loop, SIGUSR1, on_signal, &frame), 0);
  CU_ASSERT_EQUAL(mui_loop_on_signal(frame.runtime.loop, 0, on_signal, &frame), MU_EINVAL);
  kill(getpid(), SIGUSR1);
  mui_loop_run(frame.runtime.loop);
  CU_ASSERT_EQUAL(frame.events, SIGUSR1);
  mui_loop_break(frame.runtime.loop); /* before the run: not lost */
  mui_loop_run(frame.runtime.loop);
  CU_ASSERT_FALSE(mui_loop_until(frame.runtime.loop, &frame.done, 10));
  CU_ASSERT_PTR_NOT_NULL(mui_loop_foreign(frame.runtime.loop));
  teardown(&frame);
}

/* ---- posts ---- */

#define THREADS 4
#define POSTS 25000

struct stream {
  struct frame *frame;
  unsigned thread, next, sent;
  bool disorder;
};
struct item {
  struct stream *stream;
  unsigned number;
};

static void on_item(void *context)
{
  struct item *item = context;
  struct stream *stream = item->stream;
  stream->disorder |= item->number != stream->next++;
  if (++stream->frame->count == THREADS * POSTS)
    stream->frame->done = true;
  free(item);
}

static void *post_many(void *context)
{
  struct stream *stream = context;
  for (unsigned i = 0; i < POSTS; i++) {
    struct item *item = malloc(sizeof(*item));
    *item = (struct item){stream, i};
    if (mu_post(stream->frame->in, on_item, free, item) == 0)
      stream->sent++;
    else
      free(item);
  }
  return NULL;
}

static void test_post_threads(void)
{
  struct frame frame;
  setup(&frame);
  struct stream streams[THREADS];
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    streams[i] = (struct stream){.frame = &frame, .thread = i};
    pthread_create(&threads[i], NULL, post_many, &streams[i]);
  }
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &frame.done, 60000));
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    CU_ASSERT_FALSE(streams[i].disorder);
    CU_ASSERT_EQUAL(streams[i].next, POSTS);
  }
  CU_ASSERT_EQUAL(frame.count, THREADS * POSTS);
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  teardown(&frame);
}

static void drop(void *context)
{
  ((struct frame *)context)->dropped++;
}

static void count(void *context)
{
  ((struct frame *)context)->count++;
}

static void revoke_self(void *context)
{
  struct frame *frame = context;
  frame->count++;
  mui_instance_revoke(frame->in);
}

static void test_post_revoked(void)
{
  struct frame frame;
  setup(&frame);
  CU_ASSERT_EQUAL(mu_post(frame.in, count, drop, &frame), 0);
  CU_ASSERT_EQUAL(mu_post(frame.in, revoke_self, drop, &frame), 0);
  CU_ASSERT_EQUAL(mu_post(frame.in, count, drop, &frame), 0);
  CU_ASSERT_EQUAL(mu_post(frame.in, count, NULL, &frame), 0);
  mui_loop_turn(frame.runtime.loop);
  mui_loop_turn(frame.runtime.loop);
  CU_ASSERT_EQUAL(frame.count, 2);
  CU_ASSERT_EQUAL(frame.dropped, 1);
  CU_ASSERT_EQUAL(mu_post(frame.in, count, drop, &frame), MU_ECLOSED);
  teardown(&frame);
}

static void *post_one(void *context)
{
  struct frame *frame = context;
  CU_ASSERT_EQUAL(mu_post(frame->in, count, drop, frame), 0);
  return NULL;
}

/* What another thread posted keeps the instance until the loop thread has seen it. */
static void test_post_foreign_revoked(void)
{
  struct frame frame;
  setup(&frame);
  pthread_t thread;
  pthread_create(&thread, NULL, post_one, &frame);
  pthread_join(thread, NULL);
  mui_instance_revoke(frame.in);
  CU_ASSERT_EQUAL(frame.in->jobs, 1);
  CU_ASSERT_EQUAL(frame.dropped, 0);
  mui_loop_turn(frame.runtime.loop);
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  CU_ASSERT_EQUAL(frame.dropped, 1);
  CU_ASSERT_EQUAL(frame.count, 0);
  teardown(&frame);
}

static void post_again(void *context)
{
  struct frame *frame = context;
  frame->count++;
  CU_ASSERT_EQUAL(mu_post(frame->in, post_again, NULL, frame), 0);
}

static void test_post_does_not_starve(void)
{
  struct frame frame;
  setup(&frame);
  CU_ASSERT_EQUAL(mu_post(frame.in, post_again, NULL, &frame), 0);
  frame.timer = mu_timer_new(frame.in, tick, &frame);
  mu_timer_start(frame.timer, 5, 0);
  CU_ASSERT_TRUE(mui_loop_until(frame.runtime.loop, &frame.done, 2000));
  teardown(&frame);
}

/* ---- names ---- */

struct answer {
  bool done;
  int error;
  size_t count;
  struct mui_address first;
};

static void on_answer(void *context, int error, const struct mui_address *list, size_t n)
{
  struct answer *answer = context;
  answer->done = true;
  answer->error = error;
  answer->count = n;
  if (n > 0)
    answer->first = list[0];
}

static struct answer resolve(struct frame *frame, const char *host)
{
  struct answer answer = {0};
  answer.error = mui_resolve(frame->in, host, 8900, on_answer, &answer);
  CU_ASSERT_FALSE(answer.done);
  if (answer.error == 0)
    CU_ASSERT_TRUE(mui_loop_until(frame->runtime.loop, &answer.done, 20000));
  return answer;
}

static void test_resolve(void)
{
  struct frame frame;
  setup(&frame);
  struct answer answer = resolve(&frame, "127.0.0.1");
  CU_ASSERT_EQUAL(answer.error, 0);
  CU_ASSERT_EQUAL(answer.count, 1);
  CU_ASSERT_STRING_EQUAL(answer.first.text, "127.0.0.1");
  CU_ASSERT_EQUAL(answer.first.port, 8900);
  answer = resolve(&frame, "2001:db8::0:1");
  CU_ASSERT_STRING_EQUAL(answer.first.text, "2001:db8::1");
  answer = resolve(&frame, "localhost");
  CU_ASSERT_EQUAL(answer.error, 0);
  CU_ASSERT_TRUE(answer.count >= 1);
  CU_ASSERT_TRUE(!strcmp(answer.first.text, "127.0.0.1") || !strcmp(answer.first.text, "::1"));
  answer = resolve(&frame, "no-such-host.invalid");
  CU_ASSERT_TRUE(answer.error < 0);
  CU_ASSERT_EQUAL(answer.count, 0);
  CU_ASSERT_EQUAL(resolve(&frame, "").error, MU_EINVAL);
  CU_ASSERT_EQUAL(resolve(&frame, NULL).error, MU_EINVAL);
  char long_name[300];
  memset(long_name, 'a', sizeof(long_name));
  long_name[sizeof(long_name) - 1] = '\0';
  CU_ASSERT_EQUAL(resolve(&frame, long_name).error, MU_EINVAL);

  /* The instance stops first: no answer, nothing leaks. */
  struct answer none = {0};
  CU_ASSERT_EQUAL(mui_resolve(frame.in, "127.0.0.1", 1, on_answer, &none), 0);
  CU_ASSERT_EQUAL(mui_resolve(frame.in, "localhost", 1, on_answer, &none), 0);
  mui_instance_revoke(frame.in);
  for (unsigned i = 0; i < 500 && frame.in->jobs > 0; i++)
    wait_ms(&frame, 10);
  CU_ASSERT_EQUAL(frame.in->jobs, 0);
  CU_ASSERT_FALSE(none.done);
  teardown(&frame);
}

static const struct unit_test tests[] = {
    {"timer", test_timer},
    {"timer started in a long callback", test_timer_after_long_callback},
    {"timer revoked", test_timer_revoked},
    {"descriptor", test_fd},
    {"signal, break", test_signal_and_break},
    {"posts of four threads keep their order", test_post_threads},
    {"posts revoked", test_post_revoked},
    {"post of another thread revoked", test_post_foreign_revoked},
    {"posts do not starve timers", test_post_does_not_starve},
    {"resolve", test_resolve},
};
UNIT_MAIN("loop", tests)
