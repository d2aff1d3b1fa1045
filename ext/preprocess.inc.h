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
/* Bytes of two neighbouring pixels, two of them in a lane: B and G of both as pairs of 16-bit words; R of both to the
 * lower or to the upper half. */
#define Z -128
static const int8_t PAIR_BG[16] = {0, Z, 3, Z, 8, Z, 11, Z, 1, Z, 4, Z, 9, Z, 12, Z};
static const int8_t PAIR_R_LOW[16] = {2, Z, 5, Z, 10, Z, 13, Z, Z, Z, Z, Z, Z, Z, Z, Z};
static const int8_t PAIR_R_HIGH[16] = {Z, Z, Z, Z, Z, Z, Z, Z, 2, Z, 5, Z, 10, Z, 13, Z};
static const int8_t PAIR_U[16] = {0, Z, 2, Z, 4, Z, 6, Z, 8, Z, 10, Z, 12, Z, 14, Z};
static const int8_t PAIR_V[16] = {1, Z, 3, Z, 5, Z, 7, Z, 9, Z, 11, Z, 13, Z, 15, Z};
static const int8_t PAIR_Y[16] = {0, Z, 1, Z, 4, Z, 5, Z, 8, Z, 9, Z, 12, Z, 13, Z};
#undef Z
enum { GROUP = 4 * VECTOR_LANES };
#endif

/* `end - begin` is a multiple of LANES. Up to two bytes behind the last pixel of the row are read if `slack`. */
static void horizontal_bgr(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int slack,
                           int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    const vector_t bg = V_BROADCAST(load_16(PAIR_BG));
    const vector_t r_low = V_BROADCAST(load_16(PAIR_R_LOW)), r_high = V_BROADCAST(load_16(PAIR_R_HIGH));
    for (; slack && i < end; i += GROUP) {
        const int32_t *f = axis->first + i;
#define PIXELS_01(k) load_two_quads(row + 3 * f[4 * k], row + 3 * f[4 * k + 1])
#define PIXELS_23(k) load_two_quads(row + 3 * f[4 * k + 2], row + 3 * f[4 * k + 3])
        vector_t p01 = JOIN_LANES(PIXELS_01), p23 = JOIN_LANES(PIXELS_23);
        vector_t weight = V_LOAD(axis->weight + 2 * i);
        vector_t bg01 = V_SRL32(V_MADD(V_SHUFFLE(p01, bg), V_PERMUTE32(weight, 0x44)), 4);
        vector_t bg23 = V_SRL32(V_MADD(V_SHUFFLE(p23, bg), V_PERMUTE32(weight, 0xee)), 4);
        vector_t r = V_SRL32(V_MADD(V_OR(V_SHUFFLE(p01, r_low), V_SHUFFLE(p23, r_high)), weight), 4);
        int16_t *to = line + (i - begin);
        v_store_halves(to, to + STRIP, V_PERMUTE32(V_PACK32(bg01, bg23), 0xd8));
        v_store_halves(to + 2 * STRIP, to + 2 * STRIP, V_PACK32(r, r));
    }
#endif
    (void)slack;
    horizontal_each(axis, row, i, end, 3, line + (i - begin));
}

static void horizontal_plane(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    for (; axis->fetch != FETCH_EACH && i < end; i += GROUP) {
        vector_t pairs;
        if (axis->fetch == FETCH_FOUR) {
            const int32_t *window = axis->window + i / 4;
#define WINDOW_4(k) load_16(row + window[k])
            pairs = V_SHUFFLE(JOIN_LANES(WINDOW_4), V_LOAD(axis->shuffle + 4 * i));
        } else {
            const int32_t *window = axis->window + i / 2;
            const uint8_t *shuffle = axis->shuffle + 8 * i;
#define WINDOW_2(k)                                                                                                   \
    _mm_or_si128(_mm_shuffle_epi8(load_16(row + window[2 * k]), load_16(shuffle + 32 * k)),                           \
                 _mm_shuffle_epi8(load_16(row + window[2 * k + 1]), load_16(shuffle + 32 * k + 16)))
            pairs = JOIN_LANES(WINDOW_2);
        }
        vector_t sum = V_SRL32(V_MADD(pairs, V_LOAD(axis->weight + 2 * i)), 4);
        v_store_halves(line + (i - begin), line + (i - begin), V_PACK32(sum, sum));
    }
#endif
    horizontal_each(axis, row, i, end, 1, line + (i - begin));
}

/* Interleaved U and V, to two lines. */
static void horizontal_uv(const axis_t *axis, const uint8_t *row, int32_t begin, int32_t end, int32_t extent,
                          int16_t *line) {
    int32_t i = begin;
#if VECTOR_LANES
    const vector_t u_pairs = V_BROADCAST(load_16(PAIR_U)), v_pairs = V_BROADCAST(load_16(PAIR_V));
    for (; extent > 1 && i < end; i += GROUP) {
        const int32_t *f = axis->first + i;
#define PIXELS_0123(k)                                                                                                \
    load_quad_words(row + 2 * f[4 * k], row + 2 * f[4 * k + 1], row + 2 * f[4 * k + 2], row + 2 * f[4 * k + 3])
        vector_t uv = JOIN_LANES(PIXELS_0123), weight = V_LOAD(axis->weight + 2 * i);
        vector_t u = V_SRL32(V_MADD(V_SHUFFLE(uv, u_pairs), weight), 4);
        vector_t v = V_SRL32(V_MADD(V_SHUFFLE(uv, v_pairs), weight), 4);
        v_store_halves(line + (i - begin), line + STRIP + (i - begin), V_PACK32(u, v));
    }
#endif
    (void)extent;
    horizontal_each(axis, row, i, end, 2, line + (i - begin));
}

/* ---- vertical pass -------------------------------------------------------------------------------------------- */

/* As cv::resize blends rows: both products lose their lower 16 bits before they are added. */
static void vertical(const int16_t *restrict a, const int16_t *restrict b, int16_t wa, int16_t wb, int32_t n,
                     uint8_t *restrict to) {
    for (int32_t i = 0; i < n; i++)
        to[i] = (uint8_t)((((a[i] * wa) >> 16) + ((b[i] * wb) >> 16) + 2) >> 2);
}

/* Product of two numbers of which the second is in 1/32768, rounded. */
static inline int16_t scaled(int16_t a, int16_t b) { return (int16_t)((a * b + (1 << 14)) >> 15); }

/* As `vertical`, but kept at 1/64 of a pixel value, for the colour conversion: 0 to 255 * 64. */
static void vertical_fine(const int16_t *restrict a, const int16_t *restrict b, int16_t wa, int16_t wb, int32_t n,
                          int16_t *restrict to) {
    wa = (int16_t)(wa * 8), wb = (int16_t)(wb * 8);
    for (int32_t i = 0; i < n; i++)
        to[i] = (int16_t)(scaled(a[i], wa) + scaled(b[i], wb));
}

static inline uint8_t byte_of(int32_t fine) {
    fine = (fine + 32) >> 6;
    return (uint8_t)(fine < 0 ? 0 : fine > 255 ? 255 : fine);
}

/* BT.601 from lines in 1/64 of a value. Coefficients are in 1/8192, applied to values taken four times, so that each
 * product is one rounded 16-bit multiplication. */
static void convert_yuv(const int16_t *restrict y, const int16_t *restrict u, const int16_t *restrict v,
                        int full_range, int32_t n, uint8_t *restrict blue, uint8_t *restrict green,
                        uint8_t *restrict red) {
    const int16_t y_zero = full_range ? 0 : 16 * 64, y_scale = full_range ? 16384 : 19077; /* in 1/16384, of 2 y */
    const int16_t bu = full_range ? 14516 : 16525, gu = full_range ? 2819 : 3209;
    const int16_t gv = full_range ? 5850 : 6660, rv = full_range ? 11485 : 13075;
    for (int32_t i = 0; i < n; i++) {
        int16_t luma = scaled((int16_t)((y[i] - y_zero) * 2), y_scale);
        int16_t cu = (int16_t)((u[i] - 128 * 64) * 4), cv = (int16_t)((v[i] - 128 * 64) * 4);
        blue[i] = byte_of(luma + scaled(cu, bu));
        green[i] = byte_of(luma - scaled(cu, gu) - scaled(cv, gv));
        red[i] = byte_of(luma + scaled(cv, rv));
    }
}

/* ---- last step: lines of bytes to elements --------------------------------------------------------------------- */

static inline float normalised(const norm_t *norm, int divide, uint8_t pixel) {
    float v = (float)pixel - norm->mean;
    return divide ? v / norm->scale : v * norm->high + v * norm->low;
}

static void write_floats(const norm_t *norm, int divide, const uint8_t *restrict from, int32_t n,
                         float *restrict to) {
    const norm_t local = {norm->mean, norm->scale, norm->high, norm->low, 0, {0}, {0}};
    if (divide)
        for (int32_t i = 0; i < n; i++)
            to[i] = normalised(&local, 1, from[i]);
    else
        for (int32_t i = 0; i < n; i++)
            to[i] = normalised(&local, 0, from[i]);
}

/* `line[c]` is the line of output channel c; element (row, x, c) of the picture's outputs [0, n) from `x` on. */
static void write_row(const plan_t *plan, const uint8_t *const line[3], int32_t row, int32_t x, int32_t n,
                      void *out) {
    const ptrdiff_t area = (ptrdiff_t)plan->width * plan->height, start = (ptrdiff_t)row * plan->width + x;
    const int planar = plan->layout == LAYOUT_NCHW;
    if (plan->dtype == DTYPE_FLOAT32) {
        if (planar) {
            for (int c = 0; c < 3; c++)
                write_floats(&plan->norm[c], plan->divide, line[c], n, (float *)out + c * area + start);
        } else {
            float lines[3][STRIP], *restrict to = (float *)out + 3 * start;
            for (int c = 0; c < 3; c++)
                write_floats(&plan->norm[c], plan->divide, line[c], n, lines[c]);
            for (int32_t i = 0; i < n; i++)
                to[3 * i] = lines[0][i], to[3 * i + 1] = lines[1][i], to[3 * i + 2] = lines[2][i];
        }
        return;
    }
    const ptrdiff_t step = planar ? 1 : 3, channel = planar ? area : 1, origin = planar ? start : 3 * start;
    if (plan->dtype == DTYPE_FLOAT16) {
        for (int c = 0; c < 3; c++) {
            uint16_t *to = (uint16_t *)out + origin + c * channel;
            for (int32_t i = 0; i < n; i++)
                to[i * step] = plan->norm[c].halves[line[c][i]];
        }
    } else if (!plan->plain) {
        for (int c = 0; c < 3; c++) {
            uint8_t *to = (uint8_t *)out + origin + c * channel;
            for (int32_t i = 0; i < n; i++)
                to[i * step] = plan->norm[c].bytes[line[c][i]];
        }
    } else if (planar) {
        for (int c = 0; c < 3; c++)
            memcpy((uint8_t *)out + origin + c * area, line[c], (size_t)n);
    } else {
        const uint8_t *restrict a = line[0], *restrict b = line[1], *restrict d = line[2];
        uint8_t *restrict to = (uint8_t *)out + origin;
        for (int32_t i = 0; i < n; i++)
            to[3 * i] = a[i], to[3 * i + 1] = b[i], to[3 * i + 2] = d[i];
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

static void lines_bgr(lines_t *lines, const plan_t *plan, const plane_t *plane, int32_t row, int32_t other,
                      int32_t begin, int32_t end, const int16_t **line) {
    int fill, slot = slot_of(lines, row, other, &fill);
    if (fill) {
        const ptrdiff_t last = plane->stride < 0 ? 0 : plane->height - 1;
        /* Bytes behind the row belong to the picture unless it is the last one in memory. */
        const int slack = plane->width > 1 && (plane->stride < 0 ? -plane->stride : plane->stride) >= 3 * plane->width &&
                          row != last;
        horizontal_bgr(&plan->columns, plane->data + row * plane->stride, begin, end, slack, lines->line[slot]);
        lines->row[slot] = row;
    }
    *line = lines->line[slot];
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
            lines_bgr(&main_lines, plan, planes, first, second, begin, padded_end, &a);
            lines_bgr(&main_lines, plan, planes, second, first, begin, padded_end, &b);
            for (int c = 0; c < 3; c++)
                vertical(a + c * STRIP, b + c * STRIP, w[0], w[1], n, bytes[c]);
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
            convert_yuv(fine[0], fine[1], fine[2], plan->full_range, n, bytes[0], bytes[1], bytes[2]);
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
