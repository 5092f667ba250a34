/** What goes wrong with a container, and the limits that keep a hostile one harmless. */

/** A file or stream that is not, or no longer, a container of ours; one plain sentence. */
export class FvvError extends Error {
  override name = "FvvError";
}

/**
 * What is accepted at most; beyond it a chunk counts as damaged.
 *
 * Whatever the input says, a decoder holds at most `stateBytes` for its reference frame, as much
 * again while rows come or go, the same for one frame that goes out, and `2 * chunkBytes` for
 * payloads of one layer.
 */
export interface Limits {
  /** Gaussians of one frame. */
  gaussians: number;
  /** Bytes of integers and floats that one frame's Gaussians may take in the decoder. */
  stateBytes: number;
  /** Bytes of one chunk, stored and decompressed. */
  chunkBytes: number;
  /** Bytes of the stream's header. */
  headerBytes: number;
  /** Entries of the index at the end of a file. */
  indexEntries: number;
}

export const DEFAULT_LIMITS: Limits = {
  gaussians: 4_000_000,
  stateBytes: 2 ** 30,
  chunkBytes: 2 ** 27,
  headerBytes: 2 ** 20,
  indexEntries: 4_000_000,
};

/** The message of anything thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
