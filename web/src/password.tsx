// SPDX-License-Identifier: ISC
// A password that can be looked at while it is typed.
import "./password.css";
import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { t } from "./words";

type InputProps = Omit<JSX.IntrinsicElements["input"], "id" | "label" | "type">;

/** As Field, with a button that shows what was typed. */
export function PasswordField({ label, hint, error, ...input }: InputProps & { label: string; hint?: string | undefined; error?: string | undefined }) {
  const id = useId();
  const [shown, setShown] = useState(false);
  return (
    <div class={`field ${error ? "wrong" : ""}`}>
      <label for={id}>{label}</label>
      <div class="password">
        <input {...input} id={id} type={shown ? "text" : "password"} autocapitalize="none" autocorrect="off" spellcheck={false} aria-invalid={error ? "true" : undefined} aria-describedby={error || hint ? `${id}-hint` : undefined} />
        <button type="button" class="quiet icon" aria-pressed={shown} aria-controls={id} aria-label={`${t("showPassword")}: ${label}`} title={t("showPassword")} onClick={() => setShown(!shown)}>
          <svg class="eye" viewBox="0 0 24 24" aria-hidden="true">
            <path d="M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12z" />
            <circle cx="12" cy="12" r="2.8" />
            {shown && <path d="M4 20 20 4" />}
          </svg>
        </button>
      </div>
      {(error || hint) && (
        <p class="hint" id={`${id}-hint`}>
          {error || hint}
        </p>
      )}
    </div>
  );
}
