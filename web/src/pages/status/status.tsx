// SPDX-License-Identifier: ISC
// All machines, by group. A value that changes draws its own machine again and nothing else.
import { computed, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { link } from "../../live";
import { machines, matches, titleOf, type Machine, type Row } from "../../machines";
import { site } from "../../site";
import { remember, remembered } from "../../stored";
import { Empty } from "../../ui";
import { Card } from "./card";
import { List } from "./list";
import "./status.css";
import { NotYet } from "./notyet";
import { parts, whole, type Part, type Shape } from "./window";
import { t } from "./words";

type View = "cards" | "list";
type Filter = "all" | "online" | "offline";

const search = signal("");
const filter = signal<Filter>("all");
const chosenView = signal(remembered("view") as View | null);

/** From here on a list is easier to read than cards, unless somebody chose. */
const narrow = matchMedia("(max-width: 40rem)");
const many = (): number => (narrow.matches ? 12 : 60);
/** From here on only what is near the screen is drawn. */
const WINDOWED = 200;

const view = computed<View>(() => (chosenView.value === "cards" || chosenView.value === "list" ? chosenView.value : machines.order.value.length > many() ? "list" : "cards"));

export interface Group {
  readonly name: string;
  readonly rows: readonly Row[];
}

const groups = computed<readonly Group[]>(() => {
  const wanted = search.value;
  const state = filter.value;
  if (state !== "all") machines.turns.value; // to be told
  const list: { name: string; rows: Row[] }[] = [];
  for (const row of machines.order.value) {
    const machine = row.data.peek();
    if (state !== "all" && machine.online !== (state === "online")) continue;
    if (!matches(machine, wanted)) continue;
    const last = list[list.length - 1];
    if (last?.name === machine.group) last.rows.push(row);
    else list.push({ name: machine.group, rows: [row] });
  }
  return list;
});

/** How many of a group are online; all its machines count, shown or not. */
const tallies = computed(() => {
  machines.turns.value;
  const counted = new Map<string, { online: number; all: number }>();
  for (const row of machines.order.value) {
    const machine = row.data.peek();
    const tally = counted.get(machine.group) ?? { online: 0, all: 0 };
    tally.all++;
    if (machine.online) tally.online++;
    counted.set(machine.group, tally);
  }
  return counted;
});

export function Tally({ group }: { group: string }) {
  const tally = tallies.value.get(group);
  if (!tally) return null;
  return <span class={`tally ${tally.online < tally.all ? "some" : ""}`}>{t("tally", tally)}</span>;
}

function Bar() {
  const all = machines.order.value.length;
  const online = machines.online.value;
  const choices: readonly [Filter, string][] = [["all", t("all", { n: all })], ["online", t("onlineN", { n: online })], ["offline", t("offlineN", { n: all - online })]];
  return (
    <div class="bar-top">
      <h1 class="hidden">{t("heading")}</h1>
      <input id="search" type="search" autocomplete="off" spellcheck={false} placeholder={t("searchShort")} aria-label={t("search")} value={search.value} onInput={(e) => (search.value = e.currentTarget.value)} />
      <div class="segments" role="group" aria-label={t("filter")}>
        {choices.map(([value, text]) => (
          <button key={value} type="button" data-filter={value} class={value === "offline" && all > online ? "alert" : ""} aria-pressed={filter.value === value} onClick={() => (filter.value = value)}>
            {text}
          </button>
        ))}
      </div>
      <div class="segments views" role="group" aria-label={t("view")}>
        {(["cards", "list"] as const).map((value) => (
          <button key={value} type="button" data-view={value} aria-pressed={view.value === value} onClick={() => { chosenView.value = value; remember("view", value); }}>
            {t(value)}
          </button>
        ))}
      </div>
    </div>
  );
}

/** Machines that turn are told to screen readers: at most once in two seconds, and not one by one when many turn. */
function Turns() {
  const [text, setText] = useState("");
  useEffect(() => {
    let turned: Machine[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hear = (machine: Machine, _at: number, old: Machine | null) => {
      if (!old || old.online === machine.online || link.peek() !== "live") return;
      turned.push(machine);
      timer ??= setTimeout(() => {
        timer = undefined;
        setText(turned.length > 3 ? t("several", { n: turned.length }) : turned.map((m) => t(m.online ? "cameOnline" : "wentOffline", { name: titleOf(m) })).join(", "));
        turned = [];
      }, 2000);
    };
    machines.listeners.add(hear);
    return () => {
      machines.listeners.delete(hear);
      clearTimeout(timer);
    };
  }, []);
  return (
    <p class="hidden" role="status">
      {text}
    </p>
  );
}

/** Somebody owns one of the machines. */
export const owned = computed(() => machines.order.value.some((row) => row.data.peek().owner !== ""));

/** Cards are of one height, which has room for what any of them has; but where all are drawn, one that has nothing yet takes no room for it. */
function Cards({ list, shown }: { list: readonly Group[]; shown: readonly Part[] }) {
  const all = list.every((group, i) => shown[i]!.from === 0 && shown[i]!.to === group.rows.length);
  const kind = `grid ${owned.value ? "tall" : ""} ${all ? "loose" : ""}`;
  return (
    <>
      {list.map((group, i) => {
        const part = shown[i]!;
        return (
          <section key={group.name} aria-label={group.name || t("ungrouped")}>
            <h2 class="group">
              <bdi title={group.name}>{group.name || t("ungrouped")}</bdi>
              <Tally group={group.name} />
            </h2>
            {part.before > 0 && <div style={{ height: `${part.before}px` }} />}
            <div class={kind}>
              {group.rows.slice(part.from, part.to).map((row) => (
                <Card key={row.key} row={row} />
              ))}
            </div>
            {part.behind > 0 && <div style={{ height: `${part.behind}px` }} />}
          </section>
        );
      })}
    </>
  );
}

/** What the list looks like at this width, read off the first things in it. */
function measured(box: HTMLElement, kind: View): Shape | null {
  const head = box.querySelector<HTMLElement>(kind === "cards" ? "h2.group" : "tr.group");
  const item = box.querySelector<HTMLElement>(kind === "cards" ? ".card" : "tr.card");
  if (!head || !item) return null;
  if (kind === "list") return { head: head.offsetHeight, item: item.offsetHeight, gap: 0, columns: 1, after: 0 };
  const grid = getComputedStyle(item.parentElement!);
  const style = getComputedStyle(head);
  return {
    head: head.offsetHeight + parseFloat(style.marginTop) + parseFloat(style.marginBottom),
    item: item.offsetHeight,
    gap: parseFloat(grid.rowGap) || 0,
    columns: grid.gridTemplateColumns.split(" ").length,
    after: 0,
  };
}

const same = (a: Shape, b: Shape): boolean => (Object.keys(a) as (keyof Shape)[]).every((name) => a[name] === b[name]);

function Groups({ list }: { list: readonly Group[] }) {
  const box = useRef<HTMLDivElement>(null);
  const kind = view.value;
  const total = list.reduce((n, group) => n + group.rows.length, 0);
  const windowed = total > WINDOWED;
  const [shape, setShape] = useState<Shape>({ head: 50, item: 240, gap: 14, columns: 4, after: 0 });
  const [at, setAt] = useState<readonly [number, number]>([0, 2400]);

  useLayoutEffect(() => {
    if (!windowed || !box.current) return;
    const element = box.current;
    let frame = 0;
    const look = () => {
      frame = 0;
      const now = measured(element, kind);
      if (now) setShape((old) => (same(old, now) ? old : now));
      // Steps of a third of a screen: scrolling draws again only now and then.
      const step = Math.max(200, innerHeight / 3);
      const top = Math.floor(-element.getBoundingClientRect().top / step) * step;
      setAt((old) => (old[0] === top - step && old[1] === top + innerHeight + 2 * step ? old : [top - step, top + innerHeight + 2 * step]));
    };
    const soon = () => (frame ||= requestAnimationFrame(look));
    look();
    const sizes = new ResizeObserver(soon);
    sizes.observe(element);
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      sizes.disconnect();
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, [windowed, kind]);

  const counts = list.map((group) => group.rows.length);
  const shown = windowed ? parts(counts, shape, at[0], at[1]) : whole(counts);
  return (
    <div id="groups" ref={box} class={windowed ? "many" : ""}>
      {kind === "cards" ? <Cards list={list} shown={shown} /> : <List list={list} shown={shown} total={total} />}
    </div>
  );
}

export default function StatusPage() {
  const list = groups.value;
  if (!machines.settled.value) return <NotYet />;
  const none = machines.order.value.length === 0;
  return (
    <>
      {!none && <Bar />}
      <Turns />
      {list.length > 0 ? (
        <Groups list={list} />
      ) : none ? (
        <Empty page title={t("noMachines")} id="empty">
          <p>{t("noMachinesHint")}</p>
          {site.value.login && <p>{t("noMachinesPublic")}</p>}
        </Empty>
      ) : (
        <Empty title={t("noMatch")} id="empty">
          {search.value.trim() && filter.value === "all" && <p>{t("noMatchHint", { search: search.value.trim() })}</p>}
          <button type="button" onClick={() => { search.value = ""; filter.value = "all"; document.getElementById("search")?.focus(); }}>
            {t("clear")}
          </button>
        </Empty>
      )}
    </>
  );
}

