// 16 floats in one AVX-512 register.
#pragma once

#define IGS_WIDTH 16

struct V {
  __m512 v;
};
struct I {
  __m512i v;
};
struct M {
  __mmask16 v;
};

IGS_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
IGS_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
// Rows of four floats, `stride` apart.
IGS_INLINE V load_rows(const float* p, std::size_t stride) {
  __m512 r = _mm512_castps128_ps512(_mm_loadu_ps(p));
  r = _mm512_insertf32x4(r, _mm_loadu_ps(p + stride), 1);
  r = _mm512_insertf32x4(r, _mm_loadu_ps(p + 2 * stride), 2);
  return {_mm512_insertf32x4(r, _mm_loadu_ps(p + 3 * stride), 3)};
}
IGS_INLINE void store_rows(float* p, std::size_t stride, V a) {
  _mm_storeu_ps(p, _mm512_castps512_ps128(a.v));
  _mm_storeu_ps(p + stride, _mm512_extractf32x4_ps(a.v, 1));
  _mm_storeu_ps(p + 2 * stride, _mm512_extractf32x4_ps(a.v, 2));
  _mm_storeu_ps(p + 3 * stride, _mm512_extractf32x4_ps(a.v, 3));
}
IGS_INLINE V set1(float x) { return {_mm512_set1_ps(x)}; }
IGS_INLINE V add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
IGS_INLINE V sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
IGS_INLINE V mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
IGS_INLINE V div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
IGS_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
IGS_INLINE V fnma(V a, V b, V c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
IGS_INLINE V min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
IGS_INLINE V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
IGS_INLINE V sqrt(V a) { return {_mm512_sqrt_ps(a.v)}; }
IGS_INLINE V abs(V a) { return {_mm512_abs_ps(a.v)}; }
IGS_INLINE M less(V a, V b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
IGS_INLINE M at_least(V a, V b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
IGS_INLINE M both(M a, M b) { return {__mmask16(a.v & b.v)}; }
IGS_INLINE M without(M a, M b) { return {__mmask16(a.v & ~b.v)}; }
IGS_INLINE unsigned bits(M a) { return a.v; }
IGS_INLINE V select(M m, V a, V b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
IGS_INLINE V add_where(M m, V a, V b) { return {_mm512_mask_add_ps(a.v, m.v, a.v, b.v)}; }
IGS_INLINE V zero_unless(M m, V a) { return {_mm512_maskz_mov_ps(m.v, a.v)}; }
IGS_INLINE I load(const int* p) { return {_mm512_loadu_si512(p)}; }
IGS_INLINE void store(int* p, I a) { _mm512_storeu_si512(p, a.v); }
IGS_INLINE I set1(int x) { return {_mm512_set1_epi32(x)}; }
IGS_INLINE I select(M m, I a, I b) { return {_mm512_mask_blend_epi32(m.v, b.v, a.v)}; }
IGS_INLINE M less(I a, I b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
IGS_INLINE M equal(I a, I b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }

IGS_INLINE V round_nearest(V a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT)}; }
// a * 2^n for whole n.
IGS_INLINE V scale_by_power(V a, V n) { return {_mm512_scalef_ps(a.v, n.v)}; }

// The four totals of a, b, c, d.
IGS_INLINE void store_totals(float* out, V a, V b, V c, V d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512 lo = _mm512_shuffle_ps(ab, cd, 0x44), hi = _mm512_shuffle_ps(ab, cd, 0xee);
  const __m512 s = _mm512_add_ps(lo, hi);
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
