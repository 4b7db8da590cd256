/* SPDX-License-Identifier: ISC */
/* The tables of both forms; reading and writing both go by them. */
#include <string.h>

#include "convert.h"

#define PAIRS(array) (array), MU_COUNT(array)

static const struct wire_pair documented_cpu[] = {
    {"percent", "percent", WIRE_PERCENT}, {"cores", "cores", WIRE_UINT}, {"modelName", "model", WIRE_TEXT}};
static const struct wire_pair documented_memory[] = {{"total", "total", WIRE_UINT},
                                                     {"used", "used", WIRE_UINT},
                                                     {"available", "available", WIRE_UINT},
                                                     {"usedPercent", "used_percent", WIRE_PERCENT}};
/* Over all interfaces; the name is that of the default route's. */
static const struct wire_pair documented_network[] = {{"interfaceName", "primary", WIRE_TEXT},
                                                      {"bytesSent", "tx_bytes", WIRE_UINT},
                                                      {"bytesRecv", "rx_bytes", WIRE_UINT},
                                                      {"inSpeed", "rx_speed", WIRE_UINT},
                                                      {"outSpeed", "tx_speed", WIRE_UINT}};
static const struct wire_pair documented_system[] = {
    {"hostname", "hostname", WIRE_TEXT}, {"os", "os", WIRE_TEXT},         {"platform", "platform", WIRE_TEXT},
    {"arch", "arch", WIRE_TEXT},         {"kernel", "kernel", WIRE_TEXT}, {"uptime", "uptime", WIRE_UINT}};
/* Device and file system are ours: other readers ignore members that they do not know. */
static const struct wire_pair documented_rows[] = {
    {"path", "path", WIRE_TEXT},
    {"total", "total", WIRE_UINT},
    {"used", "used", WIRE_UINT},
    {"free", "free", WIRE_UINT},
    {"usedPercent", "used_percent", WIRE_PERCENT},
    {"readSpeed", "read_speed", WIRE_UINT},
    {"writeSpeed", "write_speed", WIRE_UINT},
    {"device", "device", WIRE_TEXT},
    {"fstype", "fstype", WIRE_TEXT},
};
static const struct wire_section documented[] = {{"cpu", "cpu", PAIRS(documented_cpu)},
                                                 {"memory", "memory", PAIRS(documented_memory)},
                                                 {"network", "network", PAIRS(documented_network)},
                                                 {"system", "system", PAIRS(documented_system)}};

static const struct wire_pair host[] = {{"kernelArch", "arch", WIRE_TEXT},
                                        {"kernelVersion", "kernel", WIRE_TEXT},
                                        {"virtualizationSystem", "virtualization", WIRE_TEXT},
                                        {"uptime", "uptime", WIRE_UINT},
                                        {"bootTime", "boot_time", WIRE_UINT},
                                        {"os", "os", WIRE_TEXT},
                                        {"platform", "platform", WIRE_TEXT},
                                        {"platformFamily", "platform_family", WIRE_TEXT},
                                        {"platformVersion", "platform_version", WIRE_TEXT}};
static const struct wire_pair load[] = {
    {"load1", "load1", WIRE_NUMBER}, {"load5", "load5", WIRE_NUMBER}, {"load15", "load15", WIRE_NUMBER}};
static const struct wire_pair cpu[] = {{"percent", "percent", WIRE_PERCENT}};
static const struct wire_pair memory[] = {
    {"total", "total", WIRE_UINT}, {"used", "used", WIRE_UINT}, {"usedPercent", "used_percent", WIRE_PERCENT}};
static const struct wire_pair swap[] = {{"total", "swap_total", WIRE_UINT},
                                        {"used", "swap_used", WIRE_UINT},
                                        {"free", "swap_free", WIRE_UINT},
                                        {"usedPercent", "swap_used_percent", WIRE_PERCENT}};
static const struct wire_pair disk[] = {
    {"total", "total", WIRE_UINT}, {"used", "used", WIRE_UINT}, {"usedPercent", "used_percent", WIRE_OF_TOTAL}};
static const struct wire_pair network[] = {{"netInSpeed", "rx_speed", WIRE_UINT},
                                           {"netOutSpeed", "tx_speed", WIRE_UINT},
                                           {"netInTransfer", "rx_bytes", WIRE_UINT},
                                           {"netOutTransfer", "tx_bytes", WIRE_UINT}};
static const struct wire_pair partition[] = {
    {"mountPoint", "path", WIRE_TEXT}, {"fstype", "fstype", WIRE_TEXT}, {"total", "total", WIRE_UINT},
    {"free", "free", WIRE_UINT},       {"used", "used", WIRE_UINT},     {"usedPercent", "used_percent", WIRE_PERCENT}};
static const struct wire_section deployed[] = {
    {"hostInfo", "system", PAIRS(host)},
    {"hostInfo.avgStat", "cpu", PAIRS(load)},
    {"cpuInfo", "cpu", PAIRS(cpu)},
    {"virtualMemoryInfo", "memory", PAIRS(memory)},
    {"swapMemoryInfo", "memory", PAIRS(swap)},
    {"diskInfo", "disk", PAIRS(disk)},
    {"networkInfo", "network", PAIRS(network)},
};

const struct wire_form wire_forms[STATUS_KINDS] = {
    [STATUS_DOCUMENTED] = {PAIRS(documented), PAIRS(documented_rows), false},
    [STATUS_DEPLOYED] = {PAIRS(deployed), PAIRS(partition), true},
};

static const struct wire_pair element_top[] = {{"uptime", "uptime", WIRE_UINT}};
static const struct wire_pair element_cpu[] = {{"cpuPercent", "percent", WIRE_PERCENT}};
static const struct wire_pair element_memory[] = {{"RAMPercent", "used_percent", WIRE_PERCENT},
                                                  {"SWAPPercent", "swap_used_percent", WIRE_PERCENT}};
static const struct wire_pair element_disk[] = {{"diskPercent", "used_percent", WIRE_OF_TOTAL}};
static const struct wire_pair element_speed[] = {{"netInSpeed", "rx_speed", WIRE_UINT},
                                                 {"netOutSpeed", "tx_speed", WIRE_UINT}};
static const struct wire_pair element_ram[] = {{"RAMTotal", "total", WIRE_UINT},
                                               {"RAMUsed", "used", WIRE_UINT},
                                               {"swapTotal", "swap_total", WIRE_UINT},
                                               {"swapUsed", "swap_used", WIRE_UINT}};
static const struct wire_pair element_disks[] = {{"diskTotal", "total", WIRE_UINT}, {"diskUsed", "used", WIRE_UINT}};
static const struct wire_pair element_transfer[] = {{"netInTransfer", "rx_bytes", WIRE_UINT},
                                                    {"netOutTransfer", "tx_bytes", WIRE_UINT}};
static const struct wire_pair element_system[] = {{"os", "os", WIRE_TEXT},
                                                  {"platform", "platform", WIRE_TEXT},
                                                  {"platformVersion", "platform_version", WIRE_TEXT},
                                                  {"virtualizationSystem", "virtualization", WIRE_TEXT},
                                                  {"kernelVersion", "kernel", WIRE_TEXT},
                                                  {"kernelArch", "arch", WIRE_TEXT}};
/* In the order in which render_element() writes them. */
static const struct wire_section element[] = {
    {"uptime", "system", PAIRS(element_top)},
    {"cpu", "cpu", PAIRS(element_cpu)},
    {"memory", "memory", PAIRS(element_memory)},
    {"disk", "disk", PAIRS(element_disk)},
    {"speed", "network", PAIRS(element_speed)},
    {"avgStat", "cpu", PAIRS(load)},
    {"ram", "memory", PAIRS(element_ram)},
    {"disks", "disk", PAIRS(element_disks)},
    {"transfer", "network", PAIRS(element_transfer)},
    {"system", "system", PAIRS(element_system)},
};
const struct wire_form wire_element = {PAIRS(element), PAIRS(partition), true};

const struct wire_section *wire_section(const struct wire_form *form, const char *member)
{
  for (size_t i = 0; i < form->count; i++)
    if (strcmp(form->sections[i].member, member) == 0)
      return &form->sections[i];
  return NULL;
}

bool wire_carries(const struct wire_form *form, const char *collector, const char *metric)
{
  /* The rows have it: disk.free is their sum. */
  if (strcmp(collector, "disk") == 0 && (strcmp(metric, "disks") == 0 || strcmp(metric, "free") == 0))
    return true;
  if (form->model_in_info && strcmp(collector, "cpu") == 0 &&
      (strcmp(metric, "model") == 0 || strcmp(metric, "cores") == 0))
    return true;
  for (size_t i = 0; i < form->count; i++)
    if (strcmp(form->sections[i].collector, collector) == 0)
      for (size_t j = 0; j < form->sections[i].count; j++)
        if (strcmp(form->sections[i].pairs[j].metric, metric) == 0)
          return true;
  return false;
}

bool wire_name_ok(const char *name)
{
  size_t length = strlen(name);
  return length > 0 && length < 64 && name[0] >= 'a' && name[0] <= 'z' &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}
