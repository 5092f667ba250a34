#include "loss.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace fused_ssim {
namespace {

// Two rings of seven rows stay within a typical second-level cache at this width, and the
// rows recomputed around a tile stay a small part of it at this height.
constexpr int kMaxTileWidth = 768;
constexpr int kMaxTileHeight = 96;

Constants make_constants() {
  constexpr double sigma = 1.5;
  double taps[kTaps], total = 0.0;
  for (int k = 0; k < kTaps; ++k) {
    const double d = k - kRadius;
    taps[k] = std::exp(-d * d / (2.0 * sigma * sigma));
    total += taps[k];
  }
  Constants c{};
  for (int k = 0; k <= kRadius; ++k) c.taps[k] = static_cast<float>(taps[k] / total);
  c.c1 = static_cast<float>(0.01 * 0.01);
  c.c2 = static_cast<float>(0.03 * 0.03);
  return c;
}

// Edge `index` of `parts` nearly equal parts of `size`.
int edge(int size, int parts, int index) {
  return static_cast<int>(static_cast<long long>(size) * index / parts);
}

struct Grid {
  int rows, columns;

  explicit Grid(const Planes& p)
      : rows((p.height + kMaxTileHeight - 1) / kMaxTileHeight),
        columns((p.width + kMaxTileWidth - 1) / kMaxTileWidth) {}

  std::size_t tiles(const Planes& p) const {
    return p.count * static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
};

Tile make_tile(const Planes& p, const Grid& grid, std::size_t index) {
  const int column = static_cast<int>(index % grid.columns);
  const int row = static_cast<int>(index / grid.columns % grid.rows);
  const std::size_t plane = index / grid.columns / grid.rows;
  const std::size_t offset = plane * static_cast<std::size_t>(p.height) * p.width;
  Tile t{};
  t.image = p.image + offset;
  t.target = p.target + offset;
  t.gradient = p.gradient == nullptr ? nullptr : p.gradient + offset;
  t.height = p.height;
  t.width = p.width;
  t.y0 = edge(p.height, grid.rows, row);
  t.y1 = edge(p.height, grid.rows, row + 1);
  t.x0 = edge(p.width, grid.columns, column);
  t.x1 = edge(p.width, grid.columns, column + 1);
  return t;
}

// Runs work() on `threads` threads, the caller being one of them. A thread that cannot be
// started is done without; the first exception is thrown again here.
template <class Work>
void run_threads(int threads, Work work) {
  std::exception_ptr failure;
  std::mutex guard;
  auto guarded = [&] {
    try {
      work();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  helpers.reserve(static_cast<std::size_t>(std::max(0, threads - 1)));
  for (int i = 1; i < threads; ++i) {
    try {
      helpers.emplace_back(guarded);
    } catch (const std::system_error&) {
      break;
    }
  }
  guarded();
  for (auto& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

Means compute(const Planes& planes, double l1_weight, double ssim_weight, int threads,
              TileFunction run) {
  static const Constants constants = make_constants();
  const Grid grid(planes);
  const std::size_t tiles = grid.tiles(planes);
  const double pixels = static_cast<double>(planes.count) * planes.height * planes.width;
  std::vector<TileSums> sums(tiles);
  std::atomic<std::size_t> next{0};
  run_threads(static_cast<int>(std::min<std::size_t>(tiles, std::max(1, threads))), [&] {
    std::vector<float> scratch(scratch_floats(std::min(planes.width, kMaxTileWidth)));
    for (std::size_t i = next++; i < tiles; i = next++) {
      Tile tile = make_tile(planes, grid, i);
      tile.l1_scale = static_cast<float>(l1_weight / pixels);
      tile.ssim_scale = static_cast<float>(ssim_weight / pixels);
      sums[i] = run(tile, constants, scratch.data());
    }
  });
  Means means{0.0, 0.0};
  for (const TileSums& s : sums) {
    means.absolute += s.absolute;
    means.ssim += s.ssim;
  }
  means.absolute /= pixels;
  means.ssim /= pixels;
  return means;
}

}  // namespace fused_ssim
