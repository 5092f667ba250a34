#include "depth_sort.h"

#include <array>
#include <utility>
#include <vector>

namespace igs {
namespace {

constexpr int kDigitBits = 11, kPasses = 3;
constexpr std::size_t kDigits = std::size_t(1) << kDigitBits;

using Histogram = std::array<std::uint32_t, kDigits>;

std::uint32_t digit(std::uint32_t key, int pass) {
  return (key >> (kDigitBits * pass)) & std::uint32_t(kDigits - 1);
}

std::vector<Histogram> histograms(const Visible& v) {
  std::vector<Histogram> h(kPasses, Histogram{});
  for (std::size_t i = 0; i < v.count; ++i) {
    for (int p = 0; p < kPasses; ++p) ++h[std::size_t(p)][digit(v.depth_bits[i], p)];
  }
  return h;
}

// Turns counts into first positions; false where all keys share one digit.
bool prefix_sum(Histogram& h, std::size_t total) {
  std::uint32_t sum = 0;
  for (auto& n : h) {
    if (n == total) return false;
    const std::uint32_t count = n;
    n = sum;
    sum += count;
  }
  return true;
}

}  // namespace

void sort_by_depth(Visible& v) {
  // Camera depths are positive, so their bits order like the numbers.
  Visible other;
  other.depth_bits.resize(v.count);
  other.index.resize(v.count);
  other.count = v.count;
  auto h = histograms(v);
  for (int p = 0; p < kPasses; ++p) {
    Histogram& start = h[std::size_t(p)];
    if (!prefix_sum(start, v.count)) continue;
    for (std::size_t i = 0; i < v.count; ++i) {
      const std::uint32_t to = start[digit(v.depth_bits[i], p)]++;
      other.depth_bits[to] = v.depth_bits[i];
      other.index[to] = v.index[i];
    }
    std::swap(v, other);
  }
}

}  // namespace igs
