// What the kernels need of the machine: fast approximations, warp sums, and the camera.
#pragma once

#include "args.cuh"
#include "gaussian_math.h"

namespace igs {

constexpr unsigned kWarp = 0xffffffffu;
constexpr int kThreads = 256;      // of every kernel here
constexpr int kGroup = 32;         // list entries that one warp tests at a time

#if defined(__CUDACC_RTC__)
__device__ __forceinline__ float fast_exp2(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float fast_reciprocal(float x) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
#else
inline float fast_exp2(float x) { return std::exp2(x); }
inline float fast_reciprocal(float x) { return 1.0f / x; }
#endif

// One SH coefficient in float32.
__device__ __forceinline__ float sh_value(const float* sh, int k) { return sh[k]; }
#if defined(__CUDACC_RTC__)
__device__ __forceinline__ float sh_value(const unsigned short* sh, int k) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(sh[k]));
  return r;
}
#else
inline float sh_value(const unsigned short* sh, int k) {
  const int exponent = sh[k] >> 10 & 31, fraction = sh[k] & 1023;
  float size = std::ldexp(float(exponent ? 1024 + fraction : fraction), (exponent ? exponent : 1) - 25);
  if (exponent == 31) size = fraction ? NAN : INFINITY;
  return sh[k] >> 15 ? -size : size;
}
#endif

// Sums N values over the 32 lanes at once: lane k returns the total of value k (k modulo N).
// Each step halves the number of values a lane still holds, so that 16 values take 16 exchanges
// instead of 80. The order of the additions is fixed.
template <int kHalf, int N> __device__ __forceinline__ void halve(float (&v)[N], int lane) {
  const bool upper = lane & kHalf;
#pragma unroll
  for (int j = 0; j < kHalf; ++j) {
    const float sent = upper ? v[j] : v[j + kHalf];
    const float kept = upper ? v[j + kHalf] : v[j];
    v[j] = kept + __shfl_xor_sync(kWarp, sent, kHalf);
  }
}

template <int N> __device__ __forceinline__ float sum_lanes(float (&v)[N], int lane) {
  static_assert(N == 16 || N == 32, "the values are halved from lane to lane");
  if constexpr (N == 32) halve<16>(v, lane);
  halve<8>(v, lane);
  halve<4>(v, lane);
  halve<2>(v, lane);
  halve<1>(v, lane);
  if (N == 16) v[0] += __shfl_xor_sync(kWarp, v[0], 16);
  return v[0];
}

// Layout of the gradient sums of one pair: q, qU, qV, qUU, qUV, qVV, |.|, colour (3), then ray
// distance (3), coordinates (9) and normal (3) where their features are present; q = dL/dpower.
constexpr int kSumsBase = 10, kSumsDepth = 3, kSumsCoord = 9, kSumsNormal = 3;
constexpr __host__ __device__ int sums_of(int features) {
  return kSumsBase + ((features & kFeatureDepth) ? kSumsDepth : 0) +
         ((features & kFeatureCoord) ? kSumsCoord : 0) +
         ((features & kFeatureNormal) ? kSumsNormal : 0);
}

template <class T> __device__ __forceinline__ View<T> load_view(const RasterArgs& a, int v) {
  const CameraArgs& c = a.cameras[v];
  const float* m = c.viewmatrix;
  const float* p = c.projmatrix;
  const float* o = c.campos;
  View<T> view;
  view.rotation = {{T(m[0]), T(m[4]), T(m[8])}, {T(m[1]), T(m[5]), T(m[9])},
                   {T(m[2]), T(m[6]), T(m[10])}};
  view.translation = {T(m[12]), T(m[13]), T(m[14])};
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) view.proj[i][j] = T(p[4 * i + j]);
  }
  view.campos = {T(o[0]), T(o[1]), T(o[2])};
  view.width = a.width;
  view.height = a.height;
  view.fx = T(a.width) / (T(2) * T(c.tanfovx));
  view.fy = T(a.height) / (T(2) * T(c.tanfovy));
  view.limit_x = T(kFieldLimit) * T(c.tanfovx);
  view.limit_y = T(kFieldLimit) * T(c.tanfovy);
  view.kernel = T(a.kernel_size);
  view.modifier = T(a.modifier);
  view.compensate = a.compensate != 0;
  return view;
}

__device__ __forceinline__ float4 load4(const float* p, long long i) {
  return reinterpret_cast<const float4*>(p)[i];
}
__device__ __forceinline__ void store4(float* p, long long i, float4 v) {
  reinterpret_cast<float4*>(p)[i] = v;
}

}  // namespace igs
