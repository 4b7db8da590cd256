// SPDX-License-Identifier: ISC
// What the window is called: pages of one thing say which.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export const subject = signal("");

/** While the page is shown: the name of the machine, of the endpoint, of the tab. Empty: the page's own title is enough. */
export function useTitle(text: string): void {
  useEffect(() => {
    subject.value = text;
    return () => void (subject.value = "");
  }, [text]);
}
