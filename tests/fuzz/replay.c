/* SPDX-License-Identifier: ISC */
/* Feeds files, and the files of folders, to one fuzz target: no clang needed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fed;

static int feed(const char *path)
{
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    return 1;
  }
  uint8_t *data = NULL;
  size_t len = 0;
  for (size_t got = 1; got; len += got) {
    uint8_t *more = realloc(data, len + 65536);
    if (!more)
      abort();
    data = more;
    got = fread(data + len, 1, 65536, file);
  }
  fclose(file);
  uint8_t *exact = realloc(data, len ? len : 1); /* so that a sanitizer sees a read behind it */
  printf("%s\n", path);
  fflush(stdout);
  LLVMFuzzerTestOneInput(exact, len);
  free(exact);
  fed++;
  return 0;
}

static int feed_all(const char *path)
{
  struct stat info;
  DIR *dir = stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? opendir(path) : NULL;
  if (!dir)
    return feed(path);
  int failed = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char name[4096];
    if (entry->d_name[0] == '.' || snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name)
      continue;
    failed |= feed(name);
  }
  closedir(dir);
  return failed;
}

int main(int argc, char **argv)
{
  int failed = 0;
  for (int i = 1; i < argc; i++)
    failed |= feed_all(argv[i]);
  printf("%zu inputs\n", fed);
  return failed || fed == 0; /* a target without seeds proves nothing */
}
