// The nearest points of another set, by looking at all of them: the set is small (thousands).
//
// Macro: IGS_K, how many.
#include "points.cuh"

namespace igs {

constexpr int kNearest = IGS_K;

// Keeps the list ascending; an equal distance stays behind the earlier row.
__device__ __forceinline__ void offer(float (&distance)[kNearest], int (&index)[kNearest], float d,
                                      int row) {
  if (!(d < distance[kNearest - 1])) return;
  distance[kNearest - 1] = d;
  index[kNearest - 1] = row;
#pragma unroll
  for (int j = kNearest - 1; j > 0; --j) {
    if (distance[j] < distance[j - 1]) {
      const float other = distance[j - 1];
      const int other_row = index[j - 1];
      distance[j - 1] = distance[j];
      index[j - 1] = index[j];
      distance[j] = other;
      index[j] = other_row;
    }
  }
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(256) nearest_points(const igs::PointArgs a) {
  using namespace igs;
  __shared__ float tile[kThreads][3];
  const long long i = (long long)blockIdx.x * kThreads + threadIdx.x;
  const float* p = a.points + 3 * (i < a.count ? i : a.count - 1);
  const float x = p[0], y = p[1], z = p[2];
  float distance[kNearest];
  int index[kNearest];
#pragma unroll
  for (int k = 0; k < kNearest; ++k) {
    distance[k] = infinity();
    index[k] = 0;
  }
  for (int first = 0; first < a.other_count; first += kThreads) {
    const int n = min(kThreads, a.other_count - first);
    __syncthreads();
    for (int j = threadIdx.x; j < 3 * n; j += kThreads) {
      tile[j / 3][j % 3] = a.others[3LL * first + j];
    }
    __syncthreads();
    for (int j = 0; j < n; ++j) {
      const float d = square_sum(tile[j][0] - x, tile[j][1] - y, tile[j][2] - z);
      offer(distance, index, d, first + j);
    }
  }
  if (i >= a.count) return;
#pragma unroll
  for (int k = 0; k < kNearest; ++k) {
    a.distance[i * kNearest + k] = sqrtf(distance[k]);
    a.index[i * kNearest + k] = index[k];
  }
}
