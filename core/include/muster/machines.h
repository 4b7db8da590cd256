/* SPDX-License-Identifier: ISC */
/**
 * @file machines.h
 * The service machines/1: what is known of every machine now, and its events. Loop thread only.
 *
 * A machine is keyed (provider, owner, id). Its newest report is kept as the text that came, once; other forms of it
 * are made when somebody asks, once per report, through the canonical form
 * `{collector: {metric: value}}` that docs/metrics.md describes.
 */
#ifndef MUSTER_MACHINES_H
#define MUSTER_MACHINES_H

#include <muster/base.h>

struct json_object;

/** A form of a report, registered by the plugin that owns it. */
typedef struct mu_form mu_form;

/** Bits of mu_machine.fixed. */
enum mu_machine_fixed {
  MU_MACHINE_NAME = 1,
  MU_MACHINE_GROUP = 2,
  MU_MACHINE_COUNTRY = 4,
  MU_MACHINE_LOCATION = 8,
};

/** A machine; read-only for everybody but its service. Growth-only. Borrowed unless referenced. */
struct mu_machine {
  size_t size;
  /** Names the machine while the server runs; never 0, never used twice. A key for groups. */
  uint64_t handle;
  /** The owner's auth provider (instance name) and id there; owner "" is the operator. */
  const char *provider;
  const char *owner;
  const char *id;
  /** Never NULL; empty when unknown. The configuration's value wins over the machine's own. */
  const char *name;
  const char *group;
  const char *country;
  const char *location;
  const char *ip;
  /** Named by a configuration: listed even when it never reported, never forgotten. */
  bool configured;
  /** Shown where nobody logged in. */
  bool is_public;
  /** Linked, or a report came and is not older than it said it would stay valid. */
  bool online;
  /** Unix ms of the first and the newest report by the server's clock; 0: never. */
  int64_t first_report_ms;
  int64_t last_report_ms;
  /** Grows with every change of anything here. */
  uint64_t version;
  /** Number of reports. */
  uint64_t reports;
  /** The newest report: its form and its text, as kept. NULL: never reported. */
  const mu_form *form;
  mu_text *text;
  /** What the configuration sets: enum mu_machine_fixed values, or-ed. What the machine says of itself does not change these. */
  unsigned fixed;
  /** For people: the owner's name as its provider gave it; empty when unknown. */
  const char *owner_name;
  /** A connection of the machine is open: see link(). */
  bool linked;
  /** Unix ms: when the newest link began (0: never), and the last sign of life of any kind (0: never). */
  int64_t linked_ms;
  int64_t seen_ms;
  /** What it told of itself once, a JSON object as its protocol documents it. NULL: nothing. */
  mu_text *facts;
};

/** How a machine is known by configuration. Strings NULL or empty: not set. Growth-only. */
struct mu_machine_entry {
  size_t size;
  const char *provider;
  const char *owner;
  const char *id;
  const char *name;
  const char *group;
  const char *country;
  const char *location;
  bool is_public;
};

/** One report. Growth-only. */
struct mu_machine_report {
  size_t size;
  const mu_form *form;
  /** Kept: the service takes its own reference. */
  mu_text *text;
  /** Offline when no other report came for this long, unless linked. 0: the link alone says that it is online. */
  uint64_t valid_ms;
  /** What the machine says of itself; empty: nothing new. */
  struct mu_str name;
  struct mu_str group;
  struct mu_str country;
  struct mu_str location;
  struct mu_str ip;
};

/** What a machine tells of itself, apart from its figures. Growth-only. */
struct mu_machine_facts {
  size_t size;
  /** A JSON object, kept: the service takes its own reference. NULL: as before. */
  mu_text *facts;
  /** Empty: nothing new. */
  struct mu_str name;
  struct mu_str group;
  struct mu_str country;
  struct mu_str location;
  struct mu_str ip;
  struct mu_str owner_name;
};

/** Growth-only. */
struct mu_form_ops {
  size_t size;
  /** "server_status.documented". */
  const char *name;
  /** The canonical form of m->text, which has this form: a new json-c object. NULL where machines never report in this form. */
  int (*to_metrics)(void *self, const struct mu_machine *machine, struct json_object **metrics);
  /** This form of the machine, from whatever it needs: fields, metrics(), m->text of its own forms. NULL: cannot be rendered. */
  int (*render)(void *self, const struct mu_machine *machine, mu_text **text);
  /** The rendered text also depends on `online` or the entry, not on the report alone. */
  bool depends_on_state;
};

/** The service "machines/1". Growth-only. */
struct mu_machines {
  size_t size;
  /**
   * Makes a machine known by configuration or changes what is configured of it; ends when `in` stops or by withdraw.
   * 0, MU_ENOMEM, MU_EINVAL (no id or provider), or MU_EEXIST when another instance declared it.
   */
  int (*declare)(void *self, mu_instance *in, const struct mu_machine_entry *entry);
  void (*withdraw)(void *self, mu_instance *in, const char *provider, const char *owner, const char *id);
  /**
   * The machine of this key; made if `make` (only by plugins that have authenticated it). NULL: none, the owner has too many, or it was
   * removed (see removed()).
   */
  const struct mu_machine *(*find)(void *self, const char *provider, const char *owner, const char *id, bool make);
  const struct mu_machine *(*by_handle)(void *self, uint64_t handle);
  /**
   * Takes a report, keeps the text, tells the listeners. 0, MU_ENOMEM, MU_EINVAL (no form or text), or MU_ENOENT: forgotten meanwhile, find
   * it again.
   */
  int (*report)(void *self, const struct mu_machine *machine, const struct mu_machine_report *report);
  /** The owner's wish, for machines that no configuration names. */
  void (*set_public)(void *self, const struct mu_machine *machine, bool is_public);
  /** Forgets a machine: event machine.deleted. */
  void (*forget)(void *self, const struct mu_machine *machine);

  /**
   * Walks the machines of an owner (`provider` NULL: all), sorted by group, name, id; stops when `fn` returns non-zero, and returns that.
   * Else 0, or MU_ENOMEM.
   */
  int (*each)(void *self, const char *provider, const char *owner,
              int (*fn)(void *context, const struct mu_machine *machine), void *context);
  size_t (*count)(void *self);
  /** Keeps a machine past the callback; the fields stay those of the live record. */
  const struct mu_machine *(*ref)(const struct mu_machine *machine);
  void (*unref)(const struct mu_machine *machine);

  /** Registers a form; ends with `in`. NULL when memory is out or the name is taken. */
  const mu_form *(*form_add)(void *self, mu_instance *in, const struct mu_form_ops *ops, void *form_self);
  /**
   * The machine in a form; made at most once per report. Borrowed until the next report.
   * NULL: never reported (forms that depend on state are made all the same), or it failed (counted).
   */
  mu_text *(*text)(void *self, const struct mu_machine *machine, const mu_form *form);
  /** The canonical form; made at most once per report. Borrowed, read-only. NULL as above. */
  struct json_object *(*metrics)(void *self, const struct mu_machine *machine);

  /**
   * A connection of the machine opened, or closed: counted, so each `true` needs its `false`. While one is open the machine is online
   * and is never forgotten; when the last one closes it is offline unless a report is still valid. Events machine.online and
   * machine.offline. 0, MU_EINVAL (closed more often than opened), MU_ENOENT: forgotten or removed meanwhile.
   */
  int (*link)(void *self, const struct mu_machine *machine, bool open);
  /** A sign of life without a report: event machine.seen. 0 or MU_ENOENT. */
  int (*seen)(void *self, const struct mu_machine *machine);
  /** What it tells of itself: event machine.info if anything changed. 0, MU_ENOMEM, MU_ENOENT. */
  int (*describe)(void *self, const struct mu_machine *machine, const struct mu_machine_facts *facts);
  /**
   * The machine was taken away on purpose: event machine.deleted, and for 24 h find() makes none of this key, so that no late message
   * brings it back. Works for keys that are not known now, too. The newest 10 000 are remembered. 0, MU_ENOMEM, MU_EINVAL (no id or provider).
   */
  int (*remove)(void *self, const char *provider, const char *owner, const char *id);
  /** Whether it was removed so, and why find() gives none. */
  bool (*removed)(void *self, const char *provider, const char *owner, const char *id);
  /** It may come again: takes back what remove() remembers. */
  void (*restore)(void *self, const char *provider, const char *owner, const char *id);

  /**
   * The form of this name that another plugin registered; NULL: none ever did. Good for as long as the service is: while the owner of the
   * form is away text() gives NULL (of machines that reported in this very form, what came), and when it is back the same form works again.
   */
  const mu_form *(*form_find)(void *self, const char *name);
};
#define MU_SERVICE_MACHINES "machines/1"

/** Events; the payload of each is a struct mu_machine. */
#define MU_EVENT_MACHINE_ONLINE                                                                                        \
  "machine.online"                           /**< linked, or the first report after silence (machine.report follows) */
#define MU_EVENT_MACHINE_SEEN "machine.seen" /**< a sign of life without a report */
#define MU_EVENT_MACHINE_REPORT "machine.report" /**< each report */
#define MU_EVENT_MACHINE_INFO "machine.info" /**< name, group, … facts or visibility changed, or it was declared */
#define MU_EVENT_MACHINE_OFFLINE "machine.offline" /**< the last link closed, or the newest report is no longer valid */
#define MU_EVENT_MACHINE_DELETED "machine.deleted" /**< forgotten or removed; last use of the payload */

#endif
