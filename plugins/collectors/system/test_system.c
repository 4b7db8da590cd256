/* SPDX-License-Identifier: ISC */
#include <sys/utsname.h>

#include "collector.h"
#include "release.h"
#include "virtualization.h"

static void recorded_machine(void)
{
  struct utsname name;
  struct rig rig;
  uname(&name);
  rig_open(&rig, "machine");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "hostname"), name.nodename);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "os"), "linux");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "arch"), name.machine);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "kernel"), name.release);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform"), "debian");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform_family"), "debian");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform_version"), "12.11");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "virtualization"), "docker");
  CU_ASSERT(rig_number(&rig, "uptime") > 0);
  CU_ASSERT(rig_number(&rig, "boot_time") > 1e9);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "temperatures"));
  rig_close(&rig);
}

static void hardware(void)
{
  struct rig rig;
  rig_open(&rig, "server");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform"), "rocky");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform_family"), "rhel");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "platform_version"), "9.4");
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "virtualization"), "");
  CU_ASSERT_EQUAL(rig_number(&rig, "uptime"), 86461);
  CU_ASSERT_EQUAL(rig_number(&rig, "boot_time"), 1700000000);
  rig_close(&rig);
}

static const char *nth_name(const struct rig *rig, size_t n)
{
  struct json_object *row = json_object_array_get_idx(rig_get(rig, "temperatures"), n), *name = NULL;
  json_object_object_get_ex(row, "name", &name);
  return json_object_get_string(name);
}

static void temperatures(void)
{
  struct rig rig;
  rig_open(&rig, "server");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  /* What is absent, broken or no number is left out. */
  CU_ASSERT_EQUAL_FATAL(rig_count(&rig, "temperatures"), 4);
  CU_ASSERT_STRING_EQUAL(nth_name(&rig, 0), "coretemp Package id 0");
  CU_ASSERT_STRING_EQUAL(nth_name(&rig, 1), "coretemp Core 0");
  CU_ASSERT_STRING_EQUAL(nth_name(&rig, 2), "coretemp Core 8");
  CU_ASSERT_STRING_EQUAL(nth_name(&rig, 3), "acpitz temp1");
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "temperatures", "name", "coretemp Core 0"), "celsius"), 43.5);
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "temperatures", "name", "acpitz temp1"), "celsius"), -3.0);
  /* Values at each sample, sensors now and then. */
  rig_put(&rig, "/sys/class/hwmon/hwmon0/temp2_input", "99000\n");
  rig_put(&rig, "/sys/class/hwmon/hwmon2/temp1_input", "1000\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "temperatures", "name", "coretemp Core 0"), "celsius"), 99.0);
  CU_ASSERT_EQUAL(rig_count(&rig, "temperatures"), 4);
  CU_ASSERT_EQUAL(rig_collect(&rig, 61), 0);
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "temperatures", "name", "hwmon2 temp1"), "celsius"), 1.0);
  rig_close(&rig);
  rig_open(&rig, "server");
  *(bool *)rig_option(&rig, "temperatures") = false;
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "temperatures"));
  rig_close(&rig);
}

static void releases(void)
{
  static const struct {
    const char *os_release, *debian_version, *platform, *family, *version;
  } cases[] = {
      {"ID=debian\nVERSION_ID=\"12\"\n", "12.11\n", "debian", "debian", "12.11"},
      {"ID=debian\n", "trixie/sid\n", "debian", "debian", ""},
      {"ID=ubuntu\nID_LIKE=debian\nVERSION_ID='24.04'\n", "bookworm/sid\n", "ubuntu", "debian", "24.04"},
      {"ID=alpine\nVERSION_ID=3.20.1\n", NULL, "alpine", "alpine", "3.20.1"},
      {"ID=fedora\nVERSION_ID=40", NULL, "fedora", "fedora", "40"},
      {"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n", NULL, "opensuse-leap", "suse", "15.6"},
      {"NAME=x\nOLD_ID=no\nID=void", NULL, "void", "void", ""},
      {"ID=\"a\\\"b\\\\c\"", NULL, "a\"b\\c", "a\"b\\c", ""},
      {"ID=\nVERSION_ID=", NULL, "linux", "linux", ""},
      {"ID=\"open", NULL, "open", "open", ""},
      {NULL, "12.11\n", "", "", ""},
  };
  struct release release;
  for (size_t i = 0; i < MU_COUNT(cases); i++)
    for (int place = 0; place < 2; place++) {
      struct rig rig;
      rig_open(&rig, NULL);
      if (cases[i].os_release)
        rig_put(&rig, place ? "/usr/lib/os-release" : "/etc/os-release", cases[i].os_release);
      if (cases[i].debian_version)
        rig_put(&rig, "/etc/debian_version", cases[i].debian_version);
      release_read(rig.root, &release);
      CU_ASSERT_STRING_EQUAL(release.platform, cases[i].platform);
      CU_ASSERT_STRING_EQUAL(release.family, cases[i].family);
      CU_ASSERT_STRING_EQUAL(release.version, cases[i].version);
      rig_close(&rig);
    }
}

static void virtualizations(void)
{
  static const struct {
    const char *path, *content, *kind;
  } cases[] = {
      {"/.dockerenv", "", "docker"},
      {"/run/.containerenv", "engine=\"podman\"", "podman"},
      {"/run/systemd/container", "systemd-nspawn\n", "systemd-nspawn"},
      {"/run/systemd/container", "oci\n", "container"},
      {"/run/systemd/container", "<b>not a name</b>\n", ""},
      {"/proc/1/environ", "container=lxc", "lxc"},
      {"/proc/1/environ", "mycontainer=lxc", ""},
      {"/proc/1/cgroup", "12:memory:/kubepods/besteffort/pod1/abc\n", "kubernetes"},
      {"/proc/1/cgroup", "0::/system.slice/docker-1.scope\n", "docker"},
      {"/proc/1/cgroup", "0::/init.scope\n", ""},
      {"/proc/1/cgroup", "4:memory:/docker/0123\n", "docker"},
      {"/proc/vz/veinfo", "", "openvz"},
      {"/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n", "wsl"},
      {"/proc/xen/capabilities", "\n", "xen"},
      {"/proc/xen/capabilities", "control_d\n", ""},
      {"/sys/hypervisor/type", "xen\n", "xen"},
      {"/sys/class/dmi/id/sys_vendor", "QEMU\n", "kvm"},
      {"/sys/class/dmi/id/product_name", "VMware Virtual Platform\n", "vmware"},
      {"/sys/class/dmi/id/product_name", "VirtualBox\n", "virtualbox"},
      {"/sys/class/dmi/id/product_name", "Virtual Machine\n", "hyperv"},
      {"/sys/class/dmi/id/product_name", "PowerEdge R640\n", ""},
      {"/proc/device-tree/hypervisor/compatible", "linux,kvm", "kvm"},
      {"/proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor lahf\nbugs : x\n", "vm"},
      {"/proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisors\nmodel : hypervisor\n", ""},
      {"/etc/none", "", ""},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct rig rig;
    char kind[32];
    rig_open(&rig, NULL);
    rig_put(&rig, cases[i].path, cases[i].content);
    virtualization_read(rig.root, kind, sizeof(kind));
    CU_ASSERT_STRING_EQUAL(kind, cases[i].kind);
    rig_close(&rig);
  }
}

/* Nothing can be read: what uname() says is still there. */
static void empty_tree(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "os"), "linux");
  CU_ASSERT_PTR_NULL(rig_get(&rig, "platform"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "uptime"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "boot_time"));
  rig_put(&rig, "/proc/uptime", "inf");
  rig_put(&rig, "/proc/stat", "btime -5\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 61), 0);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "uptime"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "boot_time"));
  rig_close(&rig);
}

static const struct unit_test tests[] = {
    {"a recorded machine", recorded_machine}, {"hardware", hardware},
    {"temperatures", temperatures},           {"releases", releases},
    {"virtualizations", virtualizations},     {"an empty tree", empty_tree},
};
UNIT_MAIN("system", tests)
