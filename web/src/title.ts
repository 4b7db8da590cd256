// SPDX-License-Identifier: ISC
// What the window is called: pages of one thing say which.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export const subject = signal("");

// A window's title has no <bdi>: what would turn the rest around, or cannot be seen, is left out.
const marks = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** While the page is shown: the name of the machine, of the endpoint, of the tab. Empty: the page's own title is enough. */
export function useTitle(text: string): void {
  useEffect(() => {
    subject.value = text.replace(marks, "");
    return () => void (subject.value = "");
  }, [text]);
}
