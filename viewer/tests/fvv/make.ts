/** Small streams written by hand, uncompressed: row i of frame t stands at x = i, y = t. */

import { crc32 } from "../../src/fvv/crc32.ts";

export const INTRA = 1;
export const REFERENCE = 2;

export interface MadeFrame {
  number: number;
  flags: number;
  /** Base first. */
  chunks: Uint8Array[];
}

class Writer {
  private readonly bytes: number[] = [];

  number(value: number): this {
    for (let i = 0; i < 4; i++) this.bytes.push((value >>> (8 * i)) & 0xff);
    return this;
  }

  byte(value: number): this {
    this.bytes.push(value);
    return this;
  }

  /** Integers in four planes. */
  ints(values: number[]): this {
    const coded = values.map((v) => ((v << 1) ^ (v >> 31)) >>> 0);
    this.byte(4);
    for (let plane = 0; plane < 4; plane++) {
      for (const value of coded) this.byte((value >>> (8 * plane)) & 0xff);
    }
    return this;
  }

  zeros(runs: number): this {
    for (let i = 0; i < runs; i++) this.byte(0);
    return this;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

/** Zeros but for positions: three runs of positions, four of quaternions, seven of looks. */
function base(writer: Writer, rows: number[], frame: number): Writer {
  writer.number(0).ints(rows).ints(rows.map(() => frame)).zeros(1);
  return writer.zeros(4 + 7);
}

export function intraPayload(rows: number, frame: number): Uint8Array {
  return base(new Writer().number(rows), [...Array(rows).keys()], frame).done();
}

/** All rows move by (0, dy, 0); `dy` as residuals. */
export function deltaPayload(rows: number, dy: number): Uint8Array {
  const writer = new Writer().number(rows).number(0).number(0).byte(0); // none removed
  writer.byte(1).number(1).ints([rows]).zeros(15); // all moved, in one block that stands still
  writer.zeros(1).ints(Array(rows).fill(dy)).zeros(1).zeros(4);
  writer.byte(0).zeros(7); // no new looks
  return writer.number(0).zeros(3).zeros(4 + 7).done(); // nothing added
}

/** SH degree 1 of intra frames, all coefficients `value` steps. */
export function shPayload(rows: number, value: number): Uint8Array {
  const writer = new Writer().number(rows);
  for (let i = 0; i < 9; i++) writer.ints(Array(rows).fill(value));
  return writer.done();
}

export function shDeltaPayload(rows: number): Uint8Array {
  return new Writer().number(rows).number(0).byte(0).zeros(9).zeros(9).done();
}

export interface ChunkFields {
  kind?: number;
  layer?: number;
  codec?: number;
  flags?: number;
  frame?: number;
  refersTo?: number;
  size?: number;
  ticks?: number;
}

export function chunk(payload: Uint8Array, fields: ChunkFields = {}): Uint8Array {
  const data = new Uint8Array(40 + payload.length);
  const view = new DataView(data.buffer);
  const { kind = 0x46, layer = 0, codec = 0, flags = 0, frame = 0 } = fields;
  data.set([0x46, 0x56, 0x56, 0x63, kind, layer, codec, flags]);
  view.setUint32(8, frame, true);
  view.setUint32(12, fields.refersTo ?? frame, true);
  view.setUint32(16, payload.length, true);
  view.setUint32(20, fields.size ?? payload.length, true);
  view.setBigInt64(24, BigInt(fields.ticks ?? frame * 3600), true);
  view.setUint32(32, crc32(payload), true);
  view.setUint32(36, crc32(data, 0, 36), true);
  data.set(payload, 40);
  return data;
}

export const HEADER = {
  sh_degree: 1,
  time_base: [1, 90000],
  grid: {
    origin: [0, 0, 0],
    position: 1,
    quat: 100,
    log_scale: 0.1,
    opacity: 50,
    color: 0.01,
    sh: [0.02, 0.04, 0.04],
  },
  bounds: [
    [0, 0, 0],
    [9, 9, 9],
  ],
  cameras: [],
};

/** The 16 bytes and the header chunk. */
export function streamStart(header: unknown = HEADER): Uint8Array {
  const prefix = Uint8Array.from([0x89, 0x46, 0x56, 0x56, 13, 10, 26, 10, 1, 0, 1, 0, 0, 0, 0, 0]);
  return join([prefix, chunk(new TextEncoder().encode(JSON.stringify(header)), { kind: 0x48 })]);
}

/** Intra frames every `intra`, other references every `key`, 25 frames a second. */
export function makeFrames(count: number, { rows = 5, intra = 6, key = 3, first = 0 } = {}): MadeFrame[] {
  let reference = first;
  return Array.from({ length: count }, (_, i) => {
    const frame = first + i;
    const fields = { frame };
    if (i % intra === 0) {
      reference = frame;
      const flags = INTRA | REFERENCE;
      const chunks = [
        chunk(intraPayload(rows, frame), { ...fields, flags }),
        chunk(shPayload(rows, 1), { ...fields, flags, layer: 1 }),
      ];
      return { number: frame, flags, chunks };
    }
    const flags = i % key === 0 ? REFERENCE : 0;
    const refersTo = reference;
    if (flags) reference = frame;
    const chunks = [
      chunk(deltaPayload(rows, frame - refersTo), { ...fields, flags, refersTo }),
      chunk(shDeltaPayload(rows), { ...fields, flags, refersTo, layer: 1 }),
    ];
    return { number: frame, flags, chunks };
  });
}

/** A file of these frames, with or without its index. */
export function makeFile(frames: MadeFrame[], { index = true, start = streamStart() } = {}): Uint8Array {
  const parts = [start];
  const entries: Uint8Array[] = [];
  let at = start.length;
  for (const data of frames.flatMap((frame) => frame.chunks)) {
    const entry = new Uint8Array(24);
    const view = new DataView(entry.buffer);
    const from = new DataView(data.buffer, data.byteOffset);
    view.setUint32(0, at, true);
    view.setUint32(8, data.length, true);
    view.setUint32(12, from.getUint32(8, true), true);
    view.setUint32(16, from.getUint32(12, true), true);
    entry.set([data[5], data[7]], 20);
    entries.push(entry);
    parts.push(data);
    at += data.length;
  }
  if (!index) return join(parts);
  const trailer = new Uint8Array(16);
  const view = new DataView(trailer.buffer);
  trailer.set([0x46, 0x56, 0x56, 0x65]);
  view.setUint32(4, at, true);
  view.setUint32(12, crc32(trailer, 0, 12), true);
  return join([...parts, chunk(join(entries), { kind: 0x49 }), trailer]);
}

export function join(parts: Uint8Array[]): Uint8Array {
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}
