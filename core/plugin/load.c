/* SPDX-License-Identifier: ISC */
/* Mapping of plugin files, each once however many instances use it. */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/internal.h"

/* The loader's message without the name that it knows the file by. */
static const char *loader_error(const char *as)
{
  const char *text = dlerror();
  if (!text)
    return "unknown error";
  size_t len = strlen(as);
  if (strncmp(text, as, len) == 0 && strncmp(text + len, ": ", 2) == 0)
    return text + len + 2;
  return text;
}

/* The loader relocates some addresses of the dynamic section in place and leaves others. */
static const void *address(const struct link_map *map, ElfW(Addr) value)
{
  return (const void *)(value < map->l_addr ? map->l_addr + value : value);
}

/* Whether the file imports symbols of a version node; the loader has checked the tables. */
static bool imports(const struct link_map *map, const char *node)
{
  const char *strings = NULL;
  const ElfW(Verneed) *need = NULL;
  size_t count = 0;
  for (const ElfW(Dyn) *dyn = map->l_ld; dyn && dyn->d_tag != DT_NULL; dyn++) {
    if (dyn->d_tag == DT_STRTAB)
      strings = address(map, dyn->d_un.d_ptr);
    else if (dyn->d_tag == DT_VERNEED)
      need = address(map, dyn->d_un.d_ptr);
    else if (dyn->d_tag == DT_VERNEEDNUM)
      count = dyn->d_un.d_val;
  }
  for (size_t i = 0; strings && need && i < count; i++) {
    const ElfW(Vernaux) *aux = (const ElfW(Vernaux) *)((const char *)need + need->vn_aux);
    for (size_t j = 0; j < need->vn_cnt; j++) {
      if (strcmp(strings + aux->vna_name, node) == 0)
        return true;
      aux = (const ElfW(Vernaux) *)((const char *)aux + aux->vna_next);
    }
    need = (const ElfW(Verneed) *)((const char *)need + need->vn_next);
  }
  return false;
}

void *mui_map(int fd, char *why, size_t why_size)
{
  char as[40];
  snprintf(as, sizeof(as), "/proc/self/fd/%d", fd);
  void *handle = dlopen(as, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    snprintf(why, why_size, "cannot be loaded: %s", loader_error(as));
    return NULL;
  }
  struct link_map *map = NULL;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && imports(map, "MUSTER_PRIVATE")) {
    snprintf(why, why_size,
             "uses private symbols of the core (version node MUSTER_PRIVATE); expected only the SDK's, MUSTER_1");
    dlclose(handle);
    return NULL;
  }
  return handle;
}

struct mui_file *mui_file_loaded(const struct mui_host *host, const struct mui_stamp *stamp)
{
  for (struct mui_file *file = host->files; file; file = file->next)
    if (file->stamp.dev == stamp->dev && file->stamp.ino == stamp->ino)
      return file;
  return NULL;
}

struct mui_file *mui_file_load(struct mui_host *host, struct mui_candidate *candidate)
{
  struct mui_file *file = mui_file_loaded(host, &candidate->stamp);
  if (file) {
    if (strcmp(file->plugin.name, candidate->name) != 0) {
      snprintf(candidate->why, sizeof(candidate->why), "%s: the descriptor's name is \"%s\"; expected \"%s\"",
               candidate->path, file->plugin.name, candidate->name);
      return NULL;
    }
    file->refs++;
    return file;
  }
  char why[MUI_WHY_SIZE / 2] = "out of memory";
  file = calloc(1, sizeof(*file));
  if (!file)
    goto refused;
  *file = (struct mui_file){.host = host, .refs = 1, .fd = candidate->fd, .stamp = candidate->stamp};
  /* The loader recognises what is mapped by its name too, so the descriptor's number must stay taken. */
  file->handle = mui_map(file->fd, why, sizeof(why));
  if (!file->handle)
    goto refused;
  if (mui_descriptor_read(file, candidate->name, why, sizeof(why)) < 0)
    goto unmap;
  file->path = candidate->path;
  candidate->path = NULL;
  candidate->fd = -1;
  file->next = host->files;
  host->files = file;
  return file;

unmap:
  mui_descriptor_fini(file);
  dlclose(file->handle);
refused:
  snprintf(candidate->why, sizeof(candidate->why), "%.500s: %s", candidate->path, why);
  free(file);
  return NULL;
}

void mui_file_unref(struct mui_file *file)
{
  if (!file || --file->refs > 0)
    return;
  struct mui_file **at = &file->host->files;
  while (*at != file)
    at = &(*at)->next;
  *at = file->next;
  mui_descriptor_fini(file);
  dlclose(file->handle);
  close(file->fd);
  free(file->path);
  free(file);
}
