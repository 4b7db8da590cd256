// SPDX-License-Identifier: ISC
// One machine: charts from the moment of opening, and every figure that it reports.
import { batch, signal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call } from "../../api";
import { now } from "../../clock";
import { details, summary, type Details, type Summary } from "../../figures";
import { Flag } from "../../flags";
import { ago, bytes, dash, dateTime, degrees, firm, loads, percent, plain, span, speed, words } from "../../format";
import { onLive, skew } from "../../live";
import { machines, titleOf, type Machine, type Row } from "../../machines";
import { cameFrom } from "../../returning";
import { href, parsePlace } from "../../router";
import type { PageProps } from "../../routes";
import { user } from "../../session";
import { site, siteKnown } from "../../site";
import { remember, remembered } from "../../stored";
import { Beside, Empty, level, Name } from "../../ui";
import { useTitle } from "../../title";
import { diskUsed, usedOf } from "../../used";
import { NotYet } from "../status/notyet";
import { Chart, type Range } from "./chart";
import { allowed, charts, spans, zoomed, type ChartSpec } from "./charts";
import { flatten, History, parsePast } from "./history";
import { rightOf } from "./row";
import "./machine.css";
import { t, type Word } from "./words";

const seconds = (): number => (Date.now() + skew.peek()) / 1000;

/** By its key while the server runs; by its id after a restart, or from a bookmark. */
function rowOf(id: string, key: string | null): Row | null {
  const rows = machines.order.value;
  const byKey = key === null ? undefined : machines.get(key);
  if (byKey && byKey.data.peek().id === id) return byKey;
  return rightOf(rows.filter((row) => row.data.peek().id === id), (row) => row.data.peek().owner, user.value) ?? null;
}

// ---- past and present of the open machine ----

const POINTS = 900;
/** So often the server is asked again while a chart is followed: its means take the place of many live points. */
const AGAIN_MS = 5 * 60_000;

interface Recorder {
  readonly history: History;
  readonly version: Signal<number>;
  readonly range: Signal<Range>;
  readonly failed: Signal<boolean>;
  readonly retention: Signal<number>;
}

function useRecorder(key: string, span: number, zoom: Range | null): Recorder {
  const recorder = useMemo<Recorder>(() => ({ history: new History(), version: signal(0), range: signal([seconds() - span, seconds()]), failed: signal(false), retention: signal(0) }), [key]);
  const { history, version, range, failed, retention } = recorder;

  // Live points, from the first moment on.
  const changed = useRef(false);
  useEffect(() => {
    const take = (machine: Machine, at: number) => {
      if (machine.key !== key || !machine.online) return;
      const every = Number((machine.metrics["agent"] as { interval?: unknown } | undefined)?.interval) || 0;
      history.add(at > 0 ? at / 1000 : seconds(), flatten(machine.metrics), Math.max(15, 3.5 * every));
      changed.current = true;
    };
    const known = machines.get(key)?.data.peek();
    if (known?.online) take(known, 0);
    machines.listeners.add(take);
    return () => void machines.listeners.delete(take);
  }, [key]);

  // What of it is in sight.
  useEffect(() => {
    const tick = () => {
      // A point whose time is a little ahead of our clock is in sight, too: the scale is that of what is in sight.
      const end = Math.max(seconds(), history.times[history.times.length - 1] ?? 0);
      batch(() => {
        if (zoom === null) range.value = [end - span, end];
        if (changed.current) version.value++;
      });
      changed.current = false;
    };
    range.value = zoom ?? [seconds() - span, seconds()];
    tick();
    const timer = setInterval(tick, span > 3600 ? 5000 : 1000);
    return () => clearInterval(timer);
  }, [key, span, zoom]);

  // The past, for the span that is shown.
  useEffect(() => {
    const stop = new AbortController();
    const load = async () => {
      const [from, to] = zoom ?? [seconds() - span, seconds()];
      try {
        const answer = await call(`/api/console/machines/${encodeURIComponent(key)}/history`, {
          query: { from: Math.floor(from * 1000), to: Math.ceil(to * 1000), points: POINTS },
          signal: stop.signal,
          quiet401: true,
          watching: true,
        });
        if (stop.signal.aborted) return;
        const past = parsePast(answer);
        history.load(past);
        retention.value = past.retention;
        failed.value = false;
        version.value++;
      } catch {
        if (!stop.signal.aborted) failed.value = true;
      }
    };
    void load();
    const timer = setInterval(load, AGAIN_MS);
    const unlink = onLive(() => void load()); // what came meanwhile, or failed
    return () => {
      unlink();
      stop.abort();
      clearInterval(timer);
    };
  }, [key, span, zoom?.[0], zoom?.[1]]);
  return recorder;
}

// ---- parts ----

function spanName(s: number): string {
  if (s < 3600) return t("minutes", { n: s / 60 });
  if (s < 86400) return t("hours", { n: s / 3600 });
  return s < 365 * 86400 ? t("daysN", { n: s / 86400 }) : t("yearsN", { n: s / (365 * 86400) });
}

/** Whoever came from the machines goes back to where they were in them. */
function toMachines(event: MouseEvent): void {
  const from = cameFrom();
  if (from === undefined || parsePlace(from).path !== "/" || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.back();
}

function Head({ machine, s, d }: { machine: Machine; s: Summary; d: Details }) {
  const state = machine.online ? "" : machine.lastSeen ? "offline" : "never";
  const since = machine.online ? (s.uptime !== undefined ? t("up", { span: span(s.uptime) }) : "") : machine.lastSeen ? t("lastSeen", { ago: ago(machine.lastSeen, now.value) }) : "";
  return (
    <header class={`machine-head ${state}`} data-id={machine.id} data-online={String(machine.online)}>
      <p class="back">
        <a href={href("/")} onClick={toMachines}>← {t("back")}</a>
        {machine.group && (
          <span class="soft">
            {" / "}
            <Name text={machine.group} />
          </span>
        )}
      </p>
      <div class="title">
        <span class="dot" aria-hidden="true" />
        <h1>
          <Name text={titleOf(machine)} />
        </h1>
        <Flag country={machine.country} title={machine.location} />
        <span class="state">{t(machine.online ? "online" : machine.lastSeen ? "offline" : "never")}</span>
        <span class="soft">{since}</span>
      </div>
      <p class="soft about">
        <Beside list={[machine.location, s.platform, d.model, s.memoryTotal ? bytes(s.memoryTotal) : ""].filter(Boolean)} />
      </p>
      {!machine.online && machine.lastSeen > 0 && (
        <p class="note" role="status">
          {t("offlineNote", { time: dateTime(machine.lastSeen) })}
        </p>
      )}
    </header>
  );
}

function Tile({ label, value, text, more }: { label: string; value?: number | undefined; text: string; more?: string }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        <span class={`big ${value === undefined ? "" : level(value)}`}>{text}</span>
        {more && <span class="more">{firm(more)}</span>}
        {value !== undefined && (
          <span class="track" aria-hidden="true">
            <span class={`fill ${level(value)}`} style={{ transform: `translateX(${Math.min(100, Math.max(0, value)) - 100}%)` }} />
          </span>
        )}
      </dd>
    </div>
  );
}

function Tiles({ s }: { s: Summary }) {
  return (
    <dl class="tiles">
      {s.cpu !== undefined && <Tile label={t("cpu")} value={s.cpu} text={percent(s.cpu)} more={s.load.length > 0 ? `${t("load")} ${loads(s.load)}` : ""} />}
      {s.memory !== undefined && <Tile label={t("memory")} value={s.memory} text={percent(s.memory)} more={usedOf(s.memoryUsed, s.memoryTotal)} />}
      {s.swap !== undefined && <Tile label={t("swap")} value={s.swap} text={percent(s.swap)} more={usedOf(s.swapUsed, s.swapTotal)} />}
      {s.disk !== undefined && <Tile label={t("disk")} value={s.disk} text={percent(s.disk)} more={diskUsed(s)} />}
      {(s.rx !== undefined || s.tx !== undefined) && (
        <div class="tile">
          <dt>{t("network")}</dt>
          <dd>
            {([["↓", "received", s.rx], ["↑", "sent", s.tx]] as const).map(([sign, word, value]) => (
              <span key={word} class="rate-line" title={t(word)}>
                <span aria-hidden="true">{sign} </span>
                <span class="hidden">{t(word)} </span>
                {speed(value)}
              </span>
            ))}
          </dd>
        </div>
      )}
    </dl>
  );
}

function Cores({ cores }: { cores: readonly number[] }) {
  if (cores.length === 0) return null;
  return (
    <section class="panel">
      <h2>{t("cores")}</h2>
      <p class="soft small">{t("coresNote", { n: cores.length, most: percent(Math.max(...cores)) })}</p>
      <ul class={`cores ${cores.length > 32 ? "many" : ""}`}>
        {cores.map((share, i) => {
          const at = Math.min(100, Math.max(0, share));
          return (
            <li key={i} title={`${t("core", { i })}: ${percent(share)}`} aria-label={`${t("core", { i })}: ${percent(share)}`}>
              <span class={`column ${level(at)}`} style={{ transform: `translateY(${100 - at}%)` }} />
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** A table that may be wider than its place: then it is reached, and moved sideways, by keyboard as well. */
function Wide({ label, children }: { label: string; children: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [wide, setWide] = useState(false);
  useEffect(() => {
    const sizes = new ResizeObserver(() => setWide(box.current!.scrollWidth > box.current!.clientWidth));
    for (const element of [box.current!, box.current!.firstElementChild!]) sizes.observe(element);
    return () => sizes.disconnect();
  }, []);
  return (
    <div ref={box} class="table-wrap" {...(wide ? { tabIndex: 0, role: "region", "aria-label": label } : {})}>
      {children}
    </div>
  );
}

function Disks({ disks }: { disks: Details["disks"] }) {
  if (disks.length === 0) return null;
  return (
    <section class="panel">
      <h2>{t("disks")}</h2>
      <Wide label={t("disks")}>
        <table class="cells">
          <thead>
            <tr>
              <th scope="col">{t("path")}</th>
              <th scope="col">{t("fstype")}</th>
              <th scope="col">{t("used")}</th>
              <th scope="col" class="r">{t("size")}</th>
              <th scope="col" class="r">{t("read")}</th>
              <th scope="col" class="r">{t("write")}</th>
            </tr>
          </thead>
          <tbody>
            {disks.map((disk, i) => (
              <tr key={`${disk.name} ${i}`}>
                <th scope="row" class="cell-name">
                  <Name text={disk.name || disk.device} />
                </th>
                <td class="soft" data-label={t("fstype")}>{disk.fstype || dash}</td>
                <td class="use" data-label={t("used")}>
                  <span class={`value ${level(disk.percent ?? 0)}`}>{percent(disk.percent)}</span>
                  <span class="track" aria-hidden="true">
                    <span class={`fill ${level(disk.percent ?? 0)}`} style={{ transform: `translateX(${Math.min(100, disk.percent ?? 0) - 100}%)` }} />
                  </span>
                </td>
                <td class="r" data-label={t("size")}>{bytes(disk.total)}</td>
                <td class="r" data-label={t("read")}>{speed(disk.read)}</td>
                <td class="r" data-label={t("write")}>{speed(disk.write)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </section>
  );
}

function Interfaces({ list }: { list: Details["interfaces"] }) {
  if (list.length === 0) return null;
  return (
    <section class="panel">
      <h2>{t("interfaces")}</h2>
      <Wide label={t("interfaces")}>
        <table class="cells interfaces">
          <thead>
            <tr>
              <th scope="col">{t("name")}</th>
              <th scope="col" class="r">↓ {t("received")}</th>
              <th scope="col" class="r">↑ {t("sent")}</th>
              <th scope="col" class="r">{t("receivedAll")}</th>
              <th scope="col" class="r">{t("sentAll")}</th>
            </tr>
          </thead>
          <tbody>
            {list.map((one, i) => (
              <tr key={`${one.name} ${i}`}>
                <th scope="row" class="cell-name">
                  <Name text={one.name} />
                </th>
                <td class="r" data-label={`↓ ${t("received")}`}>{speed(one.rx)}</td>
                <td class="r" data-label={`↑ ${t("sent")}`}>{speed(one.tx)}</td>
                <td class="r" data-label={t("receivedAll")}>{bytes(one.rxBytes)}</td>
                <td class="r" data-label={t("sentAll")}>{bytes(one.txBytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </section>
  );
}

function Temperatures({ list }: { list: Details["temperatures"] }) {
  if (list.length === 0) return null;
  return (
    <section class="panel">
      <h2>{t("temperatures")}</h2>
      <dl class="pairs">
        {list.map((one, i) => (
          <div key={`${one.name} ${i}`}>
            <dt>
              <Name text={one.name} />
            </dt>
            <dd>{degrees(one.celsius)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function System({ machine, s, d }: { machine: Machine; s: Summary; d: Details }) {
  const facts: readonly (readonly [string, string])[] = [
    ...d.facts.map(([name, text]) => [t(name as Word), text] as const),
    ...(d.bootTime ? [[t("booted"), dateTime(d.bootTime * 1000)] as const] : []),
    ...(machine.location ? [[t("location"), machine.location] as const] : []),
    ...(machine.owner ? [[t("owner"), machine.owner] as const] : []),
    [t("identity"), machine.id],
    ...(s.stuck ? [[t("stuck"), s.stuck] as const] : []),
  ];
  return (
    <section class="panel">
      <h2>{t("system")}</h2>
      <dl class="pairs facts-of">
        {facts.map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <bdi>{text}</bdi>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** So many values of a collector are shown at once: the others come when they are asked for. */
const MOST_VALUES = 200;

/** What a collector reports that nothing here knows of: its charts, and all its values. */
function Other({ name, values, specs, recorder, onZoom, lazy }: { name: string; values: Readonly<Record<string, unknown>>; specs: readonly ChartSpec[]; recorder: Recorder; onZoom: (range: Range | null) => void; lazy: boolean }) {
  const [all, setAll] = useState(false);
  const list = Object.entries(values);
  const shown = all ? list : list.slice(0, MOST_VALUES);
  return (
    <section class="other" data-collector={name}>
      <h2>
        <Name text={words(name)} />
      </h2>
      <div class="charts">
        {specs.map((spec) => (
          <Chart key={spec.id} spec={spec} {...recorder} onZoom={onZoom} lazy={lazy} />
        ))}
        <div class="panel">
          <dl class="pairs">
            {shown.map(([key, value]) => (
              <div key={key}>
                <dt>
                  <Name text={words(key)} />
                </dt>
                <dd>
                  <bdi>{plain(value)}</bdi>
                </dd>
              </div>
            ))}
          </dl>
          {shown.length < list.length && (
            <button type="button" class="more-values" onClick={() => setAll(true)}>
              {t("moreValues", { n: list.length - shown.length })}
            </button>
          )}
        </div>
      </div>
    </section>
  );
}

// ---- the page ----

interface Specs {
  readonly known: readonly ChartSpec[];
  readonly others: readonly ChartSpec[];
  /** How many more there are of either. */
  readonly moreKnown: number;
  readonly moreOthers: number;
}

/** The charts change when series come or go, not with every value. all: those beyond the usual number, too. */
function useSpecs({ history, version }: Recorder, allKnown: boolean, allOthers: boolean): Specs {
  version.value;
  const names = history.names().map((name) => `${name} ${history.units.get(name) ?? "?"}`).join("\n");
  return useMemo(() => {
    const all = charts(history.names(), history.units, Infinity, Infinity);
    const some = charts(history.names(), history.units, allKnown ? Infinity : undefined, allOthers ? Infinity : undefined);
    const isKnown = (spec: ChartSpec): boolean => spec.of === undefined;
    const known = some.filter(isKnown);
    const moreKnown = all.filter(isKnown).length - known.length;
    return { known, others: some.filter((spec) => !isKnown(spec)), moreKnown, moreOthers: all.length - some.length - moreKnown };
  }, [history, names, allKnown, allOthers]);
}

function MoreCharts({ n, onClick }: { n: number; onClick: () => void }) {
  if (n <= 0) return null;
  return (
    <p class="more-charts">
      <button type="button" onClick={onClick}>
        {t("moreCharts", { n })}
      </button>
    </p>
  );
}

function Open({ row }: { row: Row }) {
  const machine = row.data.value;
  const [wished, setWish] = useState(Number(remembered("span")) || 900);
  const [zoom, setZoom] = useState<Range | null>(null);
  const recorder = useRecorder(row.key, wished, zoom);
  const choices = spans(site.value.pages.history, recorder.retention.value);
  useEffect(() => {
    if (siteKnown.value) setWish(allowed(wished, site.value.pages.history, recorder.retention.value));
  }, [siteKnown.value, site.value.pages.history, wished, recorder.retention.value]);
  const [allKnown, setAllKnown] = useState(false);
  const [allOthers, setAllOthers] = useState(false);
  const { known, others: unknown, moreKnown, moreOthers } = useSpecs(recorder, allKnown, allOthers);
  const none = known.length + unknown.length === 0;
  const s = summary(machine.metrics);
  const d = details(machine.metrics);
  const kept = recorder.retention.value || Math.max(wished, choices[choices.length - 1]!);
  const onZoom = (range: Range | null) => setZoom(range && zoomed(range, {}, seconds(), kept));
  const [from, to] = zoom ?? [seconds() - wished, seconds()];
  const ends = { earlier: from <= seconds() - kept + 1, zoomIn: to - from <= 10, zoomOut: to - from >= kept - 1, later: zoom === null || to >= seconds() - 1 };
  const move = (by: { factor?: number; shift?: number }) => setZoom(zoomed(recorder.range.peek(), by, seconds(), kept));
  useTitle(titleOf(machine));
  const others = new Map(d.others);
  for (const { of } of unknown) if (of !== undefined && !others.has(of)) others.set(of, {}); // only its past is left

  return (
    <div class={`machine ${machine.online ? "" : "offline"}`}>
      <Head machine={machine} s={s} d={d} />
      <Tiles s={s} />
      <h2 class="hidden">{t("charts")}</h2>
      {!none && (
        <div class="tools" role="group" aria-label={t("charts")}>
          <div class="segments" role="group" aria-label={t("span")}>
            {choices.map((value) => (
              <button key={value} type="button" data-span={value} aria-pressed={zoom === null && value === wished} onClick={() => { setWish(value); remember("span", String(value)); setZoom(null); }}>
                {spanName(value)}
              </button>
            ))}
          </div>
          <div class="segments" role="group" aria-label={t("zoom")}>
            {([["earlier", "‹", { shift: -0.5 }], ["zoomIn", "+", { factor: 0.5 }], ["zoomOut", "−", { factor: 2 }], ["later", "›", { shift: 0.5 }]] as const).map(([word, sign, by]) => (
              <button key={word} type="button" data-zoom={word} aria-label={t(word)} title={t(word)} aria-disabled={ends[word]} onClick={() => !ends[word] && move(by)}>
                {sign}
              </button>
            ))}
          </div>
          {zoom ? (
            <button type="button" id="follow" onClick={() => setZoom(null)}>
              {t("follow")}
            </button>
          ) : (
            <span class="soft small hint">{t("zoomHint")}</span>
          )}
        </div>
      )}
      {recorder.failed.value && <p class="soft small">{t("noPast")}</p>}
      {none && <p class="soft">{t("waiting")}</p>}
      {none && !machine.online && !machine.lastSeen && <p class="soft">{t("waitingHint")}</p>}
      <div class="charts">
        {known.map((spec) => (
          <Chart key={spec.id} spec={spec} {...recorder} onZoom={onZoom} lazy={allKnown} />
        ))}
      </div>
      <MoreCharts n={moreKnown} onClick={() => setAllKnown(true)} />
      {[...others].map(([name, values]) => (
        <Other key={name} name={name} values={values} specs={unknown.filter((spec) => spec.of === name)} recorder={recorder} onZoom={onZoom} lazy={allOthers} />
      ))}
      <MoreCharts n={moreOthers} onClick={() => setAllOthers(true)} />
      <div class="tables">
        <Disks disks={d.disks} />
        <Interfaces list={d.interfaces} />
        <Cores cores={d.perCore} />
        <Temperatures list={d.temperatures} />
        <System machine={machine} s={s} d={d} />
      </div>
    </div>
  );
}

export default function MachinePage({ params, query }: PageProps) {
  const row = rowOf(params["id"]!, query.get("key"));
  if (row) return <Open key={row.key} row={row} />;
  if (!machines.settled.value) return <NotYet />;
  return (
    <Empty page title={t("gone")}>
      <p>{t("goneHint")}</p>
      <p>
        <a href={href("/")}>← {t("back")}</a>
      </p>
    </Empty>
  );
}
