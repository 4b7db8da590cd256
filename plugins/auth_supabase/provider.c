/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "holders.h"
#include "provider.h"

enum { RECHECKS_AT_ONCE = 8, RECHECKS_PER_TICK = 64, PRUNE_MS = 600000 };

/* Somebody waits for an answer; or, with `holder`, we do. */
struct attempt {
  struct attempt *next, **pprev;
  struct provider *provider;
  mu_auth_done done;
  void *context;
  char *credential;      /* MU_CREDENTIAL_KNOWN */
  struct holder *holder; /* not dropped while it is `asked` */
};

struct provider {
  mu_instance *in;
  const struct provider_config *config;
  struct rest *rest;
  struct lookups *lookups;
  struct holders *holders;
  struct cache *absent;
  struct mu_service machines; /* api NULL: nobody keeps machines */
  mu_event_type *revoked;
  mu_timer *tick, *prune;
  struct attempt *attempts;
  unsigned rechecks; /* under way */
  bool running;
  unsigned char secret[KEY_DIGEST]; /* of this run: digests in memory tell nothing about keys */
  mu_counter *granted, *remembered, *unknown, *malformed, *several, *unavailable, *taken_back, *alarms, *forgotten;
};

static int64_t now_ms(void)
{
  return mu_mono_ns() / 1000000;
}

/* ---- answers to who asked -------------------------------------------------------------------- */

static void answer_granted(mu_auth_done done, void *context, const struct mu_principal *principal)
{
  struct mu_auth_answer answer = {.size = sizeof answer, .verdict = MU_AUTH_GRANTED, .principal = principal};
  const struct mu_principal *held = mu_principal_ref(principal); /* whatever the asker does */
  done(context, &answer);
  mu_principal_unref(held);
}

static void answer_other(mu_auth_done done, void *context, enum mu_verdict verdict, unsigned retry_s,
                         const char *reason)
{
  struct mu_auth_answer answer = {
      .size = sizeof answer, .verdict = verdict, .retry_after_s = retry_s, .reason = reason};
  done(context, &answer);
}

static void answer_unavailable(struct provider *provider, mu_auth_done done, void *context, const char *reason)
{
  mu_count(provider->unavailable, 1);
  answer_other(done, context, MU_AUTH_UNAVAILABLE, rest_retry_s(provider->rest), reason);
}

static struct attempt *attempt_new(struct provider *provider, mu_auth_done done, void *context)
{
  struct attempt *attempt = calloc(1, sizeof *attempt);
  if (!attempt)
    return NULL;
  *attempt = (struct attempt){
      .provider = provider, .done = done, .context = context, .next = provider->attempts, .pprev = &provider->attempts};
  if (attempt->next)
    attempt->next->pprev = &attempt->next;
  provider->attempts = attempt;
  return attempt;
}

static void attempt_free(struct attempt *attempt)
{
  *attempt->pprev = attempt->next;
  if (attempt->next)
    attempt->next->pprev = attempt->pprev;
  free(attempt->credential);
  free(attempt);
}

/* ---- who was granted ------------------------------------------------------------------------- */

static void revoke(struct provider *provider, struct holder *holder)
{
  const struct mu_principal *principal = mu_principal_ref(holder->principal);
  mu_count(provider->taken_back, 1);
  mu_log(provider->in, MU_LOG_INFO, "user %s: an API key is no longer valid, its connections are closed",
         principal->id);
  mu_event_emit(provider->revoked, principal);
  mu_principal_unref(principal);
}

/* As plain as can be: nothing else needs to be asked. */
static void take_back(struct provider *provider, struct holder *holder)
{
  if (holder->state == HOLDER_GONE)
    return;
  holder->state = HOLDER_GONE;
  revoke(provider, holder);
}

static void happened(struct provider *provider, struct holder *holder, enum holder_event event)
{
  switch (event) {
  case HOLDER_NOTHING:
    break;
  case HOLDER_REVOKED:
    if (holder) /* news of nobody in particular revokes none */
      revoke(provider, holder);
    break;
  case HOLDER_ALARM:
    mu_count(provider->alarms, 1);
    mu_log(provider->in, MU_LOG_ERROR,
           "ALARM: Supabase answers that none of the users exists who are known here: are the table's grants or its "
           "row-level security changed? Nobody is cut off, and nobody new is refused for good, until a user is found");
    break;
  case HOLDER_CALM:
    mu_log(provider->in, MU_LOG_WARN, "users are found again: the alarm is over");
    break;
  }
}

static bool name_key(struct provider *provider, const char *user, const char sha256[KEY_HEX], char out[KEY_CREDENTIAL])
{
  return key_credential(provider->config->service_key, mu_instance_name(provider->in), user, sha256, out);
}

/* Who is known by a token only: has the user still the key that it was given for? Without memory: yes, until the next time. */
static bool has_key(struct provider *provider, const struct lookup_answer *answer, const char *credential)
{
  char now[KEY_CREDENTIAL];
  if (!answer->key[0])
    return false;
  return !name_key(provider, answer->id, answer->key, now) || strcmp(now, credential) == 0;
}

static const struct mu_principal *principal_new(struct provider *provider, const char *user, const char *credential)
{
  return mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                 .provider = mu_instance_name(provider->in),
                                                 .id = user,
                                                 .name = "",
                                                 .role = MU_ROLE_USER,
                                                 .credential = credential});
}

static struct holder *grant(struct provider *provider, const char *user, const char *credential, struct mu_str key,
                            const unsigned char digest[KEY_DIGEST], bool found)
{
  bool forgot = false;
  const struct mu_principal *principal = principal_new(provider, user, credential);
  struct holder *holder =
      principal ? holders_grant(provider->holders, principal, key, digest, found, now_ms(), &forgot) : NULL;
  mu_principal_unref(principal);
  if (forgot) {
    mu_count(provider->forgotten, 1);
    mu_log_limited(provider->in, MU_LOG_WARN, "remember",
                   "more than %zu keys are in use: the oldest is no longer asked for again (option `remember`)",
                   provider->config->remember);
  }
  return holder;
}

/* Of every answer, once, before those who wait get it. */
static void observe(void *self, const struct lookup_question *question, const struct lookup_answer *answer)
{
  struct provider *provider = self;
  int64_t now = now_ms();
  struct holder *holder =
      question->kind == LOOKUP_BY_KEY ? holders_by_digest(provider->holders, question->digest) : NULL;
  if (answer->verdict == LOOKUP_FOUND) {
    cache_del(provider->absent, question->digest);
    happened(provider, NULL, holders_seen(provider->holders, answer->id, now));
  } else if (answer->verdict == LOOKUP_ABSENT) {
    cache_add(provider->absent, question->digest, now);
  } else if (answer->verdict == LOOKUP_SEVERAL) {
    mu_count(provider->several, 1);
    mu_log_limited(provider->in, MU_LOG_ERROR, "several rows",
                   "several rows of \"%s\" have the same %s: nobody can log in with it until that is repaired",
                   provider->config->lookup.table,
                   question->kind == LOOKUP_BY_ID ? "id" : provider->config->lookup.column);
  }
  if (!holder)
    return;
  /* Another user has the key now: it was taken from this one, as plainly as can be. */
  if (answer->verdict == LOOKUP_FOUND && strcmp(answer->id, holder->principal->id) != 0) {
    take_back(provider, holder);
    return;
  }
  happened(provider, holder, holders_answer(provider->holders, holder, LOOKUP_BY_KEY, answer->verdict, now));
}

/* ---- API keys -------------------------------------------------------------------------------- */

static void key_absent(struct provider *provider, const unsigned char digest[KEY_DIGEST], mu_auth_done done,
                       void *context)
{
  struct holder *holder = holders_by_digest(provider->holders, digest);
  /* Clients forget a key that is called invalid: not before it is certain. */
  if (holder && holder->state != HOLDER_GONE) {
    answer_unavailable(provider, done, context, "a key that was valid is not found; asking again");
  } else if (holders_alarm(provider->holders)) {
    answer_unavailable(provider, done, context, "no user is found at all");
  } else {
    mu_count(provider->unknown, 1);
    answer_other(done, context, MU_AUTH_UNKNOWN, 0, "no user has this key");
  }
}

static void key_found(struct provider *provider, const struct lookup_question *question, const char *user,
                      mu_auth_done done, void *context)
{
  char credential[KEY_CREDENTIAL], sha256[KEY_HEX];
  struct holder *holder = NULL;
  if (key_sha256(question->value, sha256) && name_key(provider, user, sha256, credential))
    holder = grant(provider, user, credential, question->value, question->digest, true);
  if (!holder) {
    answer_unavailable(provider, done, context, "out of memory");
    return;
  }
  mu_count(provider->granted, 1);
  answer_granted(done, context, holder->principal);
}

/* Questions for one key are joined: no answer that has it is older than one by which it was taken back. */
static void on_key(void *self, const struct lookup_question *question, const struct lookup_answer *answer)
{
  struct attempt *attempt = self;
  struct provider *provider = attempt->provider;
  mu_auth_done done = attempt->done;
  void *context = attempt->context;
  attempt_free(attempt);
  switch (answer->verdict) {
  case LOOKUP_FOUND:
    key_found(provider, question, answer->id, done, context);
    break;
  case LOOKUP_ABSENT:
    key_absent(provider, question->digest, done, context);
    break;
  case LOOKUP_SEVERAL:
    answer_other(done, context, MU_AUTH_REFUSED, 0, "several users have this key");
    break;
  case LOOKUP_UNAVAILABLE:
    answer_unavailable(provider, done, context, answer->why);
    break;
  }
}

static int judge_key(struct provider *provider, struct mu_str key, mu_auth_done done, void *context)
{
  struct lookup_question question = {.kind = LOOKUP_BY_KEY, .value = key};
  int64_t now = now_ms();
  if (!key_ok(key)) {
    mu_count(provider->malformed, 1);
    answer_other(done, context, MU_AUTH_UNKNOWN, 0, "no key: 8 to 256 printable ASCII characters");
    return 0;
  }
  if (!key_digest(provider->secret, LOOKUP_BY_KEY, key, question.digest)) {
    answer_unavailable(provider, done, context, "out of memory");
    return 0;
  }
  struct holder *holder = holders_by_digest(provider->holders, question.digest);
  if (holder && holder->state == HOLDER_LIVE && now - holder->found_ms < provider->config->keep_found_ms) {
    mu_count(provider->remembered, 1);
    bool forgot;
    holders_grant(provider->holders, holder->principal, (struct mu_str){0}, question.digest, false, now, &forgot);
    answer_granted(done, context, holder->principal);
    return 0;
  }
  if (cache_has(provider->absent, question.digest, now)) {
    key_absent(provider, question.digest, done, context);
    return 0;
  }
  struct attempt *attempt = attempt_new(provider, done, context);
  int result = attempt ? lookups_ask(provider->lookups, &question, on_key, attempt) : MU_ENOMEM;
  if (result == 0)
    return MU_PENDING;
  if (attempt)
    attempt_free(attempt);
  answer_unavailable(provider, done, context, "Supabase cannot be asked now");
  return 0;
}

/* ---- who was granted before ------------------------------------------------------------------ */

static void user_absent(struct provider *provider, mu_auth_done done, void *context)
{
  if (holders_alarm(provider->holders))
    answer_unavailable(provider, done, context, "no user is found at all");
  else
    answer_other(done, context, MU_AUTH_REFUSED, 0, "the user is gone");
}

static void on_user(void *self, const struct lookup_question *question, const struct lookup_answer *answer)
{
  struct attempt *attempt = self;
  struct provider *provider = attempt->provider;
  mu_auth_done done = attempt->done;
  void *context = attempt->context;
  struct holder *holder = holders_by_credential(provider->holders, attempt->credential);
  /* Taken back while this was asked: that the user exists says nothing of the key. */
  if (holder && holder->state == HOLDER_GONE) {
    attempt_free(attempt);
    answer_other(done, context, MU_AUTH_REFUSED, 0, "the key was taken back");
    return;
  }
  if (answer->verdict == LOOKUP_FOUND && !has_key(provider, answer, attempt->credential)) {
    if (holder && !holder->key)
      take_back(provider, holder);
    attempt_free(attempt);
    answer_other(done, context, MU_AUTH_REFUSED, 0, "the user has another key now");
    return;
  }
  holder = NULL;
  /* A token that is good while nobody can be asked opens a connection, too: it is asked for when that is possible again. */
  if (answer->verdict == LOOKUP_FOUND || answer->verdict == LOOKUP_UNAVAILABLE) {
    char id[LOOKUP_ID + 1] = "";
    memcpy(id, question->value.at, question->value.len);
    holder =
        grant(provider, id, attempt->credential, (struct mu_str){0}, question->digest, answer->verdict == LOOKUP_FOUND);
  }
  attempt_free(attempt);
  if (answer->verdict == LOOKUP_FOUND && holder) {
    mu_count(provider->granted, 1);
    answer_granted(done, context, holder->principal);
  } else if (answer->verdict == LOOKUP_ABSENT) {
    user_absent(provider, done, context);
  } else if (answer->verdict == LOOKUP_SEVERAL) {
    answer_other(done, context, MU_AUTH_REFUSED, 0, "several users have this id");
  } else {
    answer_unavailable(provider, done, context, answer->why);
  }
}

static int judge_known(struct provider *provider, struct mu_str id, struct mu_str secret, mu_auth_done done,
                       void *context)
{
  struct lookup_question question = {.kind = LOOKUP_BY_ID, .value = id};
  int64_t now = now_ms();
  char credential[64] = "";
  if (id.len == 0 || id.len > LOOKUP_ID || secret.len == 0 || secret.len >= sizeof credential ||
      memchr(id.at, '\0', id.len)) {
    answer_other(done, context, MU_AUTH_REFUSED, 0, "no id or credential of ours");
    return 0;
  }
  memcpy(credential, secret.at, secret.len);
  struct holder *holder = holders_by_credential(provider->holders, credential);
  if (holder && mu_str_equal(mu_str(holder->principal->id), id)) {
    bool forgot;
    holders_grant(provider->holders, holder->principal, (struct mu_str){0}, holder->digest, false, now, &forgot);
    mu_count(provider->remembered, 1);
    if (holder->state == HOLDER_GONE)
      answer_other(done, context, MU_AUTH_REFUSED, 0, "the key was taken back");
    else
      answer_granted(done, context, holder->principal);
    return 0;
  }
  if (!key_digest(provider->secret, LOOKUP_BY_ID, id, question.digest)) {
    answer_unavailable(provider, done, context, "out of memory");
    return 0;
  }
  if (cache_has(provider->absent, question.digest, now)) {
    user_absent(provider, done, context);
    return 0;
  }
  struct attempt *attempt = attempt_new(provider, done, context);
  if (!attempt || !(attempt->credential = strdup(credential))) {
    if (attempt)
      attempt_free(attempt);
    answer_unavailable(provider, done, context, "out of memory");
    return 0;
  }
  if (lookups_ask(provider->lookups, &question, on_user, attempt) == 0)
    return MU_PENDING;
  on_user(attempt, &question,
          &(struct lookup_answer){.verdict = LOOKUP_UNAVAILABLE, .why = "Supabase cannot be asked now"});
  return 0;
}

static int judge(void *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct provider *provider = self;
  if (!provider->running) {
    answer_other(done, context, MU_AUTH_UNAVAILABLE, 1, "not running");
    return 0;
  }
  if (credential->kind == MU_CREDENTIAL_API_KEY)
    return judge_key(provider, credential->secret, done, context);
  if (credential->kind == MU_CREDENTIAL_KNOWN)
    return judge_known(provider, credential->id, credential->secret, done, context);
  answer_other(done, context, MU_AUTH_UNKNOWN, 0, "neither a key nor somebody known");
  return 0;
}

const struct mu_auth provider_service = {
    .size = sizeof(struct mu_auth), .kinds = MU_CREDENTIAL_API_KEY | MU_CREDENTIAL_KNOWN, .judge = judge};

/* ---- asking again ---------------------------------------------------------------------------- */

static void on_recheck(void *self, const struct lookup_question *question, const struct lookup_answer *answer)
{
  struct attempt *attempt = self;
  struct provider *provider = attempt->provider;
  struct holder *holder = attempt->holder;
  attempt_free(attempt);
  provider->rechecks--;
  holder->asked = false;
  if (question->kind == LOOKUP_BY_ID && answer->verdict == LOOKUP_FOUND && !holder->key &&
      !has_key(provider, answer, holder->principal->credential))
    take_back(provider, holder);
  else if (question->kind == LOOKUP_BY_ID) /* by key: observe() has told it already */
    happened(provider, holder, holders_answer(provider->holders, holder, LOOKUP_BY_ID, answer->verdict, now_ms()));
}

static bool ask_again(struct provider *provider, struct holder *holder)
{
  struct lookup_question question = {.kind = holder_question(holder)};
  question.value =
      question.kind == LOOKUP_BY_KEY ? (struct mu_str){holder->key, holder->key_len} : mu_str(holder->principal->id);
  struct attempt *attempt = attempt_new(provider, NULL, NULL);
  if (!attempt || !key_digest(provider->secret, (char)question.kind, question.value, question.digest))
    goto fail;
  attempt->holder = holder;
  if (lookups_ask(provider->lookups, &question, on_recheck, attempt) != 0)
    goto fail;
  holder->asked = true;
  provider->rechecks++;
  return true;
fail:
  if (attempt)
    attempt_free(attempt);
  happened(provider, holder, holders_answer(provider->holders, holder, question.kind, LOOKUP_UNAVAILABLE, now_ms()));
  return false;
}

static void on_tick(void *self)
{
  struct provider *provider = self;
  struct holder *holder;
  for (unsigned i = 0; i < RECHECKS_PER_TICK && provider->rechecks < RECHECKS_AT_ONCE &&
                       (holder = holders_due(provider->holders, now_ms()));
       i++)
    if (!ask_again(provider, holder))
      break;
}

static void on_prune(void *self)
{
  struct provider *provider = self;
  holders_prune(provider->holders, now_ms());
}

static int is_linked(void *context, const struct mu_machine *machine)
{
  (void)context;
  return machine->linked;
}

static bool is_busy(void *self, const char *user)
{
  struct provider *provider = self;
  const struct mu_machines *machines = provider->machines.api;
  return !machines || machines->each(provider->machines.self, mu_instance_name(provider->in), user, is_linked, NULL);
}

/* ---- life ------------------------------------------------------------------------------------ */

int provider_new(mu_instance *in, const struct provider_config *config, struct rest *rest, struct provider **out)
{
  struct provider *provider = calloc(1, sizeof *provider);
  if (!provider)
    return MU_ENOMEM;
  provider->in = in;
  provider->config = config;
  provider->rest = rest;
  provider->lookups = lookups_new(rest, &config->lookup, observe, provider);
  provider->holders = holders_new(config->remember, config->recheck_ms, is_busy, provider);
  provider->absent = cache_new(config->keep_absent_max, config->keep_absent_ms);
  provider->revoked = mu_event_declare(in, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  provider->granted = mu_counter_get(in, "granted");
  provider->remembered = mu_counter_get(in, "granted_from_memory");
  provider->unknown = mu_counter_get(in, "unknown_key");
  provider->malformed = mu_counter_get(in, "malformed_key");
  provider->several = mu_counter_get(in, "several_rows");
  provider->unavailable = mu_counter_get(in, "unavailable");
  provider->taken_back = mu_counter_get(in, "revoked");
  provider->alarms = mu_counter_get(in, "alarms");
  provider->forgotten = mu_counter_get(in, "forgotten");
  if (provider->lookups && provider->holders && provider->absent && provider->revoked &&
      mu_random(provider->secret, sizeof provider->secret) == 0) {
    *out = provider;
    return 0;
  }
  provider_free(provider);
  return MU_ENOMEM;
}

int provider_start(struct provider *provider, const struct mu_service *machines)
{
  if (machines)
    provider->machines = *machines;
  provider->tick = mu_timer_new(provider->in, on_tick, provider);
  provider->prune = mu_timer_new(provider->in, on_prune, provider);
  if (!provider->tick || !provider->prune)
    return MU_ENOMEM;
  uint64_t tick_ms = (uint64_t)holders_tick_ms(provider->holders);
  mu_timer_start(provider->tick, tick_ms, tick_ms);
  mu_timer_start(provider->prune, PRUNE_MS, PRUNE_MS);
  provider->running = true;
  return 0;
}

void provider_stop(struct provider *provider)
{
  if (!provider)
    return;
  provider->running = false;
  mu_timer_free(provider->tick);
  mu_timer_free(provider->prune);
  provider->tick = provider->prune = NULL;
  provider->machines = (struct mu_service){0};
}

void provider_free(struct provider *provider)
{
  if (!provider)
    return;
  while (provider->attempts)
    attempt_free(provider->attempts); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  lookups_free(provider->lookups);
  holders_free(provider->holders);
  cache_free(provider->absent);
  mu_secret_wipe(provider->secret, sizeof provider->secret);
  free(provider);
}
