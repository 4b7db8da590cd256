/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <muster/base.h>

#include "files.h"
#include "virtualization.h"

struct sign {
  const char *text;
  const char *kind;
};

static const char *find_sign(const struct sign *signs, size_t count, const char *text)
{
  for (size_t i = 0; i < count; i++)
    if (strstr(text, signs[i].text))
      return signs[i].kind;
  return NULL;
}

/* What a container's manager calls itself: our word for it, or its own if it is a plain one. */
static bool take_name(const char *name, char *kind, size_t size)
{
  size_t len = 0;
  while (isalnum((unsigned char)name[len]) || name[len] == '-' || name[len] == '_')
    len++;
  if (len == 0 || name[len] != '\0' || len >= size)
    return false;
  /* "oci" says only that it is one. */
  snprintf(kind, size, "%s", strcmp(name, "oci") == 0 ? "container" : name);
  return true;
}

/* container=NAME in the first process's environment; readable by root only. */
static bool from_environment(const char *root, char *kind, size_t size)
{
  char text[16384];
  long len = file_read(root, "/proc/1/environ", text, sizeof(text));
  for (long at = 0; at < len; at += (long)strlen(text + at) + 1)
    if (strncmp(text + at, "container=", 10) == 0)
      return take_name(text + at + 10, kind, size);
  return false;
}

static bool container(const char *root, char *kind, size_t size)
{
  static const struct sign groups[] = {{"/kubepods", "kubernetes"},
                                       {"/docker", "docker"},
                                       {"libpod", "podman"},
                                       {"/lxc", "lxc"},
                                       {"/garden/", "garden"}};
  char text[8192], line[64];
  if (from_environment(root, kind, size))
    return true;
  const char *found = NULL;
  if (file_there(root, "/.dockerenv"))
    found = "docker";
  else if (file_there(root, "/run/.containerenv"))
    found = "podman";
  else if (file_line(root, "/run/systemd/container", line, sizeof(line)) && take_name(line, kind, size))
    return true;
  else if (file_there(root, "/proc/vz") && !file_there(root, "/proc/bc"))
    found = "openvz";
  else if (file_read(root, "/proc/1/cgroup", text, sizeof(text)) > 0)
    found = find_sign(groups, MU_COUNT(groups), text);
  if (!found && file_line(root, "/proc/sys/kernel/osrelease", line, sizeof(line)) &&
      (strstr(line, "Microsoft") || strstr(line, "WSL")))
    found = "wsl";
  if (found)
    snprintf(kind, size, "%s", found);
  return found != NULL;
}

/* The hypervisor's name in the tables of the firmware. */
static const char *from_dmi(const char *root)
{
  static const char *const files[] = {"/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor",
                                      "/sys/class/dmi/id/board_vendor", "/sys/class/dmi/id/bios_vendor"};
  static const struct sign signs[] = {{"KVM", "kvm"},
                                      {"QEMU", "kvm"},
                                      {"OpenStack", "kvm"},
                                      {"RHEV", "kvm"},
                                      {"oVirt", "kvm"},
                                      {"Google Compute Engine", "kvm"},
                                      {"DigitalOcean", "kvm"},
                                      {"Alibaba Cloud", "kvm"},
                                      {"Hetzner vServer", "kvm"},
                                      {"VMware", "vmware"},
                                      {"VMW", "vmware"},
                                      {"VirtualBox", "virtualbox"},
                                      {"innotek", "virtualbox"},
                                      {"Virtual Machine", "hyperv"},
                                      {"Hyper-V", "hyperv"},
                                      {"HVM domU", "xen"},
                                      {"Xen", "xen"},
                                      {"Bochs", "bochs"},
                                      {"Parallels", "parallels"},
                                      {"BHYVE", "bhyve"},
                                      {"Apple Virtualization", "apple"}};
  char line[128];
  for (size_t i = 0; i < MU_COUNT(files); i++) {
    const char *kind = file_line(root, files[i], line, sizeof(line)) ? find_sign(signs, MU_COUNT(signs), line) : NULL;
    if (kind)
      return kind;
  }
  return NULL;
}

/* Whether the processor says that it is not a real one: the word "hypervisor" in the first line of flags. */
static bool hypervisor_flag(const char *root)
{
  char text[8192];
  if (file_read(root, "/proc/cpuinfo", text, sizeof(text)) <= 0)
    return false;
  const char *flags = strncmp(text, "flags", 5) == 0 ? text : strstr(text, "\nflags");
  const char *end = flags ? strchr(flags + 1, '\n') : NULL;
  const char *word = flags ? strstr(flags, " hypervisor") : NULL;
  return word && (!end || word < end) && strchr(" \n", word[strlen(" hypervisor")]) != NULL;
}

static const char *machine(const char *root)
{
  char line[64];
  /* Under Xen the first domain is the host itself. */
  if (file_there(root, "/proc/xen/capabilities"))
    return file_line(root, "/proc/xen/capabilities", line, sizeof(line)) && strstr(line, "control_d") ? "" : "xen";
  if (file_line(root, "/sys/hypervisor/type", line, sizeof(line)) && strcmp(line, "xen") == 0)
    return "xen";
  const char *kind = from_dmi(root);
  if (kind)
    return kind;
  /* ARM and POWER name it in the device tree: "linux,kvm". */
  if (file_line(root, "/proc/device-tree/hypervisor/compatible", line, sizeof(line)))
    return strstr(line, "kvm") ? "kvm" : strstr(line, "xen") ? "xen" : strstr(line, "vmware") ? "vmware" : "vm";
  return hypervisor_flag(root) ? "vm" : "";
}

void virtualization_read(const char *root, char *kind, size_t size)
{
  if (!container(root, kind, size))
    snprintf(kind, size, "%s", machine(root));
}
