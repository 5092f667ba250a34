// Exact greedy farthest point sampling in one block of 1024 threads.
//
// The points lie in Morton order in at most 1024 buckets, one a thread. A new choice can only
// change buckets whose box is nearer to it than the farthest point in them; warps go through
// those, everything else keeps its farthest point. Distances in double, the lowest row of equals.
#include "points.cuh"

namespace igs {

constexpr int kBuckets = 1024;

// A candidate for the next choice: the farthest, of equals the lowest row.
struct Farthest {
  double distance;
  int row, at;
};

__device__ __forceinline__ Farthest farther(const Farthest& a, const Farthest& b) {
  const bool second = b.distance > a.distance || (b.distance == a.distance && b.row < a.row);
  return second ? b : a;
}

__device__ __forceinline__ Farthest warp_farthest(Farthest f) {
  for (int step = 16; step > 0; step /= 2) {
    Farthest other;
    other.distance = __shfl_xor_sync(kWarp, f.distance, step);
    other.row = __shfl_xor_sync(kWarp, f.row, step);
    other.at = __shfl_xor_sync(kWarp, f.at, step);
    f = farther(f, other);
  }
  return f;
}

struct Shared {
  Farthest buckets[kBuckets];
  Farthest warps[kBuckets / 32];
  int queue[kBuckets];
  int queued;
  int chosen;  // place of the last choice in the order
};

struct Box {
  float low[3], high[3];
};

// The box of this thread's bucket; an empty one is never visited.
__device__ __forceinline__ Box prepare(const PointArgs& a, Shared& m) {
  const int t = threadIdx.x, begin = t * a.bucket, end = min(begin + a.bucket, a.count);
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    box.low[axis] = infinity();
    box.high[axis] = -infinity();
  }
  for (int k = begin; k < end; ++k) {
    const float4 p = sorted_at(a, k);
    const float each[3] = {p.x, p.y, p.z};
    for (int axis = 0; axis < 3; ++axis) {
      box.low[axis] = fminf(box.low[axis], each[axis]);
      box.high[axis] = fmaxf(box.high[axis], each[axis]);
    }
    a.nearest[k] = infinity();
    if (__float_as_int(p.w) == a.first) m.chosen = k;
  }
  m.buckets[t] = {begin < end ? double(infinity()) : -2.0, 0x7fffffff, begin};
  return box;
}

__device__ __forceinline__ double box_distance(const Box& b, float4 q) {
  return square_sum(outside(double(q.x), double(b.low[0]), double(b.high[0])),
                    outside(double(q.y), double(b.low[1]), double(b.high[1])),
                    outside(double(q.z), double(b.low[2]), double(b.high[2])));
}

// One warp brings a bucket up to date with the new choice.
__device__ __forceinline__ Farthest visit(const PointArgs& a, int bucket, int chosen, float4 q,
                                          int lane) {
  const int begin = bucket * a.bucket, end = min(begin + a.bucket, a.count);
  Farthest best{-2.0, 0x7fffffff, begin};
  for (int k = begin + lane; k < end; k += 32) {
    const float4 p = sorted_at(a, k);
    const double d = square_sum(double(p.x) - double(q.x), double(p.y) - double(q.y),
                                double(p.z) - double(q.z));
    const double before = a.nearest[k];
    double now = d < before ? d : before;
    if (k == chosen) now = -1.0;  // never again before all others
    if (now != before) a.nearest[k] = now;
    best = farther(best, {now, __float_as_int(p.w), k});
  }
  return warp_farthest(best);
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(1024) farthest_points(const igs::PointArgs a) {
  using namespace igs;
  __shared__ Shared m;
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  const Box box = prepare(a, m);
  if (t == 0) m.queued = 0;
  __syncthreads();
  for (int step = 0; step < a.wanted; ++step) {
    const int chosen = m.chosen;
    const float4 q = sorted_at(a, chosen);
    if (t == 0) a.index[step] = __float_as_int(q.w);
    const bool own = t == chosen / a.bucket;
    if (own || box_distance(box, q) < m.buckets[t].distance) m.queue[atomicAdd(&m.queued, 1)] = t;
    __syncthreads();
    for (int k = warp; k < m.queued; k += kBuckets / 32) {
      const Farthest best = visit(a, m.queue[k], chosen, q, lane);
      if (lane == 0) m.buckets[m.queue[k]] = best;
    }
    __syncthreads();
    const Farthest best = warp_farthest(m.buckets[t]);
    if (lane == 0) m.warps[warp] = best;
    if (t == 0) m.queued = 0;
    __syncthreads();
    if (warp == 0) {
      const Farthest all = warp_farthest(m.warps[lane]);
      if (lane == 0) m.chosen = all.at;
    }
    __syncthreads();
  }
}
