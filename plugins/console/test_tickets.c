/* SPDX-License-Identifier: ISC */
/* Tickets: once, for 30 s, for one user, and not without bound. */
#include <stdio.h>
#include <string.h>

#include "tickets.h"
#include "unit.h"

#define S INT64_C(1000000000)

static const struct mu_principal *user(const char *id, const char *credential)
{
  const struct mu_principal values = {.size = sizeof values,
                                      .provider = "accounts",
                                      .id = id,
                                      .name = id,
                                      .role = MU_ROLE_USER,
                                      .owner = id,
                                      .credential = credential};
  return mu_principal_new(&values);
}

static bool takes(struct tickets *tickets, const char *text, int64_t now, const char *id)
{
  const struct mu_principal *principal = tickets_take(tickets, mu_str(text), now);
  bool right = id ? principal && strcmp(principal->id, id) == 0 : !principal;
  mu_principal_unref(principal);
  return right;
}

static void test_once(void)
{
  struct tickets tickets = {0};
  char one[TICKET_TEXT + 1], two[TICKET_TEXT + 1];
  const struct mu_principal *ann = user("ann", "k1"), *bob = user("bob", "k2");
  CU_ASSERT_TRUE(takes(&tickets, "", 0, NULL));
  CU_ASSERT_EQUAL(tickets_new(&tickets, ann, 0, one), 0);
  CU_ASSERT_EQUAL(tickets_new(&tickets, bob, 0, two), 0);
  CU_ASSERT_EQUAL(strlen(one), TICKET_TEXT);
  CU_ASSERT_STRING_NOT_EQUAL(one, two);
  CU_ASSERT_TRUE(takes(&tickets, "", S, NULL) && takes(&tickets, "x", S, NULL));
  CU_ASSERT_TRUE(takes(&tickets, two, 29 * S, "bob"));
  CU_ASSERT_TRUE(takes(&tickets, two, 29 * S, NULL));
  CU_ASSERT_TRUE(takes(&tickets, one, TICKET_LIFE_S * S, NULL)); /* too late, and gone with that */
  CU_ASSERT_TRUE(takes(&tickets, one, S, NULL));
  tickets_free(&tickets);
  mu_principal_unref(ann);
  mu_principal_unref(bob);
}

static void test_revoked(void)
{
  struct tickets tickets = {0};
  char first[TICKET_TEXT + 1], second[TICKET_TEXT + 1], other[TICKET_TEXT + 1];
  const struct mu_principal *by_k1 = user("ann", "k1"), *by_k2 = user("ann", "k2"), *all = user("ann", ""),
                            *bob = user("bob", "");
  tickets_revoke(&tickets, all);
  tickets_new(&tickets, by_k1, 0, first);
  tickets_new(&tickets, by_k2, 0, second);
  tickets_new(&tickets, bob, 0, other);
  tickets_revoke(&tickets, by_k1);
  CU_ASSERT_TRUE(takes(&tickets, first, 0, NULL) && takes(&tickets, second, 0, "ann"));
  tickets_new(&tickets, by_k2, 0, second);
  tickets_revoke(&tickets, all);
  CU_ASSERT_TRUE(takes(&tickets, second, 0, NULL) && takes(&tickets, other, 0, "bob"));
  tickets_free(&tickets);
  mu_principal_unref(by_k1);
  mu_principal_unref(by_k2);
  mu_principal_unref(all);
  mu_principal_unref(bob);
}

static void test_bounds(void)
{
  struct tickets tickets = {0};
  char text[TICKETS_EACH + 1][TICKET_TEXT + 1], other[TICKET_TEXT + 1], id[16];
  const struct mu_principal *ann = user("ann", "");
  for (int i = 0; i <= TICKETS_EACH; i++)
    CU_ASSERT_EQUAL(tickets_new(&tickets, ann, i, text[i]), 0);
  CU_ASSERT_TRUE(takes(&tickets, text[0], 100, NULL)); /* the oldest made room */
  for (int i = 1; i <= TICKETS_EACH; i++)
    CU_ASSERT_TRUE(takes(&tickets, text[i], 100, "ann"));
  int n = 0, error = 0;
  for (; n < 2 * TICKETS_MAX && error == 0; n++) {
    snprintf(id, sizeof id, "u%d", n);
    const struct mu_principal *someone = user(id, "");
    error = tickets_new(&tickets, someone, S, other);
    mu_principal_unref(someone);
  }
  CU_ASSERT_EQUAL(error, MU_ELIMIT);
  CU_ASSERT_EQUAL(n, TICKETS_MAX + 1);
  CU_ASSERT_EQUAL(tickets_new(&tickets, ann, (TICKET_LIFE_S + 1) * S, other), 0); /* the old ones are worth nothing */
  CU_ASSERT_TRUE(takes(&tickets, other, (TICKET_LIFE_S + 1) * S, "ann"));
  tickets_free(&tickets);
  mu_principal_unref(ann);
}

static const struct unit_test tests[] = {{"once", test_once}, {"revoked", test_revoked}, {"bounds", test_bounds}};
UNIT_MAIN("console: tickets", tests)
