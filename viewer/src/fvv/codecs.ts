/**
 * Payloads of chunks decompressed, never to more than the header states.
 *
 * zstd is the reference implementation compiled to WebAssembly (`zstddec`): ten times as fast as
 * the best one written in JavaScript, and a hostile payload cannot make it run or grow without
 * bound. Deflate is the browser's own.
 */

import { ZSTDDecoder } from "zstddec";

import { FvvError } from "./errors.ts";

export const RAW = 0;
export const DEFLATE = 1;
export const ZSTD = 2;

const ZSTD_MAGIC = 0xfd2fb528;

const zstd = new ZSTDDecoder();
let ready: Promise<void> | null = null;

/**
 * Make zstd ready; wait for it before `decompress`.
 *
 * @throws FvvError if this browser has no WebAssembly, or the page does not allow it.
 */
export function prepareCodecs(): Promise<void> {
  ready ??= zstd.init().catch((error: unknown) => {
    ready = null;
    throw new FvvError(
      "This browser cannot run WebAssembly here, which playing needs (blocked by settings or by " +
        `the page's security policy: ${error instanceof Error ? error.message : error}).`,
    );
  });
  return ready;
}

/**
 * Decompress one payload.
 *
 * @param size bytes that must come out; held against the limits by the caller.
 * @throws FvvError if it is damaged, of another size, or of a codec that is not known.
 */
export function decompress(payload: Uint8Array, codec: number, size: number): Uint8Array {
  if (codec === RAW) return checkSize(payload, size);
  if (codec === ZSTD) return unzstd(payload, size);
  if (codec === DEFLATE) throw new FvvError("chunk payload: deflate must be inflated beforehand");
  throw new FvvError(`chunk payload: codec ${codec} is not known`);
}

/** The same for deflate, which browsers only do in the background. */
export async function inflate(payload: Uint8Array, size: number): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  let at = 0;
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  // Whatever is wrong with the payload is seen at the reading end.
  writer.write(payload as Uint8Array<ArrayBuffer>).catch(() => undefined);
  writer.close().catch(() => undefined);
  const reader = stream.readable.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) {
        await reader.cancel().catch(() => undefined);
        throw new FvvError(`chunk payload: decompresses to more than the ${size} bytes stated`);
      }
      out.set(value, at);
      at += value.length;
    }
  } catch (error) {
    if (error instanceof FvvError) throw error;
    throw new FvvError("chunk payload: is damaged (deflate)");
  }
  return checkSize(out.subarray(0, at), size);
}

function unzstd(payload: Uint8Array, size: number): Uint8Array {
  const stated = statedSize(payload);
  if (stated !== size) {
    throw new FvvError(`chunk payload: its frame states ${stated} bytes, the header ${size}`);
  }
  if (size === 0) return new Uint8Array(0);
  let data: Uint8Array;
  try {
    data = zstd.decode(payload, size);
  } catch (error) {
    throw new FvvError(`chunk payload: ${error instanceof Error ? error.message : error}`);
  }
  return checkSize(data, size);
}

function checkSize(data: Uint8Array, size: number): Uint8Array {
  if (data.length === size) return data;
  throw new FvvError(`chunk payload: ${data.length} bytes decompressed, header says ${size}`);
}

/** The content size in the header of a zstd frame, -1 if it states none (RFC 8878, 3.1.1.1). */
function statedSize(data: Uint8Array): number {
  if (data.length < 6) throw new FvvError("chunk payload: too short for zstd");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (view.getUint32(0, true) !== ZSTD_MAGIC) throw new FvvError("chunk payload: is not zstd");
  const descriptor = data[4];
  const single = (descriptor >> 5) & 1;
  const flag = descriptor >> 6;
  const at = 5 + (single ? 0 : 1) + [0, 1, 2, 4][descriptor & 3];
  if (at + (flag ? 1 << flag : single) > data.length) return -1;
  if (flag === 0) return single ? data[at] : -1;
  if (flag === 1) return view.getUint16(at, true) + 256;
  if (flag === 2) return view.getUint32(at, true);
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
