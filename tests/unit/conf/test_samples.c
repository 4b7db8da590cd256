/* SPDX-License-Identifier: ISC */
/* The samples show exactly what there is: etc/ what the programs describe, NAME.conf each plugin's table. */
#include <dlfcn.h>
#include <glob.h>

#include <muster/plugin.h>

#include "folder.h"

/* ---- programs: etc/ against --describe ----------------------------------------------------------- */

/* Whether a setting at `path` ("listen.tls.key") is shown; of a list, by any item. */
static bool shows(const mui_setting *around, const char *path)
{
  size_t len = strcspn(path, ".");
  const mui_setting *setting;
  for (size_t i = 0; (setting = mui_setting_nth(around, i)); i++) {
    const char *name = mui_setting_name(setting);
    if (!name) { /* an item of a list */
      if (shows(setting, path))
        return true;
    } else if (strlen(name) == len && strncmp(name, path, len) == 0) {
      return path[len] == '\0' || shows(setting, path + len + 1);
    }
  }
  return false;
}

/* Reads "    key: type" of --describe into the path of the option; false for other lines. */
static bool described(const char *line, char *path, size_t size)
{
  size_t indent = strspn(line, " "), len = strspn(line + indent, "abcdefghijklmnopqrstuvwxyz0123456789_");
  if (indent < 2 || (indent - 2) % 4 != 0 || len == 0 || line[indent + len] != ':')
    return false;
  char *end = path;
  for (size_t level = (indent - 2) / 4; level > 0; level--) { /* as many names of the path before go on */
    char *dot = strchr(end, '.');
    if (level > 1 && !dot)
      return false;
    end = dot ? dot + 1 : end + strlen(end);
    if (!dot) {
      *end++ = '.';
      *end = '\0';
    }
  }
  snprintf(end, size - (size_t)(end - path), "%.*s", (int)len, line + indent);
  return true;
}

static void compare_program(const char *program, const char *file)
{
  struct mui_problems problems = {0};
  char command[512], line[1024], path[1024] = "";
  folder[0] = '\0';
  snprintf(command, sizeof(command), SOURCE_DIR "/etc/%s", file);
  mui_config *config = mui_config_load_sample(command, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  snprintf(command, sizeof(command), BINARY_DIR "/bin/%s --describe", program);
  FILE *from = popen(command, "r");
  CU_ASSERT_PTR_NOT_NULL_FATAL(from);
  size_t options = 0;
  while (fgets(line, sizeof(line), from)) {
    if (!described(line, path, sizeof(path) / 2))
      continue;
    options++;
    if (!shows(mui_config_root(config), path)) {
      fprintf(stderr, "etc/%s does not show '%s' of %s --describe\n", file, path, program);
      CU_FAIL("an option is not shown");
    }
  }
  CU_ASSERT_EQUAL(pclose(from), 0);
  CU_ASSERT_TRUE(options > 10);
  mui_config_free(config);
  mui_problems_free(&problems);
}

static void test_server(void)
{
  compare_program("musterd", "server.conf");
}

static void test_agent(void)
{
  compare_program("muster-agent", "agent.conf");
}

/* ---- plugins: NAME.conf against the tables -------------------------------------------------------- */

static const mui_setting *config_of(const mui_setting *entry)
{
  const mui_setting *setting;
  for (size_t i = 0; (setting = mui_setting_nth(entry, i)); i++)
    if (strcmp(mui_setting_name(setting), "config") == 0)
      return setting;
  return NULL;
}

/* One of the sample's entries shows all of a component's options and no others. */
static bool some_entry_fits(const mui_setting *entries, const struct mu_component *component)
{
  const mui_setting *entry;
  for (size_t i = 0; (entry = mui_setting_nth(entries, i)); i++) {
    struct mui_problems problems = {0};
    bool fits = mui_options_sample_check(config_of(entry), &component->options, &problems) == 0;
    mui_problems_free(&problems);
    if (fits)
      return true;
  }
  return false;
}

static void compare_plugin(const struct mu_plugin *plugin, const char *path)
{
  struct mui_problems problems = {0};
  folder[0] = '\0';
  mui_config *config = mui_config_load_sample(path, &problems);
  ASSERT_NO_PROBLEM(&problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(config);
  const mui_setting *entries = mui_setting_nth(mui_config_root(config), 0);
  for (size_t i = 0; i < plugin->components.count; i++) {
    const struct mu_component *component = &plugin->components.table[i];
    if (component->options.count > 0 && !some_entry_fits(entries, component)) {
      const mui_setting *entry;
      for (size_t n = 0; (entry = mui_setting_nth(entries, n)); n++)
        mui_options_sample_check(config_of(entry), &component->options, &problems);
      fprintf(stderr, "%s fits component %zu of %s nowhere:\n", path, i, plugin->name);
      mui_problems_print(&problems, stderr);
      CU_FAIL("a sample and a table differ");
      mui_problems_free(&problems);
    }
  }
  mui_config_free(config);
}

static void test_plugins(void)
{
  glob_t samples = {0};
  glob(SOURCE_DIR "/plugins/*/*.conf", 0, NULL, &samples);
  glob(SOURCE_DIR "/plugins/collectors/*/*.conf", GLOB_APPEND, NULL, &samples);
  CU_ASSERT_TRUE(samples.gl_pathc >= 9); /* every plugin of this repository has one */
  for (size_t i = 0; i < samples.gl_pathc; i++) {
    char file[512];
    const char *name = strrchr(samples.gl_pathv[i], '/') + 1;
    snprintf(file, sizeof(file), BINARY_DIR "/lib/muster/plugins/%.*s.so", (int)strcspn(name, "."), name);
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const struct mu_plugin *plugin = library ? dlsym(library, MU_PLUGIN_SYMBOL) : NULL;
    if (!plugin)
      fprintf(stderr, "%s: %s\n", name, dlerror());
    CU_ASSERT_PTR_NOT_NULL(plugin);
    if (plugin)
      compare_plugin(plugin, samples.gl_pathv[i]);
    if (library)
      dlclose(library);
  }
  globfree(&samples);
}

static const struct unit_test tests[] = {
    {"etc/server.conf", test_server},
    {"etc/agent.conf", test_agent},
    {"plugins", test_plugins},
};

UNIT_MAIN("samples", tests)
