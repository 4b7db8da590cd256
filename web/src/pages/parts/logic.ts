// SPDX-License-Identifier: ISC
// What several pages reckon with; no DOM.
import { ApiError } from "../../api";

/** Ms until the next question: the usual, longer after failures, and what the server asked for. */
export function nextWait(every: number, failures: number, error?: unknown): number {
  if (failures === 0) return every;
  const asked = error instanceof ApiError ? error.retryAfter * 1000 : 0;
  return Math.max(Math.min(30_000, every * 2 ** Math.min(failures, 10)), asked);
}

/** Asking again gets the same answer: what is asked for is gone, or not ours. */
export const isFinal = (error: unknown): boolean =>
  error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429;

/** What the server says about one field. */
export function fieldError(error: unknown, ...names: readonly string[]): string | undefined {
  if (!(error instanceof ApiError)) return undefined;
  const texts = error.details.filter((d) => names.includes(d.field)).map((d) => d.message);
  return texts.length > 0 ? texts.join(" · ") : undefined;
}

/** Unix ms of what REST gives as a time; NaN: no time. */
export const timeOf = (value: unknown): number => (typeof value === "string" && value !== "" ? Date.parse(value) : NaN);

/** Text from outside as it can be read: control characters, and marks that turn the direction of what follows, as their numbers: ESC is ⟨1B⟩. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => `⟨${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}⟩`);
}

/** A name within a sentence: its direction ends where it ends. */
export const inText = (name: string): string => `\u2068${visible(name)}\u2069`;

/** All words, in any order, whatever their case. */
export function finds(search: string, ...where: readonly (string | null | undefined)[]): boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = where.join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

/** How many characters the server counts: code points. */
export const lengthOf = (text: string): number => [...text].length;

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === "object" && !Array.isArray(value);

/** Goes into an answer by names; undefined where there is no such member. */
export function member(value: unknown, ...names: readonly string[]): unknown {
  let at: unknown = value;
  for (const name of names) {
    if (!isObject(at)) return undefined;
    at = at[name];
  }
  return at;
}

/** An array of objects; null: something else came. */
export const rowsOf = (value: unknown): Record<string, unknown>[] | null => (Array.isArray(value) ? value.filter(isObject) : null);
