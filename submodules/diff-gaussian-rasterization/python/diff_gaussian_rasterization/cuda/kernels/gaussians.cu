// Per-Gaussian backward stage (spec rasterizer.md, section 6).
//
// Macros: IGS_COV3D (a 3D covariance is given), IGS_PLANES (a gradient of depth, coordinates or
// normals arrived), IGS_HALF_SH (SH coefficients are stored in half precision; sums and gradients
// are not).
#include "shape.cuh"

namespace igs {

constexpr bool kPlanes = IGS_PLANES;

// Totals over the pixels of one Gaussian, by name.
struct Totals {
  Real q, qu, qv, quu, quv, qvv, absolute;
  Vec3<Real> color;
  Real t, tx, ty;        // ray distance: sum, and times delta
  Vec3<Real> x, xx, xy;  // camera coordinates: sum, and times delta
  Vec3<Real> normal;
};

__device__ __forceinline__ Totals totals_of(const float* s, int features) {
  Totals r{};
  r.q = s[0];
  r.qu = s[1];
  r.qv = s[2];
  r.quu = s[3];
  r.quv = s[4];
  r.qvv = s[5];
  r.absolute = s[6];
  r.color = {s[7], s[8], s[9]};
  if (!kPlanes) return r;
  const float* o = s + kSumsBase;
  if (features & kFeatureDepth) {
    r.t = o[0];
    r.tx = o[1];
    r.ty = o[2];
    o += kSumsDepth;
  }
  if (features & kFeatureCoord) {
    r.x = {o[0], o[3], o[6]};
    r.xx = {o[1], o[4], o[7]};
    r.xy = {o[2], o[5], o[8]};
    o += kSumsCoord;
  }
  if (features & kFeatureNormal) r.normal = {o[0], o[1], o[2]};
  return r;
}

struct ShapeGradient {
  Vec3<Real> ds{0, 0, 0};
  Mat3<Real> dQ{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  Mat3<Real> dsigma{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
};

// Gradients of one Gaussian, summed over the views. Colour and SH are written by other code.
struct One {
  Vec3<Real> mean{0, 0, 0}, scale{0, 0, 0};
  Real opacity = 0;
  Quat<Real> quat{0, 0, 0, 0};
  Sym3<Real> cov{0, 0, 0, 0, 0, 0};
  float color[3] = {0, 0, 0};
};

// The plane's part: adds to the shape's gradients and returns that on the camera point.
__device__ __forceinline__ Vec3<Real> plane_part(const View<Real>& view, const Projected<Real>& c,
                                                 const Shape& shape, const Totals& s,
                                                 ShapeGradient* out) {
#if IGS_COV3D
  const SigmaFrame<Real> frame = sigma_frame(view, c, shape.sigma);
  const PlaneDirection<Real> direction = plane_direction(frame);
#else
  const OwnFrame<Real> frame = own_frame(view, c, shape.Q, shape.size);
  const PlaneDirection<Real> direction = plane_direction(view, shape.Q, frame);
#endif
  if (!direction.valid) return {0, 0, 0};
  const Plane<Real> plane = plane_of(view, c, direction);
  const PlaneGradient<Real> in{s.tx, s.ty, s.xx, s.xy, s.normal};
  PlaneBackward<Real> b = plane_backward(view, c, direction.m, plane, in);
#if IGS_COV3D
  const auto r = sigma_frame_backward(view, c, frame, direction.m, b.dm);
  out->dsigma = out->dsigma + r.dsigma;
#else
  const auto r = own_frame_backward(view, shape.Q, shape.size, frame, b.dm);
  out->ds = out->ds + r.ds;
  out->dQ = out->dQ + r.dQ;
#endif
  return fold_slopes(c, b.dp, b.du + r.du, b.dv + r.dv);
}

// From the 2D covariance to scales, rotation or covariance; returns the gradient on M.
__device__ __forceinline__ Rows2<Real> shape_part(const View<Real>& view, const Shape& shape,
                                                  const Grad2<Real>& g2,
                                                  const DetGradient<Real>& dd,
                                                  ShapeGradient* out) {
#if IGS_COV3D
  const Grad2<Real> all = fold_determinants(view, shape.cov, g2, dd);
  out->dsigma = sigma_gradient(shape.M, all);
  return jacobian_gradient(shape.M, all, full(shape.sigma));
#else
  const Rows2<Real> dF = factor_backward(view, shape.F, g2, dd);
  const Mat3<Real> dV = outer(shape.M.r0, dF.r0) + outer(shape.M.r1, dF.r1);
  const Mat3<Real>& Q = shape.Q;
  out->ds = {Q.r0.x * dV.r0.x + Q.r1.x * dV.r1.x + Q.r2.x * dV.r2.x,
             Q.r0.y * dV.r0.y + Q.r1.y * dV.r1.y + Q.r2.y * dV.r2.y,
             Q.r0.z * dV.r0.z + Q.r1.z * dV.r1.z + Q.r2.z * dV.r2.z};
  out->dQ = scaled_axes(dV, shape.size);
  return {shape.axes * dF.r0, shape.axes * dF.r1};
#endif
}

__device__ __forceinline__ float cut(float x, float limit) {
  return limit > 0.0f && x == x ? clamp_to(x, -limit, limit) : x;
}

// Order of kNanNames in engine.py.
enum NanSlot { kNanMeans, kNanMeans2d, kNanOpacities, kNanScales, kNanQuats, kNanSh, kNanColors };

__device__ __forceinline__ void watch(const RasterArgs& a, NanSlot slot, long long i, bool bad) {
  if (bad) atomicMin(a.nan_report + slot, int(i));
}

// The gradient on SH from view v, added to what other views left; returns that on the mean.
__device__ __forceinline__ Vec3<float> sh_part(const RasterArgs& a, const View<double>& camera,
                                               long long i, const float* dc, bool add) {
  const Vec3<float> towards = to<float>(mean_of(a, i) - camera.campos);
  const float inv = 1.0f / std::sqrt(dot(towards, towards));
  const Vec3<float> d = inv * towards;
  const int used = sh_count(a.sh_degree);
  float Y[16];
  sh_basis(a.sh_degree, d, Y);
  if (a.d_sh) {
    float* out = a.d_sh + i * 3 * a.sh_stride;
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      if (k >= used) break;
      for (int ch = 0; ch < 3; ++ch) {
        const float g = Y[k] * dc[ch];
        out[3 * k + ch] = add ? out[3 * k + ch] + g : g;
      }
    }
  }
  if (a.sh_degree == 0) return {0.0f, 0.0f, 0.0f};
  const ShType* sh = a.sh + i * 3 * a.sh_stride;
  float along[16];
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    along[k] = k < used ? sh_value(sh, 3 * k) * dc[0] + sh_value(sh, 3 * k + 1) * dc[1] +
                              sh_value(sh, 3 * k + 2) * dc[2]
                        : 0.0f;
  }
  const Vec3<float> g = sh_direction_gradient(a.sh_degree, d, along);
  return inv * (g - dot(g, d) * d);
}

__device__ __forceinline__ void color_part(const RasterArgs& a, const View<double>& camera,
                                           long long i, long long at, const Totals& s, bool add,
                                           One* out) {
  float dc[3] = {float(s.color.x), float(s.color.y), float(s.color.z)};
  if (!a.sh) {
    for (int ch = 0; ch < 3; ++ch) out->color[ch] += dc[ch];
    return;
  }
  const unsigned negative = a.negative[at];
  for (int ch = 0; ch < 3; ++ch) dc[ch] = (negative >> ch) & 1u ? 0.0f : dc[ch];
  watch(a, kNanSh, i, a.d_sh && (dc[0] != dc[0] || dc[1] != dc[1] || dc[2] != dc[2]));
  out->mean = out->mean + to<Real>(sh_part(a, camera, i, dc, add));
}

// Gradients on the centre in the image, in NDC units, with the absolute statistic.
__device__ __forceinline__ void store_means2d(const RasterArgs& a, long long at, long long i,
                                              Real x, Real y, Real absolute) {
  if (!a.d_means2d) return;
  const float third = a.absolute ? float(absolute) : 0.0f;
  a.d_means2d[3 * at] = float(x);
  a.d_means2d[3 * at + 1] = float(y);
  a.d_means2d[3 * at + 2] = third;
  watch(a, kNanMeans2d, i, x != x || y != y || third != third);
}

// Adds view v's gradients.
__device__ __forceinline__ void carry_back(const RasterArgs& a, int v, long long i, long long at,
                                           bool add, One* out) {
  const Totals s = totals_of(a.totals + at * sums_of(a.sum_features), a.sum_features);
  const View<double> camera = load_view<double>(a, v);
  const View<Real> view = load_view<Real>(a, v);
  const Vec3<double> X = mean_of(a, i), t = to_camera(camera, X);
  const Projected<Real> c = to<Real>(project_centre(camera, X, t));
  const Shape shape = shape_of(a, view, c, i);
  const Footprint<Real> f = footprint(view, shape.cov);
  const float4 s0 = load4(a.splats, 3 * at), s1 = load4(a.splats, 3 * at + 1);
  const Real two_ln2 = Real(kTwoLn2);
  // Opacity and its compensation; the sums hold alpha dalpha = o' G dalpha.
  const Real d_opacity = s.q / Real(s1.y);
  out->opacity = out->opacity + f.coef * d_opacity;
  const Compensation<Real> comp = compensation(view, shape.cov, f.det);
  const DetGradient<Real> dd = compensation_backward(view, comp, Real(a.opacities[i]) * d_opacity);
  const Grad2<Real> g2 = covariance_gradient(conic_factor(f), s.quu * two_ln2, s.quv * two_ln2,
                                             s.qvv * two_ln2);
  ShapeGradient sg;
  const Rows2<Real> dM = shape_part(view, shape, g2, dd, &sg);
  Vec3<Real> dp = jacobian_backward(view, c, dM);
  Real mu_x = -two_ln2 * Real(s0.z) * s.qu;
  Real mu_y = -two_ln2 * (Real(s0.w) * s.qu + Real(s1.x) * s.qv);
  Vec3<Real> camera_point{0, 0, 0};
  if (kPlanes) {
    dp = dp + plane_part(view, c, shape, s, &sg);
    const float4 p0 = load4(a.planes, 4 * at), p2 = load4(a.planes, 4 * at + 2),
                 p3 = load4(a.planes, 4 * at + 3);
    mu_x += p0.y * s.t + p2.y * s.x.x + p2.w * s.x.y + p3.y * s.x.z;
    mu_y += p0.z * s.t + p2.z * s.x.x + p3.x * s.x.y + p3.z * s.x.z;
    camera_point = s.x + (s.t / std::sqrt(dot(c.t, c.t))) * c.t;
  }
  if (c.clamped_u) dp.x = 0;
  if (c.clamped_v) dp.y = 0;
  const Real ndc_x = mu_x * Real(0.5) * Real(a.width), ndc_y = mu_y * Real(0.5) * Real(a.height);
  store_means2d(a, at, i, ndc_x, ndc_y, two_ln2 * s.absolute);
  out->mean = out->mean + transposed_times(view.rotation, dp + camera_point) +
              centre_backward(view, c, ndc_x, ndc_y);
  color_part(a, camera, i, at, s, add, out);
#if IGS_COV3D
  const Mat3<Real>& m = sg.dsigma;
  out->cov.xx += m.r0.x;
  out->cov.xy += m.r0.y + m.r1.x;
  out->cov.xz += m.r0.z + m.r2.x;
  out->cov.yy += m.r1.y;
  out->cov.yz += m.r1.z + m.r2.y;
  out->cov.zz += m.r2.z;
#else
  const Quat<Real> q = rotation_backward(quat_of(a, i), sg.dQ);
  out->scale = out->scale + view.modifier * sg.ds;
  out->quat.w += q.w;
  out->quat.x += q.x;
  out->quat.y += q.y;
  out->quat.z += q.z;
#endif
}

template <int N>
__device__ __forceinline__ void put(const RasterArgs& a, float* array, long long i,
                                    const float (&values)[N], NanSlot slot, float limit) {
  if (!array) return;
  bool bad = false;
  for (int k = 0; k < N; ++k) {
    bad = bad || values[k] != values[k];
    array[i * N + k] = cut(values[k], limit);
  }
  watch(a, slot, i, bad);
}

__device__ __forceinline__ void store_one(const RasterArgs& a, long long i, const One& r,
                                          bool took_part) {
  const float limit = a.gradient_limit;
  put(a, a.d_means, i, {float(r.mean.x), float(r.mean.y), float(r.mean.z)}, kNanMeans, limit);
  put(a, a.d_opacities, i, {float(r.opacity)}, kNanOpacities, limit);
#if IGS_COV3D
  if (a.d_cov3d) {
    const float cov[6] = {float(r.cov.xx), float(r.cov.xy), float(r.cov.xz),
                          float(r.cov.yy), float(r.cov.yz), float(r.cov.zz)};
    for (int k = 0; k < 6; ++k) a.d_cov3d[6 * i + k] = cov[k];
  }
#else
  put(a, a.d_scales, i, {float(r.scale.x), float(r.scale.y), float(r.scale.z)}, kNanScales, limit);
  put(a, a.d_quats, i, {float(r.quat.w), float(r.quat.x), float(r.quat.y), float(r.quat.z)},
      kNanQuats, limit);
#endif
  put(a, a.d_colors, i, {r.color[0], r.color[1], r.color[2]}, kNanColors, 0.0f);
  if (!a.d_sh) return;
  const int used = took_part ? 3 * sh_count(a.sh_degree) : 0;
  float* sh = a.d_sh + i * 3 * a.sh_stride;
  if (limit > 0.0f) {
    for (int k = 0; k < used; ++k) sh[k] = cut(sh[k], limit);
  }
  for (int k = used; k < 3 * a.sh_stride; ++k) sh[k] = 0.0f;
}

}  // namespace igs

// One thread a Gaussian: carries the sums of every view back to the inputs.
extern "C" __global__ void __launch_bounds__(256) gaussian_backward(const igs::RasterArgs a) {
  using namespace igs;
  const long long i = (long long)blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  One r;
  bool took_part = false;
  for (int v = 0; v < a.views; ++v) {
    const long long at = (long long)v * a.count + i;
    if (a.tile_counts[at] == 0) {
      store_means2d(a, at, i, 0, 0, 0);
      continue;
    }
    carry_back(a, v, i, at, took_part, &r);
    took_part = true;
  }
  store_one(a, i, r, took_part);
}
