// SPDX-License-Identifier: ISC
// Who is signed in: address and password.
import "./account.css";
import { useRef, useState } from "preact/hooks";
import { call, get, put } from "../../api";
import { go, href } from "../../router";
import type { PageProps } from "../../routes";
import { PasswordField } from "../../password";
import { signedIn } from "../../session";
import { remembered } from "../../stored";
import { ErrorBox, Field, Loading, Name, notify, useAsked } from "../../ui";
import { t as frame } from "../../words";
import { readLogin } from "../login/logic";
import { fieldError, member } from "../parts/logic";
import { Badge, Failure, PageHead, showWrong, useAction, When } from "../parts/parts";
import { t as parts } from "../parts/words";
import { checkPasswords, isEmail } from "./logic";
import { t } from "./words";

function Email({ email, onSaved }: { email: string; onSaved: () => void }) {
  const [text, setText] = useState(email);
  const act = useAction();
  const typed = text.trim();
  const changed = typed !== email;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (changed && isEmail(typed) && (await act.run(() => put("/api/auth/profile", { email: typed })))) {
      notify(t("emailSaved"));
      onSaved();
    }
  };
  return (
    <form onSubmit={submit} noValidate>
      <Field label={t("email")} type="email" name="email" autocomplete="email" value={text} onInput={(e) => setText(e.currentTarget.value)} error={changed && typed.includes("@") && !isEmail(typed) ? t("emailWrong") : fieldError(act.error, "email")} />
      <Failure error={act.error} fields={["email"]} />
      {changed && (
        <div class="buttons">
          <button type="submit" class="main" disabled={act.busy || !isEmail(typed)}>
            {t("emailSave")}
          </button>
        </div>
      )}
    </form>
  );
}

function Password({ name }: { name: string }) {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const act = useAction();
  const form = useRef<HTMLFormElement>(null);
  const wrong = checkPasswords(old, fresh, again);
  const submit = async (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (!old || wrong.fresh || wrong.again) return showWrong(form.current);
    const stays = remembered("session") !== null;
    const done = await act.run(async () => {
      // A wrong old password is an error of this form, and ends no session.
      const made = readLogin(await call("/api/auth/password", { method: "PUT", body: { old_password: old, new_password: fresh }, quiet401: true }));
      if (!made) throw new Error(parts("unreadable"));
      signedIn(made, stays);
    });
    if (!done) return;
    setOld("");
    setFresh("");
    setAgain("");
    setTried(false);
    notify(t("changed"));
    if (!act.isGone()) go("/account", { replace: true });
  };
  return (
    <section class="panel" id="password" aria-label={t("password")}>
      <h2>{t("password")}</h2>
      <p class="soft small">{t("passwordHint")}</p>
      <form ref={form} onSubmit={submit} noValidate>
        {/* For who keeps passwords: whose it is. */}
        <input type="text" name="username" autocomplete="username" value={name} readOnly hidden />
        <PasswordField label={t("old")} name="old" autocomplete="current-password" value={old} onInput={(e) => setOld(e.currentTarget.value)} error={tried && !old ? frame("required") : fieldError(act.error, "old_password")} />
        <PasswordField label={t("new")} name="new" autocomplete="new-password" value={fresh} onInput={(e) => setFresh(e.currentTarget.value)} hint={t("newHint")} error={tried && wrong.fresh ? t(wrong.fresh) : fieldError(act.error, "new_password")} />
        <PasswordField label={t("again")} name="again" autocomplete="new-password" value={again} onInput={(e) => setAgain(e.currentTarget.value)} error={(tried || again.length >= fresh.length) && again && wrong.again ? t(wrong.again) : tried && !again ? frame("required") : undefined} />
        <Failure error={act.error} fields={["old_password", "new_password"]} />
        <div class="buttons">
          <button type="submit" class="main" disabled={act.busy} aria-busy={act.busy}>
            {t("change")}
          </button>
        </div>
      </form>
    </section>
  );
}

export default function AccountPage({ query }: PageProps) {
  const { data, error, reload } = useAsked(async () => {
    const user = member(await get("/api/auth/me"), "data", "user");
    const text = (name: string): string => String(member(user, name) ?? "");
    return { id: text("id"), name: text("username"), email: text("email"), admin: member(user, "is_admin") === true, since: text("created_at") };
  }, []);
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  return (
    <div class="page slim" id="account">
      <PageHead title={t("title")}>
        <a class="button" href={href("/keys")}>
          {t("keys")}
        </a>
      </PageHead>
      {query.has("first") && (
        <p class="once" role="status">
          {t("oneTime")}
        </p>
      )}
      <section class="panel" aria-label={t("signedInAs")}>
        <dl class="who-am-i">
          <div>
            <dt>{t("signedInAs")}</dt>
            <dd>
              <Name text={data.name} /> {data.admin && <Badge tone="ok">{t("administrator")}</Badge>}
            </dd>
          </div>
          <div>
            <dt>{t("since")}</dt>
            <dd>
              <When at={data.since} absolute />
            </dd>
          </div>
        </dl>
        <Email key={data.email} email={data.email} onSaved={reload} />
      </section>
      <Password name={data.name} />
    </div>
  );
}
