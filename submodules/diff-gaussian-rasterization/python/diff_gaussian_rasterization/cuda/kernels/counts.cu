// Sums the counting mode's pairs of each Gaussian, in their order.
#include "device.cuh"

extern "C" __global__ void __launch_bounds__(256) sum_counts(const igs::RasterArgs a) {
  const long long at = (long long)blockIdx.x * igs::kThreads + threadIdx.x;
  if (at >= (long long)a.count * a.views) return;
  int pixels = 0;
  double light = 0.0;
  const int tiles = a.tile_counts[at];
  for (int k = 0; k < tiles; ++k) {
    const int pair = a.slot_begin[at] + k;
    pixels += a.pair_pixels[pair];
    light += double(a.pair_transmittance[pair]);
  }
  a.counts[at] = pixels;
  const double weight = a.by_transmittance ? light : double(pixels);
  a.scores[at] = float(double(a.opacities[at % a.count]) * weight);
}
