/* SPDX-License-Identifier: ISC */
/*
 * Asking the auth/1 providers in turn.
 *
 * A check belongs to who asked; an ask is one question to one provider and belongs to that provider. Either may stop while the other
 * goes on: an ask whose check has gone is answered into nothing, and one whose provider has stopped answers "unavailable" and is kept as an
 * empty shell until the bus goes, because a job of the provider may still end and answer it.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>

#include "bus/internal.h"

#define PROVIDER_END (offsetof(struct mu_credential, provider) + sizeof(const char *))

struct check {
  struct mui_resource resource; /* first; of who asked */
  mu_instance *in;
  mu_auth_done done;
  void *context;
  struct mui_place place; /* the provider that was asked last */
  struct mui_ask *ask;    /* out now */
  bool judging;           /* inside a judge() call */
  bool gone;              /* who asked stopped meanwhile */
  bool asked;             /* somebody judges this kind */
  struct mu_credential credential;
  size_t secret_len;
  char texts[]; /* id, secret, peer, provider */
};

struct mui_ask {
  struct mui_resource resource; /* first; of the provider */
  struct mui_ask *next, **link;
  mu_instance *provider; /* NULL: stopped */
  struct check *check;   /* NULL: nobody waits */
  bool judging;          /* inside judge(): an answer is noted here, and acted on when that has returned */
  bool answered;
  struct mu_auth_answer answer; /* the principal is referenced, the reason points to `reason` */
  char reason[128];
};

/* ---- auth.denied ------------------------------------------------------------------------------ */

struct denied {
  _Atomic unsigned refs;
  struct mu_auth_denied event;
  char texts[];
};

static struct denied *denied_of(const void *payload)
{
  return (struct denied *)(void *)((char *)(uintptr_t)payload - offsetof(struct denied, event));
}

static void denied_ref(const void *payload)
{
  atomic_fetch_add_explicit(&denied_of(payload)->refs, 1, memory_order_relaxed);
}

static void denied_unref(const void *payload)
{
  if (atomic_fetch_sub_explicit(&denied_of(payload)->refs, 1, memory_order_acq_rel) == 1)
    free(denied_of(payload));
}

static int denied_text(const void *payload, struct mu_buf *out)
{
  const struct mu_auth_denied *denied = payload;
  const char *kind = denied->kind == MU_CREDENTIAL_SERVER     ? "server"
                     : denied->kind == MU_CREDENTIAL_API_KEY  ? "api_key"
                     : denied->kind == MU_CREDENTIAL_PASSWORD ? "password"
                     : denied->kind == MU_CREDENTIAL_KNOWN    ? "known"
                                                              : "token";
  mu_buf_printf(out, "{\"kind\":\"%s\",\"verdict\":\"%s\",\"id\":", kind,
                denied->verdict == MU_AUTH_UNKNOWN ? "unknown" : "refused");
  mu_buf_json_string(out, mu_str(denied->id));
  mu_buf_adds(out, ",\"peer\":");
  mu_buf_json_string(out, mu_str(denied->peer));
  mu_buf_adds(out, "}");
  return out->failed ? MU_ENOMEM : 0;
}

static void emit_denied(struct mui_runtime *runtime, const struct mu_credential *credential, enum mu_verdict verdict)
{
  static const struct mu_event_ops ops = {
      .size = sizeof(struct mu_event_ops), .version = 1, .ref = denied_ref, .unref = denied_unref, .text = denied_text};
  struct mui_bus *bus = runtime->bus;
  if (!bus->denied && runtime->core)
    bus->denied = mu_event_declare(runtime->core, MU_EVENT_AUTH_DENIED, &ops);
  if (!bus->denied || !mu_event_wanted(bus->denied))
    return;
  size_t peer_size = strlen(credential->peer) + 1;
  struct denied *denied = malloc(sizeof(*denied) + credential->id.len + 1 + peer_size);
  if (!denied)
    return;
  atomic_init(&denied->refs, 1);
  char *id = denied->texts, *peer = id + credential->id.len + 1;
  if (credential->id.len > 0)
    memcpy(id, credential->id.at, credential->id.len);
  id[credential->id.len] = '\0';
  memcpy(peer, credential->peer, peer_size);
  denied->event = (struct mu_auth_denied){
      .size = sizeof(struct mu_auth_denied), .kind = credential->kind, .verdict = verdict, .id = id, .peer = peer};
  mu_event_emit(bus->denied, &denied->event);
  denied_unref(&denied->event);
}

/* ---- the check -------------------------------------------------------------------------------- */

static void check_free(struct check *check)
{
  mui_resource_del(&check->resource);
  if (check->ask)
    check->ask->check = NULL;
  mu_secret_wipe(check->texts, check->credential.id.len + check->secret_len);
  free(check);
}

static void tell(mu_instance *in, mu_auth_done done, void *context, const struct mu_auth_answer *answer)
{
  struct mui_call call;
  mui_call_begin(&call, in, MUI_CB_AUTH);
  done(context, answer);
  mui_call_end(&call, 0);
}

/* Answers who asked, and ends the check. `denied`: what auth.denied says of a refusal. */
static void finish(struct check *check, const struct mu_auth_answer *answer, enum mu_verdict denied)
{
  struct mui_runtime *runtime = check->in->runtime;
  /* No longer the asker's: it may stop in its own callback. */
  mui_resource_del(&check->resource);
  tell(check->in, check->done, check->context, answer);
  if (answer->verdict == MU_AUTH_REFUSED)
    emit_denied(runtime, &check->credential, denied);
  check_free(check);
}

static void finish_plain(struct check *check, enum mu_verdict verdict, const char *reason, enum mu_verdict denied)
{
  struct mu_auth_answer answer = {.size = sizeof(answer), .verdict = verdict, .reason = reason};
  finish(check, &answer, denied);
}

/* The last has been asked. Only where all who could know it were there is it refused: clients forget a refused key. */
static void finish_unknown(struct check *check)
{
  const struct mui_bus *bus = check->in->runtime->bus;
  if (bus->lacking)
    finish_plain(check, MU_AUTH_UNAVAILABLE, "a plugin that may know it is not running", MU_AUTH_UNAVAILABLE);
  else if (!check->asked && check->credential.kind != MU_CREDENTIAL_KNOWN)
    finish_plain(check, MU_AUTH_UNAVAILABLE, "no plugin judges such credentials", MU_AUTH_UNAVAILABLE);
  else
    finish_plain(check, MU_AUTH_REFUSED, "no provider knows it", MU_AUTH_UNKNOWN);
}

static void check_revoke(struct mui_resource *resource)
{
  struct check *check = (struct check *)resource;
  mui_resource_del(resource);
  check->gone = true;
  if (!check->judging) /* else ask_next() frees it */
    check_free(check);
}

static void ask_free(struct mui_ask *ask)
{
  mu_principal_unref(ask->answer.principal);
  mui_resource_del(&ask->resource);
  if (ask->check)
    ask->check->ask = NULL;
  *ask->link = ask->next;
  if (ask->next)
    ask->next->link = ask->link;
  free(ask);
}

/* A code goes to clients: capitals, digits and underscores. */
static bool is_code(const char *code)
{
  size_t len = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
  return len > 0 && len < 64 && code[len] == '\0';
}

/* A provider's answer, made whole; what makes no sense is unavailability, and never a grant. */
static struct mu_auth_answer sane(mu_instance *provider, const struct mu_auth_answer *given)
{
  struct mu_auth_answer answer = {.size = sizeof(answer), .verdict = MU_AUTH_UNAVAILABLE};
  if (!given || given->size < offsetof(struct mu_auth_answer, principal)) {
    mu_log_limited(provider, MU_LOG_ERROR, "auth answer", "auth: an answer without content");
    return answer;
  }
  memcpy(&answer, given, given->size < sizeof(answer) ? given->size : sizeof(answer));
  answer.size = sizeof(answer);
  const char *wrong = NULL;
  if ((unsigned)answer.verdict > MU_AUTH_UNAVAILABLE)
    wrong = "unknown verdict";
  else if (answer.verdict != MU_AUTH_GRANTED)
    answer.principal = NULL;
  else if (!answer.principal)
    wrong = "granted without a principal";
  else if (strcmp(answer.principal->provider, provider->name) != 0)
    wrong = "granted in the name of another provider";
  if (answer.verdict != MU_AUTH_REFUSED)
    answer.code = NULL;
  if (answer.code && !is_code(answer.code)) {
    mu_log_limited(provider, MU_LOG_ERROR, "auth answer", "auth: a refusal's code is not in capitals");
    answer.code = NULL;
  }
  if (!answer.code)
    answer.words = (struct mu_words){0};
  if (wrong) {
    mu_log_limited(provider, MU_LOG_ERROR, "auth answer", "auth: %s", wrong);
    answer = (struct mu_auth_answer){.size = sizeof(answer), .verdict = MU_AUTH_UNAVAILABLE, .reason = wrong};
  }
  return answer;
}

static bool ask_next(struct check *check);

static void note(struct mui_ask *ask, const struct mu_auth_answer *given)
{
  ask->answered = true;
  ask->answer = sane(ask->provider, given);
  mu_principal_ref(ask->answer.principal);
  if (ask->answer.reason) {
    snprintf(ask->reason, sizeof(ask->reason), "%s", ask->answer.reason);
    ask->answer.reason = ask->reason;
  }
}

static void on_answer(void *context, const struct mu_auth_answer *given)
{
  struct mui_ask *ask = context;
  if (ask->judging) {
    if (!ask->answered && ask->provider)
      note(ask, given);
    return;
  }
  struct check *check = ask->check;
  struct mu_auth_answer answer = {0};
  if (check) {
    answer = sane(ask->provider, given);
    check->ask = NULL;
    ask->check = NULL;
  }
  ask_free(ask);
  if (!check)
    return;
  if (answer.verdict == MU_AUTH_UNKNOWN)
    ask_next(check);
  else
    finish(check, &answer, MU_AUTH_REFUSED);
}

static void ask_revoke(struct mui_resource *resource)
{
  struct mui_ask *ask = (struct mui_ask *)resource;
  struct check *check = ask->check;
  mui_resource_del(resource);
  ask->provider = NULL;
  if (!check || ask->judging)
    return;
  ask->check = NULL;
  check->ask = NULL;
  finish_plain(check, MU_AUTH_UNAVAILABLE, "the provider stopped", MU_AUTH_UNAVAILABLE);
}

static const struct mu_auth *usable(const struct mui_provider *provider, const struct mu_credential *credential)
{
  const struct mu_auth *auth = provider->api;
  if (auth->size < offsetof(struct mu_auth, judge) + sizeof(auth->judge) || !auth->judge)
    return NULL;
  if (credential->provider && strcmp(credential->provider, provider->in->name) != 0)
    return NULL;
  return auth->kinds & (unsigned)credential->kind ? auth : NULL;
}

static struct mui_ask *ask_new(struct mui_bus *bus, struct check *check, mu_instance *provider)
{
  struct mui_ask *ask = calloc(1, sizeof(*ask));
  if (!ask)
    return NULL;
  ask->check = check;
  ask->provider = provider;
  ask->next = bus->asks;
  ask->link = &bus->asks;
  if (ask->next)
    ask->next->link = &ask->next;
  bus->asks = ask;
  mui_resource_add(provider, &ask->resource, ask_revoke);
  check->ask = ask;
  return ask;
}

/* Calls judge(). MU_PENDING: the answer comes later. 0: `*ask` has it. Negative: there will be none. */
static int judge(struct check *check, struct mui_ask *ask, const struct mu_auth *auth, void *self)
{
  mu_instance *provider = ask->provider;
  ask->judging = true;
  check->judging = true;
  struct mui_call call;
  mui_call_begin(&call, provider, MUI_CB_AUTH);
  int result = auth->judge(self, &check->credential, on_answer, ask);
  mui_call_end(&call, result);
  ask->judging = false;
  check->judging = false;
  if (ask->answered)
    return 0;
  if (!ask->provider) /* it stopped in there */
    return MU_EUNAVAILABLE;
  if (result == MU_PENDING)
    return MU_PENDING;
  mu_log_limited(provider, MU_LOG_ERROR, "auth answer", "auth: judge() gave no answer: %s",
                 result < 0 ? mu_strerror(result) : "it returned as if it had");
  return MU_EINTERNAL;
}

/* Asks providers until one answers later (false), or for good (true: the check is freed). */
static bool ask_next(struct check *check)
{
  struct mui_bus *bus = check->in->runtime->bus;
  for (;;) {
    struct mui_provider *provider;
    const struct mu_auth *auth = NULL;
    while (!auth && (provider = mui_provider_after(bus, MU_SERVICE_AUTH, &check->place)))
      auth = usable(provider, &check->credential);
    if (!auth) {
      finish_unknown(check);
      return true;
    }
    check->asked = true;
    struct mui_ask *ask = ask_new(bus, check, provider->in);
    if (!ask) {
      finish_plain(check, MU_AUTH_UNAVAILABLE, "out of memory", MU_AUTH_UNAVAILABLE);
      return true;
    }
    int result = judge(check, ask, auth, provider->self);
    if (result == MU_PENDING && !check->gone)
      return false;
    ask->check = NULL;
    check->ask = NULL;
    bool go_on = !check->gone && result == 0 && ask->answer.verdict == MU_AUTH_UNKNOWN;
    if (check->gone)
      check_free(check);
    else if (result < 0) /* the ask stays as a shell, in case that an answer comes after all */
      finish_plain(check, MU_AUTH_UNAVAILABLE, "the provider failed", MU_AUTH_UNAVAILABLE);
    else if (!go_on)
      finish(check, &ask->answer, MU_AUTH_REFUSED);
    if (result == 0)
      ask_free(ask);
    if (!go_on)
      return true;
  }
}

static char *put(char *at, struct mu_str text)
{
  if (text.len > 0)
    memcpy(at, text.at, text.len);
  return at + text.len;
}

int mu_auth_check(mu_instance *in, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  assert(done);
  if (in->closed)
    return MU_ECLOSED;
  struct mu_auth_answer unavailable = {.size = sizeof(unavailable), .verdict = MU_AUTH_UNAVAILABLE};
  if (!mui_service_may(in, MU_SERVICE_AUTH)) {
    unavailable.reason = "the component does not list auth/1";
    mu_log_limited(in, MU_LOG_ERROR, "auth", "auth/1 is neither in `needs` nor in `wants`");
    tell(in, done, context, &unavailable);
    return 0;
  }
  const char *peer = credential->peer ? credential->peer : "";
  const char *provider = credential->size >= PROVIDER_END ? credential->provider : NULL;
  if (credential->kind == MU_CREDENTIAL_KNOWN && !provider)
    provider = ""; /* whose user? nobody's */
  struct mu_str id = credential->id, secret = credential->secret;
  size_t peer_size = strlen(peer) + 1, provider_size = provider ? strlen(provider) + 1 : 0;
  struct check *check = calloc(1, sizeof(*check) + id.len + secret.len + peer_size + provider_size);
  if (!check) {
    unavailable.reason = "out of memory";
    tell(in, done, context, &unavailable);
    return 0;
  }
  check->in = in;
  check->done = done;
  check->context = context;
  check->secret_len = secret.len;
  check->credential = (struct mu_credential){.size = sizeof(check->credential), .kind = credential->kind};
  /* Copied: a later provider may be asked long after this call. */
  check->credential.id = (struct mu_str){check->texts, id.len};
  char *at = put(check->texts, id);
  check->credential.secret = (struct mu_str){at, secret.len};
  at = put(at, secret);
  check->credential.peer = memcpy(at, peer, peer_size);
  if (provider)
    check->credential.provider = memcpy(at + peer_size, provider, provider_size);
  mui_resource_add(in, &check->resource, check_revoke);
  return ask_next(check) ? 0 : MU_PENDING;
}

void mui_asks_free(struct mui_bus *bus)
{
  while (bus->asks)
    ask_free(bus->asks); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}
