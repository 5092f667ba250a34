// One float at a time, for machines without a wrapper of their own.
#pragma once

#define IGS_WIDTH 1

struct V {
  float v;
};
struct I {
  int v;
};
struct M {
  bool v;
};

IGS_INLINE V load(const float* p) { return {*p}; }
IGS_INLINE void store(float* p, V a) { *p = a.v; }
IGS_INLINE V set1(float x) { return {x}; }
IGS_INLINE V add(V a, V b) { return {a.v + b.v}; }
IGS_INLINE V sub(V a, V b) { return {a.v - b.v}; }
IGS_INLINE V mul(V a, V b) { return {a.v * b.v}; }
IGS_INLINE V div(V a, V b) { return {a.v / b.v}; }
IGS_INLINE V fma(V a, V b, V c) { return {a.v * b.v + c.v}; }
IGS_INLINE V fnma(V a, V b, V c) { return {c.v - a.v * b.v}; }
IGS_INLINE V min(V a, V b) { return {a.v < b.v ? a.v : b.v}; }
IGS_INLINE V max(V a, V b) { return {a.v > b.v ? a.v : b.v}; }
IGS_INLINE V sqrt(V a) { return {std::sqrt(a.v)}; }
IGS_INLINE V abs(V a) { return {std::fabs(a.v)}; }
IGS_INLINE M less(V a, V b) { return {a.v < b.v}; }
IGS_INLINE M at_least(V a, V b) { return {a.v >= b.v}; }
IGS_INLINE M both(M a, M b) { return {a.v && b.v}; }
IGS_INLINE M without(M a, M b) { return {a.v && !b.v}; }
IGS_INLINE unsigned bits(M a) { return a.v ? 1u : 0u; }
IGS_INLINE V select(M m, V a, V b) { return m.v ? a : b; }
IGS_INLINE V zero_unless(M m, V a) { return {m.v ? a.v : 0.0f}; }
IGS_INLINE V add_where(M m, V a, V b) { return add(a, zero_unless(m, b)); }
IGS_INLINE I load(const int* p) { return {*p}; }
IGS_INLINE void store(int* p, I a) { *p = a.v; }
IGS_INLINE I set1(int x) { return {x}; }
IGS_INLINE I select(M m, I a, I b) { return m.v ? a : b; }
IGS_INLINE M less(I a, I b) { return {a.v < b.v}; }
IGS_INLINE M equal(I a, I b) { return {a.v == b.v}; }

IGS_INLINE V round_nearest(V a) { return {std::nearbyintf(a.v)}; }
IGS_INLINE V scale_by_power(V a, V n) {
  std::int32_t bits_of;
  std::memcpy(&bits_of, &a.v, 4);
  bits_of += std::int32_t(n.v) * (1 << 23);
  std::memcpy(&a.v, &bits_of, 4);
  return a;
}

IGS_INLINE void store_totals(float* out, V a, V b, V c, V d) {
  out[0] = a.v;
  out[1] = b.v;
  out[2] = c.v;
  out[3] = d.v;
}
