// What the stages of the CPU engine hand to each other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block_cache.h"
#include "gaussian_math.h"

namespace igs {

// Geometry is computed in double: the same speed as float in scalar code, and no digits lost.
using Real = double;

constexpr int kBlock = 4;            // a tile is 4x4 blocks of 4x4 pixels
constexpr int kBlocks = 16;          // blocks in a tile
constexpr int kLanes = 16;           // pixels in a block
constexpr int kTilePixels = 256;

// Which outputs take part; also selects the compiled variant of the compositing loops.
enum Feature : unsigned { kDepth = 1, kCoord = 2, kNormal = 4, kCount = 8 };

// One view and its rules, in both precisions where needed.
struct ViewSetup {
  View<Real> view;
  float background[3];
  int sh_degree = 0;
  unsigned features = 0;
  int tiles_x = 0, tiles_y = 0;
};

// Inputs by pointer; absent ones are null. Shapes as in spec section 2.
struct Gaussians {
  std::size_t count = 0;
  int sh_stride = 0;  // M, coefficients stored per Gaussian
  const float* means = nullptr;
  const float* opacities = nullptr;
  const float* scales = nullptr;
  const float* quats = nullptr;
  const float* cov3d = nullptr;
  const float* sh = nullptr;
  const float* colors = nullptr;
};

// What compositing needs of a Gaussian: 64 bytes. The Cholesky factor is scaled by
// sqrt(log2(e)/2), so that alpha = opacity * 2^-(U^2 + V^2).
struct alignas(64) Splat {
  float px, py;
  float l11, l21, l22;
  float opacity;  // compensated
  float color[3];
  float reach;       // U^2 + V^2 at which alpha falls to 1/255, with a margin
  float raw_opacity;  // as given
  float unused[5];
};

// Plane constants for depth, coordinates and normals: 64 bytes.
struct alignas(64) SplatPlane {
  float tau, rho0, rho1;
  float t[3];
  float k[6];  // kx0 kx1 ky0 ky1 kz0 kz1
  float normal[3];
  float unused;
};

// One (tile, Gaussian) pair. `slot` numbers the pairs Gaussian by Gaussian, so that the backward
// pass can sum a Gaussian's pairs in a fixed order.
struct TileEntry {
  std::uint32_t gaussian;
  std::uint32_t slot;
};

// Kept between forward and backward.
struct State {
  ViewSetup setup;
  std::size_t count = 0;
  Buffer<Splat> splats;
  Buffer<SplatPlane> planes;
  Buffer<std::uint8_t> negative;         // bits of colour channels cut at zero
  Buffer<std::uint32_t> slot_begin;      // (count + 1) first pair of each Gaussian
  Buffer<std::uint32_t> tile_begin;      // (tiles + 1) first entry of each tile
  Buffer<TileEntry> entries;
  Buffer<std::uint16_t> hits;            // blocks of the tile in which the entry was blended
  // Per pixel, tile by tile, block by block.
  Buffer<float> transmittance;
  Buffer<std::int32_t> last;             // position in the tile list, from 1; 0: none
  Buffer<std::int32_t> median;
  Buffer<float> normal_inverse;          // 1 / length of the sum of weighted normals, at most 1e12
};

// Output images, (C, H, W); null where not wanted.
struct Images {
  float* color = nullptr;
  float* alpha = nullptr;
  float* depth = nullptr;
  float* median_depth = nullptr;
  float* coord = nullptr;
  float* median_coord = nullptr;
  float* normal = nullptr;
};

// Per-Gaussian outputs of the counting mode, before the sum over tiles: one pair of numbers a slot.
struct PairCount {
  std::uint32_t pixels;
  float transmittance;
};

struct ConstImages {
  const float* color = nullptr;
  const float* alpha = nullptr;
  const float* depth = nullptr;
  const float* median_depth = nullptr;
  const float* coord = nullptr;
  const float* median_coord = nullptr;
  const float* normal = nullptr;
};

// Layout of the gradient sums of one (tile, Gaussian) pair; later groups only where present.
// Base: sum of q, qU, qV, qUU, qUV, qVV, |.| statistic, colour (3), with q = dL/dpower.
constexpr int kSumsBase = 10, kSumsDepth = 3, kSumsCoord = 9, kSumsNormal = 3;
constexpr int sums_count(unsigned features) {
  return kSumsBase + ((features & kDepth) ? kSumsDepth : 0) +
         ((features & kCoord) ? kSumsCoord : 0) + ((features & kNormal) ? kSumsNormal : 0);
}

}  // namespace igs
