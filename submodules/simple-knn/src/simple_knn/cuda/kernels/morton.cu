// Orders points along a Morton curve, so that neighbours in the order are near in space.
#include "points.cuh"

namespace igs {

// The ten low bits of x, two zeros between each.
__device__ __forceinline__ unsigned spread(unsigned x) {
  x = (x | (x << 16)) & 0x030000ffu;
  x = (x | (x << 8)) & 0x0300f00fu;
  x = (x | (x << 4)) & 0x030c30c3u;
  return (x | (x << 2)) & 0x09249249u;
}

__device__ __forceinline__ unsigned cell(float x, float low, float high) {
  const float size = high - low;
  const float part = size > 0.0f ? (x - low) / size : 0.0f;
  return unsigned(fminf(fmaxf(part * 1023.0f, 0.0f), 1023.0f));
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(256) morton_keys(const igs::PointArgs a) {
  using namespace igs;
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  unsigned code = 0;
  for (int axis = 0; axis < 3; ++axis) {
    code |= spread(cell(a.points[3LL * i + axis], a.bounds[axis], a.bounds[3 + axis])) << axis;
  }
  a.keys[i] = int(code);
}

extern "C" __global__ void __launch_bounds__(256) gather_points(const igs::PointArgs a) {
  using namespace igs;
  const int k = blockIdx.x * kThreads + threadIdx.x;
  if (k >= a.count) return;
  const long long row = a.order[k];
  const float* p = a.points + 3 * row;
  reinterpret_cast<float4*>(a.sorted)[k] = {p[0], p[1], p[2], __int_as_float(int(row))};
}
