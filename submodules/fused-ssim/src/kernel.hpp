// One tile of the fused L1 + SSIM computation: the interface between the driver
// (loss.cpp) and the kernel, which is compiled once per instruction set.
#pragma once

#include <cstddef>

namespace fused_ssim {

// The window is 11 taps wide; a gradient needs the maps 5 pixels around a tile, and those
// need the images 5 pixels further.
constexpr int kRadius = 5;
constexpr int kTaps = 2 * kRadius + 1;
// Row lengths are rounded up to this many floats so that loops have no remainder.
constexpr int kLanes = 16;

constexpr int round_up(int n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Half of the symmetric window (outermost tap first, centre last) and the SSIM constants.
struct Constants {
  float taps[kRadius + 1];
  float c1;
  float c2;
};

struct Tile {
  const float* image;   // (height, width), one channel
  const float* target;  // (height, width)
  float* gradient;      // (height, width), or null when only the values are wanted
  int height, width;
  int y0, y1, x0, x1;   // half-open rectangle of the pixels that this tile owns
  float l1_scale;       // gradient weight of |image - target|
  float ssim_scale;     // gradient weight of the SSIM map
};

struct TileSums {
  double absolute;  // sum of |image - target|
  double ssim;      // sum of the SSIM map
};

// Floats of scratch memory that a tile of this width needs.
constexpr std::size_t scratch_floats(int tile_width) {
  return static_cast<std::size_t>(round_up(tile_width + 2 * kRadius) + 4 * kLanes) *
         (7 * kTaps + 4 + 8);
}

using TileFunction = TileSums (*)(const Tile&, const Constants&, float* scratch);

namespace baseline { TileSums run_tile(const Tile&, const Constants&, float* scratch); }
namespace avx2 { TileSums run_tile(const Tile&, const Constants&, float* scratch); }
namespace avx512 { TileSums run_tile(const Tile&, const Constants&, float* scratch); }

}  // namespace fused_ssim
