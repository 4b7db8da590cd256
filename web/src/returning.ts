// SPDX-License-Identifier: ISC
// Who goes back finds a page as they left it: where they were in it, with the link in focus that led away.
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { leaving } from "./router";

interface Left {
  readonly y: number;
  readonly link: string | null;
}

/** What the browser keeps with an entry of its history. */
interface Entry {
  readonly entry?: number;
  /** Address of the page that led here. */
  readonly from?: string;
  readonly y?: number; // of a page that was loaded again
}

const entryOf = (): Entry => (history.state !== null && typeof history.state === "object" ? (history.state as Entry) : {});
const left = new Map<number, Left>();
let at = 0;
let followed: string | null = null;
let found: Left | null = null; // what is to be found again on the page that was come to; null: it is new

/** The page before this one, when one came here by a link of it. */
export const cameFrom = (): string | undefined => entryOf().from;

function arrive(from: string | undefined): void {
  const { entry, y } = entryOf();
  found = entry === undefined ? null : (left.get(entry) ?? (y === undefined ? null : { y, link: null }));
  at = entry ?? Date.now() + Math.random();
  if (entry === undefined) history.replaceState({ entry: at, from }, "");
  followed = null;
}

/** Content comes when it comes: for so long it is waited for, unless somebody scrolls. */
const PATIENCE_MS = 3000;

function restore({ y, link }: Left, otherwise: () => void): () => void {
  const end = performance.now() + PATIENCE_MS;
  let focused = link === null;
  let steady = 0;
  let frame = 0;
  const stop = () => {
    cancelAnimationFrame(frame);
    for (const what of ["wheel", "touchstart", "keydown", "pointerdown"]) removeEventListener(what, stop);
  };
  const look = () => {
    if (Math.abs(scrollY - y) > 1) {
      scrollTo(0, y);
      steady = 0;
    } else steady++;
    if (!focused) {
      const target = document.querySelector<HTMLElement>(`main a[href="${CSS.escape(link!)}"]`);
      target?.focus({ preventScroll: true });
      focused = target !== null;
    }
    if ((focused && steady > 5) || performance.now() > end) {
      if (!focused) otherwise();
      return stop();
    }
    frame = requestAnimationFrame(look);
  };
  for (const what of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(what, stop, { passive: true });
  look();
  return stop;
}

/** A new page starts at its top, and a screen reader is told of it. */
export function useReturning(path: string, main: RefObject<HTMLElement>): void {
  useEffect(() => {
    history.scrollRestoration = "manual";
    arrive(undefined);
    const turn = (from: string) => {
      left.set(at, { y: scrollY, link: followed });
      arrive(from);
    };
    const follow = ({ target }: Event) => (followed = (target as Element | null)?.closest?.("main a[href]")?.getAttribute("href") ?? followed);
    const unload = () => history.replaceState({ ...entryOf(), y: scrollY }, "");
    leaving.add(turn);
    addEventListener("click", follow, { capture: true });
    addEventListener("pagehide", unload);
    return () => {
      leaving.delete(turn);
      removeEventListener("click", follow, { capture: true });
      removeEventListener("pagehide", unload);
    };
  }, []);
  const first = useRef(true);
  useEffect(() => {
    const back = found;
    const loaded = first.current;
    found = null;
    first.current = false;
    const top = () => main.current?.focus({ preventScroll: true });
    if (back) {
      if (back.link === null && !loaded) top();
      return restore(back, top);
    }
    if (loaded) return;
    window.scrollTo(0, 0);
    top();
  }, [path]);
}
