// SPDX-License-Identifier: ISC
// How an endpoint forwards, and who may connect to it.
import { useRef, useState } from "preact/hooks";
import { CopyText, Dialog, ErrorBox, Field, Loading, notify, useAsked } from "../../ui";
import { t as frame } from "../../words";
import { fieldError } from "../parts/logic";
import { Act, Area, Choice, Failure, Once, useAction } from "../parts/parts";
import { getAccess, setAccess, setMode } from "./api";
import { checkHeader, parseOrigins, type Access, type AccessRule, type Endpoint, type Mode } from "./logic";
import { modeOptions } from "./relay";
import { t } from "./words";

export function ModeSettings({ endpoint, onSaved }: { endpoint: Endpoint; onSaved: () => void }) {
  // Null: as the server has it, also when somebody else changes it meanwhile.
  const [chosen, setChosen] = useState<Mode | null>(null);
  const [typed, setTyped] = useState<string | null>(null);
  const act = useAction();
  const mode = chosen ?? endpoint.forwarding_mode;
  const header = typed ?? endpoint.custom_header ?? "";
  const wrong = checkHeader(mode, header);
  const changed = mode !== endpoint.forwarding_mode || (mode === "CUSTOM_HEADER" && header !== (endpoint.custom_header ?? ""));
  const submit = async (event: Event) => {
    event.preventDefault();
    if (wrong || !changed) return;
    if (await act.run(() => setMode(endpoint.id, mode, mode === "CUSTOM_HEADER" ? header : undefined))) {
      setChosen(null);
      setTyped(null);
      notify(t("saved"));
      onSaved();
    }
  };
  return (
    <section class="panel" id="mode" aria-label={t("mode")}>
      <form onSubmit={submit} noValidate>
        <Choice legend={t("mode")} value={mode} options={modeOptions()} onChange={setChosen} />
        {mode === "CUSTOM_HEADER" && (
          <Field label={t("header")} value={header} autocomplete="off" spellcheck={false} onInput={(e) => setTyped(e.currentTarget.value)} hint={t("headerHint")} error={wrong && typed !== null ? t(wrong) : fieldError(act.error, "custom_header")} />
        )}
        <Failure error={act.error} fields={["custom_header"]} />
        <div class="buttons save">
          <button type="submit" class={changed ? "main" : ""} disabled={act.busy || !changed || Boolean(wrong)}>
            {t("save")}
          </button>
          <span class="soft small">{t("modeEffect")}</span>
        </div>
      </form>
    </section>
  );
}

function Token({ token, onClose }: { token: string; onClose: () => void }) {
  return (
    <Dialog title={t("tokenTitle")} onClose={onClose}>
      <Once />
      <CopyText text={token} label={t("tokenTitle")} />
      <p class="soft small">{t("tokenHow")}</p>
      <CopyText text={`Authorization: Bearer ${token}`} label={t("tokenHow")} />
      <p class="soft small">{t("tokenPages")}</p>
      <CopyText text={`muster.token.${token}`} label={t("tokenPages")} />
      <div class="buttons">
        <button type="button" onClick={onClose}>
          {frame("close")}
        </button>
      </div>
    </Dialog>
  );
}

function NewToken({ id, onMade, onClose }: { id: string; onMade: (token: string) => void; onClose: () => void }) {
  const act = useAction();
  const made = useRef("");
  const work = async () => void (made.current = (await setAccess(id, { new_token: true })).token ?? "");
  return (
    <Act title={t("newToken")} action={t("newToken")} danger act={act} work={work} late={t("newTokenLate")} onDone={() => onMade(made.current)} onClose={onClose}>
      <p>{t("newTokenText")}</p>
    </Act>
  );
}

function AccessForm({ id, rule, onSaved }: { id: string; rule: AccessRule; onSaved: () => void }) {
  const [access, setChosen] = useState<Access>(rule.access);
  const [text, setText] = useState(rule.allowed_origins.join("\n"));
  const [token, setToken] = useState("");
  const [renewing, setRenewing] = useState(false);
  const act = useAction();
  const { origins, wrong } = parseOrigins(text);
  const changed = access !== rule.access || origins.join("\n") !== rule.allowed_origins.join("\n");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (wrong.length > 0 || !changed) return;
    await act.run(async () => {
      const made = await setAccess(id, { access, allowed_origins: origins });
      if (made.token) setToken(made.token);
      setText(made.allowed_origins.join("\n"));
      notify(t("saved"));
      onSaved();
    });
  };
  return (
    <>
    <form onSubmit={submit} noValidate>
      <Choice legend={t("access")} value={access} options={(["open", "token", "user"] as const).map((value) => ({ value, text: t(`access${value}`), hint: t(`access${value}Hint`) }))} onChange={setChosen} />
      {rule.access === "token" && access === "token" && (
        <p>
          <button type="button" onClick={() => setRenewing(true)}>
            {t("newToken")}
          </button>
        </p>
      )}
      <Area label={t("origins")} value={text} code onInput={setText} hint={t("originsHint")} placeholder="https://example.org" error={wrong.length > 0 ? t("originsWrong", { wrong: wrong.join(" ") }) : fieldError(act.error, "allowed_origins")} />
      <Failure error={act.error} fields={["allowed_origins"]} />
      <div class="buttons save">
        <button type="submit" class={changed ? "main" : ""} disabled={act.busy || !changed || wrong.length > 0}>
          {t("save")}
        </button>
        <span class="soft small">{t("accessEffect")}</span>
      </div>
    </form>
      {token && <Token token={token} onClose={() => setToken("")} />}
      {renewing && <NewToken id={id} onMade={setToken} onClose={() => setRenewing(false)} />}
    </>
  );
}

export function AccessSettings({ id }: { id: string }) {
  const { data, error, reload } = useAsked(() => getAccess(id), [id]);
  return (
    <section class="panel" id="access" aria-label={t("access")}>
      {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
      {data && <AccessForm id={id} rule={data} onSaved={reload} />}
    </section>
  );
}
