// 4 floats in one SSE2 register: every x86-64 machine.
#pragma once

#define IGS_WIDTH 4

struct V {
  __m128 v;
};
struct I {
  __m128i v;
};
struct M {
  __m128 v;
};

IGS_INLINE V load(const float* p) { return {_mm_loadu_ps(p)}; }
IGS_INLINE void store(float* p, V a) { _mm_storeu_ps(p, a.v); }
IGS_INLINE V load_rows(const float* p, std::size_t) { return load(p); }
IGS_INLINE void store_rows(float* p, std::size_t, V a) { store(p, a); }
IGS_INLINE V set1(float x) { return {_mm_set1_ps(x)}; }
IGS_INLINE V add(V a, V b) { return {_mm_add_ps(a.v, b.v)}; }
IGS_INLINE V sub(V a, V b) { return {_mm_sub_ps(a.v, b.v)}; }
IGS_INLINE V mul(V a, V b) { return {_mm_mul_ps(a.v, b.v)}; }
IGS_INLINE V div(V a, V b) { return {_mm_div_ps(a.v, b.v)}; }
IGS_INLINE V fma(V a, V b, V c) { return add(mul(a, b), c); }
IGS_INLINE V fnma(V a, V b, V c) { return sub(c, mul(a, b)); }
IGS_INLINE V min(V a, V b) { return {_mm_min_ps(a.v, b.v)}; }
IGS_INLINE V max(V a, V b) { return {_mm_max_ps(a.v, b.v)}; }
IGS_INLINE V sqrt(V a) { return {_mm_sqrt_ps(a.v)}; }
IGS_INLINE V abs(V a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.v)}; }
IGS_INLINE M less(V a, V b) { return {_mm_cmplt_ps(a.v, b.v)}; }
IGS_INLINE M at_least(V a, V b) { return {_mm_cmpge_ps(a.v, b.v)}; }
IGS_INLINE M both(M a, M b) { return {_mm_and_ps(a.v, b.v)}; }
IGS_INLINE M without(M a, M b) { return {_mm_andnot_ps(b.v, a.v)}; }
IGS_INLINE unsigned bits(M a) { return unsigned(_mm_movemask_ps(a.v)); }
IGS_INLINE V select(M m, V a, V b) {
  return {_mm_or_ps(_mm_and_ps(m.v, a.v), _mm_andnot_ps(m.v, b.v))};
}
IGS_INLINE V zero_unless(M m, V a) { return {_mm_and_ps(m.v, a.v)}; }
IGS_INLINE V add_where(M m, V a, V b) { return add(a, zero_unless(m, b)); }
IGS_INLINE I load(const int* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
IGS_INLINE void store(int* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a.v); }
IGS_INLINE I set1(int x) { return {_mm_set1_epi32(x)}; }
IGS_INLINE I select(M m, I a, I b) {
  const __m128i k = _mm_castps_si128(m.v);
  return {_mm_or_si128(_mm_and_si128(k, a.v), _mm_andnot_si128(k, b.v))};
}
IGS_INLINE M less(I a, I b) { return {_mm_castsi128_ps(_mm_cmplt_epi32(a.v, b.v))}; }
IGS_INLINE M equal(I a, I b) { return {_mm_castsi128_ps(_mm_cmpeq_epi32(a.v, b.v))}; }

IGS_INLINE V round_nearest(V a) { return {_mm_cvtepi32_ps(_mm_cvtps_epi32(a.v))}; }
IGS_INLINE V scale_by_power(V a, V n) {
  const __m128i shift = _mm_slli_epi32(_mm_cvtps_epi32(n.v), 23);
  return {_mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(a.v), shift))};
}

IGS_INLINE void store_totals(float* out, V a, V b, V c, V d) {
  _MM_TRANSPOSE4_PS(a.v, b.v, c.v, d.v);
  _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(a.v, b.v), _mm_add_ps(c.v, d.v)));
}
