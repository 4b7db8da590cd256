/* SPDX-License-Identifier: ISC */
/* Option tables: settings into structs, every kind of refusal, secrets. */
#include <stddef.h>

#include "folder.h"

struct server {
  const char *id;
  const char *secret;
  bool public;
};

struct everything {
  bool flag;
  int64_t port;
  double ratio;
  const char *name;
  const char *secret;
  int push;
  struct mu_list words;
  struct {
    int64_t count;
    const char *must;
    bool on;
  } group;
  struct mu_list servers;
  const mui_setting *use;
  const mui_setting *self;
};

static const char *const pushes[] = {"report", "snapshot", NULL};

static const struct mu_option server_table[] = {
    {.key = "id", .type = MU_OPT_STRING, .offset = offsetof(struct server, id), .flags = MU_OPT_REQUIRED, .max = 8},
    {.key = "secret", .type = MU_OPT_STRING, .offset = offsetof(struct server, secret), .flags = MU_OPT_SECRET},
    {.key = "public", .type = MU_OPT_BOOL, .offset = offsetof(struct server, public), .preset = "true"},
};

static const struct mu_option group_table[] = {
    {.key = "count", .type = MU_OPT_INT, .offset = 0, .preset = "-7"},
    {.key = "must",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct everything, group.must) - offsetof(struct everything, group),
     .flags = MU_OPT_REQUIRED},
    {.key = "on",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct everything, group.on) - offsetof(struct everything, group)},
};

static const struct mu_option table[] = {
    {.key = "flag", .type = MU_OPT_BOOL, .offset = offsetof(struct everything, flag), .preset = "true"},
    {.key = "port",
     .type = MU_OPT_INT,
     .offset = offsetof(struct everything, port),
     .preset = "8900",
     .min = 1,
     .max = 65535},
    {.key = "ratio", .type = MU_OPT_FLOAT, .offset = offsetof(struct everything, ratio), .preset = "2.5", .min = 0.5},
    {.key = "name",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct everything, name),
     .preset = "\"env:\\\"x\\\"\"",
     .max = 16},
    {.key = "secret", .type = MU_OPT_STRING, .offset = offsetof(struct everything, secret), .flags = MU_OPT_SECRET},
    {.key = "push",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct everything, push),
     .preset = "\"snapshot\"",
     .names = pushes},
    {.key = "words",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct everything, words),
     .preset = "[ \"a\", \"b\" ]",
     .max = 3},
    {.key = "group",
     .type = MU_OPT_GROUP,
     .offset = offsetof(struct everything, group),
     .fields = MU_OPTIONS(group_table)},
    {.key = "servers",
     .type = MU_OPT_GROUPS,
     .offset = offsetof(struct everything, servers),
     .fields = MU_OPTIONS(server_table),
     .item_size = sizeof(struct server)},
    {.key = "use", .type = MUI_OPT_SETTING, .offset = offsetof(struct everything, use)},
    {.key = "", .type = MUI_OPT_SETTING, .offset = offsetof(struct everything, self)},
};

static const struct mu_options options = MU_OPTIONS(table);

static struct everything *read_text(const char *text, mui_config **config, struct mui_problems *problems)
{
  *config = mui_config_load_text("text", text, strlen(text), problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(*config);
  struct everything *all = mui_options_read(mui_config_root(*config), NULL, &options, sizeof(*all), problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(all);
  return all;
}

static void done(mui_config *config, struct everything *all, struct mui_problems *problems)
{
  mui_options_free(&options, all);
  mui_config_free(config);
  mui_problems_free(problems);
}

/* Exactly one error with these words. */
static void refused(const char *text, unsigned line, const char *word, const char *word2)
{
  struct mui_problems problems = {0};
  mui_config *config;
  folder[0] = '\0';
  struct everything *all = read_text(text, &config, &problems);
  ASSERT_ERROR(&problems, "text", line, word, word2);
  CU_ASSERT_EQUAL(problems.count, 1);
  if (problems.count != 1)
    mui_problems_print(&problems, stderr);
  done(config, all, &problems);
}

static void assert_presets(const struct everything *all)
{
  CU_ASSERT_TRUE(all->flag);
  CU_ASSERT_EQUAL(all->port, 8900);
  CU_ASSERT_EQUAL(all->ratio, 2.5);
  CU_ASSERT_STRING_EQUAL(all->name, "env:\"x\""); /* presets are taken literally */
  CU_ASSERT_PTR_NULL(all->secret);
  CU_ASSERT_EQUAL(all->push, 1);
  CU_ASSERT_EQUAL_FATAL(all->words.count, 2);
  CU_ASSERT_STRING_EQUAL(((const char *const *)all->words.items)[1], "b");
  CU_ASSERT_EQUAL(all->group.count, -7); /* also of an absent group, whose `must` is not asked for */
  CU_ASSERT_PTR_NULL(all->group.must);
  CU_ASSERT_EQUAL(all->servers.count, 0);
  CU_ASSERT_PTR_NULL(all->use);
}

static void test_presets(void)
{
  struct mui_problems problems = {0};
  mui_config *config;
  struct everything *all = read_text("", &config, &problems);
  ASSERT_NO_PROBLEM(&problems);
  assert_presets(all);
  CU_ASSERT_PTR_EQUAL(all->self, mui_config_root(config));
  done(config, all, &problems);

  all = mui_options_read(NULL, NULL, &options, sizeof(*all), &problems);
  ASSERT_NO_PROBLEM(&problems);
  assert_presets(all);
  done(NULL, all, &problems);
  mui_options_free(&options, NULL);

  static const struct mu_options none = MU_NO_OPTIONS;
  void *empty = mui_options_read(NULL, NULL, &none, 0, &problems);
  CU_ASSERT_PTR_NOT_NULL(empty);
  mui_options_free(&none, empty);
}

static void test_values(void)
{
  struct mui_problems problems = {0};
  mui_config *config;
  struct everything *all =
      read_text("flag = false; port = 0x1F90; ratio = 3; name = \"ä\"; secret = \"s\"; push = \"report\";\n"
                "words = ( \"x\" ); group = { must = \"m\"; count = 4000000000; on = true; };\n"
                "servers = (\n { id = \"1\"; }, { id = \"2\"; public = false; secret = \"t\"; } );\n"
                "use = { store = \"db2\"; };",
                &config, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_FALSE(all->flag);
  CU_ASSERT_EQUAL(all->port, 8080);
  CU_ASSERT_EQUAL(all->ratio, 3.0); /* an integer serves */
  CU_ASSERT_STRING_EQUAL(all->name, "ä");
  CU_ASSERT_STRING_EQUAL(all->secret, "s");
  CU_ASSERT_EQUAL(all->push, 0);
  CU_ASSERT_EQUAL(all->words.count, 1);
  CU_ASSERT_EQUAL(all->group.count, 4000000000);
  CU_ASSERT_STRING_EQUAL(all->group.must, "m");
  CU_ASSERT_TRUE(all->group.on);
  CU_ASSERT_EQUAL_FATAL(all->servers.count, 2);
  const struct server *servers = all->servers.items;
  CU_ASSERT_STRING_EQUAL(servers[1].id, "2");
  CU_ASSERT_STRING_EQUAL(servers[1].secret, "t");
  CU_ASSERT_TRUE(servers[0].public);
  CU_ASSERT_FALSE(servers[1].public);
  CU_ASSERT_STRING_EQUAL(mui_setting_name(mui_setting_nth(all->use, 0)), "store");
  done(config, all, &problems);
}

static void test_integers(void)
{
  static const struct {
    const char *text;
    int64_t value;
  } good[] = {{"9223372036854775807", INT64_MAX},
              {"-9223372036854775808", INT64_MIN},
              {"2147483648", 2147483648},
              {"-2147483649L", -2147483649},
              {"99999999999LL", 99999999999},
              {"0xFFFFFFFF", 0xFFFFFFFF},
              {"0x7fffffffffffffff", INT64_MAX},
              {"+5", 5},
              {"010", 10}};
  for (size_t i = 0; i < MU_COUNT(good); i++) {
    struct mui_problems problems = {0};
    mui_config *config;
    char text[100];
    snprintf(text, sizeof(text), "group = { must = \"\"; count = %s; };", good[i].text);
    struct everything *all = read_text(text, &config, &problems);
    ASSERT_NO_PROBLEM(&problems);
    CU_ASSERT_EQUAL(all->group.count, good[i].value);
    done(config, all, &problems);
  }
  refused("\nport = 99999999999;", 2, "'port': 99999999999 is out of range", "1 to 65535");
  refused("port = 4294967297;", 1, "4294967297 is out of range", "1 to 65535"); /* 1 when wrapped */
  refused("port = 0x100000001;", 1, "4294967297 is out of range", "");
  refused("port = 99999999999999999999;", 1, "99999999999999999999", ""); /* and no second error for the range */
}

static void test_refusals(void)
{
  refused("\nprot = 1;", 2, "unknown option 'prot'; did you mean 'port'?", "");
  refused("something = 1;", 1, "unknown option 'something'", "");
  refused("servers = ( { id = \"1\";\n secrte = \"x\"; } );", 2, "unknown option 'secrte'; did you mean 'secret'?", "");
  refused("port = \"80\";", 1, "'port': expected an integer, found a string", "");
  refused("port = 80.0;", 1, "expected an integer, found a number with a fraction", "");
  refused("flag = 1;", 1, "'flag': expected true or false, found an integer", "");
  refused("ratio = true;", 1, "expected a number, found true or false", "");
  refused("ratio = 0.25;", 1, "0.25 is out of range", "at least 0.5");
  refused("ratio = 1e400;", 1, "out of range", "");
  refused("name = [ \"x\" ];", 1, "expected a string, found an array", "");
  refused("name = \"12345678901234567\";", 1, "'name': a length of 17 is out of range", "0 to 16 bytes");
  refused("name = \"\\xff\";", 1, "'name' is not valid UTF-8", "");
  refused("push = \"snapshto\";", 1, "\"snapshto\" is not one of \"report\", \"snapshot\"",
          "did you mean \"snapshot\"?");
  refused("push = 1;", 1, "expected a string, found an integer", "");
  refused("words = \"x\";", 1, "'words': expected a list of strings", "found a string");
  refused("words = (\n\"x\",\n3 );", 3, "'words[1]': expected a string, found an integer", "");
  refused("words = [ \"1\", \"2\", \"3\", \"4\" ];", 1, "a length of 4 is out of range", "0 to 3 items");
  refused("group = 1;", 1, "'group': expected a group", "found an integer");
  refused("\ngroup = { on = true; };", 2, "'group': the required option 'must' is missing", "");
  refused("group = { must = \"\"; count = \"x\"; };", 1, "'group.count': expected an integer", "");
  refused("servers = { id = \"1\"; };", 1, "expected a list of groups", "found a group");
  refused("servers = [ 1 ];", 1, "'servers[0]': expected a group", "");
  refused("servers = ( { id = \"1\"; },\n { } );", 2, "'servers[1]': the required option 'id' is missing", "");
  refused("servers = ( { id = \"123456789\"; } );", 1, "'servers[0].id': a length of 9", "0 to 8");
  refused("use = 3;", 1, "'use': expected a group", "");
  refused("secret = \"\";", 1, "'secret' is empty", "");
  refused("secret = \"env:MUSTER_TEST_NOT_SET\";", 1, "'secret'", "MUSTER_TEST_NOT_SET is not set");
  refused("name = \"env:\";", 1, "env: needs the name", "");
  refused("name = \"file:\";", 1, "file: needs a path", "");
  refused("name = \"file:/nowhere/at/all\";", 1, "cannot read /nowhere/at/all", "No such file");
}

/* Every problem is reported, not the first one; what is wrong gets its preset. */
static void test_all_problems(void)
{
  struct mui_problems problems = {0};
  mui_config *config;
  folder[0] = '\0';
  struct everything *all =
      read_text("port = 0;\nratio = \"x\";\nunknown = 1;\nservers = ( { }, { id = 1; } );\nname = 3;\n"
                "name = 4;",
                &config, &problems);
  ASSERT_ERROR(&problems, "text", 1, "0 is out of range (1 to 65535)");
  ASSERT_ERROR(&problems, "text", 2, "expected a number");
  ASSERT_ERROR(&problems, "text", 3, "unknown option");
  ASSERT_ERROR(&problems, "text", 4, "'servers[0]': the required option 'id'");
  ASSERT_ERROR(&problems, "text", 4, "'servers[1].id': expected a string");
  ASSERT_ERROR(&problems, "text", 5, "'name': expected a string");
  ASSERT_ERROR(&problems, "text", 6, "'name' is already set at text:5");
  CU_ASSERT_EQUAL(problems.errors, 7);
  CU_ASSERT_EQUAL(all->port, 8900);
  CU_ASSERT_EQUAL(all->ratio, 2.5);
  CU_ASSERT_EQUAL(all->servers.count, 2);
  done(config, all, &problems);
}

static void test_absent_group(void)
{
  struct mui_problems problems = {0};
  static const struct mu_options required = MU_OPTIONS(server_table);
  folder[0] = '\0';
  mui_config *config = mui_config_load_text("text", "\nplugin = { };\nother = 3;", 24, &problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *place = mui_setting_nth(mui_config_root(config), 0);
  struct server *server = mui_options_read(NULL, place, &required, sizeof(*server), &problems);
  ASSERT_ERROR(&problems, "text", 2, "the required option 'id' is missing");
  mui_options_free(&required, server);
  server = mui_options_read(mui_setting_nth(mui_config_root(config), 1), place, &required, sizeof(*server), &problems);
  ASSERT_ERROR(&problems, "text", 3, "'other': expected a group", "found an integer");
  CU_ASSERT_EQUAL(problems.count, 2);
  mui_options_free(&required, server);
  mui_config_free(config);
  mui_problems_free(&problems);
}

/* ---- secrets ----------------------------------------------------------------------------------- */

static struct everything *read_file(const char *text, mode_t mode, mui_config **config, struct mui_problems *problems)
{
  folder_write_bytes("main.conf", text, strlen(text), mode);
  *config = mui_config_load(folder_path("main.conf"), NULL, NULL, problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(*config);
  struct everything *all = mui_options_read(mui_config_root(*config), NULL, &options, sizeof(*all), problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(all);
  return all;
}

static void test_secret_sources(void)
{
  struct mui_problems problems = {0};
  mui_config *config;
  folder_make();
  setenv("MUSTER_TEST_SECRET", "from-env", 1);
  folder_write("key", "from-file\r\n");
  struct everything *all =
      read_file("secret = \"env:MUSTER_TEST_SECRET\"; name = \"file:key\";", 0644, &config, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_STRING_EQUAL(all->secret, "from-env");
  CU_ASSERT_STRING_EQUAL(all->name, "from-file");
  done(config, all, &problems);

  folder_write("key", "two\nlines\n\n"); /* one newline goes */
  all = read_file("secret = \"file:key\"; words = [ \"env:MUSTER_TEST_SECRET\" ];", 0644, &config, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_STRING_EQUAL(all->secret, "two\nlines\n");
  CU_ASSERT_STRING_EQUAL(((const char *const *)all->words.items)[0], "from-env");
  done(config, all, &problems);

  setenv("MUSTER_TEST_SECRET", "", 1);
  all =
      read_file("\nsecret = \"env:MUSTER_TEST_SECRET\"; name = \"env:MUSTER_TEST_SECRET\";", 0600, &config, &problems);
  ASSERT_ERROR(&problems, "main.conf", 2, "'secret'", "MUSTER_TEST_SECRET is empty");
  CU_ASSERT_EQUAL(problems.count, 1); /* what is no secret may be empty */
  CU_ASSERT_PTR_NULL(all->secret);
  CU_ASSERT_STRING_EQUAL(all->name, "");
  done(config, all, &problems);
  unsetenv("MUSTER_TEST_SECRET");
  folder_remove();
}

static void test_secret_files(void)
{
  static const struct {
    const char *text;
    size_t len;
    mode_t mode;
    const char *words[2];
  } bad[] = {
      {"hidden", 6, 0644, {"readable by others (mode 0644); chmod 600 it", "key"}},
      {"hidden", 6, 0602, {"writable by others (mode 0602)", "key"}},
      {"\n", 1, 0600, {"is empty", "key"}},
      {"", 0, 0600, {"is empty", "key"}},
      {"hid\0den", 7, 0600, {"NUL", "key"}},
      {"hidden\xff", 7, 0600, {"not valid UTF-8", ""}},
  };
  folder_make();
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    struct mui_problems problems = {0};
    mui_config *config;
    folder_write_bytes("key", bad[i].text, bad[i].len, bad[i].mode);
    struct everything *all =
        read_file("\nservers = ( {\n id = \"1\";\n secret = \"file:key\"; } );", 0644, &config, &problems);
    ASSERT_ERROR(&problems, "main.conf", 4, "servers[0].secret", bad[i].words[0], bad[i].words[1]);
    CU_ASSERT_EQUAL(problems.count, 1);
    char *text = all_texts(&problems);
    CU_ASSERT_PTR_NULL(strstr(text, "hid"));
    free(text);
    done(config, all, &problems);
  }
  folder_remove();
}

/* No message has a secret in it, whatever is wrong with it. */
static void test_secrets_stay_hidden(void)
{
  struct mui_problems problems = {0};
  mui_config *config;
  folder_make();
  struct everything *all = read_file(
      "\nsecret = \"hunter2\";\nservers = ( { id = \"1\"; secret = \"hunter2\\xff\"; } );\n", 0644, &config, &problems);
  CU_ASSERT_TRUE(has_problem(&problems, true, "main.conf", 2, "'secret'", "readable by others (mode 0644)", NULL));
  CU_ASSERT_TRUE(has_problem(&problems, true, "main.conf", 3, "'servers[0].secret'", NULL));
  ASSERT_ERROR(&problems, "main.conf", 3, "'servers[0].secret' is not valid UTF-8");
  CU_ASSERT_EQUAL(problems.errors, 1);
  CU_ASSERT_STRING_EQUAL(all->secret, "hunter2"); /* a warning only */
  char *text = all_texts(&problems);
  CU_ASSERT_PTR_NULL(strstr(text, "hunter2"));
  free(text);
  done(config, all, &problems);

  all = read_file("secret = \"hunter2\";\n", 0640, &config, &problems); /* a group may read it */
  ASSERT_NO_PROBLEM(&problems);
  done(config, all, &problems);
  folder_remove();
}

/* ---- ABI ----------------------------------------------------------------------------------------- */

/* An option as an older plugin would state it: it ends before `min`, or it has more at its end. */
struct small_option {
  const char *key;
  enum mu_option_type type;
  size_t offset;
  unsigned flags;
  const char *help;
  const char *preset;
};

struct large_option {
  struct mu_option option;
  char more[40];
};

static void test_stride(void)
{
  static const struct small_option small[] = {
      {.key = "a", .type = MU_OPT_INT, .offset = 0, .preset = "1"},
      {.key = "b", .type = MU_OPT_INT, .offset = 8, .preset = "2"},
  };
  static const struct large_option large[] = {
      {{.key = "a", .type = MU_OPT_INT, .offset = 0, .preset = "1", .max = 5}, {1, 2, 3}},
      {{.key = "b", .type = MU_OPT_INT, .offset = 8, .preset = "2", .max = 5}, {1, 2, 3}},
  };
  struct mu_options tables[] = {
      {(const struct mu_option *)(const void *)small, 2, sizeof(small[0])},
      {(const struct mu_option *)(const void *)large, 2, sizeof(large[0])},
  };
  _Static_assert(sizeof(small[0]) < sizeof(struct mu_option) && sizeof(large[0]) > sizeof(struct mu_option), "sizes");
  /* On the heap, so that ASan sees a read beyond the last option. */
  struct small_option *exact = malloc(sizeof(small));
  memcpy(exact, small, sizeof(small));
  tables[0].table = (const struct mu_option *)(const void *)exact;
  for (size_t i = 0; i < 2; i++) {
    struct mui_problems problems = {0};
    folder[0] = '\0';
    mui_config *config = mui_config_load_text("text", "b = 100;", 8, &problems);
    int64_t *values = mui_options_read(mui_config_root(config), NULL, &tables[i], 16, &problems);
    CU_ASSERT_PTR_NOT_NULL_FATAL(values);
    CU_ASSERT_EQUAL(values[0], 1);
    CU_ASSERT_EQUAL(values[1], i == 0 ? 100 : 2);
    CU_ASSERT_EQUAL(problems.errors, i); /* the small one states no range */
    struct mu_buf json = MU_BUF_INIT;
    mui_options_json(&tables[i], values, &json);
    CU_ASSERT_STRING_EQUAL(json.at, i == 0 ? "{\"a\":1,\"b\":100}" : "{\"a\":1,\"b\":2}");
    mu_buf_free(&json);
    mui_options_free(&tables[i], values);
    mui_config_free(config);
    mui_problems_free(&problems);
  }
  free(exact);
}

/* ---- comparing and checking ---------------------------------------------------------------------- */

static bool equal(const char *a, const char *b)
{
  struct mui_problems problems = {0};
  mui_config *config_a, *config_b;
  struct everything *all_a = read_text(a, &config_a, &problems), *all_b = read_text(b, &config_b, &problems);
  ASSERT_NO_PROBLEM(&problems);
  bool same = mui_options_equal(&options, all_a, all_b);
  done(config_a, all_a, &problems);
  done(config_b, all_b, &problems);
  return same;
}

static void test_equal(void)
{
  CU_ASSERT_TRUE(equal("", "flag = true; words = ( \"a\", \"b\" );"));
  CU_ASSERT_TRUE(
      equal("use = { a = \"1\"; b = ( 1, 2.5, true ); };", "\n\nuse = { a = \"1\"; b = ( 1, 2.5, true ); };"));
  CU_ASSERT_TRUE(
      equal("servers = ( { id = \"1\"; secret = \"x\"; } );", "servers = ( { secret = \"x\"; id = \"1\"; } );"));
  CU_ASSERT_FALSE(equal("flag = true;", "flag = false;"));
  CU_ASSERT_FALSE(equal("port = 1;", "port = 2;"));
  CU_ASSERT_FALSE(equal("ratio = 1;", "ratio = 1.5;"));
  CU_ASSERT_FALSE(equal("name = \"a\";", "name = \"b\";"));
  CU_ASSERT_FALSE(equal("secret = \"a\";", "secret = \"b\";"));
  CU_ASSERT_FALSE(equal("secret = \"a\";", ""));
  CU_ASSERT_FALSE(equal("push = \"report\";", ""));
  CU_ASSERT_FALSE(equal("words = [ \"a\" ];", "words = [ \"b\" ];"));
  CU_ASSERT_FALSE(equal("words = [ ];", ""));
  CU_ASSERT_FALSE(equal("group = { must = \"a\"; };", "group = { must = \"b\"; };"));
  CU_ASSERT_FALSE(
      equal("servers = ( { id = \"1\"; secret = \"x\"; } );", "servers = ( { id = \"1\"; secret = \"y\"; } );"));
  CU_ASSERT_FALSE(equal("servers = ( { id = \"1\"; } );", "servers = ( { id = \"1\"; }, { id = \"2\"; } );"));
  CU_ASSERT_FALSE(equal("use = { a = \"1\"; };", "use = { a = \"2\"; };"));
  CU_ASSERT_FALSE(equal("use = { a = \"1\"; };", "use = { b = \"1\"; };"));
  CU_ASSERT_FALSE(equal("use = { a = \"1\"; };", ""));
}

static void check(const void *config, struct mu_check *check)
{
  CU_ASSERT_EQUAL(*(const int *)config, 42);
  mu_check_error(check, "servers[1].secret", "is the same as of %s", "another");
  mu_check_error(check, "servers[1].public", "is not there");
  mu_check_error(check, "servers[7].id", "there is none");
  mu_check_warn(check, "nothing.of.this", "is known");
  mu_check_error(check, NULL, "as a whole");
  mu_check_error(check, "servers[", "strange [ paths");
  mu_check_error(check, "..[]]", "stranger paths");
}

static void test_check(void)
{
  struct mui_problems problems = {0};
  static const char text[] = "entry = {\n servers = (\n { id = \"1\"; },\n { id = \"2\";\n secret = \"x\"; } ); };";
  static const int config_struct = 42;
  folder[0] = '\0';
  mui_config *config = mui_config_load_text("text", text, sizeof(text) - 1, &problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *group = mui_setting_nth(mui_config_root(config), 0);
  mui_options_check(check, &config_struct, group, NULL, &problems);
  ASSERT_ERROR(&problems, "text", 5, "'servers[1].secret': is the same as of another");
  ASSERT_ERROR(&problems, "text", 4, "'servers[1].public': is not there");
  ASSERT_ERROR(&problems, "text", 2, "'servers[7].id': there is none");
  CU_ASSERT_TRUE(has_problem(&problems, true, "text", 1, "'nothing.of.this': is known", NULL));
  ASSERT_ERROR(&problems, "text", 1, "as a whole");
  CU_ASSERT_EQUAL(problems.count, 7);
  mui_problems_free(&problems);

  mui_options_check(check, &config_struct, NULL, group, &problems); /* the group is absent: at its place */
  ASSERT_ERROR(&problems, "text", 1, "'servers[1].secret'");
  mui_problems_free(&problems);
  mui_options_check(check, &config_struct, NULL, NULL, &problems);
  ASSERT_ERROR(&problems, NULL, 0, "'servers[1].secret'");
  mui_options_check(NULL, &config_struct, NULL, NULL, &problems);
  mui_problems_free(&problems);
  mui_config_free(config);
}

static const struct unit_test tests[] = {
    {"presets", test_presets},
    {"values", test_values},
    {"integers", test_integers},
    {"refusals", test_refusals},
    {"all problems at once", test_all_problems},
    {"absent groups", test_absent_group},
    {"secrets: env: and file:", test_secret_sources},
    {"secrets: bad files", test_secret_files},
    {"secrets stay hidden", test_secrets_stay_hidden},
    {"tables of other sizes", test_stride},
    {"equal", test_equal},
    {"check()", test_check},
};

UNIT_MAIN("options", tests)
