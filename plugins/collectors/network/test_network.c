/* SPDX-License-Identifier: ISC */
#include "collector.h"

#define HEAD "Inter-|   Receive      |  Transmit\n face |bytes    packets |bytes    packets\n"
#define REST " 1 0 0 0 0 0 0 "
#define END " 1 0 0 0 0 0 0\n"

static double of(const struct rig *rig, const char *interface, const char *name)
{
  return row_number(rig_row(rig, "interfaces", "name", interface), name);
}

static void recorded_machine(void)
{
  struct rig rig;
  rig_open(&rig, "machine");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "interfaces"), 1);
  CU_ASSERT(of(&rig, "eth0", "rx_bytes") > 0);
  CU_ASSERT_EQUAL(of(&rig, "eth0", "rx_bytes"), rig_number(&rig, "rx_bytes"));
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "primary"), "eth0");
  CU_ASSERT_PTR_NULL(rig_get(&rig, "rx_speed"));
  rig_close(&rig);
}

static void names_match_by_pattern(void)
{
  struct rig rig;
  rig_open(&rig, "server");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "interfaces"), 2);
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "interfaces", "name", "wlo1"));
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "interfaces", "name", "eno1"));
  CU_ASSERT_EQUAL(rig_number(&rig, "rx_bytes"), 4294960000.0 + 1000000);
  CU_ASSERT_EQUAL(rig_number(&rig, "tx_bytes"), 502000);
  /* The usable default route with the lowest metric. */
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "primary"), "eno1");
  rig_close(&rig);
}

/* Bridges and tunnels of all kinds carry what the hardware carries; in a container eth0 is none of them. */
static void nothing_counts_twice(void)
{
  static const char *const virtual[] = {"lo",       "docker0", "br-0123456789ab", "virbr0",     "lxdbr0",      "lxcbr0",
                                        "br0",      "vmbr1",   "podman1",         "tailscale0", "ztabcdef123", "wg0",
                                        "tun0",     "tap3",    "veth12ab",        "bond0",      "eth0.100",    "vnet7",
                                        "flannel.1"};
  struct mu_buf dev = MU_BUF_INIT;
  struct rig rig;
  rig_open(&rig, NULL);
  mu_buf_adds(&dev, HEAD "eth0: 7" REST "5" END "zoo1: 7" REST "5" END);
  for (size_t i = 0; i < MU_COUNT(virtual); i++)
    mu_buf_printf(&dev, "%s: 1000" REST "1000" END, virtual[i]);
  rig_put(&rig, "/proc/net/dev", dev.at);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "interfaces"), 2);
  CU_ASSERT_EQUAL(rig_number(&rig, "rx_bytes"), 14);
  mu_buf_free(&dev);
  rig_close(&rig);
}

static void speeds(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_put(&rig, "/proc/net/dev", HEAD "wlo1:4294960000" REST "2000" END "eno1: 1000" REST "500" END);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  /* One wrapped at 32 bits, another came, the order changed. */
  rig_put(&rig, "/proc/net/dev",
          HEAD "eno2: 999" REST "999" END "eno1: 3000" REST "1500" END "wlo1: 50" REST "2200" END);
  CU_ASSERT_EQUAL(rig_collect(&rig, 2), 0);
  CU_ASSERT_EQUAL(of(&rig, "wlo1", "rx_speed"), 0);
  CU_ASSERT_EQUAL(of(&rig, "wlo1", "tx_speed"), 100);
  CU_ASSERT_EQUAL(of(&rig, "eno1", "rx_speed"), 1000);
  CU_ASSERT_EQUAL(of(&rig, "eno1", "tx_speed"), 500);
  CU_ASSERT(isnan(of(&rig, "eno2", "rx_speed")));
  CU_ASSERT_EQUAL(rig_number(&rig, "rx_speed"), 1000);
  CU_ASSERT_EQUAL(rig_number(&rig, "tx_speed"), 600);
  /* After the wrap it counts on. */
  rig_put(&rig, "/proc/net/dev", HEAD "wlo1: 60" REST "2200" END);
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(of(&rig, "wlo1", "rx_speed"), 10);
  CU_ASSERT_EQUAL(of(&rig, "wlo1", "tx_speed"), 0);
  /* No time has passed: no rate. */
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "rx_speed"));
  rig_close(&rig);
}

static void patterns(void)
{
  static const char *const include[] = {"docker*", "wlo?"}, *const exclude[] = {"lo"};
  struct rig rig;
  rig_open(&rig, "server");
  struct mu_list *in = rig_option(&rig, "include"), *ex = rig_option(&rig, "exclude"), saved_in = *in, saved_ex = *ex;
  *in = (struct mu_list){include, 2};
  *ex = (struct mu_list){exclude, 1};
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "interfaces"), 2);
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "interfaces", "name", "docker0"));
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "interfaces", "name", "wlo1"));
  *in = saved_in;
  *ex = saved_ex;
  rig_close(&rig);
}

static void primary_of_ipv6(void)
{
  static const char zero[] = "00000000000000000000000000000000";
  char text[1024];
  struct rig rig;
  rig_open(&rig, NULL);
  rig_put(&rig, "/proc/net/dev", HEAD "eno1: 1" REST "1" END);
  rig_put(&rig, "/proc/net/route", "Iface\tDestination\tGateway\nnonsense\neno7\t0\t0\n");
  snprintf(text, sizeof(text),
           "fe800000000000000000000000000000 40 %s 00 %s 00000001 00000001 00000000 00000001     eno5\n"
           "%s 00 %s 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eno2\n"
           "%s 00 %s 00 fe800000000000000000000000000001 00000064 00000001 00000000 00000003     eno1\n"
           "%s 00 %s 00 %s ffffffff 00000001 00000000 00200200       lo\nbroken\n",
           zero, zero, zero, zero, zero, zero, zero, zero, zero);
  rig_put(&rig, "/proc/net/ipv6_route", text);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "primary"), "eno1");
  /* Looked at again after a while, not each time. */
  rig_put(&rig, "/proc/net/ipv6_route", "");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "primary"), "eno1");
  CU_ASSERT_EQUAL(rig_collect(&rig, 60), 0);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "primary"));
  rig_close(&rig);
}

static void broken_files(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), MU_ENOENT);
  static const char *const texts[] = {"",
                                      "\n",
                                      ":",
                                      "eth0",
                                      "eth0:",
                                      "eth0: 1 2 3\n",
                                      "eth0: -1" REST "5" END,
                                      "eth0: x" REST "5" END,
                                      ": 1" REST "1" END,
                                      "a_name_that_is_longer_than_any_kernel_allows_it_to_be: 1" REST "1" END,
                                      ("eth0: 1 1 0 0 0\n 0 0 0 5" END)};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    rig_put(&rig, "/proc/net/dev", texts[i]);
    CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "interfaces"), 0);
    CU_ASSERT_EQUAL(rig_number(&rig, "rx_bytes"), 0);
  }
  rig_put(&rig, "/proc/net/dev", "a: 18446744073709551615" REST "18446744073709551615" END "b: 5" REST "5" END);
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT(rig_number(&rig, "rx_bytes") > 9e18);
  rig_close(&rig);
}

static const struct unit_test tests[] = {
    {"a recorded machine", recorded_machine},
    {"names match by pattern", names_match_by_pattern},
    {"nothing counts twice", nothing_counts_twice},
    {"speeds", speeds},
    {"patterns", patterns},
    {"primary of IPv6", primary_of_ipv6},
    {"broken files", broken_files},
};
UNIT_MAIN("network", tests)
