/* SPDX-License-Identifier: ISC */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "mounts.h"

/* A field of a mountinfo line. */
struct field {
  const char *at;
  size_t len;
};

/* The parts of a line that count: "36 35 98:0 /root /mount/point opts [tags…] - type source super-opts". */
struct mount {
  unsigned major, minor;
  struct field root, point, type, source;
};

static bool next_field(const char **at, const char *end, struct field *field)
{
  while (*at < end && **at == ' ')
    (*at)++;
  field->at = *at;
  while (*at < end && **at != ' ')
    (*at)++;
  field->len = (size_t)(*at - field->at);
  return field->len > 0;
}

static bool parse_line(const char *line, const char *end, struct mount *mount)
{
  struct field field;
  const char *at = line;
  char *stop;
  if (!next_field(&at, end, &field) || !next_field(&at, end, &field) || !next_field(&at, end, &field))
    return false;
  mount->major = (unsigned)strtoul(field.at, &stop, 10);
  if (stop == field.at || *stop != ':')
    return false;
  mount->minor = (unsigned)strtoul(stop + 1, &stop, 10);
  if (!next_field(&at, end, &mount->root) || !next_field(&at, end, &mount->point) || !next_field(&at, end, &field))
    return false;
  /* Optional fields until the lone dash. */
  do {
    if (!next_field(&at, end, &field))
      return false;
  } while (field.len != 1 || field.at[0] != '-');
  return next_field(&at, end, &mount->type) && next_field(&at, end, &mount->source) && mount->point.at[0] == '/';
}

/* A copy with the kernel's octal escapes (space, tab, newline, backslash, #) resolved. NULL: memory is out. */
static char *unescape(struct field field)
{
  char *text = malloc(field.len + 1);
  if (!text)
    return NULL;
  size_t n = 0;
  for (size_t i = 0; i < field.len; i++) {
    const char *c = field.at + i;
    if (*c == '\\' && field.len - i > 3 && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' && c[3] >= '0' &&
        c[3] <= '7' && (c[1] != '0' || c[2] != '0' || c[3] != '0')) {
      text[n++] = (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0'));
      i += 3;
    } else {
      text[n++] = *c;
    }
  }
  text[n] = '\0';
  return text;
}

static bool matches(const struct mu_list *patterns, const char *text)
{
  const char *const *list = patterns->items;
  for (size_t i = 0; i < patterns->count; i++)
    if (fnmatch(list[i], text, 0) == 0)
      return true;
  return false;
}

/* Whether /proc/filesystems lists the type without "nodev". */
static bool has_device(const char *filesystems, const char *type)
{
  size_t len = strlen(type);
  for (const char *line = filesystems; *line;) {
    size_t line_len = strcspn(line, "\n");
    if (line[0] == '\t' && line_len == len + 1 && memcmp(line + 1, type, len) == 0)
      return true;
    line += line_len;
    if (*line == '\n')
      line++;
  }
  return false;
}

static bool physical(const char *filesystems, const char *type, const char *source)
{
  return strcmp(type, "zfs") == 0 ||
         (filesystems ? has_device(filesystems, type) : strncmp(source, "/dev/", strlen("/dev/")) == 0);
}

static void disk_free(struct disk *disk)
{
  for (size_t i = 0; i < disk->datasets_count; i++)
    free(disk->datasets[i]);
  free(disk->datasets);
  free(disk->path);
  free(disk->device);
  free(disk->fstype);
  memset(disk, 0, sizeof(*disk));
}

void mounts_clear(struct disks *disks)
{
  for (size_t i = 0; i < disks->count; i++)
    disk_free(&disks->list[i]);
  disks->count = 0;
}

/* The disk that this mount shows once more, or NULL. */
static struct disk *find(struct disks *disks, const struct disk *new)
{
  for (size_t i = 0; i < disks->count; i++) {
    struct disk *disk = &disks->list[i];
    bool same = disk->pooled || new->pooled ? disk->pooled &&new->pooled &&strcmp(disk->device, new->device) == 0
                                            : disk->major == new->major && disk->minor == new->minor;
    /* Two numbers may be one device all the same: some btrfs give every subvolume its own. */
    if (same || (!new->pooled &&new->device[0] == '/' && strcmp(disk->device, new->device) == 0 &&
                 strcmp(disk->fstype, new->fstype) == 0))
      return disk;
  }
  return NULL;
}

static int add_dataset(struct disk *disk, const char *path)
{
  for (size_t i = 0; i < disk->datasets_count; i++)
    if (strcmp(disk->datasets[i], path) == 0)
      return 0;
  char **list = realloc(disk->datasets, (disk->datasets_count + 1) * sizeof(*list));
  if (!list)
    return MU_ENOMEM;
  disk->datasets = list;
  list[disk->datasets_count] = strdup(path);
  if (!list[disk->datasets_count])
    return MU_ENOMEM;
  disk->datasets_count++;
  return 0;
}

/* Whether `new` speaks for the device better than `old`: a whole file system before a part of it, then the shorter path. */
static bool better(const struct disk *new, const struct disk *old)
{
  return new->whole != old->whole ? new->whole : strlen(new->path) < strlen(old->path);
}

/* Takes `new` into the set. Its strings are the set's then, or freed. */
static int merge(struct disks *disks, struct disk *new)
{
  struct disk *disk = find(disks, new);
  int error = 0;
  if (!disk) {
    if (disks->count == DISKS_MAX) {
      disk_free(new);
      return 0;
    }
    disk = &disks->list[disks->count++];
    *disk = *new;
    return disk->pooled ? add_dataset(disk, disk->path) : 0;
  }
  if (disk->pooled && new->whole)
    error = add_dataset(disk, new->path);
  if (better(new, disk)) {
    char *path = disk->path;
    disk->path = new->path;
    disk->whole = new->whole;
    new->path = path;
  }
  disk_free(new);
  return error;
}

static int add(struct disks *disks, const struct mount *mount, const char *filesystems,
               const struct disk_config *config)
{
  struct disk new = {.major = mount->major,
                     .minor = mount->minor,
                     .path = unescape(mount->point),
                     .device = unescape(mount->source),
                     .fstype = unescape(mount->type),
                     .whole = mount->root.len == 1 && mount->root.at[0] == '/'};
  bool wanted = false;
  if (!new.path || !new.device || !new.fstype) {
    disk_free(&new);
    return MU_ENOMEM;
  }
  wanted = physical(filesystems, new.fstype, new.device) || matches(&config->include_types, new.fstype);
  wanted = wanted && !matches(&config->exclude_types, new.fstype) && !matches(&config->exclude, new.path);
  wanted = wanted && (config->include.count == 0 || matches(&config->include, new.path));
  if (strcmp(new.fstype, "zfs") == 0) {
    /* Snapshots show what their data set counts already; the data sets of one pool share its room. */
    wanted = wanted && !strchr(new.device, '@');
    new.pooled = true;
    new.device[strcspn(new.device, "/")] = '\0';
  }
  if (!wanted) {
    disk_free(&new);
    return 0;
  }
  return merge(disks, &new);
}

int mounts_parse(struct disks *disks, const char *mountinfo, const char *filesystems, const struct disk_config *config)
{
  mounts_clear(disks);
  for (const char *line = mountinfo; *line;) {
    const char *end = line + strcspn(line, "\n");
    struct mount mount;
    if (parse_line(line, end, &mount) && add(disks, &mount, filesystems, config)) {
      mounts_clear(disks);
      return MU_ENOMEM;
    }
    line = *end ? end + 1 : end;
  }
  return 0;
}
