// SPDX-License-Identifier: ISC
// Before the first paint, so that neither theme nor language flashes. The rest of both: src/theme.ts, src/text.ts.
try {
  var theme = localStorage.getItem("muster.theme"), lang = localStorage.getItem("muster.lang");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.lang = lang === "zh" || (lang !== "en" && /^zh\b/i.test(navigator.language)) ? "zh-CN" : "en";
} catch (e) { /* storage is forbidden: the presets hold */ }
