/* From the pixels of a frame to the elements of a tensor, in one pass over the source.
 *
 * Included once per variant. For each output row: the horizontal pass turns the (at most) two source rows it needs
 * into lines of 15-bit fixed point, one line per channel, and keeps them for the next output row; the vertical pass
 * blends two lines into bytes (and converts YUV); the last step writes the bytes as the tensor wants them. The
 * arithmetic from BGR is that of cv::resize(INTER_LINEAR) on bytes, bit for bit.
 */
#include "kernels.h"
#include "simd.h"

/* ---- horizontal pass: line[i] = (left sample * weight + right sample * weight) / 16, i.e. sample * 128 ----------- */

static inline int16_t blend(const uint8_t *left, const uint8_t *right, const int16_t *weight) {
    return (int16_t)((*left * weight[0] + *right * weight[1]) >> 4);
}

/* Outputs [begin, end) of `channels` interleaved channels, one line per channel, STRIP apart. */
static inline void horizontal_each(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int channels,
                                   int16_t *line) {
    for (int32_t i = begin; i < end; i++) {
        const uint8_t *left = row + axis->first[i] * channels, *right = row + axis->second[i] * channels;
        for (int c = 0; c < channels; c++)
            line[c * STRIP + (i - begin)] = blend(left + c, right + c, axis->weight + 2 * i);
    }
}

#if VECTOR_LANES
/* What the shuffles make of two neighbouring pixels each: pairs (left sample, right sample), of 16-bit words but for
 * BGR. */
#define Z -128
static const int8_t PAIRS_BGR[16] = {0, 3, 8, 11, 1, 4, 9, 12, 2, 5, 10, 13, Z, Z, Z, Z}; /* of two outputs, bytes */
static const int8_t PAIRS_U[16] = {0, Z, 2, Z, 4, Z, 6, Z, 8, Z, 10, Z, 12, Z, 14, Z};      /* of four */
static const int8_t PAIRS_V[16] = {1, Z, 3, Z, 5, Z, 7, Z, 9, Z, 11, Z, 13, Z, 15, Z};
enum { HALF = 2 * VECTOR_LANES, GROUP = 2 * HALF, BATCH = 8 * VECTOR_LANES, FLOATS = 4 * VECTOR_LANES };

/* Bytes between two offsets of two rows. */
static inline void prefetch(const uint8_t *a, const uint8_t *b, int32_t from, int32_t to) {
    for (int32_t at = from < to ? from : to, end = from < to ? to : from; at <= end; at += 64) {
        _mm_prefetch((const char *)a + at, _MM_HINT_T0);
        _mm_prefetch((const char *)b + at, _MM_HINT_T0);
    }
}

static inline vector_t weighted(vector_t pairs, vector_t weights) { return V_SRL32(V_MADD(pairs, weights), 4); }

/* How (v - mean) / scale is computed; see norm_t. What adds or multiplies nothing is left out. */
enum { BY_PRODUCT, BY_SUM, BY_CENTRED_SUM, BY_DIVISION };

static inline floats_t f_normalised(int how, floats_t v, floats_t mean, floats_t scale, floats_t high, floats_t low) {
    if (how == BY_CENTRED_SUM || how == BY_DIVISION)
        v = F_SUB(v, mean);
    if (how == BY_DIVISION)
        return F_DIV(v, scale);
    return how == BY_PRODUCT ? F_MUL(v, high) : F_ADD(F_MUL(v, high), F_MUL(v, low));
}

/* The pixels of BATCH outputs of one row, as `v_gather_pixels` has them, to blue, green and red samples as lines hold
 * them. In 16 bits, because with weights 1024 + f and 1024 - f the sum is 1024 * (left + right) + f * (left - right),
 * whose first part 16 divides. */
static inline void samples_bgr(const vector_t pixels[4], vector_t balance, vector_t line[3]) {
    const vector_t pairs = V_BROADCAST(load_16(PAIRS_BGR));
    const vector_t sum = V_SET16(64 << 8 | 64), difference = V_SET16((int16_t)(-64 * 256 + 64));
    vector_t x[4];
    for (int k = 0; k < 4; k++)
        x[k] = V_SHUFFLE(pixels[k], pairs);
    const vector_t a = V_LOW32(x[0], x[1]), b = V_LOW32(x[2], x[3]);
    line[0] = V_LOW64(a, b), line[1] = V_HIGH64(a, b);
    line[2] = V_LOW64(V_HIGH32(x[0], x[1]), V_HIGH32(x[2], x[3]));
    for (int c = 0; c < 3; c++) {
        const vector_t d = V_MADD8(line[c], difference);
        line[c] = V_ADD16(V_MADD8(line[c], sum), V_MULHI(V_ADD16(d, d), balance));
    }
}

/* As cv::resize blends rows: both products lose their lower 16 bits before they are added. */
static inline vector_t v_blend_rows(vector_t a, vector_t b, vector_t wa, vector_t wb) {
    /* The last product is (sum + 2) / 4, rounded down. */
    return V_MULHRS(V_ADD16(V_MULHI(a, wa), V_MULHI(b, wb)), V_SET16(1 << 13));
}
#endif

/* To lines. `end - begin` is a multiple of LANES. Up to two bytes behind the last pixel of the row are read if
 * `slack`. */
static void horizontal_bgr(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int slack,
                           int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    for (; slack && i < end; i += BATCH) {
        vector_t pixels[4], bgr[3];
        for (int k = 0; k < 4; k++)
            pixels[k] = v_gather_pixels(row, axis->offset + i + 2 * k);
        samples_bgr(pixels, V_LOAD(axis->balance + i), bgr);
        for (int c = 0; c < 3; c++)
            V_STORE(line + c * STRIP + (i - begin), bgr[c]);
    }
    if (slack) {
        i = axis->odd[0] > begin ? axis->odd[0] : begin;
        end = axis->odd[1] < end ? axis->odd[1] : end;
    }
#endif
    (void)slack;
    horizontal_each(axis, row, i, end, 3, line + (i - begin));
}

#if VECTOR_LANES
/* Both passes at once, for rows of which none is needed again: n outputs from `begin` on of rows a and b as bytes. The
 * same bytes of the rows `next` bytes further on, unless 0, are asked for early: rows that are needed next do not follow
 * each other in memory, so the processor's own prefetching starts anew, and late, on each of them. */
static void resize_bgr(const axis_t *axis, const uint8_t *a, const uint8_t *b, int16_t wa, int16_t wb, int32_t begin,
                       int32_t n, ptrdiff_t next, uint8_t bytes[3][STRIP]) {
    const vector_t va = V_SET16(wa), vb = V_SET16(wb);
    const int32_t *offset = axis->offset + begin;
    for (int32_t i = 0; i < n; i += BATCH, offset += BATCH) {
        vector_t of_a[4], of_b[4], above[3], below[3];
        const vector_t balance = V_LOAD(axis->balance + begin + i);
        if (next)
            prefetch(a + next, b + next, offset[0], offset[BATCH - 1]);
        for (int k = 0; k < 4; k++) {
            of_a[k] = v_gather_pixels(a, offset + 2 * k);
            of_b[k] = v_gather_pixels(b, offset + 2 * k);
        }
        samples_bgr(of_a, balance, above);
        samples_bgr(of_b, balance, below);
        for (int c = 0; c < 3; c++)
            above[c] = v_blend_rows(above[c], below[c], va, vb);
        v_store_halves(bytes[0] + i, bytes[1] + i, v_order_halves(V_PACKU16(above[0], above[1])));
        v_store_half(bytes[2] + i, v_order_halves(V_PACKU16(above[2], above[2])));
    }
}
#endif

static void horizontal_plane(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    const int16_t *weight = axis->weight;
    if (axis->fetch == FETCH_FOUR)
        for (; i < end; i += 2 * GROUP) {
            const int32_t *offset = axis->offset + i / 4;
            const uint8_t *pattern = axis->pattern + 4 * i;
            vector_t a = V_SHUFFLE(v_gather_lanes(row, offset), V_LOAD(pattern));
            vector_t b = V_SHUFFLE(v_gather_lanes(row, offset + VECTOR_LANES), V_LOAD(pattern + 4 * GROUP));
            a = weighted(a, V_LOAD(weight + 2 * i)), b = weighted(b, V_LOAD(weight + 2 * (i + GROUP)));
            V_STORE(line + (i - begin), v_order_lanes(V_PACK32(a, b)));
        }
    else if (axis->fetch == FETCH_TWO)
        for (; i < end; i += 2 * GROUP) {
            vector_t sum[2];
            for (int g = 0; g < 2; g++) {
                const int32_t *offset = axis->offset + (i + g * GROUP) / 2;
                const uint8_t *pattern = axis->pattern + 8 * (i + g * GROUP);
                vector_t pairs = v_gather_lanes_by_two(row, offset, pattern);
                sum[g] = weighted(pairs, V_LOAD(weight + 2 * (i + g * GROUP)));
            }
            V_STORE(line + (i - begin), v_order_lanes(V_PACK32(sum[0], sum[1])));
        }
#endif
    horizontal_each(axis, row, i, end, 1, line + (i - begin));
}

/* Interleaved U and V, to two lines. */
static void horizontal_uv(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int32_t extent,
                          int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    const vector_t u_pairs = V_BROADCAST(load_16(PAIRS_U)), v_pairs = V_BROADCAST(load_16(PAIRS_V));
    for (; extent > 1 && i < end; i += GROUP) {
        vector_t uv = v_gather_words(row, axis->offset + i), weight = V_LOAD(axis->weight + 2 * i);
        vector_t u = weighted(V_SHUFFLE(uv, u_pairs), weight), v = weighted(V_SHUFFLE(uv, v_pairs), weight);
        v_store_halves(line + (i - begin), line + STRIP + (i - begin), v_order_halves(V_PACK32(u, v)));
    }
#endif
    (void)extent;
    horizontal_each(axis, row, i, end, 2, line + (i - begin));
}

/* ---- vertical pass -------------------------------------------------------------------------------------------- */

/* All lines have room for a multiple of LANES. */
static void vertical(const int16_t *restrict a, const int16_t *restrict b, int16_t wa, int16_t wb, int32_t n,
                     uint8_t *restrict to) {
    int32_t i = 0;
#if VECTOR_LANES
    const vector_t va = V_SET16(wa), vb = V_SET16(wb);
#define BLEND(k) v_blend_rows(V_LOAD(a + (k)), V_LOAD(b + (k)), va, vb)
    for (; i < n; i += 2 * BATCH)
        V_STORE(to + i, v_order_lanes(V_PACKU16(BLEND(i), BLEND(i + BATCH))));
#undef BLEND
#endif
    for (; i < n; i++)
        to[i] = (uint8_t)((((a[i] * wa) >> 16) + ((b[i] * wb) >> 16) + 2) >> 2);
}

/* Product of two numbers of which the second is in 1/32768, rounded. */
static inline int16_t scaled(int16_t a, int16_t b) { return (int16_t)((a * b + (1 << 14)) >> 15); }

/* As `vertical`, but kept at 1/64 of a pixel value, for the colour conversion: 0 to 255 * 64. */
static void vertical_fine(const int16_t *restrict a, const int16_t *restrict b, int16_t wa, int16_t wb, int32_t n,
                          int16_t *restrict to) {
    int32_t i = 0;
    wa = (int16_t)(wa * 8), wb = (int16_t)(wb * 8);
#if VECTOR_LANES
    const vector_t va = V_SET16(wa), vb = V_SET16(wb);
    for (; i < n; i += BATCH)
        V_STORE(to + i, V_ADD16(V_MULHRS(V_LOAD(a + i), va), V_MULHRS(V_LOAD(b + i), vb)));
#endif
    for (; i < n; i++)
        to[i] = (int16_t)(scaled(a[i], wa) + scaled(b[i], wb));
}

static inline uint8_t byte_of(int32_t fine) {
    fine = (fine + 32) >> 6;
    return (uint8_t)(fine < 0 ? 0 : fine > 255 ? 255 : fine);
}

/* Colours from lines in 1/64 of a value. Luma is taken twice, chroma four times before each rounded 16-bit product, so
 * that all coefficients stay below 1; sums saturate far outside of 0 to 255. */
static void convert_yuv(const int16_t *restrict y, const int16_t *restrict u, const int16_t *restrict v,
                        const colour_t *colour, int32_t n, uint8_t *restrict blue, uint8_t *restrict green,
                        uint8_t *restrict red) {
    const int16_t y_zero = colour->y_zero, y_scale = colour->y_scale;
    const int16_t bu = colour->bu, gu = colour->gu, gv = colour->gv, rv = colour->rv;
    int32_t i = 0;
#if VECTOR_LANES
    const vector_t zero = V_SET16(y_zero), grey = V_SET16(128 * 64), half = V_SET16(32), vy = V_SET16(y_scale);
    const vector_t vbu = V_SET16(bu), vgu = V_SET16(gu), vgv = V_SET16(gv), vrv = V_SET16(rv);
    for (; i < n; i += 2 * BATCH) {
        vector_t b[2], g[2], r[2];
        for (int k = 0; k < 2; k++) {
            const int32_t at = i + k * BATCH;
            vector_t luma = V_MULHRS(V_SLL16(V_SUB16(V_LOAD(y + at), zero), 1), vy);
            vector_t cu = V_SLL16(V_SUB16(V_LOAD(u + at), grey), 2), cv = V_SLL16(V_SUB16(V_LOAD(v + at), grey), 2);
            vector_t green_part = V_ADD16(V_MULHRS(cu, vgu), V_MULHRS(cv, vgv));
            luma = V_ADD16(luma, half);
            b[k] = V_SRA16(V_ADDS16(luma, V_MULHRS(cu, vbu)), 6);
            g[k] = V_SRA16(V_SUBS16(luma, green_part), 6);
            r[k] = V_SRA16(V_ADDS16(luma, V_MULHRS(cv, vrv)), 6);
        }
        V_STORE(blue + i, v_order_lanes(V_PACKU16(b[0], b[1])));
        V_STORE(green + i, v_order_lanes(V_PACKU16(g[0], g[1])));
        V_STORE(red + i, v_order_lanes(V_PACKU16(r[0], r[1])));
    }
#endif
    for (; i < n; i++) {
        int16_t luma = scaled((int16_t)((y[i] - y_zero) * 2), y_scale);
        int16_t cu = (int16_t)((u[i] - 128 * 64) * 4), cv = (int16_t)((v[i] - 128 * 64) * 4);
        blue[i] = byte_of(luma + scaled(cu, bu));
        green[i] = byte_of(luma - scaled(cu, gu) - scaled(cv, gv));
        red[i] = byte_of(luma + scaled(cv, rv));
    }
}

/* ---- last step: lines of bytes to elements --------------------------------------------------------------------- */

static inline float normalised(float v, int divide, float mean, float scale, float high, float low) {
    v -= mean;
    return divide ? v / scale : v * high + v * low;
}

#if VECTOR_LANES
/* n is at least FLOATS. */
static ALWAYS_INLINE void write_floats_by(int how, const norm_t *norm, const uint8_t *restrict from, int32_t n,
                                          float *restrict to) {
    const floats_t mean = F_SET(norm->mean), scale = F_SET(norm->scale), high = F_SET(norm->high),
                   low = F_SET(norm->low);
    int32_t i = 0;
    for (; i + 4 * FLOATS <= n; i += 4 * FLOATS)
        for (int u = 0; u < 4; u++)
            F_STORE(to + i + u * FLOATS,
                    f_normalised(how, f_from_bytes(from + i + u * FLOATS), mean, scale, high, low));
    for (; i < n; i += FLOATS) {
        const int32_t at = i < n - FLOATS ? i : n - FLOATS; /* the last vector may overlap the one before */
        F_STORE(to + at, f_normalised(how, f_from_bytes(from + at), mean, scale, high, low));
    }
}
#endif

static void write_floats(const norm_t *norm, int divide, const uint8_t *restrict from, int32_t n,
                         float *restrict to) {
#if VECTOR_LANES
    if (n >= FLOATS) {
        if (divide)
            write_floats_by(BY_DIVISION, norm, from, n, to);
        else if (norm->mean != 0)
            write_floats_by(BY_CENTRED_SUM, norm, from, n, to);
        else if (norm->low != 0 || norm->high < 0)
            write_floats_by(BY_SUM, norm, from, n, to);
        else
            write_floats_by(BY_PRODUCT, norm, from, n, to);
        return;
    }
#endif
    for (int32_t i = 0; i < n; i++)
        to[i] = normalised(from[i], divide, norm->mean, norm->scale, norm->high, norm->low);
}

/* The same for interleaved pixels, whose channels differ; n elements. */
static void write_pixels(const plan_t *plan, const uint8_t *restrict from, int32_t n, float *restrict to) {
    const float *mean = plan->spread.mean, *scale = plan->spread.scale;
    const float *high = plan->spread.high, *low = plan->spread.low;
    const int divide = plan->divide;
    int32_t i = 0;
#if VECTOR_LANES
    const int how = divide ? BY_DIVISION : BY_CENTRED_SUM;
    for (int32_t k = 0; i + FLOATS <= n; i += FLOATS, k = k + FLOATS < SPREAD ? k + FLOATS : 0)
        F_STORE(to + i, f_normalised(how, f_from_bytes(from + i), F_LOAD(mean + k), F_LOAD(scale + k),
                                     F_LOAD(high + k), F_LOAD(low + k)));
#endif
    for (; i < n; i++)
        to[i] = normalised(from[i], divide, mean[i % 3], scale[i % 3], high[i % 3], low[i % 3]);
}

static inline void copy(uint8_t *restrict to, const uint8_t *restrict from, int32_t n) {
#if VECTOR_LANES
    int32_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm_storeu_si128((__m128i *)(to + i), load_16(from + i));
    for (; i < n; i++)
        to[i] = from[i];
#else
    memcpy(to, from, (size_t)n);
#endif
}

/* Three lines to one of n interleaved pixels. */
static void interleave(const uint8_t *const line[3], int32_t n, uint8_t *restrict to) {
    const uint8_t *restrict a = line[0], *restrict b = line[1], *restrict c = line[2];
    int32_t i = 0;
#if VECTOR_LANES
    /* Byte j of the 48 that 16 pixels make is byte j / 3 of channel j % 3; -128 makes a 0. */
    static const int8_t places[3][3][16] = {
        {{0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z, 5},
         {Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z, Z},
         {Z, Z, 0, Z, Z, 1, Z, Z, 2, Z, Z, 3, Z, Z, 4, Z}},
        {{Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10, Z},
         {5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z, 10},
         {Z, 5, Z, Z, 6, Z, Z, 7, Z, Z, 8, Z, Z, 9, Z, Z}},
        {{Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z, Z},
         {Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15, Z},
         {10, Z, Z, 11, Z, Z, 12, Z, Z, 13, Z, Z, 14, Z, Z, 15}},
    };
    for (; i + 16 <= n; i += 16) {
        const __m128i x = load_16(a + i), y = load_16(b + i), z = load_16(c + i);
        for (int k = 0; k < 3; k++) {
            __m128i mix = _mm_or_si128(_mm_shuffle_epi8(x, load_16(places[k][0])),
                                       _mm_shuffle_epi8(y, load_16(places[k][1])));
            mix = _mm_or_si128(mix, _mm_shuffle_epi8(z, load_16(places[k][2])));
            _mm_storeu_si128((__m128i *)(to + 3 * i + 16 * k), mix);
        }
    }
#endif
    for (; i < n; i++)
        to[3 * i] = a[i], to[3 * i + 1] = b[i], to[3 * i + 2] = c[i];
}

#if VECTOR_LANES >= 2
/* Floats to float16, rounded to nearest even. */
static void write_halves(const float *restrict from, int32_t n, uint16_t *restrict to) {
    int32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++)
        to[i] = (uint16_t)_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(from[i]), _MM_FROUND_TO_NEAREST_INT), 0);
}
#endif

/* `line[c]` is the line of output channel c; elements (row, x .. x + n, c) of the target. */
static void write_row(const plan_t *plan, const uint8_t *const line[3], int32_t row, int32_t x, int32_t n,
                      void *out) {
    const ptrdiff_t area = (ptrdiff_t)plan->width * plan->height, start = (ptrdiff_t)row * plan->width + x;
    const int planar = plan->layout == LAYOUT_NCHW;
    uint8_t pixels[3 * STRIP];
    /* Planar, three runs of n elements from three lines; interleaved, one of 3 n from one. */
    const int runs = planar ? 3 : 1, length = planar ? n : 3 * n;
    if (!planar && plan->dtype == DTYPE_BYTES && plan->plain) {
        interleave(line, n, (uint8_t *)out + 3 * start);
        return;
    }
    if (!planar)
        interleave(line, n, pixels);
    for (int c = 0; c < runs; c++) {
        const uint8_t *from = planar ? line[c] : pixels;
        const ptrdiff_t at = planar ? c * area + start : 3 * start;
        const norm_t *norm = plan->norm + c;
        if (plan->dtype == DTYPE_BYTES && plan->plain) {
            copy((uint8_t *)out + at, from, length);
        } else if (plan->dtype == DTYPE_BYTES) {
            for (int32_t i = 0; i < length; i++)
                ((uint8_t *)out)[at + i] = (planar ? norm : norm + i % 3)->bytes[from[i]];
        } else if (plan->dtype == DTYPE_FLOAT16 && VECTOR_LANES < 2) {
            for (int32_t i = 0; i < length; i++)
                ((uint16_t *)out)[at + i] = (planar ? norm : norm + i % 3)->halves[from[i]];
        } else {
            float floats[3 * STRIP], *to = plan->dtype == DTYPE_FLOAT32 ? (float *)out + at : floats;
            if (planar || plan->alike)
                write_floats(norm, plan->divide, from, length, to);
            else
                write_pixels(plan, from, length, to);
#if VECTOR_LANES >= 2
            if (plan->dtype == DTYPE_FLOAT16)
                write_halves(floats, length, (uint16_t *)out + at);
#endif
        }
    }
}

/* The letterbox' border, in `row` from x to `end`. */
static void write_border(const plan_t *plan, int32_t row, int32_t x, int32_t end, void *out) {
    const ptrdiff_t area = (ptrdiff_t)plan->width * plan->height;
    const int planar = plan->layout == LAYOUT_NCHW;
    for (int c = 0; c < 3; c++) {
        const ptrdiff_t at = (ptrdiff_t)row * plan->width;
        for (int32_t i = x; i < end; i++) {
            ptrdiff_t to = planar ? c * area + at + i : (at + i) * 3 + c;
            if (plan->dtype == DTYPE_FLOAT32)
                ((float *)out)[to] = plan->norm[c].fill;
            else if (plan->dtype == DTYPE_FLOAT16)
                ((uint16_t *)out)[to] = plan->norm[c].halves[plan->pad];
            else
                ((uint8_t *)out)[to] = plan->norm[c].bytes[plan->pad];
        }
    }
}

#if VECTOR_LANES
#undef Z
#endif

/* ---- the whole ------------------------------------------------------------------------------------------------- */

/* Two source rows after the horizontal pass; the next output row often needs one of them, or both, again. */
typedef struct {
    int32_t row[2];
    int16_t line[2][3 * STRIP];
} lines_t;

/* Slot of the lines of `row`: one that has them, or the one that does not hold `other`, to be filled. */
static inline int slot_of(const lines_t *lines, int32_t row, int32_t other, int *fill) {
    int slot = lines->row[1] == row;
    *fill = lines->row[slot] != row;
    return *fill ? lines->row[0] == other : slot;
}

/* May bytes behind `row` be read? They belong to the picture unless it is the last one in memory. */
static inline int slack_of(const plane_t *plane, int32_t row) {
    const ptrdiff_t stride = plane->stride, step = stride < 0 ? -stride : stride;
    return plane->width > 1 && step >= 3 * (ptrdiff_t)plane->width && row != (stride < 0 ? 0 : plane->height - 1);
}

static void lines_bgr(lines_t *lines, const plan_t *plan, const plane_t *plane, int32_t row, int32_t other,
                      int32_t begin, int32_t end, const int16_t **line) {
    int fill, slot = slot_of(lines, row, other, &fill);
    if (fill) {
        horizontal_bgr(&plan->columns, plane->data + row * plane->stride, begin, end, slack_of(plane, row),
                       lines->line[slot]);
        lines->row[slot] = row;
    }
    *line = lines->line[slot];
}

/* Output row y of BGR, n outputs from `begin` on, as bytes. */
static void row_bgr(lines_t *lines, const plan_t *plan, const plane_t *plane, int32_t y, int32_t begin, int32_t n,
                    uint8_t bytes[3][STRIP]) {
    const axis_t *rows = &plan->rows;
    const int32_t first = rows->first[y], second = rows->second[y], padded_end = begin + (n + LANES - 1) / LANES * LANES;
    const int16_t *a, *b, *w = rows->weight + 2 * y;
#if VECTOR_LANES
    const axis_t *columns = &plan->columns;
    const int once = (y == 0 || rows->second[y - 1] < first) && (y + 1 == rows->n || second < rows->first[y + 1]);
    if (once && columns->odd[0] >= columns->odd[1] && slack_of(plane, first) && slack_of(plane, second)) {
        const int32_t next = y + 1 < rows->n ? rows->first[y + 1] - first : 0;
        resize_bgr(columns, plane->data + first * plane->stride, plane->data + second * plane->stride, w[0], w[1],
                   begin, n, next > 2 ? next * plane->stride : 0, bytes);
        return;
    }
#endif
    lines_bgr(lines, plan, plane, first, second, begin, padded_end, &a);
    lines_bgr(lines, plan, plane, second, first, begin, padded_end, &b);
    for (int c = 0; c < 3; c++)
        vertical(a + c * STRIP, b + c * STRIP, w[0], w[1], n, bytes[c]);
}

static void lines_luma(lines_t *lines, const plan_t *plan, const plane_t *plane, int32_t row, int32_t other,
                       int32_t begin, int32_t end, const int16_t **line) {
    int fill, slot = slot_of(lines, row, other, &fill);
    if (fill) {
        horizontal_plane(&plan->columns, plane->data + row * plane->stride, begin, end, lines->line[slot]);
        lines->row[slot] = row;
    }
    *line = lines->line[slot];
}

/* U to the first line of the slot, V to the second. */
static void lines_chroma(lines_t *lines, const plan_t *plan, const plane_t *planes, int32_t row, int32_t other,
                         int32_t begin, int32_t end, const int16_t **line) {
    int fill, slot = slot_of(lines, row, other, &fill);
    if (fill) {
        int16_t *to = lines->line[slot];
        if (plan->pixels == PIXELS_NV12) {
            horizontal_uv(&plan->chroma_columns, planes[1].data + row * planes[1].stride, begin, end, planes[1].width,
                          to);
        } else {
            horizontal_plane(&plan->chroma_columns, planes[1].data + row * planes[1].stride, begin, end, to);
            horizontal_plane(&plan->chroma_columns, planes[2].data + row * planes[2].stride, begin, end, to + STRIP);
        }
        lines->row[slot] = row;
    }
    *line = lines->line[slot];
}

static void preprocess_strip(const plan_t *plan, const plane_t *planes, int32_t begin, int32_t end, void *out) {
    const int32_t n = end - begin, padded_end = begin + (n + LANES - 1) / LANES * LANES;
    const axis_t *rows = &plan->rows;
    const int yuv = plan->pixels != PIXELS_BGR;
    const axis_t *chroma = yuv ? &plan->chroma_rows[planes[1].height == planes[0].height] : rows;
    lines_t main_lines, chroma_lines;
    int16_t fine[3][STRIP];
    uint8_t bytes[3][STRIP];
    const uint8_t *line[3] = {bytes[plan->swap_rb ? 2 : 0], bytes[1], bytes[plan->swap_rb ? 0 : 2]};
    main_lines.row[0] = main_lines.row[1] = chroma_lines.row[0] = chroma_lines.row[1] = -1;
    for (int32_t y = 0; y < rows->n; y++) {
        const int16_t *a, *b;
        const int32_t first = rows->first[y], second = rows->second[y];
        const int16_t *w = rows->weight + 2 * y;
        if (!yuv) {
            row_bgr(&main_lines, plan, planes, y, begin, n, bytes);
        } else {
            lines_luma(&main_lines, plan, planes, first, second, begin, padded_end, &a);
            lines_luma(&main_lines, plan, planes, second, first, begin, padded_end, &b);
            vertical_fine(a, b, w[0], w[1], n, fine[0]);
            const int32_t c_first = chroma->first[y], c_second = chroma->second[y];
            w = chroma->weight + 2 * y;
            lines_chroma(&chroma_lines, plan, planes, c_first, c_second, begin, padded_end, &a);
            lines_chroma(&chroma_lines, plan, planes, c_second, c_first, begin, padded_end, &b);
            for (int c = 0; c < 2; c++)
                vertical_fine(a + c * STRIP, b + c * STRIP, w[0], w[1], n, fine[1 + c]);
            convert_yuv(fine[0], fine[1], fine[2], &plan->colour, n, bytes[0], bytes[1], bytes[2]);
        }
        write_row(plan, line, plan->top + y, plan->left + begin, n, out);
    }
}

static void preprocess(const plan_t *plan, const plane_t *planes, void *out) {
    const int32_t right = plan->left + plan->columns.n, bottom = plan->top + plan->rows.n;
    for (int32_t y = 0; y < plan->top; y++)
        write_border(plan, y, 0, plan->width, out);
    for (int32_t y = plan->top; y < bottom && plan->columns.n < plan->width; y++) {
        write_border(plan, y, 0, plan->left, out);
        write_border(plan, y, right, plan->width, out);
    }
    for (int32_t y = bottom; y < plan->height; y++)
        write_border(plan, y, 0, plan->width, out);
    for (int32_t begin = 0; begin < plan->columns.n; begin += STRIP)
        preprocess_strip(plan, planes, begin, begin + STRIP < plan->columns.n ? begin + STRIP : plan->columns.n, out);
}
