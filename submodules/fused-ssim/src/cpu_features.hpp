// Which compiled kernel variants this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernel.hpp"

namespace fused_ssim {

struct Variant {
  std::string name;
  TileFunction run;
};

// Usable variants, slowest first; "baseline" is always there.
const std::vector<Variant>& usable_variants();

}  // namespace fused_ssim
