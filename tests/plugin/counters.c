/* SPDX-License-Identifier: ISC */
/* Shows the black-box tests what nothing else shows yet: every counter of every instance, what net counts, each machine's reports. */
#include <dlfcn.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "base/instance.h"
#include "base/logging.h"
#include "net/net.h"
#include "plugin/host.h"

/* A plugin that is linked with private symbols is refused: these are looked for while it runs. */
struct looker {
  mu_instance *in;
  struct mu_service machines; /* api NULL: there is none */
  __typeof__(mui_counter_next) *counter_next;
  __typeof__(mui_host_nth) *host_nth;
  __typeof__(mui_net_read) *net_read;
};

static void add(const struct looker *looker, struct mu_buf *out, mu_instance *in)
{
  const char *name;
  size_t position = 0;
  for (mu_counter *counter; (counter = looker->counter_next(in, &position, &name));)
    mu_buf_printf(out, "\"%s.%s\":%llu,", in->name, name, (unsigned long long)mu_counter_value(counter));
}

static int add_machine(void *context, const struct mu_machine *machine)
{
  struct mu_buf name = MU_BUF_INIT;
  mu_buf_printf(&name, "reports.%s", machine->id);
  mu_buf_json_string(context, (struct mu_str){name.at, name.len});
  mu_buf_printf(context, ":%llu,", (unsigned long long)machine->reports);
  mu_buf_free(&name);
  return 0;
}

static int answer(void *self, mu_http *request)
{
  const struct looker *looker = self;
  const struct mui_runtime *runtime = looker->in->runtime;
  struct mu_buf out = MU_BUF_INIT;
  struct mui_net_stats stats;
  looker->net_read(runtime->net, &stats);
  mu_buf_adds(&out, "{");
  add(looker, &out, runtime->core);
  for (size_t i = 0; looker->host_nth(runtime->host, i); i++)
    add(looker, &out, (mu_instance *)&looker->host_nth(runtime->host, i)->base);
  const struct mu_machines *machines = looker->machines.api;
  if (machines)
    machines->each(looker->machines.self, NULL, NULL, add_machine, &out);
  mu_buf_printf(&out, "\"net.open_ws\":%llu,\"net.refused\":%llu,\"net.messages_in\":%llu}",
                (unsigned long long)stats.open_ws, (unsigned long long)stats.refused,
                (unsigned long long)stats.messages_in);
  mu_text *text = mu_buf_take_text(&out);
  int result = text ? mu_http_answer(request, 200, "application/json; charset=utf-8", text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_http_route route = {.size = sizeof route,
                                             .path = "/test/counters",
                                             .methods = MU_HTTP_GET,
                                             .access = MU_ACCESS_PUBLIC,
                                             .handle = answer};
  struct looker *looker = calloc(1, sizeof *looker);
  if (!looker)
    return MU_ENOMEM;
  looker->in = in;
  *(void **)&looker->counter_next = dlvsym(RTLD_DEFAULT, "mui_counter_next", "MUSTER_PRIVATE");
  *(void **)&looker->host_nth = dlvsym(RTLD_DEFAULT, "mui_host_nth", "MUSTER_PRIVATE");
  *(void **)&looker->net_read = dlvsym(RTLD_DEFAULT, "mui_net_read", "MUSTER_PRIVATE");
  int result =
      looker->counter_next && looker->host_nth && looker->net_read ? mu_http_route(in, &route, looker) : MU_EABI;
  if (result < 0)
    free(looker);
  else
    *self = looker;
  return result;
}

static int start(void *self)
{
  struct looker *looker = self;
  if (mu_service_get(looker->in, MU_SERVICE_MACHINES, &looker->machines) != 0)
    looker->machines = (struct mu_service){0};
  return 0;
}

static void fini(void *self)
{
  free(self);
}

static const char *const wants[] = {MU_SERVICE_MACHINES, NULL};

static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .wants = wants,
                                                  .init = init,
                                                  .start = start,
                                                  .fini = fini}};

MU_PLUGIN(.name = "counters", .version = "1.0", .summary = "shows all counters to tests", .licence = "ISC",
          .components = MU_COMPONENTS(components));
