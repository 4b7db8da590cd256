// SPDX-License-Identifier: ISC
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";

const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1))) as { server: string; apiKey: string; endpoint: string };
createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <App {...given} />
  </StrictMode>,
);
