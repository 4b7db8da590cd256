// SPDX-License-Identifier: ISC
// One chart. It is drawn by uPlot, only while it is on the screen; what it shows now, or below the pointer, stands beside its title as text.
import type { Signal } from "@preact/signals";
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { bytes, dash, dateTime, degrees, duration, number, percent, speed, time } from "../../format";
import { lang } from "../../text";
import { isDark } from "../../theme";
import { byteSteps, COLOURS, FARTHEST, scaleEnd, timeSteps, type ChartSpec, type Unit } from "./charts";
import { lonely, type History } from "./history";
import { t, wordOr } from "./words";

export type Range = readonly [number, number];

export interface ChartProps {
  readonly spec: ChartSpec;
  readonly history: History;
  /** Counts up when the history changed. */
  readonly version: Signal<number>;
  readonly range: Signal<Range>;
  readonly onZoom: (range: Range | null) => void;
  /** One of very many: not begun before it comes near the screen. */
  readonly lazy?: boolean;
}

export function shown(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return dash;
  switch (unit) {
    case "%": return percent(value);
    case "B": return bytes(value);
    case "B/s": return speed(value);
    case "°C": return degrees(value);
    case "s": return duration(value);
    default: return number(value);
  }
}

/** Marks are short: no fraction that says nothing. */
function mark(value: number, unit: Unit): string {
  if (unit === "%") return `${number(value)} %`;
  if (unit === "°C") return `${number(value)}°`;
  if (unit === "B" || unit === "B/s") return shown(value, unit).replace(".0 ", " ");
  return shown(value, unit);
}

function timeMarks(_: uPlot, marks: number[], _axis: number, _space: number, step: number): string[] {
  const locale = lang.peek() === "zh" ? "zh-CN" : "en-GB";
  const format = new Intl.DateTimeFormat(locale, step >= 86400 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}) });
  return marks.map((at) => format.format(at * 1000));
}

/** Charts grow with the texts: on a wall, marks are read from as far away as the rest. */
const scale = (): number => Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 15);
const heightOf = (element: HTMLElement): number => Math.round(parseFloat(getComputedStyle(element).height));

function options({ spec, range, onZoom }: ChartProps, box: HTMLElement, style: CSSStyleDeclaration, at: Signal<number | null>): uPlot.Options {
  const by = scale();
  const font = `${Math.round(12 * by)}px system-ui, sans-serif`;
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const soft = colour("--soft");
  const line = colour("--line");
  const sizes = spec.unit === "B" || spec.unit === "B/s";
  const grid = { stroke: line, width: 1 };
  return {
    width: box.clientWidth,
    height: heightOf(box),
    legend: { show: false },
    padding: [10 * by, 22 * by, 0, 0], // half a mark above and to the right
    cursor: {
      sync: { key: "machine", scales: ["x", null] },
      y: false, // a time is pointed at, not a value
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
      bind: { dblclick: () => () => { onZoom(null); return null; } },
    },
    scales: {
      x: { time: true, range: () => [...range.peek()] as [number, number] },
      y: { range: (_, low, high) => [Math.max(-FARTHEST, Math.min(0, low ?? 0)), scaleEnd(spec.max, high ?? 0)] },
    },
    axes: [
      { stroke: soft, grid, ticks: { show: false }, values: timeMarks, size: 28 * by, space: 64 * by, font },
      {
        stroke: soft, grid, ticks: { show: false }, size: 74 * by, space: 34 * by, font,
        values: (_, marks) => marks.map((value) => mark(value, spec.unit)), ...(sizes ? { incrs: byteSteps } : spec.unit === "s" ? { incrs: timeSteps } : {}),
      },
    ],
    series: [
      {},
      ...spec.lines.map((entry, i) => {
        const stroke = colour(`--c${(i % COLOURS) + 1}`);
        return { label: entry.name, stroke, width: 1.6 * by, points: { show: true, size: 5, fill: stroke, filter: (u: uPlot, series: number) => lonely(u.data[series] as (number | null | undefined)[]) }, spanGaps: false, ...(spec.lines.length <= 2 ? { fill: `${stroke}1f` } : {}) };
      }),
    ],
    hooks: {
      setCursor: [(u) => { at.value = u.data[0][u.cursor.idx ?? -1] ?? null; }],
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          onZoom([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

export function Chart(props: ChartProps) {
  const { spec, history, version, range } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const at = useSignal<number | null>(null); // the time below the pointer: rows are others whenever the past was loaded
  const near = useSignal(false);
  const [begun, begin] = useState(!props.lazy);
  const lines = spec.lines.map((entry) => entry.name).join("\n");
  const current = useRef(props);
  current.current = props;

  const data = (): uPlot.AlignedData => {
    const [from, to] = range.peek();
    return history.drawn(current.current.spec.lines.map((entry) => entry.name), to - from, box.current?.clientWidth ?? 0);
  };

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = (entries: IntersectionObserverEntry[]) => {
      near.value = entries.some((e) => e.isIntersecting);
      if (near.value) begin(true);
    };
    const seen = new IntersectionObserver(look, { rootMargin: "200px" });
    seen.observe(element);
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: heightOf(element) }));
    sizes.observe(element);
    return () => {
      seen.disconnect();
      sizes.disconnect();
    };
  }, []);

  // Colours and texts are in the picture: another theme or language is another picture. So are other lines.
  const dark = isDark();
  const language = lang.value;
  useEffect(() => {
    const element = box.current;
    if (!element || !begun) return;
    plot.current = new uPlot(options(current.current, element, getComputedStyle(document.documentElement), at), data(), element);
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [dark, language, lines, spec.unit, begun]);

  useSignalEffect(() => {
    version.value;
    const [from, to] = range.value;
    if (!near.value || !plot.current) return;
    plot.current.setData(data(), false);
    plot.current.setScale("x", { min: from, max: to });
  });

  const values = useComputed(() => {
    version.value;
    const pointed = at.value;
    return current.current.spec.lines.map((entry) => history.value(entry.name, pointed));
  }).value;
  const leftOut = useComputed(() => {
    version.value;
    return current.current.spec.lines.filter((entry) => history.isLeftOut(entry.name)).length;
  }).value;
  // Below the pointer the legend's values are of another time than now: it says of which.
  const pointed = at.value;
  const [from, to] = range.peek();
  const title = `${wordOr(spec.title, spec.word)}${spec.part ? ` ${spec.part.join("–")}` : ""}`;
  const texts = spec.lines.map((entry, i) => `${wordOr(entry.label, entry.word)} ${shown(values[i], spec.unit)}`);

  return (
    <figure class="panel chart" data-chart={spec.id}>
      <figcaption>
        <div class="chart-title">
          <h3 title={title}>
            <bdi>{title}</bdi>
          </h3>
          {pointed !== null && <span class="soft small num at">{to - from > 43_200 ? dateTime(pointed * 1000) : time(pointed * 1000)}</span>}
        </div>
        <ul class={`legend ${spec.lines.length > 4 ? "many" : ""} ${spec.unit === "B/s" ? "wide" : ""}`}>
          {spec.lines.map((entry, i) => (
            <li key={entry.name} class={`c${(i % COLOURS) + 1}`} title={texts[i]}>
              {<bdi>{wordOr(entry.label, entry.word)}</bdi>}
              <span class="value">{shown(values[i], spec.unit)}</span>
            </li>
          ))}
        </ul>
        {leftOut > 0 && <p class="soft small left-out">{leftOut === spec.lines.length ? t("notKept", { n: leftOut }) : t("partlyKept", { n: leftOut })}</p>}
      </figcaption>
      <div ref={box} class="plot" role="img" aria-label={`${title}: ${texts.join(", ")}`} />
    </figure>
  );
}
