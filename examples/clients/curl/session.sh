#!/bin/sh
# SPDX-License-Identifier: ISC
# An API key for the session protocol, from auth_accounts: session.sh http://127.0.0.1:8900 USER, the password on standard input.
# Secrets go through standard input (`-d @-`, `-H @FILE`): arguments can be read by everybody on the machine.
set -eu
umask 077
head=$(mktemp)
trap 'rm -f "$head"' EXIT
jq -Rn --arg user "$2" '{username: $user, password: input}' |
  curl -fsS "$1/api/auth/login" -H 'Content-Type: application/json' -d @- |
  jq -r '"Authorization: Bearer \(.data.token)"' >"$head"
curl -fsS "$1/api/auth/api-keys" -H @"$head" -H 'Content-Type: application/json' -d '{"name":"my client"}' | jq -r .data.api_key.key
