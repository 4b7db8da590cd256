// SPDX-License-Identifier: ISC
// What stands where machines will be: they are on their way, or a token is wanted of who does not sign in, or nobody is let in.
import { useState } from "preact/hooks";
import { hurry, link } from "../../live";
import { pageToken, setPageToken } from "../../session";
import { site } from "../../site";
import { Empty, Field, Loading } from "../../ui";
import { t } from "./words";

function TokenForm() {
  const [token, setToken] = useState("");
  const [stay, setStay] = useState(false);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!token) return;
    if (token === pageToken.peek()) hurry(); // the same again: it may be right by now
    setPageToken(token, stay);
  };
  return (
    <form class="panel narrow" onSubmit={submit}>
      <h1>{t("token")}</h1>
      {pageToken.value && (
        <p class="wrong-text" role="alert">
          {t("tokenWrong")}
        </p>
      )}
      <Field label={t("tokenLabel")} hint={t("tokenHint")} type="password" name="token" autocomplete="off" value={token} onInput={(e) => setToken(e.currentTarget.value)} />
      <label class="check">
        <input type="checkbox" checked={stay} onChange={(e) => setStay(e.currentTarget.checked)} />
        {t("tokenStay")}
      </label>
      <button type="submit" class="main">
        {t("tokenSend")}
      </button>
    </form>
  );
}

export function NotYet() {
  if (link.value !== "refused") return <Loading />;
  if (site.value.status === "token") return <TokenForm />;
  return (
    <Empty page title={t("refused")}>
      <p>{t("refusedHint")}</p>
    </Empty>
  );
}
