/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "net/uplink.h"
#include "unit.h"

static void test_good(void)
{
  static const struct {
    const char *text, *host, *path, *authority;
    bool tls;
    unsigned port;
  } good[] = {
      {"ws://127.0.0.1:8900/ws-report", "127.0.0.1", "/ws-report", "127.0.0.1:8900", false, 8900},
      {"WSS://example.org", "example.org", "/", "example.org", true, 443},
      {"wss://example.org:443/", "example.org", "/", "example.org", true, 443},
      {"wss://example.org:80/", "example.org", "/", "example.org:80", true, 80},
      {"ws://h/", "h", "/", "h", false, 80},
      {"ws://h?a=b", "h", "/?a=b", "h", false, 80},
      {"ws://h:1/a/b?c=d:e", "h", "/a/b?c=d:e", "h:1", false, 1},
      {"ws://[::1]:65535/x", "::1", "/x", "[::1]:65535", false, 65535},
      {"ws://[fe80::1]", "fe80::1", "/", "[fe80::1]", false, 80},
  };
  for (size_t i = 0; i < MU_COUNT(good); i++) {
    struct mui_url url;
    char authority[300];
    const char *problem = mui_url_parse(good[i].text, &url);
    CU_ASSERT_PTR_NULL_FATAL(problem);
    mui_url_authority(&url, authority);
    CU_ASSERT_STRING_EQUAL(url.host, good[i].host);
    CU_ASSERT_STRING_EQUAL(url.path, good[i].path);
    CU_ASSERT_STRING_EQUAL(authority, good[i].authority);
    CU_ASSERT_EQUAL(url.tls, good[i].tls);
    CU_ASSERT_EQUAL(url.port, good[i].port);
  }
}

static void test_bad(void)
{
  static const char *const bad[] = {
      "",
      "ws",
      "ws://",
      "ws:///x",
      "http://h/",
      "h:80",
      "ws://h:/",
      "ws://h:0",
      "ws://h:65536",
      "ws://h:999999999",
      "ws://h:-1",
      "ws://h:8a",
      "ws://h:+80",
      "ws://u@h/",
      "ws://u:p@h/",
      "ws://h/#f",
      "ws://h /",
      "ws://h/a b",
      "ws://h\r\n",
      "ws://h/\r\nX:",
      "ws://[::1",
      "ws://[::1]x",
      "ws://[]",
      "ws://[h]/",
      "ws://h\\x",
      "ws://h%00/",
      "ws://h\xc3\xa4/",
      "ws://a:b:1/",
      "ws://?x@evil/ y",
      " ws://h",
  };
  struct mui_url url;
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    if (!mui_url_parse(bad[i], &url))
      CU_FAIL(bad[i]);
  char text[4000] = "ws://";
  memset(text + 5, 'a', 256);
  CU_ASSERT_PTR_NOT_NULL(mui_url_parse(text, &url)); /* host one too long */
  text[5 + 255] = '\0';
  CU_ASSERT_PTR_NULL(mui_url_parse(text, &url));
  memset(text + 6, 0, sizeof text - 6);
  text[6] = '/';
  memset(text + 7, 'p', 1023);
  CU_ASSERT_PTR_NOT_NULL(mui_url_parse(text, &url)); /* path one too long */
  text[7 + 1022] = '\0';
  CU_ASSERT_PTR_NULL(mui_url_parse(text, &url));
}

static void test_delay(void)
{
  CU_ASSERT_EQUAL(mui_client_delay_ms(0, 0), 2400);
  CU_ASSERT_EQUAL(mui_client_delay_ms(0, UINT32_MAX), 3600);
  CU_ASSERT(mui_client_delay_ms(1, UINT32_MAX / 2) - 3599 <= 2);
  uint64_t before = 0;
  for (unsigned n = 0; n <= 10000; n++) {
    uint64_t low = mui_client_delay_ms(n, 0), high = mui_client_delay_ms(n, UINT32_MAX);
    CU_ASSERT(low >= before && low < high);
    CU_ASSERT(low >= 2400 && low <= 480000 && high <= 720000);
    before = low;
  }
  CU_ASSERT_EQUAL(mui_client_delay_ms(10000, 0), 480000);
  CU_ASSERT_EQUAL(mui_client_delay_ms(UINT32_MAX, UINT32_MAX), 720000);
}

static const struct unit_test tests[] = {
    {"good URLs", test_good},
    {"bad URLs", test_bad},
    {"delays grow, end and never overflow", test_delay},
};
UNIT_MAIN("url", tests)
