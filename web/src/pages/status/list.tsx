// SPDX-License-Identifier: ISC
// The list: a line for each machine. Its state, name and figures in columns that do not move.
import { computed, signal } from "@preact/signals";
import { now } from "../../clock";
import { summary } from "../../figures";
import { ago, dash, loads, percent, span, speed } from "../../format";
import { Flag } from "../../flags";
import { titleOf, type Row } from "../../machines";
import { Beside, level } from "../../ui";
import { diskUsed, usedOf } from "../../used";
import { machineHref, stateClass, stateText } from "./card";
import { owned, Tally, type Group } from "./status";
import type { Part } from "./window";
import { t } from "./words";

/** Columns by their number in the whole table, the ones that this width has room for. */
const widths = [matchMedia("(max-width: 40rem)"), matchMedia("(max-width: 62rem)"), matchMedia("(max-width: 75rem)")] as const;
const choose = () => ({ when: !widths[0].matches, wide: !widths[1].matches, owner: !widths[2].matches });
const room = signal(choose());
for (const width of widths) width.addEventListener("change", () => (room.value = choose()));
/** Owners have a column where there is room for it, and somebody owns something. */
const withOwner = computed(() => room.value.owner && owned.value);
const columns = (): number => 4 + (room.value.when ? 1 : 0) + (room.value.wide ? 3 : 0) + (withOwner.value ? 1 : 0);

function Share({ label, value, title }: { label: string; value: number | undefined; title: string }) {
  if (value === undefined) return <td class="share none">{dash}</td>;
  const at = Math.min(100, Math.max(0, value));
  return (
    <td class="share" title={title}>
      <span class={`value ${level(at)}`}>{percent(value)}</span>
      <div class="track" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(at)} aria-valuetext={percent(value)}>
        <div class={`fill ${level(at)}`} style={{ transform: `translateX(${at - 100}%)` }} />
      </div>
    </td>
  );
}

function Line({ row }: { row: Row }) {
  const machine = row.data.value;
  const s = summary(machine.metrics);
  const { when, wide } = room.value;
  const owner = withOwner.value;
  const about = [machine.location, s.platform].filter(Boolean);
  return (
    <tr class={`card ${stateClass(machine)}`} data-id={machine.id} data-online={String(machine.online)}>
      <th scope="row">
        <div class="who-cell">
          <span class="dot" role="img" aria-label={stateText(machine)} title={stateText(machine)} />
          <a href={machineHref(machine)} title={titleOf(machine)}>
            <bdi class="name">{titleOf(machine)}</bdi>
          </a>
          <Flag country={machine.country} title={machine.location} />
          {wide && (
            <span class="name about" title={about.join(" · ")}>
              <Beside list={about} />
            </span>
          )}
        </div>
      </th>
      <Share label={t("cpu")} value={s.cpu} title={loads(s.load)} />
      <Share label={t("memory")} value={s.memory} title={usedOf(s.memoryUsed, s.memoryTotal)} />
      {wide && <Share label={t("swap")} value={s.swap} title={usedOf(s.swapUsed, s.swapTotal)} />}
      <Share label={t("disk")} value={s.disk} title={diskUsed(s)} />
      {wide && <td class="r rate">{speed(s.rx)}</td>}
      {wide && <td class="r rate">{speed(s.tx)}</td>}
      {when && <td class="r when">{machine.online ? span(s.uptime) : machine.lastSeen ? ago(machine.lastSeen, now.value) : stateText(machine)}</td>}
      {owner && (
        <td class="of" title={machine.owner}>
          <bdi class="name">{machine.owner}</bdi>
        </td>
      )}
    </tr>
  );
}

const Space = ({ height }: { height: number }) =>
  height > 0 ? (
    <tr class="space" aria-hidden="true">
      <td colSpan={columns()} style={{ height: `${height}px` }} />
    </tr>
  ) : null;

export function List({ list, shown, total }: { list: readonly Group[]; shown: readonly Part[]; total: number }) {
  const { when, wide } = room.value;
  const owner = withOwner.value;
  return (
    <table class="machines" aria-rowcount={total + list.length + 1}>
      <thead>
        <tr>
          <th scope="col">{t("name")}</th>
          <th scope="col" class="share">{t("cpu")}</th>
          <th scope="col" class="share">{t("memory")}</th>
          {wide && <th scope="col" class="share">{t("swap")}</th>}
          <th scope="col" class="share">{t("disk")}</th>
          {wide && <th scope="col" class="r rate"><span aria-hidden="true">↓ </span>{t("received")}</th>}
          {wide && <th scope="col" class="r rate"><span aria-hidden="true">↑ </span>{t("sent")}</th>}
          {when && <th scope="col" class="r when">{t("uptime")}</th>}
          {owner && <th scope="col" class="of">{t("owner")}</th>}
        </tr>
      </thead>
      {list.map((group, i) => {
        const part = shown[i]!;
        return (
          <tbody key={group.name}>
            <tr class="group">
              <th scope="rowgroup" colSpan={columns()}>
                <h2>
                  <bdi title={group.name}>{group.name || t("ungrouped")}</bdi>
                  <Tally group={group.name} />
                </h2>
              </th>
            </tr>
            <Space height={part.before} />
            {group.rows.slice(part.from, part.to).map((row) => (
              <Line key={row.key} row={row} />
            ))}
            <Space height={part.behind} />
          </tbody>
        );
      })}
    </table>
  );
}
