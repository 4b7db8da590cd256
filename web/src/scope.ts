// SPDX-License-Identifier: ISC
import type { Page } from "./routes";

/** What the rules of a page's stylesheet stand below: stylesheets of pages that were open earlier are still loaded. */
export const pageClass = ({ path, role }: Pick<Page, "path" | "role">): string => `at-${path.split("/")[1] || "status"}${role || path === "/register" ? " console" : ""}`;
