/* SPDX-License-Identifier: ISC */
/* Looking at the tree of settings, and at option tables of any age. */
#include <assert.h>
#include <string.h>

#include "conf/internal.h"

void mui_setting_place(const mui_setting *setting, const char **file, unsigned *line)
{
  *file = setting && setting->source ? setting->source->path : NULL;
  *line = setting ? setting->line : 0;
}

const mui_setting *mui_setting_nth(const mui_setting *group, size_t n)
{
  bool has = group &&
             (group->type == MUI_SETTING_GROUP || group->type == MUI_SETTING_LIST || group->type == MUI_SETTING_ARRAY);
  return has && n < group->count ? &group->items[n] : NULL;
}

const char *mui_setting_name(const mui_setting *setting)
{
  return setting->name;
}

const char *mui_setting_string(const mui_setting *setting)
{
  return setting->type == MUI_SETTING_STRING ? setting->string : NULL;
}

const struct mui_setting *mui_setting_find(const struct mui_setting *group, const char *name, size_t len)
{
  if (!group || group->type != MUI_SETTING_GROUP)
    return NULL;
  for (size_t i = 0; i < group->count; i++) {
    const char *have = group->items[i].name;
    if (strncmp(have, name, len) == 0 && have[len] == '\0')
      return &group->items[i];
  }
  return NULL;
}

const mui_setting *mui_setting_member(const mui_setting *group, const char *name)
{
  return mui_setting_find(group, name, strlen(name));
}

struct mu_option mui_option_at(const struct mu_options *options, size_t i)
{
  struct mu_option option = {0};
  size_t stated = options->option_size;
  assert(i < options->count && stated > 0);
  memcpy(&option, (const char *)options->table + i * stated, stated < sizeof(option) ? stated : sizeof(option));
  assert(option.key);
  return option;
}

bool mui_option_is_self(const struct mu_option *option)
{
  return option->type == MUI_OPT_SETTING && option->key[0] == '\0';
}
