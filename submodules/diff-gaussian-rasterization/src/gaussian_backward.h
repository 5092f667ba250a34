// Per-Gaussian backward stage (section 6).
#pragma once

#include "types.h"

namespace igs {

// Gradients by pointer, written for every Gaussian (zeros where it took no part); null: not wanted.
struct Gradients {
  float* means = nullptr;
  float* means2d = nullptr;  // (P, 3): NDC x, NDC y, absolute statistic
  float* opacities = nullptr;
  float* scales = nullptr;
  float* quats = nullptr;
  float* cov3d = nullptr;
  float* sh = nullptr;
  float* colors = nullptr;
  float limit = 0.0f;       // cuts means, sh, opacities, scales and quats to [-limit, limit]; 0: none
  bool absolute = true;     // fill the third column of means2d
};

// Sums the pairs of each Gaussian in slot order and carries them back to the inputs.
// `features` says which groups of sums there are. Returns the name of the first gradient that
// holds NaN and its Gaussian, or null.
struct NanReport {
  const char* name = nullptr;
  std::size_t gaussian = 0;
};
NanReport gaussian_backward(const Gaussians& g, const State& state, const std::int32_t* radii,
                            unsigned features, const float* sums, const Gradients& out);

}  // namespace igs
