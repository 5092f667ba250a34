// Which tiles a Gaussian can reach: its 3-sigma rectangle, cut by the ellipse alpha = 1/255.
#pragma once

#include "device.cuh"

namespace igs {

// Half-open, in tiles (spec rasterizer.md, section 3, step 9).
struct TileRect {
  int x0, y0, x1, y1;
};

__device__ __forceinline__ int tile_edge(double x, int tiles) {
  return int(clamp_to(std::trunc(x / kTile), 0.0, double(tiles)));
}

__device__ __forceinline__ TileRect tile_rect(const RasterArgs& a, double px, double py,
                                              double radius) {
  return {tile_edge(px - radius, a.tiles_x), tile_edge(py - radius, a.tiles_y),
          tile_edge(px + radius + (kTile - 1), a.tiles_x),
          tile_edge(py + radius + (kTile - 1), a.tiles_y)};
}

// Inclusive; first > last: none.
struct Span {
  int first, last;
};

// The tiles of one Gaussian, row by row.
struct TileCover {
  Ellipse ellipse;
  int left, right, top, bottom;  // pixels of the rectangle inside the image, inclusive
  Span rows;
};

// Two kernels call this and must agree to the last bit: they are compiled without contraction.
__device__ __forceinline__ TileCover tile_cover(const RasterArgs& a, float4 s0, float l22,
                                                float reach, int radius) {
  const TileRect rect = tile_rect(a, s0.x, s0.y, radius);
  TileCover c;
  c.ellipse = ellipse_of(s0.x, s0.y, s0.z, s0.w, l22, reach);
  c.left = rect.x0 * kTile;
  c.right = min_of(rect.x1 * kTile, a.width) - 1;
  c.top = rect.y0 * kTile;
  c.bottom = min_of(rect.y1 * kTile, a.height) - 1;
  const float top = max_of(std::ceil(c.ellipse.top()), float(c.top));
  const float bottom = min_of(std::floor(c.ellipse.bottom()), float(c.bottom));
  c.rows = {1, 0};
  if (top <= bottom) c.rows = {int(top) / kTile, int(bottom) / kTile};
  return c;
}

// Whether a tile is drawn; tiles are counted through all views.
__device__ __forceinline__ bool is_active(const RasterArgs& a, int tile) {
  return !a.active || a.active[tile];
}

// How many tiles of a span are drawn; `row` is the first tile of the row.
__device__ __forceinline__ int active_in(const RasterArgs& a, int row, Span span) {
  if (!a.active) return max_of(0, span.last - span.first + 1);
  int n = 0;
  for (int x = span.first; x <= span.last; ++x) n += is_active(a, row + x);
  return n;
}

// Columns of tiles reached in one row of tiles.
__device__ __forceinline__ Span columns(const TileCover& c, int row) {
  const int y0 = max_of(row * kTile, c.top), y1 = min_of(row * kTile + kTile - 1, c.bottom);
  float left, right;
  c.ellipse.extent(float(y0), float(y1), &left, &right);
  left = max_of(std::ceil(left), float(c.left));
  right = min_of(std::floor(right), float(c.right));
  if (!(left <= right)) return {1, 0};
  return {int(left) / kTile, int(right) / kTile};
}

}  // namespace igs
