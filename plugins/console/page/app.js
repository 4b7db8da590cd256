// SPDX-License-Identifier: ISC
// Machines, live: one channel, values updated in place, everything from outside shown as text.

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}
const speed = (n) => `${bytes(n)}/s`;
const percent = (n) => (Number.isFinite(n) ? `${n.toFixed(n < 9.95 ? 1 : 0)} %` : "–");
function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.max(0, Math.round(seconds))} s`;
}
// Letters and no flag: not every system has pictures for them.
const code = (country) => (/^[a-z]{2}$/i.test(country) ? country.toUpperCase() : "");
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

// Sets text only where it changed, so that a selection or a screen reader is left in peace.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function element(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent?.append(node);
  return node;
}

const page = {
  groups: document.getElementById("groups"),
  summary: document.getElementById("summary"),
  empty: document.getElementById("empty"),
  link: document.getElementById("link"),
  search: document.getElementById("search"),
  card: document.getElementById("card"),
};
const machines = new Map(); // key → { data, card, seen }

// ---- one card ----

// Keyed children of a container: made when first named, removed when no longer named.
function keyed(container) {
  const children = new Map();
  return {
    begin() { for (const child of children.values()) child.used = false; },
    get(key, make) {
      let child = children.get(key);
      if (!child) {
        child = make(container);
        children.set(key, child);
      }
      child.used = true;
      return child;
    },
    end() {
      for (const [key, child] of children) {
        if (child.used) continue;
        for (const node of child.nodes) node.remove();
        children.delete(key);
      }
    },
  };
}

function makeBar(container) {
  const row = element("div", "bar", container);
  const label = element("span", "", row), track = element("div", "track", row);
  const fill = element("div", "fill", track), value = element("span", "value", row);
  track.setAttribute("role", "meter");
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", "100");
  return { nodes: [row], row, label, track, fill, value };
}
function showBar(bars, name, share, title) {
  if (!Number.isFinite(share)) return;
  const bar = bars.get(name, makeBar);
  const at = Math.min(100, Math.max(0, share));
  put(bar.label, name);
  put(bar.value, percent(share));
  bar.fill.style.transform = `scaleX(${at / 100})`;
  bar.fill.className = at >= 95 ? "fill bad" : at >= 80 ? "fill warn" : "fill";
  bar.track.setAttribute("aria-valuenow", at.toFixed(0));
  bar.track.setAttribute("aria-label", name);
  if (bar.row.title !== title) bar.row.title = title;
}
function makeFact(container) {
  const name = element("dt", "", container), value = element("dd", "", container);
  value.dir = "auto";
  return { nodes: [name, value], name, value };
}
// Several values of one fact stand in columns, so that none moves when another gets longer.
function showFact(facts, name, ...values) {
  const fact = facts.get(name, makeFact);
  put(fact.name, name);
  if (values.length === 1) return put(fact.value, values[0]);
  fact.value.className = `columns of${values.length}`;
  while (fact.value.childElementCount < values.length) element("span", "", fact.value);
  values.forEach((value, i) => put(fact.value.children[i], value));
}

const known = new Set(["cpu", "memory", "disk", "network", "system", "agent"]);

// A value of a collector that this page does not know.
function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(" · ");
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${plain(v)}`).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? numbers.format(value) : String(value);
}

function makeCard() {
  const node = page.card.content.firstElementChild.cloneNode(true);
  const find = (name) => node.querySelector(`.${name}`);
  const card = {
    node, name: find("name"), country: find("country"), state: find("state"), about: find("about"),
    bars: keyed(find("bars")), facts: keyed(find("facts")), more: keyed(find("more")),
    cores: find("cores"), strip: find("strip"),
  };
  return card;
}

function showCores(card, list) {
  const cores = Array.isArray(list) && list.length > 1 ? list.slice(0, 512).filter(Number.isFinite) : [];
  card.cores.hidden = cores.length === 0;
  card.strip.classList.toggle("many", cores.length > 24);
  while (card.strip.childElementCount > cores.length) card.strip.lastElementChild.remove();
  while (card.strip.childElementCount < cores.length) element("span", "", card.strip);
  cores.forEach((share, i) => card.strip.children[i].style.setProperty("--at", `${Math.min(100, Math.max(0, share))}%`));
  const title = cores.length ? `${cores.length} cores, ${percent(Math.max(...cores))} at most` : "";
  if (card.cores.title !== title) card.cores.title = title;
}

function makeDetails(container) {
  const details = element("details", "", container);
  const summary = element("summary", "", details), list = element("dl", "", details);
  return { nodes: [details], details, summary, facts: keyed(list) };
}
function showDetails(card, title, entries, open) {
  if (entries.length === 0) return;
  const made = card.more.get(title, (container) => {
    const child = makeDetails(container);
    child.details.open = open;
    return child;
  });
  put(made.summary, title);
  made.facts.begin();
  for (const [name, text] of entries) showFact(made.facts, name, text);
  made.facts.end();
}

// Figures come as the machine sent them, so what is of another kind than expected is left out.
const plainValue = (value) => ["number", "string", "boolean"].includes(typeof value);
function figures(collector, ...lists) {
  const entries = collector && typeof collector === "object" ? Object.entries(collector) : [];
  const clean = Object.fromEntries(entries.filter(([, value]) => plainValue(value)));
  for (const name of lists) {
    const list = Array.isArray(collector?.[name]) ? collector[name].slice(0, 512) : [];
    clean[name] = list.filter((item) => item && typeof item === "object").map((item) => figures(item));
  }
  return clean;
}

function showCard({ data, card }) {
  const { metrics } = data;
  const cpu = figures(metrics.cpu), memory = figures(metrics.memory), disk = figures(metrics.disk, "disks"), agent = figures(metrics.agent);
  const network = figures(metrics.network, "interfaces"), system = figures(metrics.system, "temperatures");
  card.node.classList.toggle("offline", !data.online);
  card.node.dataset.id = data.id;
  card.node.dataset.online = data.online;
  put(card.name, data.name || data.id);
  card.name.title = data.name || data.id;
  put(card.country, code(data.country));
  card.country.hidden = !code(data.country);
  card.country.title = data.location;
  const platform = system.platform && `${system.platform} ${system.platform_version ?? ""}`.trim();
  const about = [data.location, platform, cpu.cores && `${cpu.cores} ${cpu.cores > 1 ? "cores" : "core"}`, memory.total && bytes(memory.total)]
    .filter(Boolean).join(" · ");
  card.aboutText = about;
  if (card.about.title !== about) card.about.title = about;
  showState(data, card);

  card.bars.begin();
  showBar(card.bars, "CPU", cpu.percent, cpu.model ?? "");
  showBar(card.bars, "Memory", memory.used_percent, `${bytes(memory.used)} of ${bytes(memory.total)}`);
  if (memory.swap_total > 0) showBar(card.bars, "Swap", memory.swap_used_percent, `${bytes(memory.swap_used)} of ${bytes(memory.swap_total)}`);
  showBar(card.bars, "Disk", disk.used_percent, `${bytes(disk.used)} of ${bytes(disk.total)}`);
  card.bars.end();
  showCores(card, metrics.cpu?.per_core);

  card.facts.begin();
  if (data.owner) showFact(card.facts, "Owner", data.owner);
  if (network.rx_speed !== undefined) showFact(card.facts, "Network", `↓ ${speed(network.rx_speed)}`, `↑ ${speed(network.tx_speed)}`);
  if (cpu.load1 !== undefined) showFact(card.facts, "Load", ...[cpu.load1, cpu.load5, cpu.load15].map((n) => Number(n).toFixed(2)));
  if (system.uptime !== undefined) showFact(card.facts, "Up", span(system.uptime));
  if (agent.stuck) showFact(card.facts, "Stuck", agent.stuck);
  card.facts.end();

  card.more.begin();
  showDetails(card, "System", [["Host name", system.hostname], ["Processor", cpu.model], ["Kernel", system.kernel], ["Architecture", system.arch],
    ["Virtualization", system.virtualization], ["Agent", agent.version]].filter(([, text]) => text).map(([k, v]) => [k, String(v)]), false);
  showDetails(card, "Disks", disk.disks.map((d) => [String(d.path),
    `${percent(d.used_percent)} of ${bytes(d.total)}` + (d.read_speed === undefined ? "" : ` · read ${speed(d.read_speed)} · write ${speed(d.write_speed)}`)]), false);
  showDetails(card, "Interfaces", network.interfaces.map((n) => [String(n.name),
    `↓ ${speed(n.rx_speed)} (${bytes(n.rx_bytes)})  ↑ ${speed(n.tx_speed)} (${bytes(n.tx_bytes)})`]), false);
  showDetails(card, "Temperatures", system.temperatures.map((t) => [String(t.name), `${Number(t.celsius).toFixed(1)} °C`]), false);
  for (const [collector, values] of Object.entries(metrics))
    if (!known.has(collector) && values && typeof values === "object")
      showDetails(card, words(collector), Object.entries(values).map(([k, v]) => [words(k), plain(v)]), true);
  card.more.end();
}

function showState(data, card) {
  card.node.classList.toggle("never", !data.lastSeen);
  put(card.state, data.online ? "online" : data.lastSeen ? "offline" : "never seen");
  put(card.about, data.online ? card.aboutText || " " : data.lastSeen ? `Last seen ${span((Date.now() - data.lastSeen) / 1000)} ago`
    : "Waiting for its first sign of life");
}

// ---- all cards ----

const order = (a, b) => a.group.localeCompare(b.group) || (a.name || a.id).localeCompare(b.name || b.id) || a.id.localeCompare(b.id);
const sections = new Map(); // group → { section, title, grid }

// Puts the cards where they belong; moves only what is in the wrong place.
function arrange() {
  const wanted = page.search.value.trim().toLowerCase();
  const list = [...machines.values()].sort((a, b) => order(a.data, b.data));
  const shown = list.filter(({ data }) => !wanted || `${data.name} ${data.id} ${data.group} ${data.location} ${data.owner}`.toLowerCase().includes(wanted));
  const places = new Map();
  for (const machine of shown) {
    const group = machine.data.group;
    if (!sections.has(group)) {
      const section = document.createElement("section");
      const head = element("h2", "", section), title = element("span", "", head), tally = element("span", "tally", head);
      const grid = element("div", "grid", section);
      title.dir = "auto";
      title.textContent = group || "Machines";
      sections.set(group, { section, grid, tally });
    }
    if (!places.has(group)) places.set(group, []);
    places.get(group).push(machine.card.node);
  }
  for (const [group, { section }] of sections)
    if (!places.has(group)) {
      section.remove();
      sections.delete(group);
    }
  place(page.groups, [...places.keys()].map((group) => sections.get(group).section));
  for (const [group, nodes] of places) place(sections.get(group).grid, nodes);
  page.empty.hidden = shown.length > 0 || page.link.dataset.state === "connecting";
  put(page.empty, list.length === 0 ? "No machines yet. Start muster-agent on one, and it appears here." : "No machine matches the search.");
  count();
}
function place(parent, nodes) {
  nodes.forEach((node, i) => {
    if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
  });
  while (parent.childElementCount > nodes.length) parent.lastElementChild.remove();
}
function count() {
  const all = [...machines.values()], tallies = new Map();
  const online = all.filter(({ data }) => data.online).length;
  for (const { data } of all) {
    const tally = tallies.get(data.group) ?? { online: 0, all: 0 };
    tallies.set(data.group, { online: tally.online + (data.online ? 1 : 0), all: tally.all + 1 });
  }
  for (const [group, { tally }] of sections) put(tally, tallies.has(group) ? `${tallies.get(group).online} of ${tallies.get(group).all} online` : "");
  put(page.summary, all.length ? `${online} of ${all.length} online` : "");
  const title = online < all.length ? `${all.length - online} offline · Muster` : "Muster";
  if (document.title !== title) document.title = title;
}

function take(data) {
  let machine = machines.get(data.key);
  const moved = !machine || order(machine.data, data) !== 0;
  const turned = machine && machine.data.online !== data.online;
  if (!machine) machines.set(data.key, (machine = { card: makeCard() }));
  machine.data = data;
  machine.seen = true;
  showCard(machine);
  if (moved && settled) arrange();
  else if (turned) count();
}

// ---- the channel ----

let settled = false; // the first list is complete
let attempt = 0;

function state(name, text) {
  page.link.dataset.state = name;
  put(page.link, text);
  document.body.classList.toggle("stale", name === "lost");
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const token = new URLSearchParams(location.search).get("token");
  const query = token ? `?token=${encodeURIComponent(token)}` : "";
  const socket = new WebSocket(`${scheme}//${location.host}/api/console/live${query}`);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "hello") {
      settled = false;
      for (const machine of machines.values()) machine.seen = false;
    } else if (message.type === "machine") {
      take(message);
    } else if (message.type === "gone") {
      machines.delete(message.key);
      if (settled) arrange();
    } else if (message.type === "ready") {
      for (const [key, machine] of machines) if (!machine.seen) machines.delete(key);
      settled = true;
      attempt = 0;
      state("live", "Live");
      arrange();
    }
  };
  socket.onclose = () => {
    state("lost", "Connection lost, reconnecting…");
    const wait = Math.min(10000, 500 * 1.6 ** attempt++);
    setTimeout(connect, wait * (0.8 + Math.random() * 0.4));
  };
}

page.search.addEventListener("input", arrange);
setInterval(() => { for (const { data, card } of machines.values()) if (!data.online) showState(data, card); }, 5000);
connect();
