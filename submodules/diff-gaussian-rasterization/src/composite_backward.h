// Backward compositing of one tile (section 5): from the last entry to the first, the state of
// the pixels in the first-level cache, the sums of one entry in registers over all its blocks.
//
// Included inside the namespace of one instruction set; see composite.cpp.
#pragma once

// Per pixel of a tile, block by block: what the gradient of every entry needs.
struct TilePixels {
  float T[kTilePixels];       // transmittance in front of the entries seen so far
  float behind[kTilePixels];  // sum of w s behind, background included
  float color[3][kTilePixels];
  float common[kTilePixels];  // gA'
  float depth[kTilePixels];   // gD/(L W)
  float coord[3][kTilePixels];
  float normal[3][kTilePixels];
  float median_depth[kTilePixels];  // gMD/L
  float median_coord[3][kTilePixels];
  int last[kTilePixels];
  int median[kTilePixels];
};

IGS_INLINE F16 load_optional(const float* image, const TileContext& c, int channel, int x0,
                             int y0) {
  if (!image) return all(0.0f);
  return load_block(image + channel_offset(c, channel), c.width, c.height, x0, y0);
}

// gV of section 5, stored per pixel.
IGS_INLINE void prepare_normal(TilePixels& p, const BackwardArgs& a, std::size_t state, int at,
                               int x0, int y0) {
  const TileContext& c = a.tile;
  F16 g[3], n[3];
  for (int j = 0; j < 3; ++j) {
    g[j] = load_optional(a.grad.normal, c, j, x0, y0);
    n[j] = load_optional(a.out.normal, c, j, x0, y0);
  }
  const F16 inv = load16(c.normal_inverse + state);
  const M16 some = less(inv, all(1.0f / kShortestNormal));
  const F16 along = zero_unless(some, fma(g[0], n[0], fma(g[1], n[1], g[2] * n[2])));
  for (int j = 0; j < 3; ++j) store16(p.normal[j] + at, fnma(along, n[j], g[j]) * inv);
}

// Coefficients of depth and coordinates; returns their part of gA'.
template <unsigned F>
IGS_INLINE F16 prepare_positions(TilePixels& p, const BackwardArgs& a, int at, int x0, int y0) {
  const TileContext& c = a.tile;
  const F16 one = all(1.0f);
  const F16 weight = load_optional(a.out.alpha, c, 0, x0, y0);
  const M16 some = less(all(0.0f), weight);
  const F16 inv_w = zero_unless(some, one / select(some, weight, one));
  F16 common = all(0.0f);
  if (F & kDepth) {
    const F16 inv_length = one / ray_length(c, pixel_x(x0), pixel_y(y0));
    const F16 g = load_optional(a.grad.depth, c, 0, x0, y0) * inv_w;
    store16(p.depth + at, g * inv_length);
    common = fnma(g, load_optional(a.out.depth, c, 0, x0, y0), common);
    store16(p.median_depth + at, load_optional(a.grad.median_depth, c, 0, x0, y0) * inv_length);
  }
  for (int j = 0; j < ((F & kCoord) ? 3 : 0); ++j) {
    const F16 g = load_optional(a.grad.coord, c, j, x0, y0) * inv_w;
    store16(p.coord[j] + at, g);
    common = fnma(g, load_optional(a.out.coord, c, j, x0, y0), common);
    store16(p.median_coord[j] + at, load_optional(a.grad.median_coord, c, j, x0, y0));
  }
  return common;
}

// Does nothing for a block in which nothing was blended: no entry visits it.
template <unsigned F>
IGS_INLINE void prepare_block(TilePixels& p, const BackwardArgs& a, const TileSpot& spot,
                              int block) {
  const TileContext& c = a.tile;
  const int at = block * kLanes, x0 = block_x(spot, block), y0 = block_y(spot, block);
  const std::size_t state = spot.pixels + std::size_t(at);
  const I16 last = load16(c.last + state);
  if (!bits(less(all(0), last))) return;
  store16(p.last + at, last);
  const F16 T = load16(c.transmittance + state);
  store16(p.T + at, T);
  F16 background = all(0.0f);
  for (int j = 0; j < 3; ++j) {
    const F16 g = load_optional(a.grad.color, c, j, x0, y0);
    store16(p.color[j] + at, g);
    background = fma(g, all(c.background[j]), background);
  }
  store16(p.behind + at, T * background);
  F16 common = load_optional(a.grad.alpha, c, 0, x0, y0);
  if (F & (kDepth | kCoord)) {
    common = common + prepare_positions<F>(p, a, at, x0, y0);
    store16(p.median + at, load16(c.median + state));
  }
  if (F & kNormal) prepare_normal(p, a, state, at, x0, y0);
  store16(p.common + at, common);
}

// What the first sweep over an entry's blocks leaves for the second.
struct EntryWeights {
  F16 w[kBlocks];
};

// Sums of one entry in the order of kSumsBase.
struct BaseSums {
  F16 q, qu, qv, quu, quv, qvv, absolute, red, green, blue;
};

// First sweep: alpha, colour and the position in the image. The planes take part through the
// gradient on alpha; their own sums follow in the second sweep, for want of registers.
template <unsigned F>
IGS_INLINE void add_base(BaseSums& o, TilePixels& p, const Splat& g, const SplatPlane* plane,
                         int block, int position, F16 px, F16 py, F16 half_w, F16 half_h,
                         EntryWeights& weights) {
  const int at = block * kLanes;
  const Sample x = sample(g, px, py);
  const F16 alpha = min(x.raw, all(kAlphaMax)), one = all(1.0f);
  const M16 m = both(at_least(alpha, all(kAlphaMin)),
                     less(all(position - 1), load16(p.last + at)));
  const F16 inv = one / (one - alpha);
  const F16 before = load16(p.T + at);
  const F16 T = select(m, before * inv, before);
  const F16 w = zero_unless(m, alpha * T);
  const F16 red = load16(p.color[0] + at), green = load16(p.color[1] + at),
            blue = load16(p.color[2] + at);
  F16 s = fma(red, all(g.color[0]), load16(p.common + at));
  s = fma(green, all(g.color[1]), s);
  s = fma(blue, all(g.color[2]), s);
  if (F & kDepth) s = fma(load16(p.depth + at), ray_distance(*plane, x), s);
  for (int j = 0; j < ((F & kCoord) ? 3 : 0); ++j) {
    s = fma(load16(p.coord[j] + at), plane_coordinate(*plane, j, x), s);
  }
  for (int j = 0; j < ((F & kNormal) ? 3 : 0); ++j) {
    s = fma(load16(p.normal[j] + at), all(plane->normal[j]), s);
  }
  const F16 behind = load16(p.behind + at);
  const F16 dalpha = fnma(behind, inv, T * s);
  store16(p.behind + at, fma(w, s, behind));
  store16(p.T + at, T);
  if (F) weights.w[block] = w;
  const F16 q = zero_unless(m, x.raw * dalpha);
  const F16 qu = q * x.u, qv = q * x.v;
  o.q = o.q + q;
  o.qu = o.qu + qu;
  o.qv = o.qv + qv;
  o.quu = fma(qu, x.u, o.quu);
  o.quv = fma(qu, x.v, o.quv);
  o.qvv = fma(qv, x.v, o.qvv);
  o.absolute = fma(abs(qu), half_w, o.absolute);
  o.absolute = fma(abs(fma(qu, all(g.l21), qv * all(g.l22))), half_h, o.absolute);
  o.red = fma(w, red, o.red);
  o.green = fma(w, green, o.green);
  o.blue = fma(w, blue, o.blue);
}

// A sum over pixels of some d, with d dx and d dy.
struct PlaneSum {
  F16 d, dx, dy;
};

IGS_INLINE void add_plane(PlaneSum& o, F16 d, F16 dx, F16 dy) {
  o.d = o.d + d;
  o.dx = fma(d, dx, o.dx);
  o.dy = fma(d, dy, o.dy);
}

struct PlaneSums {
  PlaneSum t, x, y, z;
  F16 n0, n1, n2;
};

// Second sweep: ray distance, coordinates and normal; the median outputs belong to one entry a
// pixel (section 5).
template <unsigned F>
IGS_INLINE void add_planes(PlaneSums& o, const TilePixels& p, const Splat& g, int block,
                           int position, bool medians, F16 w, F16 px, F16 py) {
  const int at = block * kLanes;
  const F16 dx = all(g.px) - px, dy = all(g.py) - py;
  M16 front{};
  if ((F & (kDepth | kCoord)) && medians) front = equal(all(position), load16(p.median + at));
  if (F & kDepth) {
    F16 d = w * load16(p.depth + at);
    if (medians) d = add_where(front, d, load16(p.median_depth + at));
    add_plane(o.t, d, dx, dy);
  }
  if (F & kCoord) {
    F16 x = w * load16(p.coord[0] + at), y = w * load16(p.coord[1] + at),
        z = w * load16(p.coord[2] + at);
    if (medians) {
      x = add_where(front, x, load16(p.median_coord[0] + at));
      y = add_where(front, y, load16(p.median_coord[1] + at));
      z = add_where(front, z, load16(p.median_coord[2] + at));
    }
    add_plane(o.x, x, dx, dy);
    add_plane(o.y, y, dx, dy);
    add_plane(o.z, z, dx, dy);
  }
  if (F & kNormal) {
    o.n0 = fma(w, load16(p.normal[0] + at), o.n0);
    o.n1 = fma(w, load16(p.normal[1] + at), o.n1);
    o.n2 = fma(w, load16(p.normal[2] + at), o.n2);
  }
}

// Totals in the layout of types.h; the last group is filled up with zeros.
template <unsigned F> IGS_INLINE void store_sums(float* to, const BaseSums& b, const PlaneSums& o) {
  const F16 zero = all(0.0f);
  store_totals(to, b.q, b.qu, b.qv, b.quu);
  store_totals(to + 4, b.quv, b.qvv, b.absolute, b.red);
  constexpr unsigned kPlanes = F & kPlaneFeatures;
  if (kPlanes == 0) {
    store_totals(to + 8, b.green, b.blue, zero, zero);
  } else if (kPlanes == kDepth) {
    store_totals(to + 8, b.green, b.blue, o.t.d, o.t.dx);
    store_totals(to + 12, o.t.dy, zero, zero, zero);
  } else if (kPlanes == kCoord) {
    store_totals(to + 8, b.green, b.blue, o.x.d, o.x.dx);
    store_totals(to + 12, o.x.dy, o.y.d, o.y.dx, o.y.dy);
    store_totals(to + 16, o.z.d, o.z.dx, o.z.dy, zero);
  } else if (kPlanes == kNormal) {
    store_totals(to + 8, b.green, b.blue, o.n0, o.n1);
    store_totals(to + 12, o.n2, zero, zero, zero);
  } else if (kPlanes == (kDepth | kNormal)) {
    store_totals(to + 8, b.green, b.blue, o.t.d, o.t.dx);
    store_totals(to + 12, o.t.dy, o.n0, o.n1, o.n2);
  } else if (kPlanes == (kCoord | kNormal)) {
    store_totals(to + 8, b.green, b.blue, o.x.d, o.x.dx);
    store_totals(to + 12, o.x.dy, o.y.d, o.y.dx, o.y.dy);
    store_totals(to + 16, o.z.d, o.z.dx, o.z.dy, o.n0);
    store_totals(to + 20, o.n1, o.n2, zero, zero);
  } else {
    store_totals(to + 8, b.green, b.blue, o.t.d, o.t.dx);
    store_totals(to + 12, o.t.dy, o.x.d, o.x.dx, o.x.dy);
    store_totals(to + 16, o.y.d, o.y.dx, o.y.dy, o.z.d);
    store_totals(to + 20, o.z.dx, o.z.dy, o.n0, o.n1);
    if (F & kNormal) store_totals(to + 24, o.n2, zero, zero, zero);
  }
}

IGS_INLINE int lowest_bit(unsigned m) {
#if defined(_MSC_VER)
  unsigned long k;
  _BitScanForward(&k, m);
  return int(k);
#else
  return __builtin_ctz(m);
#endif
}

template <unsigned F>
IGS_INLINE void add_entry(TilePixels& p, const BackwardArgs& a, const TileSpot& spot,
                          std::uint32_t entry, bool medians) {
  constexpr int kStride = sums_stride(F);
  const TileContext& c = a.tile;
  const TileEntry e = c.entries[entry];
  float* to = a.sums + std::size_t(e.slot) * std::size_t(kStride);
  const unsigned hits = c.hits[entry];
  if (!hits) {
    for (int k = 0; k < kStride; ++k) to[k] = 0.0f;
    return;
  }
  const Splat& g = c.splats[e.gaussian];
  const SplatPlane* plane = F ? c.planes + e.gaussian : nullptr;
  const F16 zero = all(0.0f);
  const F16 half_w = all(0.5f * float(c.width) * g.l11), half_h = all(0.5f * float(c.height));
  const int position = int(entry - spot.begin) + 1;
  EntryWeights weights;
  BaseSums base{zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  for (unsigned m = hits; m; m &= m - 1) {
    const int block = lowest_bit(m);
    add_base<F>(base, p, g, plane, block, position, pixel_x(block_x(spot, block)),
                pixel_y(block_y(spot, block)), half_w, half_h, weights);
  }
  const PlaneSum none{zero, zero, zero};
  PlaneSums planes{none, none, none, none, zero, zero, zero};
  if (F) {
    for (unsigned m = hits; m; m &= m - 1) {
      const int block = lowest_bit(m);
      add_planes<F>(planes, p, g, block, position, medians, weights.w[block],
                    pixel_x(block_x(spot, block)), pixel_y(block_y(spot, block)));
    }
  }
  store_sums<F>(to, base, planes);
}

// Asks for one row of what the next tile will need.
template <unsigned F>
IGS_INLINE void prefetch_gradients(const BackwardArgs& a, const TileSpot& next, int row) {
  const TileContext& c = a.tile;
  prefetch_row(a.grad.color, 3, c, next, row);
  prefetch_row(a.grad.alpha, 1, c, next, row);
  if (F & (kDepth | kCoord)) prefetch_row(a.out.alpha, 1, c, next, row);
  if (F & kDepth) {
    prefetch_row(a.grad.depth, 1, c, next, row);
    prefetch_row(a.grad.median_depth, 1, c, next, row);
    prefetch_row(a.out.depth, 1, c, next, row);
  }
  if (F & kCoord) {
    prefetch_row(a.grad.coord, 3, c, next, row);
    prefetch_row(a.grad.median_coord, 3, c, next, row);
    prefetch_row(a.out.coord, 3, c, next, row);
  }
  if (F & kNormal) {
    prefetch_row(a.grad.normal, 3, c, next, row);
    prefetch_row(a.out.normal, 3, c, next, row);
  }
}

// Asks for what an entry will read and write.
template <unsigned F>
IGS_INLINE void prefetch_entry(const BackwardArgs& a, std::uint32_t entry) {
  constexpr int kStride = sums_stride(F);
  const TileEntry e = a.tile.entries[entry];
  prefetch_gaussian<F>(a.tile, e.gaussian);
  const float* to = a.sums + std::size_t(e.slot) * std::size_t(kStride);
  IGS_PREFETCH_WRITE(to);
  IGS_PREFETCH_WRITE(to + kStride - 1);
}

template <unsigned F> static void backward_tile(const BackwardArgs& a, int tile) {
  const TileSpot spot = tile_spot(a.tile, tile);
  if (spot.begin == spot.end) return;
  const bool medians = a.grad.median_depth || a.grad.median_coord;
  TilePixels pixels;
  for (int block = 0; block < kBlocks; ++block) prepare_block<F>(pixels, a, spot, block);
  // A row of the next tile with each entry: all at once would wait for the memory.
  int row = tile + 1 < a.tile.tiles ? 0 : kTile;
  const TileSpot next = tile_spot(a.tile, row == 0 ? tile + 1 : tile);
  for (std::uint32_t entry = spot.end; entry-- > spot.begin;) {
    if (row < kTile) prefetch_gradients<F>(a, next, row++);
    if (entry - spot.begin >= kAhead) prefetch_entry<F>(a, entry - kAhead);
    add_entry<F>(pixels, a, spot, entry, medians);
  }
}
