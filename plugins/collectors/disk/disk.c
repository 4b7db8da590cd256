/* SPDX-License-Identifier: ISC */
/* Collector: room on physical file systems, and what is read and written, from mountinfo, statvfs and /proc/diskstats. */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <muster/muster.h>

#include "disk.h"
#include "mounts.h"

/* The unit of /proc/diskstats, whatever the device's own is. */
#define SECTOR 512u

struct state {
  struct mu_buf buf; /* mountinfo as it was parsed */
  bool stale;        /* it has changed since, or may have */
  int watch;         /* the kernel's list, which tells when it changes; -1: it is read every time */
  const struct disk_config *config;
  const char *root;
  mu_procfile *mountinfo;      /* of the first process */
  mu_procfile *self_mountinfo; /* where that one may not be read */
  mu_procfile *filesystems;
  mu_procfile *diskstats;
  disk_statvfs_fn statvfs;
  struct disks disks;
  struct disks old; /* while mounts are read again */
  int64_t mono_ns;  /* of the newest sample; 0: none */
};

struct room {
  uint64_t total, used, free;
};

void disk_set_statvfs(void *self, disk_statvfs_fn fn)
{
  ((struct state *)self)->statvfs = fn;
}

static void fini(void *self)
{
  struct state *state = self;
  mu_procfile_free(state->mountinfo);
  mu_procfile_free(state->self_mountinfo);
  mu_procfile_free(state->filesystems);
  mu_procfile_free(state->diskstats);
  mounts_clear(&state->disks);
  if (state->watch >= 0)
    close(state->watch);
  mu_buf_free(&state->buf);
  free(state);
}

/* The list of the first process, or of this one, for poll(). -1: none, or a file that is not the kernel's. */
static int open_watch(const char *root)
{
  static const char *const paths[] = {"/proc/1/mountinfo", "/proc/self/mountinfo"};
  int fd = -1;
  for (size_t i = 0; i < MU_COUNT(paths) && fd < 0; i++) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s%s", root, paths[i]);
    if (n > 0 && (size_t)n < sizeof(path))
      fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  }
  struct statfs fs;
  if (fd >= 0 && (fstatfs(fd, &fs) != 0 || fs.f_type != PROC_SUPER_MAGIC)) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct state *state = calloc(1, sizeof(*state));
  if (!state)
    return MU_ENOMEM;
  state->config = config;
  state->root = mu_host_root(in);
  state->statvfs = statvfs;
  state->stale = true;
  state->watch = open_watch(state->root);
  state->mountinfo = mu_procfile_new(state->root, "/proc/1/mountinfo");
  state->self_mountinfo = mu_procfile_new(state->root, "/proc/self/mountinfo");
  state->filesystems = mu_procfile_new(state->root, "/proc/filesystems");
  state->diskstats = mu_procfile_new(state->root, "/proc/diskstats");
  if (!state->mountinfo || !state->self_mountinfo || !state->filesystems || !state->diskstats) {
    fini(state);
    return MU_ENOMEM;
  }
  *self = state;
  return 0;
}

/* ---- which disks ----------------------------------------------------------------------------- */

/* The kernel's name of a device: "sda1" of "/dev/sda1", "dm-0" of the link "/dev/mapper/vg-root". */
static void find_link(const struct state *state, struct disk *disk)
{
  char path[PATH_MAX], target[PATH_MAX];
  if (strncmp(disk->device, "/dev/", 5) != 0)
    return;
  const char *name = disk->device;
  int n = snprintf(path, sizeof(path), "%s%s", state->root, disk->device);
  ssize_t len = n > 0 && (size_t)n < sizeof(path) ? readlink(path, target, sizeof(target) - 1) : -1;
  if (len > 0) {
    target[len] = '\0';
    name = target;
  }
  const char *slash = strrchr(name, '/');
  snprintf(disk->link, sizeof(disk->link), "%.*s", (int)sizeof(disk->link) - 1, slash ? slash + 1 : name);
}

/* Parses again when the kernel's list has changed; counters of disks that stay are kept. */
static int refresh_mounts(struct state *state)
{
  struct mu_str text, types;
  struct pollfd watch = {.fd = state->watch, .events = POLLPRI};
  if (state->watch < 0 || poll(&watch, 1, 0) != 0)
    state->stale = true;
  if (!state->stale)
    return 0; /* making its text costs the kernel more than all else here */
  int error = mu_procfile_read(state->mountinfo, &text);
  if (error)
    error = mu_procfile_read(state->self_mountinfo, &text);
  if (error)
    return error;
  if (state->buf.len == text.len && text.len > 0 && memcmp(state->buf.at, text.at, text.len) == 0) {
    state->stale = false;
    return 0;
  }

  bool known = mu_procfile_read(state->filesystems, &types) == 0 && types.len > 0;
  struct disks *old = &state->old;
  memcpy(old->list, state->disks.list, state->disks.count * sizeof(old->list[0]));
  old->count = state->disks.count;
  state->disks.count = 0;
  mu_buf_clear(&state->buf);
  error = mounts_parse(&state->disks, text.at, known ? types.at : NULL, state->config);
  if (!error) {
    for (size_t i = 0; i < state->disks.count; i++) {
      struct disk *disk = &state->disks.list[i];
      find_link(state, disk);
      for (size_t j = 0; j < old->count; j++) {
        const struct disk *was = &old->list[j];
        if (was->major == disk->major && was->minor == disk->minor && strcmp(was->device, disk->device) == 0) {
          disk->read = was->read;
          disk->written = was->written;
          disk->counted = was->counted;
        }
      }
    }
    /* Remembered only when it was understood: a failure is tried again. */
    mu_buf_add(&state->buf, text.at, text.len);
    state->stale = state->buf.failed;
    if (state->buf.failed)
      mu_buf_clear(&state->buf);
  }
  mounts_clear(old);
  return error;
}

/* ---- room ------------------------------------------------------------------------------------ */

static uint64_t times(uint64_t blocks, uint64_t size)
{
  return size && blocks > (uint64_t)INT64_MAX / size ? (uint64_t)INT64_MAX : blocks * size;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
  return a > (uint64_t)INT64_MAX - b ? (uint64_t)INT64_MAX : a + b;
}

static bool ask_room(const struct state *state, const char *mount, struct room *room)
{
  char path[PATH_MAX];
  struct statvfs fs;
  int n = snprintf(path, sizeof(path), "%s%s", state->root, mount);
  if (n <= 0 || (size_t)n >= sizeof(path) || state->statvfs(path, &fs))
    return false;
  uint64_t size = fs.f_frsize ? fs.f_frsize : fs.f_bsize;
  room->total = times(fs.f_blocks, size);
  room->used = fs.f_blocks > fs.f_bfree ? times(fs.f_blocks - fs.f_bfree, size) : 0;
  /* What a normal user can still write: the reserve of root is neither used nor free. */
  room->free = times(fs.f_bavail <= fs.f_blocks ? fs.f_bavail : 0, size);
  return true;
}

/* False: it cannot be asked now (unmounted, broken, not visible from here). */
static bool disk_room(const struct state *state, const struct disk *disk, struct room *room)
{
  if (!disk->pooled)
    return ask_room(state, disk->path, room);
  /* Every data set of a pool shows its own use and the pool's free room. */
  *room = (struct room){0};
  bool any = false;
  for (size_t i = 0; i < disk->datasets_count; i++) {
    struct room set;
    if (ask_room(state, disk->datasets[i], &set)) {
      any = true;
      room->used = sum(room->used, set.used);
      room->free = set.free > room->free ? set.free : room->free;
    }
  }
  room->total = sum(room->used, room->free);
  return any;
}

/* As df: of what can be used at all. */
static double used_percent(const struct room *room)
{
  double whole = (double)room->used + (double)room->free;
  return whole > 0 ? round(1e4 * (double)room->used / whole) / 100.0 : 0.0;
}

static void put_room(mu_sample *sample, const struct room *room)
{
  mu_sample_uint(sample, "total", room->total);
  mu_sample_uint(sample, "used", room->used);
  mu_sample_uint(sample, "free", room->free);
  mu_sample_float(sample, "used_percent", used_percent(room));
}

/* ---- rates ----------------------------------------------------------------------------------- */

/* What moved since the newest sample, per second. A counter that went back gives 0. */
static double speed(uint64_t now, uint64_t before, double seconds)
{
  return now > before ? round((double)(now - before) / seconds) : 0.0;
}

struct rate {
  double read, written;
  bool known;
};

/* Whether a line of /proc/diskstats is the disk's. btrfs has a number of its own (0:N): there the name of its device tells. */
static bool owns(const struct disk *disk, unsigned long major, unsigned long minor, const char *name, size_t len)
{
  if (disk->pooled)
    return false;
  return disk->major != 0 ? disk->major == major && disk->minor == minor
                          : len > 0 && strlen(disk->link) == len && memcmp(disk->link, name, len) == 0;
}

/* Takes one line in, for the disk that it belongs to: "major minor name reads merges sectors ms writes merges sectors ms …". */
static void take_line(struct state *state, const char *line, double seconds, struct rate *rates, bool *found)
{
  char *at;
  unsigned long major = strtoul(line, &at, 10), minor = strtoul(at, &at, 10);
  const char *name = at + strspn(at, " ");
  size_t len = strcspn(name, " \n");
  for (size_t i = 0; i < state->disks.count; i++) {
    struct disk *disk = &state->disks.list[i];
    unsigned long long read_sectors, write_sectors;
    if (!owns(disk, major, minor, name, len) ||
        sscanf(name + len, "%*u %*u %llu %*u %*u %*u %llu", &read_sectors, &write_sectors) != 2)
      continue;
    uint64_t read = times(read_sectors, SECTOR), written = times(write_sectors, SECTOR);
    if (disk->counted && seconds > 0) {
      rates[i].read = speed(read, disk->read, seconds);
      rates[i].written = speed(written, disk->written, seconds);
      rates[i].known = true;
    }
    disk->read = read;
    disk->written = written;
    disk->counted = true;
    found[i] = true;
  }
}

static void read_rates(struct state *state, double seconds, struct rate *rates)
{
  bool found[DISKS_MAX] = {false};
  struct mu_str text;
  if (mu_procfile_read(state->diskstats, &text) == 0) {
    for (const char *line = text.at; line && *line;) {
      take_line(state, line, seconds, rates, found);
      line = strchr(line, '\n');
      if (line)
        line++;
    }
  }
  for (size_t i = 0; i < state->disks.count; i++)
    if (!found[i])
      state->disks.list[i].counted = false;
}

/* ---- the sample ------------------------------------------------------------------------------ */

static int collect(void *self, mu_sample *sample)
{
  struct state *state = self;
  int error = refresh_mounts(state);
  if (error)
    return error;
  struct rate rates[DISKS_MAX] = {0};
  int64_t now = mu_sample_mono_ns(sample);
  double seconds = state->mono_ns && now > state->mono_ns ? (double)(now - state->mono_ns) / 1e9 : 0;
  read_rates(state, seconds, rates);
  state->mono_ns = now;

  struct room all = {0};
  mu_sample_list_begin(sample, "disks");
  for (size_t i = 0; i < state->disks.count; i++) {
    const struct disk *disk = &state->disks.list[i];
    struct room room;
    if (!disk_room(state, disk, &room) || room.total == 0)
      continue;
    mu_sample_row(sample);
    mu_sample_text(sample, "path", disk->path);
    mu_sample_text(sample, "device", disk->device);
    mu_sample_text(sample, "fstype", disk->fstype);
    put_room(sample, &room);
    if (rates[i].known) {
      mu_sample_float(sample, "read_speed", rates[i].read);
      mu_sample_float(sample, "write_speed", rates[i].written);
    }
    all = (struct room){sum(all.total, room.total), sum(all.used, room.used), sum(all.free, room.free)};
  }
  mu_sample_list_end(sample);
  put_room(sample, &all);
  return 0;
}

static const struct mu_option options[] = {
    {.key = "include",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct disk_config, include),
     .max = 64,
     .help = "Patterns of mount points to report, as of a shell (* matches / too); empty: all"},
    {.key = "exclude",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct disk_config, exclude),
     .max = 64,
     .help = "Patterns of mount points to leave out"},
    {.key = "include_types",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct disk_config, include_types),
     .max = 64,
     .help = "Patterns of file system types that count besides the physical ones and zfs: \"nfs*\", \"overlay\""},
    {.key = "exclude_types",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct disk_config, exclude_types),
     .max = 64,
     .preset = "[ \"squashfs\", \"iso9660\", \"udf\", \"erofs\" ]",
     .help = "Patterns of file system types to leave out: those that are always full"},
};

static const struct mu_collector_ops ops = {.size = sizeof(ops), .collect = collect};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_COLLECTOR,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct disk_config),
    .init = init,
    .fini = fini,
    .ops = &ops,
}};

MU_PLUGIN(.name = "disk", .version = "0.1.0", .summary = "room and speed of disks, each device once", .licence = "ISC",
          .components = MU_COMPONENTS(components));
