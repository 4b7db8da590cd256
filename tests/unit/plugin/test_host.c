/* SPDX-License-Identifier: ISC */
/* The plugin host against plugins that are wrong in every way we know: tests/plugin. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/host.h>

#include "unit.h"

#include "base/logging.h"
#include "bus/bus.h"
#include "json/sample.h"
#include "loop/loop.h"
#include "plugin/host.h"

#define PLUGINS BINARY_DIR "/tests/plugins"
#define ENTRIES_MAX 16

static char folder[256];           /* a scratch folder for files of our own */
static struct mui_runtime runtime; /* of the running test */
static struct mui_host *host;
static char lines[65536]; /* what was logged */

/* ---- a plan from text ------------------------------------------------------------------------- */

struct plan {
  mui_config *file;
  struct mui_entry entries[ENTRIES_MAX];
  const char *dirs[3];
  struct mui_plan plan;
};

static const mui_setting *member(const mui_setting *group, const char *name)
{
  const mui_setting *setting;
  for (size_t n = 0; (setting = mui_setting_nth(group, n)); n++)
    if (mui_setting_name(setting) && strcmp(mui_setting_name(setting), name) == 0)
      return setting;
  return NULL;
}

static const char *word(const mui_setting *group, const char *name)
{
  const mui_setting *setting = member(group, name);
  return setting ? mui_setting_string(setting) : NULL;
}

/* "{ name = …; }, …"; with required = "yes". */
static struct plan *plan_new(const char *entries, const char *rest)
{
  struct plan *plan = calloc(1, sizeof(*plan));
  struct mui_problems problems = {0};
  char text[4096];
  snprintf(text, sizeof(text), "plugins = (\n%s\n);\n%s\n", entries, rest ? rest : "");
  plan->file = mui_config_load_text("test.conf", text, strlen(text), &problems);
  CU_ASSERT_PTR_NOT_NULL_FATAL(plan->file);
  CU_ASSERT_EQUAL(problems.errors, 0);
  mui_problems_free(&problems);
  const mui_setting *root = mui_config_root(plan->file), *list = member(root, "plugins"), *entry;
  for (size_t n = 0; (entry = mui_setting_nth(list, n)) && n < ENTRIES_MAX; n++)
    plan->entries[plan->plan.count++] = (struct mui_entry){.kind = MU_SERVER,
                                                           .name = word(entry, "name"),
                                                           .instance = word(entry, "instance"),
                                                           .required = word(entry, "required") != NULL,
                                                           .config = member(entry, "config"),
                                                           .use = member(entry, "use"),
                                                           .place = entry};
  plan->dirs[0] = folder;
  plan->dirs[1] = PLUGINS;
  plan->plan.entries = plan->entries;
  plan->plan.dirs = plan->dirs;
  plan->plan.use = member(root, "use");
  return plan;
}

static void plan_free(struct plan *plan)
{
  mui_config_free(plan->file);
  free(plan);
}

/* ---- around a test ---------------------------------------------------------------------------- */

static void keep_line(void *context, enum mu_level level, const char *line)
{
  (void)context;
  (void)level;
  size_t len = strlen(lines);
  snprintf(lines + len, sizeof(lines) - len, "%s\n", line);
}

static void begin(void)
{
  lines[0] = '\0';
  mui_log_sink(keep_line, NULL);
  runtime = (struct mui_runtime){.node = "here", .root = ""};
  runtime.core = mui_instance_new(&runtime, "core", "core");
  runtime.loop = mui_loop_new(1, 1);
  runtime.bus = mui_bus_new();
  CU_ASSERT_PTR_NOT_NULL_FATAL(runtime.loop);
  host = runtime.host = mui_host_new(&runtime, "/proc/self/exe");
  CU_ASSERT_PTR_NOT_NULL_FATAL(host);
}

static void set_true(void *context)
{
  *(bool *)context = true;
}

/* Waits for a line; how long a job takes to end is the machine's business. */
static bool said_soon(const char *text)
{
  bool never = false;
  for (int i = 0; i < 200 && !strstr(lines, text); i++)
    mui_loop_until(runtime.loop, &never, 20);
  return strstr(lines, text) != NULL;
}

/* The gate of stuck_job's job, which stands at it now: it is not freed before it was let through. */
static _Atomic int *job_at_gate(void)
{
  void *handle = dlopen(PLUGINS "/stuck_job.so", RTLD_NOW | RTLD_NOLOAD);
  CU_ASSERT_PTR_NOT_NULL_FATAL(handle);
  _Atomic int *gate = dlsym(handle, "gate");
  dlclose(handle);
  CU_ASSERT_PTR_NOT_NULL_FATAL(gate);
  bool never = false;
  for (int i = 0; i < 500 && *gate != 1; i++)
    mui_loop_until(runtime.loop, &never, 10);
  CU_ASSERT_EQUAL(*gate, 1);
  return gate;
}

static void let_through(void *gate)
{
  *(_Atomic int *)gate = 2;
}

/* How long the host took to stop, in ms; -1: never. */
static int64_t stop_host(void)
{
  bool done = false;
  int64_t began = mu_mono_ns();
  mui_host_stop(host, set_true, &done);
  if (!mui_loop_until(runtime.loop, &done, 3000))
    return -1;
  return (mu_mono_ns() - began) / 1000000;
}

static void end(void)
{
  mui_host_free(host);
  mui_instance_revoke(runtime.core);
  mui_bus_free(runtime.bus);
  CU_ASSERT_EQUAL(mui_loop_free(runtime.loop), 0);
  mui_instance_free(runtime.core);
  mui_log_sink(NULL, NULL);
}

static unsigned descriptors(void)
{
  DIR *dir = opendir("/proc/self/fd");
  unsigned count = 0;
  while (dir && readdir(dir))
    count++;
  closedir(dir);
  return count;
}

struct waited {
  bool done;
  int result;
};

static void on_applied(void *context, int result)
{
  struct waited *waited = context;
  waited->result = result;
  waited->done = true;
}

/* Applies and waits where it must; `said` gets the problems. */
static int apply_plan(struct plan *plan, char *said, size_t size)
{
  struct mui_problems problems = {0};
  struct waited waited = {false, 0};
  int result = mui_host_apply(host, &plan->plan, &problems, on_applied, &waited);
  if (result == MU_PENDING)
    result = mui_loop_until(runtime.loop, &waited.done, 3000) ? waited.result : MU_ETIMEOUT;
  if (said)
    said[0] = '\0';
  for (size_t i = 0; said && i < problems.count; i++) {
    size_t len = strlen(said);
    snprintf(said + len, size - len, "%u: %s\n", problems.list[i].line, problems.list[i].text);
  }
  mui_problems_free(&problems);
  return result;
}

static int apply(const char *entries, char *said, size_t size)
{
  struct plan *plan = plan_new(entries, NULL);
  int result = apply_plan(plan, said, size);
  plan_free(plan);
  return result;
}

static const struct mui_loaded *running(const char *name)
{
  const struct mui_loaded *loaded;
  for (size_t n = 0; (loaded = mui_host_nth(host, n)); n++)
    if (strcmp(loaded->base.name, name) == 0)
      return loaded;
  return NULL;
}

static uint64_t calls(const char *name, enum mui_callback callback)
{
  const struct mui_loaded *loaded = running(name);
  struct mui_account_row row = {0};
  return loaded && mui_account_read(&loaded->base, callback, &row) ? row.calls : 0;
}

/* ---- refusals --------------------------------------------------------------------------------- */

/* Strictly, as --check-config: one problem that says `what`. Leniently, as a start: left out, and the server runs on. */
static void refused(const char *name, const char *what)
{
  char entries[256];
  begin();
  snprintf(entries, sizeof(entries), "{ name = \"%s\"; }", name);
  struct plan *plan = plan_new(entries, NULL);
  struct mui_problems problems = {0};
  mui_host_check(host, &plan->plan, &problems);
  CU_ASSERT_EQUAL(problems.errors, 1);
  bool told = problems.count == 1 && strstr(problems.list[0].text, what) && strstr(problems.list[0].text, name);
  CU_ASSERT_TRUE(told);
  if (!told)
    printf("\n  %s: expected \"%s\", got \"%s\"\n", name, what, problems.count ? problems.list[0].text : "nothing");
  CU_ASSERT_TRUE(problems.count == 1 && problems.list[0].line == 2 && problems.list[0].file);
  mui_problems_free(&problems);
  plan_free(plan);

  snprintf(entries, sizeof(entries), "{ name = \"good\"; }, { name = \"%s\"; }", name);
  CU_ASSERT_EQUAL(apply(entries, NULL, 0), 0);
  CU_ASSERT_PTR_NOT_NULL(running("good"));
  CU_ASSERT_PTR_NULL(running(name));
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, what));
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();

  begin();
  snprintf(entries, sizeof(entries), "{ name = \"%s\"; required = \"yes\"; }", name);
  CU_ASSERT_EQUAL(apply(entries, NULL, 0), MU_EUNAVAILABLE);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

static void test_descriptors(void)
{
  refused("other_major", "is built for ABI 2.0; expected 1.x");
  refused("newer_minor", "is built for ABI 1.1");
  refused("wrong_name", "name is \"another\"; expected \"wrong_name\"");
  refused("bad_option", "option \"far\" lies outside of its struct");
  refused("no_descriptor", "no descriptor");
  refused("private_symbol", "private symbols");
  refused("missing_symbol", "nobody_has_this_symbol");
}

static void test_constructors(void)
{
  refused("crashing", "signal 11");
  refused("aborting", "signal 6");
  refused("exiting", "exit status 3");
}

static void test_hanging(void)
{
  int64_t began = mu_mono_ns();
  refused("hanging", "was still loading after 5 s");
  CU_ASSERT_TRUE((mu_mono_ns() - began) / 1000000 < 14000);
}

static void test_sizes(void)
{
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"smaller\"; }, { name = \"larger\"; }", NULL, 0), 0);
  CU_ASSERT_PTR_NOT_NULL_FATAL(running("smaller"));
  CU_ASSERT_PTR_NULL(running("smaller")->component->ops);
  CU_ASSERT_PTR_NOT_NULL(running("larger"));
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

/* ---- files ------------------------------------------------------------------------------------ */

static void copy(const char *from, const char *to, size_t at_most)
{
  char source[512], target[512];
  snprintf(source, sizeof(source), PLUGINS "/%s.so", from);
  snprintf(target, sizeof(target), "%s/.new", folder);
  FILE *in = fopen(source, "rb"), *out = fopen(target, "wb");
  CU_ASSERT_TRUE_FATAL(in && out);
  for (int c; at_most > 0 && (c = getc(in)) != EOF; at_most--)
    putc(c, out);
  fclose(in);
  fclose(out);
  chmod(target, 0644);
  snprintf(source, sizeof(source), "%s/%s.so", folder, to);
  CU_ASSERT_EQUAL(rename(target, source), 0);
}

static const char *file_in_folder(const char *name)
{
  static char path[512];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  return path;
}

static void test_files(void)
{
  const size_t whole = (size_t)-1;
  copy("good", "short_file", 100);
  refused("short_file", "load");
  copy("good", "short_file", 8192); /* the headers are there, the pages are not */
  refused("short_file", "load");
  unlink(file_in_folder("short_file.so"));

  FILE *junk = fopen(file_in_folder("junk.so"), "w");
  for (int i = 0; i < 100; i++)
    fputs("this is no shared object, whatever its name says\n", junk);
  fclose(junk);
  chmod(file_in_folder("junk.so"), 0644);
  refused("junk", "invalid ELF header");
  junk = fopen(file_in_folder("junk.so"), "w");
  fclose(junk);
  refused("junk", "file too short");
  unlink(file_in_folder("junk.so"));

  copy("good", "open_file", whole);
  chmod(file_in_folder("open_file.so"), 0666);
  refused("open_file", "can be written by others");
  chmod(file_in_folder("open_file.so"), 0664);
  refused("open_file", "can be written by its group");
  chmod(file_in_folder("open_file.so"), 0644);
  chmod(folder, 0777);
  refused("open_file", "the folder of this file can be written by others");
  chmod(folder, 0700);
  if (geteuid() == 0 && chown(file_in_folder("open_file.so"), 4242, 0) == 0)
    refused("open_file", "belongs to uid 4242");
  unlink(file_in_folder("open_file.so"));

  CU_ASSERT_EQUAL(symlink(PLUGINS "/good.so", file_in_folder("link.so")), 0);
  refused("link", "is a symbolic link");
  unlink(file_in_folder("link.so"));
  CU_ASSERT_EQUAL(mkfifo(file_in_folder("pipe.so"), 0600), 0);
  refused("pipe", "is no regular file");
  unlink(file_in_folder("pipe.so"));
  refused("goodd", "did you mean \"good\"?");
}

static void test_names(void)
{
  char said[2048];
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"../good\"; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "cannot be a plugin's name"));
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; instance = \"a b\"; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; },\n{ name = \"good\"; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "3: a second instance \"good\""));
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; config = { numbr = 1; }; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "number"));
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; config = { number = 13; }; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "13 is no good"));
  CU_ASSERT_PTR_NULL(mui_host_nth(host, 0));
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; }, { name = \"good\"; instance = \"b\"; }", said, sizeof(said)), 0);
  CU_ASSERT_PTR_NOT_NULL_FATAL(running("good"));
  CU_ASSERT_PTR_NOT_NULL_FATAL(running("b"));
  CU_ASSERT_PTR_NOT_EQUAL(running("good")->self, running("b")->self);
  CU_ASSERT_PTR_EQUAL(running("good")->plugin, running("b")->plugin);
  CU_ASSERT_STRING_EQUAL(mu_instance_name(&running("b")->base), "b");
  CU_ASSERT_STRING_EQUAL(mu_node_name(&running("b")->base), "here");
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

/* ---- failing callbacks ------------------------------------------------------------------------ */

static void test_failures(void)
{
  begin();
  unsigned before = descriptors();
  CU_ASSERT_EQUAL(apply("{ name = \"init_error\"; }, { name = \"start_error\"; }, { name = \"liar\"; }", NULL, 0), 0);
  CU_ASSERT_PTR_NULL(mui_host_nth(host, 0));
  CU_ASSERT_EQUAL(mui_host_diff(host).failed, 3);
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "could not be initialised"));
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "could not be started"));
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "did not register it"));
  CU_ASSERT_EQUAL(descriptors(), before);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; }, { name = \"start_error\"; required = \"yes\"; }", NULL, 0),
                  MU_EUNAVAILABLE);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

static void test_stops(void)
{
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; }, { name = \"pending_stop\"; }", NULL, 0), 0);
  int64_t took = stop_host();
  CU_ASSERT_TRUE(took >= 90);
  CU_ASSERT_PTR_NULL(strstr(lines, "did not stop in time"));
  end();

  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"silent_stop\"; }, { name = \"silent_stop\"; instance = \"b\"; }", NULL, 0), 0);
  took = stop_host();
  CU_ASSERT_TRUE(took >= 900 && took < 2000);
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "did not stop in time"));
  end();

  /* A job is out: what it runs stays mapped until it ends, and is freed then. */
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"stuck_job\"; }", NULL, 0), 0);
  _Atomic int *gate = job_at_gate();
  CU_ASSERT_EQUAL(apply("{ name = \"good\"; }", NULL, 0), 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "a job of it is still running"));
  CU_ASSERT_PTR_NULL(strstr(lines, "its last job has ended"));
  let_through(gate);
  CU_ASSERT_TRUE(said_soon("its last job has ended"));
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();

  /* The same while another one's stop is pending: in a reload, and at the end. */
  for (int i = 0; i < 2; i++) {
    begin();
    CU_ASSERT_EQUAL(apply("{ name = \"stuck_job\"; }, { name = \"silent_stop\"; }", NULL, 0), 0);
    gate = job_at_gate();
    mu_timer *soon = mu_timer_new(runtime.core, let_through, gate);
    mu_timer_start(soon, 300, 0);
    if (i == 0)
      CU_ASSERT_EQUAL(apply("{ name = \"good\"; }", NULL, 0), 0);
    CU_ASSERT_TRUE(stop_host() >= 0);
    CU_ASSERT_TRUE(said_soon("its last job has ended"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lines, "did not stop in time"));
    mu_timer_free(soon);
    end();
  }
}

/* ---- order ------------------------------------------------------------------------------------ */

static void test_order(void)
{
  char said[2048];
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"last\"; }, { name = \"middle\"; }, { name = \"provider\"; }", said, sizeof(said)),
                  0);
  CU_ASSERT_PTR_NOT_NULL(running("last"));
  CU_ASSERT_STRING_EQUAL(mui_host_nth(host, 0)->base.name, "last"); /* the configuration's order */
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();

  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"circle_a\"; }, { name = \"circle_b\"; }, { name = \"good\"; }", said, sizeof(said)),
                  MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "circle_a → circle_b → circle_a"));
  CU_ASSERT_EQUAL(apply("{ name = \"last\"; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "\"last\" needs chain_b/1"));
  const char *both = "{ name = \"provider\"; }, { name = \"provider_b\"; }, { name = \"middle\"; }";
  CU_ASSERT_EQUAL(apply(both, said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "use = { chain_a = "));
  CU_ASSERT_EQUAL(apply("{ name = \"provider\"; }, { name = \"provider_b\"; }", said, sizeof(said)), MU_ECONF);
  struct plan *plan = plan_new(both, "use = { chain_a = \"nobody\"; };");
  CU_ASSERT_EQUAL(apply_plan(plan, said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "there is no instance \"nobody\""));
  plan_free(plan);
  plan = plan_new(both, "use = { chain_a = \"middle\"; };");
  CU_ASSERT_EQUAL(apply_plan(plan, said, sizeof(said)), MU_ECONF);
  plan_free(plan);
  plan = plan_new(both, "use = { chain_a = \"provider_b\"; };");
  CU_ASSERT_EQUAL(apply_plan(plan, said, sizeof(said)), 0);
  plan_free(plan);
  struct mu_service service;
  CU_ASSERT_EQUAL(mu_service_get((mu_instance *)&running("middle")->base, "chain_a/1", &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, &running("provider_b")->base);
  /* Another choice restarts who is bound to it, and nobody else. */
  plan = plan_new(both, "use = { chain_a = \"provider\"; };");
  CU_ASSERT_EQUAL(apply_plan(plan, said, sizeof(said)), 0);
  plan_free(plan);
  CU_ASSERT_EQUAL(mui_host_diff(host).restarted, 1);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

/* ---- reload ----------------------------------------------------------------------------------- */

#define GOOD(number) "{ name = \"good\"; config = { number = " number "; }; }"

static void test_reload(void)
{
  char said[2048];
  begin();
  CU_ASSERT_EQUAL(apply(GOOD("1") ", { name = \"no_reconfigure\"; }, { name = \"pending_stop\"; }", NULL, 0), 0);
  const struct mui_loaded *good = running("good");
  /* Nothing differs. */
  CU_ASSERT_EQUAL(apply(GOOD("1") ", { name = \"no_reconfigure\"; }, { name = \"pending_stop\"; }", NULL, 0), 0);
  struct mui_host_diff diff = mui_host_diff(host);
  CU_ASSERT_EQUAL(diff.added + diff.removed + diff.restarted + diff.reconfigured, 0);
  CU_ASSERT_PTR_EQUAL(running("good"), good);
  /* Reconfigured, restarted, removed (which takes its time), added. */
  CU_ASSERT_EQUAL(apply(GOOD("2") ", { name = \"no_reconfigure\"; config = { number = 3; }; }, "
                                  "{ name = \"smaller\"; }",
                        NULL, 0),
                  0);
  diff = mui_host_diff(host);
  CU_ASSERT_EQUAL(diff.reconfigured, 1);
  CU_ASSERT_EQUAL(diff.restarted, 1);
  CU_ASSERT_EQUAL(diff.removed, 1);
  CU_ASSERT_EQUAL(diff.added, 1);
  CU_ASSERT_PTR_EQUAL(running("good"), good);
  CU_ASSERT_EQUAL(calls("good", MUI_CB_RECONFIGURE), 1);
  CU_ASSERT_EQUAL(calls("no_reconfigure", MUI_CB_INIT), 1);
  CU_ASSERT_PTR_NULL(running("pending_stop"));
  /* A wrong one changes nothing; on a reload a plugin that cannot be loaded is wrong, too. */
  CU_ASSERT_EQUAL(apply(GOOD("101"), said, sizeof(said)), MU_ECONF);
  CU_ASSERT_EQUAL(apply(GOOD("3") ", { name = \"crashing\"; }", said, sizeof(said)), MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "signal 11"));
  CU_ASSERT_EQUAL(calls("good", MUI_CB_RECONFIGURE), 1);
  CU_ASSERT_PTR_NOT_NULL(running("smaller"));
  /* A failing restart brings back what ran. */
  CU_ASSERT_EQUAL(apply(GOOD("2") ", { name = \"no_reconfigure\"; config = { refuse = \"yes\"; }; }", NULL, 0), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).failed, 1);
  CU_ASSERT_PTR_NOT_NULL(running("no_reconfigure"));
  CU_ASSERT_PTR_NOT_NULL(strstr(lines, "runs again as it was"));
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

/* A plugin may take some changes as it runs and leave others to a restart; who refuses later leaves all as it was. */
static void test_reload_asks_for_restart(void)
{
#define WANTS(number) "{ name = \"wants_restart\"; config = { number = " number "; }; }"
  char said[2048];
  begin();
  CU_ASSERT_EQUAL(apply(WANTS("1"), NULL, 0), 0);
  CU_ASSERT_EQUAL(apply(WANTS("50"), NULL, 0), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).reconfigured, 1);
  CU_ASSERT_EQUAL(mui_host_diff(host).restarted, 0);
  const struct mui_loaded *before = running("wants_restart");
  CU_ASSERT_EQUAL(apply(WANTS("3"), NULL, 0), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).reconfigured, 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).restarted, 1);
  CU_ASSERT_PTR_NOT_EQUAL(running("wants_restart"), before);
  CU_ASSERT_PTR_NOT_NULL(running("wants_restart"));
  CU_ASSERT_PTR_NULL(strstr(lines, "does not run"));
  CU_ASSERT_EQUAL(apply(WANTS("3") ", { name = \"refuses_config\"; }", NULL, 0), 0);
  before = running("wants_restart");
  CU_ASSERT_EQUAL(apply(WANTS("4") ", { name = \"refuses_config\"; config = { number = 8; }; }", said, sizeof(said)),
                  MU_ECONF);
  CU_ASSERT_PTR_EQUAL(running("wants_restart"), before);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
#undef WANTS
}

static _Atomic bool measuring;

static int measure(void *context)
{
  const struct mui_loaded *loaded = context;
  measuring = true;
  const struct mu_collector_ops *ops = loaded->component->ops;
  mu_sample *sample = mui_sample_new("", mu_mono_ns());
  int result = ops->collect(loaded->self, sample);
  mui_sample_free(sample);
  return result;
}

static void measured(void *context, int result)
{
  (void)context;
  CU_ASSERT_EQUAL(result, MU_ECLOSED);
}

static int apply_collector(const char *entry)
{
  struct plan *plan = plan_new(entry, NULL);
  plan->entries[0].kind = MU_COLLECTOR;
  int result = apply_plan(plan, NULL, 0);
  plan_free(plan);
  return result;
}

/* A collector takes a new configuration, but not while a worker is in its code. */
static void test_reload_while_measuring(void)
{
  begin();
  CU_ASSERT_EQUAL(apply_collector("{ name = \"measures\"; config = { number = 1; }; }"), 0);
  const struct mui_loaded *loaded = running("measures");
  CU_ASSERT_EQUAL(apply_collector("{ name = \"measures\"; config = { number = 2; }; }"), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).reconfigured, 1);
  CU_ASSERT_PTR_EQUAL(running("measures"), loaded);
  struct mu_job job = {
      .size = sizeof(job), .work = measure, .done = measured, .context = (void *)loaded, .what = "collect"};
  CU_ASSERT_EQUAL(mu_work((mu_instance *)&loaded->base, &job), 0);
  for (int i = 0; i < 1000 && !measuring; i++)
    usleep(5000);
  CU_ASSERT_EQUAL(apply_collector("{ name = \"measures\"; config = { number = 3; }; }"), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).restarted, 1);
  CU_ASSERT_PTR_NOT_EQUAL(running("measures"), loaded);
  CU_ASSERT_TRUE(said_soon("its last job has ended"));
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

static void test_reload_refused(void)
{
  char said[2048];
  begin();
  CU_ASSERT_EQUAL(apply(GOOD("1") ", { name = \"refuses_config\"; }", NULL, 0), 0);
  const struct mui_loaded *loaded = running("refuses_config");
  CU_ASSERT_EQUAL(apply(GOOD("2") ", { name = \"refuses_config\"; config = { number = 2; }; }", said, sizeof(said)),
                  MU_ECONF);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "refuses the new configuration"));
  CU_ASSERT_EQUAL(calls("good", MUI_CB_RECONFIGURE), 2); /* there and back */
  CU_ASSERT_EQUAL(*(const int64_t *)running("good")->config, 1);
  CU_ASSERT_PTR_EQUAL(running("refuses_config"), loaded);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

static void test_replaced_file(void)
{
  begin();
  copy("good", "good", (size_t)-1); /* the scratch folder comes first */
  CU_ASSERT_EQUAL(apply(GOOD("1"), NULL, 0), 0);
  copy("good", "good", (size_t)-1); /* by rename: another inode */
  CU_ASSERT_EQUAL(apply(GOOD("1"), NULL, 0), 0);
  CU_ASSERT_EQUAL(mui_host_diff(host).restarted, 1);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
  unlink(file_in_folder("good.so"));
}

static void test_stop_during_reload(void)
{
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"silent_stop\"; }, { name = \"good\"; }", NULL, 0), 0);
  struct plan *plan = plan_new("{ name = \"good\"; }, { name = \"smaller\"; }", NULL);
  struct mui_problems problems = {0};
  struct waited waited = {false, 0};
  CU_ASSERT_EQUAL(mui_host_apply(host, &plan->plan, &problems, on_applied, &waited), MU_PENDING);
  CU_ASSERT_EQUAL(mui_host_apply(host, &plan->plan, &problems, on_applied, &waited), MU_EBUSY);
  int64_t took = stop_host();
  CU_ASSERT_TRUE(took >= 0 && took < 2000);
  CU_ASSERT_TRUE(waited.done && waited.result == MU_ECLOSED);
  mui_problems_free(&problems);
  plan_free(plan);
  end();
}

static void test_many_times(void)
{
  const char *text = getenv("MUSTER_TEST_LONG");
  int rounds = text && *text ? 1000 : 200;
  begin();
  CU_ASSERT_EQUAL(apply("{ name = \"smaller\"; }", NULL, 0), 0);
  unsigned before = descriptors();
  for (int i = 0; i < rounds; i++) {
    CU_ASSERT_EQUAL_FATAL(apply("{ name = \"smaller\"; }, { name = \"good\"; }, { name = \"provider\"; }, "
                                "{ name = \"middle\"; }",
                                NULL, 0),
                          0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(running("middle"));
    mui_loop_turn(runtime.loop);
    CU_ASSERT_EQUAL_FATAL(apply("{ name = \"smaller\"; }", NULL, 0), 0);
    lines[0] = '\0';
  }
  CU_ASSERT_EQUAL(descriptors(), before);
  CU_ASSERT_TRUE(stop_host() >= 0);
  end();
}

/* ---- host/1 ----------------------------------------------------------------------------------- */

struct shown {
  char text[512];
  size_t calls;
};

static int show(void *context, const struct mu_host_instance *instance)
{
  struct shown *shown = context;
  size_t len = strlen(shown->text);
  CU_ASSERT_TRUE(instance->provides && instance->needs && instance->wants && instance->version && instance->file);
  for (size_t i = 0; i < instance->callback_count; i++)
    shown->calls += instance->callbacks[i].calls;
  snprintf(shown->text + len, sizeof(shown->text) - len, "%s=%s:%s ", instance->name, instance->plugin,
           instance->state);
  return strcmp(instance->name, "stop_here") == 0 ? 7 : 0;
}

/* Who does not list it may not ask; what was left out is shown as failed; a reload is seen. */
static void test_shown(void)
{
  struct shown shown = {0};
  struct mu_buf json = MU_BUF_INIT;
  begin();
  CU_ASSERT_EQUAL(
      apply(
          "{ name = \"good\"; instance = \"b\"; }, { name = \"init_error\"; }, { name = \"good\"; instance = \"a\"; }",
          NULL, 0),
      0);
  CU_ASSERT_EQUAL(mu_host_each(runtime.core, show, &shown), 0);
  CU_ASSERT_STRING_EQUAL(shown.text, "b=good:running init_error=init_error:failed a=good:running ");
  CU_ASSERT_TRUE(shown.calls >= 2);
  mu_instance *other = (mu_instance *)&running("a")->base;
  CU_ASSERT_EQUAL(mu_host_each(other, show, &shown), MU_EPERM);
  CU_ASSERT_EQUAL(mu_host_config(other, &json), MU_EPERM);
  CU_ASSERT_EQUAL(json.len, 0);
  CU_ASSERT_EQUAL(mu_host_config(runtime.core, &json), 0);
  const char first[] = "{\"program\":{},\"plugins\":[{\"instance\":\"b\",\"plugin\":\"good\",";
  CU_ASSERT_TRUE(json.at && strncmp(json.at, first, sizeof(first) - 1) == 0);
  mu_buf_free(&json);
  CU_ASSERT_EQUAL(
      apply("{ name = \"good\"; instance = \"stop_here\"; }, { name = \"good\"; instance = \"c\"; }", NULL, 0), 0);
  shown = (struct shown){0};
  CU_ASSERT_EQUAL(mu_host_each(runtime.core, show, &shown), 7);
  CU_ASSERT_STRING_EQUAL(shown.text, "stop_here=good:running ");
  end();
}

static const struct unit_test tests[] = {
    {"host/1", test_shown},
    {"descriptors", test_descriptors},
    {"constructors", test_constructors},
    {"hanging constructor", test_hanging},
    {"sizes", test_sizes},
    {"files", test_files},
    {"names and options", test_names},
    {"failing callbacks", test_failures},
    {"stops", test_stops},
    {"order", test_order},
    {"reload", test_reload},
    {"reconfigure asks for a restart", test_reload_asks_for_restart},
    {"reload while a collector measures", test_reload_while_measuring},
    {"reload refused by a plugin", test_reload_refused},
    {"replaced file", test_replaced_file},
    {"stop during a reload", test_stop_during_reload},
    {"start and stop many times", test_many_times},
};

int main(int argc, char **argv)
{
  /* The host executes this program again for its probes. */
  if (argc == 3 && strcmp(argv[1], "--probe-plugin") == 0)
    return mui_host_probe_main(atoi(argv[2]));
  snprintf(folder, sizeof(folder), "/tmp/muster-test-host-XXXXXX");
  if (!mkdtemp(folder))
    return 1;
  int status = unit_main("plugin host", tests, MU_COUNT(tests));
  rmdir(folder);
  return status;
}
