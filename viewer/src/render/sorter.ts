/** The page's side of the sorting worker: one request at a time, buffers used again. */

import type { SortAnswer, SortRequest } from "./sort_messages.ts";

export interface Sorted {
  order: Uint32Array;
  count: number;
}

export class Sorter {
  private readonly worker: Worker;
  private waiting: { resolve: (sorted: Sorted) => void; reject: (error: Error) => void } | null =
    null;
  private spareOrder: Uint32Array | undefined;
  private spareCenters: Float32Array | undefined;

  constructor(script: URL) {
    this.worker = new Worker(script, { type: "module" });
    this.worker.onmessage = ({ data }: MessageEvent<SortAnswer>) => {
      if (data.spare) this.spareCenters = data.spare;
      const waiting = this.waiting;
      this.waiting = null;
      waiting?.resolve({ order: data.order, count: data.count });
    };
    this.worker.onerror = (event) => {
      const waiting = this.waiting;
      this.waiting = null;
      waiting?.reject(new Error(`sorting failed: ${event.message || "worker did not start"}`));
    };
  }

  get busy(): boolean {
    return this.waiting !== null;
  }

  /**
   * Sort the centres that were last given, or `centers` (copied) if given.
   *
   * @throws Error if another request is under way.
   */
  sort(forward: readonly number[], offset: number, centers?: Float32Array): Promise<Sorted> {
    if (this.waiting) throw new Error("the sorter is busy");
    const request: SortRequest = { forward, offset };
    const transfer: Transferable[] = [];
    if (centers) {
      request.centers = this.copyOf(centers);
      transfer.push(request.centers.buffer);
    }
    if (this.spareOrder) {
      request.spare = this.spareOrder;
      transfer.push(this.spareOrder.buffer);
      this.spareOrder = undefined;
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.worker.postMessage(request, transfer);
    });
  }

  /** Hand an order back once it is on the GPU. */
  recycle(order: Uint32Array): void {
    this.spareOrder = order;
  }

  close(): void {
    this.worker.terminate();
    this.waiting?.reject(new Error("closed"));
    this.waiting = null;
  }

  private copyOf(centers: Float32Array): Float32Array {
    const spare = this.spareCenters;
    this.spareCenters = undefined;
    if (spare && spare.length === centers.length) {
      spare.set(centers);
      return spare;
    }
    return centers.slice();
  }
}
