// SPDX-License-Identifier: ISC
// What the pages behind the login share: dialogs that do something, errors of actions, times, tabs, choices, pagers.
import "./parts.css";
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { ApiError } from "../../api";
import { ago, dateTime } from "../../format";
import { skew } from "../../live";
import { href } from "../../router";
import { useTitle } from "../../title";
import { Dialog, Empty, errorText, forgetOpener, notify } from "../../ui";
import { t as frame } from "../../words";
import { timeOf } from "./logic";
import { t } from "./words";

export function PageHead({ title, lead, children, back }: { title: ComponentChildren; lead?: ComponentChildren; children?: ComponentChildren; back?: { to: string; text: string } }) {
  return (
    <div class="page-head">
      <div class="page-title">
        {back && (
          <a class="back" href={href(back.to)}>
            <span aria-hidden="true">←</span> {back.text}
          </a>
        )}
        <h1>{title}</h1>
        {lead && <p class="soft">{lead}</p>}
      </div>
      {children && <div class="page-actions">{children}</div>}
    </div>
  );
}

/** What went wrong with an action, beside what was done: message, what is not said at a field, and the request's id. */
export function Failure({ error, fields = [] }: { error: unknown; fields?: readonly string[] }) {
  if (!error) return null;
  const rest = error instanceof ApiError ? error.details.filter((d) => !fields.includes(d.field)) : [];
  return (
    <div class="failure" role="alert">
      <p class="wrong-text">{errorText(error)}</p>
      {rest.length > 0 && (
        <ul>
          {rest.map((d) => (
            <li key={d.field}>
              <code>{d.field}</code> {d.message}
            </li>
          ))}
        </ul>
      )}
      {error instanceof ApiError && error.requestId && <p class="soft small">{t("request", { id: error.requestId })}</p>}
    </div>
  );
}

/** Older data is shown, and this says that it is older. */
export function Stale({ error }: { error: unknown }) {
  if (!error) return null;
  return (
    <p class="stale-note small" role="status">
      {t("notFresh", { why: errorText(error) })}
    </p>
  );
}

export interface Action {
  readonly busy: boolean;
  readonly error: unknown;
  /** True: it was done. */
  readonly run: (work: () => Promise<unknown>) => Promise<boolean>;
  /** Who began it has left, or closed the dialog: nothing on the screen is of it any more. */
  readonly isGone: () => boolean;
  readonly clear: () => void;
}

/** One thing at a time; what is thrown is kept for showing, or is a notice where nobody would see it. */
export function useAction(): Action {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: undefined });
  const busy = useRef(false);
  const here = useRef(true);
  useEffect(() => () => void (here.current = false), []);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    if (busy.current) return false;
    busy.current = true;
    setState({ busy: true, error: undefined });
    let error: unknown;
    let done = false;
    try {
      await work();
      done = true;
    } catch (thrown) {
      error = thrown;
    }
    busy.current = false;
    if (here.current) setState({ busy: false, error });
    else if (error && !(error instanceof ApiError && error.status === 401)) notify(errorText(error), "error"); // 401: the login page says it
    return done;
  };
  return { ...state, run, isGone: () => !here.current, clear: () => setState({ busy: false, error: undefined }) };
}

/** To the first field that is wrong, once it is marked. */
export function showWrong(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => form?.querySelector<HTMLInputElement>('[aria-invalid="true"]')?.focus());
}

/** A dialog that does something and stays until it is done; errors are shown in it. Who closes it meanwhile is told how it ended, and nothing else happens. */
export function Act(props: {
  title: string;
  action: string;
  danger?: boolean;
  /** Fields whose errors the content shows itself. */
  fields?: readonly string[];
  disabled?: boolean;
  act: Action;
  /** false: something is still to be filled in, and the dialog stays. */
  work: () => Promise<unknown>;
  /** The notice when it is done. */
  said?: string;
  /** The notice when it is done and the dialog was closed before; preset: the same. */
  late?: string;
  /** What is shown behind the dialog is not as it was, whether that is still open or not. */
  onChanged?: (() => void) | undefined;
  /** Done, and the dialog was still open: where to go, what to show. */
  onDone?: (() => void) | undefined;
  onClose: () => void;
  children?: ComponentChildren;
}) {
  const { act } = props;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (props.disabled) return;
    let stays = false;
    if (!(await act.run(async () => void (stays = (await props.work()) === false))) || stays) return;
    const said = act.isGone() ? (props.late ?? props.said) : props.said;
    if (said) notify(said);
    props.onChanged?.();
    if (act.isGone()) return;
    if (props.danger) forgetOpener(); // it is of what is deleted
    props.onDone?.();
    props.onClose();
  };
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form onSubmit={submit} noValidate>
        {props.children}
        <Failure error={act.error} fields={props.fields ?? []} />
        <div class="buttons">
          <button type="submit" class={props.danger ? "danger" : "main"} disabled={act.busy || props.disabled} aria-busy={act.busy}>
            {act.busy ? t("working") : props.action}
          </button>
          <button type="button" onClick={props.onClose}>
            {frame("cancel")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const clock = signal(Date.now());
if (typeof document !== "undefined") setInterval(() => void (document.hidden || (clock.value = Date.now())), 5000);

/** A time of the server: how long ago, and the whole of it in the title. */
export function When({ at, absolute = false }: { at: unknown; absolute?: boolean }) {
  const ms = timeOf(at);
  if (Number.isNaN(ms)) return <span class="soft">{t("never")}</span>;
  const now = Math.max(clock.value, Date.now() - 5000) + skew.value;
  const text = absolute || now - ms > 30 * 86_400_000 || ms - now > 5000 ? dateTime(ms) : ago(ms, now);
  return (
    <time dateTime={new Date(ms).toISOString()} title={dateTime(ms)}>
      {text}
    </time>
  );
}

export type Tone = "ok" | "warn" | "bad" | "plain";
export function Badge({ tone = "plain", children, title }: { tone?: Tone; children: ComponentChildren; title?: string | undefined }) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

export function Tabs({ label, items, at }: { label: string; items: readonly { to: string; text: string }[]; at: string }) {
  useTitle(items.find(({ to }) => to === at)?.text ?? "");
  return (
    <nav class="tabs" aria-label={label}>
      {items.map(({ to, text }) => (
        <a key={to} href={href(to)} aria-current={to === at ? "page" : undefined}>
          {text}
        </a>
      ))}
    </nav>
  );
}

/** One of a few, each with a line that explains it. */
export function Choice<T extends string>(props: { legend: string; value: T; options: readonly { value: T; text: string; hint: string }[]; onChange: (value: T) => void; disabled?: boolean }) {
  const name = useId();
  return (
    <fieldset class="choice" disabled={props.disabled}>
      <legend>{props.legend}</legend>
      {props.options.map(({ value, text, hint }) => (
        <label key={value} class={value === props.value ? "chosen" : ""}>
          <input type="radio" name={name} value={value} checked={value === props.value} onChange={() => props.onChange(value)} aria-describedby={`${name}-${value}`} />
          <span>
            <b>{text}</b>
            <span class="soft small" id={`${name}-${value}`}>
              {hint}
            </span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** A labelled text of several lines, with a hint and its error. */
export function Area(props: { label: string; value: string; onInput: (value: string) => void; hint?: string | undefined; error?: string | undefined; rows?: number; code?: boolean; placeholder?: string }) {
  const id = useId();
  return (
    <div class={`field ${props.error ? "wrong" : ""}`}>
      <label for={id}>{props.label}</label>
      <textarea
        id={id}
        rows={props.rows ?? 3}
        class={props.code ? "code" : ""}
        spellcheck={false}
        value={props.value}
        placeholder={props.placeholder}
        aria-invalid={props.error ? "true" : undefined}
        aria-describedby={props.hint || props.error ? `${id}-hint` : undefined}
        onInput={(e) => props.onInput(e.currentTarget.value)}
      />
      {(props.error || props.hint) && (
        <p class="hint" id={`${id}-hint`}>
          {props.error || props.hint}
        </p>
      )}
    </div>
  );
}

export function Search({ value, onInput, label }: { value: string; onInput: (value: string) => void; label: string }) {
  return <input type="search" class="search" value={value} placeholder={label} aria-label={label} onInput={(e) => onInput(e.currentTarget.value)} />;
}

export function NothingFound({ onClear }: { onClear: () => void }) {
  const clear = () => {
    onClear();
    document.querySelector<HTMLInputElement>("main input.search")?.focus(); // the button goes
  };
  return (
    <Empty title={t("nothingFound")}>
      <p>{t("nothingFoundHint")}</p>
      <button type="button" onClick={clear}>
        {t("clearSearch")}
      </button>
    </Empty>
  );
}

/** Above a secret that the server does not show again. */
export function Once() {
  return (
    <p class="once">
      <b>{t("onceTitle")}</b> <span>{t("onceKept")}</span>
    </p>
  );
}

export function Pager({ page, size, total, onPage }: { page: number; size: number; total: number; onPage: (page: number) => void }) {
  const last = Math.max(1, Math.ceil(total / size));
  if (last === 1 && page === 1) return null;
  return (
    <nav class="pager" aria-label={t("pageNav")}>
      <button type="button" disabled={page <= 1} onClick={() => onPage(page - 1)}>
        {t("previous")}
      </button>
      <span class="soft num" role="status">
        {t("pages", { from: total === 0 ? 0 : (page - 1) * size + 1, to: Math.min(total, page * size), all: total })}
      </span>
      <button type="button" disabled={page >= last} onClick={() => onPage(page + 1)}>
        {t("next")}
      </button>
    </nav>
  );
}

export function Stats({ items }: { items: readonly { label: string; value: ComponentChildren }[] }) {
  return (
    <dl class="stats">
      {items.map(({ label, value }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd class="num">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
