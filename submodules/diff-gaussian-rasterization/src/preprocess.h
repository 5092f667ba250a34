// Per-Gaussian forward stage: checks, projection, covariance, plane, colour.
#pragma once

#include "types.h"

namespace igs {

// Gaussians that reach the lists, in index order, with their float32 depth as sort key.
struct Visible {
  Buffer<std::uint32_t> depth_bits;
  Buffer<std::uint32_t> index;
  std::size_t count = 0;
};

// The tiles a Gaussian may touch: half-open, in tiles (section 3, step 9).
struct TileRect {
  int x0, y0, x1, y1;
};
TileRect tile_rect(const ViewSetup& setup, Real px, Real py, Real radius);

// Fills splats, planes and negative-colour bits of `state`, and `radii`. Throws
// std::invalid_argument naming the input and the first Gaussian that holds NaN or Inf.
void preprocess(const Gaussians& g, State& state, std::int32_t* radii, Visible& visible);

}  // namespace igs
