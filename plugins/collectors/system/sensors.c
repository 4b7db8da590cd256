/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "files.h"
#include "sensors.h"

#define FOLDER "/sys/class/hwmon"
#define SENSORS_MAX 64

/* Outside of these a chip is absent or broken: they say −128, 127.5, 255 and the like. Millidegrees. */
enum { COLDEST = -60000, HOTTEST = 127000 };

struct sensor {
  char path[128]; /* of temp1_input */
  char name[96];  /* "coretemp Package id 0" */
  mu_procfile *input;
};

struct sensors {
  const char *root;
  struct sensor list[SENSORS_MAX];
  size_t count;
};

struct sensors *sensors_new(const char *root)
{
  struct sensors *sensors = calloc(1, sizeof(*sensors));
  if (sensors)
    sensors->root = root;
  return sensors;
}

static void clear(struct sensors *sensors)
{
  for (size_t i = 0; i < sensors->count; i++)
    mu_procfile_free(sensors->list[i].input);
  sensors->count = 0;
}

void sensors_free(struct sensors *sensors)
{
  if (!sensors)
    return;
  clear(sensors);
  free(sensors);
}

static int by_path(const void *a, const void *b)
{
  return strverscmp(((const struct sensor *)a)->path, ((const struct sensor *)b)->path);
}

static void add(struct sensors *sensors, const char *chip, unsigned number)
{
  char path[128], chip_name[40], label[48], plain[16];
  if (sensors->count == SENSORS_MAX)
    return;
  struct sensor *sensor = &sensors->list[sensors->count];
  snprintf(path, sizeof(path), FOLDER "/%.48s/name", chip);
  if (!file_line(sensors->root, path, chip_name, sizeof(chip_name)))
    snprintf(chip_name, sizeof(chip_name), "%.39s", chip);
  snprintf(path, sizeof(path), FOLDER "/%.48s/temp%u_label", chip, number);
  snprintf(plain, sizeof(plain), "temp%u", number);
  if (!file_line(sensors->root, path, label, sizeof(label)))
    snprintf(label, sizeof(label), "%s", plain);
  snprintf(sensor->name, sizeof(sensor->name), "%s %s", chip_name, label);
  snprintf(sensor->path, sizeof(sensor->path), FOLDER "/%.48s/temp%u_input", chip, number);
  sensor->input = mu_procfile_new(sensors->root, sensor->path);
  if (sensor->input)
    sensors->count++;
}

static void find_of_chip(struct sensors *sensors, const char *chip)
{
  char path[PATH_MAX];
  int n = snprintf(path, sizeof(path), "%s" FOLDER "/%s", sensors->root, chip);
  DIR *folder = n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;
  if (!folder)
    return;
  for (const struct dirent *entry; (entry = readdir(folder));) {
    unsigned number;
    int end = 0;
    if (sscanf(entry->d_name, "temp%3u_input%n", &number, &end) == 1 && end > 0 && !entry->d_name[end])
      add(sensors, chip, number);
  }
  closedir(folder);
}

void sensors_find(struct sensors *sensors)
{
  char path[PATH_MAX];
  clear(sensors);
  int n = snprintf(path, sizeof(path), "%s" FOLDER, sensors->root);
  DIR *folder = n > 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;
  if (!folder)
    return;
  for (const struct dirent *entry; (entry = readdir(folder));)
    if (strncmp(entry->d_name, "hwmon", 5) == 0 && strlen(entry->d_name) <= 48)
      find_of_chip(sensors, entry->d_name);
  closedir(folder);
  qsort(sensors->list, sensors->count, sizeof(sensors->list[0]), by_path);
}

void sensors_fill(struct sensors *sensors, mu_sample *sample)
{
  bool began = false;
  for (size_t i = 0; i < sensors->count; i++) {
    const struct sensor *sensor = &sensors->list[i];
    struct mu_str text;
    char *end;
    if (mu_procfile_read(sensor->input, &text))
      continue;
    long value = strtol(text.at, &end, 10);
    if (end == text.at || (*end && *end != '\n') || value < COLDEST || value >= HOTTEST)
      continue;
    if (!began)
      mu_sample_list_begin(sample, "temperatures");
    began = true;
    mu_sample_row(sample);
    mu_sample_text(sample, "name", sensor->name);
    mu_sample_float(sample, "celsius", (double)value / 1000.0);
  }
  if (began)
    mu_sample_list_end(sample);
}
