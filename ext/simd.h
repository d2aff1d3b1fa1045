/* The vector operations of the kernels, for vectors of 16, 32 and 64 bytes.
 *
 * A vector is VECTOR_LANES lanes of 16 bytes. Shuffles and packs work within lanes, as the instruction sets do, so one
 * algorithm serves all widths; the `order` functions put results across lanes back in order. Without a vector
 * instruction set VECTOR_LANES is 0 and only the plain loops of the kernels are compiled.
 */
#ifndef SACCADE_SIMD_H
#define SACCADE_SIMD_H

#include <stdint.h>
#include <string.h>

#if VECTOR_LANES
#include <immintrin.h>

#ifndef ALWAYS_INLINE
/* For what is made anew for each constant that it is called with. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#endif

static inline __m128i load_16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

/* Eight bytes from each of two places. */
static inline __m128i gather_two(const uint8_t *row, const int32_t *offset) {
    __m128d low = _mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)(row + offset[0])));
    return _mm_castpd_si128(_mm_loadh_pd(low, (const double *)(row + offset[1])));
}

/* Four bytes from each of four places. */
static inline __m128i gather_words(const uint8_t *row, const int32_t *offset) {
    int32_t w[4];
    for (int i = 0; i < 4; i++)
        memcpy(w + i, row + offset[i], 4);
    return _mm_insert_epi32(_mm_insert_epi32(_mm_insert_epi32(_mm_cvtsi32_si128(w[0]), w[1], 1), w[2], 2), w[3], 3);
}

/* Two 16-byte windows, each shuffled by its pattern, joined. */
static inline __m128i gather_by_two(const uint8_t *row, const int32_t *offset, const uint8_t *pattern) {
    return _mm_or_si128(_mm_shuffle_epi8(load_16(row + offset[0]), load_16(pattern)),
                        _mm_shuffle_epi8(load_16(row + offset[1]), load_16(pattern + 16)));
}

static inline float largest_of_four(__m128 v) {
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
}
#endif

#if VECTOR_LANES >= 2
static inline __m256i join_two(__m128i a, __m128i b) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}
#endif

#if VECTOR_LANES == 1
typedef __m128i vector_t;
#define V_OP(name) _mm_##name
#define V_LOAD(p) load_16(p)
#define V_STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define V_OR _mm_or_si128
#define V_BROADCAST(x) (x)

/* Two pixels of 8 bytes for each lane; those of a lane start 8 outputs behind those of the lane before. */
static inline vector_t v_gather_pixels(const uint8_t *row, const int32_t *offset) { return gather_two(row, offset); }
static inline vector_t v_gather_words(const uint8_t *row, const int32_t *offset) { return gather_words(row, offset); }
static inline vector_t v_gather_lanes(const uint8_t *row, const int32_t *offset) { return load_16(row + offset[0]); }
static inline vector_t v_gather_lanes_by_two(const uint8_t *row, const int32_t *offset, const uint8_t *pattern) {
    return gather_by_two(row, offset, pattern);
}
/* Lanes of (x, y) of 8 bytes each to (x of all, y of all). */
static inline vector_t v_order_halves(vector_t v) { return v; }
static inline vector_t v_order_lanes(vector_t v) { return v; }
/* Lanes of (x, y) of 8 bytes each, to where the x and where the y of all lanes go. */
static inline void v_store_halves(void *low, void *high, vector_t v) {
    _mm_storel_epi64((__m128i *)low, v);
    _mm_storeh_pd((double *)high, _mm_castsi128_pd(v));
}
static inline void v_store_half(void *low, vector_t v) { _mm_storel_epi64((__m128i *)low, v); }

typedef __m128 floats_t;
static inline floats_t f_from_bytes(const uint8_t *p) {
    int32_t word;
    memcpy(&word, p, 4);
    return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(word)));
}
static inline float f_largest(floats_t v) { return largest_of_four(v); }
/* a > b ? yes : no */
static inline floats_t f_where_greater(floats_t a, floats_t b, floats_t yes, floats_t no) {
    return _mm_blendv_ps(no, yes, _mm_cmpgt_ps(a, b));
}

#elif VECTOR_LANES == 2
typedef __m256i vector_t;
#define V_OP(name) _mm256_##name
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define V_STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define V_OR _mm256_or_si256
#define V_BROADCAST _mm256_broadcastsi128_si256

static inline vector_t v_gather_pixels(const uint8_t *row, const int32_t *offset) {
    return join_two(gather_two(row, offset), gather_two(row, offset + 8));
}
static inline vector_t v_gather_words(const uint8_t *row, const int32_t *offset) {
    return join_two(gather_words(row, offset), gather_words(row, offset + 4));
}
static inline vector_t v_gather_lanes(const uint8_t *row, const int32_t *offset) {
    return join_two(load_16(row + offset[0]), load_16(row + offset[1]));
}
static inline vector_t v_gather_lanes_by_two(const uint8_t *row, const int32_t *offset, const uint8_t *pattern) {
    vector_t a = join_two(load_16(row + offset[0]), load_16(row + offset[2]));
    vector_t b = join_two(load_16(row + offset[1]), load_16(row + offset[3]));
    vector_t p = V_LOAD(pattern), q = V_LOAD(pattern + 32);
    return V_OR(_mm256_shuffle_epi8(a, _mm256_permute2x128_si256(p, q, 0x20)),
                _mm256_shuffle_epi8(b, _mm256_permute2x128_si256(p, q, 0x31)));
}
static inline vector_t v_order_halves(vector_t v) { return _mm256_permute4x64_epi64(v, 0xd8); }
static inline vector_t v_order_lanes(vector_t v) { return _mm256_permute4x64_epi64(v, 0xd8); }
static inline void v_store_halves(void *low, void *high, vector_t v) {
    _mm_storeu_si128((__m128i *)low, _mm256_castsi256_si128(v));
    _mm_storeu_si128((__m128i *)high, _mm256_extracti128_si256(v, 1));
}
static inline void v_store_half(void *low, vector_t v) {
    _mm_storeu_si128((__m128i *)low, _mm256_castsi256_si128(v));
}

typedef __m256 floats_t;
static inline floats_t f_from_bytes(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline float f_largest(floats_t v) {
    return largest_of_four(_mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}
static inline floats_t f_where_greater(floats_t a, floats_t b, floats_t yes, floats_t no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

#elif VECTOR_LANES == 4
typedef __m512i vector_t;
#define V_OP(name) _mm512_##name
#define V_LOAD(p) _mm512_loadu_si512(p)
#define V_STORE(p, v) _mm512_storeu_si512(p, v)
#define V_OR _mm512_or_si512
#define V_BROADCAST _mm512_broadcast_i32x4

static inline vector_t join_four(__m128i a, __m128i b, __m128i c, __m128i d) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(join_two(a, b)), join_two(c, d), 1);
}
static inline vector_t v_gather_pixels(const uint8_t *row, const int32_t *offset) {
    return join_four(gather_two(row, offset), gather_two(row, offset + 8), gather_two(row, offset + 16),
                     gather_two(row, offset + 24));
}
static inline vector_t v_gather_words(const uint8_t *row, const int32_t *offset) {
    return _mm512_i32gather_epi32(_mm512_loadu_si512(offset), (const void *)row, 1);
}
static inline vector_t v_gather_lanes(const uint8_t *row, const int32_t *offset) {
    return join_four(load_16(row + offset[0]), load_16(row + offset[1]), load_16(row + offset[2]),
                     load_16(row + offset[3]));
}
static inline vector_t v_gather_lanes_by_two(const uint8_t *row, const int32_t *offset, const uint8_t *pattern) {
    return join_four(gather_by_two(row, offset, pattern), gather_by_two(row, offset + 2, pattern + 32),
                     gather_by_two(row, offset + 4, pattern + 64), gather_by_two(row, offset + 6, pattern + 96));
}
static inline vector_t v_order_halves(vector_t v) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);
}
static inline vector_t v_order_lanes(vector_t v) { return v_order_halves(v); }
static inline void v_store_halves(void *low, void *high, vector_t v) {
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(v));
    _mm256_storeu_si256((__m256i *)high, _mm512_extracti64x4_epi64(v, 1));
}
static inline void v_store_half(void *low, vector_t v) {
    _mm256_storeu_si256((__m256i *)low, _mm512_castsi512_si256(v));
}
typedef __m512 floats_t;
static inline floats_t f_from_bytes(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(p)));
}
static inline float f_largest(floats_t v) {
    __m256 half = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return largest_of_four(_mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
static inline floats_t f_where_greater(floats_t a, floats_t b, floats_t yes, floats_t no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}
#endif

#if VECTOR_LANES
#define V_SHUFFLE V_OP(shuffle_epi8)
#define V_MADD V_OP(madd_epi16)
#define V_MADD8 V_OP(maddubs_epi16)
#define V_LOW32 V_OP(unpacklo_epi32)
#define V_HIGH32 V_OP(unpackhi_epi32)
#define V_LOW64 V_OP(unpacklo_epi64)
#define V_HIGH64 V_OP(unpackhi_epi64)
#define V_SRL32 V_OP(srli_epi32)
#define V_PACK32 V_OP(packs_epi32)
#define V_PACKU16 V_OP(packus_epi16)
#define V_SET16 V_OP(set1_epi16)
#define V_ADD16 V_OP(add_epi16)
#define V_SUB16 V_OP(sub_epi16)
#define V_ADDS16 V_OP(adds_epi16)
#define V_SUBS16 V_OP(subs_epi16)
#define V_SRA16 V_OP(srai_epi16)
#define V_SLL16 V_OP(slli_epi16)
#define V_MULHI V_OP(mulhi_epi16)
#define V_MULHRS V_OP(mulhrs_epi16)

#define F_SET V_OP(set1_ps)
#define F_ADD V_OP(add_ps)
#define F_SUB V_OP(sub_ps)
#define F_MUL V_OP(mul_ps)
#define F_DIV V_OP(div_ps)
#define F_MAX V_OP(max_ps) /* the second where the first is NaN */
#define F_LOAD V_OP(loadu_ps)
#define F_STORE V_OP(storeu_ps)
#endif

#endif
