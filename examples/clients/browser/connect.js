// SPDX-License-Identifier: ISC
// One WebSocket that comes back by itself. The browser answers the server's WebSocket pings; scripts never see them.

// What waiting does not change. 1008: the relay refused, or nothing sent was JSON. 4002: the key or token is refused. 4003: the machine
// was deleted. 4009: another connection of this machine took over, and coming back would only take over from that one.
const FINAL = [1008, 4002, 4003, 4009];

/**
 * opened(send)          connected: say who you are
 * heard(message, send)  a message: text, or an ArrayBuffer; an answer is { retryAfter: seconds }, or nothing
 * state(name, code)     "connecting", "open", "waiting" (it will come back by itself) or "ended" (it will not)
 * silence               ms without a message after which the link is taken for dead, where the protocol talks by itself; 0: never
 */
export function connect(url, { protocols = [], opened, heard, state = () => {}, silence = 0, final = FINAL } = {}) {
  let socket, retry, settled, watch;
  let attempt = 0, least = 0, ended = false;

  const send = (message) => {
    const ready = socket.readyState === WebSocket.OPEN;
    if (ready) socket.send(typeof message === "string" || message instanceof ArrayBuffer ? message : JSON.stringify(message));
    return ready; // false: not sent; nothing is kept for later
  };

  function alive() {
    clearTimeout(watch);
    if (silence) watch = setTimeout(() => lost(socket, 1006), silence);
  }

  function lost(which, code) {
    if (which !== socket || ended) return;
    [settled, watch].forEach(clearTimeout);
    which.onmessage = which.onclose = null; // a dead link may take a minute to say that it is closed
    which.close();
    if (final.includes(code)) return end(code);
    // 1 s, 2 s, 4 s … 30 s, and by chance up to half as long again: not all clients at once after a restart.
    const wait = Math.max(least, Math.min(30_000, 1000 * 2 ** attempt++)) * (1 + Math.random() / 2);
    least = 0;
    state("waiting", code);
    retry = setTimeout(open, wait);
  }

  function open() {
    state("connecting");
    const mine = (socket = new WebSocket(url, protocols));
    mine.binaryType = "arraybuffer";
    mine.onopen = () => {
      settled = setTimeout(() => (attempt = 0), 10_000); // who accepts and then closes is not to be asked every second
      alive();
      state("open");
      opened?.(send);
    };
    mine.onmessage = ({ data }) => {
      alive();
      const answer = heard?.(data, send);
      if (answer?.retryAfter) least = answer.retryAfter * 1000;
    };
    mine.onclose = ({ code }) => lost(mine, code); // 1006: no connection, refused before it (401, 503, foreign Origin: pages cannot tell), or cut
  }

  function end(code = 1000) {
    ended = true;
    [retry, settled, watch].forEach(clearTimeout);
    socket.close();
    state("ended", code);
  }

  open();
  return { send, close: () => ended || end() };
}
