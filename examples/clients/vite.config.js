// SPDX-License-Identifier: ISC
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  plugins: [vue()],
  build: { outDir: "built", emptyOutDir: true, rollupOptions: { input: ["./vue/index.html", "./react/index.html"] } },
});
