// SPDX-License-Identifier: ISC
// What is loaded, how it does, and with which options.
import "./plugins.css";
import { useState } from "preact/hooks";
import { get } from "../../api";
import { count } from "../../format";
import type { PageProps } from "../../routes";
import { site } from "../../site";
import { Empty, ErrorBox, Loading, Name, useAsked } from "../../ui";
import { finds, visible } from "../parts/logic";
import { Badge, NothingFound, PageHead, Search, Stale, Tabs, type Tone } from "../parts/parts";
import { usePolled } from "../parts/poll";
import { t as parts } from "../parts/words";
import { filtered, instancesOf, micros, sectionsOf, total, type Entries, type Instance, type Option } from "./logic";
import { t } from "./words";

const tones: Readonly<Record<string, Tone>> = { running: "ok", failed: "bad", stopping: "warn", stuck: "bad" };
function State({ state }: { state: string }) {
  const known = state === "running" || state === "failed" || state === "stopping" || state === "stuck";
  return <Badge tone={tones[state] ?? "plain"}>{known ? t(state) : state}</Badge>;
}

function Services({ label, list }: { label: string; list: readonly string[] }) {
  if (list.length === 0) return null;
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {list.map((name) => (
          <code key={name} class="chip">
            {name}
          </code>
        ))}
      </dd>
    </div>
  );
}

function Fact({ label, text }: { label: string; text: string }) {
  if (!text) return null;
  return (
    <div>
      <dt>{label}</dt>
      <dd class="wrap">{text}</dd>
    </div>
  );
}

function Details({ instance }: { instance: Instance }) {
  return (
    <div class="details">
      {instance.state === "failed" && <p class="wrong-text">{t("failedHint")}</p>}
      {instance.state === "stuck" && <p class="wrong-text">{t("stuckHint")}</p>}
      <dl class="facts-list">
        <Services label={t("provides")} list={instance.provides} />
        <Services label={t("needs")} list={instance.needs} />
        <Services label={t("wants")} list={instance.wants} />
        <Fact label={t("kind")} text={instance.kind} />
        <Fact label={t("licence")} text={instance.licence} />
        <Fact label={t("file")} text={instance.file} />
      </dl>
      <div class="detail-tables">
        {instance.callbacks.length === 0 ? (
          instance.state !== "failed" && <p class="soft small">{t("noCalls")}</p>
        ) : (
          <div class="table-wrap">
            <table>
              <thead>
                <tr>
                  <th>{t("callback")}</th>
                  <th class="r">{t("calls")}</th>
                  <th class="r">{t("errors")}</th>
                  <th class="r">{t("mean")}</th>
                  <th class="r">
                    <abbr title={t("p99Hint")}>{t("p99")}</abbr>
                  </th>
                  <th class="r">{t("max")}</th>
                </tr>
              </thead>
              <tbody>
                {instance.callbacks.map((c) => (
                  <tr key={c.name}>
                    <td>{c.name}</td>
                    <td class="r">{count(c.calls)}</td>
                    <td class={`r ${c.errors > 0 ? "wrong-text" : ""}`}>{count(c.errors)}</td>
                    <td class="r">{micros(c.calls > 0 ? (c.totalMs * 1000) / c.calls : null)}</td>
                    <td class="r">{micros(c.p99)}</td>
                    <td class="r">{micros(c.max)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {instance.counters.length > 0 && (
          <div class="table-wrap">
            <table>
              <thead>
                <tr>
                  <th>{t("counter")}</th>
                  <th class="r">{t("value")}</th>
                </tr>
              </thead>
              <tbody>
                {instance.counters.map(([name, value]) => (
                  <tr key={name}>
                    <td class="wrap">{name}</td>
                    <td class="r">{count(value)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </div>
  );
}

function Plugin({ instance }: { instance: Instance }) {
  const [open, setOpen] = useState(instance.state === "failed" || instance.state === "stuck");
  const sums = total(instance);
  return (
    <li class={`panel plugin ${instance.state}`}>
      <button type="button" class="row" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="what">
          <span class="person">
            <span class="arrow" aria-hidden="true">
              ▸
            </span>
            <b>
              <Name text={instance.plugin} />
            </b>
            {instance.instance !== instance.plugin && <Name class="soft small" text={t("instance", { name: instance.instance })} />}
            <span class="soft small num">{instance.version}</span>
          </span>
          <span class="soft small summary">{instance.summary}</span>
        </span>
        <span class="figures num" hidden={instance.state === "failed"}>
          <span>
            <span class="soft small">{t("calls")}</span> {count(sums.calls)}
          </span>
          <span title={t("p99AllHint")}>
            <span class="soft small">{t("p99")}</span> {micros(sums.p99)}
          </span>
          <span class={sums.errors > 0 ? "wrong-text" : ""}>
            <span class="soft small">{t("errors")}</span> {count(sums.errors)}
          </span>
        </span>
        <State state={instance.state} />
      </button>
      {open && <Details instance={instance} />}
    </li>
  );
}

function Loaded() {
  const { data, error, reload } = usePolled(async () => {
    const instances = instancesOf(await get("/api/console/plugins"));
    if (!instances) throw new Error(parts("unreadable"));
    return instances;
  }, 5000, []);
  const [search, setSearch] = useState("");
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  if (data.length === 0) return <Empty title={t("none")} />;
  const found = data.filter((i) => finds(search, i.instance, i.plugin, i.summary, i.state, i.kind, i.provides.join(" ")));
  const failed = data.filter((i) => i.state === "failed").length;
  return (
    <>
      <div class="panel-head">
        <span class="soft">
          {site.value.version && `${t("server", { version: site.value.version })} · `}
          {t("lead", { n: data.length })}
          {failed > 0 && <span class="wrong-text"> · {t("failing", { n: failed })}</span>}
        </span>
        <Search value={search} onInput={setSearch} label={t("search")} />
      </div>
      <Stale error={error} />
      {found.length === 0 ? (
        <NothingFound onClear={() => setSearch("")} />
      ) : (
        <ul class="plugins">
          {found.map((instance) => (
            <Plugin key={instance.instance} instance={instance} />
          ))}
        </ul>
      )}
    </>
  );
}

function Value({ option }: { option: Option }) {
  switch (option.kind) {
    case "secret":
      return <Badge tone="warn">{t("secret")}</Badge>;
    case "unset":
      return <span class="soft">{t("unset")}</span>;
    case "empty":
      return <span class="soft">{t("empty")}</span>;
    default:
      return <code>{visible(option.value)}</code>;
  }
}

function Options({ list }: { list: readonly Option[] }) {
  return (
    <dl class="options">
      {list.map((option) => (
        <div key={option.path}>
          <dt>
            <code>{option.path}</code>
          </dt>
          <dd>
            <Value option={option} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A list of groups: each of its entries is one row, and says only what is set. */
function List({ list }: { list: Entries }) {
  const [shown, setShown] = useState(20);
  const more = list.entries.length - shown;
  return (
    <div class="list">
      <h3>
        <code>{list.path}</code> <span class="soft small num">{t("entry", { n: list.entries.length })}</span>
      </h3>
      <ul class="entries" aria-label={list.path}>
        {list.entries.slice(0, shown).map(({ path, options }) => (
          <li key={path}>
            {options.length === 0 ? (
              <span class="soft small">{t("allUnset")}</span>
            ) : (
              <dl>
                {options.map((option) => (
                  <div key={option.path}>
                    <dt>{option.path || path}</dt>
                    <dd>
                      <Value option={option} />
                    </dd>
                  </div>
                ))}
              </dl>
            )}
          </li>
        ))}
      </ul>
      {more > 0 && (
        <div class="buttons">
          <button type="button" onClick={() => setShown(shown + 100)}>
            {parts("more", { n: Math.min(100, more) })}
          </button>
        </div>
      )}
    </div>
  );
}

function Config() {
  const { data, error, reload } = useAsked(async () => sectionsOf(await get("/api/console/config")), []);
  const [search, setSearch] = useState("");
  const [unset, setUnset] = useState(false);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const sections = data.map((section) => ({ section, ...filtered(section, search, unset) })).filter(({ options, lists }) => !search.trim() || options.length + lists.length > 0);
  return (
    <>
      <p class="soft">{t("configLead")}</p>
      <div class="panel-head">
        <label class="check small">
          <input type="checkbox" checked={unset} onChange={(e) => setUnset(e.currentTarget.checked)} />
          {t("showUnset")}
        </label>
        <Search value={search} onInput={setSearch} label={t("searchConfig")} />
      </div>
      {sections.length === 0 && <NothingFound onClear={() => setSearch("")} />}
      {sections.map(({ section, options, lists }) => (
        <section class="panel config" key={section.name} aria-label={section.name || t("program")}>
          <h2>
            <Name text={section.name || t("program")} />
            {section.name !== section.plugin && <span class="soft small"> {section.plugin}</span>}
          </h2>
          {options.length + lists.length === 0 && <p class="soft small">{t(Object.keys(section.config ?? {}).length > 0 ? "allUnset" : "noOptions")}</p>}
          {options.length > 0 && <Options list={options} />}
          {lists.map((list) => (
            <List key={list.path} list={list} />
          ))}
        </section>
      ))}
    </>
  );
}

export default function PluginsPage({ params }: PageProps) {
  const config = params["tab"] === "config";
  return (
    <div class="page" id="plugins">
      <PageHead title={t("title")} />
      <Tabs label={t("title")} at={config ? "/plugins/config" : "/plugins"} items={[{ to: "/plugins", text: t("loaded") }, { to: "/plugins/config", text: t("config") }]} />
      {config ? <Config /> : <Loaded />}
    </div>
  );
}
