// The compositing loops for one instruction set. The build compiles this file several times, each
// with one of IGS_ISA_BASELINE, IGS_ISA_AVX2 and IGS_ISA_AVX512 and the matching compiler flags.
#include "composite.h"

#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(IGS_ISA_AVX512) || defined(IGS_ISA_AVX2) || defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>
#else
#include <cmath>
#include <cstring>
#endif

#if defined(_MSC_VER)
#define IGS_INLINE static __forceinline
#else
#define IGS_INLINE static inline __attribute__((always_inline))
#endif

#if defined(__GNUC__) || defined(__clang__)
#define IGS_PREFETCH(p) __builtin_prefetch(p)
#define IGS_PREFETCH_WRITE(p) __builtin_prefetch(p, 1)
#elif defined(_M_X64)
#define IGS_PREFETCH(p) _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0)
#define IGS_PREFETCH_WRITE(p) IGS_PREFETCH(p)
#else
#define IGS_PREFETCH(p) static_cast<void>(p)
#define IGS_PREFETCH_WRITE(p) static_cast<void>(p)
#endif

#if defined(IGS_ISA_AVX512)
#define IGS_KERNELS kCompositeAvx512
#define IGS_ISA_NAME "avx512"
#define IGS_ISA_SPACE avx512
#elif defined(IGS_ISA_AVX2)
#define IGS_KERNELS kCompositeAvx2
#define IGS_ISA_NAME "avx2"
#define IGS_ISA_SPACE avx2
#else
#define IGS_KERNELS kCompositeBaseline
#define IGS_ISA_NAME "baseline"
#define IGS_ISA_SPACE baseline
#endif

namespace igs {
namespace IGS_ISA_SPACE {

namespace native {
#if defined(IGS_ISA_AVX512)
#include "simd_avx512.h"
#elif defined(IGS_ISA_AVX2)
#include "simd_avx2.h"
#elif defined(__SSE2__) || defined(_M_X64)
#include "simd_sse2.h"
#elif defined(__aarch64__) || defined(_M_ARM64)
#include "simd_neon.h"
#else
#include "simd_scalar.h"
#endif
}  // namespace native

#include "simd.h"

#include "composite_common.h"

#include "composite_forward.h"

#include "composite_backward.h"

}  // namespace IGS_ISA_SPACE

#define IGS_ALL_FEATURES(F) \
  { F<0>, F<1>, F<2>, F<3>, F<4>, F<5>, F<6>, F<7> }

const CompositeKernels IGS_KERNELS = {
    IGS_ISA_NAME,
    IGS_ALL_FEATURES(IGS_ISA_SPACE::forward_tile),
    IGS_ISA_SPACE::forward_tile<kCount>,
    IGS_ALL_FEATURES(IGS_ISA_SPACE::backward_tile),
};

}  // namespace igs
