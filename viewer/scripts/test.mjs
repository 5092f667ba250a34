// Bundles every tests/**/*.test.ts and runs them with Node's own test runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const wanted = process.argv.slice(2);
const tests = readdirSync(join(root, "tests"), { recursive: true })
  .filter((file) => file.endsWith(".test.ts"))
  .filter((file) => wanted.length === 0 || wanted.some((word) => file.includes(word)))
  .sort();
const out = mkdtempSync(join(tmpdir(), "igs-viewer-"));
try {
  await build({
    absWorkingDir: root,
    entryPoints: tests.map((file) => `tests/${file}`),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: ["node20"],
    logLevel: "warning",
  });
  const files = readdirSync(out, { recursive: true })
    .filter((file) => file.endsWith(".test.mjs"))
    .map((file) => join(out, file));
  const run = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit", cwd: root });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
