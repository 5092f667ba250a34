/** Sorts Gaussians by depth away from the page's thread. */

import { DepthSorter } from "./order.ts";
import type { SortAnswer, SortRequest } from "./sort_messages.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<SortRequest>) => void;
  postMessage(answer: SortAnswer, transfer: Transferable[]): void;
};

const sorter = new DepthSorter();
let centers = new Float32Array(0);

scope.onmessage = ({ data }) => {
  const answer: SortAnswer = { order: new Uint32Array(0), count: 0 };
  const transfer: Transferable[] = [];
  if (data.centers) {
    if (centers.byteLength > 0) {
      answer.spare = centers;
      transfer.push(centers.buffer);
    }
    centers = data.centers as Float32Array<ArrayBuffer>;
  }
  const n = centers.length / 3;
  answer.order = data.spare && data.spare.length >= n ? data.spare : new Uint32Array(n);
  answer.count = sorter.sort(centers, data.forward, data.offset, answer.order);
  transfer.push(answer.order.buffer);
  scope.postMessage(answer, transfer);
};
