/** What the page and the sorting worker say to each other. */

export interface SortRequest {
  /** New centres (3n); absent where those of the last request still hold. */
  centers?: Float32Array;
  /** Third row of the world-to-camera rotation. */
  forward: readonly number[];
  /** Third entry of its translation. */
  offset: number;
  /** A buffer to be used again for the answer. */
  spare?: Uint32Array;
}

export interface SortAnswer {
  order: Uint32Array;
  count: number;
  /** The centres of the request before, given back to be used again. */
  spare?: Float32Array;
}
