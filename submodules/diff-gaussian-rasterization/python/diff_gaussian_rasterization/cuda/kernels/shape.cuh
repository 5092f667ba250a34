// One Gaussian seen from a view: its centre in double, its shape in Real.
//
// Positions need double: they lie far from the origin in many scenes. Shapes are written so that
// float is enough, except for a given 3D covariance, whose inverse is formed from its cofactors.
#pragma once

#include "device.cuh"

namespace igs {

#if IGS_COV3D
using Real = double;
#else
using Real = float;
#endif

template <class To, class From> __device__ __forceinline__ Vec3<To> to(Vec3<From> v) {
  return {To(v.x), To(v.y), To(v.z)};
}

template <class To, class From>
__device__ __forceinline__ Projected<To> to(const Projected<From>& c) {
  return {to<To>(c.t), To(c.hx), To(c.hy), To(c.inv_w), To(c.px), To(c.py),
          To(c.u), To(c.v), c.clamped_u, c.clamped_v, to<To>(c.p)};
}

__device__ __forceinline__ Vec3<double> mean_of(const RasterArgs& a, long long i) {
  return {a.means[3 * i], a.means[3 * i + 1], a.means[3 * i + 2]};
}

// Q, size, axes and F only for scales and rotations; sigma only for a given covariance.
struct Shape {
  Rows2<Real> M;  // J R
  Mat3<Real> Q;
  Vec3<Real> size;
  Mat3<Real> axes;  // Q diag(size)
  Rows2<Real> F;    // M axes
  Sym3<Real> sigma;
  Cov2<Real> cov;
};

__device__ __forceinline__ Quat<Real> quat_of(const RasterArgs& a, long long i) {
  const float4 q = load4(a.quats, i);
  return {Real(q.x), Real(q.y), Real(q.z), Real(q.w)};
}

__device__ __forceinline__ Shape shape_of(const RasterArgs& a, const View<Real>& view,
                                          const Projected<Real>& c, long long i) {
  Shape r;
  r.M = jacobian_times_rotation(view, c);
#if IGS_COV3D
  const float* s = a.cov3d + 6 * i;
  r.sigma = {s[0], s[1], s[2], s[3], s[4], s[5]};
  r.cov = cov2_from_sigma(r.M, r.sigma);
#else
  const float* s = a.scales + 3 * i;
  r.Q = rotation_of(quat_of(a, i));
  r.size = {view.modifier * s[0], view.modifier * s[1], view.modifier * s[2]};
  r.axes = scaled_axes(r.Q, r.size);
  r.F = times(r.M, r.axes);
  r.cov = cov2_from_factor(r.F);
#endif
  return r;
}

__device__ __forceinline__ PlaneDirection<Real> direction_of(const View<Real>& view,
                                                             const Projected<Real>& c,
                                                             const Shape& shape) {
#if IGS_COV3D
  return plane_direction(sigma_frame(view, c, shape.sigma));
#else
  return plane_direction(view, shape.Q, own_frame(view, c, shape.Q, shape.size));
#endif
}

}  // namespace igs
