/* The compiled kernels: what they take, and the table through which one of their variants is called.
 *
 * Every variant is made from the same sources (preprocess.inc.h, decode.inc.h, yolo.inc.h), compiled once per
 * instruction set by portable.c, sse42.c, avx2.c and avx512.c. All variants give the same bits.
 */
#ifndef SACCADE_KERNELS_H
#define SACCADE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* ---- preprocess -------------------------------------------------------------------------------------------- */

enum { PIXELS_BGR, PIXELS_I420, PIXELS_NV12 };
enum { LAYOUT_NCHW, LAYOUT_NHWC };
enum { DTYPE_FLOAT32, DTYPE_FLOAT16, DTYPE_BYTES };

/* Weights are OpenCV's: 11-bit fixed point. */
enum { WEIGHT_ONE = 2048 };

/* Columns are worked in strips of this many outputs, so that all lines in flight lie on the stack, in L1. */
enum { STRIP = 512, LANES = 32 };

/* Interleaved channels repeat every 48 elements of any vector. */
enum { SPREAD = 48 };

/* How the horizontal pass of a one-channel plane fetches its samples: four or two outputs out of one 16-byte window,
 * or each on its own. */
enum { FETCH_EACH, FETCH_TWO, FETCH_FOUR };

/* One axis of a bilinear resize: output i is sample[first[i]] * weight[i].first + sample[second[i]] * .second.
 * Along columns second is first + 1 (first itself where the source is one pixel wide). */
typedef struct {
    int32_t n;           /* outputs; the arrays are padded to a multiple of LANES with copies of the last entry */
    int32_t fetch;       /* columns of one-channel planes: FETCH_* */
    int32_t *first;
    int32_t *second;
    int16_t *weight;     /* 2 per output */
    int32_t *offset;     /* columns: where to read, in bytes of the row: each output's first pixel, or, of a
                          * one-channel plane, each 16-byte window */
    uint8_t *pattern;    /* columns of a one-channel plane, 16 bytes: which bytes of a window go where */
    int16_t *balance;    /* columns: (first weight - 1024) * 32 of each output whose weights allow that */
    int32_t odd[2];      /* the outputs whose weights do not lie between these two */
} axis_t;

typedef struct {
    const uint8_t *data;
    ptrdiff_t stride;    /* bytes from one row to the next, may be negative or 0 */
    int32_t width, height;
} plane_t;

/* (pixel - mean) / scale for one output channel, in a form that is proved equal for all 256 pixel values when the
 * plan is made: v * high + v * low where that is exact (it nearly always is), else a division. */
typedef struct {
    float mean, scale;
    float high, low;
    float fill;              /* of the letterbox border */
    uint8_t bytes[256];      /* the results as uint8 or int8, rounded to nearest even, saturated */
    uint16_t halves[256];    /* the results as float16 */
} norm_t;

/* From YUV, on values in 1/64: factors are 1/32768 of twice the luma (less its zero) and of four times the chroma. */
typedef struct {
    int16_t y_zero, y_scale;
    int16_t bu, gu, gv, rv;      /* of U in blue and green, of V in green and red */
} colour_t;

typedef struct {
    int32_t pixels, layout, dtype;
    int32_t swap_rb;             /* outputs are R, G, B */
    int32_t divide;              /* norms need the division */
    int32_t alike;               /* all three norms are the same */
    int32_t plain;               /* bytes are the pixels themselves */
    int32_t width, height;       /* of the target */
    int32_t pad;                 /* pixel value of the letterbox border */
    int32_t left, top;           /* of the picture in the target; its size is columns.n x rows.n */
    colour_t colour;
    axis_t columns, rows;                /* BGR or luma */
    axis_t chroma_columns;
    axis_t chroma_rows[2];       /* 4:2:0, 4:2:2 */
    norm_t norm[3];              /* per output channel */
    struct {
        float mean[SPREAD], scale[SPREAD], high[SPREAD], low[SPREAD];
    } spread;                    /* the norms as interleaved pixels need them */
} plan_t;

/* ---- decoding ---------------------------------------------------------------------------------------------- */

typedef struct {
    float variance[4];
    float score_threshold, iou_threshold;
    int32_t background;          /* class that is no object, or -1 */
    int32_t top_k, keep_top_k;   /* -1: all */
    int32_t best_class;          /* a prior counts for its best class alone (MultiBoxDetection) */
    int32_t clip;                /* boxes are cut to [0, 1] before suppression */
} ssd_t;

typedef struct {
    float width, height;         /* of the network's input, px */
    float score_threshold, iou_threshold;
    int32_t top_k, keep_top_k;
    int32_t weighted;            /* overlapping boxes are averaged by score instead of dropped */
    int32_t points;              /* key points per box */
    int32_t anchor_columns;      /* 2 or 4 */
} anchors_t;

/* How box channels stand for a box, with the row's cell (x, y, stride, and the anchor's w, h) and s(v) the logistic
 * function. Where a centre and a size come out: corners are centre -+ size / 2. */
enum {
    CODING_CXCYWH,       /* centre, size */
    CODING_XYXY,         /* corners */
    CODING_LTRB,         /* distances of the sides from the cell's point, in strides */
    CODING_DFL,          /* the same, each as `bins` logits of a distribution over 0 .. bins - 1 */
    CODING_GRID,         /* centre v * stride + (x, y), size exp(v) * stride */
    CODING_V5,           /* centre (2 s(v) - 0.5) * stride + (x, y), size (2 s(v))^2 * (w, h) */
    CODING_V5_REGION,    /* the same, s applied already */
    CODING_DARKNET,      /* centre (s(v) * k - (k - 1) / 2) * stride + (x, y), k = scale_xy; size exp(v) * (w, h) */
    CODING_REGION        /* the same, s applied already */
};

typedef struct {
    int32_t coding, bins;
    int32_t logits;              /* scores and objectness before the logistic function */
    int32_t every_class;         /* each class of a row counts, instead of its best one alone */
    int32_t suppress, agnostic;  /* suppress at all; across classes */
    int32_t top_k, keep_top_k;   /* -1: all */
    int32_t cell_columns;        /* 3 or 5; 0 where boxes need no cell */
    float scale_xy;
    float score_threshold, iou_threshold;
} yolo_t;

/* Element (i, j) is data[i * row + j * column]. */
typedef struct {
    const float *data;
    ptrdiff_t row, column;
} matrix_t;

/* One output, or one level of it; of the scores either rows or columns lie next to each other. */
typedef struct {
    matrix_t boxes, objectness, scores; /* objectness.data is NULL where there is none */
    ptrdiff_t n;
} head_t;

/* ---- one variant ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    void (*preprocess)(const plan_t *plan, const plane_t *planes, void *out);
    /* Kept boxes, best first, into `kept` (room for n): how many, or -1 without memory. boxes: n x 4 corners. Only
     * boxes of the same label suppress each other; labels may be NULL. */
    ptrdiff_t (*nms)(const float *boxes, const float *scores, const int32_t *labels, ptrdiff_t n, float iou_threshold,
                     ptrdiff_t top_k, int64_t *kept);
    /* Rows into *rows (malloc'ed, 6 floats each): how many, or -1 without memory. */
    ptrdiff_t (*ssd)(const ssd_t *options, const float *loc, const float *conf, const float *priors, ptrdiff_t n,
                     ptrdiff_t classes, float **rows);
    /* Rows into *rows (malloc'ed, 5 + 2 * points floats each): how many, or -1 without memory. */
    ptrdiff_t (*anchors)(const anchors_t *options, const float *boxes, const float *scores, const float *anchors,
                         ptrdiff_t n, float **rows);
    /* Rows into *rows (malloc'ed, 7 floats each): how many, or -1 without memory. cells: for the rows of all heads. */
    ptrdiff_t (*yolo)(const yolo_t *options, const head_t *heads, ptrdiff_t count, const float *cells,
                      ptrdiff_t classes, float **rows);
} kernels_t;

extern const kernels_t saccade_portable, saccade_sse42, saccade_avx2, saccade_avx512;

/* Variants that this build has and this CPU runs, best first, NULL at the end. */
const kernels_t *const *saccade_variants(void);

/* ---- plans (plan.c) ---------------------------------------------------------------------------------------- */

typedef struct {
    int32_t x, y, width, height;
} region_t;

/* Derive what follows from the norms. */
void plan_norms(plan_t *plan);
/* Bytes of table memory that the axes of a plan need. */
size_t plan_tables_size(const plan_t *plan, int32_t inner_width, int32_t inner_height);
/* Lay the axes out in `memory`, zero-initialised. */
void plan_tables_place(plan_t *plan, int32_t inner_width, int32_t inner_height, void *memory);
/* Fill the axes for a region of a source. Region and source are not empty, and the region lies inside. */
void plan_tables_fill(plan_t *plan, int32_t source_width, int32_t source_height, region_t region, int mirror);

#endif
