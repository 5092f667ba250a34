// Builds the player into a temporary folder and fails if the files that ship are others.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const at = process.argv.indexOf("--shipped");
const shipped = at > 0 ? resolve(process.argv[at + 1]) : join(root, "../igs/serve/player");
const built = mkdtempSync(join(tmpdir(), "igs-player-"));
try {
  const run = spawnSync(process.execPath, [join(root, "scripts/build.mjs"), "--out", built], {
    stdio: "inherit",
  });
  if (run.status !== 0) process.exit(run.status ?? 1);
  const names = [...new Set([...readdirSync(built), ...readdirSync(shipped)])].sort();
  const read = (folder, name) => {
    try {
      return readFileSync(join(folder, name));
    } catch {
      return null;
    }
  };
  const others = names.filter((name) => {
    const [a, b] = [read(built, name), read(shipped, name)];
    return a === null || b === null || !a.equals(b);
  });
  if (others.length > 0) {
    console.error(`not what the sources give: ${others.join(", ")}; run npm run build`);
    process.exitCode = 1;
  } else console.log(`${names.length} files are what the sources give`);
} finally {
  rmSync(built, { recursive: true, force: true });
}
