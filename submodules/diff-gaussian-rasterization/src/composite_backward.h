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
  int last[kTilePixels];
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
  const F16 length = load16(c.normal_length + state);
  const M16 some = at_least(length, all(1e-12f));
  const F16 along = zero_unless(some, fma(g[0], n[0], fma(g[1], n[1], g[2] * n[2])));
  const F16 inv = all(1.0f) / max(length, all(1e-12f));
  for (int j = 0; j < 3; ++j) store16(p.normal[j] + at, fnma(along, n[j], g[j]) * inv);
}

template <unsigned F>
IGS_INLINE void prepare_block(TilePixels& p, const BackwardArgs& a, const TileSpot& spot,
                              int block) {
  const TileContext& c = a.tile;
  const int at = block * kLanes, x0 = block_x(spot, block), y0 = block_y(spot, block);
  const std::size_t state = spot.pixels + std::size_t(at);
  const F16 zero = all(0.0f), one = all(1.0f);
  const F16 T = load16(c.transmittance + state);
  store16(p.T + at, T);
  store16(p.last + at, load16(c.last + state));
  F16 background = zero;
  for (int j = 0; j < 3; ++j) {
    const F16 g = load_optional(a.grad.color, c, j, x0, y0);
    store16(p.color[j] + at, g);
    background = fma(g, all(c.background[j]), background);
  }
  store16(p.behind + at, T * background);
  F16 common = load_optional(a.grad.alpha, c, 0, x0, y0);
  if (F & (kDepth | kCoord)) {
    const F16 weight = load_optional(a.out.alpha, c, 0, x0, y0);
    const M16 some = less(zero, weight);
    const F16 inv_w = zero_unless(some, one / select(some, weight, one));
    if (F & kDepth) {
      const F16 g = load_optional(a.grad.depth, c, 0, x0, y0) * inv_w;
      store16(p.depth + at, g / ray_length(c, pixel_x(x0), pixel_y(y0)));
      common = fnma(g, load_optional(a.out.depth, c, 0, x0, y0), common);
    }
    for (int j = 0; j < ((F & kCoord) ? 3 : 0); ++j) {
      const F16 g = load_optional(a.grad.coord, c, j, x0, y0) * inv_w;
      store16(p.coord[j] + at, g);
      common = fnma(g, load_optional(a.out.coord, c, j, x0, y0), common);
    }
  }
  if (F & kNormal) prepare_normal(p, a, state, at, x0, y0);
  store16(p.common + at, common);
}

// Sums of one entry; the order is that of kSumsBase and the groups after it.
template <unsigned F> struct Sums {
  F16 s[sums_stride(F)];
};

template <unsigned F>
IGS_INLINE void add_block(Sums<F>& out, TilePixels& p, const Splat& g, const SplatPlane* plane,
                          int block, int position, F16 px, F16 py, float half_w, float half_h) {
  const int at = block * kLanes;
  const Sample x = sample(g, px, py);
  const F16 alpha = min(x.raw, all(kAlphaMax)), one = all(1.0f);
  const M16 m = both(at_least(alpha, all(kAlphaMin)),
                     less(all(position - 1), load16(p.last + at)));
  const F16 inv = one / (one - alpha);
  const F16 before = load16(p.T + at);
  const F16 T = select(m, before * inv, before);
  const F16 w = zero_unless(m, alpha * T);
  F16 gc[3];
  F16 s = load16(p.common + at);
  for (int j = 0; j < 3; ++j) {
    gc[j] = load16(p.color[j] + at);
    s = fma(gc[j], all(g.color[j]), s);
  }
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
  const F16 q = zero_unless(m, x.raw * dalpha);
  const F16 qu = q * x.u, qv = q * x.v;
  F16* o = out.s;
  o[0] = o[0] + q;
  o[1] = o[1] + qu;
  o[2] = o[2] + qv;
  o[3] = fma(qu, x.u, o[3]);
  o[4] = fma(qu, x.v, o[4]);
  o[5] = fma(qv, x.v, o[5]);
  o[6] = fma(abs(qu), all(g.l11 * half_w), o[6]);
  o[6] = fma(abs(fma(qu, all(g.l21), qv * all(g.l22))), all(half_h), o[6]);
  for (int j = 0; j < 3; ++j) o[7 + j] = fma(w, gc[j], o[7 + j]);
  o += kSumsBase;
  if (F & kDepth) {
    const F16 d = w * load16(p.depth + at);
    o[0] = o[0] + d;
    o[1] = fma(d, x.dx, o[1]);
    o[2] = fma(d, x.dy, o[2]);
    o += kSumsDepth;
  }
  if (F & kCoord) {
    for (int j = 0; j < 3; ++j) {
      const F16 d = w * load16(p.coord[j] + at);
      o[3 * j] = o[3 * j] + d;
      o[3 * j + 1] = fma(d, x.dx, o[3 * j + 1]);
      o[3 * j + 2] = fma(d, x.dy, o[3 * j + 2]);
    }
    o += kSumsCoord;
  }
  for (int j = 0; j < ((F & kNormal) ? 3 : 0); ++j) {
    o[j] = fma(w, load16(p.normal[j] + at), o[j]);
  }
}

// The gradient of the median outputs goes to one entry per pixel (section 5).
template <unsigned F>
IGS_INLINE void add_medians(const BackwardArgs& a, const TileSpot& spot) {
  const TileContext& c = a.tile;
  const bool depth = (F & kDepth) && a.grad.median_depth;
  const bool coord = (F & kCoord) && a.grad.median_coord;
  if (!depth && !coord) return;
  for (int block = 0; block < kBlocks; ++block) {
    const int x0 = block_x(spot, block), y0 = block_y(spot, block);
    if (x0 >= c.width || y0 >= c.height) continue;  // their state was never written
    alignas(64) float g[4][kLanes];
    store16(g[0], load_optional(depth ? a.grad.median_depth : nullptr, c, 0, x0, y0) /
                      ray_length(c, pixel_x(x0), pixel_y(y0)));
    for (int j = 0; j < 3; ++j) {
      store16(g[1 + j], load_optional(coord ? a.grad.median_coord : nullptr, c, j, x0, y0));
    }
    for (int k = 0; k < kLanes; ++k) {
      const int position = c.median[spot.pixels + std::size_t(block * kLanes + k)];
      if (position == 0) continue;
      const TileEntry& e = c.entries[spot.begin + std::uint32_t(position) - 1];
      const float dx = c.splats[e.gaussian].px - float(x0 + k % kBlock);
      const float dy = c.splats[e.gaussian].py - float(y0 + k / kBlock);
      float* o = a.sums + std::size_t(e.slot) * std::size_t(sums_stride(F)) + kSumsBase;
      for (int j = (F & kDepth) ? 0 : 1; j < ((F & kCoord) ? 4 : 1); ++j, o += 3) {
        o[0] += g[j][k];
        o[1] += g[j][k] * dx;
        o[2] += g[j][k] * dy;
      }
    }
  }
}

template <unsigned F>
IGS_INLINE void add_entry(TilePixels& p, const BackwardArgs& a, const TileSpot& spot,
                          std::uint32_t entry) {
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
  const SplatPlane* plane = (F & kPlaneFeatures) ? c.planes + e.gaussian : nullptr;
  Sums<F> sums;
  for (int k = 0; k < kStride; ++k) sums.s[k] = all(0.0f);
  const int position = int(entry - spot.begin) + 1;
  for (int block = 0; block < kBlocks; ++block) {
    if (!(hits >> block & 1u)) continue;
    add_block<F>(sums, p, g, plane, block, position, pixel_x(block_x(spot, block)),
                 pixel_y(block_y(spot, block)), 0.5f * float(c.width), 0.5f * float(c.height));
  }
  store_totals<kStride>(to, sums.s);
}

template <unsigned F> static void backward_tile(const BackwardArgs& a, int tile) {
  const TileSpot spot = tile_spot(a.tile, tile);
  if (spot.begin == spot.end) return;
  TilePixels pixels;
  for (int block = 0; block < kBlocks; ++block) prepare_block<F>(pixels, a, spot, block);
  for (std::uint32_t entry = spot.end; entry-- > spot.begin;) add_entry<F>(pixels, a, spot, entry);
  if (F & (kDepth | kCoord)) add_medians<F>(a, spot);
}
