/** CRC-32 of zlib, four bytes at a time. */

const TABLES = makeTables();

function makeTables(): Int32Array[] {
  const tables = [0, 1, 2, 3].map(() => new Int32Array(256));
  const [first, ...others] = tables as [Int32Array, ...Int32Array[]];
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
    first[byte] = value;
  }
  let before = first;
  for (const table of others) {
    for (let byte = 0; byte < 256; byte++) {
      const value = before[byte];
      table[byte] = (value >>> 8) ^ first[value & 0xff];
    }
    before = table;
  }
  return tables;
}

/** The checksum of `data` from `start` to before `end`, unsigned. */
export function crc32(data: Uint8Array, start = 0, end = data.length): number {
  const [t0, t1, t2, t3] = TABLES as [Int32Array, Int32Array, Int32Array, Int32Array];
  let crc = -1;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    crc ^= data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24);
    crc = t3[crc & 0xff] ^ t2[(crc >>> 8) & 0xff] ^ t1[(crc >>> 16) & 0xff] ^ t0[crc >>> 24];
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t0[(crc ^ data[at]) & 0xff];
  return ~crc >>> 0;
}
