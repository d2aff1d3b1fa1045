/* The tables of a preprocess plan: which samples each output takes, and with what weights. */
#include "kernels.h"

#include <math.h>
#include <string.h>

static int32_t clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

static int32_t padded(int32_t n) { return (n + LANES - 1) / LANES * LANES; }

void plan_norms(plan_t *plan) {
    const norm_t *norm = plan->norm;
    plan->alike = 1;
    for (int k = 0; k < SPREAD; k++) {
        const norm_t *n = norm + k % 3;
        plan->spread.mean[k] = n->mean, plan->spread.scale[k] = n->scale;
        plan->spread.high[k] = n->high, plan->spread.low[k] = n->low;
        plan->alike &= n->mean == norm->mean && n->scale == norm->scale;
    }
}

static size_t axis_size(int32_t n) {
    /* first, second, weight, offset: 4 bytes an output each; pattern: 16 for two outputs; balance: 2 */
    return (size_t)padded(n) * (4 * 4 + 8 + 2);
}

static uint8_t *axis_place(axis_t *axis, int32_t n, uint8_t *memory) {
    size_t m = (size_t)padded(n);
    axis->n = n;
    axis->pattern = memory; /* first, because it is read in vectors */
    axis->first = (int32_t *)(memory + m * 8);
    axis->second = axis->first + m;
    axis->offset = axis->second + m;
    axis->weight = (int16_t *)(axis->offset + m);
    axis->balance = axis->weight + 2 * m;
    return memory + axis_size(n);
}

size_t plan_tables_size(const plan_t *plan, int32_t inner_width, int32_t inner_height) {
    size_t size = axis_size(inner_width) + axis_size(inner_height);
    if (plan->pixels != PIXELS_BGR)
        size += axis_size(inner_width) + 2 * axis_size(inner_height);
    return size;
}

void plan_tables_place(plan_t *plan, int32_t inner_width, int32_t inner_height, void *memory) {
    uint8_t *next = axis_place(&plan->columns, inner_width, memory);
    next = axis_place(&plan->rows, inner_height, next);
    if (plan->pixels != PIXELS_BGR) {
        next = axis_place(&plan->chroma_columns, inner_width, next);
        next = axis_place(&plan->chroma_rows[0], inner_height, next);
        axis_place(&plan->chroma_rows[1], inner_height, next);
    }
}

/* Pad, and lay out for the vector loops: `channels` interleaved in a row of `extent` pixels; 0 for rows. */
static void axis_finish(axis_t *axis, int32_t extent, int32_t channels) {
    int32_t n = axis->n, m = padded(n);
    for (int32_t i = n; i < m; i++) {
        axis->first[i] = axis->first[n - 1];
        axis->second[i] = axis->second[n - 1];
        memcpy(axis->weight + 2 * i, axis->weight + 2 * (n - 1), 4);
    }
    axis->fetch = FETCH_EACH;
    axis->odd[0] = m, axis->odd[1] = 0;
    for (int32_t i = 0; channels > 1 && i < m; i++) {
        const int32_t balance = (axis->weight[2 * i] - WEIGHT_ONE / 2) * 32;
        axis->offset[i] = channels * axis->first[i];
        axis->balance[i] = (int16_t)balance;
        if (balance > INT16_MAX || axis->weight[2 * i] + axis->weight[2 * i + 1] != WEIGHT_ONE) {
            axis->odd[0] = i < axis->odd[0] ? i : axis->odd[0];
            axis->odd[1] = i + 1;
        }
    }
    for (int32_t per = 4; channels == 1 && extent >= 16 && per >= 2; per -= 2) {
        int32_t i = 0;
        for (; i < m; i += per) {
            int32_t low = axis->first[i], high = axis->first[i];
            for (int32_t j = i + 1; j < i + per; j++) {
                low = axis->first[j] < low ? axis->first[j] : low;
                high = axis->first[j] > high ? axis->first[j] : high;
            }
            if (high + 1 - low >= 16)
                break;
            int32_t start = low > extent - 16 ? extent - 16 : low;
            uint8_t *pattern = axis->pattern + 16 * (i / per);
            axis->offset[i / per] = start;
            memset(pattern, 0x80, 16);
            for (int32_t j = i; j < i + per; j++) {
                pattern[4 * (j % 4)] = (uint8_t)(axis->first[j] - start);
                pattern[4 * (j % 4) + 2] = (uint8_t)(axis->first[j] + 1 - start);
            }
        }
        if (i >= m) {
            axis->fetch = per == 4 ? FETCH_FOUR : FETCH_TWO;
            return;
        }
    }
}

/* Two samples of which `a` carries weight_a and its neighbour `b` carries weight_b, as a pair that lies inside
 * [0, extent). A pair may only reach over the edge where the neighbour weighs nothing. */
static void set_pair(axis_t *axis, int32_t i, int32_t a, int32_t b, int32_t weight_a, int32_t weight_b,
                     int32_t extent) {
    int32_t left = a < b ? a : b;
    if (extent == 1) {
        axis->first[i] = axis->second[i] = 0;
        axis->weight[2 * i] = (int16_t)(weight_a + weight_b);
        axis->weight[2 * i + 1] = 0;
        return;
    }
    left = clamp(left, 0, extent - 2);
    int32_t low = a == left ? weight_a : weight_b, high = a == left ? weight_b : weight_a;
    if (!high && left) /* the left one alone: as the right one of another pair, which `balance` can say */
        left--, high = low, low = 0;
    axis->first[i] = left;
    axis->second[i] = left + 1;
    axis->weight[2 * i] = (int16_t)low;
    axis->weight[2 * i + 1] = (int16_t)high;
}

/* Sample positions and weights exactly as cv::resize(INTER_LINEAR) has them for 8-bit pictures: float32 positions,
 * weights rounded to 1/2048. Over the left and right edge the outer sample counts alone; over the top and bottom edge
 * it counts twice, with both weights, which rounds differently. */
static void fill_like_opencv(axis_t *axis, int32_t start, int32_t length, int32_t extent, int mirror, int channels) {
    double scale = 1.0 / ((double)axis->n / length);
    for (int32_t i = 0; i < axis->n; i++) {
        float position = (float)((i + 0.5) * scale - 0.5);
        int32_t s = (int32_t)floorf(position);
        float fraction = position - (float)s;
        if (channels) {
            if (s < 0)
                s = 0, fraction = 0;
            if (s >= length - 1)
                s = length - 1, fraction = 0;
        }
        int32_t w0 = (int32_t)rintf((1.f - fraction) * WEIGHT_ONE), w1 = (int32_t)rintf(fraction * WEIGHT_ONE);
        if (channels) {
            int32_t a = start + s, b = a + 1;
            if (mirror)
                a = extent - 1 - a, b = a - 1;
            set_pair(axis, i, a, b, w0, w1, extent);
        } else {
            axis->first[i] = start + clamp(s, 0, length - 1);
            axis->second[i] = start + clamp(s + 1, 0, length - 1);
            axis->weight[2 * i] = (int16_t)w0;
            axis->weight[2 * i + 1] = (int16_t)w1;
        }
    }
    axis_finish(axis, extent, channels);
}

/* Chroma samples lie in the centre of the `step` luma pixels that they colour (JPEG's and MPEG-1's siting), so their
 * positions follow from the place on the picture, not from the plane's own size, which is rounded up. */
static void fill_chroma(axis_t *axis, int32_t start, int32_t length, int32_t extent, int32_t step, int mirror,
                        int channels) {
    double scale = (double)length / axis->n;
    int32_t samples = (extent + step - 1) / step;
    int32_t low = start, high = start + length - 1; /* luma pixels of the region as they lie in the source */
    if (mirror)
        low = extent - start - length, high = extent - start - 1;
    low /= step, high /= step;
    for (int32_t i = 0; i < axis->n; i++) {
        double place = start + (i + 0.5) * scale;
        if (mirror)
            place = extent - place;
        double position = place / step - 0.5;
        position = position < low ? low : position > high ? high : position;
        int32_t s = (int32_t)floor(position);
        int32_t w1 = (int32_t)rint((position - s) * WEIGHT_ONE);
        set_pair(axis, i, s, s + 1, WEIGHT_ONE - w1, w1, samples);
    }
    axis_finish(axis, samples, channels);
}

void plan_tables_fill(plan_t *plan, int32_t source_width, int32_t source_height, region_t region, int mirror) {
    const int yuv = plan->pixels != PIXELS_BGR;
    fill_like_opencv(&plan->columns, region.x, region.width, source_width, mirror, yuv ? 1 : 3);
    fill_like_opencv(&plan->rows, region.y, region.height, source_height, 0, 0);
    if (yuv) {
        const int channels = plan->pixels == PIXELS_NV12 ? 2 : 1;
        fill_chroma(&plan->chroma_columns, region.x, region.width, source_width, 2, mirror, channels);
        fill_chroma(&plan->chroma_rows[0], region.y, region.height, source_height, 2, 0, 0);
        fill_chroma(&plan->chroma_rows[1], region.y, region.height, source_height, 1, 0, 0);
    }
}
