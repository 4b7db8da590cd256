// SPDX-License-Identifier: ISC
// Parts that pages share. Everything that came from outside is shown as text.
import { signal } from "@preact/signals";
import { Fragment, type ComponentChildren, type JSX } from "preact";
import { useCallback, useEffect, useId, useRef, useState } from "preact/hooks";
import { ApiError, isAway } from "./api";
import { onLive } from "./live";
import { t } from "./words";

/** A name from outside: its direction does not touch what stands around it; what is too long is cut by CSS and whole in the title. */
export function Name({ text, class: className = "" }: { text: string; class?: string }) {
  return (
    <bdi class={`name ${className}`} title={text}>
      {text}
    </bdi>
  );
}

// A mark that begins an isolation and does not end it reaches out of an inline <bdi>: the end of the element ends the mark's instead.
const bidiMarks = /[\u202a-\u202e\u2066-\u2069]/g;

/** Texts from outside beside each other: none turns the order of the others. */
export function Beside({ list }: { list: readonly string[] }) {
  return (
    <>
      {list.map((text, n) => (
        <Fragment key={n}>
          {n > 0 && " · "}
          <bdi>{text.replace(bidiMarks, "")}</bdi>
        </Fragment>
      ))}
    </>
  );
}

export function Loading() {
  return (
    <p class="state-box loading" role="status">
      <span class="spinner" aria-hidden="true" />
      {t("loading")}
    </p>
  );
}

/** Nothing, and what to do about it. page: it is all that the page has, and its title the page's. */
export function Empty({ title, children, id, page }: { title: string; children?: ComponentChildren; id?: string; page?: boolean }) {
  const Title = page ? "h1" : "p";
  return (
    <div class="state-box" id={id}>
      <Title class="state-title">{title}</Title>
      {children}
    </div>
  );
}

/** What went wrong, in words for people. The server words its errors in the page's language. */
export function errorText(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return t("noAnswer");
  if (error.status === 429 && error.retryAfter > 0) return t("tooMany", { s: error.retryAfter });
  return error.message || t("unexpected", { code: error.code });
}

export function ErrorBox({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div class="state-box error" role="alert">
      <p class="state-title">{errorText(error)}</p>
      {error instanceof ApiError && error.details.length > 0 && (
        <ul>
          {error.details.map((d) => (
            <li key={d.field}>
              <code>{d.field}</code> {d.message}
            </li>
          ))}
        </ul>
      )}
      {error instanceof ApiError && error.requestId && <p class="soft small">{t("request", { id: error.requestId })}</p>}
      {retry && (
        <button type="button" onClick={retry}>
          {t("retry")}
        </button>
      )}
    </div>
  );
}

type InputProps = Omit<JSX.IntrinsicElements["input"], "id" | "label">;

/** A labelled input with a hint and its error. */
export function Field({ label, hint, error, ...input }: InputProps & { label: string; hint?: string | undefined; error?: string | undefined }) {
  const id = useId();
  return (
    <div class={`field ${error ? "wrong" : ""}`}>
      <label for={id}>{label}</label>
      <input {...input} id={id} aria-invalid={error ? "true" : undefined} aria-describedby={hint || error ? `${id}-hint` : undefined} />
      {(error || hint) && (
        <p class="hint" id={`${id}-hint`}>
          {error || hint}
        </p>
      )}
    </div>
  );
}

// Who opened a dialog, or the first of several that follow each other.
let opener: Element | null = null;
/** What opened the dialog is about to go: afterwards the focus is at the content, and not at something that is no more. */
export function forgetOpener(): void {
  opener = null;
}

/** A modal dialog of the browser: Escape closes it, focus stays in it and comes back. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    if (document.activeElement && document.activeElement !== document.body) opener = document.activeElement;
    element.current?.showModal();
    // Taken away rather than closed: the browser gives the focus back to nobody. Unless another dialog has it by then.
    return () =>
      void setTimeout(() => {
        if (document.activeElement && document.activeElement !== document.body) return;
        const back = opener?.isConnected ? opener : document.getElementById("main");
        (back as HTMLElement | null)?.focus({ preventScroll: true });
      });
  }, []);
  return (
    <dialog ref={element} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet icon" aria-label={t("close")} title={t("close")} onClick={() => element.current?.close()}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Text to take away, with a button that copies it. */
export function CopyText({ text, label }: { text: string; label: string }) {
  // Said beside the button: a dialog covers notices, and makes them inert.
  const [said, say] = useState<"" | "copied" | "copyFailed">("");
  const code = useRef<HTMLElement>(null);
  useEffect(() => {
    const timer = said ? setTimeout(() => say(""), said === "copied" ? 4000 : 12_000) : undefined;
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
    } catch {
      if (code.current) getSelection()?.selectAllChildren(code.current); // where a page has no clipboard: without TLS
      say(document.execCommand("copy") ? "copied" : "copyFailed");
    }
  };
  return (
    <div class="copy">
      <code ref={code} aria-label={label}>
        {text}
      </code>
      <span role="status" class="soft small">
        {said && t(said)}
      </span>
      <button type="button" onClick={copy} aria-label={`${t("copy")}: ${label}`}>
        {t("copy")}
      </button>
    </div>
  );
}

export function Meter({ label, value, text, title }: { label: string; value: number; text: string; title?: string }) {
  const at = Math.min(100, Math.max(0, value));
  return (
    <div class="bar" title={title}>
      <span>{label}</span>
      <div class="track" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(at)} aria-valuetext={text}>
        <div class={`fill ${level(at)}`} style={{ transform: `translateX(${at - 100}%)` }} />
      </div>
      <span class={`value ${level(at)}`}>{text}</span>
    </div>
  );
}
export const level = (share: number): string => (share >= 95 ? "bad" : share >= 80 ? "warn" : "");

// ---- notices: short, quiet, gone by themselves ----

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly kind: "info" | "error";
}
export const notices = signal<readonly Notice[]>([]);
let noticeId = 0;
export function notify(text: string, kind: Notice["kind"] = "info"): void {
  const notice = { id: ++noticeId, text, kind };
  notices.value = [...notices.value.filter((n) => n.text !== text), notice].slice(-3);
  setTimeout(() => (notices.value = notices.value.filter((n) => n !== notice)), Math.max(kind === "error" ? 8000 : 4000, text.length * 90));
}

// ---- asking the server ----

export interface Asked<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  readonly reload: () => void;
}

/**
 * Calls ask at once and when one of deps changes; what an older call answers late is dropped. Data stays while it is loaded again.
 * Whoever found nobody there asks again when the server is back.
 */
export function useAsked<T>(ask: () => Promise<T>, deps: readonly unknown[]): Asked<T> {
  const [state, setState] = useState<{ data: T | undefined; error: unknown; loading: boolean }>({ data: undefined, error: undefined, loading: true });
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    setState((old) => ({ ...old, loading: true }));
    ask().then(
      (data) => mine === turn.current && setState({ data, error: undefined, loading: false }),
      (error: unknown) => mine === turn.current && setState((old) => ({ data: old.data, error, loading: false })),
    );
  }, deps);
  useEffect(() => {
    reload();
    return () => void turn.current++;
  }, [reload]);
  useEffect(() => (isAway(state.error) ? onLive(reload) : undefined), [state.error, reload]);
  return { ...state, reload };
}
