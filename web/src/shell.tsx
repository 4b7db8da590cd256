// SPDX-License-Identifier: ISC
// What stands around every page: the head with navigation, state of the link, theme and language; notices; and which page is shown.
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { hurry, link, onLive } from "./live";
import { machines } from "./machines";
import { useReturning } from "./returning";
import { go, href, match, place, type Params } from "./router";
import { pages, type Page, type PageProps } from "./routes";
import { pageClass } from "./scope";
import { farewell, isAdmin, session, signedOut, user } from "./session";
import { site, siteKnown } from "./site";
import { lang, setLang } from "./text";
import { setTheme, theme, type Theme } from "./theme";
import { subject } from "./title";
import { Empty, Loading, Name, notices } from "./ui";
import { t } from "./words";

function found(): { page: Page; params: Params } | null {
  for (const page of pages) {
    const params = match(page.path, place.value.path);
    if (params) return { page, params };
  }
  return null;
}

const allowed = (page: Page): boolean => (page.role === "admin" ? isAdmin.value : page.role === "user" ? user.value !== null : true);
const present = (page: Page): boolean => !page.needs || Boolean(site.value.pages[page.needs]);

function Navigation() {
  const shown = pages.filter((page) => page.nav && allowed(page) && present(page));
  const at = place.value.path;
  // On a phone the list is wider than the screen: where one is stays in sight.
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    const show = () => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    show();
    addEventListener("resize", show);
    return () => removeEventListener("resize", show);
  }, [at, shown.length]);
  if (shown.length < 2) return null;
  return (
    <nav ref={list} aria-label={t("navigation")}>
      {shown.map((page) => {
        const here = page.path === "/" ? at === "/" || at.startsWith("/machine/") : at === page.path || at.startsWith(`${page.path}/`);
        return (
          <a key={page.path} href={href(page.path)} aria-current={here ? "page" : undefined}>
            {page.title()}
          </a>
        );
      })}
    </nav>
  );
}

const themes: readonly Theme[] = ["auto", "light", "dark"];
const themeSigns = { auto: "◐", light: "☀", dark: "☾" } as const;

/** The page as it stands, to come back to after a login. */
const address = (): string => href(place.value.path, Object.fromEntries(place.value.query)).slice(1);

function Settings() {
  const now = theme.value;
  const label = t(now === "auto" ? "themeAuto" : now === "light" ? "themeLight" : "themeDark");
  return (
    <div class="settings">
      <button type="button" class="quiet icon" id="theme" aria-label={label} title={label} onClick={() => setTheme(themes[(themes.indexOf(now) + 1) % 3]!)}>
        <span aria-hidden="true">{themeSigns[now]}</span>
      </button>
      <button type="button" class="quiet" id="language" title={t("languageTitle")} lang={lang.value === "zh" ? "en" : "zh-CN"} onClick={() => setLang(lang.value === "zh" ? "en" : "zh")}>
        {t("language")}
      </button>
      {user.value ? (
        <span class="who">
          <a class="button quiet" id="account-link" href={href("/account")} title={t("account")}>
            <Name text={user.value.name} />
          </a>
          <button type="button" class="quiet" id="sign-out" onClick={() => signedOut("left")}>
            {t("signOut")}
          </button>
        </span>
      ) : (
        site.value.login && (
          <a class="button" id="sign-in" href={href("/login", { to: address() })}>
            {t("signIn")}
          </a>
        )
      )}
    </div>
  );
}

function Link() {
  const state = link.value;
  if (state === "refused" && site.value.status !== "open") return <p id="link" data-state={state} />; // the page asks for a login or a token
  const text = t(state === "live" ? "linkLive" : state === "lost" ? "linkLost" : state === "refused" ? "linkRefused" : "linkConnecting");
  return (
    <p id="link" data-state={state}>
      <span role="status">{text}</span>
      {state === "lost" && (
        <button type="button" class="quiet" onClick={hurry}>
          {t("reconnect")}
        </button>
      )}
    </p>
  );
}

/** Kept across pages: a page that was loaded once is there at once. */
const loaded = new Map<Page, ComponentType<PageProps>>();

/** A style sheet that could not be loaded is not asked for a second time by the bundler's loader: its link is made anew, before its page is. */
const unstyled = new Set<HTMLLinkElement>();
addEventListener("error", ({ target }) => target instanceof HTMLLinkElement && target.rel === "stylesheet" && unstyled.add(target), true);
const restyled = (): Promise<unknown> =>
  Promise.all(
    [...unstyled].map(
      (old) =>
        new Promise((done, failed) => {
          const anew = old.cloneNode() as HTMLLinkElement;
          anew.onload = done;
          anew.onerror = failed;
          unstyled.delete(old);
          old.replaceWith(anew);
        }),
    ),
  );

function Shown({ page, params }: { page: Page; params: Params }) {
  const [, drawn] = useState(0);
  const [failed, setFailed] = useState(false);
  const [tries, setTries] = useState(0);
  const Component = page.component ?? loaded.get(page);
  useEffect(() => {
    setFailed(false);
    if (Component || !page.load) return;
    let wanted = true;
    const load = page.load;
    restyled().then(load).then(
      (module) => {
        loaded.set(page, module.default);
        if (wanted) drawn((n) => n + 1);
      },
      () => wanted && setFailed(true), // the server is away; or it is of another version, and has no such file any more
    );
    return () => void (wanted = false);
  }, [page, tries]);
  // What the server was away for is there when it is back. A file that is missing then belongs to another version.
  useEffect(() => (failed ? onLive(() => setTries((n) => n + 1)) : undefined), [failed]);
  if (Component) return <Component params={params} query={place.value.query} />;
  if (!failed) return <Loading />;
  if (link.value !== "live")
    return (
      <Empty page title={t("noAnswer")}>
        <button type="button" onClick={() => setTries(tries + 1)}>
          {t("retry")}
        </button>
      </Empty>
    );
  return (
    <Empty page title={t("stale")}>
      <p>{t("staleHint")}</p>
      <button type="button" onClick={() => location.reload()}>
        {t("reload")}
      </button>
    </Empty>
  );
}

function Content() {
  const here = found();
  if (!here)
    return (
      <Empty page title={t("notFound")}>
        <p>{t("notFoundHint")}</p>
        <p>
          <a href={href("/")}>{t("toMachines")}</a>
        </p>
      </Empty>
    );
  const { page, params } = here;
  if (page.needs && !present(page)) {
    if (!siteKnown.value) return <Loading />;
    return (
      <Empty page title={t("missing", { plugin: site.value.missing[page.needs] ?? page.needs })} id="missing">
        <p>{t("missingHint")}</p>
      </Empty>
    );
  }
  if (page.role && !user.value) return <Loading />; // on the way to the login page
  if (!allowed(page))
    return (
      <Empty page title={t("adminOnly")}>
        <p>{t("adminOnlyHint", { name: user.value?.name ?? "" })}</p>
      </Empty>
    );
  return <Shown key={page.path} page={page} params={params} />;
}

function Notices() {
  return (
    <div id="notices" aria-live="polite">
      {notices.value.map((notice) => (
        <p key={notice.id} class={notice.kind}>
          {notice.text}
        </p>
      ))}
    </div>
  );
}

export function Shell() {
  const main = useRef<HTMLElement>(null);
  const path = place.value.path;
  const here = found();
  // A page that cannot be is not worth a login: it says what is missing. Until that is known, it waits.
  const possible = here !== null && (!here.page.needs || (siteKnown.value && present(here.page)));
  const wantsUser = here !== null && !["/login", "/register"].includes(here.page.path) && session.value === null && ((here.page.role !== undefined && possible) || (siteKnown.value && site.value.status === "login"));
  useEffect(() => {
    if (wantsUser) go("/login", { query: { to: address() }, replace: true });
  }, [wantsUser, path]);

  // Whoever is signed out by the server is asked to sign in again, and comes back to where they were.
  const ended = farewell.value === "ended";
  useEffect(() => {
    if (ended && site.peek().login && path !== "/login") go("/login", { query: { to: address() }, replace: true });
  }, [ended]);

  // What sticks below the head has to know its height.
  const head = useRef<HTMLElement>(null);
  useEffect(() => {
    const sizes = new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${head.current?.offsetHeight ?? 0}px`));
    if (head.current) sizes.observe(head.current);
    return () => sizes.disconnect();
  }, []);

  useReturning(path, main);

  const offline = machines.order.value.length - machines.online.value;
  const name = site.value.name || "Muster";
  const title = path === "/" ? (offline > 0 ? `(${offline}) ${name}` : name) : `${subject.value || (here?.page.title() ?? t("notFound"))} · ${name}`;
  useEffect(() => {
    document.title = title;
  }, [title]);

  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        {t("skip")}
      </a>
      <header class="head" ref={head}>
        <a class="brand" href={href("/")}>
          <img src="./icon.svg" alt="" width="26" height="26" />
          <Name text={name} />
        </a>
        <Navigation />
        <Link />
        <Settings />
      </header>
      <main id="main" ref={main} tabIndex={-1} class={`${here ? pageClass(here.page) : ""} ${link.value === "lost" || link.value === "refused" ? "stale" : ""}`}>
        <Content />
      </main>
      <Notices />
    </>
  );
}
