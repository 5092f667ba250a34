// Mean squared distance to the three nearest other points (spec rasterizer.md, section 11), exact:
// a box of points is skipped only if it lies farther than the third neighbour known so far.
#include "points.cuh"

namespace igs {

struct Best {
  float first, second, third;
};

__device__ __forceinline__ void offer(Best& b, float d) {
  if (!(d < b.third)) return;
  if (d < b.first) {
    b = {d, b.first, b.second};
  } else if (d < b.second) {
    b = {b.first, d, b.second};
  } else {
    b.third = d;
  }
}

__device__ __forceinline__ float box_distance(const PointArgs& a, int box, float4 q) {
  const float* b = a.boxes + 8LL * box;
  return square_sum(outside(q.x, b[0], b[3]), outside(q.y, b[1], b[4]), outside(q.z, b[2], b[5]));
}

__device__ __forceinline__ void scan(const float4* tile, int n, int skip, float4 q, Best& best) {
  for (int j = 0; j < n; ++j) {
    if (j == skip) continue;
    const float4 p = tile[j];
    offer(best, square_sum(p.x - q.x, p.y - q.y, p.z - q.z));
  }
}

}  // namespace igs

// One block a box of 256 points: its corners.
extern "C" __global__ void __launch_bounds__(256) box_corners(const igs::PointArgs a) {
  using namespace igs;
  __shared__ float low[3][kThreads / 32], high[3][kThreads / 32];
  const int k = blockIdx.x * kThreads + threadIdx.x;
  const float4 p = sorted_at(a, k < a.count ? k : a.count - 1);
  const float each[3] = {p.x, p.y, p.z};
  for (int axis = 0; axis < 3; ++axis) {
    float lo = each[axis], hi = lo;
    for (int step = 16; step > 0; step /= 2) {
      lo = fminf(lo, __shfl_xor_sync(kWarp, lo, step));
      hi = fmaxf(hi, __shfl_xor_sync(kWarp, hi, step));
    }
    if (threadIdx.x % 32 == 0) {
      low[axis][threadIdx.x / 32] = lo;
      high[axis][threadIdx.x / 32] = hi;
    }
  }
  __syncthreads();
  if (threadIdx.x >= 3) return;
  float lo = low[threadIdx.x][0], hi = high[threadIdx.x][0];
  for (int w = 1; w < kThreads / 32; ++w) {
    lo = fminf(lo, low[threadIdx.x][w]);
    hi = fmaxf(hi, high[threadIdx.x][w]);
  }
  a.boxes[8LL * blockIdx.x + threadIdx.x] = lo;
  a.boxes[8LL * blockIdx.x + 3 + threadIdx.x] = hi;
}

// One block a box: its points look outward from their own box, to both sides along the curve.
extern "C" __global__ void __launch_bounds__(256) mean_distance(const igs::PointArgs a) {
  using namespace igs;
  __shared__ float4 tile[kThreads];
  const int own = blockIdx.x, k = own * kThreads + threadIdx.x;
  const bool valid = k < a.count;
  const float4 q = sorted_at(a, valid ? k : a.count - 1);
  Best best{infinity(), infinity(), infinity()};
  for (int step = 0; step < 2 * a.boxes_count; ++step) {
    // own, own + 1, own - 1, own + 2, ...
    const int away = (step + 1) / 2, box = step % 2 ? own + away : own - away;
    if (box < 0 || box >= a.boxes_count) continue;
    // A box at exactly the third distance can only hold ties, which leave the mean as it is.
    const bool need = valid && (step == 0 || box_distance(a, box, q) < best.third);
    if (!__syncthreads_or(need)) continue;
    const int n = min(kThreads, a.count - box * kThreads);
    if (threadIdx.x < n) tile[threadIdx.x] = sorted_at(a, box * kThreads + threadIdx.x);
    __syncthreads();
    if (need) scan(tile, n, step == 0 ? int(threadIdx.x) : -1, q, best);
  }
  if (valid) a.distance[__float_as_int(q.w)] = (best.first + best.second + best.third) / 3.0f;
}
