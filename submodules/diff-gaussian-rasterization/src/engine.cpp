#include "engine.h"

#include <algorithm>

#include "binning.h"
#include "composite.h"
#include "depth_sort.h"
#include "preprocess.h"
#include "thread_pool.h"

namespace igs {
namespace {

std::size_t tile_count(const ViewSetup& s) {
  return std::size_t(s.tiles_x) * std::size_t(s.tiles_y);
}

// Neighbours in a stretch, so that a tile can ask for the data of the next one; many stretches a
// thread, so that all end together.
template <class Run> void for_each_tile(const ViewSetup& setup, const Run& run) {
  const std::size_t stretches = 16 * std::size_t(num_threads());
  const std::size_t stretch = clamp_to<std::size_t>(tile_count(setup) / stretches, 4, 32);
  parallel_for(tile_count(setup), stretch, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t tile = begin; tile < end; ++tile) run(int(tile));
  });
}

void allocate_pixels(State& state) {
  const unsigned features = state.setup.features;
  const std::size_t pixels = tile_count(state.setup) * kTilePixels;
  state.transmittance.resize(pixels);
  state.last.resize(pixels);
  if (features & (kDepth | kCoord)) state.median.resize(pixels);
  if (features & kNormal) state.normal_inverse.resize(pixels);
}

// The kernels write `hits` in the forward pass only.
TileContext tile_context(const State& state, std::uint16_t* hits, float* transmittance,
                         std::int32_t* last, std::int32_t* median, float* normal_inverse) {
  const ViewSetup& s = state.setup;
  TileContext c;
  c.width = s.view.width;
  c.height = s.view.height;
  c.tiles_x = s.tiles_x;
  c.tiles = s.tiles_x * s.tiles_y;
  c.fx = float(s.view.fx);
  c.fy = float(s.view.fy);
  std::copy(s.background, s.background + 3, c.background);
  c.splats = state.splats.data();
  c.planes = state.planes.data();
  c.tile_begin = state.tile_begin.data();
  c.entries = state.entries.data();
  c.hits = hits;
  c.transmittance = transmittance;
  c.last = last;
  c.median = median;
  c.normal_inverse = normal_inverse;
  return c;
}

// Sums the counts of each Gaussian's pairs in slot order.
void reduce_counts(const State& state, const Gaussians& g, const PairCount* pairs,
                   const ForwardOutputs& out) {
  parallel_for(g.count, 4096, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      std::uint32_t pixels = 0;
      double transmittance = 0.0;
      for (std::uint32_t k = state.slot_begin[i]; k < state.slot_begin[i + 1]; ++k) {
        pixels += pairs[k].pixels;
        transmittance += double(pairs[k].transmittance);
      }
      out.counts[i] = std::int32_t(pixels);
      const double weight = out.score_by_transmittance ? transmittance : double(pixels);
      out.scores[i] = float(double(g.opacities[i]) * weight);
    }
  });
}

}  // namespace

std::unique_ptr<State> forward(const Gaussians& g, const ViewSetup& setup,
                               const std::uint8_t* active, const ForwardOutputs& out) {
  auto state = std::make_unique<State>();
  state->setup = setup;
  state->count = g.count;
  Visible visible;
  preprocess(g, *state, out.radii, visible);
  sort_by_depth(visible);
  TileLists lists;
  bin_by_tile(out.radii, active, visible, *state, lists);
  allocate_pixels(*state);
  state->hits.resize(state->entries.size());

  Buffer<PairCount> pairs;
  const bool counting = (setup.features & kCount) != 0;
  if (counting) pairs.resize(state->entries.size());
  ForwardArgs args{tile_context(*state, state->hits.data(), state->transmittance.data(),
                                state->last.data(), state->median.data(),
                                state->normal_inverse.data()),
                   lists.blocks.data(), out.images, pairs.data()};
  const CompositeKernels& kernels = composite_kernels();
  const ForwardTile run = counting ? kernels.forward_count : kernels.forward[setup.features & 7u];
  for_each_tile(setup, [&](int tile) { run(args, tile); });
  if (counting) reduce_counts(*state, g, pairs.data(), out);
  return state;
}

NanReport backward(const Gaussians& g, const State& state, const std::int32_t* radii,
                   const ConstImages& outputs, const ConstImages& grads, const Gradients& out) {
  unsigned features = 0;
  if (grads.depth || grads.median_depth) features |= kDepth;
  if (grads.coord || grads.median_coord) features |= kCoord;
  if (grads.normal) features |= kNormal;
  features &= state.setup.features;
  Buffer<float> sums(state.entries.size() * std::size_t(sums_stride(features)));
  // The backward kernels only read the state.
  BackwardArgs args{tile_context(state, const_cast<std::uint16_t*>(state.hits.data()),
                                 const_cast<float*>(state.transmittance.data()),
                                 const_cast<std::int32_t*>(state.last.data()),
                                 const_cast<std::int32_t*>(state.median.data()),
                                 const_cast<float*>(state.normal_inverse.data())),
                    outputs, grads, sums.data()};
  const BackwardTile run = composite_kernels().backward[features];
  for_each_tile(state.setup, [&](int tile) { run(args, tile); });
  return gaussian_backward(g, state, radii, features, sums.data(), out);
}

}  // namespace igs
