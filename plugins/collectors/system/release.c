/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <muster/base.h>

#include "files.h"
#include "release.h"

/* The value of a line NAME=value as a shell would read it: quotes taken away, backslash escapes resolved. */
static bool find(const char *text, const char *name, char *value, size_t size)
{
  size_t len = strlen(name);
  for (const char *line = text; *line;) {
    if (strncmp(line, name, len) == 0 && line[len] == '=') {
      const char *at = line + len + 1;
      char quote = *at == '"' || *at == '\'' ? *at++ : '\0';
      size_t n = 0;
      for (; *at && *at != '\n' && *at != quote && n + 1 < size; at++) {
        if (*at == '\\' && quote != '\'' && at[1] && at[1] != '\n')
          at++;
        value[n++] = *at;
      }
      value[n] = '\0';
      return n > 0;
    }
    line += strcspn(line, "\n");
    if (*line == '\n')
      line++;
  }
  value[0] = '\0';
  return false;
}

/* Whether a list of words, separated by blanks, holds the word. */
static bool has_word(const char *list, const char *word)
{
  size_t len = strlen(word);
  for (const char *at = list; *at;) {
    size_t n = strcspn(at, " ");
    if (n == len && memcmp(at, word, len) == 0)
      return true;
    at += n + strspn(at + n, " ");
  }
  return false;
}

static const char *family_of(const char *id, const char *like)
{
  static const struct {
    const char *word;
    const char *family;
  } families[] = {{"ubuntu", "debian"}, {"debian", "debian"}, {"rhel", "rhel"},    {"centos", "rhel"},
                  {"amzn", "rhel"},     {"fedora", "fedora"}, {"suse", "suse"},    {"opensuse", "suse"},
                  {"arch", "arch"},     {"alpine", "alpine"}, {"gentoo", "gentoo"}};
  for (size_t i = 0; i < MU_COUNT(families); i++)
    if (strcmp(id, families[i].word) == 0)
      return families[i].family;
  for (size_t i = 0; i < MU_COUNT(families); i++)
    if (has_word(like, families[i].word))
      return families[i].family;
  return id;
}

void release_read(const char *root, struct release *release)
{
  char text[8192], like[128], line[64];
  memset(release, 0, sizeof(*release));
  if (file_read(root, "/etc/os-release", text, sizeof(text)) <= 0 &&
      file_read(root, "/usr/lib/os-release", text, sizeof(text)) <= 0)
    return;
  /* os-release(5): where ID is missing it is "linux". */
  if (!find(text, "ID", release->platform, sizeof(release->platform)))
    snprintf(release->platform, sizeof(release->platform), "linux");
  (void)find(text, "ID_LIKE", like, sizeof(like));
  (void)find(text, "VERSION_ID", release->version, sizeof(release->version));
  snprintf(release->family, sizeof(release->family), "%s", family_of(release->platform, like));
  /* Debian's os-release has "12"; the point release is here: "12.11" (and "trixie/sid" before a release). */
  if (strcmp(release->platform, "debian") == 0 && file_line(root, "/etc/debian_version", line, sizeof(line)) &&
      isdigit((unsigned char)line[0]))
    snprintf(release->version, sizeof(release->version), "%s", line);
}
