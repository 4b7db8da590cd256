/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <muster/loop.h>
#include <muster/plugin.h>

#include "base/logging.h"
#include "line.h"
#include "terminal.h"

enum { PENDING_MAX = 64 * 1024 };

struct terminal {
  mu_instance *in;
  bool service;
  int fd; /* the controlling terminal, opened for us alone so that not blocking is ours alone; -1: none */
  mu_fd *watch;
  struct mu_buf out; /* what the terminal did not take yet */
  bool asking;
  mu_instance *asker;
  mu_instance *watched; /* the asker whose stop we are told of */
  mu_agent_answer done;
  void *context;
  char *prompt;
  struct line line;
};

/* ---- what is typed is seen again, however the program ends ------------------------------------ */

/* Signal handlers and the guard know of nothing else; one process has one controlling terminal. */
static struct {
  _Atomic int fd; /* -1: nothing to restore */
  struct termios before;
} hidden = {.fd = -1};

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};
static struct sigaction fatal_before[MU_COUNT(fatal)];

void terminal_restore(void)
{
  int fd = atomic_exchange(&hidden.fd, -1);
  if (fd < 0)
    return;
  tcflush(fd, TCIFLUSH); /* what was typed unseen and not read: the shell would show it */
  tcsetattr(fd, TCSANOW, &hidden.before);
}

/* Whoever handled the signal before handles it now: at once when it was raised, at the same instruction when that caused it. */
static void on_fatal(int number)
{
  terminal_restore();
  for (size_t i = 0; i < MU_COUNT(fatal); i++)
    sigaction(fatal[i], &fatal_before[i], NULL);
  raise(number);
}

static int hide(int fd)
{
  struct termios without;
  if (tcgetattr(fd, &hidden.before) < 0)
    return MU_EUNAVAILABLE;
  without = hidden.before;
  without.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
  without.c_lflag |= ISIG; /* ^C ends the program as it always does */
  without.c_iflag |= ICRNL;
  without.c_cc[VMIN] = 1;
  without.c_cc[VTIME] = 0;
  without.c_cc[VSUSP] = _POSIX_VDISABLE; /* stopped, it would leave the shell a terminal that shows nothing */
  without.c_cc[VQUIT] = _POSIX_VDISABLE;
  static bool at_exit;
  if (!at_exit)
    at_exit = atexit(terminal_restore) == 0;
  struct sigaction restore = {.sa_handler = on_fatal};
  sigemptyset(&restore.sa_mask);
  for (size_t i = 0; i < MU_COUNT(fatal); i++)
    sigaction(fatal[i], &restore, &fatal_before[i]);
  atomic_store(&hidden.fd, fd);
  if (tcsetattr(fd, TCSANOW, &without) == 0)
    return 0;
  terminal_restore();
  return MU_EUNAVAILABLE;
}

static void show(void)
{
  if (atomic_load(&hidden.fd) < 0)
    return;
  terminal_restore();
  for (size_t i = 0; i < MU_COUNT(fatal); i++)
    sigaction(fatal[i], &fatal_before[i], NULL);
}

/* ---- lines for people ------------------------------------------------------------------------ */

static void rewatch(struct terminal *terminal)
{
  if (terminal->watch)
    mu_fd_events(terminal->watch, (terminal->asking ? MU_FD_READ : 0u) | (terminal->out.len > 0 ? MU_FD_WRITE : 0u));
}

/* What it takes now; a terminal that is held (^S) takes the rest later. */
static void flush(struct terminal *terminal)
{
  size_t done = 0;
  while (done < terminal->out.len) {
    ssize_t written = write(terminal->fd, terminal->out.at + done, terminal->out.len - done);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0 && errno != EAGAIN)
      done = terminal->out.len; /* it is gone */
    if (written <= 0)
      break;
    done += (size_t)written;
  }
  if (done > 0) {
    memmove(terminal->out.at, terminal->out.at + done, terminal->out.len - done);
    terminal->out.len -= done;
  }
  rewatch(terminal);
}

static void print(struct terminal *terminal, const char *text)
{
  char line[1024];
  while (*text && terminal->out.len < PENDING_MAX) {
    size_t len = strcspn(text, "\n"), part = len < 200 ? len : 200;
    char plain[201];
    memcpy(plain, text, part);
    plain[part] = '\0';
    mu_buf_add(&terminal->out, line, mui_log_escape(line, 0, sizeof(line), plain));
    text += part;
    if (*text == '\n') {
      mu_buf_add(&terminal->out, "\n", 1);
      text++;
    }
  }
  terminal->out.failed = false;
  flush(terminal);
}

bool terminal_interactive(const struct terminal *terminal)
{
  /* In the background a program that touches the terminal is stopped. */
  return !terminal->service && terminal->fd >= 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
         tcgetpgrp(terminal->fd) == getpgrp();
}

void terminal_say(struct terminal *terminal, const char *text)
{
  if (terminal_interactive(terminal))
    print(terminal, text);
}

/* ---- the question ---------------------------------------------------------------------------- */

void terminal_close(struct terminal *terminal)
{
  if (!terminal->asking)
    return;
  terminal->asking = false;
  line_wipe(&terminal->line);
  free(terminal->prompt);
  terminal->prompt = NULL;
  print(terminal, "\n"); /* Enter was not shown, either */
  show();
  mui_log_hold(false);
  rewatch(terminal);
}

static void answer(struct terminal *terminal)
{
  struct line line = terminal->line;
  mu_agent_answer done = terminal->done;
  mu_instance *asker = terminal->asker;
  void *context = terminal->context;
  struct mui_call call;
  terminal_close(terminal);
  mui_call_begin(&call, asker, MUI_CB_FD);
  done(context, (struct mu_str){line.text, line.len});
  mui_call_end(&call, 0);
  line_wipe(&line);
}

static void typed(struct terminal *terminal)
{
  unsigned char bytes[256];
  ssize_t got = read(terminal->fd, bytes, sizeof(bytes));
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  /* The terminal has gone and nobody is left to answer: an end in order, as by the SIGHUP that may follow. */
  if (got <= 0 && tcgetpgrp(terminal->fd) < 0) {
    terminal_close(terminal);
    kill(getpid(), SIGTERM);
    return;
  }
  enum line_result result = got <= 0 ? LINE_END : LINE_MORE;
  if (got <= 0)
    line_wipe(&terminal->line);
  /* What follows the line belongs to no question. */
  for (ssize_t i = 0; i < got && result == LINE_MORE; i++)
    result = line_feed(&terminal->line, bytes[i]);
  mu_secret_wipe(bytes, sizeof(bytes));
  if (result == LINE_EMPTY || (result == LINE_DONE && terminal->line.overflow)) {
    print(terminal, result == LINE_DONE ? "\nThat is too long.\n" : "\n");
    line_wipe(&terminal->line);
    print(terminal, terminal->prompt);
  } else if (result != LINE_MORE) {
    answer(terminal);
  }
}

static void on_terminal(void *context, int fd, unsigned events)
{
  struct terminal *terminal = context;
  (void)fd;
  if (events & MU_FD_WRITE)
    flush(terminal);
  if ((events & MU_FD_READ) && terminal->asking)
    typed(terminal);
}

static void asker_stopped(void *context, mu_instance *asker)
{
  struct terminal *terminal = context;
  if (terminal->watched == asker)
    terminal->watched = NULL;
  if (terminal->asking && terminal->asker == asker)
    terminal_close(terminal);
}

int terminal_ask(struct terminal *terminal, mu_instance *asker, const char *prompt, mu_agent_answer done, void *context)
{
  if (terminal->asking)
    return MU_EBUSY;
  if (!terminal_interactive(terminal) || !terminal->watch)
    return MU_EUNAVAILABLE;
  if (terminal->watched != asker) {
    int error = mu_on_stop(terminal->in, asker, asker_stopped, terminal);
    if (error)
      return error;
    terminal->watched = asker;
  }
  if (!(terminal->prompt = strdup(prompt)))
    return MU_ENOMEM;
  int error = hide(terminal->fd);
  if (error) {
    free(terminal->prompt);
    terminal->prompt = NULL;
    return error;
  }
  terminal->asking = true;
  terminal->asker = asker;
  terminal->done = done;
  terminal->context = context;
  line_wipe(&terminal->line);
  mui_log_hold(true);
  print(terminal, prompt);
  return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct terminal *terminal_new(mu_instance *in, bool service)
{
  struct terminal *terminal = calloc(1, sizeof(*terminal));
  if (!terminal)
    return NULL;
  terminal->in = in;
  terminal->service = service;
  terminal->fd = service ? -1 : open("/dev/tty", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (terminal->fd >= 0 && !(terminal->watch = mu_fd_new(in, terminal->fd, 0, on_terminal, terminal))) {
    close(terminal->fd);
    terminal->fd = -1;
  }
  return terminal;
}

void terminal_free(struct terminal *terminal)
{
  if (!terminal)
    return;
  terminal_close(terminal);
  mu_fd_free(terminal->watch);
  if (terminal->fd >= 0)
    close(terminal->fd);
  mu_buf_free(&terminal->out);
  free(terminal);
}
