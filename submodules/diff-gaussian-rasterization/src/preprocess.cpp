#include "preprocess.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "finite_check.h"
#include "gaussian_access.h"
#include "thread_pool.h"

namespace igs {
namespace {

constexpr std::size_t kChunk = 1024;

struct NamedInput {
  const char* name;
  const float* values;
  std::size_t width;
};

std::vector<NamedInput> named_inputs(const Gaussians& g) {
  return {{"means", g.means, 3},          {"opacities", g.opacities, 1},
          {"scales", g.scales, 3},        {"rotations", g.quats, 4},
          {"cov3D", g.cov3d, 6},          {"sh", g.sh, 3 * std::size_t(g.sh_stride)},
          {"colors", g.colors, 3}};
}

// The first bad Gaussian over all chunks, whichever thread meets it.
class BadInput {
 public:
  void look(const std::vector<NamedInput>& inputs, std::size_t begin, std::size_t end) {
    for (const NamedInput& in : inputs) {
      if (!in.values) continue;
      const float* values = in.values + begin * in.width;
      if (all_finite(values, (end - begin) * in.width)) continue;
      const std::size_t bad = begin + first_bad_row(values, end - begin, in.width);
      std::size_t known = first_.load();
      while (bad < known && !first_.compare_exchange_weak(known, bad)) {
      }
    }
  }
  void raise(const std::vector<NamedInput>& inputs) const {
    const std::size_t bad = first_.load();
    if (bad == kNone) return;
    for (const NamedInput& in : inputs) {
      if (!in.values || all_finite(in.values + bad * in.width, in.width)) continue;
      throw std::invalid_argument(std::string(in.name) + " of Gaussian " + std::to_string(bad) +
                                  " is NaN or Inf; every input must be finite");
    }
  }

 private:
  static constexpr std::size_t kNone = ~std::size_t(0);
  std::atomic<std::size_t> first_{kNone};
};

void store_plane(SplatPlane& out, const Projected<Real>& c, const Plane<Real>& plane) {
  out.tau = float(std::sqrt(dot(c.t, c.t)));
  out.rho0 = float(plane.rho0);
  out.rho1 = float(plane.rho1);
  out.t[0] = float(c.t.x);
  out.t[1] = float(c.t.y);
  out.t[2] = float(c.t.z);
  const float k[6] = {float(plane.k0.x), float(plane.k1.x), float(plane.k0.y),
                      float(plane.k1.y), float(plane.k0.z), float(plane.k1.z)};
  std::copy(k, k + 6, out.k);
  out.normal[0] = float(plane.normal.x);
  out.normal[1] = float(plane.normal.y);
  out.normal[2] = float(plane.normal.z);
  out.unused = 0.0f;
}

// Colour of Gaussian i; returns the bits of the channels cut at zero.
std::uint8_t store_color(const Gaussians& g, const ViewSetup& setup, std::size_t i, float* color) {
  if (g.colors) {
    std::copy(g.colors + 3 * i, g.colors + 3 * i + 3, color);
    return 0;
  }
  const Vec3<Real> towards = mean_of(g, i) - setup.view.campos;
  const Real inv = 1.0 / std::sqrt(dot(towards, towards));
  const Vec3<float> d{float(towards.x * inv), float(towards.y * inv), float(towards.z * inv)};
  float Y[16];
  sh_basis(setup.sh_degree, d, Y);
  const float* sh = g.sh + i * 3 * std::size_t(g.sh_stride);
  float sum[3] = {0.5f, 0.5f, 0.5f};
  const int n = sh_count(setup.sh_degree);
  for (int k = 0; k < n; ++k) {
    for (int ch = 0; ch < 3; ++ch) sum[ch] += Y[k] * sh[3 * k + ch];
  }
  std::uint8_t negative = 0;
  for (int ch = 0; ch < 3; ++ch) {
    if (sum[ch] < 0.0f) negative |= std::uint8_t(1u << ch);
    color[ch] = std::max(0.0f, sum[ch]);
  }
  return negative;
}

void store_shape(Splat& s, const Footprint<Real>& f, const Projected<Real>& c, Real opacity) {
  const Cholesky2<Real> L = conic_factor(f);
  s.px = float(c.px);
  s.py = float(c.py);
  s.l11 = float(L.l11) * kRootHalfLog2e;
  s.l21 = float(L.l21) * kRootHalfLog2e;
  s.l22 = float(L.l22) * kRootHalfLog2e;
  s.opacity = float(opacity * f.coef);
}

// True where the Gaussian can colour a pixel; sets the radius by section 3 in any case.
bool process(const Gaussians& g, State& state, std::size_t i, std::int32_t* radius) {
  const ViewSetup& setup = state.setup;
  const View<Real>& view = setup.view;
  *radius = 0;
  const Vec3<Real> X = mean_of(g, i);
  const Vec3<Real> t = to_camera(view, X);
  if (!(t.z > Real(kNearCut))) return false;
  const Projected<Real> c = project_centre(view, X, t);
  const Shape shape = shape_of(g, view, c, i);
  const Footprint<Real> f = footprint(view, shape.cov);
  if (f.radius == 0 || !is_finite(c.px) || !is_finite(c.py)) return false;
  const TileRect rect = tile_rect(setup, c.px, c.py, f.radius);
  if (rect.x0 >= rect.x1 || rect.y0 >= rect.y1) return false;
  *radius = f.radius;
  // An indefinite covariance draws nothing.
  if (!(f.det > 0) || !(f.c > 0)) return false;
  Splat& s = state.splats[i];
  store_shape(s, f, c, g.opacities[i]);
  if (!(s.opacity >= kAlphaMin)) return false;
  s.reach = std::log2(255.0f * s.opacity) + 2e-3f;
  s.raw_opacity = g.opacities[i];
  if (!is_finite(s.px) || !is_finite(s.py) || !is_finite(s.l11) || !is_finite(s.l21) ||
      !is_finite(s.l22)) {
    return false;
  }
  state.negative[i] = store_color(g, setup, i, s.color);
  if (setup.features & (kDepth | kCoord | kNormal)) {
    store_plane(state.planes[i], c, plane_of(view, c, direction_of(g, view, c, shape, i)));
  }
  return true;
}

void compact(Visible& v, std::size_t chunks, const std::vector<std::uint32_t>& found) {
  std::size_t to = 0;
  for (std::size_t k = 0; k < chunks; ++k) {
    const std::size_t from = k * kChunk;
    if (from != to) {
      std::copy_n(v.index.data() + from, found[k], v.index.data() + to);
      std::copy_n(v.depth_bits.data() + from, found[k], v.depth_bits.data() + to);
    }
    to += found[k];
  }
  v.count = to;
}

}  // namespace

TileRect tile_rect(const ViewSetup& setup, Real px, Real py, Real radius) {
  const auto edge = [](Real x, int tiles) {
    return int(clamp_to(std::trunc(x / kTile), Real(0), Real(tiles)));
  };
  return {edge(px - radius, setup.tiles_x), edge(py - radius, setup.tiles_y),
          edge(px + radius + (kTile - 1), setup.tiles_x),
          edge(py + radius + (kTile - 1), setup.tiles_y)};
}

void preprocess(const Gaussians& g, State& state, std::int32_t* radii, Visible& visible) {
  const std::size_t chunks = (g.count + kChunk - 1) / kChunk;
  state.splats.resize(g.count);
  state.negative.resize(g.count);
  if (state.setup.features & (kDepth | kCoord | kNormal)) state.planes.resize(g.count);
  visible.depth_bits.resize(g.count);
  visible.index.resize(g.count);
  std::vector<std::uint32_t> found(chunks, 0);
  const std::vector<NamedInput> inputs = named_inputs(g);
  BadInput bad;
  parallel_for(g.count, kChunk, [&](std::size_t begin, std::size_t end, int) {
    bad.look(inputs, begin, end);
    std::size_t to = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (!process(g, state, i, radii + i)) continue;
      visible.index[to] = std::uint32_t(i);
      visible.depth_bits[to] = float_bits(float(to_camera(state.setup.view, mean_of(g, i)).z));
      ++to;
    }
    found[begin / kChunk] = std::uint32_t(to - begin);
  });
  bad.raise(inputs);
  compact(visible, chunks, found);
}

}  // namespace igs
