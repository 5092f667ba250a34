// Forward compositing of one tile a block (spec rasterizer.md, section 4).
//
// The list is staged 256 entries at a time. In each group of 32 every lane tests one entry against
// its warp's 8x4 pixels; the warp then walks the entries that can reach them. The entries really
// blended are noted per warp for the way back.
//
// Macro: IGS_FEATURES, the bits of the outputs wanted besides colour and alpha.
#include "composite.cuh"

namespace igs {

constexpr int kF = IGS_FEATURES;
constexpr bool kDepth = kF & kFeatureDepth, kCoord = kF & kFeatureCoord,
               kNormal = kF & kFeatureNormal, kCount = kF & kFeatureCount;
constexpr bool kPlanes = kDepth || kCoord || kNormal;
constexpr int kGroups = kThreads / kGroup;

struct Shared {
  Stage<kThreads, kPlanes> stage;
  unsigned blended[kGroups][kWarps];
  // Counting: per entry and warp.
  int pixels[kCount ? kWarps : 1][kCount ? kThreads : 1];
  float light[kCount ? kWarps : 1][kCount ? kThreads : 1];
};

// One pixel on its way through the list.
struct Pixel {
  float T, r, g, b;
  float weight, depth, median_t;
  float3 coord, normal, median_x;
  int last, median;
  bool alive;
};

// Blends one entry; returns whether it was blended here.
__device__ __forceinline__ bool blend(Pixel& s, const Shared& m, int e, int position, float x,
                                      float y) {
  const Sample at = sample(m.stage.s0[e], m.stage.s1[e], x, y);
  const float alpha = min_of(at.raw, kAlphaMax);
  if (!s.alive || !(alpha >= kAlphaMin)) return false;
  const float next = s.T * (1.0f - alpha);
  if (next < kMinTransmittance) {
    s.alive = false;
    return false;
  }
  const float w = alpha * s.T;
  const float4 c = m.stage.s2[e];
  s.r = fmaf(w, c.x, s.r);
  s.g = fmaf(w, c.y, s.g);
  s.b = fmaf(w, c.z, s.b);
  const bool front = s.T > 0.5f;
  if (kPlanes) {
    const PlaneValues g = planes_at<kF>(m.stage, e);
    s.weight += w;
    if (kDepth) {
      const float t = ray_distance(g, at);
      s.depth = fmaf(w, t, s.depth);
      if (front) s.median_t = t;
    }
    if (kCoord) {
      const float3 p = plane_point(g, at);
      s.coord = {fmaf(w, p.x, s.coord.x), fmaf(w, p.y, s.coord.y), fmaf(w, p.z, s.coord.z)};
      if (front) s.median_x = p;
    }
    if (kNormal) {
      const float3 n = plane_normal(g);
      s.normal = {fmaf(w, n.x, s.normal.x), fmaf(w, n.y, s.normal.y), fmaf(w, n.z, s.normal.z)};
    }
    if ((kDepth || kCoord) && front) s.median = position;
  }
  s.T = next;
  s.last = position;
  return true;
}

// Pixels in which the entry was blended, and their transmittance in front of it.
__device__ __forceinline__ void count_entry(Shared& m, int e, unsigned blended, bool mine,
                                            float light, int warp, int lane) {
  float sum = mine ? light : 0.0f;
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kWarp, sum, step);
  if (lane == 0) {
    m.pixels[warp][e] = __popc(blended);
    m.light[warp][e] = sum;
  }
}

// The group's entries that reach this warp's pixels, in order.
__device__ __forceinline__ unsigned walk_group(Pixel& s, Shared& m, const Place& p, int first,
                                               unsigned todo, int position, int warp, int lane) {
  unsigned done = 0;
  for (; todo; todo &= todo - 1) {
    const int j = __ffs(int(todo)) - 1, e = first + j;
    const float before = s.T;
    const bool mine = blend(s, m, e, position + j, float(p.x), float(p.y));
    const unsigned blended = __ballot_sync(kWarp, mine);
    if (blended) {
      done |= 1u << j;
      if (kCount) count_entry(m, e, blended, mine, before, warp, lane);
    }
    if (!__any_sync(kWarp, s.alive)) break;
  }
  return done;
}

__device__ __forceinline__ void store_hits(const RasterArgs& a, const Shared& m, int entry) {
  const int t = threadIdx.x;
  unsigned bits = 0;
  for (int w = 0; w < kWarps; ++w) bits |= ((m.blended[t / kGroup][w] >> (t % kGroup)) & 1u) << w;
  a.hits[entry] = (unsigned char)bits;
  if (kCount) {
    int pixels = 0;
    float light = 0.0f;
    for (int w = 0; w < kWarps; ++w) {
      if (!((bits >> w) & 1u)) continue;
      pixels += m.pixels[w][t];
      light += m.light[w][t];
    }
    const int pair = a.entries[2LL * entry + 1];
    a.pair_pixels[pair] = pixels;
    a.pair_transmittance[pair] = light;
  }
}

// Entries that no pixel came to.
__device__ __forceinline__ void store_none(const RasterArgs& a, int from, int end) {
  for (int entry = from + threadIdx.x; entry < end; entry += kThreads) {
    a.hits[entry] = 0;
    if (kCount) {
      const int pair = a.entries[2LL * entry + 1];
      a.pair_pixels[pair] = 0;
      a.pair_transmittance[pair] = 0.0f;
    }
  }
}

__device__ __forceinline__ void store3(float* image, const RasterArgs& a, const Place& p, float3 v) {
  image[channel_at(a, p, 0, 3)] = v.x;
  image[channel_at(a, p, 1, 3)] = v.y;
  image[channel_at(a, p, 2, 3)] = v.z;
}

__device__ __forceinline__ float3 times(float f, float3 v) { return {f * v.x, f * v.y, f * v.z}; }

__device__ __forceinline__ void store_planes(const RasterArgs& a, const Place& p, const Pixel& s) {
  const float inv_w = s.weight > 0.0f ? 1.0f / s.weight : 0.0f;
  if (kDepth) {
    const float inv_length = 1.0f / ray_length(a, p);
    a.depth[p.pixel] = s.depth * inv_w * inv_length;
    a.median_depth[p.pixel] = s.median_t * inv_length;
  }
  if (kCoord) {
    store3(a.coord, a, p, times(inv_w, s.coord));
    store3(a.median_coord, a, p, s.median_x);
  }
  if (kNormal) {
    const float3 n = s.normal;
    const float size = std::sqrt(fmaf(n.x, n.x, fmaf(n.y, n.y, n.z * n.z)));
    const float inv = 1.0f / max_of(size, kShortestNormal);
    a.normal_inverse[p.pixel] = inv;
    store3(a.normal, a, p, times(inv, n));
  }
  if (kDepth || kCoord) a.median[p.pixel] = s.median;
}

__device__ __forceinline__ void store_pixel(const RasterArgs& a, const Place& p, const Pixel& s) {
  if (!p.inside) return;
  a.transmittance[p.pixel] = s.T;
  a.last[p.pixel] = s.last;
  const float* back = a.cameras[p.view].background;
  store3(a.color, a, p, {fmaf(s.T, back[0], s.r), fmaf(s.T, back[1], s.g), fmaf(s.T, back[2], s.b)});
  if (a.alpha) a.alpha[p.pixel] = kPlanes ? s.weight : 1.0f - s.T;
  if (kPlanes) store_planes(a, p, s);
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(256) composite_forward(const igs::RasterArgs a) {
  using namespace igs;
  __shared__ Shared m;
  const Place p = place_of(a);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Pixel s{};
  s.T = 1.0f;
  s.alive = p.inside;
  int first = p.begin;
  for (; first < p.end; first += kThreads) {
    // Also the barrier before the shared memory is used again.
    if (!__syncthreads_or(s.alive)) break;
    const int mine = first + threadIdx.x;
    if (mine < p.end) load_splat<kF>(m.stage, a, threadIdx.x, a.entries[2LL * mine]);
    for (int k = threadIdx.x; k < kGroups * kWarps; k += kThreads) {
      m.blended[k / kWarps][k % kWarps] = 0;
    }
    __syncthreads();
    for (int g = 0; g < kGroups && first + g * kGroup < p.end; ++g) {
      if (!__any_sync(kWarp, s.alive)) break;
      const int e = g * kGroup + lane;
      const bool near = first + e < p.end &&
                        reaches(m.stage.s0[e], m.stage.s1[e], p.x0, p.y0);
      const unsigned todo = __ballot_sync(kWarp, near);
      const unsigned done = walk_group(s, m, p, g * kGroup, todo,
                                       first - p.begin + g * kGroup + 1, warp, lane);
      if (lane == 0) m.blended[g][warp] = done;
    }
    __syncthreads();
    if (mine < p.end) store_hits(a, m, mine);
  }
  store_none(a, first, p.end);
  store_pixel(a, p, s);
}
