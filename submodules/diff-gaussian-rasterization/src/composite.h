// Interface of the compositing loops, which are compiled once per instruction set.
//
// Only plain structs and pointers cross it: an inline function shared with code for a lesser
// instruction set could otherwise be merged by the linker into one that the machine cannot run.
#pragma once

#include "types.h"

namespace igs {

struct TileContext {
  int width, height, tiles_x, tiles;
  float fx, fy;
  float background[3];
  const Splat* splats;
  const SplatPlane* planes;
  const std::uint32_t* tile_begin;
  const TileEntry* entries;
  std::uint16_t* hits;
  float* transmittance;
  std::int32_t* last;
  std::int32_t* median;
  float* normal_inverse;
};

struct ForwardArgs {
  TileContext tile;
  const std::uint16_t* blocks;  // per entry, what binning found reachable
  Images out;
  PairCount* counts;  // per slot
};

struct BackwardArgs {
  TileContext tile;
  ConstImages out;   // alpha, depth, coord and normal of the forward pass
  ConstImages grad;  // null: no gradient arrived
  float* sums;       // slots x sums_stride(features)
};

constexpr int sums_stride(unsigned features) { return (sums_count(features) + 3) / 4 * 4; }

using ForwardTile = void (*)(const ForwardArgs&, int tile);
using BackwardTile = void (*)(const BackwardArgs&, int tile);

struct CompositeKernels {
  const char* name;
  ForwardTile forward[8];  // by kDepth | kCoord | kNormal
  ForwardTile forward_count;
  BackwardTile backward[8];
};

extern const CompositeKernels kCompositeBaseline;
extern const CompositeKernels kCompositeAvx2;
extern const CompositeKernels kCompositeAvx512;

// The kernels in use: the best the machine runs, or those that IGS_SIMD names
// (baseline, avx2, avx512). Throws std::invalid_argument for one that is not there.
const CompositeKernels& composite_kernels();
void select_composite_kernels(const char* name);

}  // namespace igs
