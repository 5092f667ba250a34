// Finds NaN and Inf fast: an exponent of all ones, tested on the bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace igs {

inline std::uint32_t float_bits(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// True where all `n` values are finite. Written for the vectoriser: no early exit.
inline bool all_finite(const float* values, std::size_t n) {
  std::uint32_t seen = 0;
  for (std::size_t i = 0; i < n; ++i) {
    seen |= (float_bits(values[i]) & 0x7fffffffu) + 0x00800000u;
  }
  return (seen & 0x80000000u) == 0;
}

// Index of the first of `rows` rows of `width` values with a bad one; `rows` when all are good.
inline std::size_t first_bad_row(const float* values, std::size_t rows, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r) {
    if (!all_finite(values + r * width, width)) return r;
  }
  return rows;
}

}  // namespace igs
