/* SPDX-License-Identifier: ISC */
/**
 * @file plugin.h
 * What a plugin is: one exported descriptor, a list of components, an option table, six callbacks.
 *
 *     static const struct mu_component components[] = {{
 *       .size = sizeof(struct mu_component), .kind = MU_SERVER,
 *       .options = MU_OPTIONS(options), .config_size = sizeof(struct config),
 *       .init = init, .fini = fini,
 *     }};
 *     MU_PLUGIN(.name = "hello", .version = "1.0", .summary = "says hello", .licence = "ISC",
 *               .components = MU_COMPONENTS(components));
 *
 * ABI: the first two words of the descriptor are the ABI's major and minor number for ever. The host refuses another
 * major and a newer minor, and reads no byte beyond the sizes that the plugin states. Structs marked growth-only gain
 * members at their end; what an older plugin does not state reads as zero.
 *
 * State hangs on the instance (`*self`), never on mutable globals: one plugin may be loaded twice under two names.
 */
#ifndef MUSTER_PLUGIN_H
#define MUSTER_PLUGIN_H

#include <muster/base.h>
#include <muster/conf.h>

#define MU_ABI_MAJOR 1
#define MU_ABI_MINOR 0

/** A program starts only the components of its kinds: musterd servers, muster-agent uplinks and collectors. */
enum mu_kind {
  MU_SERVER = 1,
  MU_UPLINK = 2,
  MU_COLLECTOR = 3,
};

/**
 * One component. Growth-only. Life of an instance, all on the loop thread:
 *
 *   check → init → start → (reconfigure)* → stop → fini
 *
 * A failing init or start is unwound by the host: it revokes all registrations and calls fini if init had succeeded.
 */
struct mu_component {
  size_t size; /**< sizeof(struct mu_component) */
  enum mu_kind kind;
  /** Lists of service names, "auth/1", ended by NULL; a NULL list is empty. */
  const char *const *provides;
  /** Providers that must be there and start earlier. */
  const char *const *needs;
  /** Providers that start earlier if they are there. */
  const char *const *wants;
  struct mu_options options;
  /** sizeof the struct that the options fill. */
  size_t config_size;

  /**
   * Judges a configuration. Pure: no side effects, called for --check-config and before every reload.
   * @param config the component's own struct, borrowed
   */
  void (*check)(const void *config, struct mu_check *check);
  /**
   * Makes the instance's state and registers what it offers (services, routes, listeners for events).
   * @param config valid and unchanged until reconfigure has returned or fini is called
   * @param self   out: passed to all later callbacks; for collectors also to collect() on worker threads
   */
  int (*init)(mu_instance *in, const void *config, void **self);
  /** Binds the services of others and begins input and output. All needs have started. May be NULL. */
  int (*start)(void *self);
  /**
   * Takes a new configuration, which check has passed, or refuses it with an error and stays as it was.
   * The old struct is freed when this returns 0, the new one when it does not. MU_RESTART: the change needs a restart of the
   * instance, which the host does; it stays as it was until then. NULL: the host restarts the instance; so
   * it does with a collector whose collect() is running: the two are never called at once.
   */
  int (*reconfigure)(void *self, const void *config);
  /**
   * Ends input and output. 0, or MU_PENDING: mu_stopped() follows, or the host goes on after 1 s.
   * The host revokes all registrations afterwards. May be NULL.
   */
  int (*stop)(void *self);
  /** Frees the state. */
  void (*fini)(void *self);

  /** MU_COLLECTOR: struct mu_collector_ops (sample.h). MU_UPLINK: struct mu_uplink_ops (uplink.h). MU_SERVER: NULL. */
  const void *ops;
};

/** A list of components as the plugin was compiled. */
struct mu_components {
  const struct mu_component *table;
  size_t count;
  size_t component_size;
};
#define MU_COMPONENTS(array)                                                                                           \
  {                                                                                                                    \
    (array), MU_COUNT(array), sizeof((array)[0])                                                                       \
  }

/** The descriptor. Growth-only. */
struct mu_plugin {
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t size;
  /** Equal to the file's name without ".so": [a-z][a-z0-9_]*, at most 31 characters. */
  const char *name;
  const char *version;
  /** One line. */
  const char *summary;
  /** SPDX expression. */
  const char *licence;
  struct mu_components components;
};

/** The symbol that the host looks for. */
#define MU_PLUGIN_SYMBOL "muster_plugin"

/** Defines the descriptor; once per plugin. */
#define MU_PLUGIN(...)                                                                                                 \
  MU_EXPORT const struct mu_plugin muster_plugin = {                                                                   \
      .abi_major = MU_ABI_MAJOR, .abi_minor = MU_ABI_MINOR, .size = sizeof(struct mu_plugin), __VA_ARGS__}

MU_EXTERN const struct mu_plugin muster_plugin;

/** The instance's name: the plugin's, or `instance` from the configuration. */
MU_API const char *mu_instance_name(const mu_instance *in);
/** The name of this node in a cluster; the host name unless configured. */
MU_API const char *mu_node_name(const mu_instance *in);
/** Where files that go with plugins are installed: `../share/muster`, seen from the program. */
MU_API const char *mu_share_folder(const mu_instance *in);
/** The end of a stop that returned MU_PENDING. */
MU_API void mu_stopped(mu_instance *in);
/**
 * For services that keep things in the name of their users: calls `fn` once, after `user` has stopped and before its fini().
 * Ends with `in`, the service's own instance. Loop thread. 0, MU_ENOMEM or MU_ECLOSED.
 */
MU_API int mu_on_stop(mu_instance *in, mu_instance *user, void (*fn)(void *context, mu_instance *user), void *context);

#endif
