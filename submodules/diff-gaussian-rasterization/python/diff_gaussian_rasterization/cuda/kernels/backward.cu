// Backward compositing of one tile a block (spec rasterizer.md, section 5): from the last entry to
// the first, 32 entries at a time.
//
// A warp visits only the entries that it blended in the forward pass. The sums over its 32 pixels
// take one exchange per value; the warps' sums meet in shared memory and are added in a fixed
// order, so that one pair's numbers are written once and no atomics are needed.
//
// Macro: IGS_FEATURES, the bits of the outputs whose gradient arrived.
#include "composite.cuh"

namespace igs {

constexpr int kF = IGS_FEATURES;
constexpr bool kDepth = kF & kFeatureDepth, kCoord = kF & kFeatureCoord,
               kNormal = kF & kFeatureNormal;
constexpr bool kPlanes = kDepth || kCoord || kNormal;
constexpr int kSums = sums_of(kF);
constexpr int kPadded = kSums <= 16 ? 16 : 32;

struct Shared {
  Stage<kGroup, kPlanes> stage;
  int pair[kGroup];
  unsigned hits[kGroup];
  float sums[kWarps][kGroup][kSums];
};

// What the gradient of every entry needs of this pixel.
struct Pixel {
  float T;       // transmittance in front of the entries seen so far
  float behind;  // sum of w s behind, background included
  float r, g, b;
  float common;  // gA'
  float depth;   // gD/(L W)
  float median_depth;  // gMD/L
  float3 coord, normal, median_coord;
  int last, median;
};

__device__ __forceinline__ float3 load3(const float* image, const RasterArgs& a, const Place& p) {
  if (!image) return {0.0f, 0.0f, 0.0f};
  return {image[channel_at(a, p, 0, 3)], image[channel_at(a, p, 1, 3)],
          image[channel_at(a, p, 2, 3)]};
}
__device__ __forceinline__ float load1(const float* image, const Place& p) {
  return image ? image[p.pixel] : 0.0f;
}
__device__ __forceinline__ float dot3(float3 a, float3 b) {
  return fmaf(a.x, b.x, fmaf(a.y, b.y, a.z * b.z));
}
__device__ __forceinline__ float3 times(float f, float3 v) { return {f * v.x, f * v.y, f * v.z}; }

// Coefficients of depth and coordinates; returns their part of gA'.
__device__ __forceinline__ float prepare_positions(Pixel& s, const RasterArgs& a, const Place& p) {
  const float weight = a.alpha[p.pixel];
  const float inv_w = weight > 0.0f ? 1.0f / weight : 0.0f;
  float common = 0.0f;
  if (kDepth) {
    const float inv_length = 1.0f / ray_length(a, p);
    const float g = load1(a.g_depth, p) * inv_w;
    s.depth = g * inv_length;
    s.median_depth = load1(a.g_median_depth, p) * inv_length;
    common -= g * a.depth[p.pixel];
  }
  if (kCoord) {
    s.coord = times(inv_w, load3(a.g_coord, a, p));
    s.median_coord = load3(a.g_median_coord, a, p);
    common -= dot3(s.coord, load3(a.coord, a, p));
  }
  s.median = a.median[p.pixel];
  return common;
}

// gV of section 5.
__device__ __forceinline__ float3 prepare_normal(const RasterArgs& a, const Place& p) {
  const float3 g = load3(a.g_normal, a, p), n = load3(a.normal, a, p);
  const float inv = a.normal_inverse[p.pixel];
  const float along = inv < 1.0f / kShortestNormal ? dot3(g, n) : 0.0f;
  return {fmaf(-along, n.x, g.x) * inv, fmaf(-along, n.y, g.y) * inv, fmaf(-along, n.z, g.z) * inv};
}

__device__ __forceinline__ Pixel prepare(const RasterArgs& a, const Place& p) {
  Pixel s{};
  if (!p.inside) return s;
  s.last = a.last[p.pixel];
  if (s.last == 0) return s;  // nothing was blended here: no entry asks for more
  s.T = a.transmittance[p.pixel];
  const float3 g = load3(a.g_color, a, p);
  s.r = g.x;
  s.g = g.y;
  s.b = g.z;
  const float* back = a.cameras[p.view].background;
  s.behind = s.T * (g.x * back[0] + g.y * back[1] + g.z * back[2]);
  s.common = load1(a.g_alpha, p);
  if (kDepth || kCoord) s.common += prepare_positions(s, a, p);
  if (kNormal) s.normal = prepare_normal(a, p);
  return s;
}

// Ray distance, coordinates and normal of one entry at one pixel, from v[kSumsBase] on; the median
// outputs belong to one entry a pixel.
__device__ __forceinline__ void add_planes(float (&v)[kPadded], const Pixel& s, const Sample& at, float w,
                                           bool front) {
  constexpr int kDepthAt = kSumsBase, kCoordAt = sums_of(kF & kFeatureDepth),
                kNormalAt = sums_of(kF & (kFeatureDepth | kFeatureCoord));
  if constexpr (kDepth) {
    float d = w * s.depth;
    if (front) d += s.median_depth;
    v[kDepthAt] = d;
    v[kDepthAt + 1] = d * at.dx;
    v[kDepthAt + 2] = d * at.dy;
  }
  if constexpr (kCoord) {
    float3 d = times(w, s.coord);
    if (front) {
      d = {d.x + s.median_coord.x, d.y + s.median_coord.y, d.z + s.median_coord.z};
    }
    const float each[3] = {d.x, d.y, d.z};
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      v[kCoordAt + 3 * j] = each[j];
      v[kCoordAt + 3 * j + 1] = each[j] * at.dx;
      v[kCoordAt + 3 * j + 2] = each[j] * at.dy;
    }
  }
  if constexpr (kNormal) {
    v[kNormalAt] = w * s.normal.x;
    v[kNormalAt + 1] = w * s.normal.y;
    v[kNormalAt + 2] = w * s.normal.z;
  }
}

// One entry at one pixel: its contributions to the sums; moves the pixel in front of it.
__device__ __forceinline__ void visit(float (&v)[kPadded], Pixel& s, const Shared& m, int e,
                                      int position, const Place& p, float half_w, float half_h) {
  const float4 s0 = m.stage.s0[e], s1 = m.stage.s1[e], c = m.stage.s2[e];
  const Sample at = sample(s0, s1, float(p.x), float(p.y));
  const float alpha = min_of(at.raw, kAlphaMax);
  if (position > s.last || !(alpha >= kAlphaMin)) return;
  const float inv = fast_reciprocal(1.0f - alpha);
  s.T *= inv;
  const float w = alpha * s.T;
  float sum = fmaf(s.r, c.x, fmaf(s.g, c.y, fmaf(s.b, c.z, s.common)));
  if (kPlanes) {
    const PlaneValues g = planes_at<kF>(m.stage, e);
    if (kDepth) sum = fmaf(s.depth, ray_distance(g, at), sum);
    if (kCoord) sum += dot3(s.coord, plane_point(g, at));
    if (kNormal) sum += dot3(s.normal, plane_normal(g));
    add_planes(v, s, at, w, position == s.median);
  }
  const float dalpha = fmaf(-s.behind, inv, s.T * sum);
  s.behind = fmaf(w, sum, s.behind);
  const float q = at.raw * dalpha, qu = q * at.u, qv = q * at.v;
  v[0] = q;
  v[1] = qu;
  v[2] = qv;
  v[3] = qu * at.u;
  v[4] = qu * at.v;
  v[5] = qv * at.v;
  v[6] = fmaf(fabsf(qu * s0.z), half_w, fabsf(fmaf(qu, s0.w, qv * s1.x)) * half_h);
  v[7] = w * s.r;
  v[8] = w * s.g;
  v[9] = w * s.b;
}

// Each warp fetches one part of all 32 entries, so that the parts arrive together.
__device__ __forceinline__ void load_group(Shared& m, const RasterArgs& a, int first, int n,
                                           int warp, int lane) {
  static_assert(kWarps == 8, "one warp for each of seven parts of a Gaussian, one for the rest");
  if (lane >= n) return;
  const long long entry = first + lane;
  const long long gaussian = a.entries[2 * entry];
  if (warp == 0) m.stage.s0[lane] = load4(a.splats, 3 * gaussian);
  if (warp == 1) m.stage.s1[lane] = load4(a.splats, 3 * gaussian + 1);
  if (warp == 2) m.stage.s2[lane] = load4(a.splats, 3 * gaussian + 2);
  if (kPlanes && warp == 3) m.stage.p0[lane] = load4(a.planes, 4 * gaussian);
  if ((kCoord || kNormal) && warp == 4) m.stage.p1[lane] = load4(a.planes, 4 * gaussian + 1);
  if (kCoord && warp == 5) m.stage.p2[lane] = load4(a.planes, 4 * gaussian + 2);
  if (kCoord && warp == 6) m.stage.p3[lane] = load4(a.planes, 4 * gaussian + 3);
  if (warp == 7) {
    m.pair[lane] = a.entries[2 * entry + 1];
    m.hits[lane] = a.hits[entry];
  }
}

// Adds the warps' sums in their order and writes each pair once; zeros where nothing was blended.
__device__ __forceinline__ void store_group(const Shared& m, const RasterArgs& a, int n) {
  for (int k = threadIdx.x; k < n * kSums; k += kThreads) {
    const int e = k / kSums, j = k % kSums;
    float sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) {
      if ((m.hits[e] >> w) & 1u) sum += m.sums[w][e][j];
    }
    a.sums[(long long)m.pair[e] * kSums + j] = sum;
  }
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(256) composite_backward(const igs::RasterArgs a) {
  using namespace igs;
  __shared__ Shared m;
  const Place p = place_of(a);
  if (p.begin == p.end) return;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const float half_w = 0.5f * float(a.width), half_h = 0.5f * float(a.height);
  Pixel s = prepare(a, p);
  const int groups = (p.end - p.begin + kGroup - 1) / kGroup;
  for (int g = groups - 1; g >= 0; --g) {
    const int first = p.begin + g * kGroup;
    const int n = min_of(kGroup, p.end - first);
    load_group(m, a, first, n, warp, lane);
    __syncthreads();
    const bool mine = lane < n && ((m.hits[lane] >> warp) & 1u);
    for (unsigned todo = __ballot_sync(kWarp, mine); todo;) {
      const int e = 31 - __clz(int(todo));
      todo &= ~(1u << e);
      float v[kPadded];
#pragma unroll
      for (int k = 0; k < kPadded; ++k) v[k] = 0.0f;
      visit(v, s, m, e, g * kGroup + e + 1, p, half_w, half_h);
      const float sum = sum_lanes<kPadded>(v, lane);
      if (lane < kSums) m.sums[warp][e][lane] = sum;
    }
    __syncthreads();
    store_group(m, a, n);
    __syncthreads();
  }
}
