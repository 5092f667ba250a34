// RaDe plane: ray distance, camera coordinates and normal as linear functions of the pixel
// (section 3.1), and their gradients (section 6, step 4).
#pragma once

#include "math_projection.h"

namespace igs {

// Per-Gaussian constants of the plane; zero where `valid` is false.
template <class T> struct Plane {
  T rho0, rho1;       // change of ray distance per pixel
  Vec3<T> k0, k1;     // camera displacement per pixel: columns of K
  Vec3<T> normal;     // unit, toward the camera
  bool valid;
};

// m = q/(w.q), with q proportional to Sigma_c^{-1} w, and what its gradient needs.
template <class T> struct PlaneDirection {
  Vec3<T> m;
  bool valid;
};

// In the Gaussian's own frame: D_i = (s_min/s_i)^2, omega = Q^T R^T w, mu_i = D_i omega_i/sigma.
template <class T> struct OwnFrame {
  Vec3<T> D, omega, mu;
  T sigma;
};

template <class T> IGS_HD T shrink_ratio(T smallest, T s) {
  if (s == T(0)) return T(1);
  const T r = smallest / s;
  return r * r;
}

template <class T> IGS_HD OwnFrame<T> own_frame(const View<T>& view, const Projected<T>& c,
                                                const Mat3<T>& Q, Vec3<T> s) {
  const Vec3<T> size{std::fabs(s.x), std::fabs(s.y), std::fabs(s.z)};
  const T smallest = min_of(size.x, min_of(size.y, size.z));
  OwnFrame<T> f;
  f.D = {shrink_ratio(smallest, size.x), shrink_ratio(smallest, size.y),
         shrink_ratio(smallest, size.z)};
  const Vec3<T> w{c.u, c.v, T(1)};
  f.omega = transposed_times(Q, transposed_times(view.rotation, w));
  f.sigma = f.D.x * f.omega.x * f.omega.x + f.D.y * f.omega.y * f.omega.y +
            f.D.z * f.omega.z * f.omega.z;
  const T inv = T(1) / f.sigma;
  f.mu = {f.D.x * f.omega.x * inv, f.D.y * f.omega.y * inv, f.D.z * f.omega.z * inv};
  return f;
}

template <class T> IGS_HD PlaneDirection<T> plane_direction(const View<T>& view, const Mat3<T>& Q,
                                                            const OwnFrame<T>& f) {
  const Vec3<T> m = view.rotation * (Q * f.mu);
  return {m, f.sigma > T(0) && is_finite(dot(m, m))};
}

// For a full covariance: q = adj(Sigma_c / trace) w.
template <class T> struct SigmaFrame {
  Sym3<T> scaled;  // Sigma_c / trace
  Mat3<T> adj;
  Vec3<T> q;
  T trace, sigma;
};

template <class T> IGS_HD SigmaFrame<T> sigma_frame(const View<T>& view, const Projected<T>& c,
                                                    const Sym3<T>& S) {
  SigmaFrame<T> f;
  f.trace = trace(S);
  const Mat3<T> camera = view.rotation * (full(S) * transpose(view.rotation));
  f.scaled = upper((T(1) / f.trace) * camera);
  f.adj = full(adjugate(f.scaled));
  const Vec3<T> w{c.u, c.v, T(1)};
  f.q = f.adj * w;
  f.sigma = dot(w, f.q);
  return f;
}

template <class T> IGS_HD PlaneDirection<T> plane_direction(const SigmaFrame<T>& f) {
  const Vec3<T> m = (T(1) / f.sigma) * f.q;
  return {m, f.sigma > T(0) && is_finite(dot(m, m))};
}

// What forward and backward share.
template <class T> struct PlaneTerms {
  T n2, l, g0, g1, e0, e1, length;  // length = |N~|
  Vec3<T> normal;
};

template <class T> IGS_HD PlaneTerms<T> plane_terms(const Projected<T>& c, Vec3<T> m) {
  PlaneTerms<T> r;
  const T u = c.u, v = c.v;
  r.n2 = u * u + v * v + T(1);
  r.l = std::sqrt(dot(c.p, c.p));
  r.g0 = (v * v + T(1)) * m.x - u * v * m.y - u * m.z;
  r.g1 = -u * v * m.x + (u * u + T(1)) * m.y - v * m.z;
  r.e0 = -r.g0 * r.l / r.n2;
  r.e1 = -r.g1 * r.l / r.n2;
  const T inv_z = T(1) / c.p.z, inv_l = T(1) / r.l;
  const Vec3<T> n{r.e0 * inv_z - c.p.x * inv_l, r.e1 * inv_z - c.p.y * inv_l,
                  -(c.u * r.e0 + c.v * r.e1) * inv_z - c.p.z * inv_l};
  r.length = std::sqrt(dot(n, n));
  r.normal = (T(1) / r.length) * n;
  return r;
}

template <class T> IGS_HD Plane<T> plane_of(const View<T>& view, const Projected<T>& c,
                                            const PlaneDirection<T>& direction) {
  const T zero = T(0);
  Plane<T> r{zero, zero, {zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}, false};
  if (!direction.valid) return r;
  const PlaneTerms<T> s = plane_terms(c, direction.m);
  const T sx = T(1) / (s.n2 * view.fx), sy = T(1) / (s.n2 * view.fy);
  const T u = c.u, v = c.v;
  r.rho0 = s.g0 * s.l * sx;
  r.rho1 = s.g1 * s.l * sy;
  r.k0 = sx * Vec3<T>{-(v * v + T(1)) * c.p.z + s.g0 * c.p.x, u * v * c.p.z + s.g0 * c.p.y,
                      c.p.x + s.g0 * c.p.z};
  r.k1 = sy * Vec3<T>{u * v * c.p.z + s.g1 * c.p.x, -(u * u + T(1)) * c.p.z + s.g1 * c.p.y,
                      c.p.y + s.g1 * c.p.z};
  r.normal = s.normal;
  r.valid = true;
  return r;
}

// Incoming gradient on the plane's constants.
template <class T> struct PlaneGradient {
  T rho0, rho1;
  Vec3<T> k0, k1, normal;
};

// Gradient on the direction m, on u, v and on the clamped camera point (u and v not yet folded).
template <class T> struct PlaneBackward {
  Vec3<T> dm, dp;
  T du, dv;
};

template <class T>
IGS_HD PlaneBackward<T> plane_backward(const View<T>& view, const Projected<T>& c, Vec3<T> m,
                                       const Plane<T>& plane, const PlaneGradient<T>& g) {
  const PlaneTerms<T> s = plane_terms(c, m);
  const T u = c.u, v = c.v, tx = c.p.x, ty = c.p.y, tz = c.p.z, two = T(2), one = T(1);
  const T iz = one / tz, iz2 = iz * iz, il = one / s.l, in2 = one / s.n2;
  const Vec3<T> h = (one / s.length) * (g.normal - dot(g.normal, s.normal) * s.normal);
  const T de0 = h.x * iz - h.z * tx * iz2, de1 = h.y * iz - h.z * ty * iz2;
  const Vec3<T> kx = (one / view.fx) * g.k0, ky = (one / view.fy) * g.k1;
  const T rx = g.rho0 / view.fx, ry = g.rho1 / view.fy;
  const T dg0 = (dot(kx, c.p) + s.l * (rx - de0)) * in2;
  const T dg1 = (dot(ky, c.p) + s.l * (ry - de1)) * in2;
  const T dl = (s.g0 * (rx - de0) + s.g1 * (ry - de1)) * in2 + dot(h, c.p) * il * il;
  const T dn2 = -in2 * (view.fx * dot(kx, plane.k0) + view.fy * dot(ky, plane.k1) +
                        (rx * s.g0 + ry * s.g1) * s.l * in2 + de0 * s.e0 + de1 * s.e1);
  PlaneBackward<T> r;
  r.du = (ky.x * v * tz + kx.y * v * tz - two * u * tz * ky.y) * in2;
  r.dv = (ky.x * u * tz + kx.y * u * tz - two * v * tz * kx.x) * in2;
  r.dp = {(kx.x * s.g0 + ky.x * s.g1 + kx.z) * in2 - h.z * s.e0 * iz2 - h.x * il,
          (kx.y * s.g0 + ky.y * s.g1 + ky.z) * in2 - h.z * s.e1 * iz2 - h.y * il,
          (-kx.x * (v * v + one) + (ky.x + kx.y) * u * v - ky.y * (u * u + one) + kx.z * s.g0 +
           ky.z * s.g1) * in2 -
              (h.x * s.e0 + h.y * s.e1) * iz2 + two * h.z * (tx * s.e0 + ty * s.e1) * iz2 * iz -
              h.z * il};
  r.dp = r.dp + (dl * il) * c.p;
  r.dm = {dg0 * (v * v + one) - dg1 * u * v, -dg0 * u * v + dg1 * (u * u + one),
          -dg0 * u - dg1 * v};
  r.du += dg0 * (-v * m.y - m.z) + dg1 * (-v * m.x + two * u * m.y) + two * u * dn2;
  r.dv += dg0 * (two * v * m.x - u * m.y) + dg1 * (-u * m.x - m.z) + two * v * dn2;
  return r;
}

// Folds the complete gradient on u, v into the camera point.
template <class T> IGS_HD Vec3<T> fold_slopes(const Projected<T>& c, Vec3<T> dp, T du, T dv) {
  const T iz = T(1) / c.p.z;
  return {dp.x + du * iz, dp.y + dv * iz, dp.z - (du * c.u + dv * c.v) * iz};
}

template <class T> struct OwnFrameBackward {
  Vec3<T> ds;  // on the scaled axes' lengths
  Mat3<T> dQ;
  T du, dv;
};

template <class T> IGS_HD T scale_term(T s, T mu_j, T sum) {
  return s == T(0) ? T(0) : -(T(2) * mu_j / s) * sum;
}

// Stable form for scales and rotation (section 6, step 4).
template <class T>
IGS_HD OwnFrameBackward<T> own_frame_backward(const View<T>& view, const Mat3<T>& Q, Vec3<T> s,
                                              const OwnFrame<T>& f, Vec3<T> dm) {
  const Vec3<T> eta = transposed_times(Q, transposed_times(view.rotation, dm));
  const T c = dot(eta, f.mu), inv = T(1) / f.sigma, two = T(2);
  const Vec3<T> domega{f.D.x * inv * (eta.x - two * c * f.omega.x),
                       f.D.y * inv * (eta.y - two * c * f.omega.y),
                       f.D.z * inv * (eta.z - two * c * f.omega.z)};
  const Vec3<T> q_domega = Q * domega;
  const Vec3<T> dw = view.rotation * q_domega;
  // (omega_i eta_j - omega_j eta_i) for the three pairs: a cross product.
  const Vec3<T> x = cross(f.omega, eta);  // x.z = w_x e_y - w_y e_x, and cyclic
  OwnFrameBackward<T> r;
  r.ds = {scale_term(s.x, f.mu.x, f.mu.y * -x.z + f.mu.z * x.y),
          scale_term(s.y, f.mu.y, f.mu.x * x.z + f.mu.z * -x.x),
          scale_term(s.z, f.mu.z, f.mu.x * -x.y + f.mu.y * x.x)};
  r.dQ = outer(T(-1) * q_domega, f.omega) + outer(T(-1) * (Q * f.mu), eta);
  r.du = dw.x;
  r.dv = dw.y;
  return r;
}

template <class T> struct SigmaFrameBackward {
  Mat3<T> dsigma;  // on the world-frame covariance
  T du, dv;
};

// For a given covariance: through the adjugate, right even for rank 2.
template <class T>
IGS_HD SigmaFrameBackward<T> sigma_frame_backward(const View<T>& view, const Projected<T>& c,
                                                  const SigmaFrame<T>& f, Vec3<T> m, Vec3<T> dm) {
  const Vec3<T> w{c.u, c.v, T(1)};
  const T along = dot(dm, m);
  const Vec3<T> y = (T(1) / f.sigma) * (dm - along * w);
  const Vec3<T> dw = f.adj * y - along * m;
  const Mat3<T> Z = T(0.5) * (outer(y, w) + outer(w, y)), S = full(f.scaled);
  const T tr_s = trace(f.scaled), tr_z = dot(y, w);
  const Mat3<T> SZ = S * Z;
  const T diagonal = tr_s * tr_z - (SZ.r0.x + SZ.r1.y + SZ.r2.z);
  Mat3<T> d = SZ + transpose(SZ) + (-tr_s) * Z + (-tr_z) * S;
  d.r0.x += diagonal;
  d.r1.y += diagonal;
  d.r2.z += diagonal;
  const Mat3<T>& R = view.rotation;
  return {(T(1) / f.trace) * (transpose(R) * (d * R)), dw.x, dw.y};
}

}  // namespace igs
