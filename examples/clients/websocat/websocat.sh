# Server-status: every report, one a line. --ping-interval and --ping-timeout end a dead link.
websocat --ping-interval 30 --ping-timeout 45 ws://127.0.0.1:8900/ws-frontend

# Server-status, as an agent: one report a line. What -H is given shows in the list of processes, so only where nobody else is.
websocat -H "X-SERVER-ID: demo" -H "X-AUTH-SECRET: $MUSTER_SECRET" ws://127.0.0.1:8900/ws-report < reports.jsonl

# Session: type or pipe one JSON object a line.
(printf '{"type":"auth","apiKey":"%s","scope":"admin"}\n' "$MUSTER_API_KEY"; cat) | websocat ws://127.0.0.1:8900/

# Relay, with the endpoint's token; -E ends with either side, and the loop comes back, whatever it was refused with.
while :; do
  websocat -E -H "Authorization: Bearer $ENDPOINT_TOKEN" ws://127.0.0.1:8900/ws/ENDPOINT_ID
  sleep $((1 + RANDOM % 5))
done
