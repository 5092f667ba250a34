// What the point kernels share: their argument, distances, and points in Morton order.
#pragma once

namespace igs {

constexpr int kThreads = 256;       // and points of a box
constexpr unsigned kWarp = 0xffffffffu;

// The one struct that every kernel here takes by value; its twin in Python is `PointArgs`.
struct PointArgs {
  const float* points;      // (count, 3)
  const float* others;      // (other_count, 3)
  const float* bounds;      // 6: lowest and highest corner
  const long long* order;   // rows of the points in Morton order
  int* keys;                // Morton code of each row
  float* sorted;            // 4 per point in that order: x, y, z, bits of the row
  float* boxes;             // 8 per box: lowest corner, highest corner, unused
  double* nearest;          // squared distance to the chosen points
  float* distance;
  long long* index;
  int count, other_count, boxes_count, bucket, first, wanted;
};

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

// Explicit operations in a fixed order, so that a box's distance never exceeds that of a point in
// it: subtraction, square and sum are monotone also after rounding.
__device__ __forceinline__ float square_sum(float x, float y, float z) {
  return fmaf(z, z, fmaf(y, y, __fmul_rn(x, x)));
}
__device__ __forceinline__ double square_sum(double x, double y, double z) {
  return __dadd_rn(__dadd_rn(__dmul_rn(x, x), __dmul_rn(y, y)), __dmul_rn(z, z));
}

// How far x lies outside [low, high].
template <class T> __device__ __forceinline__ T outside(T x, T low, T high) {
  return x < low ? low - x : (x > high ? x - high : T(0));
}

__device__ __forceinline__ float4 sorted_at(const PointArgs& a, int k) {
  return reinterpret_cast<const float4*>(a.sorted)[k];
}

}  // namespace igs
