// SPDX-License-Identifier: ISC
// Asks again and again while somebody looks.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Asked } from "../../ui";
import { isFinal, nextWait } from "./logic";

/** As useAsked, and again `every` ms after each answer: one question at a time, none while the page is hidden or `active` is false. */
export function usePolled<T>(ask: () => Promise<T>, every: number, deps: readonly unknown[], active = true): Asked<T> {
  const [state, setState] = useState<{ data: T | undefined; error: unknown; loading: boolean }>({ data: undefined, error: undefined, loading: true });
  const run = useRef<() => void>(() => {});
  const asked = useRef(false);
  useEffect(() => {
    let ended = false;
    let busy = false;
    let again = false;
    let failures = 0;
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const now = async (): Promise<void> => {
      clearTimeout(timer);
      if (ended) return;
      if (busy) return void (again = true);
      busy = true;
      asked.current = true;
      let failed: unknown;
      try {
        const data = await ask();
        failures = 0;
        stopped = false;
        if (!ended) setState({ data, error: undefined, loading: false });
      } catch (error) {
        failed = error;
        failures++;
        stopped = isFinal(error);
        if (!ended) setState((old) => ({ data: old.data, error, loading: false }));
      }
      busy = false;
      if (ended) return;
      if (again) {
        again = false;
        return now();
      }
      if (active && !stopped && !document.hidden) timer = setTimeout(now, nextWait(every, failures, failed));
    };
    const seen = () => {
      if (active && !stopped && !document.hidden) void now();
    };
    run.current = () => void now();
    document.addEventListener("visibilitychange", seen);
    if (active || !asked.current) void now();
    return () => {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [...deps, active]);
  const reload = useCallback(() => run.current(), []);
  return { ...state, reload };
}
