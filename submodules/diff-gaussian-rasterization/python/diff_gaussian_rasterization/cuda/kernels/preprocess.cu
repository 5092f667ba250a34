// Per-Gaussian forward stage (spec rasterizer.md, sections 3 and 3.1): projection, covariance,
// radius, colour, plane, and how many tiles the Gaussian reaches.
//
// Macros: IGS_COV3D (a 3D covariance is given), IGS_PLANES (depth, coordinates or normals wanted),
// IGS_HALF_SH (SH coefficients are stored in half precision).
#include "shape.cuh"
#include "tiles.cuh"

namespace igs {

constexpr int kNothing = 0x7f800000;  // depth key of what is not drawn: sorted behind all

__device__ __forceinline__ bool all_finite(const float* values, int n) {
  float sum = 0.0f;
  for (int k = 0; k < n; ++k) sum += values[k] - values[k];  // 0 only if all are finite
  return sum == 0.0f;
}

__device__ __forceinline__ bool inputs_finite(const RasterArgs& a, long long i) {
  bool good = all_finite(a.means + 3 * i, 3) && all_finite(a.opacities + i, 1);
#if IGS_COV3D
  return good && all_finite(a.cov3d + 6 * i, 6);
#else
  return good && all_finite(a.scales + 3 * i, 3) && all_finite(a.quats + 4 * i, 4);
#endif
}

__device__ __forceinline__ bool camera_finite(const RasterArgs& a, int v) {
  const CameraArgs& c = a.cameras[v];
  return all_finite(c.viewmatrix, 16) && all_finite(c.projmatrix, 16) &&
         all_finite(c.campos, 3) && all_finite(c.background, 3);
}

// Colour of Gaussian i in row `at`; returns the bits of the channels cut at zero.
__device__ __forceinline__ unsigned char color_of(const RasterArgs& a, const View<double>& view,
                                                  long long i, Vec3<double> mean, float* color) {
  if (a.colors) {
    for (int ch = 0; ch < 3; ++ch) color[ch] = a.colors[3 * i + ch];
    return 0;
  }
  const Vec3<float> towards = to<float>(mean - view.campos);
  const float inv = 1.0f / std::sqrt(dot(towards, towards));
  float Y[16];
  sh_basis(a.sh_degree, inv * towards, Y);
  const ShType* sh = a.sh + i * 3 * a.sh_stride;
  color[0] = color[1] = color[2] = 0.5f;
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    if (k >= sh_count(a.sh_degree)) break;
    for (int ch = 0; ch < 3; ++ch) color[ch] += Y[k] * sh_value(sh, 3 * k + ch);
  }
  unsigned negative = 0;
  for (int ch = 0; ch < 3; ++ch) {
    if (color[ch] < 0.0f) negative |= 1u << ch;
    if (color[ch] < 0.0f) color[ch] = 0.0f;  // NaN stays: it is reported
  }
  return (unsigned char)negative;
}

__device__ __forceinline__ void store_plane(const RasterArgs& a, long long at,
                                            const Projected<double>& c, const Plane<Real>& p) {
  const float tau = float(std::sqrt(dot(c.t, c.t)));
  store4(a.planes, 4 * at, {tau, float(p.rho0), float(p.rho1), float(p.normal.x)});
  store4(a.planes, 4 * at + 1, {float(p.normal.y), float(p.normal.z), float(c.t.x), float(c.t.y)});
  store4(a.planes, 4 * at + 2, {float(c.t.z), float(p.k0.x), float(p.k1.x), float(p.k0.y)});
  store4(a.planes, 4 * at + 3, {float(p.k1.y), float(p.k0.z), float(p.k1.z), 0.0f});
}

__device__ __forceinline__ int count_tiles(const RasterArgs& a, const TileCover& cover, int view) {
  const int first_tile = view * a.tiles_x * a.tiles_y;
  int n = 0;
  for (int row = cover.rows.first; row <= cover.rows.last; ++row) {
    n += active_in(a, first_tile + row * a.tiles_x, columns(cover, row));
  }
  return n;
}

// Row `at` of the per-view arrays, Gaussian i seen from view v.
__device__ __forceinline__ void process(const RasterArgs& a, long long at, int v, long long i) {
  if (!inputs_finite(a, i)) {
    atomicMin(a.problem, int(i));
    return;
  }
  const View<double> camera = load_view<double>(a, v);
  const Vec3<double> X = mean_of(a, i), t = to_camera(camera, X);
  if (!(t.z > double(kNearCut))) return;
  const Projected<double> centre = project_centre(camera, X, t);
  const View<Real> view = load_view<Real>(a, v);
  const Projected<Real> c = to<Real>(centre);
  const Shape shape = shape_of(a, view, c, i);
  const Footprint<Real> f = footprint(view, shape.cov);
  if (f.radius == 0 || !is_finite(centre.px) || !is_finite(centre.py)) return;
  const TileRect rect = tile_rect(a, centre.px, centre.py, f.radius);
  if (rect.x0 >= rect.x1 || rect.y0 >= rect.y1) return;
  a.radii[at] = f.radius;
  // An indefinite covariance draws nothing.
  if (!(f.det > Real(0)) || !(f.c > Real(0))) return;
  const Cholesky2<Real> L = conic_factor(f);
  const float raw = a.opacities[i], opacity = float(raw * f.coef);
  if (!(opacity >= kAlphaMin)) return;
  const float l11 = float(L.l11) * kRootHalfLog2e, l21 = float(L.l21) * kRootHalfLog2e,
              l22 = float(L.l22) * kRootHalfLog2e;
  if (!is_finite(l11) || !is_finite(l21) || !is_finite(l22)) return;
  float color[3];
  a.negative[at] = color_of(a, camera, i, X, color);
  if (!all_finite(color, 3)) {
    atomicMin(a.problem, int(i));
    return;
  }
  const float4 first{float(centre.px), float(centre.py), l11, l21};
  const float reach = log2f(255.0f * opacity) + 2e-3f;
  store4(a.splats, 3 * at, first);
  store4(a.splats, 3 * at + 1, {l22, opacity, reach, raw});
  store4(a.splats, 3 * at + 2, {color[0], color[1], color[2], 0.0f});
#if IGS_PLANES
  store_plane(a, at, centre, plane_of(view, c, direction_of(view, c, shape)));
#endif
  const int tiles = count_tiles(a, tile_cover(a, first, l22, reach, f.radius), v);
  if (tiles == 0) return;
  a.tile_counts[at] = tiles;
  a.depth_keys[at] = __float_as_int(float(t.z));
}

}  // namespace igs

extern "C" __global__ void __launch_bounds__(256) preprocess(const igs::RasterArgs a) {
  const long long at = (long long)blockIdx.x * igs::kThreads + threadIdx.x;
  if (blockIdx.x == 0 && threadIdx.x < a.views) {
    if (!igs::camera_finite(a, threadIdx.x)) atomicMin(a.problem + 1, int(threadIdx.x));
  }
  if (at >= (long long)a.count * a.views) return;
  a.radii[at] = 0;
  a.tile_counts[at] = 0;
  a.depth_keys[at] = igs::kNothing;
  const int v = int(at / a.count);
  igs::process(a, at, v, at - (long long)v * a.count);
}
