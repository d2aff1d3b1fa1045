/* From a detection network's raw outputs to boxes: threshold first, decode only what is left, keep the best.
 *
 * Included once per variant.
 */
#include "kernels.h"
#include "simd.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- order: best score first, at equal scores the first index --------------------------------------------------- */

/* A sort key: ascending keys are descending scores, then ascending indices. NaN counts as the worst score. */
static inline uint64_t key_of(float score, uint32_t index) {
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, 4);
    bits = score != score ? 0 : bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)~bits << 32 | index;
}

static inline uint32_t index_of(uint64_t key) { return (uint32_t)key; }

/* Radix sort by the score's 32 bits; stable, so that keys made in the order of their indices end in key order.
 * `spare` has room for n. The result is in `keys`. */
static void sort_keys(uint64_t *keys, uint64_t *spare, ptrdiff_t n) {
    if (n <= 48) {
        for (ptrdiff_t i = 1; i < n; i++) {
            uint64_t key = keys[i];
            ptrdiff_t j = i;
            for (; j > 0 && keys[j - 1] > key; j--)
                keys[j] = keys[j - 1];
            keys[j] = key;
        }
        return;
    }
    enum { BITS = 8, DIGITS = 4, SIZE = 1 << BITS };
    uint32_t count[DIGITS][SIZE];
    memset(count, 0, sizeof count);
    for (ptrdiff_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++)
            count[d][(keys[i] >> (32 + BITS * d)) & (SIZE - 1)]++;
    uint64_t *from = keys, *to = spare;
    for (int d = 0; d < DIGITS; d++) {
        if (count[d][(keys[0] >> (32 + BITS * d)) & (SIZE - 1)] == n)
            continue; /* all alike */
        uint32_t start = 0;
        for (int v = 0; v < SIZE; v++) {
            uint32_t c = count[d][v];
            count[d][v] = start;
            start += c;
        }
        for (ptrdiff_t i = 0; i < n; i++)
            to[count[d][(from[i] >> (32 + BITS * d)) & (SIZE - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to, to = swap;
    }
    if (from != keys)
        memcpy(keys, from, (size_t)n * sizeof *keys);
}

/* ---- kept boxes ------------------------------------------------------------------------------------------------- */

typedef struct {
    float x1, y1, x2, y2;
} box_t;

enum { BLOCK = 16 };

/* Kept boxes by coordinate, in blocks whose unused places hold boxes that overlap nothing. */
typedef struct {
    ptrdiff_t n;
    float *x1, *y1, *x2, *y2, *area;
} kept_t;

static size_t kept_floats(ptrdiff_t room) { return 5 * ((size_t)room + BLOCK); }

static void kept_place(kept_t *kept, ptrdiff_t room, float *memory) {
    room += BLOCK;
    kept->n = 0;
    kept->x1 = memory, kept->y1 = memory + room, kept->x2 = memory + 2 * room;
    kept->y2 = memory + 3 * room, kept->area = memory + 4 * room;
}

static inline float larger(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }
static inline float area_of(box_t b) { return larger(b.x2 - b.x1, 0) * larger(b.y2 - b.y1, 0); }

static inline void kept_add(kept_t *kept, box_t box) {
    ptrdiff_t n = kept->n++;
    if (n % BLOCK == 0)
        for (ptrdiff_t i = n; i < n + BLOCK; i++) {
            kept->x1[i] = kept->y1[i] = FLT_MAX;
            kept->x2[i] = kept->y2[i] = -FLT_MAX;
            kept->area[i] = 0;
        }
    kept->x1[n] = box.x1, kept->y1[n] = box.y1, kept->x2[n] = box.x2, kept->y2[n] = box.y2;
    kept->area[n] = area_of(box);
}

/* Is the box' intersection with any kept one more than `threshold` of their union? */
static int kept_overlaps(const kept_t *kept, box_t box, float threshold) {
    const float area = area_of(box);
    for (ptrdiff_t i = 0; i < kept->n; i += BLOCK) {
        const float *x1 = kept->x1 + i, *y1 = kept->y1 + i, *x2 = kept->x2 + i, *y2 = kept->y2 + i;
        const float *areas = kept->area + i;
        int32_t hit = 0;
        for (int j = 0; j < BLOCK; j++) {
            float width = larger(smaller(x2[j], box.x2) - larger(x1[j], box.x1), 0);
            float height = larger(smaller(y2[j], box.y2) - larger(y1[j], box.y1), 0);
            float both = width * height;
            hit |= both > threshold * (area + areas[j] - both);
        }
        if (hit)
            return 1;
    }
    return 0;
}

static inline ptrdiff_t limited(ptrdiff_t n, ptrdiff_t limit) { return limit >= 0 && limit < n ? limit : n; }

static inline float sigmoid(float v) { return 1 / (1 + expf(-v)); }

/* Logits below this one score less than t: they never need an exponential. Those above may do so, too. */
static float least_logit(float t) {
    t = smaller(t, 0.999f); /* closer to 1, rounding makes far smaller logits reach it */
    return t <= 0 ? -FLT_MAX : logf(t / (1 - t)) - 1e-3f;
}

/* ---- nms -------------------------------------------------------------------------------------------------------- */

static inline box_t corners_of(const float *boxes, uint32_t index) {
    const float *b = boxes + 4 * (ptrdiff_t)index;
    return (box_t){b[0], b[1], b[2], b[3]};
}

/* As below, where only boxes of one label suppress each other: label by label, each best first. `order` are the keys
 * of n boxes, best first; `groups` has room for 2 n more. */
static ptrdiff_t nms_by_label(const float *boxes, const int32_t *labels, const uint64_t *order, ptrdiff_t n,
                              float iou_threshold, kept_t *kept, uint64_t *groups, int64_t *out) {
    ptrdiff_t written = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        groups[i] = (uint64_t)(uint32_t)labels[index_of(order[i])] << 32 | (uint32_t)i;
    sort_keys(groups, groups + n, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint32_t rank = index_of(groups[i]);
        if (i == 0 || groups[i] >> 32 != groups[i - 1] >> 32)
            kept->n = 0;
        const box_t box = corners_of(boxes, index_of(order[rank]));
        out[rank] = !kept_overlaps(kept, box, iou_threshold);
        if (out[rank])
            kept_add(kept, box);
    }
    for (ptrdiff_t rank = 0; rank < n; rank++)
        if (out[rank])
            out[written++] = index_of(order[rank]);
    return written;
}

static ptrdiff_t nms(const float *boxes, const float *scores, const int32_t *labels, ptrdiff_t n, float iou_threshold,
                     ptrdiff_t top_k, int64_t *out) {
    const ptrdiff_t room = limited(n, top_k);
    const size_t keys_size = (size_t)(2 * n + (labels ? 2 * room : 0)) * sizeof(uint64_t);
    uint64_t small[512];
    uint8_t *memory = (uint8_t *)small;
    if (n == 0)
        return 0;
    const size_t need = keys_size + kept_floats(room) * sizeof(float);
    if (need > sizeof small && !(memory = malloc(need)))
        return -1;
    uint64_t *keys = (uint64_t *)memory;
    ptrdiff_t written;
    kept_t kept;
    kept_place(&kept, room, (float *)(memory + keys_size));
    for (ptrdiff_t i = 0; i < n; i++)
        keys[i] = key_of(scores[i], (uint32_t)i);
    sort_keys(keys, keys + n, n);
    if (labels) {
        written = nms_by_label(boxes, labels, keys, room, iou_threshold, &kept, keys + 2 * n, out);
    } else {
        for (ptrdiff_t i = 0; i < room; i++) {
            const uint32_t index = index_of(keys[i]);
            const box_t box = corners_of(boxes, index);
            if (!kept_overlaps(&kept, box, iou_threshold)) {
                out[kept.n] = index;
                kept_add(&kept, box);
            }
        }
        written = kept.n;
    }
    if (memory != (uint8_t *)small)
        free(memory);
    return written;
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

typedef struct {
    float score;
    int32_t label;
    uint32_t row;
} candidate_t;

typedef struct {
    candidate_t *items;
    ptrdiff_t n, room;
} candidates_t;

static int candidates_reserve(candidates_t *list, ptrdiff_t more) {
    if (list->n + more <= list->room)
        return 1;
    ptrdiff_t room = 2 * list->room + more + 1024;
    candidate_t *items = NULL;
    if ((uint64_t)room > UINT32_MAX || !(items = realloc(list->items, (size_t)room * sizeof *items)))
        return 0; /* sort keys number them with 32 bits */
    list->items = items, list->room = room;
    return 1;
}

/* Bit j: scores[j] > threshold, for n <= 32 scores; `slack`: 7 more floats behind them may be read. */
static inline uint32_t above(const float *scores, int n, float threshold, int slack) {
    uint32_t bits = 0;
#if VECTOR_LANES >= 2
    if (slack) {
        for (int j = 0; j < n; j += 8)
            bits |= (uint32_t)_mm256_movemask_ps(
                        _mm256_cmp_ps(_mm256_loadu_ps(scores + j), _mm256_set1_ps(threshold), _CMP_GT_OQ))
                    << j;
        return n < 32 ? bits & ((1u << n) - 1) : bits;
    }
#elif VECTOR_LANES == 1
    if (slack) {
        for (int j = 0; j < n; j += 4)
            bits |= (uint32_t)_mm_movemask_ps(_mm_cmpgt_ps(_mm_loadu_ps(scores + j), _mm_set1_ps(threshold))) << j;
        return n < 32 ? bits & ((1u << n) - 1) : bits;
    }
#endif
    (void)slack;
    for (int j = 0; j < n; j++)
        bits |= (uint32_t)(scores[j] > threshold) << j;
    return bits;
}

static inline int lowest_bit(uint32_t bits) {
#if defined(__GNUC__)
    return __builtin_ctz(bits);
#else
    int i = 0;
    while (!(bits >> i & 1))
        i++;
    return i;
#endif
}

/* Lists of kept boxes, one per label, and the memory that they share. */
typedef struct {
    kept_t *lists;
    float *memory;
} groups_t;

/* Room for what may be kept of the candidates: by label, or all in one list. 0 without memory. */
static int groups_make(groups_t *groups, const candidates_t *candidates, ptrdiff_t labels, int by_label) {
    const ptrdiff_t n = by_label ? labels : 1;
    size_t *count = calloc((size_t)n + 1, sizeof *count), floats = 0;
    groups->lists = malloc(((size_t)n + 1) * sizeof *groups->lists);
    if (count && groups->lists) {
        for (ptrdiff_t i = 0; by_label && i < candidates->n; i++)
            count[candidates->items[i].label]++;
        if (!by_label)
            count[0] = (size_t)candidates->n;
        for (ptrdiff_t k = 0; k < n; k++)
            floats += count[k] ? kept_floats((ptrdiff_t)count[k]) : 0;
        float *place = groups->memory = malloc((floats + 1) * sizeof *place);
        for (ptrdiff_t k = 0; place && k < n; k++)
            if (count[k]) {
                kept_place(groups->lists + k, (ptrdiff_t)count[k], place);
                place += kept_floats((ptrdiff_t)count[k]);
            }
    }
    free(count);
    return groups->memory != NULL;
}

static void groups_free(groups_t *groups) {
    free(groups->lists);
    free(groups->memory);
}

/* ---- decode_ssd ------------------------------------------------------------------------------------------------- */

/* Every class of every prior that scores more than the threshold. */
static int collect_all(const ssd_t *options, const float *conf, ptrdiff_t n, ptrdiff_t classes, candidates_t *list) {
    const float *end = conf + n * classes;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (!candidates_reserve(list, classes))
            return 0;
        for (ptrdiff_t c = 0; c < classes; c += 32) {
            const float *scores = conf + i * classes + c;
            const int count = classes - c < 32 ? (int)(classes - c) : 32;
            uint32_t bits = above(scores, count, options->score_threshold, end - scores >= count + 7);
            if (options->background >= c && options->background < c + 32)
                bits &= ~(1u << (options->background - c));
            for (; bits; bits &= bits - 1) {
                const int j = lowest_bit(bits);
                list->items[list->n++] = (candidate_t){scores[j], (int32_t)(c + j), (uint32_t)i};
            }
        }
    }
    return 1;
}

/* The best class of every prior, where it scores at least the threshold; NaN hides no class. */
static int collect_best(const ssd_t *options, const float *conf, ptrdiff_t n, ptrdiff_t classes, candidates_t *list) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const float *scores = conf + i * classes;
        ptrdiff_t best = -1;
        for (ptrdiff_t c = 0; c < classes; c++)
            if (c != options->background && (best < 0 || scores[c] > scores[best] || scores[best] != scores[best]))
                best = c; /* NaN never stays the best */
        if (best < 0 || !(scores[best] >= options->score_threshold))
            continue;
        if (!candidates_reserve(list, 1))
            return 0;
        list->items[list->n++] = (candidate_t){scores[best], (int32_t)best, (uint32_t)i};
    }
    return 1;
}

static inline float cut(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* Centre-size coding relative to a prior box, as DetectionOutput and MultiBoxDetection have it. */
static box_t decode_box(const ssd_t *options, const float *loc, const float *prior) {
    const float *v = options->variance;
    const float width = prior[2] - prior[0], height = prior[3] - prior[1];
    const float cx = (prior[0] + prior[2]) / 2, cy = (prior[1] + prior[3]) / 2;
    const float x = v[0] * loc[0] * width + cx, y = v[1] * loc[1] * height + cy;
    const float w = expf(v[2] * loc[2]) * width, h = expf(v[3] * loc[3]) * height;
    box_t box = {x - w / 2, y - h / 2, x + w / 2, y + h / 2};
    if (options->clip)
        box = (box_t){cut(box.x1), cut(box.y1), cut(box.x2), cut(box.y2)};
    return box;
}

/* The best candidates of one group (a class, or all of them), suppressed among those with the same label: `kept` has
 * one list for the group, or one per label. */
static ptrdiff_t suppress(const ssd_t *options, const float *loc, const float *priors, const candidate_t *items,
                          uint64_t *keys, uint64_t *spare, ptrdiff_t n, float threshold, kept_t *kept,
                          int by_label, float *rows) {
    ptrdiff_t written = 0;
    if (!by_label)
        kept->n = 0;
    sort_keys(keys, spare, n);
    n = limited(n, options->top_k);
    for (ptrdiff_t i = 0; i < n; i++) {
        const candidate_t *item = items + index_of(keys[i]);
        const box_t box = decode_box(options, loc + 4 * (ptrdiff_t)item->row, priors + 4 * (ptrdiff_t)item->row);
        kept_t *group = kept + (by_label ? item->label : 0);
        if (kept_overlaps(group, box, threshold))
            continue;
        kept_add(group, box);
        float *row = rows + 6 * written++;
        row[0] = (float)item->label, row[1] = item->score;
        row[2] = box.x1, row[3] = box.y1, row[4] = box.x2, row[5] = box.y2;
    }
    return written;
}

/* Best rows first (column `score`), cut to `keep`. */
static int sort_rows(float **rows, ptrdiff_t *n, int columns, int score, ptrdiff_t keep) {
    const ptrdiff_t count = *n, left = limited(count, keep);
    uint64_t *keys = malloc((size_t)(count + 1) * 2 * sizeof *keys);
    float *sorted = malloc((size_t)(left + 1) * columns * sizeof *sorted);
    if (keys && sorted) {
        for (ptrdiff_t i = 0; i < count; i++)
            keys[i] = key_of((*rows)[i * columns + score], (uint32_t)i);
        sort_keys(keys, keys + count, count);
        for (ptrdiff_t i = 0; i < left; i++)
            memcpy(sorted + i * columns, *rows + (ptrdiff_t)index_of(keys[i]) * columns, columns * sizeof *sorted);
        free(*rows);
        free(keys);
        *rows = sorted;
        *n = left;
        return 1;
    }
    free(keys);
    free(sorted);
    return 0;
}

static ptrdiff_t ssd(const ssd_t *options, const float *loc, const float *conf, const float *priors, ptrdiff_t n,
                     ptrdiff_t classes, float **rows) {
    candidates_t list = {NULL, 0, 0};
    uint64_t *keys = NULL;
    ptrdiff_t *start = calloc((size_t)classes + 1, sizeof *start);
    groups_t kept = {NULL, NULL};
    ptrdiff_t written = -1;
    *rows = NULL;
    if (!start || !(options->best_class ? collect_best : collect_all)(options, conf, n, classes, &list))
        goto done;
    keys = malloc((size_t)(list.n + 1) * 2 * sizeof *keys);
    *rows = malloc((size_t)(list.n + 1) * 6 * sizeof **rows);
    if (!keys || !*rows || !groups_make(&kept, &list, classes, options->best_class))
        goto done;
    if (options->best_class) {
        /* MultiBoxDetection: top_k counts over all classes, and an overlap equal to the threshold suppresses. */
        for (ptrdiff_t i = 0; i < list.n; i++)
            keys[i] = key_of(list.items[i].score, (uint32_t)i);
        written = suppress(options, loc, priors, list.items, keys, keys + list.n, list.n,
                           nextafterf(options->iou_threshold, -1), kept.lists, 1, *rows);
    } else {
        for (ptrdiff_t i = 0; i < list.n; i++)
            start[list.items[i].label + 1]++;
        for (ptrdiff_t c = 0; c < classes; c++)
            start[c + 1] += start[c];
        for (ptrdiff_t i = 0; i < list.n; i++) {
            const candidate_t *item = list.items + i;
            keys[start[item->label]++] = key_of(item->score, (uint32_t)i);
        }
        written = 0;
        for (ptrdiff_t c = 0, begin = 0; c < classes; begin = start[c++])
            written += suppress(options, loc, priors, list.items, keys + begin, keys + list.n, start[c] - begin,
                                options->iou_threshold, kept.lists, 0, *rows + 6 * written);
    }
    if (!sort_rows(rows, &written, 6, 1, options->keep_top_k))
        written = -1;
done:
    free(list.items);
    free(keys);
    free(start);
    groups_free(&kept);
    if (written < 0) {
        free(*rows);
        *rows = NULL;
    }
    return written;
}

/* ---- decode_anchors --------------------------------------------------------------------------------------------- */

static inline float intersection_over_union(box_t a, box_t b) {
    float width = larger(smaller(a.x2, b.x2) - larger(a.x1, b.x1), 0);
    float height = larger(smaller(a.y2, b.y2) - larger(a.y1, b.y1), 0);
    float both = width * height, all = area_of(a) + area_of(b) - both;
    return all > 0 ? both / all : 0;
}

static inline box_t box_of(const float *row) { return (box_t){row[1], row[2], row[3], row[4]}; }

/* One candidate's row: score, corners, key points, all in [0, 1] of the network's input. */
static void decode_anchor(const anchors_t *options, const float *raw, const float *anchor, float score, float *row) {
    const float w = options->anchor_columns == 4 ? anchor[2] : 1, h = options->anchor_columns == 4 ? anchor[3] : 1;
    const float cx = raw[0] / options->width * w + anchor[0], cy = raw[1] / options->height * h + anchor[1];
    const float half_w = raw[2] / options->width * w / 2, half_h = raw[3] / options->height * h / 2;
    row[0] = score;
    row[1] = cx - half_w, row[2] = cy - half_h, row[3] = cx + half_w, row[4] = cy + half_h;
    for (int32_t k = 0; k < options->points; k++) {
        row[5 + 2 * k] = raw[4 + 2 * k] / options->width * w + anchor[0];
        row[6 + 2 * k] = raw[5 + 2 * k] / options->height * h + anchor[1];
    }
}

/* Weighted non-maximum suppression: every group of boxes that overlap its best one becomes one box, averaged by
 * score, with the best one's score. Rows are best first; in place; how many are left. `alive` has room for n. */
static ptrdiff_t average_groups(float *rows, ptrdiff_t n, int columns, float threshold, uint32_t *alive) {
    ptrdiff_t written = 0, left = n;
    for (ptrdiff_t i = 0; i < n; i++)
        alive[i] = (uint32_t)i;
    while (left > 0) {
        const float *best = rows + (ptrdiff_t)alive[0] * columns;
        const float score = best[0];
        const box_t box = box_of(best);
        float sum[5 + 2 * 64], total = 0;
        ptrdiff_t rest = 0;
        memset(sum, 0, sizeof sum);
        for (ptrdiff_t i = 0; i < left; i++) {
            const float *row = rows + (ptrdiff_t)alive[i] * columns;
            if (i > 0 && !(intersection_over_union(box_of(row), box) > threshold)) {
                alive[rest++] = alive[i];
                continue;
            }
            total += row[0];
            for (int c = 1; c < columns; c++)
                sum[c] += row[0] * row[c];
        }
        /* A group's row goes to place `written`, which is never behind the group's best: it was read already, and so
         * were all before it. */
        float *to = rows + written++ * columns;
        if (total > 0)
            for (int c = 1; c < columns; c++)
                to[c] = sum[c] / total;
        else
            memmove(to, best, columns * sizeof *to);
        to[0] = score;
        left = rest;
    }
    return written;
}

static ptrdiff_t anchors(const anchors_t *options, const float *boxes, const float *scores, const float *anchor,
                         ptrdiff_t n, float **rows) {
    const int columns = 5 + 2 * options->points;
    const float t = options->score_threshold, logit = least_logit(t);
    uint64_t *keys = malloc((size_t)(n + 1) * 2 * sizeof *keys);
    ptrdiff_t count = 0, written = -1;
    float *kept_memory = NULL;
    *rows = NULL;
    if (!keys)
        return -1;
    for (ptrdiff_t i = 0; i < n; i++)
        if (scores[i] >= logit) {
            const float score = sigmoid(scores[i]);
            if (score >= t)
                keys[count++] = key_of(score, (uint32_t)i);
        }
    sort_keys(keys, keys + n, count);
    count = limited(count, options->top_k);
    *rows = malloc((size_t)(count + 1) * columns * sizeof **rows);
    kept_memory = malloc(kept_floats(count) * sizeof *kept_memory);
    if (!*rows || !kept_memory)
        goto done;
    written = 0;
    kept_t kept;
    kept_place(&kept, count, kept_memory);
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t index = index_of(keys[i]);
        const float score = sigmoid(scores[index]);
        float *row = *rows + written * columns;
        decode_anchor(options, boxes + index * (4 + 2 * options->points), anchor + index * options->anchor_columns,
                      score, row);
        if (!options->weighted) {
            if (kept_overlaps(&kept, box_of(row), options->iou_threshold))
                continue;
            kept_add(&kept, box_of(row));
        }
        written++;
    }
    if (options->weighted)
        written = average_groups(*rows, written, columns, options->iou_threshold, (uint32_t *)kept_memory);
    written = limited(written, options->keep_top_k);
done:
    free(keys);
    free(kept_memory);
    if (written < 0) {
        free(*rows);
        *rows = NULL;
    }
    return written;
}
