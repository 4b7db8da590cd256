// SPDX-License-Identifier: ISC
// Every page of the console. A new page is a line here and a folder in pages/ (web/README.md).
import type { ComponentType } from "preact";
import type { Params } from "./router";
import type { Site } from "./site";
import StatusPage from "./pages/status/status";
import { t } from "./words";

export interface PageProps {
  readonly params: Params;
  readonly query: URLSearchParams;
}

export interface Page {
  readonly path: string;
  readonly title: () => string;
  /** Stands in the navigation, in the order of this list. */
  readonly nav?: boolean;
  /** Who may see it; absent: everybody who may see the machines. */
  readonly role?: "user" | "admin";
  /** The member of site.pages that must be there. */
  readonly needs?: keyof Site["pages"];
  /** Loaded with the frame, or when it is opened first. */
  readonly component?: ComponentType<PageProps>;
  readonly load?: () => Promise<{ default: ComponentType<PageProps> }>;
}

export const pages: readonly Page[] = [
  { path: "/", title: () => t("machines"), nav: true, component: StatusPage },
  { path: "/machine/:id", title: () => t("machine"), load: () => import("./pages/machine/machine") },
  { path: "/relay", title: () => t("relay"), nav: true, role: "user", needs: "relay", load: () => import("./pages/relay/relay") },
  { path: "/relay/:id", title: () => t("relay"), role: "user", needs: "relay", load: () => import("./pages/relay/endpoint") },
  { path: "/add", title: () => t("add"), nav: true, role: "user", needs: "join", load: () => import("./pages/add/add") },
  { path: "/keys", title: () => t("keys"), nav: true, role: "user", needs: "accounts", load: () => import("./pages/keys/keys") },
  { path: "/admin", title: () => t("admin"), nav: true, role: "admin", needs: "accounts", load: () => import("./pages/admin/admin") },
  { path: "/admin/:tab", title: () => t("admin"), role: "admin", needs: "accounts", load: () => import("./pages/admin/admin") },
  { path: "/admin/user/:id", title: () => t("admin"), role: "admin", needs: "relay", load: () => import("./pages/admin/user") },
  { path: "/plugins", title: () => t("plugins"), nav: true, role: "admin", needs: "plugins", load: () => import("./pages/plugins/plugins") },
  { path: "/plugins/:tab", title: () => t("plugins"), role: "admin", needs: "plugins", load: () => import("./pages/plugins/plugins") },
  { path: "/account", title: () => t("account"), role: "user", needs: "accounts", load: () => import("./pages/account/account") },
  { path: "/register", title: () => t("register"), needs: "accounts", load: () => import("./pages/account/register") },
  { path: "/login", title: () => t("signIn"), load: () => import("./pages/login/login") },
];
