// SPDX-License-Identifier: ISC
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, call } from "../../api";
import { go, href } from "../../router";
import type { PageProps } from "../../routes";
import { farewell, session, signedIn, type Session } from "../../session";
import { site, siteKnown } from "../../site";
import { PasswordField } from "../../password";
import { Empty, errorText, Field } from "../../ui";
import { t as frame } from "../../words";
import { isOneTime, readLogin, returnPath } from "./logic";
import { t } from "./words";

export default function LoginPage({ query }: PageProps) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [stay, setStay] = useState(false);
  const [busy, setBusy] = useState(false);
  const [tried, setTried] = useState(false);
  const [wrong, setWrong] = useState("");
  const form = useRef<HTMLFormElement>(null);
  const to = returnPath(query.get("to"));

  // Who is signed in has no business here; that may happen in another tab as well.
  const mine = useRef(false);
  const somebody = session.value !== null;
  useEffect(() => {
    if (somebody && !mine.current) go(to, { replace: true });
  }, [somebody]);

  useEffect(() => {
    if (somebody) return;
    const soon = setTimeout(() => form.current?.querySelector("input")?.focus()); // after the frame, which takes the focus for a new page
    return () => clearTimeout(soon);
  }, []);

  if (siteKnown.value && !site.value.login)
    return (
      <Empty page title={t("nobody")}>
        <p>{t("nobodyHint", { plugin: site.value.missing["accounts"] ?? "auth_accounts" })}</p>
      </Empty>
    );

  const submit = async (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (busy) return;
    if (!name.trim() || !password) return form.current?.querySelector<HTMLInputElement>(name.trim() ? "[name=password]" : "[name=username]")?.focus();
    setBusy(true);
    setWrong("");
    try {
      const answer = await call("/api/auth/login", { method: "POST", body: { username: name.trim(), password }, quiet401: true });
      const made: Session | null = readLogin(answer);
      if (!made) throw new Error(t("odd"));
      mine.current = true; // where to go from here is known below
      signedIn(made, stay);
      if (isOneTime(answer)) go("/account", { query: { first: "1" }, replace: true });
      else if (form.current) go(to, { replace: true }); // who has gone elsewhere meanwhile stays there
    } catch (error) {
      setWrong(error instanceof ApiError && error.status === 401 ? t("wrong") : errorText(error));
      setPassword("");
      form.current?.querySelector<HTMLInputElement>("[name=password]")?.focus();
    } finally {
      setBusy(false);
    }
  };

  return (
    <form class="panel narrow" id="login" ref={form} onSubmit={submit} noValidate>
      <h1>{t("title")}</h1>
      {farewell.value && !wrong && <p role="status">{t(farewell.value)}</p>}
      {wrong && (
        <p class="wrong-text" role="alert">
          {wrong}
        </p>
      )}
      <Field label={t("user")} name="username" autocomplete="username" autocapitalize="none" spellcheck={false} value={name} onInput={(e) => setName(e.currentTarget.value)} error={tried && !name.trim() ? frame("required") : undefined} />
      <PasswordField label={t("password")} name="password" autocomplete="current-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} error={tried && !password && !wrong && !busy ? frame("required") : undefined} />
      <label class="check">
        <input type="checkbox" name="stay" checked={stay} onChange={(e) => setStay(e.currentTarget.checked)} />
        {t("stay")}
      </label>
      <button type="submit" class="main" disabled={busy} aria-busy={busy}>
        {t("submit")}
      </button>
      {site.value.pages.accounts && (
        <p class="small register">
          <a href={href("/register")}>{frame("register")}</a>
        </p>
      )}
    </form>
  );
}
