// Lists of Gaussians per tile, in depth order.
#pragma once

#include "preprocess.h"

namespace igs {

// Entries of all tiles before they are composited: `blocks` holds the 4x4-pixel blocks of the
// tile that the Gaussian can reach, bit 4 row + column.
struct TileLists {
  Buffer<std::uint16_t> blocks;
};

// Fills state.tile_begin, state.entries and state.slot_begin from the depth-sorted Gaussians.
// Only pairs in which some pixel can reach alpha >= 1/255 inside the 3-sigma tile rectangle, and
// only in tiles that are `active` (one byte a tile; null: all of them).
void bin_by_tile(const std::int32_t* radii, const std::uint8_t* active, const Visible& sorted,
                 State& state, TileLists& lists);

}  // namespace igs
