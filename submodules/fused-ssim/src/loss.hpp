// Mean absolute difference and mean SSIM of a stack of planes, with a gradient.
#pragma once

#include <cstddef>

#include "kernel.hpp"

namespace fused_ssim {

struct Planes {
  const float* image;   // (count, height, width), contiguous
  const float* target;  // same shape
  float* gradient;      // same shape, or null
  std::size_t count;
  int height, width;
};

struct Means {
  double absolute;
  double ssim;
};

// Means over all planes and pixels. Where planes.gradient is given it receives the gradient of
// l1_weight * absolute + ssim_weight * ssim with respect to the image. The tiles and the order
// of the final sums do not depend on `threads`, so neither do the bits of the result.
Means compute(const Planes& planes, double l1_weight, double ssim_weight, int threads,
              TileFunction run);

}  // namespace fused_ssim
