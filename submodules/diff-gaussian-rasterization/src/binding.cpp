// The Python module `_core`: arrays in, arrays filled. Shapes and dtypes are checked by the Python
// front, which alone calls it; every array is C-contiguous float32 on the CPU unless stated.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "composite.h"
#include "engine.h"
#include "finite_check.h"
#include "thread_pool.h"

namespace nb = nanobind;

namespace {

using In = std::optional<nb::ndarray<const float, nb::c_contig, nb::device::cpu>>;
using Out = std::optional<nb::ndarray<float, nb::c_contig, nb::device::cpu>>;
using InBytes = std::optional<nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>>;
using OutInt = std::optional<nb::ndarray<std::int32_t, nb::c_contig, nb::device::cpu>>;
using Size = std::tuple<int, int>;

const float* ptr(const In& a) { return a ? a->data() : nullptr; }
float* ptr(const Out& a) { return a ? a->data() : nullptr; }
std::int32_t* ptr(const OutInt& a) { return a ? a->data() : nullptr; }

const float* checked(const In& a, const char* name, std::size_t n) {
  if (!a || a->size() != n) {
    throw std::invalid_argument(std::string(name) + " must have " + std::to_string(n) + " values");
  }
  if (!igs::all_finite(a->data(), n)) {
    throw std::invalid_argument(std::string(name) + " holds NaN or Inf; every input must be finite");
  }
  return a->data();
}

float checked(double value, const char* name) {
  const float x = float(value);
  if (!igs::all_finite(&x, 1)) {
    throw std::invalid_argument(std::string(name) + " must be finite, got " +
                                std::to_string(value));
  }
  return x;
}

igs::Gaussians gaussians(std::size_t count, int sh_stride, const In& means, const In& opacities,
                         const In& scales, const In& quats, const In& cov3d, const In& sh,
                         const In& colors) {
  igs::Gaussians g;
  g.count = count;
  g.sh_stride = sh_stride;
  g.means = ptr(means);
  g.opacities = ptr(opacities);
  g.scales = ptr(scales);
  g.quats = ptr(quats);
  g.cov3d = ptr(cov3d);
  g.sh = ptr(sh);
  g.colors = ptr(colors);
  return g;
}

// Height, width, tan(FoVx/2), tan(FoVy/2), kernel size, whether it is compensated, scale modifier.
using Lens = std::tuple<int, int, double, double, double, bool, double>;

igs::ViewSetup view_setup(const Lens& lens, const In& viewmatrix, const In& projmatrix,
                          const In& campos, const In& background, int sh_degree,
                          unsigned features) {
  const auto& [height, width, tanx, tany, kernel, compensate, modifier] = lens;
  const float* v = checked(viewmatrix, "viewmatrix", 16);
  const float* p = checked(projmatrix, "projmatrix", 16);
  const float* o = checked(campos, "campos", 3);
  const float* b = checked(background, "background", 3);
  const float tx = checked(tanx, "tanfovx"), ty = checked(tany, "tanfovy");
  igs::ViewSetup s;
  auto& view = s.view;
  view.rotation = {{v[0], v[4], v[8]}, {v[1], v[5], v[9]}, {v[2], v[6], v[10]}};
  view.translation = {v[12], v[13], v[14]};
  for (int i = 0; i < 16; ++i) view.proj[i / 4][i % 4] = p[i];
  view.campos = {o[0], o[1], o[2]};
  view.width = width;
  view.height = height;
  view.fx = width / (2.0 * double(tx));
  view.fy = height / (2.0 * double(ty));
  view.limit_x = double(igs::kFieldLimit) * double(tx);
  view.limit_y = double(igs::kFieldLimit) * double(ty);
  view.kernel = checked(kernel, "kernel_size");
  view.modifier = checked(modifier, "scale_modifier");
  view.compensate = compensate;
  for (int i = 0; i < 3; ++i) s.background[i] = b[i];
  s.sh_degree = sh_degree;
  s.features = features;
  s.tiles_x = (width + igs::kTile - 1) / igs::kTile;
  s.tiles_y = (height + igs::kTile - 1) / igs::kTile;
  return s;
}

std::unique_ptr<igs::State> forward(const Lens& lens, In viewmatrix, In projmatrix, In campos,
                                    In background, int sh_degree, unsigned features,
                                    std::size_t count, int sh_stride, In means, In opacities,
                                    In scales, In quats, In cov3d, In sh, In colors,
                                    OutInt radii, Out color, Out alpha, Out depth,
                                    Out median_depth, Out coord, Out median_coord, Out normal,
                                    OutInt counts, Out scores, bool score_by_transmittance,
                                    InBytes active) {
  const igs::Gaussians g =
      gaussians(count, sh_stride, means, opacities, scales, quats, cov3d, sh, colors);
  const igs::ViewSetup setup =
      view_setup(lens, viewmatrix, projmatrix, campos, background, sh_degree, features);
  if (active && active->size() != std::size_t(setup.tiles_x) * std::size_t(setup.tiles_y)) {
    throw std::invalid_argument("active must have one byte a tile");
  }
  igs::ForwardOutputs out;
  out.images = {ptr(color), ptr(alpha), ptr(depth), ptr(median_depth),
                ptr(coord), ptr(median_coord), ptr(normal)};
  out.radii = ptr(radii);
  out.counts = ptr(counts);
  out.scores = ptr(scores);
  out.score_by_transmittance = score_by_transmittance;
  nb::gil_scoped_release release;
  return igs::forward(g, setup, active ? active->data() : nullptr, out);
}

using Report = std::optional<std::tuple<std::string, std::size_t>>;

Report backward(const igs::State& state, int sh_stride, In means, In opacities, In scales,
                In quats, In cov3d, In sh, In colors, OutInt radii, In out_alpha, In out_depth,
                In out_coord, In out_normal, In g_color, In g_alpha, In g_depth,
                In g_median_depth, In g_coord, In g_median_coord, In g_normal, Out d_means,
                Out d_means2d, Out d_opacities, Out d_scales, Out d_quats, Out d_cov3d, Out d_sh,
                Out d_colors, double limit, bool absolute) {
  const igs::Gaussians g =
      gaussians(state.count, sh_stride, means, opacities, scales, quats, cov3d, sh, colors);
  const igs::ConstImages outputs{nullptr, ptr(out_alpha), ptr(out_depth), nullptr,
                                 ptr(out_coord), nullptr, ptr(out_normal)};
  const igs::ConstImages grads{ptr(g_color), ptr(g_alpha), ptr(g_depth), ptr(g_median_depth),
                               ptr(g_coord), ptr(g_median_coord), ptr(g_normal)};
  const igs::Gradients out{ptr(d_means), ptr(d_means2d), ptr(d_opacities), ptr(d_scales),
                           ptr(d_quats), ptr(d_cov3d), ptr(d_sh), ptr(d_colors),
                           float(limit), absolute};
  igs::NanReport report;
  {
    nb::gil_scoped_release release;
    report = igs::backward(g, state, ptr(radii), outputs, grads, out);
  }
  if (!report.name) return std::nullopt;
  return std::make_tuple(std::string(report.name), report.gaussian);
}

// An uninitialised float32 tensor in cached memory: fresh pages for every image and gradient would
// cost as much as filling them. The memory goes back to the cache with the tensor.
nb::ndarray<nb::pytorch, float, nb::device::cpu> empty(const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (std::size_t n : shape) count *= n;
  auto buffer = std::make_unique<igs::Buffer<float>>(count);
  float* data = buffer->data();
  nb::capsule owner(buffer.get(), [](void* p) noexcept {
    delete static_cast<igs::Buffer<float>*>(p);
  });
  buffer.release();
  return {data, shape.size(), shape.data(), owner};
}

}  // namespace

NB_MODULE(_core, m) {
  // A graph that is still alive when the program ends is no leak worth a message.
  nb::set_leak_warnings(false);
  nb::class_<igs::State>(m, "State", nb::is_weak_referenceable(),
                         "What the backward pass needs of a forward pass.")
      .def_prop_ro("num_pairs", [](const igs::State& s) { return s.entries.size(); },
                   "(tile, Gaussian) pairs in the lists");
  m.attr("DEPTH") = unsigned(igs::kDepth);
  m.attr("COORD") = unsigned(igs::kCoord);
  m.attr("NORMAL") = unsigned(igs::kNormal);
  m.attr("COUNT") = unsigned(igs::kCount);
#define N(NAME) nb::arg(NAME).none()
  m.def("forward", &forward, nb::arg("lens"), N("viewmatrix"), N("projmatrix"), N("campos"),
        N("background"), nb::arg("sh_degree"), nb::arg("features"), nb::arg("count"),
        nb::arg("sh_stride"), N("means"), N("opacities"), N("scales"), N("quats"), N("cov3d"),
        N("sh"), N("colors"), N("radii"), N("color"), N("alpha"), N("depth"), N("median_depth"),
        N("coord"), N("median_coord"), N("normal"), N("counts"), N("scores"),
        nb::arg("score_by_transmittance"), N("active"));
  m.def("backward", &backward, nb::arg("state"), nb::arg("sh_stride"), N("means"),
        N("opacities"), N("scales"), N("quats"), N("cov3d"), N("sh"), N("colors"), N("radii"),
        N("out_alpha"), N("out_depth"), N("out_coord"), N("out_normal"), N("g_color"),
        N("g_alpha"), N("g_depth"), N("g_median_depth"), N("g_coord"), N("g_median_coord"),
        N("g_normal"), N("d_means"), N("d_means2d"), N("d_opacities"), N("d_scales"),
        N("d_quats"), N("d_cov3d"), N("d_sh"), N("d_colors"), nb::arg("limit"),
        nb::arg("absolute"));
#undef N
  m.def("empty", &empty, nb::arg("shape"));
  m.def("set_num_threads", &igs::set_num_threads, nb::arg("count"));
  m.def("num_threads", &igs::num_threads);
  m.def("simd_name", [] { return std::string(igs::composite_kernels().name); });
  m.def("select_simd", [](const std::string& name) {
    igs::select_composite_kernels(name.c_str());
  });
  m.def("trim_cache", &igs::trim_block_cache);
}
