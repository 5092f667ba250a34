// Python binding: arrays come and go by DLPack, so nothing here knows torch.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu_features.hpp"
#include "loss.hpp"

namespace nb = nanobind;

namespace {

using Input = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

fused_ssim::TileFunction pick_variant(const std::string& name) {
  const auto& variants = fused_ssim::usable_variants();
  if (name == "auto") return variants.back().run;
  for (const auto& variant : variants)
    if (variant.name == name) return variant.run;
  throw std::invalid_argument("SIMD variant '" + name + "' cannot run here");
}

void check_shape(const Input& image, std::size_t n, std::size_t h, std::size_t w,
                 const char* name) {
  if (image.shape(0) != n || image.shape(1) != h || image.shape(2) != w)
    throw std::invalid_argument(std::string(name) + " differs in shape from image");
}

std::pair<double, double> l1_ssim(const Input& image, const Input& target,
                                  std::optional<Output> gradient, double l1_weight,
                                  double ssim_weight, int threads, const std::string& variant) {
  const std::size_t n = image.shape(0), h = image.shape(1), w = image.shape(2);
  constexpr std::size_t limit = std::numeric_limits<int>::max() / 2;
  if (n == 0 || h == 0 || w == 0) throw std::invalid_argument("image is empty");
  if (h > limit || w > limit) throw std::invalid_argument("image is too large");
  check_shape(target, n, h, w, "target");
  if (gradient) check_shape(Input(*gradient), n, h, w, "gradient");
  const fused_ssim::TileFunction run = pick_variant(variant);
  const fused_ssim::Planes planes{image.data(), target.data(),
                                  gradient ? gradient->data() : nullptr, n,
                                  static_cast<int>(h), static_cast<int>(w)};
  fused_ssim::Means means{};
  {
    nb::gil_scoped_release release;
    means = fused_ssim::compute(planes, l1_weight, ssim_weight, threads, run);
  }
  return {means.absolute, means.ssim};
}

std::vector<std::string> simd_variants() {
  std::vector<std::string> names;
  for (const auto& variant : fused_ssim::usable_variants()) names.push_back(variant.name);
  return names;
}

}  // namespace

NB_MODULE(_native, m) {
  m.def("l1_ssim", &l1_ssim, nb::arg("image"), nb::arg("target"), nb::arg("gradient").none(),
        nb::arg("l1_weight"), nb::arg("ssim_weight"), nb::arg("threads"),
        nb::arg("variant") = "auto",
        "Mean |image - target| and mean SSIM of (N, H, W) float32 arrays; `gradient` is filled "
        "with that of l1_weight * l1 + ssim_weight * ssim.");
  m.def("simd_variants", &simd_variants, "Kernel variants usable here, the fastest last.");
}
