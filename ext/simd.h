/* The few vector operations that the horizontal passes need, for 16, 32 or 64 byte vectors.
 *
 * A vector is VECTOR_LANES lanes of 16 bytes; operations work within lanes, as the instruction sets do, so that one
 * algorithm serves all widths. Without a vector instruction set VECTOR_LANES is 0 and only scalar loops are compiled.
 */
#ifndef SACCADE_SIMD_H
#define SACCADE_SIMD_H

#include <stdint.h>
#include <string.h>

#if VECTOR_LANES
#include <immintrin.h>

static inline __m128i load_two_quads(const uint8_t *a, const uint8_t *b) {
    return _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)a)), (const double *)b));
}
static inline __m128i load_quad_words(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d) {
    int32_t w[4];
    memcpy(w, a, 4), memcpy(w + 1, b, 4), memcpy(w + 2, c, 4), memcpy(w + 3, d, 4);
    return _mm_insert_epi32(_mm_insert_epi32(_mm_insert_epi32(_mm_cvtsi32_si128(w[0]), w[1], 1), w[2], 2), w[3], 3);
}
static inline __m128i load_16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
#endif

#if VECTOR_LANES == 1
typedef __m128i vector_t;
#define JOIN_LANES(lane) (lane(0))
#define V_LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define V_SHUFFLE _mm_shuffle_epi8
#define V_MADD _mm_madd_epi16
#define V_OR _mm_or_si128
#define V_SRL32 _mm_srli_epi32
#define V_PACK32 _mm_packs_epi32
#define V_PERMUTE32 _mm_shuffle_epi32
#define V_BROADCAST(x) (x)
/* Low halves of all lanes to `low`, high halves to `high`. */
static inline void v_store_halves(int16_t *low, int16_t *high, vector_t v) {
    _mm_storel_epi64((__m128i *)low, v);
    _mm_storeh_pd((double *)high, _mm_castsi128_pd(v));
}
#elif VECTOR_LANES == 2
typedef __m256i vector_t;
#define JOIN_LANES(lane) _mm256_inserti128_si256(_mm256_castsi128_si256(lane(0)), lane(1), 1)
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define V_SHUFFLE _mm256_shuffle_epi8
#define V_MADD _mm256_madd_epi16
#define V_OR _mm256_or_si256
#define V_SRL32 _mm256_srli_epi32
#define V_PACK32 _mm256_packs_epi32
#define V_PERMUTE32 _mm256_shuffle_epi32
#define V_BROADCAST _mm256_broadcastsi128_si256
static inline void v_store_halves(int16_t *low, int16_t *high, vector_t v) {
    v = _mm256_permute4x64_epi64(v, 0xd8);
    _mm_storeu_si128((__m128i *)low, _mm256_castsi256_si128(v));
    _mm_storeu_si128((__m128i *)high, _mm256_extracti128_si256(v, 1));
}
#elif VECTOR_LANES == 4
typedef __m512i vector_t;
#define JOIN_LANES(lane)                                                                                              \
    _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(lane(0)), lane(1), 1)),  \
                       _mm256_inserti128_si256(_mm256_castsi128_si256(lane(2)), lane(3), 1), 1)
#define V_LOAD(p) _mm512_loadu_si512(p)
#define V_SHUFFLE _mm512_shuffle_epi8
#define V_MADD _mm512_madd_epi16
#define V_OR _mm512_or_si512
#define V_SRL32 _mm512_srli_epi32
#define V_PACK32 _mm512_packs_epi32
#define V_PERMUTE32 _mm512_shuffle_epi32
#define V_BROADCAST _mm512_broadcast_i32x4
static inline void v_store_halves(int16_t *low, int16_t *high, vector_t v) {
    v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(v));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64(v, 1));
}
#endif

#endif
