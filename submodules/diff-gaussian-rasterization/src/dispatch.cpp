// Chooses the compositing kernels for this machine.
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "composite.h"

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <immintrin.h>
#include <intrin.h>
#endif

namespace igs {
namespace {

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
bool os_saves(unsigned long long bits) {
  int r[4];
  __cpuid(r, 1);
  return (r[2] & (1 << 27)) != 0 && (_xgetbv(0) & bits) == bits;
}
[[maybe_unused]] bool has_avx2() {
  int one[4], seven[4];
  __cpuid(one, 1);
  __cpuidex(seven, 7, 0);
  return os_saves(0x6) && (one[2] & (1 << 12)) != 0 && (seven[1] & (1 << 5)) != 0;
}
[[maybe_unused]] bool has_avx512() {
  int seven[4];
  __cpuidex(seven, 7, 0);
  const unsigned wanted = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
  return os_saves(0xe6) && (unsigned(seven[1]) & wanted) == wanted && has_avx2();
}
#elif defined(__x86_64__) || defined(__i386__)
[[maybe_unused]] bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

const CompositeKernels* find(const std::string& name) {
#if defined(IGS_HAVE_AVX512)
  if ((name.empty() || name == "avx512") && has_avx512()) return &kCompositeAvx512;
#endif
#if defined(IGS_HAVE_AVX2)
  if ((name.empty() || name == "avx2") && has_avx2()) return &kCompositeAvx2;
#endif
  if (name.empty() || name == "baseline") return &kCompositeBaseline;
  return nullptr;
}

const CompositeKernels* find_or_throw(const std::string& name) {
  const CompositeKernels* kernels = find(name);
  if (!kernels) {
    throw std::invalid_argument("no SIMD variant '" + name +
                                "' on this machine; use baseline, avx2 or avx512");
  }
  return kernels;
}

std::atomic<const CompositeKernels*>& selected() {
  static std::atomic<const CompositeKernels*> kernels{nullptr};
  return kernels;
}

}  // namespace

const CompositeKernels& composite_kernels() {
  const CompositeKernels* kernels = selected().load();
  if (!kernels) {
    const char* wanted = std::getenv("IGS_SIMD");
    kernels = find_or_throw(wanted ? wanted : "");
    selected() = kernels;
  }
  return *kernels;
}

void select_composite_kernels(const char* name) { selected() = find_or_throw(name); }

}  // namespace igs
