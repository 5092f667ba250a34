/** Chunks: the one unit of a file and of a live stream; docs/fvv.md, section 2. */

import { DEFLATE, decompress, inflate } from "./codecs.ts";
import { crc32 } from "./crc32.ts";
import { FvvError, type Limits } from "./errors.ts";

export const PREFIX_BYTES = 16;
export const HEADER_BYTES = 40;
export const TRAILER_BYTES = 16;
export const ENTRY_BYTES = 24;

export const HEAD = 0x48;
export const FRAME = 0x46;
export const INDEX = 0x49;

export const INTRA = 1;
export const REFERENCE = 2;

const MAGIC = [0x89, 0x46, 0x56, 0x56, 0x0d, 0x0a, 0x1a, 0x0a];
const MAJOR = 1;
const MARKER = 0x63565646; // "FVVc"
const TRAILER_MARKER = 0x65565646; // "FVVe"

export interface ChunkHeader {
  kind: number;
  layer: number;
  codec: number;
  flags: number;
  frame: number;
  refersTo: number;
  stored: number;
  size: number;
  ticks: number;
  checksum: number;
}

/** A chunk as stored or sent. */
export interface Chunk {
  header: ChunkHeader;
  payload: Uint8Array;
}

/** A chunk whose payload was checked and decompressed. */
export interface OpenChunk {
  header: ChunkHeader;
  data: Uint8Array;
}

/**
 * Check the 16 bytes that a file or stream begins with.
 *
 * @returns the major version.
 * @throws FvvError if it is something else, or of a version that is not known.
 */
export function checkPrefix(data: Uint8Array): number {
  if (data.length < PREFIX_BYTES || MAGIC.some((byte, i) => data[i] !== byte)) {
    throw new FvvError("This is not an .fvv file: it begins with other bytes.");
  }
  const view = viewOf(data);
  const major = view.getUint16(8, true);
  if (major !== MAJOR) {
    const version = `${major}.${view.getUint16(10, true)}`;
    throw new FvvError(`The file is of version ${version}; this player knows ${MAJOR}.x.`);
  }
  return major;
}

/**
 * Read a chunk's header.
 *
 * @throws FvvError for no marker, a wrong checksum, or sizes beyond the limits.
 */
export function readChunkHeader(data: Uint8Array, at: number, limits: Limits): ChunkHeader {
  if (at + HEADER_BYTES > data.length) {
    throw new FvvError(`chunk header: ${Math.max(data.length - at, 0)} bytes, 40 are needed`);
  }
  const view = viewOf(data);
  if (view.getUint32(at, true) !== MARKER) {
    throw new FvvError("chunk header: no chunk begins here");
  }
  if (view.getUint32(at + 36, true) !== crc32(data, at, at + 36)) {
    throw new FvvError("chunk header: wrong checksum");
  }
  const header: ChunkHeader = {
    kind: data[at + 4],
    layer: data[at + 5],
    codec: data[at + 6],
    flags: data[at + 7],
    frame: view.getUint32(at + 8, true),
    refersTo: view.getUint32(at + 12, true),
    stored: view.getUint32(at + 16, true),
    size: view.getUint32(at + 20, true),
    ticks: Number(view.getBigInt64(at + 24, true)),
    checksum: view.getUint32(at + 32, true),
  };
  const most = header.kind === HEAD ? limits.headerBytes : limits.chunkBytes;
  if (Math.max(header.stored, header.size) > most) {
    throw new FvvError(
      `chunk of ${header.stored} bytes, ${header.size} decompressed: over the limit of ${most}`,
    );
  }
  return header;
}

/** The header at `at`, null if no sound one stands there. */
export function tryChunkHeader(data: Uint8Array, at: number, limits: Limits): ChunkHeader | null {
  try {
    return readChunkHeader(data, at, limits);
  } catch (error) {
    if (error instanceof FvvError) return null;
    throw error;
  }
}

/**
 * The chunk at `at`, not yet opened; its payload is a view of `data`.
 *
 * @throws FvvError as `readChunkHeader`, or if the payload is cut off.
 */
export function readChunk(data: Uint8Array, at: number, limits: Limits): Chunk {
  const header = readChunkHeader(data, at, limits);
  const begin = at + HEADER_BYTES;
  if (begin + header.stored > data.length) {
    const there = Math.max(data.length - begin, 0);
    throw new FvvError(`chunk payload: ${there} of ${header.stored} bytes are there`);
  }
  return { header, payload: data.subarray(begin, begin + header.stored) };
}

/**
 * All chunks of a message or of a stretch of a file, in order.
 *
 * @throws FvvError as `readChunk`.
 */
export function readChunks(data: Uint8Array, limits: Limits): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 0; at < data.length; ) {
    const chunk = readChunk(data, at, limits);
    chunks.push(chunk);
    at += HEADER_BYTES + chunk.header.stored;
  }
  return chunks;
}

/**
 * Check and decompress a payload.
 *
 * @returns at once, except for deflate, which browsers only do in the background.
 * @throws FvvError (or a rejection with one) for a wrong checksum or damage.
 */
export function openChunk(chunk: Chunk): OpenChunk | Promise<OpenChunk> {
  const { header, payload } = chunk;
  if (crc32(payload) !== header.checksum) throw new FvvError("chunk payload: wrong checksum");
  if (header.codec === DEFLATE) {
    return inflate(payload, header.size).then((data) => ({ header, data }));
  }
  return { header, data: decompress(payload, header.codec, header.size) };
}

/** Where the next marker stands at or behind `at`, -1 if there is none. */
export function findMarker(data: Uint8Array, at: number): number {
  for (let i = data.indexOf(0x46, at); i >= 0; i = data.indexOf(0x46, i + 1)) {
    if (i + 4 > data.length) return -1;
    if (data[i + 1] === 0x56 && data[i + 2] === 0x56 && data[i + 3] === 0x63) return i;
  }
  return -1;
}

/** Offset of the index chunk from the last 16 bytes of a file, null if they are no trailer. */
export function readTrailer(data: Uint8Array): number | null {
  if (data.length !== TRAILER_BYTES) return null;
  const view = viewOf(data);
  if (view.getUint32(0, true) !== TRAILER_MARKER) return null;
  if (view.getUint32(12, true) !== crc32(data, 0, 12)) return null;
  return view.getUint32(4, true) + view.getUint32(8, true) * 2 ** 32;
}

export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.length);
}
