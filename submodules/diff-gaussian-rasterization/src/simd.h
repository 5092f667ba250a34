// Sixteen pixels at a time, whatever the machine's register width: F16 (floats), I16 (32-bit
// integers) and M16 (a mask) made of 1, 2, 4 or 16 native registers.
//
// Included inside the namespace of one instruction set; see composite.cpp.
#pragma once

#define IGS_PARTS (16 / IGS_WIDTH)
#define IGS_EACH for (int k = 0; k < IGS_PARTS; ++k)

struct F16 {
  native::V p[IGS_PARTS];
};
struct I16 {
  native::I p[IGS_PARTS];
};
struct M16 {
  native::M p[IGS_PARTS];
};

#define IGS_LIFT1(R, NAME, A)        \
  IGS_INLINE R NAME(A a) {           \
    R r;                             \
    IGS_EACH r.p[k] = native::NAME(a.p[k]); \
    return r;                        \
  }
#define IGS_LIFT2(R, NAME, A, B)     \
  IGS_INLINE R NAME(A a, B b) {      \
    R r;                             \
    IGS_EACH r.p[k] = native::NAME(a.p[k], b.p[k]); \
    return r;                        \
  }
#define IGS_LIFT3(R, NAME, A, B, C)  \
  IGS_INLINE R NAME(A a, B b, C c) { \
    R r;                             \
    IGS_EACH r.p[k] = native::NAME(a.p[k], b.p[k], c.p[k]); \
    return r;                        \
  }

IGS_LIFT2(F16, add, F16, F16)
IGS_LIFT2(F16, sub, F16, F16)
IGS_LIFT2(F16, mul, F16, F16)
IGS_LIFT2(F16, div, F16, F16)
IGS_LIFT2(F16, min, F16, F16)
IGS_LIFT2(F16, max, F16, F16)
IGS_LIFT3(F16, fma, F16, F16, F16)
IGS_LIFT3(F16, fnma, F16, F16, F16)
IGS_LIFT1(F16, sqrt, F16)
IGS_LIFT1(F16, abs, F16)
IGS_LIFT1(F16, round_nearest, F16)
IGS_LIFT2(F16, scale_by_power, F16, F16)
IGS_LIFT2(M16, less, F16, F16)
IGS_LIFT2(M16, at_least, F16, F16)
IGS_LIFT2(M16, less, I16, I16)
IGS_LIFT2(M16, equal, I16, I16)
IGS_LIFT2(M16, both, M16, M16)
IGS_LIFT2(M16, without, M16, M16)
IGS_LIFT3(F16, select, M16, F16, F16)
IGS_LIFT3(I16, select, M16, I16, I16)
IGS_LIFT2(F16, zero_unless, M16, F16)
IGS_LIFT3(F16, add_where, M16, F16, F16)

IGS_INLINE F16 operator+(F16 a, F16 b) { return add(a, b); }
IGS_INLINE F16 operator-(F16 a, F16 b) { return sub(a, b); }
IGS_INLINE F16 operator*(F16 a, F16 b) { return mul(a, b); }
IGS_INLINE F16 operator/(F16 a, F16 b) { return div(a, b); }

IGS_INLINE F16 load16(const float* p) {
  F16 r;
  IGS_EACH r.p[k] = native::load(p + k * IGS_WIDTH);
  return r;
}
IGS_INLINE void store16(float* p, F16 a) { IGS_EACH native::store(p + k * IGS_WIDTH, a.p[k]); }
// A 4x4 block of an image whose rows are `stride` apart.
IGS_INLINE F16 load_4x4(const float* p, std::size_t stride) {
  F16 r;
#if IGS_WIDTH >= 4
  IGS_EACH r.p[k] = native::load_rows(p + std::size_t(k * (IGS_WIDTH / 4)) * stride, stride);
#else
  IGS_EACH r.p[k] = native::load(p + std::size_t(k / 4) * stride + k % 4);
#endif
  return r;
}
IGS_INLINE void store_4x4(float* p, std::size_t stride, F16 a) {
#if IGS_WIDTH >= 4
  IGS_EACH native::store_rows(p + std::size_t(k * (IGS_WIDTH / 4)) * stride, stride, a.p[k]);
#else
  IGS_EACH native::store(p + std::size_t(k / 4) * stride + k % 4, a.p[k]);
#endif
}
IGS_INLINE I16 load16(const int* p) {
  I16 r;
  IGS_EACH r.p[k] = native::load(p + k * IGS_WIDTH);
  return r;
}
IGS_INLINE void store16(int* p, I16 a) { IGS_EACH native::store(p + k * IGS_WIDTH, a.p[k]); }
IGS_INLINE F16 all(float x) {
  F16 r;
  IGS_EACH r.p[k] = native::set1(x);
  return r;
}
IGS_INLINE I16 all(int x) {
  I16 r;
  IGS_EACH r.p[k] = native::set1(x);
  return r;
}
// One bit per pixel.
IGS_INLINE unsigned bits(M16 m) {
  unsigned r = 0;
  IGS_EACH r |= native::bits(m.p[k]) << (k * IGS_WIDTH);
  return r;
}

IGS_INLINE native::V fold_parts(F16 a) {
  native::V s = a.p[0];
  for (int k = 1; k < IGS_PARTS; ++k) s = native::add(s, a.p[k]);
  return s;
}
// The sums over the sixteen pixels of each of four vectors.
IGS_INLINE void store_totals(float* out, F16 a, F16 b, F16 c, F16 d) {
  native::store_totals(out, fold_parts(a), fold_parts(b), fold_parts(c), fold_parts(d));
}

// 2^-s for s >= 0, relative error below 2e-7; s beyond 125 counts as 125.
IGS_INLINE F16 exp2_of_minus(F16 s) {
  const F16 x = max(all(0.0f) - s, all(-125.0f));
  const F16 n = round_nearest(x);
  const F16 f = x - n;
  F16 p = all(1.326469372e-3f);
  p = fma(p, f, all(9.671514984e-3f));
  p = fma(p, f, all(5.550733854e-2f));
  p = fma(p, f, all(2.402224203e-1f));
  p = fma(p, f, all(6.931469775e-1f));
  p = fma(p, f, all(1.0f));
  return scale_by_power(p, n);
}
