/* SPDX-License-Identifier: ISC */
/* Memory of an instance's account; the calls are in base/instance.h. */
#ifndef MUI_BASE_ACCOUNT_H
#define MUI_BASE_ACCOUNT_H
#include "base/instance.h"

struct mui_account *mui_account_new(void);
/* Waits for a watchdog that is reading the instance's name. */
void mui_account_free(struct mui_account *account);

#endif
