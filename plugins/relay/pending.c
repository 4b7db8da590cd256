/* SPDX-License-Identifier: ISC */
/* What is not written yet: bounded, and written in batches. */
#include "pending.h"

#include <stdlib.h>

enum {
  TICK_MS = 50,
  BATCHES_MAX = 64,  /* on their way to the store */
  LEFT_MS = 150,     /* statistics after a disconnect: many that leave at once are written once */
  MANY = 100,        /* messages that are written earlier */
  MESSAGE_COST = 64, /* of each message, beside its text */
};

static size_t cost_of(const struct kept *kept)
{
  return mu_text_len(kept->text) + MESSAGE_COST;
}

static size_t datum_cost(const struct datum *datum)
{
  return sizeof *datum + datum->key_len + datum->text_len;
}

void kept_free(struct writing *writing, struct kept *kept)
{
  writing->bytes -= cost_of(kept);
  mu_text_unref(kept->text);
  mu_text_unref(kept->sender);
  *kept = (struct kept){0};
}

void datum_free(struct writing *writing, struct datum *datum, bool release)
{
  writing->bytes -= datum_cost(datum);
  if (release)
    device_release(datum->device);
  free(datum);
}

/* ---- the dirty ones ------------------------------------------------------------------------------ */

static void tick(void *context);

static void make_clean(struct pending *pending)
{
  struct writing *writing = pending->endpoint->relay->writing;
  if (!pending->at)
    return;
  *pending->at = pending->next;
  if (pending->next)
    pending->next->at = pending->at;
  else
    writing->dirty_end = pending->at;
  pending->next = NULL;
  pending->at = NULL;
}

static void make_dirty(struct pending *pending)
{
  struct writing *writing = pending->endpoint->relay->writing;
  if (pending->at)
    return;
  pending->next = NULL;
  pending->at = writing->dirty_end;
  *writing->dirty_end = pending;
  writing->dirty_end = &pending->next;
  if (!mu_timer_active(writing->tick))
    mu_timer_start(writing->tick, TICK_MS, TICK_MS);
}

void pending_due(struct pending *pending, int64_t after_ms)
{
  int64_t due = mu_mono_ns() + after_ms * 1000000;
  if (!pending->at || due < pending->due_ns)
    pending->due_ns = due;
  make_dirty(pending);
}

static struct pending *pending_of(struct endpoint *endpoint)
{
  if (endpoint->pending)
    return endpoint->pending;
  struct pending *pending = calloc(1, sizeof *pending);
  if (!pending)
    return NULL;
  pending->endpoint = endpoint;
  pending->data_end = &pending->data;
  endpoint->pending = pending;
  return pending;
}

static bool has_more(const struct pending *pending)
{
  return pending->count || pending->data || pending->stats;
}

bool pending_any(const struct endpoint *endpoint)
{
  const struct pending *pending = endpoint->pending;
  return pending && (has_more(pending) || pending->batch || pending->waiters || pending->writes);
}

/* ---- room ---------------------------------------------------------------------------------------- */

static void drop_message(struct pending *pending)
{
  kept_free(pending->endpoint->relay->writing, &pending->ring[pending->first]);
  pending->first = (pending->first + 1) % RELAY_KEPT;
  pending->count--;
}

static void drop_datum(struct pending *pending)
{
  struct datum *datum = pending->data;
  pending->data = datum->next;
  if (!pending->data)
    pending->data_end = &pending->data;
  pending->data_count--;
  datum_free(pending->endpoint->relay->writing, datum, true);
}

static void say_dropped(struct relay *relay)
{
  mu_log_limited(relay->in, MU_LOG_WARN, "dropped",
                 "the database takes too little: the oldest messages and device data are dropped (max_history)");
}

/* The oldest give way, of whoever waits longest. */
static void make_room(struct relay *relay, size_t len)
{
  struct writing *writing = relay->writing;
  size_t max = (size_t)relay->config->max_history;
  struct pending *last = NULL;
  while (writing->bytes + len > max && writing->dirty && writing->dirty != last) {
    struct pending *pending = writing->dirty;
    if (pending->data) {
      drop_datum(pending);
      mu_count(writing->data_dropped, 1);
    } else if (pending->count) {
      drop_message(pending);
      mu_count(writing->messages_dropped, 1);
    } else { /* nothing but figures: behind the others, once */
      if (!last)
        last = pending;
      make_clean(pending);
      make_dirty(pending);
      if (writing->dirty == pending)
        return;
      continue;
    }
    last = NULL;
    say_dropped(relay);
  }
}

/* ---- what happens -------------------------------------------------------------------------------- */

void pending_message(struct endpoint *endpoint, mu_text *text, bool binary, mu_text *sender, int64_t now_ms)
{
  struct relay *relay = endpoint->relay;
  struct pending *pending = pending_of(endpoint);
  struct kept kept = {.text = pending ? history_content(text, binary) : NULL, .ms = now_ms};
  if (!kept.text) {
    mu_count(relay->writing->messages_dropped, 1);
    return;
  }
  pending->messages++;
  pending->active_ms = now_ms;
  pending->stats = true;
  if (pending->count == RELAY_KEPT) /* no longer one of the newest: it need not be written */
    drop_message(pending);
  size_t max = (size_t)relay->config->max_history;
  if (relay->writing->bytes + cost_of(&kept) > max)
    make_room(relay, cost_of(&kept));
  if (relay->writing->bytes + cost_of(&kept) > max) {
    mu_text_unref(kept.text);
    mu_count(relay->writing->messages_dropped, 1);
    say_dropped(relay);
  } else {
    kept.sender = mu_text_ref(sender);
    relay->writing->bytes += cost_of(&kept);
    pending->ring[(pending->first + pending->count++) % RELAY_KEPT] = kept;
  }
  if (!pending->at)
    pending_due(pending, relay->config->flush_every);
  else if (pending->messages == MANY && relay->config->flush_every > LEFT_MS)
    pending_due(pending, LEFT_MS);
}

void pending_datum(struct endpoint *endpoint, struct datum *datum)
{
  struct relay *relay = endpoint->relay;
  struct pending *pending = pending_of(endpoint);
  size_t max = (size_t)relay->config->max_history, cost = datum_cost(datum);
  relay->writing->bytes += cost;
  if (relay->writing->bytes > max)
    make_room(relay, 0);
  if (!pending || relay->writing->bytes > max) {
    datum_free(relay->writing, datum, true);
    mu_count(relay->writing->data_dropped, 1);
    say_dropped(relay);
    return;
  }
  datum->next = NULL;
  *pending->data_end = datum;
  pending->data_end = &datum->next;
  pending->data_count++;
  if (!pending->at)
    pending_due(pending, relay->config->flush_every);
}

void pending_connection(struct endpoint *endpoint, int change)
{
  struct pending *pending = pending_of(endpoint);
  if (!pending)
    return;
  if (change > 0)
    pending->connections++;
  pending->stats = true;
  pending_due(pending, change > 0 ? endpoint->relay->config->flush_every : LEFT_MS);
}

struct datum *pending_data(const struct endpoint *endpoint)
{
  return endpoint->pending ? endpoint->pending->data : NULL;
}

void pending_write(struct endpoint *endpoint, int change)
{
  struct pending *pending = pending_of(endpoint);
  if (pending)
    pending->writes += change;
}

/* ---- writing ------------------------------------------------------------------------------------- */

int pending_begin(struct pending *pending)
{
  if (pending->batch)
    return batch_again(pending);
  make_clean(pending);
  return batch_begin(pending);
}

static void tick(void *context)
{
  struct relay *relay = context;
  struct writing *writing = relay->writing;
  int64_t now = mu_mono_ns();
  struct pending *next;
  for (struct pending *pending = writing->dirty; pending && writing->batches < BATCHES_MAX; pending = next) {
    next = pending->next;
    if (pending->due_ns > now)
      continue;
    pending_begin(pending);
  }
  if (!writing->dirty)
    mu_timer_stop(writing->tick);
}

void pending_tell(struct pending *pending, uint64_t serial, int error)
{
  for (struct waiter **at = &pending->waiters; *at;) {
    struct waiter *waiter = *at;
    if (waiter->serial > serial) {
      at = &waiter->next;
      continue;
    }
    *at = waiter->next;
    waiter->done(waiter->context, error);
    free(waiter);
    at = &pending->waiters; /* whoever was told may have come back */
  }
}

/* How many more have all that waits now. */
static uint64_t batches_of(const struct pending *pending)
{
  uint64_t data = (pending->data_count + BATCH_DATA_MAX - 1) / BATCH_DATA_MAX;
  return data ? data : has_more(pending) || pending->writes;
}

static void flush_one(struct endpoint *endpoint, relay_done done, void *context)
{
  struct pending *pending = endpoint->pending;
  uint64_t more = pending ? batches_of(pending) : 0;
  if (!more && !(pending && pending->batch)) {
    done(context, 0);
    return;
  }
  struct waiter *waiter = calloc(1, sizeof *waiter);
  if (!waiter) {
    done(context, MU_ENOMEM);
    return;
  }
  *waiter =
      (struct waiter){.next = pending->waiters, .serial = pending->serial + more, .done = done, .context = context};
  pending->waiters = waiter;
  pending_due(pending, 0);
  if (!pending->batch)
    pending_begin(pending);
}

/* All of them. */
struct everybody {
  struct task task;
  size_t waiting;
  int error;
  relay_done done;
  void *context;
};

static void one_of_all(void *context, int error)
{
  struct everybody *all = context;
  if (error != 0)
    all->error = error;
  if (--all->waiting > 0)
    return;
  all->done(all->context, all->error);
  task_free(all);
}

void relay_flush(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context)
{
  struct endpoint *endpoint = endpoint_uuid ? relay_endpoint(relay, endpoint_uuid) : NULL;
  if (endpoint_uuid) {
    if (endpoint)
      flush_one(endpoint, done, context);
    else
      done(context, 0);
    return;
  }
  struct everybody *all = task_new(relay, sizeof *all, NULL);
  if (!all) {
    done(context, MU_ENOMEM);
    return;
  }
  all->done = done;
  all->context = context;
  all->waiting = 1;
  for (endpoint = relay->endpoints; endpoint; endpoint = endpoint->next) {
    all->waiting++;
    flush_one(endpoint, one_of_all, all);
  }
  one_of_all(all, 0);
}

void pending_none_connected(struct relay *relay)
{
  for (struct endpoint *endpoint = relay->endpoints; endpoint; endpoint = endpoint->next)
    if (endpoint->connections && pending_of(endpoint))
      endpoint->pending->stats = true;
}

/* ---- life ---------------------------------------------------------------------------------------- */

int pending_init(struct relay *relay)
{
  struct writing *writing = calloc(1, sizeof *writing);
  relay->writing = writing;
  if (!writing)
    return MU_ENOMEM;
  writing->dirty_end = &writing->dirty;
  writing->tick = mu_timer_new(relay->in, tick, relay);
  writing->messages_dropped = mu_counter_get(relay->in, "messages_dropped");
  writing->data_dropped = mu_counter_get(relay->in, "data_dropped");
  writing->batches_failed = mu_counter_get(relay->in, "batches_failed");
  return writing->tick ? 0 : MU_ENOMEM;
}

void pending_fini(struct relay *relay)
{
  free(relay->writing);
}

void pending_free(struct endpoint *endpoint)
{
  struct pending *pending = endpoint->pending;
  if (!pending)
    return;
  struct writing *writing = endpoint->relay->writing;
  if (pending->batch)
    batch_forget(pending);
  while (pending->count)
    drop_message(pending);
  while (pending->data) {
    struct datum *datum = pending->data;
    pending->data = datum->next;
    datum_free(writing, datum, false);
  }
  while (pending->waiters) {
    struct waiter *waiter = pending->waiters;
    pending->waiters = waiter->next;
    free(waiter);
  }
  make_clean(pending);
  free(pending);
  endpoint->pending = NULL;
}
