/* SPDX-License-Identifier: ISC */
/* Must compile with ACCESS defined, and not without: a route says who may ask. */
#include <muster/rest.h>

static int handle(void *self, mu_http *request)
{
  (void)self;
  return mu_rest_answer(request, 200, NULL);
}

const struct mu_rest_route route;
const struct mu_rest_route route =
#if ACCESS == 1
    MU_REST(GET, "/api/a", USER, handle, .summary = "has a rule");
#elif ACCESS == 2
    MU_REST(GET, "/api/a", handle, .summary = "has none");
#elif ACCESS == 3
    MU_REST(GET, "/api/a", , handle, .summary = "has none");
#else
    MU_REST(GET, "/api/a", EVERYBODY, handle, .summary = "has one that does not exist");
#endif
