/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "address.h"
#include "unit.h"

static void parts(void)
{
  struct address a;
  CU_ASSERT_PTR_NULL_FATAL(address_parse("mysql://relay:p%40ss%3Aw%2Frd%20%25@db.example:3307/relay_db", &a));
  CU_ASSERT_STRING_EQUAL(a.user, "relay");
  CU_ASSERT_STRING_EQUAL(a.password, "p@ss:w/rd %");
  CU_ASSERT_STRING_EQUAL(a.host, "db.example");
  CU_ASSERT_EQUAL(a.port, 3307);
  CU_ASSERT_STRING_EQUAL(a.database, "relay_db");
  CU_ASSERT_EQUAL(a.tls, ADDRESS_TLS_UNSAID);
  CU_ASSERT_EQUAL(a.connect_timeout, -1);
  CU_ASSERT_STRING_EQUAL(a.ignored, "");
  address_free(&a);

  CU_ASSERT_PTR_NULL_FATAL(address_parse("mariadb://u@[::1]/x", &a));
  CU_ASSERT_STRING_EQUAL(a.password, "");
  CU_ASSERT_STRING_EQUAL(a.host, "::1");
  CU_ASSERT_EQUAL(a.port, 3306);
  address_free(&a);

  /* What the released server takes: a "@" and a "%" as they are, "+" that is no space. */
  CU_ASSERT_PTR_NULL_FATAL(address_parse("mysql://u:a@b%zz+100%@h:1/x%20y?", &a));
  CU_ASSERT_STRING_EQUAL(a.password, "a@b%zz+100%");
  CU_ASSERT_STRING_EQUAL(a.database, "x y");
  address_free(&a);
}

static void query(void)
{
  struct address a;
  CU_ASSERT_PTR_NULL_FATAL(
      address_parse("mysql://u:p@h/x?connection_limit=5&pool_timeout=2&connect_timeout=7&socket_timeout=9"
                    "&sslcert=%2Ftmp%2Fa+b.pem&socket=%2Frun%2Fs&&odd#there",
                    &a));
  CU_ASSERT_EQUAL(a.connect_timeout, 7);
  CU_ASSERT_EQUAL(a.answer_timeout, 9);
  CU_ASSERT_STRING_EQUAL(a.ca_file, "/tmp/a b.pem");
  CU_ASSERT_STRING_EQUAL(a.socket, "/run/s");
  CU_ASSERT_EQUAL(a.tls, ADDRESS_TLS_VERIFIED);
  CU_ASSERT_STRING_EQUAL(a.ignored, "connection_limit, pool_timeout, odd");
  address_free(&a);

  CU_ASSERT_PTR_NULL_FATAL(address_parse("mysql://u:p@h/x?sslaccept=accept_invalid_certs&sslcert=a", &a));
  CU_ASSERT_EQUAL(a.tls, ADDRESS_TLS_UNVERIFIED);
  address_free(&a);
  CU_ASSERT_PTR_NULL_FATAL(address_parse("mysql://u:p@h/x?sslaccept=strict", &a));
  CU_ASSERT_EQUAL(a.tls, ADDRESS_TLS_VERIFIED);
  address_free(&a);

  /* More names than there is room for. */
  char text[4000] = "mysql://u:p@h/x?";
  for (int i = 0; i < 200; i++)
    strcat(text, "&parameter=1");
  CU_ASSERT_PTR_NULL_FATAL(address_parse(text, &a));
  CU_ASSERT(strlen(a.ignored) < sizeof a.ignored);
  address_free(&a);
}

static void wrong(void)
{
  static const char *const bad[] = {
      "",
      "mysql:/u:p@h/x",
      "postgres://u:secret@h/x",
      "MYSQL//u:p@h/x",
      "mysql://h/x",
      "mysql://:secret@h/x",
      "mysql://u:secret@/x",
      "mysql://u:secret@:1/x",
      "mysql://u:secret@h",
      "mysql://u:secret@h/",
      "mysql://u:secret@h/?a=b",
      "mysql://u:secret@h:0/x",
      "mysql://u:secret@h:65536/x",
      "mysql://u:secret@h:99999999999999999999999/x",
      "mysql://u:secret@h:port/x",
      "mysql://u:secret@[::1/x",
      "mysql://u:secret@[::1]x/x",
      "mysql://u:sec%00ret@h/x",
      "mysql://u:sec/ret@h/x",
      "mysql://u:p@sec/ret@h/x",
      "mysql://u:p@h/x/y",
      "mysql://u:secret@h/x?connect_timeout=",
      "mysql://u:secret@h/x?connect_timeout=-1",
      "mysql://u:secret@h/x?socket_timeout=1s",
      "mysql://u:secret@h/x?sslaccept=maybe",
      "mysql://u:secret@h/x?socket=%00",
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct address a;
    const char *why = address_parse(bad[i], &a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(why);
    CU_ASSERT_PTR_NULL(strstr(why, "secret"));
    CU_ASSERT_PTR_NULL(a.password);
  }
}

static const struct unit_test tests[] = {{"parts", parts}, {"query", query}, {"wrong", wrong}};
UNIT_MAIN("address", tests)
