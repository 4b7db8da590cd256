/* SPDX-License-Identifier: ISC */
/* Chains of auth providers: in turn, later, never, twice, stopped, and lying. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "unit.h"

struct frame;

struct provider {
  struct mu_auth api; /* first */
  struct frame *frame;
  mu_instance *in;
  enum mu_verdict verdict;
  const char *claims; /* the provider that its principals name; NULL: itself */
  const char *code;
  bool later, twice, silent;
  int result; /* of judge(), if silent */
  void (*act)(struct frame *frame);
  unsigned asked;
  char seen[128];
  mu_auth_done done; /* an open question */
  void *context;
};

struct frame {
  struct mui_runtime runtime;
  mu_instance *core, *asker;
  struct provider providers[3];
  unsigned answers, denials;
  enum mu_verdict verdict, denied;
  unsigned retry_after_s;
  char code[64];
  char who[64], denied_id[64], denied_peer[64], reason[64];
};

static void give(struct provider *provider, mu_auth_done done, void *context)
{
  struct mu_principal values = {.size = sizeof(values),
                                .id = "user",
                                .role = MU_ROLE_USER,
                                .provider = provider->claims ? provider->claims : provider->in->name};
  const struct mu_principal *principal = provider->verdict == MU_AUTH_GRANTED ? mu_principal_new(&values) : NULL;
  char reason[] = "because";
  struct mu_auth_answer answer = {.size = sizeof(answer),
                                  .verdict = provider->verdict,
                                  .principal = principal,
                                  .retry_after_s = 9,
                                  .reason = reason,
                                  .code = provider->code};
  done(context, &answer);
  memset(reason, '#', sizeof(reason) - 1); /* it was borrowed */
  mu_principal_unref(principal);
}

static int judge(void *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct provider *provider = self;
  provider->asked++;
  snprintf(provider->seen, sizeof(provider->seen), "%.*s/%.*s/%s", (int)credential->id.len, credential->id.at,
           (int)credential->secret.len, credential->secret.at, credential->peer);
  provider->done = done;
  provider->context = context;
  if (provider->act)
    provider->act(provider->frame);
  if (provider->silent)
    return provider->result;
  if (provider->later)
    return MU_PENDING;
  give(provider, done, context);
  if (provider->twice)
    give(provider, done, context);
  return 0;
}

static void on_denied(void *self, const struct mu_event *event)
{
  struct frame *frame = self;
  const struct mu_auth_denied *denied = event->payload;
  frame->denials++;
  frame->denied = denied->verdict;
  snprintf(frame->denied_id, sizeof(frame->denied_id), "%s", denied->id);
  snprintf(frame->denied_peer, sizeof(frame->denied_peer), "%s", denied->peer);
}

static void setup(struct frame *frame)
{
  memset(frame, 0, sizeof(*frame));
  frame->runtime.bus = mui_bus_new();
  frame->runtime.node = "here";
  frame->core = frame->runtime.core = mui_instance_new(&frame->runtime, "core", "core");
  frame->asker = mui_instance_new(&frame->runtime, "asker", "test");
  for (unsigned i = 3; i-- > 0;) { /* registered in the wrong order */
    struct provider *provider = &frame->providers[i];
    char name[] = {(char)('a' + i), '\0'};
    provider->frame = frame;
    provider->in = mui_instance_new(&frame->runtime, name, "test");
    provider->in->order = i + 1;
    provider->api = (struct mu_auth){.size = sizeof(struct mu_auth), .kinds = MU_CREDENTIAL_SERVER, .judge = judge};
    CU_ASSERT_EQUAL(mu_service_provide(provider->in, MU_SERVICE_AUTH, &provider->api, provider), 0);
  }
  CU_ASSERT_EQUAL(mu_event_on(frame->core, MU_EVENT_AUTH_DENIED, 0, on_denied, frame), 0);
}

static void teardown(struct frame *frame)
{
  mui_instance_free(frame->asker);
  for (unsigned i = 0; i < 3; i++)
    mui_instance_free(frame->providers[i].in);
  mui_instance_free(frame->core);
  mui_bus_free(frame->runtime.bus);
}

static void on_answer(void *context, const struct mu_auth_answer *answer)
{
  struct frame *frame = context;
  frame->answers++;
  frame->verdict = answer->verdict;
  frame->retry_after_s = answer->retry_after_s;
  snprintf(frame->code, sizeof(frame->code), "%s", answer->code ? answer->code : "");
  snprintf(frame->reason, sizeof(frame->reason), "%s", answer->reason ? answer->reason : "");
  snprintf(frame->who, sizeof(frame->who), "%s:%s", answer->principal ? answer->principal->provider : "",
           answer->principal ? answer->principal->id : "");
}

static int check(struct frame *frame, enum mu_credential_kind kind)
{
  char id[] = "demo", secret[] = "s3cret", peer[] = "10.0.0.9";
  struct mu_credential credential = {
      .size = sizeof(credential), .kind = kind, .id = mu_str(id), .secret = mu_str(secret), .peer = peer};
  int result = mu_auth_check(frame->asker, &credential, on_answer, frame);
  memset(id, '#', 4); /* they were borrowed */
  memset(secret, '#', 6);
  memset(peer, '#', 8);
  return result;
}

static void answer_later(struct provider *provider)
{
  give(provider, provider->done, provider->context);
}

/* What clients may be told: only of refusals, and only what looks like a code. */
static void test_codes(void)
{
  static const struct {
    enum mu_verdict verdict;
    const char *code, *told;
    bool later;
  } cases[] = {
      {MU_AUTH_REFUSED, "USER_BANNED", "USER_BANNED", false},
      {MU_AUTH_REFUSED, "USER_BANNED", "USER_BANNED", true},
      {MU_AUTH_REFUSED, NULL, "", false},
      {MU_AUTH_REFUSED, "", "", false},
      {MU_AUTH_REFUSED, "wrong password of demo", "", false},
      {MU_AUTH_REFUSED, "A\r\nB", "", true},
      {MU_AUTH_UNAVAILABLE, "USER_BANNED", "", false},
      {MU_AUTH_GRANTED, "USER_BANNED", "", true},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct frame frame;
    setup(&frame);
    struct provider *p = frame.providers;
    p[0].verdict = cases[i].verdict;
    p[0].code = cases[i].code;
    p[0].later = cases[i].later;
    check(&frame, MU_CREDENTIAL_SERVER);
    if (cases[i].later)
      answer_later(&p[0]);
    CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == cases[i].verdict);
    CU_ASSERT_STRING_EQUAL(frame.code, cases[i].told);
    teardown(&frame);
  }
}

static void test_sync(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  p[1].verdict = MU_AUTH_GRANTED;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_GRANTED);
  CU_ASSERT_STRING_EQUAL(frame.who, "b:user");
  CU_ASSERT_STRING_EQUAL(frame.reason, "because");
  CU_ASSERT_STRING_EQUAL(p[1].seen, "demo/s3cret/10.0.0.9");
  CU_ASSERT_TRUE(p[0].asked == 1 && p[1].asked == 1 && p[2].asked == 0);
  CU_ASSERT_EQUAL(frame.denials, 0);

  p[0].verdict = MU_AUTH_REFUSED;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 2 && frame.verdict == MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(p[1].asked, 1);
  CU_ASSERT_TRUE(frame.denials == 1 && frame.denied == MU_AUTH_REFUSED);
  CU_ASSERT_STRING_EQUAL(frame.denied_id, "demo");
  CU_ASSERT_STRING_EQUAL(frame.denied_peer, "10.0.0.9");

  p[0].verdict = MU_AUTH_UNAVAILABLE;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 3 && frame.verdict == MU_AUTH_UNAVAILABLE && frame.retry_after_s == 9);
  CU_ASSERT_EQUAL(p[1].asked, 1);
  CU_ASSERT_EQUAL(frame.denials, 1);

  p[0].verdict = p[1].verdict = p[2].verdict = MU_AUTH_UNKNOWN;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 4 && frame.verdict == MU_AUTH_REFUSED);
  CU_ASSERT_TRUE(frame.denials == 2 && frame.denied == MU_AUTH_UNKNOWN);

  unsigned asked = p[0].asked;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_TOKEN), 0); /* nobody judges these: that is no refusal */
  CU_ASSERT_TRUE(frame.verdict == MU_AUTH_UNAVAILABLE && p[0].asked == asked);
  CU_ASSERT_EQUAL(frame.denials, 2);
  mui_bus_lacking(frame.runtime.bus, true); /* somebody who may know it does not run */
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.verdict == MU_AUTH_UNAVAILABLE && frame.denials == 2);
  mui_bus_lacking(frame.runtime.bus, false);
  asked = p[0].asked;
  p[2].api.kinds |= MU_CREDENTIAL_TOKEN;
  p[2].verdict = MU_AUTH_GRANTED;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_TOKEN), 0);
  CU_ASSERT_STRING_EQUAL(frame.who, "c:user");
  CU_ASSERT_EQUAL(p[0].asked, asked);
  p[2].api.size = sizeof(size_t); /* an older table without judge */
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_TOKEN), 0);
  CU_ASSERT_EQUAL(frame.verdict, MU_AUTH_UNAVAILABLE);
  teardown(&frame);
}

/* Who was granted before is asked for at that provider and nowhere else. */
static void test_known(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  for (unsigned i = 0; i < 3; i++) {
    p[i].api.kinds |= MU_CREDENTIAL_KNOWN;
    p[i].verdict = MU_AUTH_GRANTED;
  }
  char name[] = "b";
  struct mu_credential credential = {.size = sizeof(credential),
                                     .kind = MU_CREDENTIAL_KNOWN,
                                     .id = MU_STR("user"),
                                     .secret = MU_STR("key 1"),
                                     .provider = name};
  p[1].later = true;
  CU_ASSERT_EQUAL(mu_auth_check(frame.asker, &credential, on_answer, &frame), MU_PENDING);
  name[0] = 'c'; /* it was borrowed */
  p[1].verdict = MU_AUTH_UNKNOWN;
  answer_later(&p[1]);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_REFUSED);
  CU_ASSERT_STRING_EQUAL(p[1].seen, "user/key 1/");
  CU_ASSERT_TRUE(p[0].asked == 0 && p[1].asked == 1 && p[2].asked == 0);
  credential.provider = "c";
  CU_ASSERT_EQUAL(mu_auth_check(frame.asker, &credential, on_answer, &frame), 0);
  CU_ASSERT_STRING_EQUAL(frame.who, "c:user");
  static const char *const nobody[] = {"d", "", NULL};
  for (unsigned i = 0; i < 3; i++) {
    credential.provider = nobody[i];
    CU_ASSERT_EQUAL(mu_auth_check(frame.asker, &credential, on_answer, &frame), 0);
    CU_ASSERT_EQUAL(frame.verdict, MU_AUTH_REFUSED);
  }
  CU_ASSERT_TRUE(p[0].asked == 0 && p[1].asked == 1 && p[2].asked == 1);
  credential.kind = MU_CREDENTIAL_SERVER; /* other kinds go to everybody */
  CU_ASSERT_EQUAL(mu_auth_check(frame.asker, &credential, on_answer, &frame), 0);
  CU_ASSERT_STRING_EQUAL(frame.who, "a:user");
  teardown(&frame);
}

static void test_async(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  p[0].later = p[2].later = true;
  p[2].verdict = MU_AUTH_GRANTED;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
  CU_ASSERT_EQUAL(frame.answers, 0);
  answer_later(&p[0]); /* unknown: the second says so at once, the third later */
  CU_ASSERT_TRUE(frame.answers == 0 && p[1].asked == 1 && p[2].asked == 1);
  CU_ASSERT_STRING_EQUAL(p[2].seen, "demo/s3cret/10.0.0.9");
  answer_later(&p[2]);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_GRANTED);
  CU_ASSERT_STRING_EQUAL(frame.who, "c:user");

  p[2].verdict = MU_AUTH_UNKNOWN;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
  answer_later(&p[0]);
  answer_later(&p[2]);
  CU_ASSERT_TRUE(frame.answers == 2 && frame.verdict == MU_AUTH_REFUSED && frame.denied == MU_AUTH_UNKNOWN);
  teardown(&frame);
}

static void test_provider_stops(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  p[0].later = true;
  p[0].verdict = MU_AUTH_GRANTED;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
  mui_instance_revoke(p[0].in);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_UNAVAILABLE);
  CU_ASSERT_EQUAL(p[1].asked, 0);
  answer_later(&p[0]); /* a job of it ended after all: into nothing */
  CU_ASSERT_EQUAL(frame.answers, 1);
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0); /* it is not asked any more */
  CU_ASSERT_TRUE(frame.verdict == MU_AUTH_REFUSED && p[0].asked == 1 && p[1].asked == 1);
  teardown(&frame);
}

static void test_asker_stops(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  p[0].later = true;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
  mui_instance_revoke(frame.asker);
  answer_later(&p[0]); /* the other question stays open until the provider stops */
  CU_ASSERT_TRUE(frame.answers == 0 && p[1].asked == 0 && frame.denials == 0);
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_ECLOSED);
  teardown(&frame);
}

static void stop_asker(struct frame *frame)
{
  mui_instance_revoke(frame->asker);
}

static void stop_first(struct frame *frame)
{
  mui_instance_revoke(frame->providers[0].in);
}

static void test_stops_inside(void)
{
  for (unsigned later = 0; later < 2; later++) {
    struct frame frame;
    setup(&frame);
    frame.providers[0].act = stop_asker;
    frame.providers[0].later = later;
    check(&frame, MU_CREDENTIAL_SERVER);
    if (later)
      answer_later(&frame.providers[0]);
    CU_ASSERT_TRUE(frame.answers == 0 && frame.providers[1].asked == 0);
    teardown(&frame);

    setup(&frame);
    frame.providers[0].act = stop_first;
    frame.providers[0].verdict = MU_AUTH_GRANTED;
    frame.providers[0].later = later;
    CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
    CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_UNAVAILABLE);
    if (later)
      answer_later(&frame.providers[0]);
    CU_ASSERT_EQUAL(frame.answers, 1);
    teardown(&frame);
  }
}

static void test_bad_providers(void)
{
  struct frame frame;
  setup(&frame);
  struct provider *p = frame.providers;
  p[0].verdict = MU_AUTH_GRANTED;
  p[0].twice = true;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_GRANTED);
  p[0].twice = false;

  p[0].claims = "b"; /* somebody else's user */
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 2 && frame.verdict == MU_AUTH_UNAVAILABLE);
  CU_ASSERT_STRING_EQUAL(frame.who, ":");
  p[0].claims = ""; /* makes no principal at all */
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 3 && frame.verdict == MU_AUTH_UNAVAILABLE);
  p[0].verdict = (enum mu_verdict)77;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 4 && frame.verdict == MU_AUTH_UNAVAILABLE);

  p[0].silent = true; /* promises and errors without an answer */
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 5 && frame.verdict == MU_AUTH_UNAVAILABLE);
  p[0].result = MU_EIO;
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 6 && frame.verdict == MU_AUTH_UNAVAILABLE);
  answer_later(&p[0]);
  CU_ASSERT_TRUE(frame.answers == 6 && p[1].asked == 0 && frame.denials == 0);
  teardown(&frame);
}

static bool nobody(mu_instance *in, const char *service)
{
  (void)in;
  (void)service;
  return false;
}

static void test_not_listed(void)
{
  struct frame frame;
  setup(&frame);
  frame.providers[0].verdict = MU_AUTH_GRANTED;
  mui_bus_may(frame.runtime.bus, nobody);
  CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), 0);
  CU_ASSERT_TRUE(frame.answers == 1 && frame.verdict == MU_AUTH_UNAVAILABLE && frame.providers[0].asked == 0);
  teardown(&frame);
}

static void test_many_unknown(void)
{
  struct frame frame;
  setup(&frame);
  frame.providers[0].later = true;
  struct {
    mu_auth_done done;
    void *context;
  } open[1000];
  for (unsigned i = 0; i < 1000; i++) {
    CU_ASSERT_EQUAL(check(&frame, MU_CREDENTIAL_SERVER), MU_PENDING);
    open[i].done = frame.providers[0].done;
    open[i].context = frame.providers[0].context;
  }
  for (unsigned i = 0; i < 1000; i += 2)
    give(&frame.providers[0], open[i].done, open[i].context);
  CU_ASSERT_EQUAL(frame.answers, 500);
  mui_instance_revoke(frame.providers[0].in);
  CU_ASSERT_EQUAL(frame.answers, 1000);
  CU_ASSERT_EQUAL(frame.denials, 500);
  teardown(&frame);
}

static const struct unit_test tests[] = {
    {"in turn", test_sync},
    {"codes of refusals", test_codes},
    {"somebody who is known", test_known},
    {"answers later", test_async},
    {"the provider stops", test_provider_stops},
    {"the asker stops", test_asker_stops},
    {"either stops inside judge()", test_stops_inside},
    {"providers that break the contract", test_bad_providers},
    {"not listed in needs", test_not_listed},
    {"a thousand at once", test_many_unknown},
};
UNIT_MAIN("auth", tests)
