// SPDX-License-Identifier: ISC
// A client written from the released protocol's README alone: auth, ping and pong, machine_deleted. Nothing of Muster is in it.
//
//   API_KEY=… node session_client.js ws://host:port [MORE_MS]
//
// Prints one line of JSON for everything that happens. Exit status: 0 after MORE_MS of a working session or when the server closed
// it in order, 2 when the key was refused, 3 when the machine was deleted, 1 for anything that the README does not describe.
'use strict';
const WebSocket = require('ws');

const url = process.argv[2];
const more = Number(process.argv[3] || 2000);
let savedKey = process.env.API_KEY; // what the released client keeps in a file
let sessionToken = null;

function say(event, members) {
  process.stdout.write(JSON.stringify({ event, ...members }) + '\n');
}

function end(status) {
  say('end', { status, savedKey: savedKey !== null });
  process.exit(status);
}

const socket = new WebSocket(url, { rejectUnauthorized: false });

socket.on('open', () => {
  say('open', {});
  socket.send(JSON.stringify({ type: 'auth', apiKey: savedKey }));
});

socket.on('message', (data, isBinary) => {
  if (isBinary) {
    end(1);
  }
  const message = JSON.parse(data.toString());
  switch (message.type) {
    case 'auth_success':
      if (typeof message.sessionToken !== 'string' || message.message !== 'Authentication successful') {
        end(1);
      }
      sessionToken = message.sessionToken;
      say('auth_success', { segments: sessionToken.split('.').length });
      setTimeout(() => { socket.close(1000); }, more);
      break;
    case 'auth_failed':
      say('auth_failed', { message: message.message });
      if (message.message === 'Invalid API Key') {
        savedKey = null; // asks for another one at the next start
        end(2);
      }
      break;
    case 'ping':
      say('ping', {});
      socket.send(JSON.stringify({ type: 'pong' }));
      break;
    case 'machine_deleted':
      say('machine_deleted', { message: message.message });
      savedKey = null;
      end(3);
      break;
    default: // "real-time data"
      say('data', { type: message.type });
  }
});

socket.on('close', (code) => {
  say('close', { code });
  end(code === 1000 || code === 1001 || code === 1005 ? 0 : 1);
});
socket.on('error', (error) => {
  say('error', { message: error.message });
});
