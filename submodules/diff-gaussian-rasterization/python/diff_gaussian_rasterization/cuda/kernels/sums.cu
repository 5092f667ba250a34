// Adds the gradient sums of each Gaussian's pairs, in a fixed order.
#include "device.cuh"

// One warp a Gaussian and view.
extern "C" __global__ void __launch_bounds__(256) sum_pairs(const igs::RasterArgs a) {
  using namespace igs;
  const long long at = (long long)blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  if (at >= (long long)a.count * a.views) return;
  const int tiles = a.tile_counts[at];
  if (tiles == 0) return;
  const int width = sums_of(a.sum_features);
  const float* sums = a.sums + (long long)a.slot_begin[at] * width;
  float total = 0.0f;
  if (tiles <= 32) {
    // Neighbouring lanes read neighbouring numbers.
    if (lane >= width) return;
    for (int k = 0; k < tiles; ++k) total += sums[k * width + lane];
  } else {
    // A large Gaussian: one pair a lane.
    float v[32];
#pragma unroll
    for (int j = 0; j < 32; ++j) v[j] = 0.0f;
    for (long long k = lane; k < tiles; k += 32) {
#pragma unroll
      for (int j = 0; j < 32; ++j) {
        if (j < width) v[j] += sums[k * width + j];
      }
    }
    total = sum_lanes<32>(v, lane);
  }
  if (lane < width) a.totals[at * width + lane] = total;
}
