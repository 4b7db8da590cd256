/* SPDX-License-Identifier: ISC */
#include <muster/errors.h>

const char *mu_strerror(int error)
{
  switch (error) {
  case MU_OK:
    return "success";
  case MU_PENDING:
    return "pending";
  case MU_RESTART:
    return "restart";
#define X(name, value, text)                                                                                           \
  case name:                                                                                                           \
    return text;
    MU_ERRORS(X)
#undef X
  default:
    return "unknown error";
  }
}

const char *mu_error_name(int error)
{
  switch (error) {
  case MU_OK:
    return "MU_OK";
  case MU_PENDING:
    return "MU_PENDING";
  case MU_RESTART:
    return "MU_RESTART";
#define X(name, value, text)                                                                                           \
  case name:                                                                                                           \
    return #name;
    MU_ERRORS(X)
#undef X
  default:
    return "MU_?";
  }
}
