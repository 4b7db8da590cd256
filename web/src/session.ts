// SPDX-License-Identifier: ISC
// Who is signed in, or has the token of the page. Either lives in sessionStorage, or in localStorage when its user wants to stay signed in.
import { computed, signal } from "@preact/signals";
import { remember, remembered } from "./stored";

export interface User {
  readonly id: string;
  readonly name: string;
  readonly role: "admin" | "user";
}

export interface Session {
  readonly token: string;
  readonly user: User;
}

export function parseUser(value: unknown): User | null {
  const given = value as { id?: unknown; name?: unknown; role?: unknown } | null | undefined;
  if (typeof given !== "object" || given === null || typeof given.name !== "string") return null;
  return { id: String(given.id ?? ""), name: given.name, role: given.role === "admin" ? "admin" : "user" };
}

export function parseSession(text: string | null): Session | null {
  try {
    const value = JSON.parse(text ?? "null");
    const who = parseUser(value?.user);
    return typeof value?.token === "string" && who ? { token: value.token, user: who } : null;
  } catch {
    return null;
  }
}

export const session = signal<Session | null>(parseSession(remembered("session", "session") ?? remembered("session")));
export const user = computed(() => session.value?.user ?? null);
export const isAdmin = computed(() => user.value?.role === "admin");

/** Why nobody is signed in any more: "ended" by the server (password changed, banned, run out), "left" by the user. */
export const farewell = signal<"" | "ended" | "left">("");

export function signedIn(made: Session, stay: boolean): void {
  remember("session", JSON.stringify(made), stay ? "local" : "session");
  remember("session", null, stay ? "session" : "local");
  farewell.value = "";
  session.value = made;
}

export function signedOut(why: "ended" | "left"): void {
  remember("session", null, "session");
  remember("session", null, "local");
  farewell.value = why;
  session.value = null;
}

/** The token of the page, where the operator wants one of people who do not sign in. */
export const pageToken = signal(remembered("page-token", "session") ?? remembered("page-token") ?? "");
export function setPageToken(token: string, stay: boolean): void {
  remember("page-token", token || null, stay ? "local" : "session");
  remember("page-token", null, stay ? "session" : "local");
  pageToken.value = token;
}

// Another tab signed out or in.
if (typeof window !== "undefined")
  window.addEventListener("storage", (event) => {
    if (event.key !== "muster.session" || remembered("session", "session")) return; // this tab has a session of its own
    const now = parseSession(event.newValue);
    if (now) {
      farewell.value = "";
      session.value = now;
    } else {
      farewell.value = "left";
      session.value = null;
    }
  });
