// SPDX-License-Identifier: ISC
// Where the operator wants a token of who does not sign in.
import { useState } from "preact/hooks";
import { hurry } from "../../live";
import { pageToken, setPageToken } from "../../session";
import { Field } from "../../ui";
import { t } from "./words";

export function TokenForm() {
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
