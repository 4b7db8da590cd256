/* SPDX-License-Identifier: ISC */
/* The core's own words to REST clients, in two languages. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/rest.h"

/* The quality of one entry, in thousandths: "zh-CN;q=0.8". Nonsense counts as 0. */
static int quality(const char *at, const char *end)
{
  const char *q = memchr(at, ';', (size_t)(end - at));
  if (!q)
    return 1000;
  q++;
  q += strspn(q, " \t");
  if (end - q < 3 || (*q != 'q' && *q != 'Q') || q[1] != '=')
    return 0;
  int value = q[2] == '1' ? 1000 : 0, weight = 100;
  if (q + 3 < end && q[3] == '.')
    for (const char *digit = q + 4; digit < end && *digit >= '0' && *digit <= '9' && weight > 0; digit++, weight /= 10)
      value += (*digit - '0') * weight;
  return value > 1000 ? 1000 : value;
}

static bool is_language(const char *at, size_t len, const char *language)
{
  return len >= 2 && strncasecmp(at, language, 2) == 0 && (len == 2 || at[2] == '-');
}

bool mui_reads_chinese(const char *accept_language)
{
  int zh = -1, en = -1, best_order = 0, order = 0;
  bool zh_first = false;
  for (const char *at = accept_language; *at;) {
    at += strspn(at, ", \t");
    const char *end = at + strcspn(at, ",");
    size_t len = strcspn(at, ",; \t");
    int q = quality(at, end);
    order++;
    if (is_language(at, len, "zh") && q > zh) {
      zh = q;
      zh_first = !best_order;
      best_order = best_order ? best_order : order;
    } else if (is_language(at, len, "en") && q > en) {
      en = q;
      best_order = best_order ? best_order : order;
    }
    at = end;
  }
  return zh > 0 && (zh > en || (zh == en && zh_first));
}

const char *mui_rest_code(const char *code, const char *message, struct mu_words *words)
{
  static const struct {
    const char *old, *code, *en, *zh;
  } known[] = {
      {"not_found", "NOT_FOUND", NULL, "路径不存在"},
      {"method_not_allowed", "METHOD_NOT_ALLOWED", NULL, "此路径不支持该方法"},
      {"unauthorized", "MISSING_TOKEN", "no token was given", "未提供认证令牌"},
      {"bad_token", "INVALID_TOKEN", "the token is not valid, or no longer", "认证令牌无效或已过期"},
      {"forbidden", "FORBIDDEN", NULL, "权限不足"},
      {"unavailable", "SERVICE_UNAVAILABLE", NULL, "服务暂时不可用,请稍后再试"},
      {"stopping", "SERVICE_UNAVAILABLE", NULL, "服务正在停止"},
      {"out_of_memory", "SERVICE_UNAVAILABLE", NULL, "服务暂时不可用,请稍后再试"},
      {"internal_error", "INTERNAL_SERVER_ERROR", NULL, "服务器内部错误"},
      {"timeout", "TIMEOUT", NULL, "服务器未能及时响应"},
      {"body_timeout", "REQUEST_TIMEOUT", NULL, "请求体未能及时到达"},
      {"body_too_long", "PAYLOAD_TOO_LARGE", NULL, "请求体过大"},
      {"bad_type", "UNSUPPORTED_MEDIA_TYPE", NULL, "请求体必须是 application/json"},
      {"length_required", "LENGTH_REQUIRED", NULL, "请求体需要 Content-Length"},
      {"bad_length", "BAD_REQUEST", NULL, "Content-Length 无效"},
      {"bad_host", "BAD_REQUEST", NULL, "Host 请求头无效"},
      {"bad_path", "BAD_REQUEST", NULL, "路径无效"},
      {"bad_version", "HTTP_VERSION_NOT_SUPPORTED", NULL, "仅支持 HTTP/1.0 和 HTTP/1.1"},
      {"bad_expectation", "EXPECTATION_FAILED", NULL, "仅支持 100-continue"},
      {"too_many_requests", "TOO_MANY_REQUESTS", NULL, "同时进行的请求过多"},
  };
  *words = (struct mu_words){message, message};
  for (size_t i = 0; i < MU_COUNT(known); i++) {
    if (strcmp(known[i].old, code) != 0)
      continue;
    *words = (struct mu_words){known[i].en ? known[i].en : message, known[i].zh};
    return known[i].code;
  }
  return code;
}
