// Reads one Gaussian out of the input arrays and derives its shape in a view.
#pragma once

#include "types.h"

namespace igs {

inline Vec3<Real> mean_of(const Gaussians& g, std::size_t i) {
  return {g.means[3 * i], g.means[3 * i + 1], g.means[3 * i + 2]};
}

inline Quat<Real> quat_of(const Gaussians& g, std::size_t i) {
  const float* q = g.quats + 4 * i;
  return {q[0], q[1], q[2], q[3]};
}

inline Vec3<Real> scaled_size(const Gaussians& g, const View<Real>& view, std::size_t i) {
  const float* s = g.scales + 3 * i;
  return {view.modifier * s[0], view.modifier * s[1], view.modifier * s[2]};
}

inline Sym3<Real> sigma_of(const Gaussians& g, std::size_t i) {
  const float* s = g.cov3d + 6 * i;
  return {s[0], s[1], s[2], s[3], s[4], s[5]};
}

// Shape of a Gaussian seen from a view. Q, size, axes and F only for scales and rotations.
struct Shape {
  Rows2<Real> M;   // J R
  Mat3<Real> Q;
  Vec3<Real> size;
  Mat3<Real> axes;  // Q diag(size)
  Rows2<Real> F;    // M axes
  Sym3<Real> sigma;
  Cov2<Real> cov;
};

inline Shape shape_of(const Gaussians& g, const View<Real>& view, const Projected<Real>& c,
                      std::size_t i) {
  Shape r;
  r.M = jacobian_times_rotation(view, c);
  if (g.cov3d) {
    r.sigma = sigma_of(g, i);
    r.cov = cov2_from_sigma(r.M, r.sigma);
    return r;
  }
  r.Q = rotation_of(quat_of(g, i));
  r.size = scaled_size(g, view, i);
  r.axes = scaled_axes(r.Q, r.size);
  r.F = times(r.M, r.axes);
  r.cov = cov2_from_factor(r.F);
  return r;
}

inline PlaneDirection<Real> direction_of(const Gaussians& g, const View<Real>& view,
                                         const Projected<Real>& c, const Shape& shape,
                                         std::size_t i) {
  if (g.cov3d) return plane_direction(sigma_frame(view, c, sigma_of(g, i)));
  return plane_direction(view, shape.Q, own_frame(view, c, shape.Q, shape.size));
}

}  // namespace igs
