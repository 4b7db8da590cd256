// SPDX-License-Identifier: ISC
// A key for a machine, and what to do with it there.
import "./add.css";
import { useEffect, useState } from "preact/hooks";
import { base } from "../../api";
import { machines, titleOf } from "../../machines";
import { href } from "../../router";
import { site } from "../../site";
import { CopyText, Field, Name } from "../../ui";
import { makeKey } from "../keys/api";
import { fieldError, inText, lengthOf } from "../parts/logic";
import { Failure, Once, PageHead, useAction } from "../parts/parts";
import { machineHref } from "../status/card";
import { agentUrl, joinLines } from "./logic";
import { t } from "./words";

/** Machines that came, or came back, since the key was made. */
function Arrivals() {
  const [before] = useState(() => new Set(machines.order.peek().filter((row) => row.data.peek().online).map((row) => row.key)));
  const [first, setFirst] = useState<string | null>(null);
  const rows = machines.order.value;
  void machines.online.value; // one that is known comes back without a new row
  const come = rows.filter((row) => !before.has(row.key) && row.data.peek().online);
  const key = come[0]?.key ?? null;
  useEffect(() => {
    if (key && !first) setFirst(key);
  }, [key]);
  const row = first ? machines.get(first) : undefined;
  return (
    <section class="panel" aria-label={t("step3")}>
      {row ? (
        <>
          <p class="arrived" role="status">
            <span class="dot" aria-hidden="true" />
            <Name text={t("here", { name: inText(titleOf(row.data.value)) })} />
          </p>
          <p>
            <a href={machineHref(row.data.value)}>{t("show")}</a>
          </p>
        </>
      ) : (
        <>
          <p class="arrived" role="status">
            <span class="spinner" aria-hidden="true" />
            {t("step3")}
          </p>
          <p class="soft small">{t("stays")}</p>
        </>
      )}
    </section>
  );
}

function Lines({ secret }: { secret: string }) {
  const url = agentUrl(site.value.agentUrl, base());
  const [join, start] = joinLines(secret, url);
  return (
    <section class="panel" id="lines" aria-label={t("step2")}>
      <h2>{t("step2")}</h2>
      <Once />
      {url.startsWith("ws:") && !/^ws:\/\/(localhost|127\.|\[::1\])/.test(url) && <p class="wrong-text small">{t("insecure")}</p>}
      <p class="soft small label">{t("line1")}</p>
      <CopyText text={join} label={t("line1")} />
      <p class="soft small label">{t("line2")}</p>
      <CopyText text={start} label={t("line2")} />
      <p class="soft small">{t("needsAgent")}</p>
      <details>
        <summary>{t("key")}</summary>
        <CopyText text={secret} label={t("key")} />
      </details>
    </section>
  );
}

export default function AddPage() {
  const [name, setName] = useState("");
  const [secret, setSecret] = useState("");
  const act = useAction();
  const tooLong = lengthOf(name.trim()) > 100;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (name.trim() && !tooLong) await act.run(async () => setSecret((await makeKey(name.trim())).key));
  };
  return (
    <div class="page slim" id="add">
      <PageHead title={t("title")} lead={t("lead")} />
      {secret ? (
        <>
          <Lines secret={secret} />
          <Arrivals />
          <div class="buttons">
            <button type="button" onClick={() => { setSecret(""); setName(""); }}>
              {t("another")}
            </button>
            <a class="button" href={href("/keys")}>
              {t("toKeys")}
            </a>
          </div>
        </>
      ) : (
        <form class="panel" onSubmit={submit} noValidate>
          <h2>{t("step1")}</h2>
          <Field label={t("name")} name="machine" value={name} autoFocus autocomplete="off" onInput={(e) => setName(e.currentTarget.value)} hint={t("nameHint")} error={tooLong ? t("nameTooLong") : fieldError(act.error, "name")} />
          <Failure error={act.error} fields={["name"]} />
          <div class="buttons">
            <button type="submit" class="main" disabled={act.busy || !name.trim() || tooLong} aria-busy={act.busy}>
              {t("make")}
            </button>
          </div>
        </form>
      )}
    </div>
  );
}
