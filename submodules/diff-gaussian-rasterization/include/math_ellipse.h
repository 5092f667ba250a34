// The ellipse in which a Gaussian's alpha can reach 1/255: its extent over bands of pixel rows.
#pragma once

#include "math_base.h"

namespace igs {

// U^2 + V^2 <= reach around the pixel centre (px, py), with U = l11 dx + l21 dy and V = l22 dy.
// A little wider than exact, so that rounding leaves no pixel out.
struct Ellipse {
  float px, py, reach, slope, inv_l11, l22sq, half_height, extreme, margin;

  IGS_HD float top() const { return py - half_height - margin; }
  IGS_HD float bottom() const { return py + half_height + margin; }

  IGS_HD float half_width(float y) const {
    return std::sqrt(max_of(0.0f, reach - l22sq * y * y)) * inv_l11;
  }

  // Horizontal extent over the rows y0 to y1 (inclusive); left > right where there is none.
  IGS_HD void extent(float y0, float y1, float* left, float* right) const {
    const float lo = max_of(y0 - py - margin, -half_height);
    const float hi = min_of(y1 - py + margin, half_height);
    if (lo > hi) {
      *left = 1.0f;
      *right = 0.0f;
      return;
    }
    const float yr = clamp_to(extreme, lo, hi), yl = clamp_to(-extreme, lo, hi);
    *right = px + slope * yr + half_width(yr) + margin;
    *left = px + slope * yl - half_width(yl) - margin;
  }
};

IGS_HD Ellipse ellipse_of(float px, float py, float l11, float l21, float l22, float reach) {
  Ellipse e;
  e.px = px;
  e.py = py;
  e.reach = reach;
  e.slope = -l21 / l11;
  e.inv_l11 = 1.0f / l11;
  e.l22sq = l22 * l22;
  const float norm = std::sqrt(l21 * l21 + e.l22sq);
  e.half_height = std::sqrt(reach) / l22;
  e.extreme = -e.half_height * l21 / norm;  // height of the rightmost point above the centre
  const float half_width = std::sqrt(reach) * norm / (l11 * l22);
  e.margin = 0.02f + 4e-6f * (half_width + e.half_height + std::fabs(px) + std::fabs(py));
  return e;
}

}  // namespace igs
