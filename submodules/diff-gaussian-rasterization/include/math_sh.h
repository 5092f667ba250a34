// Spherical harmonics up to degree 3 (section 3, step 10, and section 6, step 9).
#pragma once

#include "math_base.h"

namespace igs {

constexpr double kSh0 = 0.28209479177387814, kSh1 = 0.4886025119029199;
constexpr double kSh2a = 1.0925484305920792, kSh2b = 0.31539156525252005,
                 kSh2c = 0.5462742152960396;
constexpr double kSh3a = 0.5900435899266435, kSh3b = 2.890611442640554, kSh3c = 0.4570457994644658,
                 kSh3d = 0.3731763325901154, kSh3e = 1.445305721320277;

IGS_HD int sh_count(int degree) { return (degree + 1) * (degree + 1); }

// Basis values at the unit direction d.
template <class T> IGS_HD void sh_basis(int degree, Vec3<T> d, T* Y) {
  Y[0] = T(kSh0);
  if (degree < 1) return;
  const T x = d.x, y = d.y, z = d.z;
  Y[1] = -T(kSh1) * y;
  Y[2] = T(kSh1) * z;
  Y[3] = -T(kSh1) * x;
  if (degree < 2) return;
  const T xx = x * x, yy = y * y, zz = z * z;
  Y[4] = T(kSh2a) * x * y;
  Y[5] = -T(kSh2a) * y * z;
  Y[6] = T(kSh2b) * (T(2) * zz - xx - yy);
  Y[7] = -T(kSh2a) * x * z;
  Y[8] = T(kSh2c) * (xx - yy);
  if (degree < 3) return;
  Y[9] = -T(kSh3a) * y * (T(3) * xx - yy);
  Y[10] = T(kSh3b) * x * y * z;
  Y[11] = -T(kSh3c) * y * (T(4) * zz - xx - yy);
  Y[12] = T(kSh3d) * z * (T(2) * zz - T(3) * xx - T(3) * yy);
  Y[13] = -T(kSh3c) * x * (T(4) * zz - xx - yy);
  Y[14] = T(kSh3e) * z * (xx - yy);
  Y[15] = -T(kSh3a) * x * (xx - T(3) * yy);
}

// sum_k s_k dY_k/dd, where s_k is the gradient on Y_k.
template <class T> IGS_HD Vec3<T> sh_direction_gradient(int degree, Vec3<T> d, const T* s) {
  Vec3<T> g{T(0), T(0), T(0)};
  if (degree < 1) return g;
  const T x = d.x, y = d.y, z = d.z, two = T(2), six = T(6), eight = T(8);
  g = {-T(kSh1) * s[3], -T(kSh1) * s[1], T(kSh1) * s[2]};
  if (degree < 2) return g;
  const T a = T(kSh2a), b = T(kSh2b), c = T(kSh2c);
  g.x += a * (y * s[4] - z * s[7]) + two * x * (c * s[8] - b * s[6]);
  g.y += a * (x * s[4] - z * s[5]) - two * y * (c * s[8] + b * s[6]);
  g.z += -a * (y * s[5] + x * s[7]) + T(4) * b * z * s[6];
  if (degree < 3) return g;
  const T xx = x * x, yy = y * y, zz = z * z;
  const T a9 = T(kSh3a) * s[9], a10 = T(kSh3b) * s[10], a11 = T(kSh3c) * s[11];
  const T a12 = T(kSh3d) * s[12], a13 = T(kSh3c) * s[13], a14 = T(kSh3e) * s[14],
          a15 = T(kSh3a) * s[15];
  g.x += -six * x * y * a9 + y * z * a10 + two * x * y * a11 - six * x * z * a12 -
         (T(4) * zz - T(3) * xx - yy) * a13 + two * x * z * a14 - T(3) * (xx - yy) * a15;
  g.y += -T(3) * (xx - yy) * a9 + x * z * a10 - (T(4) * zz - xx - T(3) * yy) * a11 -
         six * y * z * a12 + two * x * y * a13 - two * y * z * a14 + six * x * y * a15;
  g.z += x * y * a10 - eight * y * z * a11 + T(3) * (two * zz - xx - yy) * a12 -
         eight * x * z * a13 + (xx - yy) * a14;
  return g;
}

}  // namespace igs
