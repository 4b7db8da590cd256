/* SPDX-License-Identifier: ISC */
/* Static files: a flat folder in memory. A path is looked up in a table of names, so there is nothing to traverse. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <muster/log.h>
#include "net/exchange.h"

enum { MAX_FILES = 256, MAX_BYTES = 16 * 1024 * 1024, HASH_DIGITS = 16, YEAR_S = 31536000 };

struct file {
  char *name;
  mu_text *text;
  const struct file *zipped; /* NAME.gz beside it */
  const struct file *brotli; /* NAME.br */
  bool lasting;              /* the name has a hash of the content in it */
  char etag[40];             /* with its quotes */
};

struct mui_files {
  struct file list[MAX_FILES];
  size_t count, bytes;
  char *index;
  char *cache_control;
  char *policy; /* Content-Security-Policy */
};

static void files_free(struct mui_files *files)
{
  for (size_t i = 0; i < files->count; i++) {
    free(files->list[i].name);
    mu_text_unref(files->list[i].text);
  }
  free(files->index);
  free(files->cache_control);
  free(files->policy);
  free(files);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Names that need no decoding. */
static bool plain_name(const char *name)
{
  for (const char *at = name; *at; at++)
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *at))
      return false;
  return name[0] != '.' && name[0] != '\0';
}

static int read_whole(int fd, char *data, size_t len)
{
  size_t have = 0;
  while (have < len) {
    ssize_t got = read(fd, data + have, len - have);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return MU_EIO; /* it shrank while it was read */
    have += (size_t)got;
  }
  return 0;
}

static int set_etag(struct file *file)
{
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  if (!EVP_Digest(mu_text_data(file->text), mu_text_len(file->text), hash, &len, EVP_sha256(), NULL) || len < 16)
    return MU_EINTERNAL;
  char *out = file->etag;
  *out++ = '"';
  for (unsigned i = 0; i < 16; i++, out += 2)
    snprintf(out, 3, "%02x", hash[i]);
  memcpy(out, "\"", 2);
  return 0;
}

static int read_file(mu_instance *in, struct mui_files *files, int folder, const char *name)
{
  /* O_NONBLOCK: a fifo must not stop us before we see that it is one. */
  MU_AUTO_CLOSE int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) {
    if (errno == ELOOP) {
      mu_log(in, MU_LOG_WARN, "%s is a link and is not served", name);
      return 0;
    }
    mu_log(in, MU_LOG_ERROR, "%s: %s", name, strerror(errno));
    return MU_EIO;
  }
  if (!S_ISREG(st.st_mode)) {
    if (!S_ISDIR(st.st_mode))
      mu_log(in, MU_LOG_WARN, "%s is no regular file and is not served", name);
    return 0;
  }
  if (files->count == MAX_FILES || st.st_size > (off_t)(MAX_BYTES - files->bytes)) {
    mu_log(in, MU_LOG_ERROR, "more than %d files or %d MiB", MAX_FILES, MAX_BYTES / 1024 / 1024);
    return MU_ELIMIT;
  }
  struct file *file = &files->list[files->count];
  char *data;
  size_t len = (size_t)st.st_size;
  mu_text *text = mu_text_alloc(len, &data);
  if (!text)
    return MU_ENOMEM;
  if (read_whole(fd, data, len) < 0) {
    mu_text_unref(text);
    mu_log(in, MU_LOG_ERROR, "%s could not be read", name);
    return MU_EIO;
  }
  file->text = text;
  file->name = strdup(name);
  files->count++;
  files->bytes += len;
  return file->name ? set_etag(file) : MU_ENOMEM;
}

static int read_folder(mu_instance *in, struct mui_files *files, const char *path)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder) {
    mu_log(in, MU_LOG_ERROR, "folder %s: %s", path, strerror(errno));
    if (fd >= 0)
      close(fd);
    return MU_EIO;
  }
  int result = 0;
  const struct dirent *entry;
  while (result == 0 && (errno = 0, entry = readdir(folder))) {
    if (entry->d_name[0] == '.')
      continue;
    if (plain_name(entry->d_name))
      result = read_file(in, files, fd, entry->d_name);
    else
      mu_log(in, MU_LOG_WARN, "%s has a name that is not served: letters, digits, '.', '_' and '-' only",
             entry->d_name);
  }
  if (result == 0 && errno != 0)
    result = MU_EIO;
  closedir(folder);
  return result;
}

static const struct file *find(const struct mui_files *files, const char *name, size_t len)
{
  for (size_t i = 0; i < files->count; i++)
    if (strlen(files->list[i].name) == len && memcmp(files->list[i].name, name, len) == 0)
      return &files->list[i];
  return NULL;
}

static const struct file *find_beside(const struct mui_files *files, const char *name, const char *suffix)
{
  char beside[300];
  int len = snprintf(beside, sizeof beside, "%s%s", name, suffix);
  return len > 0 && (size_t)len < sizeof beside ? find(files, beside, (size_t)len) : NULL;
}

/* "name-0123456789abcdef.js": what builders of pages name by its content. */
static bool has_hash(const char *name)
{
  const char *dash = strrchr(name, '-');
  size_t digits = dash ? strspn(dash + 1, "0123456789abcdef") : 0;
  return digits >= HASH_DIGITS && dash[1 + digits] == '.';
}

static void pair_compressed(struct mui_files *files)
{
  for (size_t i = 0; i < files->count; i++) {
    struct file *file = &files->list[i];
    file->zipped = find_beside(files, file->name, ".gz");
    file->brotli = find_beside(files, file->name, ".br");
    file->lasting = has_hash(file->name);
  }
}

/* ---- answering ------------------------------------------------------------------------------- */

static const char *type_of(const char *name)
{
  static const struct {
    const char *suffix;
    const char *type;
  } types[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".json", "application/json; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".ico", "image/x-icon"},
      {".jpg", "image/jpeg"},
      {".webp", "image/webp"},
      {".woff2", "font/woff2"},
      {".wasm", "application/wasm"},
      {".map", "application/json; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".gz", "application/gzip"},
      {".br", "application/octet-stream"},
  };
  size_t len = strlen(name);
  for (size_t i = 0; i < MU_COUNT(types); i++) {
    size_t n = strlen(types[i].suffix);
    if (len > n && strcasecmp(name + len - n, types[i].suffix) == 0)
      return types[i].type;
  }
  return "application/octet-stream";
}

/* The next element of a comma-separated list, blanks around it removed. False: no more. */
static bool next_element(struct mu_str *list, struct mu_str *element)
{
  while (list->len > 0 && strchr(" \t,", *list->at))
    list->at++, list->len--;
  if (list->len == 0)
    return false;
  const char *comma = memchr(list->at, ',', list->len);
  size_t len = comma ? (size_t)(comma - list->at) : list->len;
  *element = (struct mu_str){list->at, len};
  list->at += len;
  list->len -= len;
  while (element->len > 0 && strchr(" \t", element->at[element->len - 1]))
    element->len--;
  return true;
}

/* "0", "1", "0.25" and the like in thousandths; anything else is 0. */
static unsigned quality(struct mu_str text)
{
  if (text.len == 0 || text.at[0] < '0' || text.at[0] > '1' || (text.len > 1 && text.at[1] != '.') || text.len > 5)
    return 0;
  unsigned value = (unsigned)(text.at[0] - '0') * 1000, step = 100;
  for (size_t i = 2; i < text.len; i++, step /= 10) {
    if (text.at[i] < '0' || text.at[i] > '9')
      return 0;
    value += (unsigned)(text.at[i] - '0') * step;
  }
  return value <= 1000 ? value : 0;
}

static struct mu_str trimmed(struct mu_str text)
{
  while (text.len > 0 && strchr(" \t", text.at[text.len - 1]))
    text.len--;
  while (text.len > 0 && strchr(" \t", *text.at))
    text.at++, text.len--;
  return text;
}

/* How much an Accept-Encoding wants `coding`: 0 (not at all) to 1000. What names it counts before "*". */
static unsigned weight(struct mu_str list, struct mu_str coding)
{
  struct mu_str element;
  unsigned others = 0;
  while (next_element(&list, &element)) {
    const char *semicolon = memchr(element.at, ';', element.len);
    struct mu_str name =
        trimmed((struct mu_str){element.at, semicolon ? (size_t)(semicolon - element.at) : element.len});
    unsigned value = 1000;
    if (semicolon) {
      struct mu_str rest = trimmed((struct mu_str){semicolon + 1, (size_t)(element.at + element.len - semicolon - 1)});
      value = rest.len > 2 && (rest.at[0] | 0x20) == 'q' && rest.at[1] == '='
                  ? quality((struct mu_str){rest.at + 2, rest.len - 2})
                  : 0;
    }
    if (mu_str_equal_nocase(name, coding))
      return value;
    if (mu_str_equal(name, MU_STR("*")))
      others = value;
  }
  return others;
}

/* The form of a file that the client wants most; of equals the smallest. */
static const struct file *choose(mu_http *request, const struct file *file, const char **coding)
{
  struct mu_str accepted = {"", 0};
  *coding = NULL;
  mu_http_header(request, "accept-encoding", &accepted);
  unsigned brotli = file->brotli ? weight(accepted, MU_STR("br")) : 0;
  unsigned zipped = file->zipped ? weight(accepted, MU_STR("gzip")) : 0;
  if (brotli == 0 && zipped == 0)
    return file;
  *coding = brotli >= zipped ? "br" : "gzip";
  return brotli >= zipped ? file->brotli : file->zipped;
}

static bool etag_matches(struct mu_str list, const char *etag)
{
  struct mu_str element;
  while (next_element(&list, &element)) {
    if (element.len > 2 && memcmp(element.at, "W/", 2) == 0)
      element.at += 2, element.len -= 2;
    if (mu_str_equal(element, MU_STR("*")) || mu_str_equal(element, mu_str(etag)))
      return true;
  }
  return false;
}

/* The file for a path below the route's prefix; NULL: none. */
static const struct file *find_path(const struct mui_route *route, struct mu_str path)
{
  const struct mui_files *files = route->files;
  size_t prefix = strlen(route->path);
  if (path.len < prefix)
    return NULL;
  if (path.len == prefix)
    return files->index ? find(files, files->index, strlen(files->index)) : NULL;
  return find(files, path.at + prefix, path.len - prefix);
}

bool mui_files_have(const struct mui_route *route, struct mu_str path)
{
  return find_path(route, path) != NULL;
}

static int handle(void *self, mu_http *request)
{
  const struct mui_files *files = self;
  const struct file *file = find_path(request->route, mu_http_path(request));
  if (!file)
    return mu_http_error(request, 404, "not_found", "there is nothing at this path");
  const char *type = type_of(file->name);
  struct mu_str header;
  char lasting[64];
  snprintf(lasting, sizeof lasting, "public, max-age=%d, immutable", YEAR_S);
  mu_http_set(request, "Cache-Control", file->lasting ? lasting : files->cache_control);
  if (file->zipped || file->brotli) {
    const char *coding;
    mu_http_set(request, "Vary", "Accept-Encoding");
    file = choose(request, file, &coding);
    if (coding)
      mu_http_set(request, "Content-Encoding", coding);
  }
  mu_http_set(request, "ETag", file->etag);
  mu_http_set(request, "Content-Security-Policy", files->policy);
  mu_http_set(request, "Referrer-Policy", "no-referrer");
  mu_http_set(request, "X-Frame-Options", "DENY");
  mu_http_set(request, "Cross-Origin-Opener-Policy", "same-origin");
  mu_http_set(request, "Cross-Origin-Resource-Policy", "same-origin");
  mu_http_set(request, "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
  if (mu_http_header(request, "if-none-match", &header) && etag_matches(header, file->etag))
    return mu_http_answer(request, 304, NULL, NULL);
  return mu_http_answer(request, 200, type, file->text);
}

/* ---- registration ---------------------------------------------------------------------------- */

static void on_gone(struct mui_route *route)
{
  mui_http_route_gone(route);
  files_free(route->files);
}

int mu_http_files(mu_instance *in, const struct mu_http_files *declared)
{
  struct mu_http_files values = {0};
  if (declared->size < offsetof(struct mu_http_files, access) + sizeof declared->access)
    return MU_EINVAL;
  memcpy(&values, declared, declared->size < sizeof values ? declared->size : sizeof values);
  const char *cache = values.cache_control ? values.cache_control : "no-cache";
  const char *policy = values.content_security_policy ? values.content_security_policy : "default-src 'self'";
  size_t len = values.prefix ? strlen(values.prefix) : 0;
  if (len == 0 || values.prefix[len - 1] != '/' || !values.folder || !mui_header_value(cache) ||
      !mui_header_value(policy)) {
    mu_log(in, MU_LOG_ERROR,
           "static files need a folder, a prefix that ends in '/', and headers without control characters");
    return MU_EINVAL;
  }
  struct mui_files *files = calloc(1, sizeof *files);
  if (!files)
    return MU_ENOMEM;
  MU_AUTO_FREE char *path = NULL;
  int result = MU_ENOMEM;
  files->cache_control = strdup(cache);
  const char *frames = strstr(policy, "frame-ancestors") ? "" : "; frame-ancestors 'none'";
  if (!files->cache_control || asprintf(&files->policy, "%s%s", policy, frames) < 0) {
    files->policy = NULL;
    goto fail;
  }
  if (values.index && !(files->index = strdup(values.index)))
    goto fail;
  if (asprintf(&path, "%s*", values.prefix) < 0) {
    path = NULL;
    goto fail;
  }
  result = read_folder(in, files, values.folder);
  if (result < 0)
    goto fail;
  pair_compressed(files);
  if (files->index && !find(files, files->index, strlen(files->index))) {
    mu_log(in, MU_LOG_ERROR, "%s has no file %s", values.folder, files->index);
    result = MU_EIO;
    goto fail;
  }
  const struct mu_http_route route = {
      .size = sizeof route, .path = path, .methods = MU_HTTP_GET, .access = values.access, .handle = handle};
  result = mui_http_route_add(in, &route, files, files, NULL, on_gone);
  if (result == 0)
    return 0;
fail:
  files_free(files);
  return result;
}
