# src/kernel.cpp is compiled once per instruction set into an object library of its own.
# The kernel uses no header-only library code, so that no inline function compiled with
# wide instructions can be picked by the linker for another translation unit.
include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)

# Keeps in OUT those FLAGS that the compiler knows.
function(fused_ssim_known_flags OUT)
  set(known "")
  foreach(flag IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER "FUSED_SSIM_HAS_${flag}" name)
    check_cxx_compiler_flag("${flag}" ${name})
    if(${name})
      list(APPEND known "${flag}")
    endif()
  endforeach()
  set(${OUT} "${known}" PARENT_SCOPE)
endfunction()

# Sets OUT when the compiler, given FLAGS, turns out code for x86 with MACRO defined.
function(fused_ssim_check_x86 OUT MACRO)
  string(REPLACE ";" " " CMAKE_REQUIRED_FLAGS "${ARGN}")
  check_cxx_source_compiles("
    #if !defined(__x86_64__) && !defined(_M_X64) && !defined(__i386__) && !defined(_M_IX86)
    #error not x86
    #endif
    #if !defined(${MACRO})
    #error not this instruction set
    #endif
    #include <immintrin.h>
    int main() { return 0; }" ${OUT})
  set(${OUT} "${${OUT}}" PARENT_SCOPE)
endfunction()

function(fused_ssim_add_variant MODULE NAME)
  add_library(fused_ssim_${NAME} OBJECT src/kernel.cpp)
  target_compile_definitions(fused_ssim_${NAME} PRIVATE FUSED_SSIM_VARIANT=${NAME})
  target_compile_options(fused_ssim_${NAME} PRIVATE ${FUSED_SSIM_COMMON} ${ARGN})
  target_sources(${MODULE} PRIVATE $<TARGET_OBJECTS:fused_ssim_${NAME}>)
endfunction()

function(fused_ssim_add_variants MODULE)
  if(MSVC)
    fused_ssim_known_flags(FUSED_SSIM_COMMON /O2 /fp:contract)
    set(avx2_flags /arch:AVX2)
    set(avx512_flags /arch:AVX512)
  else()
    fused_ssim_known_flags(FUSED_SSIM_COMMON
      -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math)
    set(avx2_flags -mavx2 -mfma)
    set(avx512_flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)
    fused_ssim_known_flags(wide_vectors -mprefer-vector-width=512)
  endif()

  fused_ssim_add_variant(${MODULE} baseline)
  fused_ssim_check_x86(FUSED_SSIM_AVX2 __AVX2__ ${avx2_flags})
  if(FUSED_SSIM_AVX2)
    fused_ssim_add_variant(${MODULE} avx2 ${avx2_flags})
    target_compile_definitions(${MODULE} PRIVATE FUSED_SSIM_HAVE_AVX2)
  endif()
  fused_ssim_check_x86(FUSED_SSIM_AVX512 __AVX512F__ ${avx512_flags})
  if(FUSED_SSIM_AVX512)
    fused_ssim_add_variant(${MODULE} avx512 ${avx512_flags} ${wide_vectors})
    target_compile_definitions(${MODULE} PRIVATE FUSED_SSIM_HAVE_AVX512)
  endif()
endfunction()
