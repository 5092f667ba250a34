// From Gaussians in depth order to one list per tile.
#include "tiles.cuh"

namespace igs {

// What `preprocess` found, for writing the pairs.
__device__ __forceinline__ TileCover cover_of(const RasterArgs& a, long long at) {
  const float4 s0 = load4(a.splats, 3 * at), s1 = load4(a.splats, 3 * at + 1);
  return tile_cover(a, s0, s1.x, s1.z, a.radii[at]);
}

__device__ __forceinline__ void store_key(const RasterArgs& a, int pair, int tile) {
  if (a.long_keys) {
    static_cast<int*>(a.tile_keys)[pair] = tile;
  } else {
    static_cast<short*>(a.tile_keys)[pair] = short(tile);
  }
}

__device__ __forceinline__ int load_key(const RasterArgs& a, int entry) {
  return a.long_keys ? static_cast<const int*>(a.sorted_keys)[entry]
                     : int(static_cast<const short*>(a.sorted_keys)[entry]);
}

__device__ __forceinline__ int store_row(const RasterArgs& a, int at, Span span, int tile, int pair,
                                         int end) {
  for (int x = span.first; x <= span.last && pair < end; ++x) {
    if (!is_active(a, tile + x)) continue;
    store_key(a, pair, tile + x);
    a.pair_gaussians[pair] = at;
    ++pair;
  }
  return pair;
}

constexpr int kOwnTiles = 32;  // a Gaussian of more tiles is shared by its warp

// One row of tiles per lane; the lanes' places follow from a prefix sum.
__device__ __forceinline__ void store_together(const RasterArgs& a, int at, int pair, int end,
                                               int lane) {
  const TileCover cover = cover_of(a, at);
  const int first_tile = (at / a.count) * a.tiles_x * a.tiles_y;
  for (int row0 = cover.rows.first; row0 <= cover.rows.last; row0 += 32) {
    const int row = row0 + lane;
    Span span{1, 0};
    if (row <= cover.rows.last) span = columns(cover, row);
    const int mine = active_in(a, first_tile + row * a.tiles_x, span);
    int through = mine;
    for (int step = 1; step < 32; step *= 2) {
      const int before = __shfl_up_sync(kWarp, through, step);
      if (lane >= step) through += before;
    }
    store_row(a, at, span, first_tile + row * a.tiles_x, pair + through - mine, end);
    pair += __shfl_sync(kWarp, through, 31);
  }
}

__device__ __forceinline__ void store_alone(const RasterArgs& a, int at, int pair, int end) {
  const TileCover cover = cover_of(a, at);
  const int first_tile = (at / a.count) * a.tiles_x * a.tiles_y;
  for (int row = cover.rows.first; row <= cover.rows.last; ++row) {
    pair = store_row(a, at, columns(cover, row), first_tile + row * a.tiles_x, pair, end);
  }
}

}  // namespace igs

// Writes the (tile, Gaussian) pairs in depth order.
extern "C" __global__ void __launch_bounds__(256) write_pairs(const igs::RasterArgs a) {
  using namespace igs;
  const long long k = (long long)blockIdx.x * kThreads + threadIdx.x;
  const int lane = threadIdx.x % 32;
  int at = 0, begin = 0, tiles = 0;
  if (k < (long long)a.count * a.views) {
    at = int(a.order[k]);
    tiles = a.tile_counts[at];
    begin = int(a.ends[k]) - tiles;
    a.slot_begin[at] = begin;
  }
  if (tiles > 0 && tiles <= kOwnTiles) store_alone(a, at, begin, begin + tiles);
  for (unsigned large = __ballot_sync(kWarp, tiles > kOwnTiles); large; large &= large - 1) {
    const int owner = __ffs(int(large)) - 1;
    const int its_begin = __shfl_sync(kWarp, begin, owner);
    const int its_end = its_begin + __shfl_sync(kWarp, tiles, owner);
    store_together(a, __shfl_sync(kWarp, at, owner), its_begin, its_end, lane);
  }
}

// After the stable sort by tile: the lists' entries and where each tile's list begins.
extern "C" __global__ void __launch_bounds__(256) write_lists(const igs::RasterArgs a) {
  using namespace igs;
  const long long e = (long long)blockIdx.x * kThreads + threadIdx.x;
  const int tiles = a.views * a.tiles_x * a.tiles_y;
  if (e > a.pairs) return;
  const int here = e < a.pairs ? load_key(a, int(e)) : tiles;
  const int before = e > 0 ? load_key(a, int(e) - 1) : -1;
  for (int tile = before + 1; tile <= here; ++tile) a.tile_begin[tile] = int(e);
  if (e == a.pairs) return;
  const int pair = int(a.sorted_pairs[e]);
  a.entries[2 * e] = a.pair_gaussians[pair];
  a.entries[2 * e + 1] = pair;
}
