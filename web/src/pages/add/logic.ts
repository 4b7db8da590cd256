// SPDX-License-Identifier: ISC
// The lines that are pasted on a machine; no DOM.

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

/** The key goes to the agent's standard input: not into its arguments, which everybody on the machine can see. */
export function joinLines(key: string, url: string): [string, string] {
  const plain = /^[\w.:/@%+,=-]+$/.test(url) ? url : quoted(url);
  return [`printf %s ${quoted(key)} | sudo muster-agent --join ${plain}`, "sudo systemctl enable --now muster-agent"];
}
