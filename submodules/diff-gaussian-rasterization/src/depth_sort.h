// Stable sort of the visible Gaussians by depth.
#pragma once

#include "preprocess.h"

namespace igs {

// Orders v.index by v.depth_bits (ascending, ties by index); the keys are used up.
void sort_by_depth(Visible& v);

}  // namespace igs
