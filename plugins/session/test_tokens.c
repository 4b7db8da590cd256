/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "tokens.h"
#include "unit.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void says_of_whom_it_speaks(void)
{
  mu_token_key *key = tokens_key(secret);
  CU_ASSERT_FATAL(key != NULL);
  const struct token_bearer bearer = {"alice", "auth_static", "cred", "m-1", TOKEN_AGENT};
  mu_text *token = tokens_sign(key, &bearer, 1000, 60);
  CU_ASSERT_FATAL(token != NULL);
  struct mu_claims claims = {.size = sizeof claims};
  CU_ASSERT(mu_token_check(key, mu_text_str(token), 1059, &claims) == 0);
  CU_ASSERT_STRING_EQUAL(claims.subject, "alice");
  CU_ASSERT_STRING_EQUAL(claims.provider, "auth_static");
  CU_ASSERT_STRING_EQUAL(claims.credential, "cred");
  CU_ASSERT_STRING_EQUAL(claims.machine, "m-1");
  CU_ASSERT_STRING_EQUAL(claims.scope, "agent");
  CU_ASSERT(claims.issued == 1000 && claims.not_before == 1000 && claims.expires == 1060 && strlen(claims.id) >= 16);
  CU_ASSERT(mu_token_check(key, mu_text_str(token), 1060, &claims) == MU_ETIMEOUT);
  mu_text *again = tokens_sign(key, &bearer, 1000, 60);
  CU_ASSERT(again && !mu_str_equal(mu_text_str(token), mu_text_str(again))); /* each has its own jti */
  mu_text_unref(again);
  mu_text_unref(token);
  mu_token_key_free(key);
}

static void nothing_is_cut(void)
{
  mu_token_key *key = tokens_key(secret);
  char longest[256];
  memset(longest, 'a', sizeof longest);
  longest[255] = '\0';
  struct token_bearer bearer = {longest, "p", "", "", TOKEN_ADMIN};
  mu_text *token = tokens_sign(key, &bearer, 1000, 60);
  CU_ASSERT(token != NULL);
  mu_text_unref(token);
  char over[257];
  memset(over, 'a', sizeof over);
  over[256] = '\0';
  bearer.user = over;
  CU_ASSERT(tokens_sign(key, &bearer, 1000, 60) == NULL);
  bearer = (struct token_bearer){"u", over, "", "", TOKEN_ADMIN};
  CU_ASSERT(tokens_sign(key, &bearer, 1000, 60) == NULL);
  bearer = (struct token_bearer){"u", "p", over, "", TOKEN_ADMIN};
  CU_ASSERT(tokens_sign(key, &bearer, 1000, 60) == NULL);
  bearer = (struct token_bearer){"", "p", "", "", TOKEN_ADMIN};
  CU_ASSERT(tokens_sign(key, &bearer, 1000, 60) == NULL);
  mu_token_key_free(key);
  CU_ASSERT(tokens_key("too short") == NULL);
}

static struct mu_claims claims_of(const char *provider, const char *user, const char *credential, int64_t issued)
{
  struct mu_claims claims = {.size = sizeof claims, .issued = issued};
  snprintf(claims.provider, sizeof claims.provider, "%s", provider);
  snprintf(claims.subject, sizeof claims.subject, "%s", user);
  snprintf(claims.credential, sizeof claims.credential, "%s", credential);
  return claims;
}

static bool revoked(const struct revocations *revocations, const char *provider, const char *user,
                    const char *credential, int64_t issued)
{
  struct mu_claims claims = claims_of(provider, user, credential, issued);
  return revocations_has(revocations, &claims);
}

static void note(struct revocations *revocations, const char *user, const char *credential, int64_t now_s,
                 int64_t lifetime_s)
{
  const struct mu_principal who = {
      .size = sizeof who, .provider = "p", .id = user, .role = MU_ROLE_USER, .credential = credential};
  revocations_note(revocations, &who, now_s, lifetime_s);
}

static void revocations(void)
{
  struct revocations list;
  revocations_init(&list, 8);
  note(&list, "alice", "one", 100, 50);
  note(&list, "bob", "", 100, 50);
  CU_ASSERT(revoked(&list, "p", "alice", "one", 99) && revoked(&list, "p", "alice", "one", 100));
  CU_ASSERT(!revoked(&list, "p", "alice", "one", 101));
  CU_ASSERT(!revoked(&list, "p", "alice", "two", 99));
  CU_ASSERT(!revoked(&list, "q", "alice", "one", 99));
  CU_ASSERT(revoked(&list, "p", "bob", "any", 99) && revoked(&list, "p", "bob", "", 99));
  CU_ASSERT(!revoked(&list, "p", "carol", "", 99));
  note(&list, "dave", "", 200, 50); /* the tokens that the others mean have expired */
  CU_ASSERT_EQUAL(list.count, 1);
  revocations_fini(&list);
}

/* A user and a machine of one id are two: what ends one leaves the other's tokens good. */
static void machines_are_no_users(void)
{
  struct revocations list;
  struct mu_principal who = {
      .size = sizeof who, .provider = "p", .id = "web", .role = MU_ROLE_MACHINE, .credential = ""};
  struct mu_claims users = claims_of("p", "web", "", 99), machines = users;
  strcpy(users.scope, TOKEN_AGENT);
  strcpy(machines.scope, TOKEN_MACHINE);
  revocations_init(&list, 8);
  revocations_note(&list, &who, 100, 50);
  CU_ASSERT(revocations_has(&list, &machines) && !revocations_has(&list, &users));
  revocations_fini(&list);
  who.role = MU_ROLE_ADMIN;
  revocations_note(&list, &who, 100, 50);
  CU_ASSERT(!revocations_has(&list, &machines) && revocations_has(&list, &users));
  strcpy(users.scope, TOKEN_ADMIN);
  CU_ASSERT(revocations_has(&list, &users));
  revocations_fini(&list);
}

static void forgetting_makes_nothing_good(void)
{
  struct revocations list;
  revocations_init(&list, 8);
  char user[16];
  for (int i = 0; i < 100; i++) {
    snprintf(user, sizeof user, "u%d", i);
    note(&list, user, "", 1000 + i, 100000);
    CU_ASSERT(list.count <= 8);
  }
  for (int i = 0; i < 100; i++) {
    snprintf(user, sizeof user, "u%d", i);
    CU_ASSERT(revoked(&list, "p", user, "", 1000 + i));
  }
  CU_ASSERT(!revoked(&list, "p", "other", "", 1092) && revoked(&list, "p", "other", "", 1091));
  revocations_fini(&list);
}

static const struct unit_test tests[] = {
    {"a token says of whom it speaks", says_of_whom_it_speaks},
    {"nothing is cut to fit", nothing_is_cut},
    {"revocations", revocations},
    {"machines are no users", machines_are_no_users},
    {"forgetting a revocation makes no token good again", forgetting_makes_nothing_good},
};
UNIT_MAIN("session: tokens", tests)
