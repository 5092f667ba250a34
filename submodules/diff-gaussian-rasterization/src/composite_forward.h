// Forward compositing of one tile (section 4).
//
// Entries are gathered in batches; each 4x4 block of pixels then walks the entries that reach it
// with its state in registers.
//
// Included inside the namespace of one instruction set; see composite.cpp.
#pragma once

// How many vectors a block keeps of something that only `wanted` variants compute; one at least,
// as an array must have.
constexpr int kept(bool wanted, int count) { return wanted ? count : 1; }

// Sixteen pixels on their way through the list.
template <unsigned F> struct BlockState {
  static constexpr int kCoords = kept(F & kCoord, 3), kNormals = kept(F & kNormal, 3);
  F16 T, color[3];
  F16 weight, depth, coord[kCoords], normal[kNormals];
  F16 median_t, median_x[kCoords];
  I16 last, median;
  M16 alive;
};

// One batch of a tile's list in contiguous memory.
struct Batch {
  Splat splats[kBatch];
  SplatPlane planes[kBatch];
  std::uint16_t hits[kBatch];
  std::uint16_t lists[kBlocks][kBatch];
  int lengths[kBlocks];
  PairCount counts[kBatch];
};

IGS_INLINE M16 inside_image(const TileContext& c, F16 px, F16 py) {
  return both(less(px, all(float(c.width))), less(py, all(float(c.height))));
}

template <unsigned F> IGS_INLINE void begin_block(BlockState<F>& s, const TileContext& c, int x0, int y0) {
  s.T = all(1.0f);
  for (int i = 0; i < 3; ++i) s.color[i] = all(0.0f);
  for (int i = 0; i < s.kCoords; ++i) s.coord[i] = s.median_x[i] = all(0.0f);
  for (int i = 0; i < s.kNormals; ++i) s.normal[i] = all(0.0f);
  s.weight = s.depth = s.median_t = all(0.0f);
  s.last = s.median = all(0);
  s.alive = inside_image(c, pixel_x(x0), pixel_y(y0));
}

// Copies the entries and sorts them into the lists of the blocks that they reach.
template <unsigned F>
IGS_INLINE void gather_forward(Batch& b, const ForwardArgs& a, std::uint32_t first, int n) {
  for (int k = 0; k < kBlocks; ++k) b.lengths[k] = 0;
  const TileEntry* entries = a.tile.entries + first;
  for (int e = 0; e < n; ++e) {
    const std::uint32_t i = entries[e].gaussian;
    prefetch_gaussian<F>(a.tile, entries[e + int(kAhead) < n ? e + int(kAhead) : n - 1].gaussian);
    b.splats[e] = a.tile.splats[i];
    if (F & kPlaneFeatures) b.planes[e] = a.tile.planes[i];
    b.hits[e] = 0;
    if (F & kCount) b.counts[e] = {0u, 0.0f};
    for (unsigned m = a.blocks[first + std::uint32_t(e)], k = 0; m; m >>= 1, ++k) {
      b.lists[k][b.lengths[k]] = std::uint16_t(e);
      b.lengths[k] += int(m & 1u);
    }
  }
}

IGS_INLINE int count_bits(unsigned m) {
  int n = 0;
  for (; m; m &= m - 1) ++n;
  return n;
}

template <unsigned F>
IGS_INLINE void blend_entry(BlockState<F>& s, Batch& b, int e, int position, F16 px, F16 py,
                            unsigned block_bit) {
  const Sample at = sample(b.splats[e], px, py);
  const F16 alpha = min(at.raw, all(kAlphaMax));
  M16 m = both(at_least(alpha, all(kAlphaMin)), s.alive);
  const F16 next = s.T * (all(1.0f) - alpha);
  const M16 stop = both(m, less(next, all(kMinTransmittance)));
  s.alive = without(s.alive, stop);
  m = without(m, stop);
  const unsigned blended = bits(m);
  b.hits[e] = std::uint16_t(b.hits[e] | (blended ? block_bit : 0u));
  const F16 w = zero_unless(m, alpha * s.T);
  for (int i = 0; i < 3; ++i) s.color[i] = fma(w, all(b.splats[e].color[i]), s.color[i]);
  const I16 pos = all(position);
  if (F & kCount) {
    alignas(64) float lanes[4];
    const F16 t = zero_unless(m, s.T);
    store_totals(lanes, t, t, t, t);
    b.counts[e].pixels += std::uint32_t(count_bits(blended));
    b.counts[e].transmittance += lanes[0];
  }
  if (F & kPlaneFeatures) s.weight = s.weight + w;
  const SplatPlane& g = b.planes[e];
  const M16 front = both(m, less(all(0.5f), s.T));
  if (F & kDepth) {
    const F16 t = ray_distance(g, at);
    s.depth = fma(w, t, s.depth);
    s.median_t = select(front, t, s.median_t);
  }
  for (int i = 0; i < ((F & kCoord) ? 3 : 0); ++i) {
    const F16 x = plane_coordinate(g, i, at);
    s.coord[i] = fma(w, x, s.coord[i]);
    s.median_x[i] = select(front, x, s.median_x[i]);
  }
  if (F & kNormal) {
    for (int i = 0; i < 3; ++i) s.normal[i] = fma(w, all(g.normal[i]), s.normal[i]);
  }
  if (F & (kDepth | kCoord)) s.median = select(front, pos, s.median);
  s.T = select(m, next, s.T);
  s.last = select(m, pos, s.last);
}

template <unsigned F>
IGS_INLINE void blend_batch(BlockState<F>& state, Batch& b, int block, int position, int x0, int y0) {
  BlockState<F> s = state;
  const F16 px = pixel_x(x0), py = pixel_y(y0);
  const std::uint16_t* list = b.lists[block];
  const int length = b.lengths[block];
  for (int k = 0; k < length && bits(s.alive); ++k) {
    const int e = list[k];
    blend_entry<F>(s, b, e, position + e + 1, px, py, 1u << block);
  }
  state = s;
}

template <unsigned F>
IGS_INLINE void store_plane_outputs(const ForwardArgs& a, const TileSpot& spot,
                                    const BlockState<F>& s, int block, int x0, int y0) {
  const TileContext& c = a.tile;
  const F16 zero = all(0.0f), one = all(1.0f);
  const M16 some = less(zero, s.weight);
  const F16 inv_w = zero_unless(some, one / select(some, s.weight, one));
  const std::size_t at = spot.pixels + std::size_t(block) * kLanes;
  if (F & kDepth) {
    const F16 inv_length = one / ray_length(c, pixel_x(x0), pixel_y(y0));
    store_block(a.out.depth, c.width, c.height, x0, y0, s.depth * inv_w * inv_length);
    store_block(a.out.median_depth, c.width, c.height, x0, y0, s.median_t * inv_length);
  }
  if (F & kCoord) {
    for (int j = 0; j < 3; ++j) {
      store_block(a.out.coord + channel_offset(c, j), c.width, c.height, x0, y0,
                  s.coord[j] * inv_w);
      store_block(a.out.median_coord + channel_offset(c, j), c.width, c.height, x0, y0,
                  s.median_x[j]);
    }
  }
  if (F & kNormal) {
    const F16 size = sqrt(fma(s.normal[0], s.normal[0],
                              fma(s.normal[1], s.normal[1], s.normal[2] * s.normal[2])));
    const F16 inv = one / max(size, all(kShortestNormal));
    store16(c.normal_inverse + at, inv);
    for (int j = 0; j < 3; ++j) {
      store_block(a.out.normal + channel_offset(c, j), c.width, c.height, x0, y0,
                  s.normal[j] * inv);
    }
  }
  if (F & (kDepth | kCoord)) store16(c.median + at, s.median);
}

template <unsigned F>
IGS_INLINE void finish_block(const ForwardArgs& a, const TileSpot& spot, const BlockState<F>& s,
                             int block) {
  const TileContext& c = a.tile;
  const int x0 = block_x(spot, block), y0 = block_y(spot, block);
  const std::size_t at = spot.pixels + std::size_t(block) * kLanes;
  store16(c.transmittance + at, s.T);
  store16(c.last + at, s.last);
  if (x0 >= c.width || y0 >= c.height) return;
  for (int j = 0; j < 3; ++j) {
    store_block(a.out.color + channel_offset(c, j), c.width, c.height, x0, y0,
                fma(s.T, all(c.background[j]), s.color[j]));
  }
  if (a.out.alpha) {
    const F16 alpha = (F & kPlaneFeatures) ? s.weight : all(1.0f) - s.T;
    store_block(a.out.alpha, c.width, c.height, x0, y0, alpha);
  }
  if (F & kPlaneFeatures) store_plane_outputs<F>(a, spot, s, block, x0, y0);
}

// Asks for one row of the output images.
template <unsigned F>
IGS_INLINE void prefetch_outputs(const ForwardArgs& a, const TileSpot& spot, int row) {
  const TileContext& c = a.tile;
  prefetch_row(a.out.color, 3, c, spot, row);
  prefetch_row(a.out.alpha, 1, c, spot, row);
  if (F & kDepth) {
    prefetch_row(a.out.depth, 1, c, spot, row);
    prefetch_row(a.out.median_depth, 1, c, spot, row);
  }
  if (F & kCoord) {
    prefetch_row(a.out.coord, 3, c, spot, row);
    prefetch_row(a.out.median_coord, 3, c, spot, row);
  }
  if (F & kNormal) prefetch_row(a.out.normal, 3, c, spot, row);
}

template <unsigned F> static void forward_tile(const ForwardArgs& a, int tile) {
  const TileContext& c = a.tile;
  const TileSpot spot = tile_spot(c, tile);
  BlockState<F> blocks[kBlocks];
  for (int k = 0; k < kBlocks; ++k) {
    begin_block<F>(blocks[k], c, block_x(spot, k), block_y(spot, k));
  }
  Batch batch;
  bool alive = true;
  for (std::uint32_t first = spot.begin; first < spot.end; first += kBatch) {
    const int n = int(spot.end - first < kBatch ? spot.end - first : kBatch);
    if (!alive) {
      for (int e = 0; e < n; ++e) c.hits[first + std::uint32_t(e)] = 0;
      if (F & kCount) {
        for (int e = 0; e < n; ++e) {
          a.counts[c.entries[first + std::uint32_t(e)].slot] = {0u, 0.0f};
        }
      }
      continue;
    }
    gather_forward<F>(batch, a, first, n);
    alive = false;
    for (int k = 0; k < kBlocks; ++k) {
      // A row of the images with each block: all at once would wait for the memory.
      if (first == spot.begin) prefetch_outputs<F>(a, spot, k);
      blend_batch<F>(blocks[k], batch, k, int(first - spot.begin), block_x(spot, k),
                     block_y(spot, k));
      alive = alive || bits(blocks[k].alive) != 0;
    }
    for (int e = 0; e < n; ++e) c.hits[first + std::uint32_t(e)] = batch.hits[e];
    if (F & kCount) {
      for (int e = 0; e < n; ++e) {
        a.counts[c.entries[first + std::uint32_t(e)].slot] = batch.counts[e];
      }
    }
  }
  for (int k = 0; k < kBlocks; ++k) finish_block<F>(a, spot, blocks[k], k);
}
