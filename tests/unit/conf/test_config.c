/* SPDX-License-Identifier: ISC */
/* Files: conf.d, includes, and everything that can be wrong with their text. */
#include "folder.h"

static const char *const appending[] = {"plugins", "dirs", NULL};
static const char *const foreign[] = {"collectors", "root", NULL};

static mui_config *load(struct mui_problems *problems)
{
  return mui_config_load(folder_path("main.conf"), appending, foreign, problems);
}

/* One broken file: exactly one error, with this line and these words. */
static void broken(const char *text, unsigned line, const char *word, const char *word2)
{
  struct mui_problems problems = {0};
  folder_make();
  folder_write("main.conf", text);
  mui_config *config = load(&problems);
  ASSERT_ERROR(&problems, "main.conf", line, word, word2);
  CU_ASSERT_EQUAL(problems.errors, 1);
  if (problems.errors != 1)
    mui_problems_print(&problems, stderr);
  mui_config_free(config);
  mui_problems_free(&problems);
  folder_remove();
}

static void test_broken_texts(void)
{
  broken("a = 1;\nb = ;\n", 2, "syntax error", "NAME = VALUE");
  broken("a = 1;\n\na = 2;\n", 3, "'a' is already set at", "main.conf:1");
  broken("g = {\n  x = 1;\n  x = 2;\n};\n", 3, "'x' is already set at", "main.conf:2");
  broken("a = 99999999999999999999;\n", 1, "99999999999999999999", "out of range");
  broken("\na = -9223372036854775809;\n", 2, "-9223372036854775809", "out of range");
  broken("a = 0x8000000000000000;\n", 1, "0x8000000000000000", "out of range");
  broken("a = [ 1,\n 18446744073709551616L ];\n", 2, "18446744073709551616", "out of range");
  broken("a = 1e400;\n", 1, "number is out of range", "");
  broken("a = (\n  { b = 1; },\n  { b = 2; }\n", 1, "'(' is never closed", "");
  broken("a = (\n  { b = 1; )\n;\n", 2, "')' where the '{'", "main.conf:2");
  broken("a = 1;\n}\n", 2, "'}' closes nothing", "");
  broken("a = (\n  { b = 1; },\n);\n", 3, "a comma before ')'", "");
  broken("a = (\n  { b = 1; }\n  { b = 2; }\n);\n", 3, "a comma is missing before '{'", "");
  broken("a = \"one\nb = 2;\n", 1, "closing quote", "");
  broken("a = 1;\n/* never\n ends", 2, "comment is never closed", "");
  broken("a = 1;\n\"b\" = 2;\n", 2, "a text where a name", "");
  broken("a = \"b\",\n \"c\";\n", 2, "a text where a name", "");
  broken("a = yes;\n", 1, "'yes' is no value", "quotes");
  broken("a = \"x\\x00y\";\n", 1, "NUL", "");
  broken("a = [ 1, \"x\" ];\n", 1, "one type", "");
  broken("a = 1;\n@include \"nowhere.conf\"\n", 2, "cannot include", "No such file");
  broken("\n@include \"main.conf\"\n", 2, "includes itself", "main.conf");
  broken("@include nowhere\n", 1, "expected @include", "");
  broken("a = 1; @ b = 2;\n", 1, "'@' begins nothing", "");
  broken("a*b = 1;\n", 1, "a name consists of", "");
  broken("a = -;\n", 1, "begins no number", "");
  broken("a = ((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))));\n", 1, "more than 32 levels", "");
}

static void test_bad_files(void)
{
  struct mui_problems problems = {0};
  folder_make();
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 0, "cannot be read", "No such file");
  mui_problems_free(&problems);

  mkdir(folder_path("main.conf"), 0700);
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 0, "is a folder");
  mui_problems_free(&problems);
  rmdir(folder_path("main.conf"));

  mkfifo(folder_path("main.conf"), 0600);
  CU_ASSERT_PTR_NULL(load(&problems)); /* and does not hang */
  ASSERT_ERROR(&problems, "main.conf", 0, "not a regular file");
  mui_problems_free(&problems);
  unlink(folder_path("main.conf"));

  folder_write_bytes("main.conf", "a = 1;\nb = \0;\n", 14, 0600);
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 2, "NUL byte");
  mui_problems_free(&problems);

  size_t large = (1 << 20) + 1;
  char *spaces = malloc(large);
  memset(spaces, ' ', large);
  folder_write_bytes("main.conf", spaces, large, 0600);
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 0, "larger than 1024 KiB");
  mui_problems_free(&problems);
  free(spaces);

  if (geteuid() != 0) {
    folder_write_bytes("main.conf", "a = 1;", 6, 0);
    CU_ASSERT_PTR_NULL(load(&problems));
    ASSERT_ERROR(&problems, "main.conf", 0, "Permission denied");
    mui_problems_free(&problems);
  }
  folder_remove();
}

static size_t count(const mui_setting *group)
{
  size_t n = 0;
  while (mui_setting_nth(group, n))
    n++;
  return n;
}

static const mui_setting *find(const mui_setting *group, const char *name)
{
  const mui_setting *setting;
  for (size_t i = 0; (setting = mui_setting_nth(group, i)); i++)
    if (strcmp(mui_setting_name(setting), name) == 0)
      return setting;
  return NULL;
}

static void assert_place(const mui_setting *setting, const char *file, unsigned line)
{
  const char *at = NULL;
  unsigned at_line;
  mui_setting_place(setting, &at, &at_line);
  CU_ASSERT_PTR_NOT_NULL_FATAL(at);
  CU_ASSERT_STRING_EQUAL(at, folder_path(file));
  CU_ASSERT_EQUAL(at_line, line);
}

static void test_drop_ins(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mkdir(folder_path("conf.d"), 0700);
  folder_write("main.conf", "# a comment\nplugins = ( { name = \"one\"; } );\nnode = \"n\";\ndirs = [ \"x\" ];\n");
  folder_write("conf.d/20-b.conf", "plugins = ( { name = \"three\"; },\n { name = \"four\"; } );\n");
  folder_write("conf.d/10-a.conf", "\nplugins = ( { name = \"two\"; } );\ndirs = [ \"y\" ];\n");
  folder_write("conf.d/.hidden.conf", "broken");
  folder_write("conf.d/README", "broken");
  mui_config *config = load(&problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *root = mui_config_root(config), *plugins = find(root, "plugins");
  CU_ASSERT_EQUAL(count(root), 3);
  CU_ASSERT_EQUAL_FATAL(count(plugins), 4);
  static const char *const names[] = {"one", "two", "three", "four"};
  for (size_t i = 0; i < 4; i++)
    CU_ASSERT_STRING_EQUAL(mui_setting_string(find(mui_setting_nth(plugins, i), "name")), names[i]);
  assert_place(mui_setting_nth(plugins, 0), "main.conf", 2);
  assert_place(mui_setting_nth(plugins, 1), "conf.d/10-a.conf", 2);
  assert_place(mui_setting_nth(plugins, 3), "conf.d/20-b.conf", 2);
  CU_ASSERT_EQUAL(count(find(root, "dirs")), 2);
  char *path = mui_config_path(config, "lib");
  CU_ASSERT_STRING_EQUAL(path, folder_path("lib"));
  free(path);
  path = mui_config_path(config, "/lib");
  CU_ASSERT_STRING_EQUAL(path, "/lib");
  free(path);
  mui_config_free(config);
  folder_remove();
}

/* Two programs that share a folder: conf.d may name what is the other's, the main file may not. */
static void test_foreign(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mkdir(folder_path("conf.d"), 0700);
  folder_write("main.conf", "node = \"n\";\nroot = \"kept\";\n");
  folder_write("conf.d/a.conf", "collectors = ( { name = \"cpu\"; } );\nplugins = ( { name = \"one\"; } );\n"
                                "@include \"more\"\n");
  folder_write("conf.d/more", "collectors = ( { name = \"disk\"; } );\nroot = \"not ours\";\n");
  folder_write("conf.d/b.conf", "root = 3;\nroots = 3;\n");
  mui_config *config = load(&problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *root = mui_config_root(config);
  CU_ASSERT_EQUAL(count(root), 4); /* node, root, plugins, roots */
  CU_ASSERT_STRING_EQUAL(mui_setting_string(find(root, "root")), "kept");
  CU_ASSERT_PTR_NOT_NULL(find(root, "roots"));
  CU_ASSERT_EQUAL(count(find(root, "plugins")), 1);
  mui_config_free(config);
  folder_remove();
}

static void test_drop_in_errors(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mkdir(folder_path("conf.d"), 0700);
  folder_write("main.conf", "node = \"n\";\nplugins = ( );\n");
  folder_write("conf.d/a.conf", "\nnode = \"m\";\n");
  folder_write("conf.d/b.conf", "plugins = 3;\n");
  folder_write("conf.d/c.conf", "x = ;\n");
  mkdir(folder_path("conf.d/d.conf"), 0700);
  mui_config *config = load(&problems);
  CU_ASSERT_PTR_NOT_NULL(config);
  ASSERT_ERROR(&problems, "conf.d/a.conf", 2, "'node' is already set at", "main.conf:1");
  ASSERT_ERROR(&problems, "conf.d/b.conf", 1, "'plugins' can be appended to", "main.conf:2", "lists");
  ASSERT_ERROR(&problems, "conf.d/c.conf", 1, "syntax error");
  ASSERT_ERROR(&problems, "conf.d/d.conf", 0, "is a folder");
  CU_ASSERT_EQUAL(problems.errors, 4);
  mui_config_free(config);
  mui_problems_free(&problems);

  folder_write("main.conf", "a = ;"); /* the drop-ins are looked at all the same */
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 1, "syntax error");
  ASSERT_ERROR(&problems, "conf.d/c.conf", 1, "syntax error");
  mui_problems_free(&problems);
  folder_remove();

  folder_make();
  folder_write("main.conf", "");
  folder_write("conf.d", ""); /* a file where the folder should be */
  config = load(&problems);
  ASSERT_ERROR(&problems, "conf.d", 0, "cannot be read");
  mui_config_free(config);
  mui_problems_free(&problems);
  folder_remove();
}

static void test_includes(void)
{
  struct mui_problems problems = {0};
  folder_make();
  mkdir(folder_path("parts"), 0700);
  folder_write("main.conf", "a = 1;\n  @include \"parts/one.conf\" # here\nd = 4;\nplugins = ( \"p\" );\n");
  folder_write("parts/one.conf", "b = 2;\n@include \"two.conf\"\nplugins = ( \"q\" );\n");
  folder_write("parts/two.conf", "/* two\n lines */\nc = 3");
  mui_config *config = load(&problems);
  /* main's own list comes after the included one, and is appended since it is another file's. */
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *root = mui_config_root(config);
  assert_place(find(root, "a"), "main.conf", 1);
  assert_place(find(root, "b"), "parts/one.conf", 1);
  assert_place(find(root, "c"), "parts/two.conf", 3);
  assert_place(find(root, "d"), "main.conf", 3);
  CU_ASSERT_EQUAL(count(find(root, "plugins")), 2);
  assert_place(mui_setting_nth(find(root, "plugins"), 1), "main.conf", 4);
  mui_config_free(config);

  /* Errors in included files; two recursive ones; duplicates across includes. */
  folder_write("parts/one.conf", "b = 2;\n@include \"two.conf\"\n");
  folder_write("parts/two.conf", "\n@include \"one.conf\"\nb = 5;\na = 99999999999999999999;\n");
  config = load(&problems);
  ASSERT_ERROR(&problems, "parts/two.conf", 2, "includes itself");
  ASSERT_ERROR(&problems, "parts/two.conf", 3, "'b' is already set", "parts/one.conf:1");
  ASSERT_ERROR(&problems, "parts/two.conf", 4, "'a' is already set", "main.conf:1");
  ASSERT_ERROR(&problems, "parts/two.conf", 4, "out of range");
  CU_ASSERT_PTR_NULL(config);
  mui_problems_free(&problems);

  folder_write("parts/one.conf", "x = ;\n");
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "parts/one.conf", 1, "syntax error");
  mui_problems_free(&problems);

  folder_write("main.conf", "\n@include \"parts\"\n");
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "main.conf", 2, "cannot include", "is a folder");
  mui_problems_free(&problems);
  folder_remove();
}

/* Who can write a configuration decides what runs. */
static void test_writable_by_others(void)
{
  struct mui_problems problems = {0};
  folder_make();
  if (mkdir(folder_path("conf.d"), 0700) < 0)
    abort();
  folder_write_bytes("main.conf", "@include \"part\"\n", 16, 0666);
  folder_write_bytes("part", "a = 1;\n", 7, 0602);
  folder_write_bytes("conf.d/a.conf", "b = 1;\n", 7, 0646);
  folder_write_bytes("conf.d/b.conf", "c = 1;\n", 7, 0664);
  mui_config *config = load(&problems);
  ASSERT_ERROR(&problems, "main.conf", 0, "everybody may write", "0666");
  ASSERT_ERROR(&problems, "part", 0, "everybody may write", "0602");
  ASSERT_ERROR(&problems, "conf.d/a.conf", 0, "everybody may write", "0646");
  CU_ASSERT_EQUAL(problems.errors, 3);
  CU_ASSERT_EQUAL(problems.count, 3);
  mui_config_free(config);
  mui_problems_free(&problems);
  folder_write("main.conf", "x = 1;\n");
  folder_write("conf.d/a.conf", "b = 1;\n");
  if (geteuid() == 0 && chown(folder_path("conf.d/a.conf"), 65534, 65534) == 0) {
    config = load(&problems);
    CU_ASSERT_TRUE(has_problem(&problems, true, "conf.d/a.conf", 0, "belongs to user 65534", NULL));
    CU_ASSERT_EQUAL(problems.errors, 0);
    CU_ASSERT_EQUAL(problems.count, 1);
    mui_config_free(config);
    mui_problems_free(&problems);
  }
  folder_remove();
}

static void test_include_bombs(void)
{
  struct mui_problems problems = {0};
  char text[128], name[32];
  folder_make();
  for (int i = 0; i < 12; i++) { /* a chain that is too long */
    snprintf(name, sizeof(name), i ? "%d.conf" : "main.conf", i);
    snprintf(text, sizeof(text), "@include \"%d.conf\"\n", i + 1);
    folder_write(name, text);
  }
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "10.conf", 1, "more than 10 includes");
  mui_problems_free(&problems);

  for (int i = 0; i < 9; i++) { /* few files, much text */
    snprintf(name, sizeof(name), i ? "%d.conf" : "main.conf", i);
    snprintf(text, sizeof(text),
             "@include \"%d.conf\"\n@include \"%d.conf\"\n@include \"%d.conf\"\n@include \"%d.conf\"\n", i + 1, i + 1,
             i + 1, i + 1);
    folder_write(name, text);
  }
  char *spaces = malloc(100000);
  memset(spaces, ' ', 100000);
  folder_write_bytes("9.conf", spaces, 100000, 0600);
  free(spaces);
  CU_ASSERT_PTR_NULL(load(&problems));
  ASSERT_ERROR(&problems, "9.conf", 1, "all includes together");
  CU_ASSERT_EQUAL(problems.errors, 1);
  mui_problems_free(&problems);
  folder_remove();
}

static void test_texts(void)
{
  struct mui_problems problems = {0};
  static const char text[] =
      "\xef\xbb\xbf// first\r\na : \"x # no comment // \\\" /*\";\r\nb = ( 1, 2.5, \"s\" \"t\" )\n";
  mui_config *config = mui_config_load_text("text", text, sizeof(text) - 1, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  CU_ASSERT_STRING_EQUAL(mui_setting_string(find(mui_config_root(config), "a")), "x # no comment // \" /*");
  const mui_setting *list = find(mui_config_root(config), "b");
  CU_ASSERT_STRING_EQUAL(mui_setting_string(mui_setting_nth(list, 2)), "st");
  CU_ASSERT_PTR_NULL(mui_setting_string(list));
  CU_ASSERT_PTR_NULL(mui_setting_nth(mui_setting_nth(list, 0), 0));
  mui_config_free(config);

  CU_ASSERT_PTR_NULL(mui_config_load_text("text", "\n@include \"/etc/hostname\"", 25, &problems));
  ASSERT_ERROR(&problems, "text", 2, "in files only");
  mui_problems_free(&problems);

  config = mui_config_load_text("text", "", 0, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_EQUAL(count(mui_config_root(config)), 0);
  mui_config_free(config);
  mui_config_free(NULL);
}

static void test_printing(void)
{
  struct mui_problems problems = {0};
  mui_problem(&problems, false, "b.conf", 2, "second");
  mui_problem(&problems, true, "b.conf", 1, "first \033[31m\n%s", "red");
  mui_problem(&problems, false, "a.conf", 0, "whole");
  mui_problem(&problems, false, NULL, 0, "nowhere");
  mui_problem(&problems, false, "b.conf", 2, "third");
  CU_ASSERT_EQUAL(problems.errors, 4);
  char *text = all_texts(&problems);
  CU_ASSERT_STRING_EQUAL(text, "error: nowhere\na.conf: error: whole\nb.conf:1: warning: first \\x1b[31m\\x0ared\n"
                               "b.conf:2: error: second\nb.conf:2: error: third\n");
  free(text);
  mui_problems_free(&problems);
}

static void test_suggest(void)
{
  static const char *const words[] = {"secret", "server", "port", "id", "name", "interval", NULL};
  CU_ASSERT_STRING_EQUAL(mui_suggest("secrte", words), "secret"); /* swapped */
  CU_ASSERT_STRING_EQUAL(mui_suggest("secrt", words), "secret");
  CU_ASSERT_STRING_EQUAL(mui_suggest("seccret", words), "secret");
  CU_ASSERT_STRING_EQUAL(mui_suggest("Secret", words), "secret");
  CU_ASSERT_STRING_EQUAL(mui_suggest("intreval", words), "interval");
  CU_ASSERT_STRING_EQUAL(mui_suggest("prot", words), "port");
  CU_ASSERT_PTR_NULL(mui_suggest("part_of", words));
  CU_ASSERT_PTR_NULL(mui_suggest("poet_", words)); /* two slips are too many in a short word */
  CU_ASSERT_PTR_NULL(mui_suggest("", words));
  CU_ASSERT_PTR_NULL(mui_suggest("x", words));
  CU_ASSERT_PTR_NULL(mui_suggest("a_very_long_word_that_is_longer_than_all_that_there_are", words));
  CU_ASSERT_PTR_NULL(mui_suggest("secret", NULL));
}

static const struct unit_test tests[] = {
    {"broken texts: file, line, cause", test_broken_texts},
    {"bad files", test_bad_files},
    {"conf.d appends", test_drop_ins},
    {"conf.d: names of the other program", test_foreign},
    {"conf.d: duplicates and broken ones", test_drop_in_errors},
    {"includes", test_includes},
    {"writable by others", test_writable_by_others},
    {"include bombs", test_include_bombs},
    {"texts from memory", test_texts},
    {"printing", test_printing},
    {"suggestions", test_suggest},
};

UNIT_MAIN("config", tests)
