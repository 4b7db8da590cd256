// SPDX-License-Identifier: ISC
import { now } from "../../clock";
import { othersOf, summary, type Summary } from "../../figures";
import { ago, bytes, count, loads, percent, span, speed } from "../../format";
import { Flag } from "../../flags";
import { titleOf, type Machine, type Row } from "../../machines";
import { href } from "../../router";
import { Beside, Meter } from "../../ui";
import { diskUsed, usedOf } from "../../used";
import { t } from "./words";

export const machineHref = (machine: Machine): string => href(`/machine/${encodeURIComponent(machine.id)}`, { key: machine.key });
export const stateClass = (machine: Machine): string => (machine.online ? "" : machine.lastSeen ? "offline" : "never");
export const stateText = (machine: Machine): string => t(machine.online ? "online" : machine.lastSeen ? "offline" : "never");

const about = (machine: Machine, s: Summary): readonly string[] =>
  [machine.location, s.platform, s.cores ? t("cores", { n: count(s.cores) }) : "", s.memoryTotal ? bytes(s.memoryTotal) : ""].filter(Boolean);

/** "↓ 1.2 MiB/s", the arrow in words for those who do not see it. */
export function Speed({ way, value }: { way: "rx" | "tx"; value: number | undefined }) {
  return (
    <span class="speed">
      <span aria-hidden="true">{way === "rx" ? "↓" : "↑"}</span> <span class="hidden">{t(way === "rx" ? "received" : "sent")} </span>
      {speed(value)}
    </span>
  );
}

export function Card({ row }: { row: Row }) {
  const machine = row.data.value;
  const s = summary(machine.metrics);
  const facts = about(machine, s);
  const bare = [s.cpu, s.memory, s.swap, s.disk].every((share) => share === undefined);
  const others = bare ? othersOf(machine.metrics) : 0;
  return (
    <article class={`card ${stateClass(machine)}`} data-id={machine.id} data-online={String(machine.online)}>
      <header>
        <span class="dot" aria-hidden="true" />
        <h3>
          <a href={machineHref(machine)} title={titleOf(machine)}>
            <bdi class="name">{titleOf(machine)}</bdi>
          </a>
        </h3>
        <span class="state">{stateText(machine)}</span>
        <Flag country={machine.country} title={machine.location} />
      </header>
      <p class="about" title={facts.join(" · ")}>
        {facts.length > 0 ? <Beside list={facts} /> : "\u00a0"}
      </p>
      <div class={s.swap === undefined && !s.stuck ? "bars" : "bars four"}>
        {s.cpu !== undefined && <Meter label={t("cpu")} value={s.cpu} text={percent(s.cpu)} title={loads(s.load)} />}
        {s.memory !== undefined && <Meter label={t("memory")} value={s.memory} text={percent(s.memory)} title={usedOf(s.memoryUsed, s.memoryTotal)} />}
        {s.swap !== undefined && <Meter label={t("swap")} value={s.swap} text={percent(s.swap)} title={usedOf(s.swapUsed, s.swapTotal)} />}
        {s.disk !== undefined && <Meter label={t("disk")} value={s.disk} text={percent(s.disk)} title={diskUsed(s)} />}
        {others > 0 && <p class="soft">{t("others", { n: others })}</p>}
        {!machine.lastSeen && !machine.online && <p class="soft">{t("waiting")}</p>}
      </div>
      <dl class="facts">
        {(s.rx !== undefined || s.tx !== undefined) && (
          <>
            <dt>{t("network")}</dt>
            <dd class="net">
              <Speed way="rx" value={s.rx} />
              <Speed way="tx" value={s.tx} />
            </dd>
          </>
        )}
        {machine.online
          ? s.uptime !== undefined && !s.stuck && (
              <>
                <dt>{t("up")}</dt>
                <dd>{span(s.uptime)}</dd>
              </>
            )
          : machine.lastSeen > 0 && (
              <>
                <dt>{t("lastSeen")}</dt>
                <dd class="seen">{ago(machine.lastSeen, now.value)}</dd>
              </>
            )}
        {s.stuck && (
          <>
            <dt>{t("stuck")}</dt>
            <dd class="cut" title={s.stuck}>{s.stuck}</dd>
          </>
        )}
        {machine.owner && (
          <>
            <dt>{t("owner")}</dt>
            <dd class="cut" title={machine.owner}>
              <bdi>{machine.owner}</bdi>
            </dd>
          </>
        )}
      </dl>
    </article>
  );
}
