/* From the raw outputs of a dense detector (YOLO and its kin: one row of box and class channels per cell) to boxes, in
 * one pass over the tensor.
 *
 * Included once per variant, behind decode.inc.h. Class scores are only compared, with the score or the logit that the
 * threshold asks for; activations and boxes are computed for what is left. Where the rows of a channel lie next to each
 * other (channels first) the tensor is read in strips of rows, plane after plane, so that both orientations are read
 * once, in order, and are never transposed.
 */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1024, BUNCH = 16, PLANES = 16, LINE = 16 };

/* What collecting needs to know of a call. */
typedef struct {
    const yolo_t *options;
    float least;         /* of a class score as it stands in the tensor, or of objectness, for a row to count */
    candidates_t list;
} collector_t;

static inline float activated(const yolo_t *options, float v) { return options->logits ? sigmoid(v) : v; }

/* Objectness of a row, or 1 where there is none; NaN where the row does not count. */
static inline float objectness_of(const collector_t *to, const head_t *head, ptrdiff_t row) {
    if (!head->objectness.data)
        return 1;
    const float raw = head->objectness.data[row * head->objectness.row];
    if (!(raw >= to->least))
        return NAN;
    const float objectness = activated(to->options, raw);
    return objectness >= to->options->score_threshold ? objectness : NAN;
}

/* A class of a row whose score is `raw` in the tensor, if it counts. The list has room. */
static inline void offer(collector_t *to, float raw, float objectness, ptrdiff_t label, ptrdiff_t row) {
    const float score = objectness * activated(to->options, raw);
    if (score >= to->options->score_threshold && fabsf(score) <= FLT_MAX)
        to->list.items[to->list.n++] = (candidate_t){score, (int32_t)label, (uint32_t)row};
}

/* The best of n scores; NaN never is, and of nothing it is -INFINITY. */
static inline float best_of(const float *scores, ptrdiff_t n) {
    float best = -INFINITY;
    ptrdiff_t i = 0;
#if VECTOR_LANES
    if (n >= FLOATS) {
        floats_t all = F_SET(-INFINITY);
        for (; i + FLOATS <= n; i += FLOATS)
            all = F_MAX(F_LOAD(scores + i), all);
        return f_largest(F_MAX(F_LOAD(scores + n - FLOATS), all)); /* what is left, and some once more */
    }
#endif
    for (; i < n; i++)
        best = larger(scores[i], best);
    return best;
}

/* ---- rows: the classes of a row lie next to each other ----------------------------------------------------------- */

static int collect_rows(collector_t *to, const head_t *head, ptrdiff_t classes, ptrdiff_t first_row) {
    const float least = to->least, below = nextafterf(least, -INFINITY);
    const float *end = head->scores.data + (head->n - 1) * head->scores.row + classes;
    for (ptrdiff_t i = 0; i < head->n; i++) {
        const float *scores = head->scores.data + i * head->scores.row;
        const float objectness = objectness_of(to, head, i);
        if (objectness != objectness)
            continue;
        if (!to->options->every_class) {
            const float best = best_of(scores, classes);
            ptrdiff_t label = 0;
            if (!(best >= least))
                continue;
            while (scores[label] != best)
                label++;
            if (!candidates_reserve(&to->list, 1))
                return 0;
            offer(to, best, objectness, label, first_row + i);
            continue;
        }
        if (!candidates_reserve(&to->list, classes))
            return 0;
        for (ptrdiff_t c = 0; c < classes; c += 32) {
            const int count = classes - c < 32 ? (int)(classes - c) : 32;
            uint32_t bits = above(scores + c, count, below, end - scores - c >= count + 7);
            for (; bits; bits &= bits - 1)
                offer(to, scores[c + lowest_bit(bits)], objectness, c + lowest_bit(bits), first_row + i);
        }
    }
    return 1;
}

/* ---- planes: the rows of a class lie next to each other ---------------------------------------------------------- */

#if VECTOR_LANES
/* `best_of_planes` for whole cache lines of `classes` planes, the first of them class `first`: how many rows are done.
 * All values of a line are compared while it is at hand. */
static inline ptrdiff_t best_of_lines(const float *plane, ptrdiff_t step, ptrdiff_t classes, float first, ptrdiff_t n,
                                      float *restrict best, float *restrict group) {
    const floats_t label = F_SET(first), nothing = F_SET(-INFINITY);
    ptrdiff_t j = 0;
    for (; j + LINE <= n; j += LINE) {
        const float *p = plane + j;
        floats_t v[LINE / FLOATS];
        ptrdiff_t k = 0;
        for (int u = 0; u < LINE / FLOATS; u++)
            v[u] = nothing;
        for (; k + 4 <= classes; k += 4, p += 4 * step)
            for (int u = 0; u < LINE / FLOATS; u++) {
                const float *from = p + u * FLOATS;
                v[u] = F_MAX(F_LOAD(from), v[u]);
                v[u] = F_MAX(F_LOAD(from + step), v[u]);
                v[u] = F_MAX(F_LOAD(from + 2 * step), v[u]);
                v[u] = F_MAX(F_LOAD(from + 3 * step), v[u]);
            }
        for (; k < classes; k++, p += step)
            for (int u = 0; u < LINE / FLOATS; u++)
                v[u] = F_MAX(F_LOAD(p + u * FLOATS), v[u]);
        for (int u = 0; u < LINE / FLOATS; u++) {
            float *to = best + j + u * FLOATS, *labels = group + j + u * FLOATS;
            const floats_t before = F_LOAD(to);
            F_STORE(labels, f_where_greater(v[u], before, label, F_LOAD(labels)));
            F_STORE(to, F_MAX(v[u], before));
        }
    }
    return j;
}
#endif

/* The best score of each of n rows (NaN never is), and the first of the PLANES classes among which it is the first. */
static void best_of_planes(const float *plane, ptrdiff_t step, ptrdiff_t classes, ptrdiff_t n, float *restrict best,
                           float *restrict group) {
    for (ptrdiff_t j = 0; j < n; j++)
        best[j] = -INFINITY, group[j] = 0;
    for (ptrdiff_t c = 0; c < classes; c += PLANES, plane += PLANES * step) {
        const ptrdiff_t count = classes - c < PLANES ? classes - c : PLANES;
        const float *p[PLANES]; /* of fewer classes the last counts more than once */
        for (ptrdiff_t k = 0; k < PLANES; k++)
            p[k] = plane + (k < count ? k : count - 1) * step;
        ptrdiff_t j = 0;
#if VECTOR_LANES
        /* Mostly all PLANES: their number is then known to the compiler. */
        j = count == PLANES ? best_of_lines(plane, step, PLANES, (float)c, n, best, group)
                            : best_of_lines(plane, step, count, (float)c, n, best, group);
#endif
        for (; j < n; j++) {
            float v = -INFINITY;
            for (int k = 0; k < PLANES; k++)
                v = larger(p[k][j], v);
            if (v > best[j])
                best[j] = v, group[j] = (float)c;
        }
    }
}

static int collect_best_of_strip(collector_t *to, const head_t *head, ptrdiff_t begin, ptrdiff_t n, const float *best,
                                 const float *group, ptrdiff_t first_row) {
    const ptrdiff_t step = head->scores.column;
    for (ptrdiff_t i = 0; i < n; i += BUNCH) {
        const ptrdiff_t end = n - i < BUNCH ? n : i + BUNCH;
        if (!(best_of(best + i, end - i) >= to->least))
            continue;
        if (!candidates_reserve(&to->list, BUNCH))
            return 0;
        for (ptrdiff_t j = i; j < end; j++) {
            const float *score = head->scores.data + begin + j;
            ptrdiff_t label = (ptrdiff_t)group[j];
            if (!(best[j] >= to->least))
                continue;
            while (score[label * step] != best[j])
                label++;
            offer(to, best[j], objectness_of(to, head, begin + j), label, first_row + begin + j);
        }
    }
    return 1;
}

/* Candidates [from, list->n) of at most ROWS rows from `first` on, by row; in a row they stay as they are. */
static int order_by_row(candidates_t *list, ptrdiff_t from, ptrdiff_t first) {
    const ptrdiff_t n = list->n - from;
    ptrdiff_t start[ROWS + 1] = {0};
    candidate_t *items, *spare;
    if (n < 2)
        return 1;
    if (!candidates_reserve(list, n))
        return 0;
    items = list->items + from, spare = items + n;
    for (ptrdiff_t i = 0; i < n; i++)
        start[(ptrdiff_t)items[i].row - first + 1]++;
    for (int j = 0; j < ROWS; j++)
        start[j + 1] += start[j];
    for (ptrdiff_t i = 0; i < n; i++)
        spare[start[(ptrdiff_t)items[i].row - first]++] = items[i];
    memcpy(items, spare, (size_t)n * sizeof *items);
    return 1;
}

static int collect_all_of_strip(collector_t *to, const head_t *head, ptrdiff_t classes, ptrdiff_t begin, ptrdiff_t n,
                                const float *best, ptrdiff_t first_row) {
    const ptrdiff_t from = to->list.n;
    const float below = nextafterf(to->least, -INFINITY);
    for (ptrdiff_t i = 0; i < n; i += BUNCH) {
        const int count = n - i < BUNCH ? (int)(n - i) : BUNCH;
        if (!(best_of(best + i, count) >= to->least))
            continue;
        for (ptrdiff_t c = 0; c < classes; c++) {
            const float *plane = head->scores.data + c * head->scores.column + begin + i;
            if (!candidates_reserve(&to->list, BUNCH))
                return 0;
            for (uint32_t bits = above(plane, count, below, count == BUNCH); bits; bits &= bits - 1) {
                const ptrdiff_t j = i + lowest_bit(bits);
                offer(to, plane[j - i], objectness_of(to, head, begin + j), c, first_row + begin + j);
            }
        }
    }
    return order_by_row(&to->list, from, first_row + begin);
}

/* Does any row of a strip have objectness enough? */
static int has_objects(const collector_t *to, const head_t *head, ptrdiff_t begin, ptrdiff_t n) {
    const float *objectness = head->objectness.data;
    if (!objectness)
        return 1;
    for (ptrdiff_t j = begin; j < begin + n; j++)
        if (objectness[j * head->objectness.row] >= to->least)
            return 1;
    return 0;
}

static int collect_planes(collector_t *to, const head_t *head, ptrdiff_t classes, ptrdiff_t first_row) {
    _Alignas(64) float best[ROWS], group[ROWS];
    for (ptrdiff_t begin = 0; begin < head->n; begin += ROWS) {
        const ptrdiff_t n = head->n - begin < ROWS ? head->n - begin : ROWS;
        if (!has_objects(to, head, begin, n))
            continue;
        best_of_planes(head->scores.data + begin, head->scores.column, classes, n, best, group);
        if (!(to->options->every_class ? collect_all_of_strip(to, head, classes, begin, n, best, first_row)
                                       : collect_best_of_strip(to, head, begin, n, best, group, first_row)))
            return 0;
    }
    return 1;
}

/* ---- boxes -------------------------------------------------------------------------------------------------------- */

/* Expectation of a distance whose `bins` values have these logits. */
static float expected(const float *logits, ptrdiff_t step, int32_t bins) {
    float top = -INFINITY, total = 0, sum = 0;
    for (int32_t k = 0; k < bins; k++)
        top = larger(logits[k * step], top);
    for (int32_t k = 0; k < bins; k++) {
        const float weight = expf(logits[k * step] - top);
        total += weight;
        sum += weight * (float)k;
    }
    return sum / total;
}

static inline box_t around(float x, float y, float w, float h) {
    return (box_t){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}

/* Corners from the box channels of a row and its cell; the formulas are those of the CODING_ values. */
static box_t decode_cell(const yolo_t *options, const head_t *head, ptrdiff_t row, const float *cell) {
    const float *raw = head->boxes.data + row * head->boxes.row;
    const ptrdiff_t step = head->boxes.column;
    const int32_t bins = options->bins;
    if (options->coding == CODING_DFL) {
        const float l = expected(raw, step, bins) * cell[2], t = expected(raw + bins * step, step, bins) * cell[2];
        const float r = expected(raw + 2 * bins * step, step, bins) * cell[2];
        const float b = expected(raw + 3 * bins * step, step, bins) * cell[2];
        return (box_t){cell[0] - l, cell[1] - t, cell[0] + r, cell[1] + b};
    }
    float x = raw[0], y = raw[step], w = raw[2 * step], h = raw[3 * step];
    const float scale = options->scale_xy, shift = (scale - 1) / 2;
    switch (options->coding) {
    case CODING_XYXY:
        return (box_t){x, y, w, h};
    case CODING_LTRB:
        return (box_t){cell[0] - x * cell[2], cell[1] - y * cell[2], cell[0] + w * cell[2], cell[1] + h * cell[2]};
    case CODING_GRID:
        return around(x * cell[2] + cell[0], y * cell[2] + cell[1], expf(w) * cell[2], expf(h) * cell[2]);
    case CODING_V5:
        x = sigmoid(x), y = sigmoid(y), w = sigmoid(w), h = sigmoid(h);
        /* fall through */
    case CODING_V5_REGION:
        w = 2 * w, h = 2 * h;
        return around((2 * x - 0.5f) * cell[2] + cell[0], (2 * y - 0.5f) * cell[2] + cell[1], w * w * cell[3],
                      h * h * cell[4]);
    case CODING_DARKNET:
        x = sigmoid(x), y = sigmoid(y);
        /* fall through */
    case CODING_REGION:
        return around((x * scale - shift) * cell[2] + cell[0], (y * scale - shift) * cell[2] + cell[1],
                      expf(w) * cell[3], expf(h) * cell[4]);
    default:
        return around(x, y, w, h);
    }
}

static inline int finite_box(box_t b) {
    return fabsf(b.x1) <= FLT_MAX && fabsf(b.y1) <= FLT_MAX && fabsf(b.x2) <= FLT_MAX && fabsf(b.y2) <= FLT_MAX;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The head that holds row *row of all, which becomes the row of that head. */
static const head_t *head_of(const head_t *heads, ptrdiff_t *row) {
    for (; *row >= heads->n; heads++)
        *row -= heads->n;
    return heads;
}

/* Rows of the candidates, best first, without those that better ones suppress. */
static ptrdiff_t write_best(const yolo_t *options, const head_t *heads, const float *cells, const candidate_t *items,
                            const uint64_t *keys, ptrdiff_t n, kept_t *kept, float *rows) {
    const ptrdiff_t top = limited(n, options->top_k), keep = limited(n, options->keep_top_k);
    ptrdiff_t written = 0;
    for (ptrdiff_t i = 0, seen = 0; i < n && seen < top && written < keep; i++) {
        const candidate_t *item = items + index_of(keys[i]);
        ptrdiff_t row = item->row;
        const head_t *head = head_of(heads, &row);
        const box_t box = decode_cell(options, head, row, cells + (ptrdiff_t)item->row * options->cell_columns);
        if (!finite_box(box))
            continue;
        seen++;
        if (options->suppress) {
            kept_t *group = kept + (options->agnostic ? 0 : item->label);
            if (kept_overlaps(group, box, options->iou_threshold))
                continue;
            kept_add(group, box);
        }
        float *to = rows + 7 * written++;
        to[0] = (float)item->label, to[1] = item->score;
        to[2] = box.x1, to[3] = box.y1, to[4] = box.x2, to[5] = box.y2;
        to[6] = (float)item->row;
    }
    return written;
}

static ptrdiff_t yolo(const yolo_t *options, const head_t *heads, ptrdiff_t count, const float *cells,
                      ptrdiff_t classes, float **rows) {
    const float t = options->score_threshold;
    collector_t to = {options, options->logits ? least_logit(t) : larger(t, -FLT_MAX), {NULL, 0, 0}};
    groups_t kept = {NULL, NULL};
    uint64_t *keys = NULL;
    ptrdiff_t written = -1, first_row = 0;
    *rows = NULL;
    for (ptrdiff_t k = 0; k < count; first_row += heads[k++].n)
        if (heads[k].n && !(heads[k].scores.row == 1 ? collect_planes : collect_rows)(
                              &to, heads + k, classes, first_row))
            goto done;
    const ptrdiff_t n = to.list.n;
    keys = malloc((size_t)(n + 1) * 2 * sizeof *keys);
    *rows = malloc((size_t)(limited(n, options->keep_top_k) + 1) * 7 * sizeof **rows);
    if (!keys || !*rows || (options->suppress && !groups_make(&kept, &to.list, classes, !options->agnostic)))
        goto done;
    for (ptrdiff_t i = 0; i < n; i++)
        keys[i] = key_of(to.list.items[i].score, (uint32_t)i);
    sort_keys(keys, keys + n, n);
    written = write_best(options, heads, cells, to.list.items, keys, n, kept.lists, *rows);
done:
    free(to.list.items);
    free(keys);
    groups_free(&kept);
    if (written < 0) {
        free(*rows);
        *rows = NULL;
    }
    return written;
}
