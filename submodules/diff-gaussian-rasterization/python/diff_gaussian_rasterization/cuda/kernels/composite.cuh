// What the two compositing kernels share: the tile's geometry, alpha, and the plane at a pixel.
//
// A block of 256 threads owns a tile of 16x16 pixels; each of its 8 warps owns a block of 8x4
// pixels, one a lane. Both passes evaluate alpha by the same operations in the same order, without
// contraction, so that they take the same decisions.
#pragma once

#include "device.cuh"

namespace igs {

constexpr int kWarps = kThreads / 32;
constexpr int kBlockWidth = 8, kBlockHeight = 4;

struct Place {
  int view, tile;      // the tile within its view
  int x0, y0;          // first pixel of the warp's block
  int x, y;            // this lane's pixel
  bool inside;
  long long pixel;     // in (views, H, W)
  int begin, end;      // entries of the tile
};

__device__ __forceinline__ Place place_of(const RasterArgs& a) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int tiles = a.tiles_x * a.tiles_y;
  Place p;
  p.view = blockIdx.x / tiles;
  p.tile = blockIdx.x % tiles;
  p.x0 = p.tile % a.tiles_x * kTile + warp % 2 * kBlockWidth;
  p.y0 = p.tile / a.tiles_x * kTile + warp / 2 * kBlockHeight;
  p.x = p.x0 + lane % kBlockWidth;
  p.y = p.y0 + lane / kBlockWidth;
  p.inside = p.x < a.width && p.y < a.height;
  p.pixel = ((long long)p.view * a.height + p.y) * a.width + p.x;
  p.begin = a.tile_begin[blockIdx.x];
  p.end = a.tile_begin[blockIdx.x + 1];
  return p;
}

// Where channel `channel` of `channels` of this pixel lies in an image.
__device__ __forceinline__ long long channel_at(const RasterArgs& a, const Place& p, int channel,
                                                int channels) {
  return (((long long)p.view * channels + channel) * a.height + p.y) * a.width + p.x;
}

// Section 4's L(p), which turns ray distance into depth.
__device__ __forceinline__ float ray_length(const RasterArgs& a, const Place& p) {
  const CameraArgs& c = a.cameras[p.view];
  const float x = (float(p.x) - 0.5f * float(a.width)) * (2.0f * c.tanfovx / float(a.width));
  const float y = (float(p.y) - 0.5f * float(a.height)) * (2.0f * c.tanfovy / float(a.height));
  return std::sqrt(fmaf(x, x, fmaf(y, y, 1.0f)));
}

// Offset from the centre, whitened offset, unclamped alpha.
struct Sample {
  float dx, dy, u, v, raw;
};

__device__ __forceinline__ Sample sample(float4 s0, float4 s1, float x, float y) {
  Sample r;
  r.dx = s0.x - x;
  r.dy = s0.y - y;
  r.v = s1.x * r.dy;
  r.u = fmaf(s0.z, r.dx, s0.w * r.dy);
  r.raw = s1.y * fast_exp2(-fmaf(r.u, r.u, r.v * r.v));
  return r;
}

// Whether alpha can reach 1/255 in the warp's block: the smallest U^2 + V^2 over a rectangle lies
// at the centre, or on one of the two edges that face it.
__device__ __forceinline__ bool reaches(float4 s0, float4 s1, int x0, int y0) {
  const float margin = 0.02f + 4e-6f * (fabsf(s0.x) + fabsf(s0.y));
  const float left = float(x0) - s0.x - margin, right = float(x0 + kBlockWidth - 1) - s0.x + margin;
  const float top = float(y0) - s0.y - margin, bottom = float(y0 + kBlockHeight - 1) - s0.y + margin;
  const float x = clamp_to(0.0f, left, right), y = clamp_to(0.0f, top, bottom);
  if (x == 0.0f && y == 0.0f) return true;
  const float l11 = s0.z, l21 = s0.w, l22 = s1.x;
  float least = 3.4e38f;
  if (x != 0.0f) {
    const float at = clamp_to(-l11 * l21 * x / (l21 * l21 + l22 * l22), top, bottom);
    const float u = l11 * x + l21 * at, v = l22 * at;
    least = u * u + v * v;
  }
  if (y != 0.0f) {
    const float at = clamp_to(-l21 * y / l11, left, right);
    const float u = l11 * at + l21 * y, v = l22 * y;
    least = min_of(least, u * u + v * v);
  }
  return least <= s1.z;
}

// Constants of a plane; only what the features need is ever read.
struct PlaneValues {
  float4 p0, p1, p2, p3;
};

__device__ __forceinline__ float ray_distance(const PlaneValues& g, const Sample& at) {
  return fmaf(g.p0.y, at.dx, fmaf(g.p0.z, at.dy, g.p0.x));
}
__device__ __forceinline__ float3 plane_point(const PlaneValues& g, const Sample& at) {
  return {fmaf(g.p2.y, at.dx, fmaf(g.p2.z, at.dy, g.p1.z)),
          fmaf(g.p2.w, at.dx, fmaf(g.p3.x, at.dy, g.p1.w)),
          fmaf(g.p3.y, at.dx, fmaf(g.p3.z, at.dy, g.p2.x))};
}
__device__ __forceinline__ float3 plane_normal(const PlaneValues& g) {
  return {g.p0.w, g.p1.x, g.p1.y};
}

// A stretch of a tile's list in shared memory.
template <int N, bool kPlanes> struct Stage {
  float4 s0[N], s1[N], s2[N];
  float4 p0[kPlanes ? N : 1], p1[kPlanes ? N : 1], p2[kPlanes ? N : 1], p3[kPlanes ? N : 1];
};

template <int kFeatures, int N, bool kPlanes>
__device__ __forceinline__ void load_splat(Stage<N, kPlanes>& s, const RasterArgs& a, int slot,
                                           int gaussian) {
  s.s0[slot] = load4(a.splats, 3LL * gaussian);
  s.s1[slot] = load4(a.splats, 3LL * gaussian + 1);
  s.s2[slot] = load4(a.splats, 3LL * gaussian + 2);
  if (kPlanes) {
    s.p0[slot] = load4(a.planes, 4LL * gaussian);
    if (kFeatures & (kFeatureCoord | kFeatureNormal)) s.p1[slot] = load4(a.planes, 4LL * gaussian + 1);
    if (kFeatures & kFeatureCoord) {
      s.p2[slot] = load4(a.planes, 4LL * gaussian + 2);
      s.p3[slot] = load4(a.planes, 4LL * gaussian + 3);
    }
  }
}

template <int kFeatures, int N, bool kPlanes>
__device__ __forceinline__ PlaneValues planes_at(const Stage<N, kPlanes>& s, int slot) {
  PlaneValues g{};
  if (kPlanes) {
    g.p0 = s.p0[slot];
    if (kFeatures & (kFeatureCoord | kFeatureNormal)) g.p1 = s.p1[slot];
    if (kFeatures & kFeatureCoord) {
      g.p2 = s.p2[slot];
      g.p3 = s.p3[slot];
    }
  }
  return g;
}

constexpr float kShortestNormal = 1e-12f;

}  // namespace igs
