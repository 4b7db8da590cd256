#!/bin/sh
# SPDX-License-Identifier: ISC
# The relay's REST API: relay.sh http://127.0.0.1:8900 USER, the password on standard input. Makes an endpoint, and shows what is there.
# A refusal is {"error":{"code","message","details"?}}; 429 and 503 come with Retry-After, which --retry keeps to.
set -eu
umask 077
head=$(mktemp)
trap 'rm -f "$head"' EXIT
jq -Rn --arg user "$2" '{username: $user, password: input}' |
  curl -fsS "$1/api/auth/login" -H 'Content-Type: application/json' -d @- |
  jq -r '"Authorization: Bearer \(.data.token)"' >"$head"
api() { # METHOD PATH [BODY]
  curl -fsS --retry 3 -X "$1" "$base/api$2" -H @"$head" ${3:+-H 'Content-Type: application/json' -d "$3"}
}
base=$1
made=$(api POST /endpoints '{"name":"workshop","forwarding_mode":"JSON"}')
id=$(printf %s "$made" | jq -r .data.endpoint.id) # the row's id: not the endpoint_id in the address
printf %s "$made" | jq -r .data.endpoint.websocket_url
api GET "/endpoints/$id/stats" | jq -c .data
api GET "/endpoints/$id/devices" | jq -c '.data.devices[] | {device_id, is_online}'
api GET "/endpoints/$id/messages" | jq -r '.data.messages[] | "\(.created_at) \(.sender_info): \(.content)"'
api PUT "/endpoints/$id/access" '{"access":"token","allowed_origins":["https://example.org"]}' | jq -c .data # the token is in this answer only
api DELETE "/endpoints/$id" | jq -c .
