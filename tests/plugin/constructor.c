/* SPDX-License-Identifier: ISC */
/* Files that do not survive their own loading. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/muster.h>

#ifdef MISSING
extern int nobody_has_this_symbol(void);
#endif
#ifdef PRIVATE_SYMBOL
extern const char *mui_callback_name(int callback);
#endif

__attribute__((constructor)) static void begin(void)
{
#if defined(CRASH)
  signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
  raise(SIGSEGV);
#elif defined(EXIT)
  _exit(3);
#elif defined(ABORT)
  signal(SIGABRT, SIG_DFL);
  abort();
#elif defined(HANG)
  for (;;)
    pause();
#endif
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)in;
  (void)config;
  *self = NULL;
#ifdef MISSING
  return nobody_has_this_symbol();
#elif defined(PRIVATE_SYMBOL)
  return mui_callback_name(0) ? 0 : -1;
#else
  return 0;
#endif
}

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .init = init},
};
MU_PLUGIN(.name = NAME, .version = "1.0", .summary = "must not be loaded", .licence = "ISC",
          .components = MU_COMPONENTS(components));
