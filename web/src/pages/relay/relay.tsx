// SPDX-License-Identifier: ISC
// The user's endpoints.
import "./relay.css";
import { useRef, useState } from "preact/hooks";
import { count } from "../../format";
import { go, href } from "../../router";
import { CopyText, Empty, ErrorBox, Field, Loading, Name } from "../../ui";
import { fieldError, inText } from "../parts/logic";
import { Act, Badge, Choice, PageHead, Stale, useAction, When } from "../parts/parts";
import { usePolled } from "../parts/poll";
import { deleteEndpoint, getStats, listEndpoints, makeEndpoint } from "./api";
import { checkHeader, checkName, maxEndpoints, modes, type Endpoint, type Mode, type Stats } from "./logic";
import { t } from "./words";

export const modeOptions = () => modes.map((value) => ({ value, text: t(`mode${value}`), hint: t(`mode${value}Hint`) }));

export function Delete({ endpoint, onClose, onChanged, onDone }: { endpoint: Endpoint; onClose: () => void; onChanged?: () => void; onDone?: () => void }) {
  const act = useAction();
  return (
    <Act title={t("removeTitle", { name: inText(endpoint.name) })} action={t("remove")} danger act={act} work={() => deleteEndpoint(endpoint.id)} said={t("removed")} onChanged={onChanged} onDone={onDone} onClose={onClose}>
      <p>{t("removeText")}</p>
    </Act>
  );
}

function Make({ onChanged, onClose }: { onChanged: () => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const [mode, setMode] = useState<Mode>("DIRECT");
  const [header, setHeader] = useState("");
  const [tried, setTried] = useState(false);
  const act = useAction();
  const made = useRef("");
  const wrongName = checkName(name);
  const wrongHeader = checkHeader(mode, header);
  const work = async () => {
    setTried(true);
    if (wrongName || wrongHeader) return false;
    made.current = (await makeEndpoint({ ...(name.trim() ? { name: name.trim() } : {}), forwarding_mode: mode, ...(mode === "CUSTOM_HEADER" ? { custom_header: header } : {}) })).id;
    return true;
  };
  return (
    <Act title={t("make")} action={t("make")} act={act} disabled={Boolean(wrongName || (tried && wrongHeader))} fields={["name", "custom_header"]} work={work} said={t("made")} onChanged={onChanged} onDone={() => go(`/relay/${made.current}`)} onClose={onClose}>
      <Field label={t("name")} value={name} autocomplete="off" autoFocus onInput={(e) => setName(e.currentTarget.value)} hint={t("nameHint")} error={wrongName ? t(wrongName) : fieldError(act.error, "name")} />
      <Choice legend={t("mode")} value={mode} options={modeOptions()} onChange={setMode} />
      {mode === "CUSTOM_HEADER" && (
        <Field label={t("header")} value={header} autocomplete="off" spellcheck={false} onInput={(e) => setHeader(e.currentTarget.value)} hint={t("headerHint")} error={wrongHeader && (tried || header) ? t(wrongHeader) : fieldError(act.error, "custom_header")} />
      )}
    </Act>
  );
}

function Card({ endpoint, stats, onDelete }: { endpoint: Endpoint; stats: Stats | undefined; onDelete: () => void }) {
  return (
    <article class="panel endpoint" aria-label={endpoint.name}>
      <header>
        <h2>
          <a href={href(`/relay/${endpoint.id}`)}>
            <Name text={endpoint.name} />
          </a>
        </h2>
        {endpoint.is_disabled && (
          <Badge tone="bad" title={endpoint.disabled_reason ?? undefined}>
            {t("disabled")}
          </Badge>
        )}
        <Badge>{t(`mode${endpoint.forwarding_mode}`)}</Badge>
      </header>
      <CopyText text={endpoint.websocket_url} label={t("address")} />
      <p class="soft small num facts">
        <span class={stats && stats.current_connections > 0 ? "lively" : ""}>{stats ? t("summary", { n: count(stats.current_connections) }) : "–"}</span>
        <span>{stats ? t("summaryMessages", { n: count(stats.total_messages) }) : "–"}</span>
        <span>
          {t("lastActive")}: <When at={stats?.last_active_at ?? endpoint.last_active_at} />
        </span>
      </p>
      <div class="buttons">
        <a class="button" href={href(`/relay/${endpoint.id}`)}>
          {t("open")}
        </a>
        <button type="button" class="quiet" onClick={onDelete} aria-label={`${t("remove")}: ${endpoint.name}`}>
          {t("remove")}
        </button>
      </div>
    </article>
  );
}

interface Listed {
  readonly endpoints: readonly Endpoint[];
  readonly stats: ReadonlyMap<string, Stats>;
}

async function all(): Promise<Listed> {
  const endpoints = await listEndpoints();
  const stats = new Map<string, Stats>();
  // Five at most. One that is deleted in between has no figures, and the others have theirs.
  await Promise.all(endpoints.slice(0, 20).map((e) => getStats(e.id).then((s) => void stats.set(e.id, s), () => undefined)));
  return { endpoints, stats };
}

export default function RelayPage() {
  const { data, error, reload } = usePolled(all, 5000, []);
  const [making, setMaking] = useState(false);
  const [leaving, setLeaving] = useState<Endpoint | null>(null);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const { endpoints, stats } = data;
  const full = endpoints.length >= maxEndpoints;
  return (
    <div class="page">
      <PageHead title={t("title")} lead={t("lead")}>
        {full && <span class="soft small">{t("limit", { n: endpoints.length })}</span>}
        <button type="button" class="main" disabled={full} onClick={() => setMaking(true)}>
          {t("make")}
        </button>
      </PageHead>
      <Stale error={error} />
      {endpoints.length === 0 ? (
        <Empty title={t("none")}>
          <p>{t("noneHint")}</p>
        </Empty>
      ) : (
        <div class="endpoints">
          {endpoints.map((endpoint) => (
            <Card key={endpoint.id} endpoint={endpoint} stats={stats.get(endpoint.id)} onDelete={() => setLeaving(endpoint)} />
          ))}
        </div>
      )}
      {making && <Make onChanged={reload} onClose={() => setMaking(false)} />}
      {leaving && <Delete endpoint={leaving} onClose={() => setLeaving(null)} onChanged={reload} />}
    </div>
  );
}
