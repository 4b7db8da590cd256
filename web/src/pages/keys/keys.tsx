// SPDX-License-Identifier: ISC
// The user's own API keys.
import { useRef, useState } from "preact/hooks";
import { href } from "../../router";
import { CopyText, Dialog, Empty, ErrorBox, Field, Loading, Name, useAsked } from "../../ui";
import { t as frame } from "../../words";
import { fieldError, inText, lengthOf } from "../parts/logic";
import { Act, Once, PageHead, Stale, useAction, When } from "../parts/parts";
import { deleteKey, listKeys, makeKey, type Key } from "./api";
import { t } from "./words";

function Make({ onMade, onChanged, onClose }: { onMade: (key: string) => void; onChanged: () => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const act = useAction();
  const made = useRef("");
  const tooLong = lengthOf(name.trim()) > 100;
  return (
    <Act title={t("make")} action={t("make")} act={act} disabled={!name.trim() || tooLong} fields={["name"]} work={async () => void (made.current = (await makeKey(name.trim())).key)} late={t("madeLate", { name: inText(name.trim()) })} onChanged={onChanged} onDone={() => onMade(made.current)} onClose={onClose}>
      <Field label={t("name")} value={name} autoFocus autocomplete="off" onInput={(e) => setName(e.currentTarget.value)} hint={t("nameHint")} error={tooLong ? t("nameTooLong") : fieldError(act.error, "name")} />
    </Act>
  );
}

function Remove({ entry, onChanged, onClose }: { entry: Key; onChanged: () => void; onClose: () => void }) {
  const act = useAction();
  return (
    <Act title={t("removeTitle", { name: inText(entry.name) })} action={t("remove")} danger act={act} work={() => deleteKey(entry.id)} said={t("removed")} onChanged={onChanged} onClose={onClose}>
      <p>{t("removeText")}</p>
    </Act>
  );
}

export default function KeysPage() {
  const { data, error, reload } = useAsked(listKeys, []);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState("");
  const [leaving, setLeaving] = useState<Key | null>(null);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  return (
    <div class="page slim">
      <PageHead title={t("title")} lead={t("lead")}>
        <button type="button" class="main" onClick={() => setMaking(true)}>
          {t("make")}
        </button>
      </PageHead>
      <Stale error={error} />
      {data.length === 0 ? (
        <Empty title={t("none")}>
          <p>{t("noneHint")}</p>
          <p>
            {t("orMachine")} <a href={href("/add")}>{t("addMachine")}</a>
          </p>
        </Empty>
      ) : (
        <section class="panel" aria-label={t("title")}>
          <table class="stack">
            <thead>
              <tr>
                <th>{t("name")}</th>
                <th>{t("created")}</th>
                <th>{t("used")}</th>
                <th>
                  <span class="hidden">{t("actions")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((entry) => (
                <tr key={entry.id}>
                  <td>
                    <Name text={entry.name} />
                  </td>
                  <td class="soft" data-label={t("created")}>
                    <When at={entry.created_at} />
                  </td>
                  <td class="soft" data-label={t("used")}>
                    <When at={entry.last_used_at} />
                  </td>
                  <td class="do">
                    <button type="button" onClick={() => setLeaving(entry)} aria-label={`${t("remove")}: ${entry.name}`}>
                      {t("remove")}
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {making && <Make onMade={setMade} onChanged={reload} onClose={() => setMaking(false)} />}
      {made && (
        <Dialog title={t("yours")} onClose={() => setMade("")}>
          <Once />
          <CopyText text={made} label={t("yours")} />
          <div class="buttons">
            <button type="button" onClick={() => setMade("")}>
              {frame("close")}
            </button>
          </div>
        </Dialog>
      )}
      {leaving && <Remove entry={leaving} onChanged={reload} onClose={() => setLeaving(null)} />}
    </div>
  );
}
