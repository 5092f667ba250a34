// Builds the player: node scripts/build.mjs [--out FOLDER]. The same sources give the same bytes.
import { build } from "esbuild";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const at = process.argv.indexOf("--out");
const out = at > 0 ? resolve(process.argv[at + 1]) : join(root, "../igs/serve/player");

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: {
    player: "src/main.ts",
    worker: "src/fvv/worker.ts",
    sort_worker: "src/render/sort_worker.ts",
  },
  outdir: out,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
for (const file of await readdir(join(root, "static"))) {
  await cp(join(root, "static", file), join(out, file));
}

// What is built in keeps its licence.
const { dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
let licences = "";
for (const name of Object.keys(dependencies).sort()) {
  const text = await readFile(join(root, "node_modules", name, "LICENSE"), "utf8");
  licences += `${name} ${dependencies[name]}\n\n${text.trim()}\n\n`;
}
await writeFile(join(out, "licences.txt"), licences.trim() + "\n");
