// L1 and SSIM of two images, and the gradient with respect to the first: two kernels, each with a
// separable convolution in shared memory. The maths is that of src/kernel.cpp.
//
// A block owns 32x32 pixels of one plane: a warp walks a row of them, one pixel a lane. Sums leave
// the block as two doubles, so that no atomics are needed and the same input gives the same bits.

namespace fused_ssim {

constexpr unsigned kWarp = 0xffffffffu;
constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kSide = 32;                      // pixels of a block, each way
constexpr int kRadius = 5, kTaps = 2 * kRadius + 1;
constexpr int kPatch = kSide + 2 * kRadius;    // pixels that a block reads, each way
constexpr int kRows = kSide / kWarps;          // neighbouring rows of one thread
constexpr int kStatistics = 4;   // image, target, image^2 + target^2, image * target
constexpr int kDerivatives = 3;  // of the SSIM by E[x], E[x^2], E[x y]
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

// The one struct that both kernels take by value; its twin in Python is `SsimArgs`.
struct SsimArgs {
  const float* image;     // (planes, height, width), as all arrays here
  const float* target;
  float* derivatives;     // kDerivatives of them, one behind the other; null: no gradient wanted
  double* sums;           // 2 per block: of |image - target| and of the SSIM
  const float* upstream;  // gradient of the loss: one number
  float* gradient;
  int planes, height, width, tiles_x, tiles_y;
  float l1_scale, ssim_scale;  // weights divided by the number of pixels
};

struct Place {
  long long plane;  // offset of the plane
  int x0, y0;       // first pixel of the block
  int lane, warp;
};

__device__ __forceinline__ Place place_of(const SsimArgs& a) {
  const int tiles = a.tiles_x * a.tiles_y, tile = blockIdx.x % tiles;
  return {(long long)(blockIdx.x / tiles) * a.height * a.width, tile % a.tiles_x * kSide,
          tile / a.tiles_x * kSide, int(threadIdx.x % 32), int(threadIdx.x / 32)};
}

__device__ __forceinline__ float tap(int k) {
  constexpr float taps[kRadius + 1] = {1.0283800845e-03f, 7.5987581352e-03f, 3.6000772128e-02f,
                                       1.0936068951e-01f, 2.1300553771e-01f, 2.6601172486e-01f};
  return taps[k <= kRadius ? k : kTaps - 1 - k];
}

// A patch of an array, zero outside the image.
__device__ __forceinline__ void load_patch(float (&patch)[kPatch][kPatch], const float* array,
                                           const SsimArgs& a, const Place& p) {
  for (int row = p.warp; row < kPatch; row += kWarps) {
    const int y = p.y0 + row - kRadius;
    for (int column = p.lane; column < kPatch; column += 32) {
      const int x = p.x0 + column - kRadius;
      const bool inside = x >= 0 && x < a.width && y >= 0 && y < a.height;
      patch[row][column] = inside ? array[p.plane + (long long)y * a.width + x] : 0.0f;
    }
  }
}

// Column `lane` of `kRows` rows from `first` on, convolved downwards.
__device__ __forceinline__ void convolve_down(float (&out)[kRows],
                                              const float (&rows)[kPatch][kSide], int first,
                                              int lane) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) out[r] = 0.0f;
#pragma unroll
  for (int k = 0; k < kRows + kTaps - 1; ++k) {
    const float value = rows[first + k][lane];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (k >= r && k - r < kTaps) out[r] = fmaf(tap(k - r), value, out[r]);
    }
  }
}

__device__ __forceinline__ double warp_sum(double value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kWarp, value, step);
  return value;
}

struct ForwardShared {
  float image[kPatch][kPatch], target[kPatch][kPatch];
  float rows[kStatistics][kPatch][kSide];
  double absolute[kWarps], ssim[kWarps];
};

// Every row of the patch, convolved along itself.
__device__ __forceinline__ void statistics_along(ForwardShared& m, const Place& p) {
  for (int row = p.warp; row < kPatch; row += kWarps) {
    float s[kStatistics] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const float x = m.image[row][p.lane + k], y = m.target[row][p.lane + k], w = tap(k);
      s[0] = fmaf(w, x, s[0]);
      s[1] = fmaf(w, y, s[1]);
      s[2] = fmaf(w, fmaf(x, x, y * y), s[2]);
      s[3] = fmaf(w, x * y, s[3]);
    }
    for (int k = 0; k < kStatistics; ++k) m.rows[k][row][p.lane] = s[k];
  }
}

// SSIM of one pixel from its four means; its derivatives where they are wanted. The variance and
// covariance depend on the means as well: their share stands in the derivative by E[x].
__device__ __forceinline__ float ssim_at(const SsimArgs& a, float m, float n, float square,
                                         float product, long long at) {
  const float mn = m * n, mm = fmaf(m, m, n * n);
  const float a1 = 2.0f * mn + kC1, a2 = 2.0f * (product - mn) + kC2;
  const float b1 = mm + kC1, b2 = (square - mm) + kC2;
  const float inverse = 1.0f / (b1 * b2);
  const float value = a1 * a2 * inverse;
  if (a.derivatives) {
    const long long size = (long long)a.planes * a.height * a.width;
    a.derivatives[at] = 2.0f * inverse * (n * (a2 - a1) + value * m * (b1 - b2));
    a.derivatives[at + size] = -value * b1 * inverse;
    a.derivatives[at + 2 * size] = 2.0f * a1 * inverse;
  }
  return value;
}

struct BackwardShared {
  float patch[kPatch][kPatch];
  float rows[kPatch][kSide];
};

}  // namespace fused_ssim

extern "C" __global__ void __launch_bounds__(256) ssim_forward(const fused_ssim::SsimArgs a) {
  using namespace fused_ssim;
  __shared__ ForwardShared s;
  const Place p = place_of(a);
  load_patch(s.image, a.image, a, p);
  load_patch(s.target, a.target, a, p);
  __syncthreads();
  statistics_along(s, p);
  __syncthreads();
  float mean[kRows], other[kRows], square[kRows], product[kRows];
  const int first = p.warp * kRows;
  convolve_down(mean, s.rows[0], first, p.lane);
  convolve_down(other, s.rows[1], first, p.lane);
  convolve_down(square, s.rows[2], first, p.lane);
  convolve_down(product, s.rows[3], first, p.lane);
  double absolute = 0.0, ssim = 0.0;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int x = p.x0 + p.lane, y = p.y0 + first + r;
    if (x >= a.width || y >= a.height) continue;
    const long long at = p.plane + (long long)y * a.width + x;
    ssim += double(ssim_at(a, mean[r], other[r], square[r], product[r], at));
    absolute += double(fabsf(s.image[first + r + kRadius][p.lane + kRadius] -
                             s.target[first + r + kRadius][p.lane + kRadius]));
  }
  absolute = warp_sum(absolute);
  ssim = warp_sum(ssim);
  if (p.lane == 0) {
    s.absolute[p.warp] = absolute;
    s.ssim[p.warp] = ssim;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kWarps; ++w) {
    absolute += s.absolute[w];
    ssim += s.ssim[w];
  }
  a.sums[2LL * blockIdx.x] = absolute;
  a.sums[2LL * blockIdx.x + 1] = ssim;
}

extern "C" __global__ void __launch_bounds__(256) ssim_backward(const fused_ssim::SsimArgs a) {
  using namespace fused_ssim;
  __shared__ BackwardShared s;
  const Place p = place_of(a);
  const long long size = (long long)a.planes * a.height * a.width;
  const int first = p.warp * kRows;
  float smooth[kDerivatives][kRows];
#pragma unroll
  for (int d = 0; d < kDerivatives; ++d) {
    if (d > 0) __syncthreads();  // the rows of the one before have been read
    load_patch(s.patch, a.derivatives + d * size, a, p);
    __syncthreads();
    for (int row = p.warp; row < kPatch; row += kWarps) {
      float sum = 0.0f;
#pragma unroll
      for (int k = 0; k < kTaps; ++k) sum = fmaf(tap(k), s.patch[row][p.lane + k], sum);
      s.rows[row][p.lane] = sum;
    }
    __syncthreads();
    convolve_down(smooth[d], s.rows, first, p.lane);
  }
  const float upstream = *a.upstream;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int x = p.x0 + p.lane, y = p.y0 + first + r;
    if (x >= a.width || y >= a.height) continue;
    const long long at = p.plane + (long long)y * a.width + x;
    const float i = a.image[at], t = a.target[at];
    const float sign = (i > t ? 1.0f : 0.0f) - (i < t ? 1.0f : 0.0f);
    // 0 * (i - t) carries a NaN of the images into the L1 part too.
    const float l1 = a.l1_scale * (sign + 0.0f * (i - t));
    const float ssim = a.ssim_scale * (smooth[0][r] + 2.0f * i * smooth[1][r] + t * smooth[2][r]);
    a.gradient[at] = upstream * (l1 + ssim);
  }
}
