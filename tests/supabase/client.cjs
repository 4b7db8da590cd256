// SPDX-License-Identifier: ISC
// The official client, driven over lines: a JSON request in, a JSON answer out. CLIENT_FOLDER names where it is installed.
'use strict';
const { createRequire } = require('node:module');
const need = createRequire(process.env.CLIENT_FOLDER + '/');
const { createClient } = need('@supabase/supabase-js');
const ws = need('ws');

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');
const realtime = { transport: ws };
if (process.env.HEARTBEAT) realtime.heartbeatIntervalMs = Number(process.env.HEARTBEAT);
const client = createClient(process.env.URL_OF_PROJECT, process.env.KEY_OF_PROJECT, { auth: { persistSession: false, autoRefreshToken: false }, realtime });
const channels = new Map();

// A query is a table and a list of calls: [["select", "id"], ["eq", "apikey", "x"], ["maybeSingle"]]
async function query({ table, calls }) {
  let made = client.from(table);
  for (const [name, ...values] of calls) made = made[name](...values);
  const { data, error, count, status } = await made;
  return { data, error, count, status };
}

function subscribe({ name, wanted }) {
  const channel = client.channel(name);
  for (const one of wanted) {
    channel.on('postgres_changes', one, (change) => say({ channel: name, change }));
  }
  channel.on('system', {}, (system) => say({ channel: name, system }));
  channel.subscribe((status, error) => say({ channel: name, status, error: error && error.message }));
  channels.set(name, channel);
  return 'subscribing';
}

const does = {
  query,
  subscribe,
  unsubscribe: async ({ name }) => client.removeChannel(channels.get(name)),
};

let tail = Promise.resolve();
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { does: what, ...values } = JSON.parse(line);
  tail = tail.then(() => does[what](values)).then((result) => say({ result: result }), (error) => say({ failed: String(error) }));
}).on('close', () => process.exit(0));
say({ node: process.versions.node });
