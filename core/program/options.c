/* SPDX-License-Identifier: ISC */
/* Option tables that both programs use. */
#include "program/program.h"

const char *const mui_level_words[5] = {"debug", "info", "warn", "error", NULL};

const struct mu_option mui_log_table[1] = {
    {.key = "level",
     .type = MU_OPT_ENUM,
     .offset = 0,
     .preset = "\"info\"",
     .names = mui_level_words,
     .help = "Lines below this level are not written"},
};

#define ITEM(member) .offset = offsetof(struct mui_item, member)
#define ITEM_OPTIONS                                                                                                   \
  {.key = "", .type = MUI_OPT_SETTING, ITEM(place)},                                                                   \
      {.key = "name",                                                                                                  \
       .type = MU_OPT_STRING,                                                                                          \
       ITEM(name),                                                                                                     \
       .flags = MU_OPT_REQUIRED,                                                                                       \
       .min = 1,                                                                                                       \
       .max = 31,                                                                                                      \
       .help = "The plugin: NAME.so in one of plugin_dirs"},                                                           \
      {.key = "instance",                                                                                              \
       .type = MU_OPT_STRING,                                                                                          \
       ITEM(instance),                                                                                                 \
       .min = 1,                                                                                                       \
       .max = 31,                                                                                                      \
       .help = "Another name, for a second copy. Default: as name"},                                                   \
      {.key = "required",                                                                                              \
       .type = MU_OPT_BOOL,                                                                                            \
       ITEM(required),                                                                                                 \
       .preset = "false",                                                                                              \
       .help = "Whether the program ends when this plugin cannot be loaded or started"},                               \
      {.key = "use",                                                                                                   \
       .type = MUI_OPT_SETTING,                                                                                        \
       ITEM(use),                                                                                                      \
       .help = "Which instance provides a service to this one: { store = \"db2\"; }"},                                 \
  {                                                                                                                    \
    .key = "config", .type = MUI_OPT_SETTING, ITEM(config),                                                            \
    .help = "The plugin's own options: --describe NAME lists them"                                                     \
  }

const struct mu_option mui_item_table[6] = {ITEM_OPTIONS};

const struct mu_option mui_collector_table[8] = {
    ITEM_OPTIONS,
    {.key = "interval",
     .type = MU_OPT_FLOAT,
     ITEM(interval),
     .preset = "0",
     .min = 0,
     .max = 86400,
     .help = "Seconds between two samples. 0: the collector's own"},
    {.key = "deadline",
     .type = MU_OPT_FLOAT,
     ITEM(deadline),
     .preset = "0",
     .min = 0,
     .max = 3600,
     .help = "Seconds after which a sample is given up. 0: the collector's own"},
};
