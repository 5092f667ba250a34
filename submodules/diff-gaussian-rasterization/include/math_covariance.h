// 2D covariance, opacity compensation, radius, and their gradients (sections 3, 6 and 10).
//
// Everything is written through F = J R Q diag(s) (2x3): its rows give the covariance, and the
// squared length of their cross product the determinant, which never turns negative.
#pragma once

#include "math_projection.h"

namespace igs {

// 2D covariance [[a, b], [b, c]] without the kernel; d0 its determinant.
template <class T> struct Cov2 {
  T a, b, c, d0;
};

template <class T> struct Footprint {
  T a, b, c;   // covariance with the kernel added
  T det;       // its determinant D
  T coef;      // opacity compensation
  int radius;  // 0: dropped
};

// Mantissa of the exponent: power = -(U^2 + V^2)/2 with U = l11 dx + l21 dy, V = l22 dy
// (Cholesky factor of the conic; no cancellation for thin Gaussians).
template <class T> struct Cholesky2 {
  T l11, l21, l22;
};

// Columns of Q scaled: V = Q diag(s).
template <class T> IGS_HD Mat3<T> scaled_axes(const Mat3<T>& Q, Vec3<T> s) {
  return {{Q.r0.x * s.x, Q.r0.y * s.y, Q.r0.z * s.z},
          {Q.r1.x * s.x, Q.r1.y * s.y, Q.r1.z * s.z},
          {Q.r2.x * s.x, Q.r2.y * s.y, Q.r2.z * s.z}};
}

template <class T> IGS_HD Rows2<T> times(const Rows2<T>& M, const Mat3<T>& V) {
  return {transposed_times(V, M.r0), transposed_times(V, M.r1)};
}

template <class T> IGS_HD Cov2<T> cov2_from_factor(const Rows2<T>& F) {
  const Vec3<T> n = cross(F.r0, F.r1);
  return {dot(F.r0, F.r0), dot(F.r0, F.r1), dot(F.r1, F.r1), dot(n, n)};
}

// From a full 3D covariance: det(M S M^T) = n^T adj(S) n with n the cross product of M's rows.
template <class T> IGS_HD Cov2<T> cov2_from_sigma(const Rows2<T>& M, const Sym3<T>& S) {
  const Mat3<T> full_s = full(S);
  const Vec3<T> s0 = full_s * M.r0, s1 = full_s * M.r1;
  const Vec3<T> n = cross(M.r0, M.r1);
  return {dot(M.r0, s0), dot(M.r0, s1), dot(M.r1, s1), dot(n, full(adjugate(S)) * n)};
}

template <class T> struct Compensation {
  T coef, d0, d1;  // clamped determinants before and after the kernel
};

// Section 3, step 6.
template <class T> IGS_HD Compensation<T> compensation(const View<T>& view, const Cov2<T>& v,
                                                       T det) {
  const T tiny = T(1e-6);
  if (!view.compensate) return {T(1), v.d0, det};
  const T d0 = max_of(tiny, v.d0), d1 = max_of(tiny, det);
  if (d0 <= tiny || d1 <= tiny) return {T(0), d0, d1};
  return {std::sqrt(d0 / (d1 + tiny) + tiny), d0, d1};
}

// Section 3, steps 6 to 8. A radius of 0 means dropped; one beyond 2^30 is cut there.
template <class T> IGS_HD Footprint<T> footprint(const View<T>& view, const Cov2<T>& v) {
  const T k = view.kernel;
  Footprint<T> r;
  r.a = v.a + k;
  r.b = v.b;
  r.c = v.c + k;
  r.det = v.d0 + k * (v.a + v.c) + k * k;
  r.coef = compensation(view, v, r.det).coef;
  const T mid = T(0.5) * (r.a + r.c);
  const T lambda = mid + std::sqrt(max_of(T(kMinSpread), mid * mid - r.det));
  const T radius = std::ceil(T(3) * std::sqrt(lambda));
  const bool dropped = r.det == T(0) || !is_finite(radius) || !is_finite(r.det);
  r.radius = dropped ? 0 : int(min_of(radius, T(1 << 30)));
  return r;
}

template <class T> IGS_HD Cholesky2<T> conic_factor(const Footprint<T>& f) {
  const T l11 = std::sqrt(f.c / f.det);
  return {l11, -l11 * f.b / f.c, T(1) / std::sqrt(f.c)};
}

// Gradient on the 2D covariance from the whitened second moments
// S = sum of dpower (U, V)(U, V)^T: half of L S L^T (the same as section 6, step 2, which goes
// through the conic and divides by D^2).
template <class T> struct Grad2 {
  T aa, ab, cc;  // the symmetric matrix G2
};

template <class T> IGS_HD Grad2<T> covariance_gradient(const Cholesky2<T>& L, T suu, T suv, T svv) {
  const T pu = L.l11, qu = L.l21, qv = L.l22;
  const T row = qu * suu + qv * suv;  // second row of L S, first column
  const T h = T(0.5);
  return {h * pu * pu * suu, h * pu * row, h * (qu * row + qv * (qu * suv + qv * svv))};
}

// Gradients that the compensation sends to d0 and d1 (section 6, step 1).
template <class T> struct DetGradient {
  T dd0, dd1;
};

template <class T> IGS_HD DetGradient<T> compensation_backward(const View<T>& view,
                                                               const Compensation<T>& c, T dcoef) {
  if (!view.compensate || c.coef == T(0)) return {T(0), T(0)};
  const T d1e = c.d1 + T(1e-6);
  const T half = dcoef / (T(2) * c.coef);
  return {half / d1e, -half * c.d0 / (d1e * d1e)};
}

// Gradient on F = M V of a, b, c and the determinants.
template <class T> IGS_HD Rows2<T> factor_backward(const View<T>& view, const Rows2<T>& F,
                                                   const Grad2<T>& g, const DetGradient<T>& d) {
  const Vec3<T> n = cross(F.r0, F.r1);
  const T dn = T(2) * (d.dd0 + d.dd1), dk = T(2) * d.dd1 * view.kernel;
  return {(T(2) * g.aa + dk) * F.r0 + (T(2) * g.ab) * F.r1 + dn * cross(F.r1, n),
          (T(2) * g.ab) * F.r0 + (T(2) * g.cc + dk) * F.r1 + dn * cross(n, F.r0)};
}

// The same for a full 3D covariance: G2 with the determinants folded in (section 6, step 2).
template <class T> IGS_HD Grad2<T> fold_determinants(const View<T>& view, const Cov2<T>& v,
                                                     Grad2<T> g, const DetGradient<T>& d) {
  const T k = view.kernel;
  g.aa += v.c * d.dd0 + (v.c + k) * d.dd1;
  g.cc += v.a * d.dd0 + (v.a + k) * d.dd1;
  g.ab -= v.b * (d.dd0 + d.dd1);
  return g;
}

// M^T G2 M.
template <class T> IGS_HD Mat3<T> sigma_gradient(const Rows2<T>& M, const Grad2<T>& g) {
  return outer(M.r0, g.aa * M.r0 + g.ab * M.r1) + outer(M.r1, g.ab * M.r0 + g.cc * M.r1);
}

// dM = 2 G2 M Sigma.
template <class T> IGS_HD Rows2<T> jacobian_gradient(const Rows2<T>& M, const Grad2<T>& g,
                                                     const Mat3<T>& sigma) {
  const T two = T(2);
  return {two * transposed_times(sigma, g.aa * M.r0 + g.ab * M.r1),
          two * transposed_times(sigma, g.ab * M.r0 + g.cc * M.r1)};
}

}  // namespace igs
