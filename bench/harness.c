/* Each kernel once, under callgrind, for bench/gate.py: instruction counts by case, as one dump per case.
 *
 * Inputs are made by a generator of our own, so that all machines count the same work.
 */
#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

static uint32_t state = 1;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u; }
static float uniform(void) { return (float)(next() >> 8) / (1 << 24); }

static void counted_from_here(void) { CALLGRIND_ZERO_STATS; }
static void count(const char *variant, const char *name) {
    char label[128];
    snprintf(label, sizeof label, "%s %s", variant, name);
    CALLGRIND_DUMP_STATS_AT(label);
}

static void run_preprocess(const kernels_t *k, const char *name, int pixels, int layout, int dtype, int width,
                           int height, region_t region, int size, int mirror) {
    plan_t plan;
    memset(&plan, 0, sizeof plan);
    plan.pixels = pixels, plan.layout = layout, plan.dtype = dtype, plan.width = plan.height = size;
    plan.colour = (colour_t){16 * 64, 19077, 16525, 3209, 6660, 13075};
    plan.plain = dtype == DTYPE_BYTES;
    /* As with scale=255: no mean, and a reciprocal in two parts. */
    for (int c = 0; c < 3; c++)
        plan.norm[c].scale = 255, plan.norm[c].high = 0x1.01p-8f, plan.norm[c].low = 0x1.01p-24f;
    plan_norms(&plan);
    void *tables = calloc(1, plan_tables_size(&plan, size, size));
    plan_tables_place(&plan, size, size, tables);
    plan_tables_fill(&plan, width, height, region, mirror);
    const size_t bytes = (size_t)width * height * 3;
    uint8_t *frame = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        frame[i] = (uint8_t)(next() >> 24);
    plane_t planes[3] = {{frame, pixels == PIXELS_BGR ? 3 * width : width, width, height}};
    planes[1] = (plane_t){frame + width * height, pixels == PIXELS_NV12 ? width : width / 2, width / 2, height / 2};
    planes[2] = (plane_t){frame + width * height * 5 / 4, width / 2, width / 2, height / 2};
    void *out = calloc(12, (size_t)size * size);
    counted_from_here();
    k->preprocess(&plan, planes, out);
    count(k->name, name);
    free(out);
    free(frame);
    free(tables);
}

static void run_nms(const kernels_t *k, const char *name, int n) {
    float *boxes = malloc((size_t)n * 4 * sizeof *boxes), *scores = malloc((size_t)n * sizeof *scores);
    int64_t *kept = malloc((size_t)n * sizeof *kept);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 2; j++) {
            boxes[4 * i + j] = uniform() * 1000;
            boxes[4 * i + j + 2] = boxes[4 * i + j] + 20 + uniform() * 60;
        }
        scores[i] = uniform();
    }
    counted_from_here();
    k->nms(boxes, scores, NULL, n, 0.45f, -1, kept);
    count(k->name, name);
    free(boxes);
    free(scores);
    free(kept);
}

static void run_ssd(const kernels_t *k, const char *name, int n, int classes) {
    float *loc = malloc((size_t)n * 4 * sizeof *loc), *priors = malloc((size_t)n * 4 * sizeof *priors);
    float *conf = malloc((size_t)n * classes * sizeof *conf), *rows = NULL;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 4; j++)
            loc[4 * i + j] = uniform() - 0.5f;
        for (int j = 0; j < 2; j++) {
            priors[4 * i + j] = uniform();
            priors[4 * i + j + 2] = priors[4 * i + j] + 0.02f + uniform() * 0.3f;
        }
        for (int c = 0; c < classes; c++)
            conf[i * classes + c] = c ? uniform() * uniform() * 0.0104f : 0.95f;
    }
    const ssd_t options = {{0.1f, 0.1f, 0.2f, 0.2f}, 0.01f, 0.45f, 0, 400, 200, 0, 0};
    counted_from_here();
    k->ssd(&options, loc, conf, priors, n, classes, &rows);
    count(k->name, name);
    free(loc);
    free(priors);
    free(conf);
    free(rows);
}

static void run_anchors(const kernels_t *k, const char *name, int n) {
    float *boxes = malloc((size_t)n * 16 * sizeof *boxes), *scores = malloc((size_t)n * sizeof *scores);
    float *anchors = malloc((size_t)n * 2 * sizeof *anchors), *rows = NULL;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 16; j++)
            boxes[16 * i + j] = 20 + uniform() * 20;
        scores[i] = uniform() * 8 - 7;
        anchors[2 * i] = uniform(), anchors[2 * i + 1] = uniform();
    }
    const anchors_t options = {192, 192, 0.5f, 0.3f, -1, -1, 1, 6, 2};
    counted_from_here();
    k->anchors(&options, boxes, scores, anchors, n, &rows);
    count(k->name, name);
    free(boxes);
    free(scores);
    free(anchors);
    free(rows);
}

/* An 80-class tensor, by plane or by row, of which `objects` of the n rows score more than the threshold. */
static void run_yolo(const kernels_t *k, const char *name, int n, int objects, int planes, int every_class) {
    const int channels = 84;
    const ptrdiff_t row = planes ? 1 : channels, column = planes ? n : 1;
    float *tensor = malloc((size_t)n * channels * sizeof *tensor), *rows = NULL;
    for (int i = 0; i < n; i++) {
        float *to = tensor + i * row;
        to[0] = uniform() * 640, to[column] = uniform() * 640;
        to[2 * column] = 20 + uniform() * 60, to[3 * column] = 20 + uniform() * 60;
        for (int c = 4; c < channels; c++)
            to[c * column] = uniform() * 0.2f;
        if ((int64_t)(i + 1) * objects / n > (int64_t)i * objects / n)
            to[(4 + next() % 80) * column] = 0.3f + uniform() * 0.7f;
    }
    const head_t head = {{tensor, row, column}, {NULL, 0, 0}, {tensor + 4 * column, row, column}, n};
    const yolo_t options = {CODING_CXCYWH, 1, 0, every_class, 1, 0, -1, -1, 0, 1, 0.25f, 0.45f};
    counted_from_here();
    k->yolo(&options, &head, 1, NULL, channels - 4, &rows);
    count(k->name, name);
    free(tensor);
    free(rows);
}

int main(void) {
    const region_t all = {0, 0, 1920, 1080}, middle = {640, 220, 640, 640}, face = {500, 300, 190, 190};
    for (const kernels_t *const *k = saccade_variants(); *k; k++) {
        run_preprocess(*k, "BGR 1080p to 300 float32 NCHW", PIXELS_BGR, LAYOUT_NCHW, DTYPE_FLOAT32, 1920, 1080, all, 300, 0);
        run_preprocess(*k, "BGR 1080p to 192 float32 NHWC", PIXELS_BGR, LAYOUT_NHWC, DTYPE_FLOAT32, 1920, 1080, all, 192, 0);
        run_preprocess(*k, "BGR 640 to 84 mirrored", PIXELS_BGR, LAYOUT_NCHW, DTYPE_FLOAT32, 1920, 1080, middle, 84, 1);
        run_preprocess(*k, "BGR 190 to 64 uint8 NHWC", PIXELS_BGR, LAYOUT_NHWC, DTYPE_BYTES, 1920, 1080, face, 64, 0);
        run_preprocess(*k, "I420 1080p to 300 float32 NCHW", PIXELS_I420, LAYOUT_NCHW, DTYPE_FLOAT32, 1920, 1080, all, 300, 0);
        run_preprocess(*k, "NV12 1080p to 300 float16 NCHW", PIXELS_NV12, LAYOUT_NCHW, DTYPE_FLOAT16, 1920, 1080, all, 300, 0);
        run_nms(*k, "nms 100", 100);
        run_nms(*k, "nms 2000", 2000);
        run_ssd(*k, "decode_ssd 8732 x 21", 8732, 21);
        run_anchors(*k, "decode_anchors 2304", 2304);
        run_yolo(*k, "decode_yolo 84 x 8400, 100 objects", 8400, 100, 1, 0);
        run_yolo(*k, "decode_yolo 8400 x 84, 100 objects", 8400, 100, 0, 0);
        run_yolo(*k, "decode_yolo 84 x 8400, 100 objects, every class", 8400, 100, 1, 1);
        run_yolo(*k, "decode_yolo 84 x 25200, 20000 objects", 25200, 20000, 1, 0);
    }
    return 0;
}
