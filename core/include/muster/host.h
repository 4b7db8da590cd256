/* SPDX-License-Identifier: ISC */
/**
 * @file host.h
 * What runs in this program: for those who show it to people. Loop thread only.
 *
 * A component that lists "host/1" in `needs` may ask; all others get MU_EPERM. The core itself is behind it, so it is always there.
 */
#ifndef MUSTER_HOST_H
#define MUSTER_HOST_H

#include <muster/plugin.h>

#define MU_SERVICE_HOST "host/1"

/** How one kind of callback of an instance did so far. Growth-only. */
struct mu_host_callback {
  /** "message", "timer", "http", … */
  const char *name;
  uint64_t calls;
  /** Calls that returned a negative value. */
  uint64_t errors;
  int64_t total_ns;
  int64_t max_ns;
  /** 99 of 100 calls took no longer, to within a quarter. */
  int64_t p99_ns;
};

struct mu_host_counter {
  const char *name;
  uint64_t value;
};

/** An instance that the configuration names; borrowed for the call. Growth-only. */
struct mu_host_instance {
  size_t size;
  const char *name;
  const char *plugin;
  enum mu_kind kind;
  /** "running", "stopping", "stuck" (stopped, but a job has not come back), or "failed": it was left out, and the log says why. */
  const char *state;
  /** Of the plugin's descriptor; "" when it failed. */
  const char *version;
  const char *summary;
  const char *licence;
  /** Where the plugin's file lies. */
  const char *file;
  /** Lists of service names, ended by NULL; never NULL. */
  const char *const *provides;
  const char *const *needs;
  const char *const *wants;
  /** Callbacks that were called at least once. */
  const struct mu_host_callback *callbacks;
  size_t callback_count;
  size_t callback_size; /**< sizeof(struct mu_host_callback) as the host was compiled */
  const struct mu_host_counter *counters;
  size_t counter_count;
};

/**
 * Calls `fn` for each instance, in the configuration's order; stops when it returns non-zero, and returns that. MU_EPERM, MU_ENOMEM.
 */
MU_API int mu_host_each(mu_instance *in, int (*fn)(void *context, const struct mu_host_instance *instance),
                        void *context);

/**
 * Appends the configuration in force as one JSON object: {"program":{…},"plugins":[{"instance","plugin","kind","config":{…}}]}, presets included.
 * What the option tables call secret is "(hidden)", or null when it is not set; so is whatever env: or file: gave, and each address with a user in
 * it. MU_EPERM, MU_ENOMEM.
 */
MU_API int mu_host_config(mu_instance *in, struct mu_buf *json);

/** The program's version. */
MU_API const char *mu_host_version(mu_instance *in);

#endif
