/* SPDX-License-Identifier: ISC */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"

/* Times are kept in four steps per power of two, from 256 ns to about 18 minutes. */
enum { LOWEST_POWER = 8, POWERS = 32, STEPS = 4, BUCKETS = POWERS * STEPS };

struct tally {
  uint64_t calls, errors;
  int64_t total_ns, max_ns;
  uint32_t buckets[BUCKETS];
};

struct mui_account {
  struct tally *tallies[MUI_CB_COUNT]; /* made at the first call */
};

/* The loop thread's innermost call. The watchdog reads these while it holds the lock that keeps instances alive. */
static _Atomic(mu_instance *) current_in;
static _Atomic int current_callback;
static _Atomic int64_t current_began;
static _Atomic uint64_t current_serial;
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct mui_call *innermost;

struct mui_account *mui_account_new(void)
{
  return calloc(1, sizeof(struct mui_account));
}

void mui_account_free(struct mui_account *account)
{
  pthread_mutex_lock(&current_lock);
  pthread_mutex_unlock(&current_lock);
  for (int i = 0; account && i < MUI_CB_COUNT; i++)
    free(account->tallies[i]);
  free(account);
}

static unsigned bucket_of(int64_t ns)
{
  if (ns < 1 << LOWEST_POWER)
    return 0;
  unsigned power = 63 - (unsigned)__builtin_clzll((unsigned long long)ns);
  unsigned step = (unsigned)(ns >> (power - 2)) & (STEPS - 1);
  unsigned bucket = (power - LOWEST_POWER) * STEPS + step;
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The highest time that falls into a bucket. */
static int64_t bucket_top(unsigned bucket)
{
  unsigned power = LOWEST_POWER + bucket / STEPS;
  return ((int64_t)(STEPS + bucket % STEPS + 1) << (power - 2)) - 1;
}

void mui_call_book(mu_instance *in, enum mui_callback callback, int64_t took_ns, int result)
{
  struct tally *tally = in->account->tallies[callback];
  if (!tally && !(tally = in->account->tallies[callback] = calloc(1, sizeof *tally)))
    return;
  tally->calls++;
  tally->errors += result < 0;
  tally->total_ns += took_ns;
  if (took_ns > tally->max_ns)
    tally->max_ns = took_ns;
  tally->buckets[bucket_of(took_ns)]++;
}

static void publish(const struct mui_call *call)
{
  atomic_fetch_add_explicit(&current_serial, 1, memory_order_relaxed);
  atomic_store_explicit(&current_callback, call ? (int)call->callback : 0, memory_order_relaxed);
  atomic_store_explicit(&current_began, call ? call->began_ns : 0, memory_order_relaxed);
  atomic_store_explicit(&current_in, call ? call->in : NULL, memory_order_release);
}

void mui_call_begin(struct mui_call *call, mu_instance *in, enum mui_callback callback)
{
  *call = (struct mui_call){in, callback, mu_mono_ns(), innermost};
  innermost = call;
  publish(call);
}

void mui_call_end(struct mui_call *call, int result)
{
  mui_call_book(call->in, call->callback, mu_mono_ns() - call->began_ns, result);
  innermost = call->outer;
  publish(innermost);
}

bool mui_call_current(struct mui_current *current)
{
  bool found = false;
  pthread_mutex_lock(&current_lock);
  mu_instance *in = atomic_load_explicit(&current_in, memory_order_acquire);
  if (in) {
    current->serial = atomic_load(&current_serial);
    current->callback = mui_callback_name((enum mui_callback)atomic_load(&current_callback));
    current->began_ns = atomic_load(&current_began);
    memcpy(current->instance, in->name, sizeof current->instance);
    found = atomic_load(&current_in) == in && atomic_load(&current_serial) == current->serial;
  }
  pthread_mutex_unlock(&current_lock);
  return found;
}

bool mui_account_read(const mu_instance *in, enum mui_callback callback, struct mui_account_row *row)
{
  const struct tally *tally = in->account->tallies[callback];
  memset(row, 0, sizeof *row);
  if (!tally)
    return false;
  *row = (struct mui_account_row){tally->calls, tally->errors, tally->total_ns, tally->max_ns, tally->max_ns};
  uint64_t beyond = tally->calls / 100; /* calls that may be slower than the 99th percentile */
  for (unsigned i = BUCKETS; i-- > 0;) {
    if (tally->buckets[i] > beyond) {
      int64_t top = bucket_top(i);
      row->p99_ns = top < tally->max_ns ? top : tally->max_ns;
      break;
    }
    beyond -= tally->buckets[i];
  }
  return true;
}

const char *mui_callback_name(enum mui_callback callback)
{
  static const char *const names[] = {
#define X(symbol, text) text,
      MUI_CALLBACKS(X)
#undef X
  };
  return (unsigned)callback < MUI_CB_COUNT ? names[callback] : "?";
}
