// SPDX-License-Identifier: ISC
// An account for who has an invite code. An administrator's link brings the code along, behind the "#".
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../../api";
import { go, href } from "../../router";
import type { PageProps } from "../../routes";
import { PasswordField } from "../../password";
import { session } from "../../session";
import { Empty, Field, notify } from "../../ui";
import { t as frame } from "../../words";
import { fieldError } from "../parts/logic";
import { Failure, showWrong, useAction } from "../parts/parts";
import { isEmail, strong } from "./logic";
import { t } from "./words";

export default function RegisterPage({ query }: PageProps) {
  const [code, setCode] = useState(query.get("code") ?? "");
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [tried, setTried] = useState(false);
  const act = useAction();
  const form = useRef<HTMLFormElement>(null);
  // Straight to what is to be filled in first: a link brings the code along. After the frame, which takes the focus for a new page.
  useEffect(() => {
    const first = setTimeout(() => form.current?.querySelector<HTMLInputElement>(code ? "[name=username]" : "[name=code]")?.focus());
    return () => clearTimeout(first);
  }, []);
  const wrong = {
    code: code.trim() ? undefined : frame("required"),
    name: /^[A-Za-z0-9_]{3,30}$/.test(name.trim()) ? undefined : t("nameWrong"),
    email: isEmail(email.trim()) ? undefined : t("emailWrong"),
    password: strong(password) ? undefined : t("tooWeak"),
  };
  if (session.value)
    return (
      <Empty page title={t("haveAccount")}>
        <p>
          <a href={href("/account")}>{t("title")}</a>
        </p>
      </Empty>
    );
  const submit = async (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (Object.values(wrong).some(Boolean)) return showWrong(form.current);
    const body = { inviteCode: code.trim(), username: name.trim(), email: email.trim(), password };
    if (await act.run(() => call("/api/auth/register", { method: "POST", body, quiet401: true }))) {
      notify(t("registered"));
      if (!act.isGone()) go("/login", { replace: true });
    }
  };
  const error = (field: keyof typeof wrong, ...names: string[]): string | undefined => (tried ? wrong[field] : undefined) ?? fieldError(act.error, ...names);
  return (
    <form class="panel narrow" id="register" ref={form} onSubmit={submit} noValidate>
      <h1>{t("register")}</h1>
      <p class="soft small">{t("registerHint")}</p>
      <Field label={t("inviteCode")} name="code" autocomplete="off" autocapitalize="none" spellcheck={false} value={code} onInput={(e) => setCode(e.currentTarget.value)} error={error("code", "inviteCode")} />
      <Field label={t("userName")} name="username" autocomplete="username" autocapitalize="none" spellcheck={false} value={name} onInput={(e) => setName(e.currentTarget.value)} hint={t("userNameHint")} error={error("name", "username")} />
      <Field label={t("email")} name="email" type="email" autocomplete="email" value={email} onInput={(e) => setEmail(e.currentTarget.value)} error={error("email", "email")} />
      <PasswordField label={t("passwordLabel")} name="password" autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} hint={t("newHint")} error={error("password", "password")} />
      <Failure error={act.error} fields={["inviteCode", "username", "email", "password"]} />
      <div class="buttons">
        <button type="submit" class="main" disabled={act.busy} aria-busy={act.busy}>
          {t("register")}
        </button>
      </div>
    </form>
  );
}
