#include "gaussian_backward.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "composite.h"
#include "gaussian_access.h"
#include "thread_pool.h"

namespace igs {
namespace {

// Totals over the pixels of one Gaussian, by name.
struct Totals {
  Real q, qu, qv, quu, quv, qvv, absolute;
  Vec3<Real> color;
  Real t, tx, ty;              // ray distance: sum, and times delta
  Vec3<Real> x, xx, xy;        // camera coordinates: sum, and times delta
  Vec3<Real> normal;
};

Totals add_pairs(const float* sums, std::uint32_t begin, std::uint32_t end, unsigned features) {
  const int count = sums_count(features);
  const std::size_t stride = std::size_t(sums_stride(features));
  Real s[32] = {};
  for (std::uint32_t k = begin; k < end; ++k) {
    const float* from = sums + k * stride;
    for (int j = 0; j < count; ++j) s[j] += Real(from[j]);
  }
  Totals r{};
  r.q = s[0];
  r.qu = s[1];
  r.qv = s[2];
  r.quu = s[3];
  r.quv = s[4];
  r.qvv = s[5];
  r.absolute = s[6];
  r.color = {s[7], s[8], s[9]};
  const Real* o = s + kSumsBase;
  if (features & kDepth) {
    r.t = o[0];
    r.tx = o[1];
    r.ty = o[2];
    o += kSumsDepth;
  }
  if (features & kCoord) {
    r.x = {o[0], o[3], o[6]};
    r.xx = {o[1], o[4], o[7]};
    r.xy = {o[2], o[5], o[8]};
    o += kSumsCoord;
  }
  if (features & kNormal) r.normal = {o[0], o[1], o[2]};
  return r;
}

// Gradients of one Gaussian before they are cut and stored.
struct One {
  Vec3<Real> mean{0, 0, 0}, scale{0, 0, 0}, color{0, 0, 0};
  Real ndc_x = 0, ndc_y = 0, absolute = 0, opacity = 0;
  Quat<Real> quat{0, 0, 0, 0};
  Sym3<Real> cov{0, 0, 0, 0, 0, 0};
  float sh_basis_values[16] = {};
  float sh_color[3] = {0, 0, 0};
};

// The plane's part: adds to the shape's gradients and returns that on the camera point.
Vec3<Real> plane_part(const Gaussians& g, const View<Real>& view, const Projected<Real>& c,
                      const Shape& shape, std::size_t i, const Totals& s, Vec3<Real>* ds,
                      Mat3<Real>* dQ, Mat3<Real>* dsigma) {
  const PlaneDirection<Real> direction = direction_of(g, view, c, shape, i);
  if (!direction.valid) return {0, 0, 0};
  const Plane<Real> plane = plane_of(view, c, direction);
  const PlaneGradient<Real> in{s.tx, s.ty, s.xx, s.xy, s.normal};
  PlaneBackward<Real> b = plane_backward(view, c, direction.m, plane, in);
  if (g.cov3d) {
    const SigmaFrame<Real> frame = sigma_frame(view, c, shape.sigma);
    const auto r = sigma_frame_backward(view, c, frame, direction.m, b.dm);
    *dsigma = *dsigma + r.dsigma;
    b.du += r.du;
    b.dv += r.dv;
  } else {
    const OwnFrame<Real> frame = own_frame(view, c, shape.Q, shape.size);
    const auto r = own_frame_backward(view, shape.Q, shape.size, frame, b.dm);
    *ds = *ds + r.ds;
    *dQ = *dQ + r.dQ;
    b.du += r.du;
    b.dv += r.dv;
  }
  return fold_slopes(c, b.dp, b.du, b.dv);
}

// Whitened factor in the scale of the stored sums: the kernels use L sqrt(log2(e)/2).
Grad2<Real> covariance_part(const Footprint<Real>& f, const Totals& s) {
  return covariance_gradient(conic_factor(f), s.quu * kTwoLn2, s.quv * kTwoLn2, s.qvv * kTwoLn2);
}

struct ShapeGradient {
  Vec3<Real> ds{0, 0, 0};
  Mat3<Real> dQ{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  Mat3<Real> dsigma{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
};

// From the 2D covariance to scales, rotation or covariance; returns the gradient on M.
Rows2<Real> shape_part(const Gaussians& g, const View<Real>& view, const Shape& shape,
                       const Grad2<Real>& g2, const DetGradient<Real>& dd, ShapeGradient* out) {
  if (g.cov3d) {
    const Grad2<Real> all = fold_determinants(view, shape.cov, g2, dd);
    out->dsigma = sigma_gradient(shape.M, all);
    return jacobian_gradient(shape.M, all, full(shape.sigma));
  }
  const Rows2<Real> dF = factor_backward(view, shape.F, g2, dd);
  const Mat3<Real> dV = outer(shape.M.r0, dF.r0) + outer(shape.M.r1, dF.r1);
  const Mat3<Real>& Q = shape.Q;
  out->ds = {Q.r0.x * dV.r0.x + Q.r1.x * dV.r1.x + Q.r2.x * dV.r2.x,
             Q.r0.y * dV.r0.y + Q.r1.y * dV.r1.y + Q.r2.y * dV.r2.y,
             Q.r0.z * dV.r0.z + Q.r1.z * dV.r1.z + Q.r2.z * dV.r2.z};
  out->dQ = scaled_axes(dV, shape.size);
  return {shape.axes * dF.r0, shape.axes * dF.r1};
}

void color_part(const Gaussians& g, const State& state, std::size_t i, const Totals& s, One* out) {
  out->color = s.color;
  if (!g.sh) return;
  const ViewSetup& setup = state.setup;
  const unsigned negative = state.negative[i];
  float* dc = out->sh_color;
  dc[0] = negative & 1u ? 0.0f : float(s.color.x);
  dc[1] = negative & 2u ? 0.0f : float(s.color.y);
  dc[2] = negative & 4u ? 0.0f : float(s.color.z);
  const Vec3<Real> towards = mean_of(g, i) - setup.view.campos;
  const Real inv = 1.0 / std::sqrt(dot(towards, towards));
  const Vec3<Real> d = inv * towards;
  const Vec3<float> df{float(d.x), float(d.y), float(d.z)};
  sh_basis(setup.sh_degree, df, out->sh_basis_values);
  if (setup.sh_degree == 0) return;
  const float* sh = g.sh + i * 3 * std::size_t(g.sh_stride);
  float along[16];
  for (int k = 0; k < sh_count(setup.sh_degree); ++k) {
    along[k] = sh[3 * k] * dc[0] + sh[3 * k + 1] * dc[1] + sh[3 * k + 2] * dc[2];
  }
  const Vec3<float> gf = sh_direction_gradient(setup.sh_degree, df, along);
  const Vec3<Real> ddir{gf.x, gf.y, gf.z};
  out->mean = out->mean + inv * (ddir - dot(ddir, d) * d);
}

One carry_back(const Gaussians& g, const State& state, std::size_t i, const Totals& s,
               unsigned features) {
  const View<Real>& view = state.setup.view;
  const Vec3<Real> X = mean_of(g, i), t = to_camera(view, X);
  const Projected<Real> c = project_centre(view, X, t);
  const Shape shape = shape_of(g, view, c, i);
  const Footprint<Real> f = footprint(view, shape.cov);
  const Splat& splat = state.splats[i];
  One r;
  // Opacity and its compensation; the sums hold alpha dalpha = o' G dalpha.
  const Real d_opacity = s.q / Real(splat.opacity);
  r.opacity = f.coef * d_opacity;
  const Compensation<Real> comp = compensation(view, shape.cov, f.det);
  const DetGradient<Real> dd =
      compensation_backward(view, comp, Real(g.opacities[i]) * d_opacity);

  ShapeGradient sg;
  const Rows2<Real> dM = shape_part(g, view, shape, covariance_part(f, s), dd, &sg);
  Vec3<Real> dp = jacobian_backward(view, c, dM);
  Real mu_x = -kTwoLn2 * Real(splat.l11) * s.qu;
  Real mu_y = -kTwoLn2 * (Real(splat.l21) * s.qu + Real(splat.l22) * s.qv);
  Vec3<Real> camera{0, 0, 0};
  if (features & (kDepth | kCoord | kNormal)) {
    dp = dp + plane_part(g, view, c, shape, i, s, &sg.ds, &sg.dQ, &sg.dsigma);
    const SplatPlane& p = state.planes[i];
    mu_x += p.rho0 * s.t + p.k[0] * s.x.x + p.k[2] * s.x.y + p.k[4] * s.x.z;
    mu_y += p.rho1 * s.t + p.k[1] * s.x.x + p.k[3] * s.x.y + p.k[5] * s.x.z;
    camera = s.x + (s.t / std::sqrt(dot(t, t))) * t;
  }
  if (c.clamped_u) dp.x = 0;
  if (c.clamped_v) dp.y = 0;
  r.ndc_x = mu_x * 0.5 * view.width;
  r.ndc_y = mu_y * 0.5 * view.height;
  r.absolute = kTwoLn2 * s.absolute;
  r.mean = transposed_times(view.rotation, dp + camera) + centre_backward(view, c, r.ndc_x, r.ndc_y);
  color_part(g, state, i, s, &r);
  if (g.cov3d) {
    const Mat3<Real>& m = sg.dsigma;
    r.cov = {m.r0.x, m.r0.y + m.r1.x, m.r0.z + m.r2.x, m.r1.y, m.r1.z + m.r2.y, m.r2.z};
  } else {
    r.scale = view.modifier * sg.ds;
    r.quat = rotation_backward(quat_of(g, i), sg.dQ);
  }
  return r;
}

// Keeps the earliest NaN over all threads.
class NanWatch {
 public:
  void see(const char* name, std::size_t i, const float* values, std::size_t n) {
    bool bad = false;
    for (std::size_t k = 0; k < n; ++k) bad = bad || values[k] != values[k];
    if (!bad) return;
    std::lock_guard<std::mutex> lock(mutex_);
    if (!report_.name || i < report_.gaussian) report_ = {name, i};
  }
  NanReport report() const { return report_; }

 private:
  std::mutex mutex_;
  NanReport report_;
};

class Writer {
 public:
  Writer(const Gaussians& g, const Gradients& out, int sh_degree, NanWatch& watch)
      : g_(g), out_(out), sh_used_(std::size_t(sh_count(sh_degree))), watch_(watch) {}

  void zero(std::size_t i) const {
    clear(out_.means, i, 3);
    clear(out_.means2d, i, 3);
    clear(out_.opacities, i, 1);
    clear(out_.scales, i, 3);
    clear(out_.quats, i, 4);
    clear(out_.cov3d, i, 6);
    clear(out_.colors, i, 3);
    clear(out_.sh, i, 3 * std::size_t(g_.sh_stride));
  }

  void write(std::size_t i, const One& r) const {
    const float mean[3] = {float(r.mean.x), float(r.mean.y), float(r.mean.z)};
    put("means", out_.means, i, mean, 3, out_.limit);
    const float xy[3] = {float(r.ndc_x), float(r.ndc_y), out_.absolute ? float(r.absolute) : 0.0f};
    put("means2D", out_.means2d, i, xy, 3, 0.0f);
    const float opacity[1] = {float(r.opacity)};
    put("opacities", out_.opacities, i, opacity, 1, out_.limit);
    const float scale[3] = {float(r.scale.x), float(r.scale.y), float(r.scale.z)};
    put("scales", out_.scales, i, scale, 3, out_.limit);
    const float quat[4] = {float(r.quat.w), float(r.quat.x), float(r.quat.y), float(r.quat.z)};
    put("rotations", out_.quats, i, quat, 4, out_.limit);
    const float cov[6] = {float(r.cov.xx), float(r.cov.xy), float(r.cov.xz),
                          float(r.cov.yy), float(r.cov.yz), float(r.cov.zz)};
    put(nullptr, out_.cov3d, i, cov, 6, 0.0f);
    const float color[3] = {float(r.color.x), float(r.color.y), float(r.color.z)};
    put("colors", out_.colors, i, color, 3, 0.0f);
    if (out_.sh) write_sh(i, r);
  }

 private:
  static void clear(float* array, std::size_t i, std::size_t n) {
    if (array) std::fill_n(array + i * n, n, 0.0f);
  }
  static float cut(float x, float limit) {
    return limit > 0.0f && x == x ? clamp_to(x, -limit, limit) : x;  // NaN stays
  }

  void put(const char* name, float* array, std::size_t i, const float* values, std::size_t n,
           float limit) const {
    if (!array) return;
    if (name) watch_.see(name, i, values, n);
    for (std::size_t k = 0; k < n; ++k) array[i * n + k] = cut(values[k], limit);
  }

  void write_sh(std::size_t i, const One& r) const {
    const std::size_t n = std::size_t(g_.sh_stride);
    float* to = out_.sh + i * 3 * n;
    watch_.see("sh", i, r.sh_color, 3);
    for (std::size_t k = 0; k < sh_used_; ++k) {
      for (std::size_t ch = 0; ch < 3; ++ch) {
        to[3 * k + ch] = cut(r.sh_basis_values[k] * r.sh_color[ch], out_.limit);
      }
    }
    std::fill_n(to + 3 * sh_used_, 3 * (n - sh_used_), 0.0f);
  }

  const Gaussians& g_;
  const Gradients& out_;
  std::size_t sh_used_;
  NanWatch& watch_;
};

}  // namespace

NanReport gaussian_backward(const Gaussians& g, const State& state, const std::int32_t* radii,
                            unsigned features, const float* sums, const Gradients& out) {
  NanWatch watch;
  const Writer writer(g, out, state.setup.sh_degree, watch);
  parallel_for(g.count, 512, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t first = state.slot_begin[i], last = state.slot_begin[i + 1];
      if (radii[i] == 0 || first == last) {
        writer.zero(i);
        continue;
      }
      const Totals totals = add_pairs(sums, first, last, features);
      writer.write(i, carry_back(g, state, i, totals, features));
    }
  });
  return watch.report();
}

}  // namespace igs
