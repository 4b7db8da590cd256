/* SPDX-License-Identifier: ISC */
/* Who is revoked, and when nobody is. */
#include <stdio.h>
#include <string.h>

#include "holders.h"
#include "unit.h"

enum { INTERVAL = 300000 };

static const char *busy_user = "";

static bool is_busy(void *self, const char *user)
{
  (void)self;
  return strcmp(user, busy_user) == 0;
}

static void digest_of(unsigned char digest[KEY_DIGEST], const char *text)
{
  memset(digest, 0, KEY_DIGEST);
  memcpy(digest, text, strlen(text));
}

/* Key "key-of-USER" of a user; `key` false: by a token. */
static struct holder *granted(struct holders *holders, const char *user, bool key, int64_t now)
{
  char text[64], credential[64];
  unsigned char digest[KEY_DIGEST];
  bool forgot;
  snprintf(text, sizeof text, "key-of-%s", user);
  snprintf(credential, sizeof credential, "c%d-%s", key, user);
  digest_of(digest, text);
  const struct mu_principal *principal = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                                                 .provider = "p",
                                                                                 .id = user,
                                                                                 .role = MU_ROLE_USER,
                                                                                 .credential = credential});
  struct holder *holder =
      holders_grant(holders, principal, key ? mu_str(text) : (struct mu_str){0}, digest, true, now, &forgot);
  mu_principal_unref(principal);
  CU_ASSERT_PTR_NOT_NULL_FATAL(holder);
  holders_seen(holders, user, now);
  return holder;
}

static enum holder_event tell(struct holders *holders, struct holder *holder, enum lookup_kind kind,
                              enum lookup_verdict verdict, int64_t now)
{
  if (verdict == LOOKUP_FOUND)
    holders_seen(holders, holder->principal->id, now);
  return holders_answer(holders, holder, kind, verdict, now);
}

/* Asks whoever is due until `until`; users in `there` (commas around) exist, `keys` likewise. Counts events. */
struct story {
  const char *there, *keys;
  unsigned revoked, alarms, asked;
};

static void run(struct holders *holders, struct story *story, int64_t from, int64_t until)
{
  for (int64_t now = from; now < until; now += holders_tick_ms(holders)) {
    struct holder *holder;
    while ((holder = holders_due(holders, now))) {
      char name[64];
      snprintf(name, sizeof name, ",%s,", holder->principal->id);
      enum lookup_kind kind = holder_question(holder);
      bool found = strstr(kind == LOOKUP_BY_KEY ? story->keys : story->there, name) != NULL;
      enum holder_event event = tell(holders, holder, kind, found ? LOOKUP_FOUND : LOOKUP_ABSENT, now);
      story->asked++;
      story->revoked += event == HOLDER_REVOKED;
      story->alarms += event == HOLDER_ALARM;
      if (event == HOLDER_REVOKED)
        CU_ASSERT_EQUAL(holder->state, HOLDER_GONE);
    }
  }
}

static struct holders *three(void)
{
  struct holders *holders = holders_new(100, INTERVAL, is_busy, NULL);
  CU_ASSERT_PTR_NOT_NULL_FATAL(holders);
  granted(holders, "a", true, 0);
  granted(holders, "b", true, 0);
  granted(holders, "c", true, 0);
  return holders;
}

static enum holder_state state(struct holders *holders, const char *user)
{
  char credential[64];
  snprintf(credential, sizeof credential, "c1-%s", user);
  struct holder *holder = holders_by_credential(holders, credential);
  return holder ? holder->state : HOLDER_GONE;
}

static void nothing_changes(void)
{
  struct holders *holders = three();
  struct story story = {",a,b,c,", ",a,b,c,", 0, 0, 0};
  run(holders, &story, 0, INTERVAL / 2);
  CU_ASSERT_EQUAL(story.asked, 0); /* just granted */
  run(holders, &story, INTERVAL / 2, INTERVAL + 1000);
  CU_ASSERT(story.asked >= 3); /* all of them, within the interval */
  run(holders, &story, INTERVAL + 1000, 20 * (int64_t)INTERVAL);
  CU_ASSERT_EQUAL(story.revoked + story.alarms, 0);
  CU_ASSERT(story.asked < 3 * 26 && story.asked >= 3 * 19);
  holders_free(holders);
}

static void key_taken_back(void)
{
  struct holders *holders = three();
  struct story story = {",a,b,c,", ",b,c,", 0, 0, 0}; /* a's user is there, its key is not */
  run(holders, &story, 0, INTERVAL + 2000);
  CU_ASSERT_EQUAL(story.revoked, 1);
  CU_ASSERT_EQUAL(state(holders, "a"), HOLDER_GONE);
  CU_ASSERT_EQUAL(state(holders, "b"), HOLDER_LIVE);
  run(holders, &story, INTERVAL + 2000, 4 * INTERVAL);
  CU_ASSERT_EQUAL(story.revoked, 1); /* once */
  holders_free(holders);
}

static void all_keys_taken_back(void)
{
  struct holders *holders = three();
  struct story story = {",a,b,c,", ",", 0, 0, 0}; /* users are readable: it is meant */
  run(holders, &story, 0, INTERVAL + 2000);
  CU_ASSERT_EQUAL(story.revoked, 3);
  CU_ASSERT_EQUAL(story.alarms, 0);
  holders_free(holders);
}

static void user_deleted(void)
{
  struct holders *holders = three();
  struct story story = {",b,c,", ",b,c,", 0, 0, 0};
  run(holders, &story, 0, INTERVAL + 15000);
  CU_ASSERT_EQUAL(story.revoked, 1);
  CU_ASSERT_EQUAL(story.alarms, 0);
  CU_ASSERT_EQUAL(state(holders, "a"), HOLDER_GONE);
  holders_free(holders);
}

static void everything_vanishes(void)
{
  struct holders *holders = three();
  struct story story = {",", ",", 0, 0, 0};
  run(holders, &story, 0, 10 * (int64_t)INTERVAL);
  CU_ASSERT_EQUAL(story.revoked, 0);
  CU_ASSERT_EQUAL(story.alarms, 1);
  CU_ASSERT_TRUE(holders_alarm(holders));
  CU_ASSERT(story.asked < 10 * 3 * 25); /* asked on, but not without end */
  /* The grants are repaired: it was a mistake. */
  story = (struct story){",a,b,c,", ",a,b,c,", 0, 0, 0};
  holders_seen(holders, "a", 10 * (int64_t)INTERVAL);
  CU_ASSERT_FALSE(holders_alarm(holders));
  /* Those were asked for by id: the user is there, so the key must be looked at again before anybody is cut off. */
  run(holders, &story, 10 * (int64_t)INTERVAL, 12 * (int64_t)INTERVAL);
  CU_ASSERT_EQUAL(story.revoked, 0);
  CU_ASSERT_EQUAL(state(holders, "a"), HOLDER_LIVE);
  CU_ASSERT_EQUAL(state(holders, "b"), HOLDER_LIVE);
  CU_ASSERT_EQUAL(state(holders, "c"), HOLDER_LIVE);
  holders_free(holders);
}

static void vanishes_but_for_one(void)
{
  struct holders *holders = three();
  struct story story = {",c,", ",c,", 0, 0, 0}; /* two of three users are deleted */
  run(holders, &story, 0, 2 * INTERVAL);
  CU_ASSERT_EQUAL(story.revoked, 2);
  CU_ASSERT_EQUAL(state(holders, "c"), HOLDER_LIVE);
  holders_free(holders);
}

static void alone(void)
{
  struct holders *holders = holders_new(100, INTERVAL, is_busy, NULL);
  struct holder *holder = granted(holders, "a", true, 0);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_KEY, LOOKUP_ABSENT, 1000), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_ABSENT, 2000), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_KEY, LOOKUP_ABSENT, 2500), HOLDER_NOTHING); /* a client's: no vote */
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_UNAVAILABLE, 2600), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_ABSENT, 3000), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_ABSENT, 4000), HOLDER_REVOKED);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_ABSENT, 5000), HOLDER_NOTHING);
  /* The key is valid again, and somebody comes with it. */
  CU_ASSERT_PTR_EQUAL(granted(holders, "a", true, 6000), holder);
  CU_ASSERT_EQUAL(holder->state, HOLDER_LIVE);
  holders_free(holders);
}

static void suspicion_ends(void)
{
  struct holders *holders = three();
  struct holder *holder = holders_by_credential(holders, "c1-a");
  tell(holders, holder, LOOKUP_BY_KEY, LOOKUP_ABSENT, 1000);
  CU_ASSERT_EQUAL(holder->state, HOLDER_SUSPECT);
  CU_ASSERT_PTR_EQUAL(holders_due(holders, 1000), holder); /* at once */
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_KEY, LOOKUP_FOUND, 2000), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(holder->state, HOLDER_LIVE);
  CU_ASSERT_PTR_NULL(holders_due(holders, 3000));
  /* An answer that cannot be had is no answer. */
  for (int64_t now = 10000; now < 200000; now += 5000)
    CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_KEY, LOOKUP_UNAVAILABLE, now), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(holder->state, HOLDER_LIVE);
  holders_free(holders);
}

static void by_token(void)
{
  struct holders *holders = three();
  struct holder *holder = granted(holders, "d", false, 0);
  CU_ASSERT_EQUAL(holder_question(holder), LOOKUP_BY_ID);
  CU_ASSERT_EQUAL(tell(holders, holder, LOOKUP_BY_ID, LOOKUP_FOUND, 1000), HOLDER_NOTHING);
  CU_ASSERT_EQUAL(holder->state, HOLDER_LIVE);
  struct story story = {",a,b,c,", ",a,b,c,", 0, 0, 0};
  run(holders, &story, 1000, 2 * INTERVAL);
  CU_ASSERT_EQUAL(story.revoked, 1);
  CU_ASSERT_EQUAL(holder->state, HOLDER_GONE);
  holders_free(holders);
}

static void room(void)
{
  struct holders *holders = holders_new(16, INTERVAL, is_busy, NULL);
  char user[16];
  bool forgot = false;
  busy_user = "u0";
  for (int i = 0; i < 40; i++) {
    snprintf(user, sizeof user, "u%d", i);
    granted(holders, user, true, i);
  }
  CU_ASSERT_EQUAL(holders_count(holders), 16);
  CU_ASSERT_PTR_NOT_NULL(holders_by_credential(holders, "c1-u0")); /* on line */
  CU_ASSERT_PTR_NULL(holders_by_credential(holders, "c1-u1"));
  CU_ASSERT_PTR_NOT_NULL(holders_by_credential(holders, "c1-u39"));
  unsigned char digest[KEY_DIGEST];
  digest_of(digest, "key-of-u39");
  CU_ASSERT_PTR_EQUAL(holders_by_digest(holders, digest), holders_by_credential(holders, "c1-u39"));
  const struct mu_principal *principal = mu_principal_ref(holders_by_credential(holders, "c1-u39")->principal);
  CU_ASSERT_PTR_NOT_NULL(holders_grant(holders, principal, (struct mu_str){0}, digest, false, 100, &forgot));
  CU_ASSERT_FALSE(forgot);
  mu_principal_unref(principal);
  holders_prune(holders, 50 * 3600 * 1000LL);
  CU_ASSERT_EQUAL(holders_count(holders), 1);
  CU_ASSERT_PTR_NOT_NULL(holders_by_credential(holders, "c1-u0"));
  busy_user = "";
  holders_free(holders);
  holders_free(NULL);
}

static const struct unit_test tests[] = {
    {"nothing changes", nothing_changes},
    {"a key is taken back", key_taken_back},
    {"all keys are taken back", all_keys_taken_back},
    {"a user is deleted", user_deleted},
    {"everything vanishes", everything_vanishes},
    {"all but one vanish", vanishes_but_for_one},
    {"the only user", alone},
    {"a suspicion ends", suspicion_ends},
    {"known by a token", by_token},
    {"room", room},
};
UNIT_MAIN("auth_supabase holders", tests)
