/* SPDX-License-Identifier: ISC */
/* A collector that does not come back, as a statvfs() on a dead mount. */
#include <unistd.h>

#include <muster/muster.h>

static int init(mu_instance *in, const void *config, void **self)
{
  (void)in;
  (void)config;
  *self = NULL;
  return 0;
}

static int collect(void *self, mu_sample *sample)
{
  (void)self;
  mu_sample_int(sample, "never", 1);
  while (pause() != 0)
    ;
  return 0;
}

static const struct mu_collector_ops ops = {
    .size = sizeof(ops), .interval_s = 1, .deadline_s = 0.5, .collect = collect};

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_COLLECTOR, .init = init, .ops = &ops},
};
MU_PLUGIN(.name = "hung", .version = "1.0", .summary = "never comes back", .licence = "ISC",
          .components = MU_COMPONENTS(components));
