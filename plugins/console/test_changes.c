/* SPDX-License-Identifier: ISC */
/* Differences between two views: RFC 7386, and whoever applies them has the new view. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <muster/json.h>

#include "changes.h"
#include "unit.h"

static struct json_object *parse(const char *text)
{
  struct json_object *object = text ? json_tokener_parse(text) : NULL;
  CU_ASSERT_TRUE_FATAL(!text || object != NULL);
  return object;
}

static void patch_is(const char *from_text, const char *to_text, const char *expected)
{
  struct json_object *from = parse(from_text), *to = parse(to_text);
  struct mu_buf out = MU_BUF_INIT;
  bool any = metrics_patch(&out, from, to);
  CU_ASSERT_EQUAL(any, expected != NULL);
  if (expected)
    CU_ASSERT_STRING_EQUAL(out.at, expected);
  CU_ASSERT_TRUE(any || out.len == 0);
  mu_buf_free(&out);
  json_object_put(from);
  json_object_put(to);
}

static void test_metrics(void)
{
  patch_is(NULL, NULL, NULL);
  patch_is(NULL, "{}", NULL);
  patch_is("{\"cpu\":{\"percent\":1}}", "{\"cpu\":{\"percent\":1}}", NULL);
  patch_is("{\"cpu\":{\"percent\":1,\"cores\":8}}", "{\"cpu\":{\"percent\":2,\"cores\":8}}",
           "{\"cpu\":{\"percent\":2}}");
  patch_is(NULL, "{\"cpu\":{\"percent\":1}}", "{\"cpu\":{\"percent\":1}}");
  patch_is("{\"cpu\":{\"percent\":1},\"zoo\":{\"a\":1}}", "{\"cpu\":{}}", "{\"zoo\":null,\"cpu\":{\"percent\":null}}");
  patch_is("{\"cpu\":{\"percent\":1}}", NULL, "{\"cpu\":null}");
  patch_is("{}", "{\"cpu\":{}}", "{\"cpu\":{}}");
  /* Lists are replaced whole, and so is an object within a collector. */
  patch_is("{\"disk\":{\"disks\":[{\"path\":\"/\",\"used\":1}]}}",
           "{\"disk\":{\"disks\":[{\"path\":\"/\",\"used\":2}]}}",
           "{\"disk\":{\"disks\":[{\"path\":\"/\",\"used\":2}]}}");
  patch_is("{\"zoo\":5}", "{\"zoo\":{\"a\":\"b\"}}", "{\"zoo\":{\"a\":\"b\"}}");
  patch_is("{\"zoo\":{\"a\":\"b\"}}", "{\"zoo\":5}", "{\"zoo\":5}");
  /* A null is no value: a patch cannot tell it from a member that is not there. */
  patch_is("{\"zoo\":{\"a\":1}}", "{\"zoo\":{\"a\":null}}", "{\"zoo\":{\"a\":null}}");
  patch_is("{\"zoo\":{}}", "{\"zoo\":{\"a\":null}}", NULL);
  patch_is("{\"zoo\":{\"a\":null}}", "{\"zoo\":{\"a\":\"<\\u0001\\\"\"}}", "{\"zoo\":{\"a\":\"<\\u0001\\\"\"}}");
}

static void test_views(void)
{
  struct view kept = {0};
  struct view view = {.texts = {"m1", "Box", "lab", "", "Berlin", "Ann"},
                      .is_public = true,
                      .online = false,
                      .seen_ms = 5,
                      .metrics = parse("{\"cpu\":{\"percent\":1}}")};
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL_FATAL(view_keep(&kept, &view), 0);
  CU_ASSERT_PTR_NOT_EQUAL(kept.texts[VIEW_NAME], view.texts[VIEW_NAME]);
  CU_ASSERT_FALSE(view_patch(&out, &kept, &view));
  struct view next = view;
  next.texts[VIEW_NAME] = "Bo\"x";
  next.online = true;
  next.seen_ms = 6;
  next.metrics = parse("{\"cpu\":{\"percent\":2}}");
  CU_ASSERT_TRUE(view_patch(&out, &kept, &next));
  CU_ASSERT_STRING_EQUAL(out.at,
                         "{\"name\":\"Bo\\\"x\",\"online\":true,\"lastSeen\":6,\"metrics\":{\"cpu\":{\"percent\":2}}}");
  mu_buf_clear(&out);
  CU_ASSERT_EQUAL(view_keep(&kept, &next), 0);
  CU_ASSERT_FALSE(view_patch(&out, &kept, &next));
  next.is_public = false;
  CU_ASSERT_TRUE(view_patch(&out, &kept, &next));
  CU_ASSERT_STRING_EQUAL(out.at, "{\"public\":false}");
  mu_buf_free(&out);
  view_free(&kept);
  view_free(&kept);
  json_object_put(view.metrics);
  json_object_put(next.metrics);
}

static const struct unit_test tests[] = {{"metrics", test_metrics}, {"views", test_views}};
UNIT_MAIN("console: differences", tests)
