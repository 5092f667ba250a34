/** Buffers that went out with frames and came back, used again. */

const STEP = 1 << 16; // sizes are rounded up, so that a few Gaussians more need no new buffer
const MOST_KEPT = 24;
const MOST_BYTES = 2 ** 28;

export class BufferPool {
  private readonly free: ArrayBuffer[] = [];
  private bytes = 0;

  /** An array of `length` numbers that hold anything; its buffer may be longer. */
  floats(length: number): Float32Array<ArrayBuffer> {
    const bytes = Math.max(Math.ceil((4 * length) / STEP), 1) * STEP;
    const at = this.free.findIndex((b) => b.byteLength >= bytes && b.byteLength <= 2 * bytes);
    const buffer = at < 0 ? new ArrayBuffer(bytes) : this.take(at);
    return new Float32Array(buffer, 0, length);
  }

  /** Take a buffer back. The oldest is let go when there are too many. */
  give(buffer: ArrayBuffer): void {
    if (buffer.byteLength === 0) return;
    this.free.push(buffer);
    this.bytes += buffer.byteLength;
    while (this.free.length > MOST_KEPT || this.bytes > MOST_BYTES) this.take(0);
  }

  private take(at: number): ArrayBuffer {
    const [buffer] = this.free.splice(at, 1);
    this.bytes -= buffer.byteLength;
    return buffer;
  }
}
