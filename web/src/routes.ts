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
  { path: "/login", title: () => t("signIn"), load: () => import("./pages/login/login") },
];
