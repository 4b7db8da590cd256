// SPDX-License-Identifier: ISC
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// NAME.br and NAME.gz beside each file that gets smaller: the server compresses nothing itself.
function compressed(): Plugin {
  let folder = "dist";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      folder = config.build.outDir;
    },
    closeBundle() {
      for (const name of readdirSync(folder)) {
        if (!/\.(html|js|css|svg|json)$/.test(name)) continue;
        const plain = readFileSync(join(folder, name));
        const made = {
          br: brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } }),
          gz: gzipSync(plain, { level: 9 }),
        };
        for (const [suffix, data] of Object.entries(made)) if (data.length + 64 < plain.length) writeFileSync(join(folder, `${name}.${suffix}`), data);
      }
    },
  };
}

const server = process.env["MUSTER_URL"] ?? "http://127.0.0.1:8900";

export default defineConfig({
  base: "./", // it works below any path of a proxy
  build: {
    outDir: process.env["MUSTER_WEB_OUT"] ?? "dist",
    emptyOutDir: true,
    assetsDir: "", // the server serves one flat folder
    assetsInlineLimit: 0, // no data: addresses under default-src 'self'
    modulePreload: { polyfill: false },
    target: "es2021",
    cssTarget: ["chrome111", "firefox113", "safari16.2"], // these know color-mix(); nesting, which they do not all know, is written out
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        // Names that end in a hash of hexadecimal digits never change their content: the server lets them be kept for ever.
        hashCharacters: "hex",
        entryFileNames: "[name]-[hash:16].js",
        chunkFileNames: "[name]-[hash:16].js",
        // Pages for people who are signed in come in one piece: few files, and all of them there after the first.
        manualChunks: (id) => (/\/src\/pages\/(?!status\/|machine\/|login\/)/.test(id) ? "console" : undefined),
        onlyExplicitManualChunks: true,
        assetFileNames: "[name]-[hash:16][extname]",
      },
    },
  },
  plugins: [compressed()],
  server: { proxy: { "/api": { target: server, ws: true, changeOrigin: true } } },
  test: { environment: "node", include: ["src/**/*.test.ts"], testTimeout: 60_000 },
});
