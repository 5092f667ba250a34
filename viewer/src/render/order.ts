/** Depth order by counting sort, free of the browser so that it can be tested by itself. */

const DIGIT_BITS = 12;
const BINS = 1 << DIGIT_BITS;
const KEY_MAX = (1 << (2 * DIGIT_BITS)) - 1;

/** Nearest depth that is drawn, scene units; the rasterizer's own. */
export const NEAR = 0.2;

/** Working memory that is kept between sorts. */
export class DepthSorter {
  private keys = new Uint32Array(0);
  private rows = new Uint32Array(0);
  private halfway = new Uint32Array(0);
  private readonly low = new Uint32Array(BINS);
  private readonly high = new Uint32Array(BINS);

  /**
   * Indices of the Gaussians in front of the camera, farthest first.
   *
   * Equal depths come in descending index, so that drawing back to front agrees with a rasterizer
   * which goes front to back in ascending index. Depths are told apart to one part in 2^24 of
   * their range.
   *
   * @param centers 3n numbers, world axes.
   * @param forward unit vector, world axes; depth = forward . center + offset.
   * @param order room for n indices.
   * @returns how many indices were written.
   */
  sort(
    centers: Float32Array,
    forward: readonly number[],
    offset: number,
    order: Uint32Array,
  ): number {
    const count = this.collect(centers, forward, offset);
    const { keys, rows, halfway, low, high } = this;
    starts(low);
    for (let i = 0; i < count; i++) halfway[low[keys[i]! & (BINS - 1)]!++] = i;
    starts(high);
    for (let j = 0; j < count; j++) {
      const i = halfway[j]!;
      order[high[keys[i]! >>> DIGIT_BITS]!++] = rows[i]!;
    }
    return count;
  }

  /** Keys (0 is the farthest), rows and histograms of what is in front of the camera. */
  private collect(centers: Float32Array, forward: readonly number[], offset: number): number {
    const n = centers.length / 3;
    this.reserve(n);
    const { keys, rows, low, high } = this;
    const [x, y, z] = [forward[0]!, forward[1]!, forward[2]!];
    const depths = new Float32Array(keys.buffer);
    let count = 0;
    let near = Infinity;
    let far = -Infinity;
    for (let row = n - 1; row >= 0; row--) {
      const at = 3 * row;
      const depth = x * centers[at]! + y * centers[at + 1]! + z * centers[at + 2]! + offset;
      if (!(depth > NEAR) || depth === Infinity) continue;
      rows[count] = row;
      depths[count++] = depth;
      if (depth < near) near = depth;
      if (depth > far) far = depth;
    }
    low.fill(0);
    high.fill(0);
    const scale = far > near ? KEY_MAX / (far - near) : 0;
    for (let i = 0; i < count; i++) {
      const key = Math.max(0, Math.min(KEY_MAX, Math.floor((far - depths[i]!) * scale)));
      keys[i] = key;
      low[key & (BINS - 1)]!++;
      high[key >>> DIGIT_BITS]!++;
    }
    return count;
  }

  private reserve(n: number): void {
    if (this.keys.length >= n) return;
    const room = Math.ceil(n * 1.25);
    this.keys = new Uint32Array(room);
    this.rows = new Uint32Array(room);
    this.halfway = new Uint32Array(room);
  }
}

/** Turn counts into first positions. */
function starts(counts: Uint32Array): void {
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!;
    counts[i] = sum;
    sum += count;
  }
}
