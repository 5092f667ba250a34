// 8 floats in one AVX2 register.
#pragma once

#define IGS_WIDTH 8

struct V {
  __m256 v;
};
struct I {
  __m256i v;
};
struct M {
  __m256 v;
};

IGS_INLINE V load(const float* p) { return {_mm256_loadu_ps(p)}; }
IGS_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a.v); }
IGS_INLINE V load_rows(const float* p, std::size_t stride) {
  return {_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride),
                               1)};
}
IGS_INLINE void store_rows(float* p, std::size_t stride, V a) {
  _mm_storeu_ps(p, _mm256_castps256_ps128(a.v));
  _mm_storeu_ps(p + stride, _mm256_extractf128_ps(a.v, 1));
}
IGS_INLINE V set1(float x) { return {_mm256_set1_ps(x)}; }
IGS_INLINE V add(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
IGS_INLINE V sub(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
IGS_INLINE V mul(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
IGS_INLINE V div(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
IGS_INLINE V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
IGS_INLINE V fnma(V a, V b, V c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
IGS_INLINE V min(V a, V b) { return {_mm256_min_ps(a.v, b.v)}; }
IGS_INLINE V max(V a, V b) { return {_mm256_max_ps(a.v, b.v)}; }
IGS_INLINE V sqrt(V a) { return {_mm256_sqrt_ps(a.v)}; }
IGS_INLINE V abs(V a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
IGS_INLINE M less(V a, V b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
IGS_INLINE M at_least(V a, V b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
IGS_INLINE M both(M a, M b) { return {_mm256_and_ps(a.v, b.v)}; }
IGS_INLINE M without(M a, M b) { return {_mm256_andnot_ps(b.v, a.v)}; }
IGS_INLINE unsigned bits(M a) { return unsigned(_mm256_movemask_ps(a.v)); }
IGS_INLINE V select(M m, V a, V b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
IGS_INLINE V zero_unless(M m, V a) { return {_mm256_and_ps(m.v, a.v)}; }
IGS_INLINE V add_where(M m, V a, V b) { return add(a, zero_unless(m, b)); }
IGS_INLINE I load(const int* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
IGS_INLINE void store(int* p, I a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
IGS_INLINE I set1(int x) { return {_mm256_set1_epi32(x)}; }
IGS_INLINE I select(M m, I a, I b) {
  return {_mm256_blendv_epi8(b.v, a.v, _mm256_castps_si256(m.v))};
}
IGS_INLINE M less(I a, I b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.v, a.v))}; }
IGS_INLINE M equal(I a, I b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }

IGS_INLINE V round_nearest(V a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
IGS_INLINE V scale_by_power(V a, V n) {
  const __m256i shift = _mm256_slli_epi32(_mm256_cvtps_epi32(n.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), shift))};
}

IGS_INLINE void store_totals(float* out, V a, V b, V c, V d) {
  const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}
