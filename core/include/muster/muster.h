/* SPDX-License-Identifier: ISC */
/**
 * @file muster.h
 * The whole plugin SDK. One topic per header; include only what you use, or this.
 */
#ifndef MUSTER_MUSTER_H
#define MUSTER_MUSTER_H

#include <muster/accounts.h>
#include <muster/agent.h>
#include <muster/auth.h>
#include <muster/base.h>
#include <muster/bus.h>
#include <muster/client.h>
#include <muster/conf.h>
#include <muster/conn.h>
#include <muster/fetch.h>
#include <muster/group.h>
#include <muster/history.h>
#include <muster/host.h>
#include <muster/http.h>
#include <muster/json.h>
#include <muster/log.h>
#include <muster/loop.h>
#include <muster/machines.h>
#include <muster/plugin.h>
#include <muster/rest.h>
#include <muster/sample.h>
#include <muster/session.h>
#include <muster/store.h>
#include <muster/store_driver.h>
#include <muster/token.h>
#include <muster/uplink.h>

#endif
