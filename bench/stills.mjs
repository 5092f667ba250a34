/**
 * What `bench/stills.py` asks of programs from npm:
 *
 *     node bench/stills.mjs FOLDER validate FILE...     issues of glTF files
 *     node bench/stills.mjs FOLDER spz FILE             attributes of an .spz, turned to y down
 *
 * `npm install gltf-validator @spz-loader/core` in FOLDER before. Prints JSON.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, what, ...files] = process.argv.slice(2);
const load = createRequire(join(resolve(folder), "package.json"));
const bytes = (file) => new Uint8Array(readFileSync(file));

async function validate() {
  const validator = load("gltf-validator");
  const reports = [];
  for (const file of files) {
    const { issues } = await validator.validateBytes(bytes(file), { uri: file });
    reports.push(issues.messages.map(({ code, pointer, severity }) => ({ code, pointer, severity })));
  }
  return reports;
}

async function spz() {
  const data = bytes(files[0]);
  const loader = load(join(resolve(folder), "node_modules/@spz-loader/core/dist/index.umd.cjs"));
  // The package is built for browsers, and fails where it takes Node for Node.
  const real = globalThis.process;
  globalThis.process = undefined;
  try {
    return await loader.loadSpz(data, { unpackOptions: { coordinateSystem: "RDF" } });
  } finally {
    globalThis.process = real;
  }
}

const answer = what === "validate" ? await validate() : await spz();
const plain = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
process.stdout.write(JSON.stringify(answer, plain));
