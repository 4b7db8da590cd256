/* SPDX-License-Identifier: ISC */
/* Whether a SIGHUP comes of the end of the terminal, which ends a program, or of a person who wants a reload. */
#include <fcntl.h>
#include <unistd.h>

#include "program/internal.h"

int mui_hangup_terminal(void)
{
  struct sigaction hup;
  if (sigaction(SIGHUP, NULL, &hup) == 0 && hup.sa_handler == SIG_IGN)
    return -1;
  return open("/dev/tty", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

/*
 * The kernel tells the foreground when the terminal's session ends, and a shell tells its jobs when its terminal has gone. A person's
 * signal comes from a terminal that is there, or from another session: it may be for a program that was meant to stay (disown).
 */
bool mui_hung_up(int terminal, const siginfo_t *info)
{
  if (terminal < 0)
    return false;
  if (info->si_code == SI_KERNEL)
    return true;
  pid_t session = getsid(0);
  bool gone = tcgetpgrp(terminal) < 0; /* EIO, ENOTTY */
  return gone && info->si_pid > 0 && (info->si_pid == session || getsid(info->si_pid) == session);
}
