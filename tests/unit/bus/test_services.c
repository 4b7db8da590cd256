/* SPDX-License-Identifier: ISC */
/* Services: who provides, who may ask, who is chosen. */
#include <string.h>

#include "bus/bus.h"
#include "unit.h"

static bool only_b(mu_instance *in, const char *service)
{
  return strcmp(in->name, "b") == 0 && strcmp(service, "store/1") == 0;
}

static void test_services(void)
{
  struct mui_runtime runtime = {0};
  runtime.bus = mui_bus_new();
  mu_instance *core = runtime.core = mui_instance_new(&runtime, "core", "core");
  mu_instance *a = mui_instance_new(&runtime, "a", "test");
  mu_instance *b = mui_instance_new(&runtime, "b", "test");
  mu_instance *c = mui_instance_new(&runtime, "c", "test");
  a->order = 1, b->order = 2, c->order = 3;
  size_t api_a = sizeof(size_t), api_b = sizeof(size_t);
  struct mu_service service;

  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), MU_ENOENT);
  CU_ASSERT_EQUAL(mu_service_nth(c, "store/1", 0, &service), MU_ENOENT);
  CU_ASSERT_EQUAL(mu_service_provide(b, "store/1", &api_b, b), 0);
  CU_ASSERT_EQUAL(mu_service_provide(b, "store/1", &api_b, b), MU_EEXIST);
  CU_ASSERT_EQUAL(mu_service_provide(b, "", &api_b, b), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_service_provide(b, "x/1", NULL, b), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), 0);
  CU_ASSERT_TRUE(service.api == &api_b && service.self == b && service.provider == b);
  CU_ASSERT_EQUAL(mu_service_get(c, "store/2", &service), MU_ENOENT);

  /* Registered later, but earlier in the configuration. */
  CU_ASSERT_EQUAL(mu_service_provide(a, "store/1", &api_a, a), 0);
  CU_ASSERT_EQUAL(mu_service_nth(c, "store/1", 0, &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, a);
  CU_ASSERT_EQUAL(mu_service_nth(c, "store/1", 1, &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, b);
  CU_ASSERT_EQUAL(mu_service_nth(c, "store/1", 2, &service), MU_ENOENT);

  /* Two of them: nobody guesses. */
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), MU_ECONF);
  CU_ASSERT_EQUAL(mui_bus_use(core, "store", "b"), 0);
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, b);
  CU_ASSERT_EQUAL(mui_bus_use(c, "store", "a"), 0); /* the instance's own beats the core's */
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, a);
  CU_ASSERT_EQUAL(mu_service_get(b, "store/1", &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, b);
  CU_ASSERT_EQUAL(mui_bus_use(c, "store", "nobody"), 0); /* replaced */
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), MU_ENOENT);
  CU_ASSERT_EQUAL(mui_bus_use(c, "store/1", "a"), MU_EINVAL);
  CU_ASSERT_EQUAL(mui_bus_use(c, "", "a"), MU_EINVAL);
  CU_ASSERT_EQUAL(mui_bus_use(c, "store", ""), MU_EINVAL);

  mui_bus_may(runtime.bus, only_b);
  CU_ASSERT_EQUAL(mu_service_get(a, "store/1", &service), MU_EPERM);
  CU_ASSERT_EQUAL(mu_service_nth(a, "store/1", 0, &service), MU_EPERM);
  CU_ASSERT_EQUAL(mu_service_get(b, "store/1", &service), 0);
  CU_ASSERT_EQUAL(mu_service_get(core, "store/1", &service), 0);
  mui_bus_may(runtime.bus, NULL);

  mui_instance_revoke(c); /* with its `use` */
  CU_ASSERT_EQUAL(mui_bus_use(c, "store", "a"), MU_ECLOSED);
  CU_ASSERT_EQUAL(mu_service_get(c, "store/1", &service), 0);
  mui_instance_revoke(b);
  CU_ASSERT_EQUAL(mu_service_provide(b, "y/1", &api_b, b), MU_ECLOSED);
  CU_ASSERT_EQUAL(mu_service_get(a, "store/1", &service), MU_ENOENT); /* the core's choice has gone */
  CU_ASSERT_EQUAL(mu_service_nth(a, "store/1", 0, &service), 0);
  CU_ASSERT_PTR_EQUAL(service.provider, a);
  mui_instance_free(a);
  mui_instance_free(b);
  mui_instance_free(c);
  mui_instance_free(core);
  mui_bus_free(runtime.bus);
  mui_bus_free(NULL);
}

static const struct unit_test tests[] = {{"services", test_services}};
UNIT_MAIN("services", tests)
