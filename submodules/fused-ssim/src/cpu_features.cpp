#include "cpu_features.hpp"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace fused_ssim {
namespace {

#if defined(FUSED_SSIM_HAVE_AVX2) || defined(FUSED_SSIM_HAVE_AVX512)
#if defined(_MSC_VER) && !defined(__clang__)

bool bit(int word, int index) { return ((word >> index) & 1) != 0; }

// The operating system must save the wide registers (mask in XCR0) besides the CPU bits.
bool os_saves(unsigned long long mask) {
  int r[4];
  __cpuid(r, 1);
  return bit(r[2], 27) && (_xgetbv(0) & mask) == mask;
}

[[maybe_unused]] bool has_avx2() {
  int one[4], seven[4];
  __cpuid(one, 1);
  __cpuidex(seven, 7, 0);
  return os_saves(0x6) && bit(one[2], 12) && bit(seven[1], 5);
}

[[maybe_unused]] bool has_avx512() {
  int seven[4];
  __cpuidex(seven, 7, 0);
  return has_avx2() && os_saves(0xe6) && bit(seven[1], 16) && bit(seven[1], 17) &&
         bit(seven[1], 30) && bit(seven[1], 31);
}

#else

[[maybe_unused]] bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#endif
#endif

std::vector<Variant> detect() {
  std::vector<Variant> found{{"baseline", &baseline::run_tile}};
#if defined(FUSED_SSIM_HAVE_AVX2)
  if (has_avx2()) found.push_back({"avx2", &avx2::run_tile});
#endif
#if defined(FUSED_SSIM_HAVE_AVX512)
  if (has_avx512()) found.push_back({"avx512", &avx512::run_tile});
#endif
  return found;
}

}  // namespace

const std::vector<Variant>& usable_variants() {
  static const std::vector<Variant> variants = detect();
  return variants;
}

}  // namespace fused_ssim
