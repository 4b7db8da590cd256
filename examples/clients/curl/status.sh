#!/bin/sh
# SPDX-License-Identifier: ISC
# Server-status over HTTP: status.sh http://127.0.0.1:8900
set -eu
curl -fsS "$1/api/server/statusInfo" | jq -r '.data[] | "\(.name): \(.cpuPercent) % \(if .isOnline then "online" else "offline" end)"'
curl -fsS "$1/api/statistics" | jq -c .data
