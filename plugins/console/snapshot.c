/* SPDX-License-Identifier: ISC */
/*
 * Everything that a page may see, at its beginning. Making it takes a while with many machines, so it is told in slices, and the loop does its
 * other work between them.
 */
#include <stdlib.h>

#include "live.h"

/* Beyond all handles of machines. */
#define HELLO_KEY (UINT64_MAX - 1)
#define READY_KEY UINT64_MAX

#define SLICE_NS INT64_C(2000000)

/* The line, and what its first is still to be told. */
struct snapshots {
  struct console *console;
  struct watcher *first, **last;
  mu_timer *timer;
  bool begun, in_slice;
  uint64_t *handles; /* in the order of the machines */
  size_t count, capacity, at;
};

struct watcher *snapshot_served(const struct console *console)
{
  const struct snapshots *line = console->snapshots;
  return line->begun && !line->in_slice ? line->first : NULL;
}

/* ---- the line -------------------------------------------------------------------------------- */

static void remove_from(struct snapshots *line, struct watcher *watcher)
{
  if (line->first == watcher) {
    line->begun = false;
    line->at = line->count = 0;
  }
  *watcher->before = watcher->behind;
  if (watcher->behind)
    watcher->behind->before = watcher->before;
  else
    line->last = watcher->before;
  watcher->before = NULL;
  watcher->behind = NULL;
}

void snapshot_leave(struct watcher *watcher)
{
  if (watcher->before)
    remove_from(watcher->console->snapshots, watcher);
}

void snapshot_queue(struct watcher *watcher)
{
  struct snapshots *line = watcher->console->snapshots;
  snapshot_leave(watcher); /* it begins anew */
  watcher->before = line->last;
  *line->last = watcher;
  line->last = &watcher->behind;
  if (!mu_timer_active(line->timer))
    mu_timer_start(line->timer, 0, 0);
}

/* ---- telling --------------------------------------------------------------------------------- */

/* Keyed: what is sent to one reader alone counts against the bound of its queue, which a long snapshot is over. */
static int send_taken(mu_conn *conn, uint64_t key, mu_text *text)
{
  int result = text ? mu_conn_send_latest(conn, key, text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

static mu_text *hello_text(const struct mu_principal *principal)
{
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"hello\",\"now\":%lld,\"user\":", (long long)mu_now_ms());
  if (principal) {
    mu_buf_adds(&buf, "{\"id\":");
    mu_buf_json_string(&buf, mu_str(principal->id));
    mu_buf_adds(&buf, ",\"name\":");
    mu_buf_json_string(&buf, mu_str(principal->name[0] ? principal->name : principal->id));
    mu_buf_printf(&buf, ",\"role\":\"%s\"}", principal->role == MU_ROLE_ADMIN ? "admin" : "user");
  } else {
    mu_buf_adds(&buf, "null");
  }
  mu_buf_adds(&buf, "}");
  return mu_buf_take_text(&buf);
}

static int note_handle(void *context, const struct mu_machine *machine)
{
  struct snapshots *line = context;
  if (!tell_sees(line->first, machine, machine->is_public))
    return 0;
  if (line->count == line->capacity) {
    size_t capacity = line->capacity ? line->capacity * 2 : 64;
    uint64_t *handles = realloc(line->handles, capacity * sizeof *handles);
    if (!handles)
      return MU_ENOMEM;
    line->handles = handles;
    line->capacity = capacity;
  }
  line->handles[line->count++] = machine->handle;
  return 0;
}

static int begin(struct snapshots *line)
{
  struct console *console = line->console;
  line->begun = true;
  int result = console->api->each(console->machines.self, NULL, NULL, note_handle, line);
  return result ? result : send_taken(line->first->conn, HELLO_KEY, hello_text(mu_conn_principal(line->first->conn)));
}

static int tell(struct snapshots *line, uint64_t handle)
{
  struct console *console = line->console;
  struct watcher *watcher = line->first;
  const struct mu_machine *machine = console->api->by_handle(console->machines.self, handle);
  if (!machine || !tell_sees(watcher, machine, machine->is_public))
    return 0;
  /* First the others: what they were told last is what the next difference starts from. */
  live_changed(console, machine);
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  return text ? mu_conn_send_latest(watcher->conn, handle, text) : 0;
}

/* All machines between "hello" and "ready": what the page knew and does not see here is gone. */
static int slice(struct snapshots *line, int64_t until_ns)
{
  int result = line->begun ? 0 : begin(line);
  while (result == 0 && line->at < line->count) {
    result = tell(line, line->handles[line->at++]);
    if (result == 0 && line->at < line->count && mu_mono_ns() >= until_ns)
      return MU_PENDING;
  }
  if (result == 0)
    result = send_taken(line->first->conn, READY_KEY, mu_text_printf("{\"type\":\"ready\"}"));
  return result ? result : tell_join(line->first);
}

static void on_turn(void *context)
{
  struct snapshots *line = context;
  int64_t until_ns = mu_mono_ns() + SLICE_NS;
  while (line->first && mu_mono_ns() < until_ns) {
    struct watcher *watcher = line->first;
    line->in_slice = true;
    int result = slice(line, until_ns);
    line->in_slice = false;
    if (result == MU_PENDING)
      break;
    remove_from(line, watcher);
    if (result != 0 && result != MU_ECLOSED)
      mu_conn_close(watcher->conn, MU_CLOSE_TRY_LATER, "out of memory");
  }
  if (line->first)
    mu_timer_start(line->timer, 0, 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

int snapshot_init(struct console *console)
{
  struct snapshots *line = console->snapshots = calloc(1, sizeof *line);
  if (!line || !(line->timer = mu_timer_new(console->in, on_turn, line)))
    return MU_ENOMEM;
  line->console = console;
  line->last = &line->first;
  return 0;
}

void snapshot_free(struct console *console)
{
  if (console->snapshots)
    free(console->snapshots->handles);
  free(console->snapshots);
  console->snapshots = NULL;
}
