// 4 floats in one NEON register (arm64).
#pragma once

#define IGS_WIDTH 4

struct V {
  float32x4_t v;
};
struct I {
  int32x4_t v;
};
struct M {
  uint32x4_t v;
};

IGS_INLINE V load(const float* p) { return {vld1q_f32(p)}; }
IGS_INLINE void store(float* p, V a) { vst1q_f32(p, a.v); }
IGS_INLINE V load_rows(const float* p, std::size_t) { return load(p); }
IGS_INLINE void store_rows(float* p, std::size_t, V a) { store(p, a); }
IGS_INLINE V set1(float x) { return {vdupq_n_f32(x)}; }
IGS_INLINE V add(V a, V b) { return {vaddq_f32(a.v, b.v)}; }
IGS_INLINE V sub(V a, V b) { return {vsubq_f32(a.v, b.v)}; }
IGS_INLINE V mul(V a, V b) { return {vmulq_f32(a.v, b.v)}; }
IGS_INLINE V div(V a, V b) { return {vdivq_f32(a.v, b.v)}; }
IGS_INLINE V fma(V a, V b, V c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
IGS_INLINE V fnma(V a, V b, V c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
// As on x86: the second operand where one is NaN.
IGS_INLINE V min(V a, V b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
IGS_INLINE V max(V a, V b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
IGS_INLINE V sqrt(V a) { return {vsqrtq_f32(a.v)}; }
IGS_INLINE V abs(V a) { return {vabsq_f32(a.v)}; }
IGS_INLINE M less(V a, V b) { return {vcltq_f32(a.v, b.v)}; }
IGS_INLINE M at_least(V a, V b) { return {vcgeq_f32(a.v, b.v)}; }
IGS_INLINE M both(M a, M b) { return {vandq_u32(a.v, b.v)}; }
IGS_INLINE M without(M a, M b) { return {vbicq_u32(a.v, b.v)}; }
IGS_INLINE unsigned bits(M a) {
  const int32_t shifts[4] = {0, 1, 2, 3};
  return vaddvq_u32(vshlq_u32(vshrq_n_u32(a.v, 31), vld1q_s32(shifts)));
}
IGS_INLINE V select(M m, V a, V b) { return {vbslq_f32(m.v, a.v, b.v)}; }
IGS_INLINE V zero_unless(M m, V a) {
  return {vreinterpretq_f32_u32(vandq_u32(m.v, vreinterpretq_u32_f32(a.v)))};
}
IGS_INLINE V add_where(M m, V a, V b) { return add(a, zero_unless(m, b)); }
IGS_INLINE I load(const int* p) { return {vld1q_s32(p)}; }
IGS_INLINE void store(int* p, I a) { vst1q_s32(p, a.v); }
IGS_INLINE I set1(int x) { return {vdupq_n_s32(x)}; }
IGS_INLINE I select(M m, I a, I b) { return {vbslq_s32(m.v, a.v, b.v)}; }
IGS_INLINE M less(I a, I b) { return {vcltq_s32(a.v, b.v)}; }
IGS_INLINE M equal(I a, I b) { return {vceqq_s32(a.v, b.v)}; }

IGS_INLINE V round_nearest(V a) { return {vrndnq_f32(a.v)}; }
IGS_INLINE V scale_by_power(V a, V n) {
  const int32x4_t shift = vshlq_n_s32(vcvtnq_s32_f32(n.v), 23);
  return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a.v), shift))};
}

IGS_INLINE void store_totals(float* out, V a, V b, V c, V d) {
  vst1q_f32(out, vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v)));
}
