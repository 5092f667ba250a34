// The one struct that every kernel takes by value. Its twin in Python is `RasterArgs` in args.py;
// a test compares the two.
#pragma once

namespace igs {

constexpr int kMaxViews = 8;  // views in one call
constexpr int kFeatureDepth = 1, kFeatureCoord = 2, kFeatureNormal = 4, kFeatureCount = 8;

#if defined(IGS_HALF_SH) && IGS_HALF_SH
using ShType = unsigned short;  // bits of a half: the type itself needs a header of the toolkit
#else
using ShType = float;
#endif

// Matrices stay on the device: reading them on the host would wait for the GPU.
struct CameraArgs {
  const float* viewmatrix;  // row-vector convention
  const float* projmatrix;
  const float* campos;
  const float* background;
  float tanfovx, tanfovy;
};

// Images are (views, channels, H, W). P Gaussians seen from V views are numbered v P + i.
struct RasterArgs {
  CameraArgs cameras[kMaxViews];

  const float* means;
  const float* opacities;
  const float* scales;
  const float* quats;
  const float* cov3d;
  const ShType* sh;
  const float* colors;

  const unsigned char* active;  // per view and tile: whether it is drawn; null: all are

  // Per Gaussian and view.
  float* splats;            // 12: px py l11 l21 | l22 opacity reach raw_opacity | r g b -
  float* planes;            // 16: tau rho0 rho1 n0 | n1 n2 t0 t1 | t2 k0 k1 k2 | k3 k4 k5 -
  unsigned char* negative;  // bits of colour channels cut at zero
  int* radii;
  int* depth_keys;          // bits of the depth; +inf where nothing is drawn
  int* tile_counts;
  int* slot_begin;          // first pair of the Gaussian; pairs are numbered in depth order
  int* problem;             // [0]: first Gaussian with NaN or Inf; [1]: bad view; both INT_MAX if none

  // Depth order and (tile, Gaussian) pairs.
  const long long* order;        // Gaussians by depth
  const long long* ends;         // inclusive sum of the tile counts in that order
  void* tile_keys;               // tile of each pair: short, or int if `long_keys`
  int* pair_gaussians;
  const void* sorted_keys;
  const long long* sorted_pairs;
  int* entries;                  // 2 per list entry: Gaussian, pair
  int* tile_begin;               // first entry of each tile, and one past the last
  unsigned char* hits;           // per entry: in which of the tile's 8 blocks it was blended

  // Per pixel.
  float* transmittance;
  int* last;                     // position in the tile's list, from 1; 0: none
  int* median;
  float* normal_inverse;

  float* color;
  float* alpha;
  float* depth;
  float* median_depth;
  float* coord;
  float* median_coord;
  float* normal;

  int* pair_pixels;              // counting: per pair
  float* pair_transmittance;
  int* counts;                   // counting: per Gaussian
  float* scores;

  const float* g_color;          // incoming gradients; null: none arrived
  const float* g_alpha;
  const float* g_depth;
  const float* g_median_depth;
  const float* g_coord;
  const float* g_median_coord;
  const float* g_normal;

  float* sums;                   // per pair, sums_of(sum_features) numbers
  float* totals;                 // the same per Gaussian and view

  float* d_means;                // outgoing gradients; null: not wanted
  float* d_means2d;
  float* d_opacities;
  float* d_scales;
  float* d_quats;
  float* d_cov3d;
  float* d_sh;
  float* d_colors;
  int* nan_report;               // first Gaussian with NaN, per gradient in the order of kNanNames

  int count, views, width, height, tiles_x, tiles_y;
  int sh_degree, sh_stride, pairs, long_keys;
  int compensate, absolute, by_transmittance, planes_wanted, sum_features;
  float kernel_size, modifier, gradient_limit;
};

}  // namespace igs
