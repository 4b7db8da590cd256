/* SPDX-License-Identifier: ISC */
/* The terminal of who started the agent: lines for people, and one question at a time. Loop thread. */
#ifndef AGENT_TERMINAL_H
#define AGENT_TERMINAL_H

#include <muster/agent.h>

struct terminal;

/* `in` is the program's own instance. `service`: nobody is asked and nothing is said. NULL: memory is out. */
struct terminal *terminal_new(mu_instance *in, bool service);
void terminal_free(struct terminal *terminal);

/* The functions of the same names in agent/1. */
bool terminal_interactive(const struct terminal *terminal);
void terminal_say(struct terminal *terminal, const char *text);
int terminal_ask(struct terminal *terminal, mu_instance *asker, const char *prompt, mu_agent_answer done,
                 void *context);

/* Takes the question back and shows again what is typed; the asker is not told. */
void terminal_close(struct terminal *terminal);
/* Shows again what is typed, if that is off. Async-signal-safe; any thread. */
void terminal_restore(void);

#endif
