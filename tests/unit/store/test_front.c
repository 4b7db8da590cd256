/* SPDX-License-Identifier: ISC */
/*
 * The front with a driver that does as the statement's text says: faults that a real database has rarely. What the driver was told is
 * kept, a letter for each call: O open, X close, B begin, C commit, R rollback, S save, r release, b back, and the statement's text.
 */
#include <errno.h>
#include <stdarg.h>
#include <time.h>

#include "base/clock.h"
#include "store.h"

static struct {
  pthread_mutex_t lock;
  char trace[16384];
  unsigned open, prepared;
  int open_error, begin_error, begin_sleep_ms, tend_error;
  int commit_error; /* once, after so many that go well */
  int commit_skip;
  bool commit_undone;
  unsigned commit_sleep_ms;
  unsigned save_breaks;                 /* once: the n-th SAVE breaks the link */
  unsigned saves, interrupts, tends[2]; /* [1]: of the writer */
  bool has_deferred;                    /* within the transaction: the commit is refused */
  bool undo_each;
  char seen[32][32]; /* statements that fail only once */
  size_t seen_count;
} script;

struct fake {
  bool writer;
  bool in_transaction;
  _Atomic bool interrupted;
};

static void trace(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  pthread_mutex_lock(&script.lock);
  size_t used = strlen(script.trace);
  vsnprintf(script.trace + used, sizeof script.trace - used, format, args);
  pthread_mutex_unlock(&script.lock);
  va_end(args);
}

static int get(const int *what)
{
  pthread_mutex_lock(&script.lock);
  int value = *what;
  pthread_mutex_unlock(&script.lock);
  return value;
}

static void set(int *what, int value)
{
  pthread_mutex_lock(&script.lock);
  *what = value;
  pthread_mutex_unlock(&script.lock);
}

static void sleep_ms(unsigned ms, struct fake *fake)
{
  for (unsigned i = 0; i < ms && !(fake && fake->interrupted); i += 5)
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int fake_open(void *self, bool writer, void **link, struct mu_store_fault *fault)
{
  (void)self;
  int error = get(&script.open_error);
  if (error)
    return mu_store_fail(fault, error, "nobody answers");
  struct fake *fake = calloc(1, sizeof *fake);
  fake->writer = writer;
  if (writer)
    trace("O");
  pthread_mutex_lock(&script.lock);
  script.open++;
  pthread_mutex_unlock(&script.lock);
  *link = fake;
  return 0;
}

static void fake_close(void *link)
{
  struct fake *fake = link;
  if (fake->writer)
    trace("X");
  pthread_mutex_lock(&script.lock);
  script.open--;
  pthread_mutex_unlock(&script.lock);
  free(fake);
}

static int fake_prepare(void *link, struct mu_str sql, void **statement, struct mu_store_fault *fault)
{
  (void)link;
  if (sql.len >= 3 && memcmp(sql.at, "bad", 3) == 0)
    return mu_store_fail(fault, MU_EINVAL, "what is \"bad\"?");
  pthread_mutex_lock(&script.lock);
  script.prepared++;
  pthread_mutex_unlock(&script.lock);
  *statement = strndup(sql.at, sql.len);
  return 0;
}

static void fake_release(void *link, void *statement)
{
  (void)link;
  pthread_mutex_lock(&script.lock);
  script.prepared--;
  pthread_mutex_unlock(&script.lock);
  free(statement);
}

/* Whether it is the first time that this text is seen. */
static bool first_time(const char *text)
{
  bool first = true;
  pthread_mutex_lock(&script.lock);
  for (size_t i = 0; i < script.seen_count; i++)
    first = first && strcmp(script.seen[i], text) != 0;
  if (first && script.seen_count < MU_COUNT(script.seen))
    snprintf(script.seen[script.seen_count++], sizeof script.seen[0], "%s", text);
  pthread_mutex_unlock(&script.lock);
  return first;
}

static bool begins(const char *text, const char *with)
{
  return strncmp(text, with, strlen(with)) == 0;
}

static int break_link(struct mu_store_fault *fault)
{
  fault->broken = true;
  return mu_store_fail(fault, MU_EUNAVAILABLE, "the link broke");
}

static int fake_run(void *link, void *statement, const struct mu_store_run *run, int64_t *changed,
                    struct mu_store_fault *fault)
{
  struct fake *fake = link;
  const char *text = statement;
  if (fake->writer)
    trace("(%s)", text);
  *changed = 1;
  if (begins(text, "sleep"))
    sleep_ms((unsigned)atoi(text + 5), fake);
  if (fake->interrupted)
    return mu_store_fail(fault, MU_EUNAVAILABLE, "interrupted");
  if (begins(text, "exists")) {
    snprintf(fault->key, sizeof fault->key, "users.email");
    return mu_store_fail(fault, MU_EEXIST, "there is one");
  }
  if (begins(text, "break always") || (begins(text, "break") && first_time(text)))
    return break_link(fault);
  if ((begins(text, "deadlock") && first_time(text)) || begins(text, "undo")) {
    fault->undone = true;
    fake->in_transaction = false;
    return mu_store_fail(fault, begins(text, "undo") ? MU_EIO : MU_EBUSY, "all was taken back");
  }
  if (begins(text, "deferred")) {
    pthread_mutex_lock(&script.lock);
    script.has_deferred = true;
    pthread_mutex_unlock(&script.lock);
  }
  if (begins(text, "many") || begins(text, "SELECT MAX")) {
    const struct mu_value value = mu_value_null();
    int error = mu_store_rows_begin(run->rows, 1);
    for (int i = 0; !error && i < (begins(text, "many") ? 1000 : 1); i++)
      error = mu_store_row(run->rows, &value);
    return error ? mu_store_fail(fault, error, "rows") : 0;
  }
  return 0;
}

static int fake_commit(struct fake *fake, struct mu_store_fault *fault)
{
  pthread_mutex_lock(&script.lock);
  int error = script.commit_skip > 0 ? 0 : script.commit_error;
  bool undone = script.commit_undone, deferred = script.has_deferred;
  unsigned ms = script.commit_sleep_ms;
  if (script.commit_skip > 0)
    script.commit_skip--;
  else
    script.commit_error = 0;
  script.has_deferred = false;
  pthread_mutex_unlock(&script.lock);
  sleep_ms(ms, NULL);
  if (deferred)
    return mu_store_fail(fault, MU_ENOENT, "a deferred key");
  fake->in_transaction = error && !undone;
  fault->undone = undone;
  return error ? mu_store_fail(fault, error, "no commit") : 0;
}

static int fake_step(void *link, enum mu_store_step step, struct mu_store_fault *fault)
{
  struct fake *fake = link;
  trace("%c", "BCRSrb"[step]);
  int error = step == MU_STORE_BEGIN ? get(&script.begin_error) : 0;
  if (error)
    sleep_ms((unsigned)get(&script.begin_sleep_ms), fake);
  if (error)
    return mu_store_fail(fault, error, "no begin");
  /* Nothing but a rollback makes sense outside of a transaction. */
  if (fake->in_transaction == (step == MU_STORE_BEGIN) && step != MU_STORE_ROLLBACK)
    trace("!");
  if (step == MU_STORE_BEGIN)
    fake->in_transaction = true;
  if (step == MU_STORE_SAVE) {
    pthread_mutex_lock(&script.lock);
    bool breaks = ++script.saves == script.save_breaks;
    pthread_mutex_unlock(&script.lock);
    if (breaks)
      return break_link(fault);
  }
  if (step == MU_STORE_COMMIT)
    return fake_commit(fake, fault);
  if (step == MU_STORE_ROLLBACK) {
    fake->in_transaction = false;
    pthread_mutex_lock(&script.lock);
    script.has_deferred = false;
    pthread_mutex_unlock(&script.lock);
  }
  return 0;
}

static int fake_tend(void *link, bool writer, struct mu_store_fault *fault)
{
  struct fake *fake = link;
  if (fake->writer != writer || fake->in_transaction)
    trace("!");
  pthread_mutex_lock(&script.lock);
  script.tends[writer]++;
  int error = script.tend_error;
  pthread_mutex_unlock(&script.lock);
  return error ? mu_store_fail(fault, error, "it is dusty") : 0;
}

static void fake_interrupt(void *link)
{
  struct fake *fake = link;
  pthread_mutex_lock(&script.lock);
  script.interrupts++;
  pthread_mutex_unlock(&script.lock);
  atomic_store(&fake->interrupted, true);
}

static const struct mu_store_driver fake = {.size = sizeof(struct mu_store_driver),
                                            .dialect = MU_DIALECT_MARIADB,
                                            .what = "the database",
                                            .open = fake_open,
                                            .close = fake_close,
                                            .prepare = fake_prepare,
                                            .release = fake_release,
                                            .run = fake_run,
                                            .step = fake_step,
                                            .tend = fake_tend,
                                            .tend_s = 1,
                                            .interrupt = fake_interrupt};

static void setup_with(const struct mu_store_limits *limits)
{
  memset(&script, 0, sizeof script);
  pthread_mutex_init(&script.lock, NULL);
  frame_up();
  driver = &fake;
  front_up(limits);
}

static void setup(void)
{
  setup_with(&limits_default);
}

static void teardown(void)
{
  frame_down();
  CU_ASSERT_EQUAL(script.open, 0);
  CU_ASSERT_EQUAL(script.prepared, 0);
  CU_ASSERT_PTR_NULL(strchr(script.trace, '!'));
  pthread_mutex_destroy(&script.lock);
}

static void traced(const char *wanted)
{
  pthread_mutex_lock(&script.lock);
  if (strcmp(script.trace, wanted) != 0)
    printf("\ntraced %s\nwanted %s\n", script.trace, wanted);
  CU_ASSERT_STRING_EQUAL(script.trace, wanted);
  script.trace[0] = '\0';
  pthread_mutex_unlock(&script.lock);
}

/* What was asked for has got so far. */
static void until_traced(const char *wanted)
{
  bool there = false;
  for (int i = 0; i < 1000 && !there; i++) {
    turn_for(5);
    pthread_mutex_lock(&script.lock);
    there = strstr(script.trace, wanted) != NULL;
    pthread_mutex_unlock(&script.lock);
  }
  CU_ASSERT_TRUE(there);
}

/* Asks for one transaction, of statements that are separated by commas. */
static void ask(const char *texts, struct answer *answer)
{
  char copy[256];
  struct mu_statement statements[8];
  size_t count = 0;
  snprintf(copy, sizeof copy, "%s", texts);
  for (char *rest = copy, *text; count < 8 && (text = strsep(&rest, ","));)
    statements[count++] = sql(text);
  *answer = (struct answer){0};
  CU_ASSERT_EQUAL(api()->write(store.self, user, statements, count, took, answer), 0);
}

/* These gather while the first one sleeps: one batch. */
static void ask_all(const char *const *texts, size_t count, struct answer *answers)
{
  struct answer first;
  ask("sleep200", &first);
  for (size_t i = 0; i < count; i++)
    ask(texts[i], &answers[i]);
  CU_ASSERT_TRUE(wait_for(&first));
  for (size_t i = 0; i < count; i++) {
    CU_ASSERT_TRUE(wait_for(&answers[i]));
    CU_ASSERT_EQUAL(answers[i].calls, 1);
  }
}
#define ASK_ALL(answers, ...)                                                                                          \
  ask_all((const char *const[]){__VA_ARGS__}, MU_COUNT(((const char *const[]){__VA_ARGS__})), answers)

/* ---- one batch ------------------------------------------------------------------------------- */

static void test_savepoints(void)
{
  setup();
  struct answer a[8];
  ASK_ALL(a, "one", "two,three", "exists", "four,exists,five", "bad", "six");
  traced("OB(sleep200)CB(one)S(two)(three)r(exists)S(four)(exists)b(six)C");
  CU_ASSERT_EQUAL(a[0].error, 0);
  CU_ASSERT_EQUAL(a[1].error, 0);
  CU_ASSERT_EQUAL(a[2].error, MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(a[2].key, "users.email");
  CU_ASSERT_EQUAL(a[3].error, MU_EEXIST);
  CU_ASSERT_EQUAL(a[3].failed, 1);
  CU_ASSERT_EQUAL(a[4].error, MU_EINVAL);
  CU_ASSERT_EQUAL(a[5].error, 0);
  /* Alone: the transaction itself is what is taken back. */
  ASK_ALL(a, "four,exists");
  traced("B(sleep200)CB(four)(exists)R");
  teardown();
}

/* A result that has too many rows: the statement stands, so all is begun anew without it. */
static void test_too_many_rows(void)
{
  struct mu_store_limits limits = limits_default;
  limits.rows = 100;
  setup_with(&limits);
  struct answer a[3];
  ASK_ALL(a, "one", "many", "two");
  traced("OB(sleep200)CB(one)(many)RB(one)(two)C");
  CU_ASSERT_EQUAL(a[1].error, MU_ELIMIT);
  CU_ASSERT_EQUAL(a[0].error + a[2].error, 0);
  teardown();
}

static void test_broken_link(void)
{
  setup();
  struct answer a[3];
  ASK_ALL(a, "one", "break", "two");
  traced("OB(sleep200)CB(one)(break)XOB(one)(break)(two)C");
  CU_ASSERT_EQUAL(a[0].error + a[1].error + a[2].error, 0);
  /* Whoever breaks it each time is left out in the end. */
  ASK_ALL(a, "one", "break always", "two");
  CU_ASSERT_EQUAL(a[1].error, MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(a[0].error + a[2].error, 0);
  script.trace[0] = '\0';
  /* At a savepoint. */
  script.save_breaks = script.saves + 1;
  ASK_ALL(a, "one", "two,three");
  traced("B(sleep200)CB(one)SXOB(one)S(two)(three)rC");
  CU_ASSERT_EQUAL(a[0].error + a[1].error, 0);
  /* A read is asked again, too. */
  struct answer answer;
  CU_ASSERT_EQUAL(read_now("break read", &answer), 0);
  CU_ASSERT_EQUAL(read_now("break always", &answer), MU_EUNAVAILABLE);
  teardown();
}

static void test_taken_back(void)
{
  setup();
  struct answer a[4];
  ASK_ALL(a, "one", "undo", "two", "undo");
  traced("OB(sleep200)CB(one)(undo)B(one)(two)(undo)B(one)(two)C");
  CU_ASSERT_EQUAL(a[1].error, MU_EIO);
  CU_ASSERT_EQUAL(a[3].error, MU_EIO);
  CU_ASSERT_EQUAL(a[0].error + a[2].error, 0);
  /* Locked by others, or a deadlock: later, and nobody is told. */
  ASK_ALL(a, "one", "deadlock", "two");
  traced("B(sleep200)CB(one)(deadlock)B(one)(deadlock)(two)C");
  CU_ASSERT_EQUAL(a[0].error + a[1].error + a[2].error, 0);
  teardown();
}

static void test_many_taken_back(void)
{
  setup();
  const char *texts[200];
  static struct answer answers[200];
  for (size_t i = 0; i < 200; i++)
    texts[i] = i % 2 ? "undo" : "one";
  ask_all(texts, 200, answers);
  for (size_t i = 0; i < 200; i++)
    CU_ASSERT_EQUAL(answers[i].error, i % 2 ? MU_EIO : 0);
  /* Not each of the hundred that fail takes back all others before it. */
  size_t begun = 0;
  for (const char *at = script.trace; *at; at++)
    begun += *at == '(';
  CU_ASSERT_TRUE(begun < 400);
  teardown();
}

static void test_commit(void)
{
  setup();
  struct answer a[4];
  write_now("zero", &a[0]);
  script.trace[0] = '\0';
  /* Nobody knows. */
  script.commit_skip = 1;
  script.commit_error = MU_ETIMEOUT;
  ASK_ALL(a, "one", "exists");
  CU_ASSERT_EQUAL(a[0].error, MU_ETIMEOUT);
  CU_ASSERT_EQUAL(a[1].error, MU_EEXIST);
  CU_ASSERT_EQUAL(write_now("two", NULL), 0);
  traced("B(sleep200)CB(one)(exists)CXOB(two)C");
  /* It broke before: again. */
  set(&script.commit_error, MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(write_now("three", NULL), 0);
  traced("B(three)CXOB(three)C");
  set(&script.commit_error, MU_EBUSY);
  CU_ASSERT_EQUAL(write_now("four", NULL), 0);
  traced("B(four)CRB(four)C");
  set(&script.commit_error, MU_EIO);
  CU_ASSERT_EQUAL(write_now("five", &a[0]), MU_EIO);
  CU_ASSERT_STRING_EQUAL(a[0].reason, "no commit");
  traced("B(five)CR");
  script.commit_undone = true;
  set(&script.commit_error, MU_EIO);
  CU_ASSERT_EQUAL(write_now("six", NULL), MU_EIO);
  script.commit_undone = false;
  traced("B(six)C");
  /* Somebody is to blame: each alone. */
  ASK_ALL(a, "one", "deferred", "two,three");
  traced("B(sleep200)CB(one)(deferred)S(two)(three)rCRB(one)CB(deferred)CRB(two)(three)C");
  CU_ASSERT_EQUAL(a[0].error, 0);
  CU_ASSERT_EQUAL(a[1].error, MU_ENOENT);
  CU_ASSERT_EQUAL(a[2].error, 0);
  CU_ASSERT_EQUAL(a[0].calls + a[1].calls + a[2].calls, 3);
  /* It cannot even be begun. */
  set(&script.begin_error, MU_EIO);
  CU_ASSERT_EQUAL(write_now("seven", NULL), MU_EIO);
  set(&script.begin_error, 0);
  CU_ASSERT_EQUAL(write_now("eight", NULL), 0);
  teardown();
}

/* ---- a database that is away ----------------------------------------------------------------- */

static const struct mu_sql step[] = {{.text = "create"}};
static const struct mu_migration migration[] = {{1, "tables", step, 1}};

static void test_away(void)
{
  struct mu_store_limits limits = limits_default;
  limits.wait = .5;
  setup_with(&limits);
  script.open_error = MU_EUNAVAILABLE;
  struct answer change, read, migrated = {0}, held = {0};
  struct mu_statement statement = sql("read");
  mu_instance *other = mui_instance_new(&runtime, "other", "test");
  CU_ASSERT_EQUAL(api()->migrate(store.self, other, "other", migration, 1, took, &migrated), 0);
  CU_ASSERT_EQUAL(api()->read(store.self, other, &statement, took, &held), 0);
  CU_ASSERT_EQUAL(write_now("one", &change), MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(read_now("read", &read), MU_EUNAVAILABLE);
  CU_ASSERT_TRUE(held.done && held.error == MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(counted("expired"), 3);
  CU_ASSERT_FALSE(migrated.done);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "nobody answers"));
  ask("two", &change);
  set(&script.open_error, 0);
  limits.wait = 10;
  CU_ASSERT_EQUAL(mu_store_front_limits(front, &limits), 0);
  CU_ASSERT_TRUE(wait_for(&change));
  CU_ASSERT_EQUAL(change.error, 0);
  CU_ASSERT_TRUE(wait_for(&migrated));
  CU_ASSERT_EQUAL(migrated.error, 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "can be used again"));
  mui_instance_free(other);
  teardown();
}

/* It always takes long to find that it is locked: what waits is in some batch nearly all the time, and told all the same. */
static void test_always_locked(void)
{
  struct mu_store_limits limits = limits_default;
  limits.wait = 1.5; /* over in the second batch, also on a busy machine */
  setup_with(&limits);
  struct answer answer;
  script.begin_error = MU_EBUSY;
  script.begin_sleep_ms = 900;
  int64_t began = mu_mono_ns();
  CU_ASSERT_EQUAL(write_now("one", &answer), MU_EUNAVAILABLE);
  CU_ASSERT_TRUE(mu_mono_ns() - began < 5000000000);
  CU_ASSERT_STRING_EQUAL(answer.reason, "no begin");
  set(&script.begin_error, 0);
  CU_ASSERT_EQUAL(write_now("two", NULL), 0);
  teardown();
}

static _Atomic int64_t looks, jumps_at;

static int64_t jumping_ns(void)
{
  return looks++ < jumps_at ? 1000000000 : 2000000000;
}

/* The pause of both readers ends between any two looks at the clock: what waits is shared among those that are free then. */
static void test_pause_ends(void)
{
  setup();
  for (jumps_at = 0; jumps_at < 16; jumps_at++) {
    struct answer answer = {0};
    struct mu_statement statement = sql("read");
    for (size_t i = 1; i < front->slot_count; i++)
      front->slots[i].paused_ns = 1500000000;
    looks = 0;
    mui_clock_inject(NULL, jumping_ns);
    CU_ASSERT_EQUAL(api()->read(store.self, user, &statement, took, &answer), 0);
    CU_ASSERT_TRUE(wait_for(&answer));
    CU_ASSERT_EQUAL(answer.error, 0);
  }
  mui_clock_inject(NULL, NULL);
  teardown();
}

/* A user stops while its tables wait for the database: what it wanted to change is changed, or dropped with the store. */
static void test_gone_while_migrating(void)
{
  for (int away = 0; away < 2; away++) {
    setup();
    script.open_error = MU_EUNAVAILABLE;
    struct answer answer = {0};
    struct mu_statement change = sql("change"), read = sql("read");
    CU_ASSERT_EQUAL(api()->migrate(store.self, user, "user", migration, 1, took, &answer), 0);
    CU_ASSERT_EQUAL(api()->read(store.self, user, &read, took, &answer), 0);
    CU_ASSERT_EQUAL(api()->write(store.self, user, &change, 1, took, &answer), 0);
    turn_for(50);
    user_down();
    user_up();
    turn_for(150);
    if (!away) {
      set(&script.open_error, 0);
      CU_ASSERT_EQUAL(write_now("other", NULL), 0);
      CU_ASSERT_EQUAL(write_now("last", NULL), 0);
      CU_ASSERT_PTR_NOT_NULL(strstr(script.trace, "(change)"));
      CU_ASSERT_EQUAL(front->waiting, 0);
    }
    CU_ASSERT_TRUE(front_down());
    CU_ASSERT_EQUAL(answer.calls, 0);
    teardown();
  }
}

static void test_limits(void)
{
  setup();
  struct mu_store_limits limits = limits_default;
  limits.readers = 3;
  CU_ASSERT_EQUAL(mu_store_front_limits(front, &limits), MU_RESTART);
  limits.readers = 2;
  limits.queue = 0;
  CU_ASSERT_EQUAL(mu_store_front_limits(front, &limits), MU_EINVAL);
  limits.queue = 20;
  limits.size = 8;
  CU_ASSERT_EQUAL(mu_store_front_limits(front, &limits), MU_EINVAL);
  struct mu_statement statement = sql(NULL);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 1, NULL, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 0, NULL, NULL), MU_EINVAL);
  statement = sql("x");
  CU_ASSERT_EQUAL(api()->read(store.self, user, &statement, NULL, NULL), MU_EINVAL);
  statement.count = 1;
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 1, NULL, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(api()->migrate(store.self, user, "", migration, 1, NULL, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(api()->migrate(store.self, user, "x", migration, 0, NULL, NULL), MU_EINVAL);
  teardown();
}

static void test_tend(void)
{
  setup();
  struct answer answer;
  CU_ASSERT_EQUAL(write_now("one", NULL), 0);
  CU_ASSERT_EQUAL(read_now("read", &answer), 0);
  set(&script.tend_error, MU_EIO);
  turn_for(1300);
  CU_ASSERT_TRUE(script.tends[0] >= 1 && script.tends[1] >= 1); /* of the three links, those that are open */
  CU_ASSERT_PTR_NOT_NULL(strstr(logged, "dusty"));
  CU_ASSERT_EQUAL(write_now("one", NULL), 0);
  teardown();
}

/* ---- the end --------------------------------------------------------------------------------- */

/* In a statement: nothing will have been done, and that is what is said. */
static void test_stop_in_statement(void)
{
  setup();
  struct answer running, waiting;
  ask("sleep9000", &running);
  until_traced("(sleep9000)");
  ask("one", &waiting);
  int64_t began = mu_mono_ns();
  CU_ASSERT_TRUE(front_down());
  CU_ASSERT_TRUE(mu_mono_ns() - began < 3000000000);
  CU_ASSERT_EQUAL(running.calls, 1);
  CU_ASSERT_EQUAL(running.error, MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(waiting.calls, 1);
  CU_ASSERT_EQUAL(waiting.error, MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(script.interrupts, 1);
  traced("OB(sleep9000)RX");
  teardown();
}

/* In a commit: nobody knows. It ends after the stop has given up, and that is no use of anything that has gone. */
static void test_stop_in_commit(void)
{
  setup();
  struct answer running;
  script.commit_sleep_ms = 2000;
  ask("one", &running);
  until_traced("(one)C");
  CU_ASSERT_FALSE(front_down());
  CU_ASSERT_EQUAL(running.calls, 1);
  CU_ASSERT_EQUAL(running.error, MU_ETIMEOUT);
  traced("OB(one)CX");
  teardown();
}

/* The host gives up on a store that was never asked to stop, and its users have gone. */
static void test_revoked(void)
{
  setup();
  struct answer running, waiting;
  ask("sleep1000", &running);
  until_traced("(sleep1000)");
  ask("one", &waiting);
  mui_instance_revoke(provider);
  struct mu_statement statement = sql("x");
  CU_ASSERT_EQUAL(api()->write(store.self, user, &statement, 1, NULL, NULL), MU_ECLOSED);
  while (provider->jobs > 0)
    turn_for(10);
  mu_store_front_free(front);
  mui_instance_free(provider);
  front = NULL;
  CU_ASSERT_FALSE(running.done);
  CU_ASSERT_FALSE(waiting.done);
  teardown();
}

static const struct unit_test tests[] = {
    {"savepoints", test_savepoints},
    {"too many rows", test_too_many_rows},
    {"a broken link", test_broken_link},
    {"the transaction is taken back", test_taken_back},
    {"many are taken back", test_many_taken_back},
    {"commit", test_commit},
    {"the database is away", test_away},
    {"always locked", test_always_locked},
    {"a pause ends while it is looked at", test_pause_ends},
    {"a user has gone while its tables are made", test_gone_while_migrating},
    {"limits", test_limits},
    {"housekeeping", test_tend},
    {"stop within a statement", test_stop_in_statement},
    {"stop within a commit", test_stop_in_commit},
    {"revoked", test_revoked},
};
UNIT_MAIN("store", tests)
