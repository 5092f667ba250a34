// The two passes over one view.
#pragma once

#include <memory>

#include "gaussian_backward.h"
#include "types.h"

namespace igs {

struct ForwardOutputs {
  Images images;
  std::int32_t* radii = nullptr;
  std::int32_t* counts = nullptr;    // blended pixels per Gaussian (kCount)
  float* scores = nullptr;           // sum of opacity over blended pixels (kCount)
  bool score_by_transmittance = false;  // sum of opacity * T instead
};

// `active` says which tiles are drawn, a byte each; null: all. The others show the background.
std::unique_ptr<State> forward(const Gaussians& g, const ViewSetup& setup,
                               const std::uint8_t* active, const ForwardOutputs& out);

NanReport backward(const Gaussians& g, const State& state, const std::int32_t* radii,
                   const ConstImages& outputs, const ConstImages& grads, const Gradients& out);

}  // namespace igs
