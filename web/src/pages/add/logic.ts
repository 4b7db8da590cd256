// SPDX-License-Identifier: ISC
// The lines that are pasted on a machine, and whether it came; no DOM.
import type { Machine } from "../../machines";

/** A word that every shell takes as it is, whatever is in it. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Where the agent connects to: what the operator says, else this page's own address. */
export function agentUrl(site: string, page: URL): string {
  if (/^wss?:\/\/[^\s]+$/.test(site)) return site;
  const url = new URL(".", page);
  url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
  url.hash = url.search = url.username = url.password = "";
  return url.toString();
}

/** The host of an address that means the machine itself, wherever it is asked for; null: others can reach it, as far as the address tells. */
export function ownHost(url: string): string | null {
  const host = new URL(url).hostname;
  return /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\]|0\.0\.0\.0|\[::\])$/.test(host) ? host : null;
}

/** What a machine is called while servers and connections come and go: keys of the live channel are a server's own. */
export const identity = (machine: Pick<Machine, "owner" | "id">): string => `${machine.owner}\n${machine.id}`;

/**
 * The machine that came with the new key: one of this user's that was not online before. Of several, the one that is called as the key; the
 * channel tells owners by name, and by id where they have none.
 */
export function arrived(list: readonly Machine[], before: ReadonlySet<string>, user: { readonly id: string; readonly name: string }, keyName: string): Machine | undefined {
  const come = list.filter((m) => m.online && m.owner !== "" && (m.owner === user.name || m.owner === user.id) && !before.has(identity(m)));
  return come.find((m) => m.name === keyName || m.id === keyName) ?? come[0];
}

/** The key goes to the agent's standard input: not into its arguments, which everybody on the machine can see. -c: what the service reads. */
export function joinLines(key: string, url: string): [string, string] {
  const plain = /^[\w.:/@%+,=-]+$/.test(url) ? url : quoted(url);
  return [`printf %s ${quoted(key)} | sudo muster-agent -c /etc/muster/agent.conf --join ${plain}`, "sudo systemctl enable --now muster-agent"];
}
