/* SPDX-License-Identifier: ISC */
/* Tables and values for people: the manual, the check of samples, JSON. */
#include <stddef.h>

#include "folder.h"

struct item {
  const char *id;
  const char *secret;
};

struct config {
  int64_t port;
  double ratio;
  const char *name;
  const char *secret;
  int push;
  struct mu_list words;
  struct {
    bool on;
  } group;
  struct mu_list items;
  struct mu_list keys;
  const mui_setting *use;
  const mui_setting *self;
};

static const char *const pushes[] = {"report", "snapshot", NULL};
static const struct mu_option item_table[] = {
    {.key = "id", .type = MU_OPT_STRING, .offset = offsetof(struct item, id), .flags = MU_OPT_REQUIRED, .max = 8},
    {.key = "secret", .type = MU_OPT_STRING, .offset = offsetof(struct item, secret), .flags = MU_OPT_SECRET},
};
static const struct mu_option group_table[] = {{.key = "on", .type = MU_OPT_BOOL, .help = "Whether."}};
static const struct mu_option table[] = {
    {.key = "port",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, port),
     .preset = "8900",
     .min = 1,
     .max = 65535,
     .help = "TCP port."},
    {.key = "ratio", .type = MU_OPT_FLOAT, .offset = offsetof(struct config, ratio), .preset = "0.1", .min = 0.1},
    {.key = "name", .type = MU_OPT_STRING, .offset = offsetof(struct config, name)},
    {.key = "secret",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, secret),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET},
    {.key = "push",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct config, push),
     .preset = "\"report\"",
     .names = pushes},
    {.key = "words", .type = MU_OPT_STRINGS, .offset = offsetof(struct config, words), .max = 3},
    {.key = "group", .type = MU_OPT_GROUP, .offset = offsetof(struct config, group), .fields = MU_OPTIONS(group_table)},
    {.key = "items",
     .type = MU_OPT_GROUPS,
     .offset = offsetof(struct config, items),
     .fields = MU_OPTIONS(item_table),
     .item_size = sizeof(struct item)},
    {.key = "keys", .type = MU_OPT_STRINGS, .offset = offsetof(struct config, keys), .flags = MU_OPT_SECRET},
    {.key = "use", .type = MUI_OPT_SETTING, .offset = offsetof(struct config, use)},
    {.key = "", .type = MUI_OPT_SETTING, .offset = offsetof(struct config, self)},
};
static const struct mu_options options = MU_OPTIONS(table);

static void test_describe(void)
{
  char *text = NULL;
  size_t size;
  FILE *to = open_memstream(&text, &size);
  mui_options_describe(&options, 2, to);
  fclose(to);
  CU_ASSERT_STRING_EQUAL(text, "  port: integer, 1 to 65535, default 8900\n"
                               "      TCP port.\n"
                               "  ratio: number, at least 0.1, default 0.1\n"
                               "  name: string\n"
                               "  secret: string, required, secret\n"
                               "  push: \"report\" | \"snapshot\", default \"report\"\n"
                               "  words: list of strings, at most 3 items\n"
                               "  group: group\n"
                               "      on: true or false\n"
                               "          Whether.\n"
                               "  items: list of groups\n"
                               "      id: string, at most 8 bytes, required\n"
                               "      secret: string, secret\n"
                               "  keys: list of strings, secret\n"
                               "  use: group\n");
  free(text);
}

static void json_is(const char *text, const char *expected)
{
  struct mui_problems problems = {0};
  struct mu_buf json = MU_BUF_INIT;
  folder[0] = '\0';
  mui_config *config = mui_config_load_text("text", text, strlen(text), &problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  struct config *values = mui_options_read(mui_config_root(config), NULL, &options, sizeof(*values), &problems);
  ASSERT_NO_PROBLEM(&problems);
  mui_options_json(&options, values, &json);
  CU_ASSERT_STRING_EQUAL(json.at, expected);
  mu_buf_free(&json);
  mui_options_free(&options, values);
  mui_config_free(config);
}

static void test_json(void)
{
  json_is(
      "secret = \"hunter2\"; name = \"a\\\"b\"; words = [ \"x\", \"y\" ]; push = \"snapshot\"; group = { on = "
      "true; };\n"
      "items = ( { id = \"1\"; secret = \"hunter2\"; }, { id = \"2\"; } ); keys = [ \"hunter2\" ];\n"
      "use = { hidden = \"hunter2\"; }; ratio = 1e15; port = 1;",
      "{\"port\":1,\"ratio\":1e+15,\"name\":\"a\\\"b\",\"secret\":\"(hidden)\",\"push\":\"snapshot\",\"words\":[\"x\","
      "\"y\"],"
      "\"group\":{\"on\":true},\"items\":[{\"id\":\"1\",\"secret\":\"(hidden)\"},{\"id\":\"2\",\"secret\":null}],"
      "\"keys\":\"(hidden)\"}");
  json_is("secret = \"hunter2\";",
          "{\"port\":8900,\"ratio\":0.1,\"name\":null,\"secret\":\"(hidden)\",\"push\":\"report\",\"words\":[],"
          "\"group\":{\"on\":false},\"items\":[],\"keys\":null}");
  /* Whoever writes env: means to hide, and an address may hold a password. */
  setenv("SHOWN_NAME", "hunter2", 1);
  json_is("secret = \"x\"; name = \"env:SHOWN_NAME\"; words = [ \"env:SHOWN_NAME\", \"db://u:hunter2@h/x\", "
          "\"http://h/@\" ];",
          "{\"port\":8900,\"ratio\":0.1,\"name\":\"(hidden)\",\"secret\":\"(hidden)\",\"push\":\"report\",\"words\":["
          "\"(hidden)\",\"(hidden)\",\"http://h/@\"],\"group\":{\"on\":false},\"items\":[],\"keys\":null}");
}

static const char sample[] = "# A remark, not an option.\n"
                             "port = 8900;\n"
                             "#ratio = 0.1;\n"
                             "  #name = \"x\"; # with a remark\n"
                             "secret = \"env:X\"; push = \"report\"; words = [ ];\n"
                             "#group = {\n"
                             "  #on = true;\n"
                             "#};\n"
                             "items = ( { id = \"1\"; },\n"
                             "  { #id = \"2\";\n"
                             "    secret = \"env:X\"; } );\n"
                             "keys = [ ];\n"
                             "#use = { };\n";

static mui_config *load_sample(const char *text, struct mui_problems *problems)
{
  folder_write("x.conf", text);
  return mui_config_load_sample(folder_path("x.conf"), problems);
}

static void test_samples(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mui_config *config = load_sample(sample, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  CU_ASSERT_EQUAL(mui_options_sample_check(mui_config_root(config), &options, &problems), 0);
  ASSERT_NO_PROBLEM(&problems);
  mui_config_free(config);

  config = mui_config_load(folder_path("x.conf"), NULL, NULL, &problems); /* where what is commented out is not there */
  CU_ASSERT_EQUAL(mui_options_sample_check(mui_config_root(config), &options, &problems), MU_ECONF);
  ASSERT_ERROR(&problems, "x.conf", 0, "the sample does not show 'ratio'");
  ASSERT_ERROR(&problems, "x.conf", 0, "the sample does not show 'group'");
  CU_ASSERT_EQUAL(problems.errors, 4);
  mui_config_free(config);
  mui_problems_free(&problems);

  config = load_sample(
      "prot = 1;\ngroup = { off = true; };\nitems = ( { id = \"1\"; },\n{ secert = \"\"; } );\nwords = [ ];\n",
      &problems);
  CU_ASSERT_EQUAL(mui_options_sample_check(mui_config_root(config), &options, &problems), MU_ECONF);
  ASSERT_ERROR(&problems, "x.conf", 1, "'prot'", "no option");
  ASSERT_ERROR(&problems, "x.conf", 0, "does not show 'port'");
  ASSERT_ERROR(&problems, "x.conf", 2, "'off'", "no option");
  ASSERT_ERROR(&problems, "x.conf", 2, "does not show 'group.on'");
  ASSERT_ERROR(&problems, "x.conf", 4, "'secert'", "no option");
  ASSERT_ERROR(&problems, "x.conf", 3, "does not show 'items.secret'");
  mui_config_free(config);
  mui_problems_free(&problems);

  config = load_sample("items = { };\ngroup = 3;\n", &problems);
  CU_ASSERT_EQUAL(mui_options_sample_check(mui_config_root(config), &options, &problems), MU_ECONF);
  ASSERT_ERROR(&problems, "x.conf", 1, "'items' as no list of groups");
  ASSERT_ERROR(&problems, "x.conf", 2, "'group' as no group");
  mui_config_free(config);
  mui_problems_free(&problems);

  CU_ASSERT_EQUAL(mui_options_sample_check(NULL, &options, &problems), MU_ECONF); /* nothing is shown at all */
  mui_problems_free(&problems);
  folder_remove();
}

/* A plugin's sample: entries as they go into a list. */
static void test_sample_entries(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mui_config *config =
      load_sample("# In `plugins`.\n\n{ name = \"x\";\n  config = { on = true; };\n}\n# no more", &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *entries = mui_setting_nth(mui_config_root(config), 0);
  CU_ASSERT_STRING_EQUAL(mui_setting_name(entries), "entries");
  const mui_setting *group = mui_setting_nth(mui_setting_nth(entries, 0), 1);
  CU_ASSERT_STRING_EQUAL(mui_setting_name(group), "config");
  const char *file;
  unsigned line;
  mui_setting_place(group, &file, &line);
  CU_ASSERT_EQUAL(line, 4);
  static const struct mu_options one = MU_OPTIONS(group_table);
  CU_ASSERT_EQUAL(mui_options_sample_check(group, &one, &problems), 0);
  mui_config_free(config);

  CU_ASSERT_PTR_NULL(load_sample("# x\n{ name = ;\n}", &problems));
  ASSERT_ERROR(&problems, "x.conf", 2, "syntax error");
  mui_problems_free(&problems);
  CU_ASSERT_PTR_NULL(mui_config_load_sample(folder_path("nowhere.conf"), &problems));
  ASSERT_ERROR(&problems, "nowhere.conf", 0, "cannot be read");
  mui_problems_free(&problems);
  folder_remove();
}

static const struct unit_test tests[] = {
    {"describe", test_describe},
    {"JSON hides secrets", test_json},
    {"samples", test_samples},
    {"samples of entries", test_sample_entries},
};

UNIT_MAIN("show", tests)
