// SPDX-License-Identifier: ISC
// One WebSocket of one protocol that comes back by itself, with every message typed. For browsers and Node 22; older Node: see main.ts.
import type { FromRelay, FromSession, Machine, Report, ToRelay, ToSession } from "./protocols.js";

export type State = "connecting" | "open" | "waiting" | "ended";
export interface Handlers<From, To> {
  opened?(send: (message: To) => boolean): void;
  /** What is returned is the least number of seconds until the next attempt. */
  heard(message: From, send: (message: To) => boolean): number | void;
  /** What is no JSON, as a relay in mode DIRECT passes it on. */
  other?(data: unknown): void;
  state?(state: State, code?: number): void;
  protocols?: string[];
  /** Ms without a message after which the link is taken for dead, where the protocol talks by itself. */
  silence?: number;
}

const FINAL: readonly number[] = [1008, 4002, 4003, 4009]; // what waiting does not change

export class Client<From, To> {
  #socket!: WebSocket;
  #attempt = 0;
  #least = 0;
  #ended = false;
  #retry?: ReturnType<typeof setTimeout>;
  #settled?: ReturnType<typeof setTimeout>;
  #watch?: ReturnType<typeof setTimeout>;

  constructor(readonly url: string, readonly handlers: Handlers<From, To>) {
    this.#open();
  }

  /** False: not connected, and nothing is kept for later. */
  send = (message: To): boolean => {
    const ready = this.#socket.readyState === WebSocket.OPEN;
    if (ready) this.#socket.send(JSON.stringify(message));
    return ready;
  };

  close(): void {
    if (!this.#ended) this.#end();
  }

  #end(code = 1000): void {
    this.#ended = true;
    for (const timer of [this.#retry, this.#settled, this.#watch]) clearTimeout(timer);
    this.#socket.close();
    this.handlers.state?.("ended", code);
  }

  #alive(socket: WebSocket): void {
    clearTimeout(this.#watch);
    if (this.handlers.silence) this.#watch = setTimeout(() => this.#lost(socket, 1006), this.handlers.silence);
  }

  #lost(socket: WebSocket, code: number): void {
    if (socket !== this.#socket || this.#ended) return;
    clearTimeout(this.#settled);
    clearTimeout(this.#watch);
    socket.onmessage = socket.onclose = null; // a dead link may take a minute to say that it is closed
    socket.close();
    if (FINAL.includes(code)) return this.#end(code);
    // 1 s, 2 s, 4 s … 30 s, and by chance up to half as long again.
    const wait = Math.max(this.#least * 1000, Math.min(30_000, 1000 * 2 ** this.#attempt++)) * (1 + Math.random() / 2);
    this.#least = 0;
    this.handlers.state?.("waiting", code);
    this.#retry = setTimeout(() => this.#open(), wait);
  }

  #open(): void {
    this.handlers.state?.("connecting");
    const socket = (this.#socket = new WebSocket(this.url, this.handlers.protocols ?? []));
    socket.onopen = () => {
      this.#settled = setTimeout(() => (this.#attempt = 0), 10_000); // who accepts and then closes is not to be asked every second
      this.#alive(socket);
      this.handlers.state?.("open");
      this.handlers.opened?.(this.send);
    };
    socket.onmessage = ({ data }) => {
      this.#alive(socket);
      let message: From;
      try {
        message = JSON.parse(String(data)) as From;
      } catch {
        return this.handlers.other?.(data);
      }
      this.#least = this.handlers.heard(message, this.send) ?? this.#least;
    };
    socket.onclose = ({ code }) => this.#lost(socket, code);
  }
}

export function watchMachines(url: string, apiKey: string, changed: (machines: ReadonlyMap<string, Machine>) => void): Client<FromSession, ToSession> {
  const machines = new Map<string, Machine>();
  return new Client<FromSession, ToSession>(url, {
    silence: 75_000, // the server says {"type":"ping"} every 30 s
    opened: (send) => void send({ type: "auth", apiKey, scope: "admin" }),
    heard(message, send) {
      switch (message.type) {
        case "ping":
          return void send({ type: "pong" });
        case "auth_success":
          return void send({ type: "admin_connect", token: message.sessionToken });
        case "auth_failed":
        case "admin_failed":
        case "error":
          console.error(message.code, message.message);
          return message.retryAfter;
        case "machine_list":
          machines.clear();
          for (const machine of message.machines) machines.set(machine.machineId, machine);
          return changed(machines);
        case "machine_update":
          if (message.event === "deleted") machines.delete(message.machine.machineId);
          else machines.set(message.machine.machineId, message.machine);
          return changed(machines);
      }
    },
  });
}

export const watchStatus = (url: string, heard: (report: Report) => void) => new Client<Report, never>(url, { heard });

export const joinRelay = (url: string, handlers: Handlers<FromRelay, ToRelay>) => new Client<FromRelay, ToRelay>(url, handlers);
