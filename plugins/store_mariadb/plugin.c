/* SPDX-License-Identifier: ISC */
/* Provides store/1 from MariaDB or MySQL. */
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "link.h"

struct config {
  const char *url;
  int64_t connect_timeout;
  int tls; /* enum tls */
  const char *ca_file, *certificate_file, *key_file;
  struct mu_store_limits limits;
};

static const char *const tls_names[] = {"no", "unverified", "verified", NULL};
static const struct mu_option limit_options[] = {MU_STORE_LIMIT_OPTIONS};

#define AT(member) offsetof(struct config, member)
static const struct mu_option options[] = {
    {.key = "url",
     .type = MU_OPT_STRING,
     .offset = AT(url),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .max = 4096,
     .help =
         "The database: \"mysql://user:password@host:port/name\", best as \"env:DATABASE_URL\". User, password and "
         "name are percent-encoded. Of parameters behind \"?\" connect_timeout, socket_timeout, socket, sslaccept and "
         "sslcert count."},
    {.key = "connect_timeout",
     .type = MU_OPT_INT,
     .offset = AT(connect_timeout),
     .preset = "5",
     .min = 1,
     .max = 60,
     .help = "Seconds for connecting, unless the address says otherwise."},
    {.key = "tls",
     .type = MU_OPT_ENUM,
     .offset = AT(tls),
     .preset = "\"no\"",
     .names = tls_names,
     .help = "Whether the connection is encrypted: \"verified\" also looks whether the server is the one that is "
             "meant. sslaccept and sslcert in the address beat it."},
    {.key = "ca_file",
     .type = MU_OPT_STRING,
     .offset = AT(ca_file),
     .preset = "\"\"",
     .help = "PEM file with the authorities that may have signed the server's certificate. \"\": the system's."},
    {.key = "certificate_file",
     .type = MU_OPT_STRING,
     .offset = AT(certificate_file),
     .preset = "\"\"",
     .help = "PEM file with a certificate to show to the server, where it wants one. \"\": none."},
    {.key = "key_file",
     .type = MU_OPT_STRING,
     .offset = AT(key_file),
     .preset = "\"\"",
     .help = "PEM file with the key of certificate_file."},
    {.key = "limits",
     .type = MU_OPT_GROUP,
     .offset = AT(limits),
     .fields = MU_OPTIONS(limit_options),
     .help = "What may wait, how long, and how much a result may be."},
};

struct store {
  mu_instance *in;
  const struct config *config;
  mu_store_front *front;
  struct target target;
};

/* ---- configuration --------------------------------------------------------------------------- */

static bool local(const struct address *address)
{
  return address->socket || strcmp(address->host, "localhost") == 0 || strncmp(address->host, "127.", 4) == 0 ||
         strcmp(address->host, "::1") == 0;
}

/* A copy; NULL for nothing. False: no memory. */
static bool copy(char **to, const char *text)
{
  *to = text && *text ? strdup(text) : NULL;
  return *to || !text || !*text;
}

static void drop(struct target *target)
{
  address_free(&target->address);
  free(target->ca_file);
  free(target->certificate_file);
  free(target->key_file);
  *target = (struct target){0};
}

/* NULL, or what is wrong with the address. */
static const char *aim(const struct config *config, struct target *target)
{
  *target = (struct target){.connect_s = (unsigned)config->connect_timeout, .tls = (enum tls)config->tls};
  struct address *address = &target->address;
  const char *wrong = address_parse(config->url, address);
  if (wrong)
    return wrong;
  if (address->tls != ADDRESS_TLS_UNSAID)
    target->tls = address->tls == ADDRESS_TLS_VERIFIED ? TLS_VERIFIED : TLS_UNVERIFIED;
  if (address->connect_timeout > 0 && address->connect_timeout <= 60)
    target->connect_s = (unsigned)address->connect_timeout;
  target->statement_s = config->limits.run;
  if (address->answer_timeout > 0 && (double)address->answer_timeout < target->statement_s)
    target->statement_s = (double)address->answer_timeout;
  target->answer_s = (unsigned)ceil(target->statement_s) + 2; /* first the server itself may say that it was too slow */
  if (copy(&target->ca_file, address->ca_file ? address->ca_file : config->ca_file) &&
      copy(&target->certificate_file, config->certificate_file) && copy(&target->key_file, config->key_file))
    return NULL;
  drop(target);
  return "cannot be read: out of memory";
}

static void check(const void *self, struct mu_check *check)
{
  const struct config *config = self;
  struct target target;
  const char *wrong = aim(config, &target);
  if (wrong) {
    mu_check_error(check, "url", "it %s", wrong);
    return;
  }
  if (target.address.ignored[0])
    mu_check_warn(check, "url", "these parameters of the address have no meaning here: %s", target.address.ignored);
  if (target.tls == TLS_NO && config->ca_file[0])
    mu_check_error(check, "ca_file", "it needs tls = \"verified\"");
  if (target.tls == TLS_NO && !local(&target.address))
    mu_check_warn(check, "tls", "the database is on another machine, and what is said to it is not encrypted");
  if (!config->certificate_file[0] != !config->key_file[0])
    mu_check_error(check, config->key_file[0] ? "key_file" : "certificate_file",
                   "certificate_file and key_file go together");
  drop(&target);
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct mu_store_driver driver = {
    .size = sizeof driver,
    .dialect = MU_DIALECT_MARIADB,
    .what = "MariaDB",
    .open = link_open,
    .close = link_close,
    .prepare = statement_prepare,
    .release = statement_release,
    .run = statement_run,
    .step = link_step,
    .exclusive = link_exclusive,
    .tend = link_tend,
    .tend_s = 30,
    .interrupt = link_interrupt,
};

static struct mu_store_limits limits_of(const struct config *config)
{
  struct mu_store_limits limits = config->limits;
  limits.size = sizeof limits;
  return limits;
}

/*
 * The client library keeps things for as long as the process lives, its threads' among them: it stays when this plugin is taken away.
 * Set up here, before several workers want to at once.
 */
static bool prepare_library(void)
{
  Dl_info where;
  void *pinned = NULL;
  if (dladdr((void *)(uintptr_t)mysql_init, &where))
    pinned = dlopen(where.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  if (pinned)
    dlclose(pinned);
  return pinned && mysql_library_init(0, NULL, NULL) == 0;
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct store *store = calloc(1, sizeof *store);
  if (!store)
    return MU_ENOMEM;
  store->in = in;
  store->config = config;
  int result = MU_EINVAL;
  if (aim(config, &store->target))
    goto fail;
  if (!prepare_library()) {
    result = MU_ENOMEM;
    goto fail;
  }
  struct mu_store_limits limits = limits_of(store->config);
  result = mu_store_front_new(in, &driver, &store->target, &limits, &store->front);
  if (result < 0)
    goto fail;
  *self = store;
  return 0;
fail:
  drop(&store->target);
  free(store);
  return result;
}

static int start(void *self)
{
  struct store *store = self;
  return mu_store_front_start(store->front);
}

static int reconfigure(void *self, const void *config)
{
  struct store *store = self;
  const struct config *old = store->config, *new = config;
  if (strcmp(old->url, new->url) != 0 || old->connect_timeout != new->connect_timeout || old->tls != new->tls ||
      strcmp(old->ca_file, new->ca_file) != 0 || strcmp(old->certificate_file, new->certificate_file) != 0 ||
      strcmp(old->key_file, new->key_file) != 0 || old->limits.run != new->limits.run)
    return MU_RESTART;
  struct mu_store_limits limits = limits_of(new);
  int result = mu_store_front_limits(store->front, &limits);
  if (result != 0)
    return result;
  store->config = new;
  return 0;
}

static int stop(void *self)
{
  struct store *store = self;
  return mu_store_front_stop(store->front);
}

static void fini(void *self)
{
  struct store *store = self;
  mu_store_front_free(store->front);
  drop(&store->target);
  free(store);
}

static const char *const provides[] = {MU_SERVICE_STORE, NULL};
static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
    .reconfigure = reconfigure,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "store_mariadb", .version = "1.0", .summary = "keeps what plugins store in MariaDB or MySQL",
          .licence = "ISC", .components = MU_COMPONENTS(components));
