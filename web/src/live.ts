// SPDX-License-Identifier: ISC
// The one live channel: it comes back by itself, says so quietly, and hands messages over together, a few times a second.
import { effect, signal } from "@preact/signals";
import { ApiError, base, call } from "./api";
import { machines, type LiveMessage } from "./machines";
import { pageToken, parseUser, session, signedOut } from "./session";
import { loadSite, site, siteKnown } from "./site";

export type LinkState = "connecting" | "live" | "lost" | "refused";
export const link = signal<LinkState>("connecting");
/** Calls back whenever the link turns live from now on, until what it gives is called. */
export function onLive(then: () => void): () => void {
  let was = link.peek();
  return link.subscribe((state) => {
    if (state === "live" && was !== "live") then();
    was = state;
  });
}
/** The server's clock less ours, in ms: "last seen" is the server's time. */
export const skew = signal(0);

/** Ms before the n-th attempt: quick at first, never more than 15 s, and never everybody at once. */
export const backOff = (attempt: number, chance: number): number => Math.min(15_000, 500 * 1.7 ** attempt) * (0.7 + 0.6 * chance);

/** Ms before the next attempt after one that failed so: what the server asks for, and a little more, so that not all come at once. */
export const pause = (error: unknown, attempt: number, chance: number): number =>
  Math.max(backOff(attempt, chance), error instanceof ApiError ? Math.min(300, error.retryAfter) * 1000 * (1 + 0.2 * chance) : 0);

/** A connection can die without a word: when the machine slept, or its network changed. Silence this long is not believed. */
const SILENT_MS = 90_000;
/** And this long not by who looks at the page again. */
const DOUBTED_MS = 20_000;
let heardAt = 0;

const REVOKED = 4010;
const REFUSED = [1008, 4001, 4002];

let socket: WebSocket | null = null;
let attempt = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let generation = 0; // of what is under way: an older one's events count no more
let waiting: LiveMessage[] = [];
let drawing = false;
let drawnAt = -Infinity;
/** With many machines something changes in every frame, and nobody reads so fast: one frame in six is drawn, with all that came. */
const TOGETHER_MS = 100;
/** A page that is hidden for long is woken once a minute. */
const MOST_WAITING = 5000;

function flush(): void {
  drawing = false;
  drawnAt = performance.now();
  const messages = waiting;
  waiting = [];
  machines.take(messages);
  if (messages.some(({ type }) => type === "ready")) {
    attempt = 0;
    link.value = "live";
  }
}

function receive(message: LiveMessage): void {
  waiting.push(message);
  if (waiting.length > MOST_WAITING) return flush();
  if (drawing) return;
  drawing = true;
  // A hidden page gets no frames, but still must not let messages pile up.
  if (document.hidden) setTimeout(flush, 1000);
  else setTimeout(() => (document.hidden ? flush() : requestAnimationFrame(flush)), Math.max(0, drawnAt + TOGETHER_MS - performance.now()));
}

/** Throws when there is none: who is signed in is not shown the public view in its place. */
async function ticket(): Promise<string> {
  const made = await call<{ ticket?: unknown }>("/api/console/ticket", { method: "POST", body: {} });
  if (typeof made?.ticket !== "string") throw new ApiError(0, "NO_TICKET", "");
  return made.ticket;
}

async function connect(): Promise<void> {
  const mine = ++generation;
  clearTimeout(timer);
  socket?.close();
  socket = null;
  heardAt = Date.now(); // patience begins anew
  let pass = "";
  try {
    if (session.peek()) pass = await ticket();
  } catch (error) {
    if (mine !== generation) return; // a 401 ended the session: nobody connects in its place
    if (error instanceof ApiError && error.status === 403) return signedOut("ended"); // banned
    link.value = "lost"; // what is shown stays
    timer = setTimeout(again, pause(error, attempt++, Math.random()));
    return;
  }
  if (mine !== generation) return;
  const url = new URL("api/console/live", base());
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const made = new WebSocket(url);
  socket = made;
  let heard = false;
  made.onopen = () => made.send(JSON.stringify({ type: "hello", ...(pass ? { ticket: pass } : pageToken.peek() ? { token: pageToken.peek() } : {}) }));
  made.onmessage = ({ data }) => {
    if (mine !== generation || typeof data !== "string") return;
    heardAt = Date.now();
    let message: LiveMessage;
    try {
      message = JSON.parse(data) as LiveMessage;
    } catch {
      return;
    }
    if (message === null || typeof message !== "object") return;
    if (message.type === "hello") {
      heard = true;
      const told = parseUser(message["user"]);
      if (told && session.peek()) session.value = { ...session.peek()!, user: told }; // the role may have changed
      if (typeof message["now"] === "number") skew.value = message["now"] - Date.now();
    }
    if (message.type === "ready" && !siteKnown.peek()) void loadSite();
    receive(message);
  };
  made.onclose = ({ code }) => {
    if (mine !== generation) return;
    socket = null;
    if (code === REVOKED && session.peek()) return signedOut("ended"); // the effect below connects again, as nobody
    const refused = !heard && REFUSED.includes(code);
    link.value = refused ? "refused" : "lost";
    if (refused && site.peek().status !== "open") machines.clear(); // what was shown is not to be seen any more
    // Who has no right to see it is not let in by asking often: a login or a token tries at once.
    timer = setTimeout(again, refused && site.peek().status !== "open" ? 60_000 : backOff(attempt++, Math.random()));
  };
}

function again(): void {
  void loadSite();
  void connect();
}

/** At once, without the rest of the wait: someone asked, or came back to the page. */
export function hurry(): void {
  if (socket && link.peek() === "live") return;
  if (socket?.readyState === WebSocket.CONNECTING && Date.now() - heardAt < 5000) return; // on its way
  attempt = 0;
  again();
}

export function startLive(): void {
  void loadSite();
  let who: string | undefined;
  effect(() => {
    const now = `${session.value?.token ?? ""} ${pageToken.value}`;
    if (now === who) return;
    if (who !== undefined) {
      waiting = [];
      machines.clear(); // what only somebody else may see is gone at once, even without a server
      link.value = "connecting";
    }
    who = now;
    attempt = 0;
    void connect();
  });
  const doubt = (silent: number) => {
    if (document.hidden) return;
    if (link.peek() !== "live") hurry();
    else if (Date.now() - heardAt > silent) void connect(); // quietly: it is live until it is known to be lost
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && drawing) flush(); // the frame that it waits for may be hours away
    doubt(DOUBTED_MS);
  });
  window.addEventListener("pageshow", (event) => event.persisted && doubt(DOUBTED_MS));
  setInterval(() => {
    if (link.peek() === "live") doubt(SILENT_MS);
    else if (socket && Date.now() - heardAt > DOUBTED_MS) again(); // an attempt that nobody answers
  }, 10_000);
  window.addEventListener("online", hurry);
}
