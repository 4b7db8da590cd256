/* SPDX-License-Identifier: ISC */
/* Descriptors of other times and other makers. */
#include <muster/muster.h>

#ifndef MAJOR
#define MAJOR MU_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR MU_ABI_MINOR
#endif
#ifndef REAL_NAME
#define REAL_NAME NAME
#endif

static int init(mu_instance *in, const void *config, void **self)
{
  (void)in;
  (void)config;
  *self = NULL;
  return 0;
}

#ifdef SMALLER
/* Ends before `ops`, and what follows it in memory is no member of it. */
struct component {
  char head[offsetof(struct mu_component, ops)];
};
static const union {
  struct {
    struct mu_component component;
  } whole;
  struct component part;
} table = {
    .whole.component = {.size = sizeof(struct component), .kind = MU_SERVER, .init = init, .ops = (const void *)1}};
#define COMPONENTS                                                                                                     \
  {                                                                                                                    \
    (const struct mu_component *)&table, 1, sizeof(struct component)                                                   \
  }
#elif defined(LARGER)
struct component {
  struct mu_component known;
  const char *unknown;
};
static const struct component table[] = {
    {{.size = sizeof(struct component), .kind = MU_SERVER, .init = init}, "from the future"},
};
#define COMPONENTS                                                                                                     \
  {                                                                                                                    \
    &table[0].known, 1, sizeof(struct component)                                                                       \
  }
#else
#ifdef BAD_OPTION
static const struct mu_option options[] = {{.key = "far", .type = MU_OPT_INT, .offset = 4096}};
#endif
static const struct mu_component table[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .init = init,
#ifdef BAD_OPTION
    .options = MU_OPTIONS(options),
    .config_size = 8,
#endif
}};
#define COMPONENTS MU_COMPONENTS(table)
#endif

#ifdef NO_DESCRIPTOR
MU_EXPORT const struct mu_component *unused = table;
#else
MU_EXPORT const struct mu_plugin muster_plugin = {.abi_major = MAJOR,
                                                  .abi_minor = MINOR,
                                                  .size = sizeof(struct mu_plugin),
                                                  .name = REAL_NAME,
                                                  .version = "1.0",
                                                  .summary = "tests descriptors",
                                                  .licence = "ISC",
                                                  .components = COMPONENTS};
#endif
