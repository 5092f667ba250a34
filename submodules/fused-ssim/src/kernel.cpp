// The fused kernel. Compiled several times with different instruction sets: FUSED_SSIM_VARIANT
// names the namespace. Only plain loops over raw pointers, which compilers vectorise.
//
// A tile walks down its rows once. Each image row is convolved horizontally into a ring of
// eleven rows; a full ring gives one row of the SSIM map and of its three derivative maps,
// which are convolved horizontally into a second ring; that one gives a row of the gradient.
#include "kernel.hpp"

// A row that is written: nothing else in the call points into it.
#if defined(_MSC_VER)
#define OUT_ROW float* __restrict
#else
#define OUT_ROW float* __restrict__
#endif

namespace fused_ssim {
namespace FUSED_SSIM_VARIANT {
namespace {

using Row = const float*;

// Variances only ever enter as a sum, so E[x^2] + E[y^2] is one statistic, not two.
constexpr int kStatistics = 4;  // image, target, image^2 + target^2, image * target
constexpr int kDerivatives = 3;  // of the SSIM by E[x], E[x^2], E[x y]

struct Workspace {
  float* statistics[kStatistics][kTaps];
  float* derivatives[kDerivatives][kTaps];
  float* source[kStatistics];
  float* row[kStatistics];
  float* map[kDerivatives + 1];
  int map_length;    // columns of the map rows, rounded up
  int owned_length;  // columns of the gradient rows, rounded up
};

float* take(float*& scratch, int length) {
  float* row = scratch;
  for (int x = 0; x < length; ++x) row[x] = 0.0f;
  scratch += length;
  return row;
}

void lay_out(Workspace& w, int tile_width, float* scratch) {
  w.map_length = round_up(tile_width + 2 * kRadius);
  w.owned_length = round_up(tile_width);
  const int stride = w.map_length + 4 * kLanes;
  for (auto& ring : w.statistics)
    for (auto& row : ring) row = take(scratch, stride);
  for (auto& ring : w.derivatives)
    for (auto& row : ring) row = take(scratch, stride);
  for (auto& row : w.source) row = take(scratch, stride);
  for (auto& row : w.row) row = take(scratch, stride);
  for (auto& row : w.map) row = take(scratch, stride);
}

void clear(OUT_ROW row, int length) {
  for (int x = 0; x < length; ++x) row[x] = 0.0f;
}

// out[x] = sum over k of taps[k] in[x + k]
void convolve_row(OUT_ROW out, Row in, int length, const Constants& c) {
  const float w0 = c.taps[0], w1 = c.taps[1], w2 = c.taps[2];
  const float w3 = c.taps[3], w4 = c.taps[4], w5 = c.taps[5];
  for (int x = 0; x < length; ++x) {
    out[x] = w5 * in[x + 5] + w4 * (in[x + 4] + in[x + 6]) + w3 * (in[x + 3] + in[x + 7]) +
             w2 * (in[x + 2] + in[x + 8]) + w1 * (in[x + 1] + in[x + 9]) +
             w0 * (in[x] + in[x + 10]);
  }
}

// The same across the eleven rows of a ring whose oldest row is `first`.
void convolve_ring(OUT_ROW out, float* const* ring, int first, int length, const Constants& c) {
  Row rows[kTaps];
  for (int k = 0; k < kTaps; ++k) rows[k] = ring[(first + k) % kTaps];
  Row r0 = rows[0], r1 = rows[1], r2 = rows[2], r3 = rows[3], r4 = rows[4], r5 = rows[5];
  Row r6 = rows[6], r7 = rows[7], r8 = rows[8], r9 = rows[9], r10 = rows[10];
  const float w0 = c.taps[0], w1 = c.taps[1], w2 = c.taps[2];
  const float w3 = c.taps[3], w4 = c.taps[4], w5 = c.taps[5];
  for (int x = 0; x < length; ++x) {
    out[x] = w5 * r5[x] + w4 * (r4[x] + r6[x]) + w3 * (r3[x] + r7[x]) + w2 * (r2[x] + r8[x]) +
             w1 * (r1[x] + r9[x]) + w0 * (r0[x] + r10[x]);
  }
}

void products(OUT_ROW squares, OUT_ROW cross, Row a, Row b, int length) {
  for (int x = 0; x < length; ++x) {
    squares[x] = a[x] * a[x] + b[x] * b[x];
    cross[x] = a[x] * b[x];
  }
}

void ssim_values(OUT_ROW ssim, Row mean_a, Row mean_b, Row squares, Row cross, int length,
                 const Constants& c) {
  for (int x = 0; x < length; ++x) {
    const float m = mean_a[x], n = mean_b[x];
    const float mn = m * n, mm = m * m + n * n;
    const float top = (2.0f * mn + c.c1) * (2.0f * (cross[x] - mn) + c.c2);
    ssim[x] = top / ((mm + c.c1) * ((squares[x] - mm) + c.c2));
  }
}

// Map and derivatives. The variance and covariance depend on the means as well; their share
// stands in the derivative by E[x].
void ssim_derivatives(OUT_ROW ssim, OUT_ROW by_mean, OUT_ROW by_square, OUT_ROW by_cross,
                      Row mean_a, Row mean_b, Row squares, Row cross, int length,
                      const Constants& c) {
  for (int x = 0; x < length; ++x) {
    const float m = mean_a[x], n = mean_b[x];
    const float mn = m * n, mm = m * m + n * n;
    const float a1 = 2.0f * mn + c.c1, a2 = 2.0f * (cross[x] - mn) + c.c2;
    const float b1 = mm + c.c1, b2 = (squares[x] - mm) + c.c2;
    const float inverse = 1.0f / (b1 * b2);
    const float value = a1 * a2 * inverse;
    ssim[x] = value;
    by_mean[x] = 2.0f * inverse * (n * (a2 - a1) + value * m * (b1 - b2));
    by_square[x] = -value * b1 * inverse;
    by_cross[x] = 2.0f * a1 * inverse;
  }
}

void gradient_row(OUT_ROW out, Row image, Row target, Row by_mean, Row by_square, Row by_cross,
                  int length, float l1_scale, float ssim_scale) {
  for (int x = 0; x < length; ++x) {
    const float a = image[x], b = target[x];
    const float sign = (a > b ? 1.0f : 0.0f) - (a < b ? 1.0f : 0.0f);
    // 0 * (a - b) carries a NaN of the images into the L1 part too.
    out[x] = l1_scale * (sign + 0.0f * (a - b)) +
             ssim_scale * (by_mean[x] + 2.0f * a * by_square[x] + b * by_cross[x]);
  }
}

// Fixed lanes in double: vectorises without reordering, and does not lose digits.
double sum_row(Row row, int length) {
  double lanes[kLanes] = {};
  int x = 0;
  for (; x + kLanes <= length; x += kLanes)
    for (int k = 0; k < kLanes; ++k) lanes[k] += row[x + k];
  for (; x < length; ++x) lanes[x % kLanes] += row[x];
  double total = 0.0;
  for (double lane : lanes) total += lane;
  return total;
}

double absolute_row(Row a, Row b, int length) {
  double lanes[kLanes] = {};
  int x = 0;
  for (; x + kLanes <= length; x += kLanes)
    for (int k = 0; k < kLanes; ++k) {
      const float d = a[x + k] - b[x + k];
      lanes[k] += d < 0.0f ? -d : d;
    }
  for (; x < length; ++x) {
    const float d = a[x] - b[x];
    lanes[x % kLanes] += d < 0.0f ? -d : d;
  }
  double total = 0.0;
  for (double lane : lanes) total += lane;
  return total;
}

// Statistics of image row y into the first ring. Source rows start 2 * kRadius left of the
// tile and hold zeros outside the image.
void push_image_row(Workspace& w, const Tile& t, int y, int slot, const Constants& c) {
  if (y < 0 || y >= t.height) {
    for (auto& ring : w.statistics) clear(ring[slot], w.map_length);
    return;
  }
  const int left = t.x0 - 2 * kRadius;
  const int first = left < 0 ? 0 : left;
  const int last = t.x1 + 2 * kRadius < t.width ? t.x1 + 2 * kRadius : t.width;
  const std::size_t offset = static_cast<std::size_t>(y) * t.width;
  Row image = t.image + offset;
  Row target = t.target + offset;
  float* a = w.source[0];
  float* b = w.source[1];
  for (int x = first; x < last; ++x) {
    a[x - left] = image[x];
    b[x - left] = target[x];
  }
  products(w.source[2], w.source[3], a, b, w.map_length + kLanes);
  for (int s = 0; s < kStatistics; ++s)
    convolve_row(w.statistics[s][slot], w.source[s], w.map_length, c);
}

// One row of the map from the first ring; its owned part is summed by the caller.
void map_row(Workspace& w, int first, bool derivatives, const Constants& c) {
  for (int s = 0; s < kStatistics; ++s)
    convolve_ring(w.row[s], w.statistics[s], first, w.map_length, c);
  if (derivatives)
    ssim_derivatives(w.map[3], w.map[0], w.map[1], w.map[2], w.row[0], w.row[1], w.row[2],
                     w.row[3], w.map_length, c);
  else
    ssim_values(w.map[3], w.row[0], w.row[1], w.row[2], w.row[3], w.map_length, c);
}

// Derivative row y into the second ring; the map ends with the image, beyond it is nothing.
void push_derivative_row(Workspace& w, const Tile& t, int y, int slot, const Constants& c) {
  const bool inside = y >= 0 && y < t.height;
  const int left = t.x0 - kRadius;
  const int first = left < 0 ? -left : 0;
  const int last = t.width - left;
  for (int d = 0; d < kDerivatives; ++d) {
    if (!inside) {
      clear(w.derivatives[d][slot], w.owned_length);
      continue;
    }
    clear(w.map[d], first);
    if (last < w.map_length) clear(w.map[d] + last, w.map_length - last);
    convolve_row(w.derivatives[d][slot], w.map[d], w.owned_length, c);
  }
}

void emit_gradient_row(Workspace& w, const Tile& t, int y, int first, const Constants& c) {
  for (int d = 0; d < kDerivatives; ++d)
    convolve_ring(w.row[d], w.derivatives[d], first, w.owned_length, c);
  const std::size_t offset = static_cast<std::size_t>(y) * t.width + t.x0;
  gradient_row(t.gradient + offset, t.image + offset, t.target + offset, w.row[0], w.row[1],
               w.row[2], t.x1 - t.x0, t.l1_scale, t.ssim_scale);
}

}  // namespace

TileSums run_tile(const Tile& t, const Constants& c, float* scratch) {
  Workspace w;
  const int owned = t.x1 - t.x0;
  lay_out(w, owned, scratch);
  const bool with_gradient = t.gradient != nullptr;
  const int halo = with_gradient ? kRadius : 0;
  const int top = t.y0 - halo - kRadius;  // first image row; ring slots count from here
  TileSums sums{0.0, 0.0};
  for (int y = top; y < t.y1 + halo + kRadius; ++y) {
    push_image_row(w, t, y, (y - top) % kTaps, c);
    if (y >= t.y0 && y < t.y1) {
      const std::size_t offset = static_cast<std::size_t>(y) * t.width + t.x0;
      sums.absolute += absolute_row(t.image + offset, t.target + offset, owned);
    }
    const int m = y - kRadius;
    if (m < t.y0 - halo) continue;
    map_row(w, (m - kRadius - top) % kTaps, with_gradient, c);
    if (m >= t.y0 && m < t.y1) sums.ssim += sum_row(w.map[3] + kRadius, owned);
    if (!with_gradient) continue;
    push_derivative_row(w, t, m, (m - (t.y0 - halo)) % kTaps, c);
    const int g = m - kRadius;
    if (g >= t.y0) emit_gradient_row(w, t, g, (g - t.y0) % kTaps, c);
  }
  return sums;
}

}  // namespace FUSED_SSIM_VARIANT
}  // namespace fused_ssim
