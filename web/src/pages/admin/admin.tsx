// SPDX-License-Identifier: ISC
// What administrators do: users, invite codes, the log of bans.
import "./admin.css";
import { useRef, useState } from "preact/hooks";
import { base, get, post } from "../../api";
import { count } from "../../format";
import { skew } from "../../live";
import { go, href } from "../../router";
import type { PageProps } from "../../routes";
import { user as me } from "../../session";
import { site } from "../../site";
import { CopyText, Dialog, Empty, ErrorBox, Field, Loading, Name, useAsked } from "../../ui";
import { t as frame } from "../../words";
import { finds, lengthOf, visible } from "../parts/logic";
import { Act, Badge, NothingFound, PageHead, Search, Stale, Tabs, useAction, When } from "../parts/parts";
import { t as parts } from "../parts/words";
import { LogPage } from "./log";
import { codesOf, codeState, expiry, isBanned, registerLink, usersOf, type Code, type User } from "./logic";
import { t } from "./words";

const tabs = () => [
  { to: "/admin", text: t("users") },
  { to: "/admin/codes", text: t("codes") },
  { to: "/admin/log", text: t("log") },
];

/** Asks for a reason and does it; a reason may be left out. */
export function WithReason(props: { title: string; text: string; action: string; hint: string; danger?: boolean; work: (reason: string | null) => Promise<unknown>; said: string; onChanged: () => void; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const act = useAction();
  const tooLong = lengthOf(reason.trim()) > 255;
  return (
    <Act title={props.title} action={props.action} danger={props.danger ?? true} act={act} disabled={tooLong} work={() => props.work(reason.trim() || null)} said={props.said} onChanged={props.onChanged} onClose={props.onClose}>
      <p>{props.text}</p>
      <Field label={t("reason")} value={reason} autoFocus autocomplete="off" onInput={(e) => setReason(e.currentTarget.value)} hint={props.hint} error={tooLong ? t("reasonTooLong") : undefined} />
    </Act>
  );
}

export function Sure(props: { title: string; text: string; action: string; work: () => Promise<unknown>; said: string; onChanged: () => void; onClose: () => void }) {
  const act = useAction();
  return (
    <Act title={props.title} action={props.action} act={act} work={props.work} said={props.said} onChanged={props.onChanged} onClose={props.onClose}>
      <p>{props.text}</p>
    </Act>
  );
}

function UserRow({ user, onBan, onUnban }: { user: User; onBan: () => void; onUnban: () => void }) {
  const banned = isBanned(user);
  return (
    <tr>
      <td>
        <span class="person">
          <Name text={user.username} />
          {user.is_admin && <Badge tone="ok">{t("admin")}</Badge>}
        </span>
        <span class="under">
          <Name text={user.email} />
        </span>
      </td>
      <td data-label={t("state")}>
        <span>
          <Badge tone={banned ? "bad" : "plain"}>{t(banned ? "banned" : "active")}</Badge>
          {banned && (
            <bdi class="under why name" title={user.banned_reason ?? ""}>
              {user.banned_reason ? visible(user.banned_reason) : t("noReason")}
            </bdi>
          )}
        </span>
      </td>
      <td class="soft" data-label={t("since")}>
        <When at={user.created_at} />
      </td>
      <td class="r" data-label={t("endpoints")}>
        {site.value.pages.relay ? (
          <a class="figure" href={href(`/admin/user/${encodeURIComponent(user.id)}`)} aria-label={t("endpointsOf", { name: user.username })}>
            {count(user.endpoint_count)}
          </a>
        ) : (
          count(user.endpoint_count)
        )}
      </td>
      <td class="do">
        {user.id === me.value?.id ? (
          <span class="soft small">{t("you")}</span>
        ) : banned ? (
          <button type="button" onClick={onUnban} aria-label={`${t("unban")}: ${user.username}`}>
            {t("unban")}
          </button>
        ) : (
          <button type="button" onClick={onBan} aria-label={`${t("ban")}: ${user.username}`}>
            {t("ban")}
          </button>
        )}
      </td>
    </tr>
  );
}

function Users() {
  const { data, error, reload } = useAsked(async () => usersOf(await get("/api/admin/users")), []);
  const [search, setSearch] = useState("");
  const [shown, setShown] = useState(100);
  const [banning, setBanning] = useState<User | null>(null);
  const [freeing, setFreeing] = useState<User | null>(null);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const found = data.filter((user) => finds(search, user.username, user.email, user.banned_reason, user.id));
  return (
    <>
      <Stale error={error} />
      <section class="panel" id="users" aria-label={t("users")}>
        <div class="panel-head">
          <span class="soft num">{found.length < data.length ? parts("shownOf", { shown: count(found.length), all: count(data.length) }) : t("summary", { n: count(data.length) })}</span>
          <Search value={search} onInput={setSearch} label={t("search")} />
        </div>
        {found.length === 0 ? (
          <NothingFound onClear={() => setSearch("")} />
        ) : (
          <table class="stack">
            <thead>
              <tr>
                <th>{t("user")}</th>
                <th>{t("state")}</th>
                <th>{t("since")}</th>
                <th class="r">{t("endpoints")}</th>
                <th>
                  <span class="hidden">{t("actions")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, shown).map((user) => (
                <UserRow key={user.id} user={user} onBan={() => setBanning(user)} onUnban={() => setFreeing(user)} />
              ))}
            </tbody>
          </table>
        )}
        {found.length > shown && (
          <div class="buttons">
            <button type="button" onClick={() => setShown(shown + 200)}>
              {parts("more", { n: Math.min(200, found.length - shown) })}
            </button>
          </div>
        )}
      </section>
      {banning && (
        <WithReason
          title={t("banTitle", { name: banning.username })}
          text={t("banText")}
          action={t("ban")}
          hint={t("reasonHint")}
          work={(reason) => post(`/api/admin/users/${encodeURIComponent(banning.id)}/ban`, { reason })}
          said={t("bannedDone", { name: banning.username })}
          onChanged={reload}
          onClose={() => setBanning(null)}
        />
      )}
      {freeing && (
        <Sure
          title={t("unbanTitle", { name: freeing.username })}
          text={t("unbanText")}
          action={t("unban")}
          work={() => post(`/api/admin/users/${encodeURIComponent(freeing.id)}/unban`, {})}
          said={t("unbannedDone", { name: freeing.username })}
          onChanged={reload}
          onClose={() => setFreeing(null)}
        />
      )}
    </>
  );
}

const terms = () => [
  { days: 7, text: t("week") },
  { days: 1, text: t("oneDay") },
  { days: 30, text: t("month") },
  { days: 0, text: t("forever") },
];

function MakeCode({ onMade, onChanged, onClose }: { onMade: (code: string) => void; onChanged: () => void; onClose: () => void }) {
  const [days, setDays] = useState(7);
  const act = useAction();
  const fresh = useRef("");
  const work = async () => {
    const expires = expiry(days, Date.now() + skew.peek());
    const made = await post<{ code?: string }>("/api/admin/invite-codes", expires === undefined ? {} : { expires_at: expires });
    if (typeof made?.code !== "string") throw new Error(parts("unreadable"));
    fresh.current = made.code;
  };
  return (
    <Act title={t("makeCode")} action={t("makeCode")} act={act} work={work} late={t("madeLate")} onChanged={onChanged} onDone={() => onMade(fresh.current)} onClose={onClose}>
      <div class="field">
        <label for="valid">{t("validFor")}</label>
        <select id="valid" value={days} onChange={(e) => setDays(Number(e.currentTarget.value))}>
          {terms().map((term) => (
            <option key={term.days} value={term.days}>
              {term.text}
            </option>
          ))}
        </select>
      </div>
    </Act>
  );
}

function CodeRow({ code, now }: { code: Code; now: number }) {
  const state = codeState(code, now);
  return (
    <tr class={state === "free" ? "" : "spent"}>
      <td>{state === "free" ? <CopyText text={code.code} label={t("code")} /> : <code>{code.code}</code>}</td>
      <td data-label={t("state")}>
        {state === "used" ? (
          <span class="person">
            <Badge>{t("usedBy")}</Badge> <Name text={code.used_by_username ?? code.used_by ?? ""} />
          </span>
        ) : (
          <Badge tone={state === "free" ? "ok" : "plain"}>{t(state)}</Badge>
        )}
      </td>
      <td class="soft" data-label={t("expires")}>
        {code.expires_at ? <When at={code.expires_at} absolute /> : t("never")}
      </td>
      <td class="soft" data-label={t("made")}>
        <span>
          <When at={code.created_at} />
          <span class="under">
            <Name text={code.created_by_username ?? "–"} />
          </span>
        </span>
      </td>
    </tr>
  );
}

function Codes() {
  const { data, error, reload } = useAsked(async () => codesOf(await get("/api/admin/invite-codes")), []);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState("");
  const [onlyFree, setOnlyFree] = useState(false);
  const [shown, setShown] = useState(100);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const now = Date.now() + skew.value;
  const codes = onlyFree ? data.filter((code) => codeState(code, now) === "free") : data;
  return (
    <>
      <Stale error={error} />
      <section class="panel" id="codes" aria-label={t("codes")}>
        <div class="panel-head">
          <label class="check">
            <input type="checkbox" checked={onlyFree} onChange={(e) => setOnlyFree(e.currentTarget.checked)} />
            {t("onlyFree")}
          </label>
          <button type="button" class="main" onClick={() => setMaking(true)}>
            {t("makeCode")}
          </button>
        </div>
        {codes.length === 0 ? (
          <Empty title={t(data.length > 0 ? "noUnused" : "noCodes")}>
            <p>{t("noCodesHint")}</p>
          </Empty>
        ) : (
          <table class="stack">
            <thead>
              <tr>
                <th>{t("code")}</th>
                <th>{t("state")}</th>
                <th>{t("expires")}</th>
                <th>{t("made")}</th>
              </tr>
            </thead>
            <tbody>
              {codes.slice(0, shown).map((code) => (
                <CodeRow key={code.id} code={code} now={now} />
              ))}
            </tbody>
          </table>
        )}
        {codes.length > shown && (
          <div class="buttons">
            <button type="button" onClick={() => setShown(shown + 200)}>
              {parts("more", { n: Math.min(200, codes.length - shown) })}
            </button>
          </div>
        )}
      </section>
      {making && <MakeCode onMade={setMade} onChanged={reload} onClose={() => setMaking(false)} />}
      {made && (
        <Dialog title={t("newCode")} onClose={() => setMade("")}>
          <CopyText text={made} label={t("code")} />
          <p class="soft">{t("newCodeHint")}</p>
          <CopyText text={registerLink(base(), made)} label={t("link")} />
          <div class="buttons">
            <button type="button" onClick={() => setMade("")}>
              {frame("close")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

export default function AdminPage({ params, query }: PageProps) {
  const tab = params["tab"] ?? "";
  const at = tab === "codes" || tab === "log" ? `/admin/${tab}` : "/admin";
  return (
    <div class="page" id="admin">
      <PageHead title={t("title")} />
      <Tabs label={t("title")} items={tabs()} at={at} />
      {tab === "codes" ? <Codes /> : tab === "log" ? <LogPage query={query} onQuery={(next) => go("/admin/log", { query: next, replace: true })} /> : <Users />}
    </div>
  );
}
