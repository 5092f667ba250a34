// What the forward and the backward loop share: batches, block geometry, and alpha.
//
// Included inside the namespace of one instruction set; see composite.cpp.
#pragma once

constexpr int kBatch = 256;  // entries gathered at a time; they stay in the first-level cache
constexpr std::uint32_t kAhead = 8;  // entries between asking for a Gaussian's data and its use

constexpr unsigned kPlaneFeatures = kDepth | kCoord | kNormal;

// Where a tile lies in the image.
struct TileSpot {
  int x0, y0;
  std::size_t pixels;  // first of its 256 numbers in the per-pixel state
  std::uint32_t begin, end;
};

IGS_INLINE TileSpot tile_spot(const TileContext& c, int tile) {
  TileSpot s;
  s.x0 = tile % c.tiles_x * kTile;
  s.y0 = tile / c.tiles_x * kTile;
  s.pixels = std::size_t(tile) * kTilePixels;
  s.begin = c.tile_begin[tile];
  s.end = c.tile_begin[tile + 1];
  return s;
}

IGS_INLINE int block_x(const TileSpot& s, int block) { return s.x0 + block % 4 * kBlock; }
IGS_INLINE int block_y(const TileSpot& s, int block) { return s.y0 + block / 4 * kBlock; }

alignas(64) static const float kLaneX[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) static const float kLaneY[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};

IGS_INLINE F16 pixel_x(int x0) { return all(float(x0)) + load16(kLaneX); }
IGS_INLINE F16 pixel_y(int y0) { return all(float(y0)) + load16(kLaneY); }

// Section 4's L(p), which turns ray distance into depth.
IGS_INLINE F16 ray_length(const TileContext& c, F16 px, F16 py) {
  const F16 x = (px - all(0.5f * float(c.width))) * all(1.0f / c.fx);
  const F16 y = (py - all(0.5f * float(c.height))) * all(1.0f / c.fy);
  return sqrt(fma(x, x, fma(y, y, all(1.0f))));
}

// Reads a 4x4 block of an image; pixels beyond its edges read 0.
IGS_INLINE F16 load_block(const float* image, int width, int height, int x0, int y0) {
  if (x0 + kBlock <= width && y0 + kBlock <= height) {
    return load_4x4(image + std::size_t(y0) * std::size_t(width) + std::size_t(x0),
                    std::size_t(width));
  }
  alignas(64) float lanes[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    const int x = x0 + k % kBlock, y = y0 + k / kBlock;
    const bool inside = x < width && y < height;
    lanes[k] = inside ? image[std::size_t(y) * std::size_t(width) + std::size_t(x)] : 0.0f;
  }
  return load16(lanes);
}

IGS_INLINE void store_block(float* image, int width, int height, int x0, int y0, F16 value) {
  if (x0 + kBlock <= width && y0 + kBlock <= height) {
    store_4x4(image + std::size_t(y0) * std::size_t(width) + std::size_t(x0), std::size_t(width),
              value);
    return;
  }
  alignas(64) float lanes[kLanes];
  store16(lanes, value);
  for (int k = 0; k < kLanes; ++k) {
    const int x = x0 + k % kBlock, y = y0 + k / kBlock;
    if (x < width && y < height) {
      image[std::size_t(y) * std::size_t(width) + std::size_t(x)] = lanes[k];
    }
  }
}

// Plane `channel` of a (C, H, W) image.
IGS_INLINE std::size_t channel_offset(const TileContext& c, int channel) {
  return std::size_t(channel) * std::size_t(c.width) * std::size_t(c.height);
}

// Asks for one row of a tile of `channels` image planes ahead of its use: rows of a tile lie too
// far apart for the machine to foresee them.
IGS_INLINE void prefetch_row(const float* image, int channels, const TileContext& c,
                             const TileSpot& s, int row) {
  if (!image || s.y0 + row >= c.height) return;
  const int columns = c.width - s.x0 < kTile ? c.width - s.x0 : kTile;
  const float* first = image + std::size_t(s.y0 + row) * std::size_t(c.width) + std::size_t(s.x0);
  for (int channel = 0; channel < channels; ++channel) {
    const float* at = first + channel_offset(c, channel);
    IGS_PREFETCH(at);
    IGS_PREFETCH(at + columns - 1);
  }
}

// Asks for the data of a Gaussian: those of a tile lie scattered in memory.
template <unsigned F>
IGS_INLINE void prefetch_gaussian(const TileContext& c, std::uint32_t gaussian) {
  IGS_PREFETCH(c.splats + gaussian);
  if (F & kPlaneFeatures) IGS_PREFETCH(c.planes + gaussian);
}

// Shorter sums of normals are divided by this length instead of their own.
constexpr float kShortestNormal = 1e-12f;

// One Gaussian at sixteen pixels: offset from the centre, whitened offset, unclamped alpha.
struct Sample {
  F16 dx, dy, u, v, raw;
};

IGS_INLINE Sample sample(const Splat& s, F16 px, F16 py) {
  Sample r;
  r.dx = all(s.px) - px;
  r.dy = all(s.py) - py;
  r.v = all(s.l22) * r.dy;
  r.u = fma(all(s.l11), r.dx, all(s.l21) * r.dy);
  r.raw = all(s.opacity) * exp2_of_minus(fma(r.u, r.u, r.v * r.v));
  return r;
}

// Ray distance t(p) = tau + rho.delta.
IGS_INLINE F16 ray_distance(const SplatPlane& g, const Sample& at) {
  return fma(all(g.rho0), at.dx, fma(all(g.rho1), at.dy, all(g.tau)));
}
// Camera coordinate `axis` of the plane, x(p) = t + K delta.
IGS_INLINE F16 plane_coordinate(const SplatPlane& g, int axis, const Sample& at) {
  return fma(all(g.k[2 * axis]), at.dx, fma(all(g.k[2 * axis + 1]), at.dy, all(g.t[axis])));
}
