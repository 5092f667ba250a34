// Small vectors, 3x3 matrices and the constants of the specification.
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define IGS_HD __host__ __device__ __forceinline__
#else
#define IGS_HD inline
#endif

namespace igs {

// Constants that the specification defines as float32 (section 10).
constexpr float kNearCut = 0.2f;
constexpr float kFieldLimit = 1.3f;
constexpr float kMinSpread = 0.1f;
constexpr float kAlphaMax = 0.99f;
constexpr float kAlphaMin = 1.0f / 255.0f;
constexpr float kMinTransmittance = 1e-4f;
constexpr int kTile = 16;

// Compositing keeps the Cholesky factor times sqrt(log2(e)/2): alpha = opacity 2^-(U^2 + V^2).
constexpr float kRootHalfLog2e = 0.84932180028801907f;
constexpr double kTwoLn2 = 1.3862943611198906;  // its squared inverse

template <class T> IGS_HD T min_of(T a, T b) { return a < b ? a : b; }
template <class T> IGS_HD T max_of(T a, T b) { return a > b ? a : b; }
template <class T> IGS_HD T clamp_to(T x, T lo, T hi) { return min_of(max_of(x, lo), hi); }
template <class T> IGS_HD bool is_finite(T x) { return x - x == T(0); }

template <class T> struct Vec3 {
  T x, y, z;
};

template <class T> IGS_HD Vec3<T> operator+(Vec3<T> a, Vec3<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class T> IGS_HD Vec3<T> operator-(Vec3<T> a, Vec3<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class T> IGS_HD Vec3<T> operator*(T s, Vec3<T> a) { return {s * a.x, s * a.y, s * a.z}; }
template <class T> IGS_HD T dot(Vec3<T> a, Vec3<T> b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
template <class T> IGS_HD Vec3<T> cross(Vec3<T> a, Vec3<T> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// A 3x3 matrix by rows.
template <class T> struct Mat3 {
  Vec3<T> r0, r1, r2;
};

template <class T> IGS_HD Vec3<T> operator*(const Mat3<T>& m, Vec3<T> v) {
  return {dot(m.r0, v), dot(m.r1, v), dot(m.r2, v)};
}
// m^T v
template <class T> IGS_HD Vec3<T> transposed_times(const Mat3<T>& m, Vec3<T> v) {
  return v.x * m.r0 + v.y * m.r1 + v.z * m.r2;
}
template <class T> IGS_HD Mat3<T> transpose(const Mat3<T>& m) {
  return {{m.r0.x, m.r1.x, m.r2.x}, {m.r0.y, m.r1.y, m.r2.y}, {m.r0.z, m.r1.z, m.r2.z}};
}
template <class T> IGS_HD Mat3<T> operator*(const Mat3<T>& a, const Mat3<T>& b) {
  return {transposed_times(b, a.r0), transposed_times(b, a.r1), transposed_times(b, a.r2)};
}
template <class T> IGS_HD Mat3<T> operator+(const Mat3<T>& a, const Mat3<T>& b) {
  return {a.r0 + b.r0, a.r1 + b.r1, a.r2 + b.r2};
}
template <class T> IGS_HD Mat3<T> operator*(T s, const Mat3<T>& a) {
  return {s * a.r0, s * a.r1, s * a.r2};
}
// a b^T
template <class T> IGS_HD Mat3<T> outer(Vec3<T> a, Vec3<T> b) {
  return {a.x * b, a.y * b, a.z * b};
}

// A symmetric 3x3 matrix, upper triangle.
template <class T> struct Sym3 {
  T xx, xy, xz, yy, yz, zz;
};

template <class T> IGS_HD Mat3<T> full(const Sym3<T>& s) {
  return {{s.xx, s.xy, s.xz}, {s.xy, s.yy, s.yz}, {s.xz, s.yz, s.zz}};
}
template <class T> IGS_HD Sym3<T> upper(const Mat3<T>& m) {
  return {m.r0.x, m.r0.y, m.r0.z, m.r1.y, m.r1.z, m.r2.z};
}
template <class T> IGS_HD Sym3<T> adjugate(const Sym3<T>& s) {
  return {s.yy * s.zz - s.yz * s.yz, s.xz * s.yz - s.xy * s.zz, s.xy * s.yz - s.xz * s.yy,
          s.xx * s.zz - s.xz * s.xz, s.xy * s.xz - s.xx * s.yz, s.xx * s.yy - s.xy * s.xy};
}
template <class T> IGS_HD T trace(const Sym3<T>& s) { return s.xx + s.yy + s.zz; }

// Quaternion w, x, y, z, used as given (not normalised).
template <class T> struct Quat {
  T w, x, y, z;
};

// Rotation matrix of a quaternion (section 3, step 3).
template <class T> IGS_HD Mat3<T> rotation_of(Quat<T> q) {
  const T two = T(2);
  return {{T(1) - two * (q.y * q.y + q.z * q.z), two * (q.x * q.y - q.w * q.z),
           two * (q.x * q.z + q.w * q.y)},
          {two * (q.x * q.y + q.w * q.z), T(1) - two * (q.x * q.x + q.z * q.z),
           two * (q.y * q.z - q.w * q.x)},
          {two * (q.x * q.z - q.w * q.y), two * (q.y * q.z + q.w * q.x),
           T(1) - two * (q.x * q.x + q.y * q.y)}};
}

// Gradient of a quaternion from that of its rotation matrix (section 6, step 8).
template <class T> IGS_HD Quat<T> rotation_backward(Quat<T> q, const Mat3<T>& d) {
  const T two = T(2);
  Quat<T> g;
  g.w = two * (-q.z * d.r0.y + q.y * d.r0.z + q.z * d.r1.x - q.x * d.r1.z - q.y * d.r2.x +
               q.x * d.r2.y);
  g.x = two * (q.y * d.r0.y + q.z * d.r0.z + q.y * d.r1.x - two * q.x * d.r1.y - q.w * d.r1.z +
               q.z * d.r2.x + q.w * d.r2.y - two * q.x * d.r2.z);
  g.y = two * (-two * q.y * d.r0.x + q.x * d.r0.y + q.w * d.r0.z + q.x * d.r1.x + q.z * d.r1.z -
               q.w * d.r2.x + q.z * d.r2.y - two * q.y * d.r2.z);
  g.z = two * (-two * q.z * d.r0.x - q.w * d.r0.y + q.x * d.r0.z + q.w * d.r1.x -
               two * q.z * d.r1.y + q.y * d.r1.z + q.x * d.r2.x + q.y * d.r2.y);
  return g;
}

}  // namespace igs
