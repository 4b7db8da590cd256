// SPDX-License-Identifier: ISC
// A key for a machine, and what to do with it there.
import "./add.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { base } from "../../api";
import { machines, titleOf } from "../../machines";
import { href } from "../../router";
import { user } from "../../session";
import { site } from "../../site";
import { CopyText, Field, Name, notify } from "../../ui";
import { makeKey } from "../keys/api";
import { t as keys } from "../keys/words";
import { fieldError, inText, lengthOf } from "../parts/logic";
import { Failure, Once, PageHead, useAction } from "../parts/parts";
import { machineHref } from "../status/card";
import { agentUrl, arrived, identity, joinLines, ownHost } from "./logic";
import { t } from "./words";

/** The machine that the key is for, as soon as it reports. */
function Arrival({ keyName }: { keyName: string }) {
  // Who was online when the key was made, or at the first word of the channel, when there was none yet.
  const before = useRef<ReadonlySet<string> | null>(null);
  const [known, setKnown] = useState<string | null>(null); // by what it is: the channel's key is another one after a restart of the server
  const list = machines.order.value.map((row) => row.data.peek());
  void machines.online.value; // one that is known comes back without a new row
  if (!before.current && machines.settled.value) before.current = new Set(list.filter((m) => m.online).map(identity));
  const come = before.current && user.value ? arrived(list, before.current, user.value, keyName) : undefined;
  const found = come && identity(come);
  useEffect(() => {
    if (found && !known) setKnown(found);
  }, [found]);
  const row = known ? machines.order.value.find((each) => identity(each.data.peek()) === known) : undefined;
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
  const own = ownHost(url);
  // The form is gone, and the focus with it.
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus(), []);
  return (
    <section class="panel" id="lines" aria-label={t("step2")}>
      <h2 ref={title} tabIndex={-1}>
        {t("step2")}
      </h2>
      <Once />
      {own !== null && <p class="wrong-text small">{t("local", { host: own })}</p>}
      {own === null && url.startsWith("ws:") && <p class="wrong-text small">{t("insecure")}</p>}
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
  const field = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (secret) return;
    const soon = setTimeout(() => field.current?.querySelector("input")?.focus()); // after the frame, which takes the focus for a new page
    return () => clearTimeout(soon);
  }, [secret]);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!name.trim() || tooLong) return;
    await act.run(async () => {
      const { key } = await makeKey(name.trim());
      if (act.isGone()) notify(keys("madeLate", { name: inText(name.trim()) }));
      else setSecret(key);
    });
  };
  return (
    <div class="page slim" id="add">
      <PageHead title={t("title")} lead={t("lead")} />
      {secret ? (
        <>
          <Lines secret={secret} />
          <Arrival keyName={name.trim()} />
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
        <form class="panel" ref={field} onSubmit={submit} noValidate>
          <h2>{t("step1")}</h2>
          <Field label={t("name")} name="machine" value={name} autocomplete="off" onInput={(e) => setName(e.currentTarget.value)} hint={t("nameHint")} error={tooLong ? t("nameTooLong") : fieldError(act.error, "name")} />
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
