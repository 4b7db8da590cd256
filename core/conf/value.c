/* SPDX-License-Identifier: ISC */
/* Texts of options: env: and file: resolved. No message here may hold a value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/utf8.h"
#include "conf/value.h"

struct resolving {
  const struct mui_setting *setting;
  const char *path;
  bool secret;
  struct mui_problems *problems;
};

#define REPORT(r, warning, ...)                                                                                        \
  mui_problem((r)->problems, (warning), (r)->setting->source->path, (r)->setting->line, __VA_ARGS__)

static char *from_environment(const struct resolving *r, const char *name)
{
  const char *value = name[0] ? getenv(name) : NULL;
  if (!name[0])
    REPORT(r, false, "'%s': env: needs the name of a variable", r->path);
  else if (!value)
    REPORT(r, false, "'%s': the environment variable %s is not set", r->path, name);
  else if (r->secret && !value[0])
    REPORT(r, false, "'%s': the environment variable %s is empty", r->path, name);
  else
    return strdup(value);
  return NULL;
}

static bool file_is_private(const struct resolving *r, const char *file, unsigned mode)
{
  if (mode & S_IROTH)
    REPORT(r, false, "'%s': %s is readable by others (mode %04o); chmod 600 it", r->path, file, mode);
  else if (mode & S_IWOTH)
    REPORT(r, false, "'%s': %s is writable by others (mode %04o); chmod 600 it", r->path, file, mode);
  return !(mode & (S_IROTH | S_IWOTH));
}

static char *from_file(const struct resolving *r, const char *named)
{
  char why[128];
  size_t len = 0;
  unsigned mode;
  char *file = mui_path_join(r->setting->source->folder, named);
  char *text = NULL;
  if (named[0] == '\0')
    REPORT(r, false, "'%s': file: needs a path", r->path);
  else if (file && !(text = mui_read_file(file, MUI_CONF_SECRET_MAX, &len, &mode, NULL, why, sizeof(why))))
    REPORT(r, false, "'%s': cannot read %s: %s", r->path, file, why);
  bool good = text && !(r->secret && !file_is_private(r, file, mode));
  if (good && len > 0 && text[len - 1] == '\n')
    text[--len] = '\0';
  if (good && len > 0 && text[len - 1] == '\r')
    text[--len] = '\0';
  if (good && strlen(text) != len) {
    REPORT(r, false, "'%s': %s holds a NUL byte", r->path, file);
    good = false;
  }
  if (good && r->secret && len == 0) {
    REPORT(r, false, "'%s': %s is empty", r->path, file);
    good = false;
  }
  free(file);
  if (good)
    return text;
  if (text)
    mu_secret_wipe(text, len);
  free(text);
  return NULL;
}

static char *as_written(const struct resolving *r, const char *text)
{
  unsigned mode = r->setting->source->mode;
  if (r->secret && !text[0]) {
    REPORT(r, false, "'%s' is empty", r->path);
    return NULL;
  }
  if (r->secret && (mode & S_IROTH))
    REPORT(r, true,
           "'%s' is written in a file that is readable by others (mode %04o); chmod 600 it, or use env: or file:",
           r->path, mode);
  return strdup(text);
}

/* A copy with a mark behind its end; the original is wiped. */
static char *marked(char *text, bool referred)
{
  size_t len = strlen(text);
  char *copy = malloc(len + 2);
  if (copy) {
    memcpy(copy, text, len + 1);
    copy[len + 1] = (char)referred;
  }
  mu_secret_wipe(text, len);
  free(text);
  return copy;
}

bool mui_text_referred(const char *text)
{
  return text[strlen(text) + 1] != 0;
}

char *mui_text_resolve(const struct mui_setting *setting, const char *path, bool secret, bool literal,
                       struct mui_problems *problems)
{
  const struct resolving r = {.setting = setting, .path = path, .secret = secret, .problems = problems};
  const char *text = setting->string;
  char *resolved;
  bool environment = !literal && strncmp(text, "env:", 4) == 0, file = !literal && strncmp(text, "file:", 5) == 0;
  if (environment)
    resolved = from_environment(&r, text + 4);
  else if (file)
    resolved = from_file(&r, text + 5);
  else
    resolved = as_written(&r, text);
  if (!resolved)
    return NULL;
  if (mui_utf8_valid(resolved, strlen(resolved)))
    return marked(resolved, environment || file);
  REPORT(&r, false, "'%s' is not valid UTF-8", path);
  mu_secret_wipe(resolved, strlen(resolved));
  free(resolved);
  return NULL;
}
