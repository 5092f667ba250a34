// Camera, projection of the centre and the perspective Jacobian (sections 1, 3 and 6).
#pragma once

#include "math_base.h"

namespace igs {

// One view. `rotation` and `translation` map world to camera; `proj` is row-vector.
template <class T> struct View {
  Mat3<T> rotation;
  Vec3<T> translation;
  T proj[4][4];
  Vec3<T> campos;
  T fx, fy;
  T limit_x, limit_y;  // 1.3 tan(FoV/2)
  T kernel;            // added to both diagonals of the 2D covariance
  T modifier;          // scale_modifier
  int width, height;
  bool compensate;  // scale the opacity by the loss of mass that the kernel causes
};

template <class T> struct Projected {
  Vec3<T> t;         // camera point
  T hx, hy, inv_w;   // homogeneous coordinates and 1/(h_w + 1e-7)
  T px, py;          // pixel centre; pixel (i, j) is sampled at (i, j)
  T u, v;            // clamped t_x/t_z, t_y/t_z
  bool clamped_u, clamped_v;
  Vec3<T> p;         // clamped camera point
};

template <class T> IGS_HD Vec3<T> to_camera(const View<T>& view, Vec3<T> X) {
  return view.rotation * X + view.translation;
}

// Section 3, steps 2 and 4; `t` is the camera point.
template <class T> IGS_HD Projected<T> project_centre(const View<T>& view, Vec3<T> X, Vec3<T> t) {
  Projected<T> r;
  r.t = t;
  const auto& m = view.proj;
  r.hx = X.x * m[0][0] + X.y * m[1][0] + X.z * m[2][0] + m[3][0];
  r.hy = X.x * m[0][1] + X.y * m[1][1] + X.z * m[2][1] + m[3][1];
  const T hw = X.x * m[0][3] + X.y * m[1][3] + X.z * m[2][3] + m[3][3];
  r.inv_w = T(1) / (hw + T(1e-7));
  r.px = ((r.hx * r.inv_w + T(1)) * T(view.width) - T(1)) * T(0.5);
  r.py = ((r.hy * r.inv_w + T(1)) * T(view.height) - T(1)) * T(0.5);
  const T inv_z = T(1) / t.z;
  const T u = t.x * inv_z, v = t.y * inv_z;
  r.u = clamp_to(u, -view.limit_x, view.limit_x);
  r.v = clamp_to(v, -view.limit_y, view.limit_y);
  r.clamped_u = r.u != u;
  r.clamped_v = r.v != v;
  r.p = {r.clamped_u ? r.u * t.z : t.x, r.clamped_v ? r.v * t.z : t.y, t.z};
  return r;
}

// The rows of M = J R (section 3, step 5).
template <class T> struct Rows2 {
  Vec3<T> r0, r1;
};

template <class T> IGS_HD Rows2<T> jacobian_times_rotation(const View<T>& view,
                                                           const Projected<T>& c) {
  const T inv_z = T(1) / c.p.z;
  const Mat3<T>& R = view.rotation;
  const T jx = view.fx * inv_z, jy = view.fy * inv_z;
  return {jx * (R.r0 - c.u * R.r2), jy * (R.r1 - c.v * R.r2)};
}

// Gradient on the clamped camera point from that on M (section 6, steps 3 and 5).
template <class T> IGS_HD Vec3<T> jacobian_backward(const View<T>& view, const Projected<T>& c,
                                                    const Rows2<T>& dM) {
  const Mat3<T>& R = view.rotation;
  const T inv_z = T(1) / c.p.z;
  const T dj00 = dot(dM.r0, R.r0), dj02 = dot(dM.r0, R.r2);
  const T dj11 = dot(dM.r1, R.r1), dj12 = dot(dM.r1, R.r2);
  const T gx = view.fx * inv_z * inv_z, gy = view.fy * inv_z * inv_z;
  return {-gx * dj02, -gy * dj12,
          -gx * dj00 - gy * dj11 + T(2) * gx * c.u * dj02 + T(2) * gy * c.v * dj12};
}

// Gradient on the world centre from that on its NDC position (section 6, step 7).
template <class T> IGS_HD Vec3<T> centre_backward(const View<T>& view, const Projected<T>& c, T ex,
                                                  T ey) {
  const auto& m = view.proj;
  const T nx = c.hx * c.inv_w, ny = c.hy * c.inv_w;
  const T gx = ex * c.inv_w, gy = ey * c.inv_w;
  return {gx * (m[0][0] - m[0][3] * nx) + gy * (m[0][1] - m[0][3] * ny),
          gx * (m[1][0] - m[1][3] * nx) + gy * (m[1][1] - m[1][3] * ny),
          gx * (m[2][0] - m[2][3] * nx) + gy * (m[2][1] - m[2][3] * ny)};
}

}  // namespace igs
