#include "binning.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "thread_pool.h"

namespace igs {
namespace {

// Columns of blocks [first, last] that a Gaussian reaches in one row of blocks; first > last: none.
struct Span {
  std::uint16_t first, last;
};
constexpr Span kNoSpan{1, 0};

struct BlockRows {
  int first, last;  // inclusive; first > last: none
};

// Rows of blocks inside rectangle, image and ellipse.
BlockRows block_rows(const ViewSetup& setup, const TileRect& rect, const Ellipse& e) {
  const int low = rect.y0 * kTile, high = std::min(rect.y1 * kTile, setup.view.height) - 1;
  const float top = std::max(std::ceil(e.top()), float(low));
  const float bottom = std::min(std::floor(e.bottom()), float(high));
  if (!(top <= bottom)) return {1, 0};
  return {int(top) / kBlock, int(bottom) / kBlock};
}

Span block_span(const ViewSetup& setup, const TileRect& rect, const Ellipse& e, int row) {
  const int low = rect.x0 * kTile, high = std::min(rect.x1 * kTile, setup.view.width) - 1;
  float left, right;
  e.extent(float(row * kBlock), float(row * kBlock + kBlock - 1), &left, &right);
  left = std::max(std::ceil(left), float(low));
  right = std::min(std::floor(right), float(high));
  if (!(left <= right)) return kNoSpan;
  return {std::uint16_t(int(left) / kBlock), std::uint16_t(int(right) / kBlock)};
}

// Bits of the columns of tile tx that a span covers.
unsigned column_bits(Span s, int tx) {
  const int lo = std::max(int(s.first) - 4 * tx, 0), hi = std::min(int(s.last) - 4 * tx, 3);
  return lo > hi ? 0u : ((0xfu << lo) & (0xfu >> (3 - hi)));
}

// A stretch of depth-sorted Gaussians: its spans, and where its entries go in each tile.
struct Chunk {
  std::size_t begin = 0, end = 0;
  std::vector<Span> spans;
  std::vector<std::int32_t> first_row, rows;  // rows of blocks, per Gaussian
  std::vector<std::uint32_t> position;        // per tile: count, later next free entry
};

// Calls visit(tile, blocks) for each active tile of one Gaussian, row by row.
template <class Visit>
void for_each_tile(const ViewSetup& setup, const std::uint8_t* active, int first_row, int rows,
                   const Span* spans, const Visit& visit) {
  const int last_row = first_row + rows - 1;
  for (int ty = first_row / 4; rows > 0 && ty <= last_row / 4; ++ty) {
    Span in_tile[4];
    int low = 1 << 30, high = -1;
    for (int r = 0; r < 4; ++r) {
      const int row = 4 * ty + r;
      in_tile[r] = row < first_row || row > last_row ? kNoSpan : spans[row - first_row];
      if (in_tile[r].first > in_tile[r].last) continue;
      low = std::min(low, int(in_tile[r].first));
      high = std::max(high, int(in_tile[r].last));
    }
    for (int tx = low / 4; high >= 0 && tx <= high / 4; ++tx) {
      if (active && !active[ty * setup.tiles_x + tx]) continue;
      unsigned blocks = 0;
      for (int r = 0; r < 4; ++r) blocks |= column_bits(in_tile[r], tx) << (4 * r);
      if (blocks) visit(ty * setup.tiles_x + tx, blocks);
    }
  }
}

void count_chunk(const std::int32_t* radii, const std::uint8_t* active, const Visible& sorted,
                 State& state, Chunk& chunk, std::uint32_t* pairs) {
  const ViewSetup& setup = state.setup;
  chunk.position.assign(std::size_t(setup.tiles_x) * std::size_t(setup.tiles_y), 0);
  for (std::size_t k = chunk.begin; k < chunk.end; ++k) {
    const std::uint32_t i = sorted.index[k];
    const Splat& s = state.splats[i];
    const TileRect rect = tile_rect(setup, s.px, s.py, radii[i]);
    const Ellipse ellipse = ellipse_of(s.px, s.py, s.l11, s.l21, s.l22, s.reach);
    const BlockRows rows = block_rows(setup, rect, ellipse);
    const int count = std::max(0, rows.last - rows.first + 1);
    const std::size_t at = chunk.spans.size();
    for (int r = 0; r < count; ++r) {
      chunk.spans.push_back(block_span(setup, rect, ellipse, rows.first + r));
    }
    chunk.first_row.push_back(rows.first);
    chunk.rows.push_back(count);
    std::uint32_t tiles = 0;
    for_each_tile(setup, active, rows.first, count, chunk.spans.data() + at,
                  [&](int tile, unsigned) {
                    ++chunk.position[std::size_t(tile)];
                    ++tiles;
                  });
    pairs[i] = tiles;
  }
}

void fill_chunk(const std::uint8_t* active, const Visible& sorted, State& state, TileLists& lists,
                Chunk& chunk) {
  std::size_t at = 0;
  for (std::size_t k = chunk.begin; k < chunk.end; ++k) {
    const std::uint32_t i = sorted.index[k];
    const std::size_t local = k - chunk.begin;
    std::uint32_t slot = state.slot_begin[i];
    for_each_tile(state.setup, active, chunk.first_row[local], chunk.rows[local],
                  chunk.spans.data() + at, [&](int tile, unsigned blocks) {
                    const std::uint32_t to = chunk.position[std::size_t(tile)]++;
                    state.entries[to] = {i, slot++};
                    lists.blocks[to] = std::uint16_t(blocks);
                  });
    at += std::size_t(chunk.rows[local]);
  }
}

// Counts to first positions, tile by tile and chunk by chunk.
std::uint64_t place_tiles(std::vector<Chunk>& chunks, State& state) {
  const std::size_t tiles = std::size_t(state.setup.tiles_x) * std::size_t(state.setup.tiles_y);
  state.tile_begin.resize(tiles + 1);
  std::uint64_t sum = 0;
  for (std::size_t t = 0; t < tiles; ++t) {
    state.tile_begin[t] = std::uint32_t(sum);
    for (Chunk& c : chunks) {
      const std::uint32_t n = c.position[t];
      c.position[t] = std::uint32_t(sum);
      sum += n;
    }
  }
  state.tile_begin[tiles] = std::uint32_t(sum);
  return sum;
}

// Pair counts (in slot_begin[i]) to first slots, in Gaussian order.
void place_slots(State& state) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i <= state.count; ++i) {
    const std::uint32_t n = i < state.count ? state.slot_begin[i] : 0;
    state.slot_begin[i] = sum;
    sum += n;
  }
}

}  // namespace

void bin_by_tile(const std::int32_t* radii, const std::uint8_t* active, const Visible& sorted,
                 State& state, TileLists& lists) {
  state.slot_begin.resize(state.count + 1);
  std::fill_n(state.slot_begin.data(), state.count + 1, 0u);
  const std::size_t chunk_count =
      std::min<std::size_t>(std::size_t(num_threads()), sorted.count / 256 + 1);
  std::vector<Chunk> chunks(chunk_count);
  parallel_for(chunk_count, 1, [&](std::size_t c, std::size_t, int) {
    chunks[c].begin = sorted.count * c / chunk_count;
    chunks[c].end = sorted.count * (c + 1) / chunk_count;
    count_chunk(radii, active, sorted, state, chunks[c], state.slot_begin.data());
  });
  const std::uint64_t total = place_tiles(chunks, state);
  if (total > 0xffffffffu) {
    throw std::length_error("more than 2^32 (tile, Gaussian) pairs; use fewer or smaller Gaussians");
  }
  place_slots(state);
  state.entries.resize(std::size_t(total));
  lists.blocks.resize(std::size_t(total));
  parallel_for(chunk_count, 1, [&](std::size_t c, std::size_t, int) {
    fill_chunk(active, sorted, state, lists, chunks[c]);
  });
}

}  // namespace igs
