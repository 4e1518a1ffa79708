// Builds the pages into ../src/streamsched/ui: the same sources give the same bytes. `node build.mjs FOLDER` builds elsewhere.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "..", "src", "streamsched", "ui"));
const assets = join(out, "assets");

rmSync(assets, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });
const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: assets,
  write: false,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
});
const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 2, unsafe_arrows: true } }); // 4 % smaller
writeFileSync(join(assets, "app.js"), `${code}\n`);
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/app.css" },
  outdir: assets,
  bundle: true,
  minify: true,
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
cpSync(join(here, "src", "icon.svg"), join(assets, "icon.svg"));
cpSync(join(here, "licenses.txt"), join(assets, "licenses.txt"));
cpSync(join(here, "src", "index.html"), join(out, "index.html"));

/** The digest of the sources, which a test compares: tests/unit/http/test_ui.py works it out in the same way. */
const sources = [];
const walk = (folder) => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) walk(path);
    else sources.push(relative(here, path).replaceAll("\\", "/"));
  }
};
walk(join(here, "src"));
sources.push("build.mjs", "licenses.txt", "package.json", "tsconfig.json");
const digest = createHash("sha256");
for (const name of sources.sort()) {
  digest.update(`${name}\n`);
  digest.update(createHash("sha256").update(readFileSync(join(here, name))).digest("hex"));
  digest.update("\n");
}
writeFileSync(join(out, "sources.sha256"), `${digest.digest("hex")}\n`);
