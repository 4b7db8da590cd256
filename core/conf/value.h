/* SPDX-License-Identifier: ISC */
/* Texts of options: env: and file: resolved. */
#ifndef MUI_CONF_VALUE_H
#define MUI_CONF_VALUE_H

#include "conf/internal.h"

/*
 * The text that a string setting stands for, checked (UTF-8; secrets not empty and not readable by others); to be freed.
 * NULL: was reported under the name `path`. `literal`: env: and file: are taken as they are (presets).
 */
char *mui_text_resolve(const struct mui_setting *setting, const char *path, bool secret, bool literal,
                       struct mui_problems *problems);
/* Whether env: or file: gave this text, which must come from mui_text_resolve(): whoever wrote so meant to hide it. */
bool mui_text_referred(const char *text);

#endif
