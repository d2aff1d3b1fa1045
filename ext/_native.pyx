"""The compiled kernels: argument checks and the GIL on this side, all arithmetic in plain C (see kernels.h)."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_WRITABLE, PyBUF_C_CONTIGUOUS, Py_buffer
from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t
from libc.stdlib cimport free
from libc.string cimport memcpy

import os
import threading

import numpy as np

from saccade.kernels.arguments import anchor_arguments, room_for, ssd_arguments
from saccade.kernels.spec import DTYPES, LAYOUTS, PIXELS, Spec
from saccade.kernels.yolo import arrange


cdef extern from "kernels.h" nogil:
    enum: PIXELS_BGR, PIXELS_I420, PIXELS_NV12
    enum: LAYOUT_NCHW, LAYOUT_NHWC
    enum: DTYPE_FLOAT32, DTYPE_FLOAT16, DTYPE_BYTES

    ctypedef struct axis_t:
        int32_t n

    ctypedef struct plane_t:
        const uint8_t *data
        ptrdiff_t stride
        int32_t width, height

    ctypedef struct norm_t:
        float mean, scale, high, low, fill
        uint8_t bytes[256]
        uint16_t halves[256]

    ctypedef struct colour_t:
        int16_t y_zero, y_scale, bu, gu, gv, rv

    ctypedef struct plan_t:
        int32_t pixels, layout, dtype, swap_rb, divide, plain, width, height, pad, left, top
        colour_t colour
        axis_t columns, rows
        norm_t norm[3]

    ctypedef struct ssd_t:
        float variance[4]
        float score_threshold, iou_threshold
        int32_t background, top_k, keep_top_k, best_class, clip

    ctypedef struct anchors_t:
        float width, height, score_threshold, iou_threshold
        int32_t top_k, keep_top_k, weighted, points, anchor_columns

    ctypedef struct yolo_t:
        int32_t coding, bins, logits, every_class, suppress, agnostic, top_k, keep_top_k, cell_columns
        float scale_xy, score_threshold, iou_threshold

    ctypedef struct matrix_t:
        const float *data
        ptrdiff_t row, column

    ctypedef struct head_t:
        matrix_t boxes, objectness, scores
        ptrdiff_t n

    ctypedef struct region_t:
        int32_t x, y, width, height

    ctypedef struct kernels_t:
        const char *name
        void (*preprocess)(const plan_t *, const plane_t *, void *) noexcept nogil
        ptrdiff_t (*nms)(const float *, const float *, const int32_t *, ptrdiff_t, float, ptrdiff_t,
                         int64_t *) noexcept nogil
        ptrdiff_t (*ssd)(const ssd_t *, const float *, const float *, const float *, ptrdiff_t, ptrdiff_t,
                         float **) noexcept nogil
        ptrdiff_t (*anchors)(const anchors_t *, const float *, const float *, const float *, ptrdiff_t,
                             float **) noexcept nogil
        ptrdiff_t (*yolo)(const yolo_t *, const head_t *, ptrdiff_t, const float *, ptrdiff_t,
                          float **) noexcept nogil

    const kernels_t *const *saccade_variants() noexcept
    void plan_norms(plan_t *) noexcept
    size_t plan_tables_size(const plan_t *, int32_t, int32_t) noexcept
    void plan_tables_place(plan_t *, int32_t, int32_t, void *) noexcept
    void plan_tables_fill(plan_t *, int32_t, int32_t, region_t, int) noexcept


# ---- variants --------------------------------------------------------------------------------------------------------

cdef const kernels_t *_best = saccade_variants()[0]


cdef const kernels_t *_kernels(object name) except NULL:
    """The variant of that name, or the best this processor runs."""
    if name is None:
        return _best
    cdef const kernels_t *const *variants = saccade_variants()
    cdef int i = 0
    while variants[i] != NULL:
        if variants[i].name.decode() == name:
            return variants[i]
        i += 1
    raise ValueError(f"no variant {name!r} on this processor; it has {', '.join(variants_here())}")


def variants_here():
    """Names of the variants that this processor runs, best first."""
    cdef const kernels_t *const *variants = saccade_variants()
    names = []
    cdef int i = 0
    while variants[i] != NULL:
        names.append(variants[i].name.decode())
        i += 1
    return tuple(names)


def _choose(name):
    global _best
    _best = _kernels(name)


_wanted = os.environ.get("SACCADE_KERNELS", "")
if _wanted not in ("", "native", "numba"):
    _choose(_wanted)


def variant():
    """Name of the variant in use: ``avx512``, ``avx2``, ``sse42`` or ``portable``."""
    return _best.name.decode()


# ---- preprocess ------------------------------------------------------------------------------------------------------

cdef class Preprocess:
    """A plan that turns frames of one size into one network input, in one pass.

    Tables of sample positions and weights are made here, once; a call allocates nothing, and one plan may be called
    from several threads at a time.

    Parameters
    ----------
    source : (height, width) of the frames, px.
    size : (height, width) of the network input, px.
    pixels : ``bgr``: uint8 (h, w, 3). ``i420``: a tuple of uint8 Y (h, w), U and V ((h + 1) // 2, (w + 1) // 2), or
        (h, (w + 1) // 2) for 4:2:2, or one packed (h * 3 // 2, w) array. ``nv12``: Y and interleaved UV, likewise.
        Rows may lie any number of bytes apart; pixels of a row lie next to each other.
    roi : (x, y, width, height), px: the part of the frame to take; None: all of it.
    layout, dtype : of the output: ``nchw`` or ``nhwc``; ``float32``, ``float16``, ``uint8`` or ``int8``.
    mean, scale : the output is ``(pixel - mean) / scale``, computed in float32; a number, or one per output channel.
        The other dtypes round it to the nearest (even) value, integers saturate.
    mirror : as if the whole frame had been flipped left-right before the region was cut.
    swap_rb : outputs are R, G, B instead of B, G, R.
    letterbox : keep the aspect ratio: True or ``centre``: the picture lies in the middle, ``top-left``: at the upper
        left, and the border right or below; with ``-down`` behind, its size is rounded down, not to the nearest. The
        border has the pixel value `pad` (0 to 255).
    full_range : YUV only: luma runs 0-255 (JPEG) instead of 16-235 (video).
    matrix : YUV only: the colours' coefficients, ``bt601`` or ``bt709`` (most HD video).
    variant : name of the compiled variant, for tests and benchmarks; None: the best that this processor runs.

    From BGR the pixels equal those of ``cv2.resize(..., INTER_LINEAR)`` bit for bit. From YUV, luma and chroma are
    resized each at its own resolution, with chroma sited in the centre of the pixels it colours, and converted once;
    pixels lie within 1 of the exact value.

    Attributes
    ----------
    to_source : `ToSource`, continuous output coordinates to those of the source, px.
    shape : of one output, (3, height, width) or (height, width, 3).
    """

    cdef plan_t plan
    cdef plan_t crop_plan
    cdef void *tables
    cdef void *crop_tables
    cdef const kernels_t *kernels
    cdef Py_ssize_t height, width, elements
    cdef char code
    cdef readonly object spec
    cdef readonly tuple source, size, roi, shape
    cdef readonly str pixels, layout, dtype
    cdef readonly object to_source
    cdef object lock

    def __cinit__(self):
        self.tables = self.crop_tables = NULL

    def __init__(self, source, size, *, pixels="bgr", roi=None, layout="nchw", dtype="float32", mean=(0, 0, 0),
                 scale=(1, 1, 1), mirror=False, swap_rb=False, letterbox=False, pad=0, full_range=False,
                 matrix="bt601", variant=None):
        spec = Spec(source, size, pixels=pixels, roi=roi, layout=layout, dtype=dtype, mean=mean, scale=scale,
                    mirror=mirror, swap_rb=swap_rb, letterbox=letterbox, pad=pad, full_range=full_range, matrix=matrix)
        self.kernels = _kernels(variant)
        self.spec = spec
        self.source, self.size, self.roi, self.shape = spec.source, spec.size, spec.roi, spec.shape
        self.pixels, self.layout, self.dtype = PIXELS[spec.pixels], LAYOUTS[spec.layout], DTYPES[spec.dtype]
        self.to_source = spec.to_source
        self.lock = threading.Lock()
        self.height, self.width = spec.source
        self.code = (c"f", c"e", c"B", c"b")[spec.dtype]
        self.elements = 3 * spec.size[0] * spec.size[1]
        cdef plan_t *plan = &self.plan
        plan.pixels, plan.layout, plan.dtype = spec.pixels, spec.layout, min(spec.dtype, <int>DTYPE_BYTES)
        plan.swap_rb, plan.plain, plan.divide = spec.swap_rb, spec.plain, spec.divide
        plan.colour.y_zero, plan.colour.y_scale, plan.colour.bu = spec.colour[:3]
        plan.colour.gu, plan.colour.gv, plan.colour.rv = spec.colour[3:]
        plan.height, plan.width = spec.size
        plan.pad = spec.pad
        cdef const uint8_t[:, ::1] table = spec.tables.view(np.uint8)
        cdef int c
        for c in range(3):
            plan.norm[c].mean, plan.norm[c].scale = spec.mean[c], spec.scale[c]
            plan.norm[c].high, plan.norm[c].low, plan.norm[c].fill = spec.high[c], spec.low[c], spec.fill[c]
            if plan.dtype == DTYPE_BYTES:
                memcpy(plan.norm[c].bytes, &table[c, 0], 256)
            elif plan.dtype == DTYPE_FLOAT16:
                memcpy(plan.norm[c].halves, &table[c, 0], 512)
        plan_norms(plan)
        self.crop_plan = self.plan
        # Of an instance that is initialised again: of another size.
        PyMem_Free(self.tables)
        PyMem_Free(self.crop_tables)
        self.tables = self.crop_tables = NULL
        self.tables = self._tables(plan, spec.inner[2], spec.inner[3])
        self._fill(plan, spec.inner, spec.roi)

    def __dealloc__(self):
        PyMem_Free(self.tables)
        PyMem_Free(self.crop_tables)

    cdef void *_tables(self, plan_t *plan, int32_t width, int32_t height) except NULL:
        cdef void *memory = PyMem_Calloc(1, plan_tables_size(plan, width, height))
        if memory == NULL:
            raise MemoryError
        plan_tables_place(plan, width, height, memory)
        return memory

    cdef int _fill(self, plan_t *plan, tuple inner, tuple roi) except -1:
        cdef region_t region
        region.x, region.y, region.width, region.height = roi
        plan.left, plan.top = inner[0], inner[1]
        plan_tables_fill(plan, <int32_t>self.width, <int32_t>self.height, region, self.spec.mirror)
        return 0

    def __call__(self, frame, out):
        """Write the network input for `frame` to `out`, which is returned.

        out : of this plan's dtype, contiguous and writable, shape `shape` behind any number of leading ones.
        Raises ValueError where frame or out do not fit the plan; out is then untouched.
        """
        cdef Py_buffer views[3]
        cdef Py_buffer target
        cdef plane_t planes[3]
        cdef int held = 0
        self._target(out, &target, 1)
        try:
            held = self._planes(frame, views, planes)
            with nogil:
                self.kernels.preprocess(&self.plan, planes, target.buf)
        finally:
            _release(views, held)
            PyBuffer_Release(&target)
        return out

    def crops(self, frame, regions, out):
        """As many regions of one frame, each as this plan's `size`; `roi` of the plan does not count.

        regions : int (n, 4), x, y, width, height, px, inside the frame.
        out : (n, *shape), otherwise as for a call. Calls of one plan from several threads take turns.
        Raises ValueError where frame, regions or out do not fit; out is then untouched.
        """
        cdef Py_buffer views[3]
        cdef Py_buffer target
        cdef plane_t planes[3]
        # A copy: nobody writes to it between the check and the end.
        cdef const int64_t[:, :] boxes = np.array(regions, np.int64).reshape(-1, 4)
        cdef Py_ssize_t n = boxes.shape[0], i, bytes_each = self.elements
        cdef int held = 0
        cdef plan_t *plan = &self.crop_plan
        if self.code == c"f":
            bytes_each *= 4
        elif self.code == c"e":
            bytes_each *= 2
        for i in range(n):
            if (boxes[i, 0] < 0 or boxes[i, 1] < 0 or boxes[i, 2] < 1 or boxes[i, 3] < 1
                    or boxes[i, 2] > self.width - boxes[i, 0] or boxes[i, 3] > self.height - boxes[i, 1]):
                self.spec.region(tuple(boxes[i]))
        if n == 0:
            self.spec.check_out(out, 0)
            return out
        self._target(out, &target, n)
        try:
            held = self._planes(frame, views, planes)
            with self.lock:
                if self.crop_tables == NULL:
                    self.crop_tables = self._tables(plan, plan.width, plan.height)
                if self.spec.letterbox:
                    for i in range(n):
                        roi = tuple(boxes[i])
                        inner = self.spec._inner(roi)
                        plan_tables_place(plan, inner[2], inner[3], self.crop_tables)
                        self._fill(plan, inner, roi)
                        with nogil:
                            self.kernels.preprocess(plan, planes, <uint8_t *>target.buf + i * bytes_each)
                else:
                    mirror = self.spec.mirror
                    self._run_crops(boxes, mirror, planes, <uint8_t *>target.buf, bytes_each)
        finally:
            _release(views, held)
            PyBuffer_Release(&target)
        return out

    cdef int _run_crops(self, const int64_t[:, :] boxes, int mirror, const plane_t *planes, uint8_t *to,
                        Py_ssize_t bytes_each) except -1:
        cdef Py_ssize_t i
        cdef region_t region
        with nogil:
            for i in range(boxes.shape[0]):
                region.x, region.y = <int32_t>boxes[i, 0], <int32_t>boxes[i, 1]
                region.width, region.height = <int32_t>boxes[i, 2], <int32_t>boxes[i, 3]
                plan_tables_fill(&self.crop_plan, <int32_t>self.width, <int32_t>self.height, region, mirror)
                self.kernels.preprocess(&self.crop_plan, planes, to + i * bytes_each)
        return 0

    cdef int _target(self, object out, Py_buffer *view, Py_ssize_t count) except -1:
        """A view of `out`, which must hold `count` pictures. What is wrong with it is said by `Spec.check_out`."""
        cdef Py_ssize_t elements = 0
        cdef bint fits = False
        try:
            PyObject_GetBuffer(out, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
        except (TypeError, ValueError, BufferError):
            pass
        else:
            fits = (view.format != NULL and view.format[0] == self.code and view.format[1] == 0
                    and self._holds(view, count))
            if fits:
                return 0
            PyBuffer_Release(view)
        self.spec.check_out(out, count)
        # Written as a native dtype in another spelling ("=f", "<f"): the buffer is the same.
        PyObject_GetBuffer(out, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
        return 0

    cdef bint _holds(self, const Py_buffer *view, Py_ssize_t count) noexcept:
        """Is the shape ours, behind leading ones, with `count` in front where that is not 1?"""
        cdef int i, extra = view.ndim - 3, channel = 2 if self.plan.layout == LAYOUT_NHWC else 0
        cdef int row = 0 if self.plan.layout == LAYOUT_NHWC else 1
        if extra < (count != 1):
            return False
        for i in range(extra):
            if view.shape[i] != (count if i == extra - 1 else 1):
                return False
        return (view.shape[extra + channel] == 3 and view.shape[extra + row] == self.plan.height
                and view.shape[extra + row + 1] == self.plan.width)

    cdef int _planes(self, object frame, Py_buffer *views, plane_t *planes) except -1:
        """Views of the frame's planes: how many. What is wrong with them is said by `Spec.planes`."""
        cdef Py_ssize_t h = self.height, w = self.width
        cdef int count = 0, i
        if self.plan.pixels == PIXELS_BGR and type(frame) is not tuple:
            count = _view(frame, views, 3, h, w, 3)
        elif type(frame) is tuple and len(frame) == (1, 3, 2)[self.plan.pixels]:
            count = self._views(<tuple>frame, views)
        if not count:
            count = self._views(self.spec.planes(frame), views)
        if not count:  # the kernels would read from nowhere
            raise ValueError("frame has planes that fit, but does not let them be read as buffers; give plain arrays")
        for i in range(count):
            planes[i].data = <const uint8_t *>views[i].buf
            planes[i].stride = views[i].strides[0]
            planes[i].height = <int32_t>views[i].shape[0]
            planes[i].width = <int32_t>views[i].shape[1]
        return count

    cdef int _views(self, tuple parts, Py_buffer *views) noexcept:
        """Views of planes that fit the source: how many, or 0 if one does not."""
        cdef Py_ssize_t h = self.height, w = self.width, ch = (h + 1) // 2, cw = (w + 1) // 2
        cdef int held
        if self.plan.pixels == PIXELS_BGR:
            return _view(parts[0], views, 3, h, w, 3)
        if not _view(parts[0], views, 2, h, w, 1):
            return 0
        held = 1
        if self.plan.pixels == PIXELS_NV12:
            held += _view(parts[1], views + 1, 3, ch, cw, 2) or _view(parts[1], views + 1, 3, h, cw, 2)
            if held == 2:
                return 2
        else:
            held += _view(parts[1], views + 1, 2, ch, cw, 1) or _view(parts[1], views + 1, 2, h, cw, 1)
            if held == 2 and _view(parts[2], views + 2, 2, views[1].shape[0], cw, 1):
                return 3
        _release(views, held)
        return 0


cdef int _view(object array, Py_buffer *view, int ndim, Py_ssize_t h, Py_ssize_t w, Py_ssize_t c) noexcept:
    """A view of uint8 (h, w) or (h, w, c) pixels that lie next to each other; 0 if `array` is something else."""
    try:
        PyObject_GetBuffer(array, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except Exception:
        return 0
    if (view.ndim == ndim and view.itemsize == 1 and view.format != NULL and view.format[0] == c"B"
            and view.shape[0] == h and view.shape[1] == w and (view.strides[1] == c or w == 1)
            and (ndim == 2 or (view.shape[2] == c and view.strides[2] == 1))):
        return 1
    PyBuffer_Release(view)
    return 0


cdef void _release(Py_buffer *views, int held) noexcept:
    cdef int i
    for i in range(held):
        PyBuffer_Release(views + i)


# ---- decoding --------------------------------------------------------------------------------------------------------

cdef object _rows(ptrdiff_t n, float *rows, Py_ssize_t columns, object out):
    """The C result as an array: in `out`, or in a new one. Frees it."""
    cdef float[:, ::1] to
    if n < 0:
        raise MemoryError
    try:
        found = room_for(n, columns, out)
        if n:
            to = found
            memcpy(&to[0, 0], rows, <size_t>(n * columns) * sizeof(float))
        return found
    finally:
        free(rows)


cdef int _limit(object value) except -2:
    return -1 if value is None or value < 0 else <int>min(value, 2**31 - 1)


def nms(boxes, scores, iou_threshold, top_k=-1, *, labels=None, variant=None):
    """Non-maximum suppression: indices of the boxes that are kept, best first.

    boxes : float32 (n, 4), corners x1, y1, x2, y2 in any unit. scores : float32 (n,).
    iou_threshold : a box goes if its intersection with a better kept one is more than this part of their union.
    top_k : only so many of the best boxes are looked at; -1: all.
    labels : int32 (n,): only boxes of the same label suppress each other; None: all do.
    variant : name of the compiled variant, as for `Preprocess`.
    Returns int64 (m,). Of equal scores the first box is better; NaN is the worst score.
    Raises ValueError where boxes, scores and labels are not as many.
    """
    cdef const kernels_t *kernels = _kernels(variant)
    cdef const float[:, ::1] b = np.ascontiguousarray(boxes, np.float32).reshape(-1, 4)
    cdef const float[::1] s = np.ascontiguousarray(scores, np.float32).reshape(-1)
    cdef const int32_t[::1] groups
    cdef const int32_t *group = NULL
    cdef ptrdiff_t n = s.shape[0], kept
    cdef float threshold = iou_threshold
    cdef ptrdiff_t limit = _limit(top_k)
    if b.shape[0] != n:
        raise ValueError(f"boxes and scores must be as many; got {b.shape[0]} boxes and {n} scores")
    if labels is not None:
        groups = np.ascontiguousarray(labels, np.int32).reshape(-1)
        if groups.shape[0] != n:
            raise ValueError(f"labels and scores must be as many; got {groups.shape[0]} labels and {n} scores")
    result = np.empty(n, np.int64)
    if n == 0:
        return result
    if labels is not None:
        group = &groups[0]
    cdef int64_t[::1] to = result
    with nogil:
        kept = kernels.nms(&b[0, 0], &s[0], group, n, threshold, limit, &to[0])
    if kept < 0:
        raise MemoryError
    return result[:kept]


def decode_ssd(loc, conf, priors, *, variances=(0.1, 0.1, 0.2, 0.2), background=0, score_threshold, iou_threshold,
               top_k, keep_top_k, best_class=False, clip=False, out=None, variant=None):
    """Detections of an SSD network: threshold, decode, suppress per class, keep the best.

    loc : float32 (n, 4), centre-size offsets. conf : float32 (n, classes), after softmax.
    priors : float32 (n, 4), corners in [0, 1] of the picture. variances : scale the offsets.
    background : class that is no object, or None.
    score_threshold : a class of a prior counts if it scores more.
    iou_threshold : as for `nms`. top_k : of each class, before suppression; keep_top_k : of all, after. -1: all.
    best_class : a prior counts for its best class alone, if that scores at least the threshold, and top_k counts
        over all classes, as in MXNet's MultiBoxDetection (where an IoU equal to the threshold suppresses, too);
        otherwise as in OpenVINO's (and Caffe's) DetectionOutput.
    clip : boxes are cut to [0, 1] before suppression.
    out : float32 (room, 6), contiguous, written instead of a new array.
    variant : name of the compiled variant, as for `Preprocess`.
    Returns float32 (m, 6), rows ``label, score, x1, y1, x2, y2``, best first, a part of `out` where that is given.
    Raises ValueError where shapes do not fit, or `out` is too small.
    """
    cdef const kernels_t *kernels = _kernels(variant)
    arguments = ssd_arguments(loc, conf, priors, variances)
    cdef const float[:, ::1] l = arguments.loc
    cdef const float[:, ::1] c = arguments.conf
    cdef const float[:, ::1] p = arguments.priors
    cdef ptrdiff_t n = l.shape[0], classes = c.shape[1], found
    cdef ssd_t options
    cdef float *rows = NULL
    cdef int i
    for i, variance in enumerate(arguments.variances):
        options.variance[i] = variance
    options.score_threshold, options.iou_threshold = score_threshold, iou_threshold
    options.background = -1 if background is None else background
    options.top_k, options.keep_top_k = _limit(top_k), _limit(keep_top_k)
    options.best_class, options.clip = best_class, clip
    if n == 0 or classes == 0:
        return _rows(0, rows, 6, out)
    with nogil:
        found = kernels.ssd(&options, &l[0, 0], &c[0, 0], &p[0, 0], n, classes, &rows)
    return _rows(found, rows, 6, out)


def decode_anchors(boxes, scores, anchors, *, size, score_threshold, iou_threshold, top_k=-1, keep_top_k=-1,
                   weighted=False, out=None, variant=None):
    """Detections of an anchor network with key points (BlazeFace and its kin).

    boxes : float32 (n, 4 + 2k): centre x, y, width, height and k key points, relative to the anchor, in input px.
    scores : float32 (n,), logits. anchors : float32 (n, 2 or 4): centres, and sizes, in [0, 1] of the input.
    size : of the network input, px: one number, or (height, width).
    score_threshold : least score, after the sigmoid; a logit of -inf never counts. iou_threshold : as for `nms`.
    top_k, keep_top_k : before and after suppression; -1: all.
    weighted : boxes that overlap are averaged, weighted by score, instead of dropped, as MediaPipe does.
    out : float32 (room, 5 + 2k), contiguous, written instead of a new array.
    variant : name of the compiled variant, as for `Preprocess`.
    Returns float32 (m, 5 + 2k): score, x1, y1, x2, y2, key points, in [0, 1] of the input, best first, a part of `out`
    where that is given.
    Raises ValueError where shapes do not fit, size is not positive, or `out` is too small.
    """
    cdef const kernels_t *kernels = _kernels(variant)
    arguments = anchor_arguments(boxes, scores, anchors, size)
    cdef const float[:, ::1] b = arguments.boxes
    cdef const float[::1] s = arguments.logits
    cdef const float[:, ::1] a = arguments.anchors
    cdef ptrdiff_t n = s.shape[0], found
    cdef anchors_t options
    cdef float *rows = NULL
    options.width, options.height = arguments.width, arguments.height
    options.score_threshold, options.iou_threshold = score_threshold, iou_threshold
    options.top_k, options.keep_top_k = _limit(top_k), _limit(keep_top_k)
    options.weighted, options.points, options.anchor_columns = weighted, (b.shape[1] - 4) // 2, a.shape[1]
    if n == 0:
        return _rows(0, rows, b.shape[1] + 1, out)
    with nogil:
        found = kernels.anchors(&options, &b[0, 0], &s[0], &a[0, 0], n, &rows)
    return _rows(found, rows, b.shape[1] + 1, out)


cdef int _matrix(object array, matrix_t *matrix) except -1:
    """A float32 (n, m) array as C sees it; NULL where it has no elements."""
    cdef const float[:, :] view = array
    matrix.row, matrix.column = view.strides[0] // 4, view.strides[1] // 4
    matrix.data = &view[0, 0] if view.shape[0] and view.shape[1] else NULL
    return 0


cdef int _head(object head, head_t *to) except -1:
    """The views of `yolo.Head`, which the caller keeps alive."""
    boxes, objectness, scores = head
    to.n = len(boxes)
    _matrix(boxes, &to.boxes)
    _matrix(scores, &to.scores)
    to.objectness.data = NULL
    if objectness is not None:
        _matrix(objectness[:, None], &to.objectness)
    return 0


def decode_yolo(rows, *, layout, score_threshold, iou_threshold, top_k=-1, keep_top_k=-1, classes=None, scores=None,
                cells=None, channels_first=False, sigmoid=False, agnostic=False, every_class=False, scale_xy=1.0,
                out=None, variant=None):
    """Detections of a dense detector (YOLO and its kin): threshold, best class, decode, suppress, in one pass.

    rows : float32 (n, channels) or, with `channels_first`, (channels, n), behind leading ones; any strides, neither
        orientation is copied. A list of such arrays, one per level or anchor of a network, counts as their rows one
        behind the other.
    layout : what the channels of a row are: box, classes, anything (masks, key points). ``-obj`` behind the name:
        objectness between box and classes; the score is objectness times class, and each of both alone must reach the
        threshold, too. ``scores-`` in front: the classes come before the box. Boxes, with the cell's x, y, stride (and
        anchor w, h) and the logistic function s:

        ``cxcywh``     centre and size (YOLOv8, 11; ``-obj``: v5, v6, v7, YOLOX decoded; DETR)
        ``xyxy``       corners (SSD decoded, UltraFace)
        ``ltrb``       distances of the sides from (x, y), in strides (SCRFD)
        ``dfl``        the same as distributions: 4 times k logits, softmax, expectation over 0 .. k - 1 (PicoDet,
                       NanoDet; ``scores-dfl``: NanoDet-Plus); all channels are box or classes
        ``grid``       centre v * stride + (x, y), size exp(v) * stride (YuNet; ``-obj``: YOLOX raw)
        ``v5``         centre (2 s(v) - 0.5) * stride + (x, y), size (2 s(v))**2 * (w, h) (``-obj``: v5, v7 raw)
        ``darknet``    centre (s(v) * k - (k - 1) / 2) * stride + (x, y), k = `scale_xy`, size exp(v) * (w, h)
        ``v5-region``, ``region`` : the same two where s has been applied (``region-obj``: RegionYolo)

        ``v5`` and ``darknet`` have scores and objectness as logits.
    score_threshold : a class counts if it scores at least this much. NaN and infinite scores never count, and boxes
        that are not finite are dropped.
    iou_threshold : as for `nms`; None, or 1 and more: nothing is suppressed.
    top_k, keep_top_k : before (over all classes) and after suppression; -1: all.
    classes : number of class channels; None: all that are left. ``dfl`` with its scores in the rows needs it.
    scores : float32 (n, classes), or (classes, n) with `channels_first`: the scores where they are a tensor of their
        own (a list where rows are one); rows then have none. A view without a background class needs no copy.
    cells : float32 (n, 3) or (n, 5), rows ``x, y, stride[, w, h]``, px of the network's input, for all rows; see
        `grid_cells`. Not needed for ``cxcywh`` and ``xyxy``, whose boxes stay in their own unit.
    sigmoid : scores and objectness are logits.
    agnostic : boxes suppress those of other classes, too.
    every_class : each class that reaches the threshold is a detection, not only the best of its row.
    out : float32 (room, 7), contiguous, written instead of a new array.
    variant : name of the compiled variant, as for `Preprocess`.
    Returns float32 (m, 7), rows ``label, score, x1, y1, x2, y2, row``, best first, then by row and label; `row` is the
    index of the source row. A part of `out` where that is given.
    Raises ValueError where shapes and layout do not fit, n is 2**24 or more, or `out` is too small.
    """
    cdef const kernels_t *kernels = _kernels(variant)
    arranged = arrange(rows, layout=layout, classes=classes, scores=scores, cells=cells,
                       channels_first=channels_first, sigmoid=sigmoid, score_threshold=score_threshold)
    cdef const float[:, ::1] places = arranged.cells
    cdef ptrdiff_t count = len(arranged.heads), found, i, n = places.shape[0], labels = arranged.classes
    cdef yolo_t options
    cdef float *result = NULL
    cdef const float *cell = NULL
    options.coding, options.bins, options.logits = arranged.coding, arranged.bins, arranged.logits
    options.every_class, options.agnostic, options.scale_xy = every_class, agnostic, scale_xy
    options.score_threshold = score_threshold
    options.suppress = iou_threshold is not None and iou_threshold < 1
    options.iou_threshold = iou_threshold if options.suppress else 1
    options.top_k, options.keep_top_k, options.cell_columns = _limit(top_k), _limit(keep_top_k), <int>places.shape[1]
    if n == 0 or labels == 0:
        return _rows(0, result, 7, out)
    if places.shape[1]:
        cell = &places[0, 0]
    cdef head_t *heads = <head_t *>PyMem_Calloc(count, sizeof(head_t))
    if heads == NULL:
        raise MemoryError
    try:
        for i in range(count):
            _head(arranged.heads[i], heads + i)
        with nogil:
            found = kernels.yolo(&options, heads, count, cell, labels, &result)
    finally:
        PyMem_Free(heads)
    return _rows(found, result, 7, out)


# ---- objects ---------------------------------------------------------------------------------------------------------

def as_objects(rows, unit, *, first_label=0, top_k=-1):
    """Rows of a decoder as arrays of what they hold, without those whose box is empty or lies nowhere.

    rows : float32 (n, 6 or more): label, score, x1, y1, x2, y2, best first. unit : float32 (4,) px of the boxes' unit.
    first_label : added to labels. top_k : so many at most; -1: all.
    Returns boxes float32 (m, 4), px; scores float32 (m,), cut to [0, 1]; labels int32 (m,); and the numbers of their
    rows, int64 (m,), or None where these are all. A box is dropped unless x1 < x2, y1 < y2 and all are within a million
    px; so is a row whose score is NaN. Raises ValueError for arrays of another kind.
    All is done in one call, because right after an inference, when its code is in no cache, each call of NumPy's costs
    microseconds.
    """
    cdef Py_buffer table, factors
    cdef Py_buffer[4] to
    cdef Py_ssize_t i, n, m = 0, held = 0, limit = _limit(top_k), base = first_label
    cdef const char *row
    cdef const float *factor
    cdef float *box
    cdef float label, score, x1, y1, x2, y2
    cdef list found
    PyObject_GetBuffer(rows, &table, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    try:
        if not (table.ndim == 2 and table.format[0] == c"f" and table.shape[1] >= 6 and table.strides[1] == 4):
            raise ValueError(f"rows must be float32 (n, 6 or more), numbers of a row side by side; got {np.shape(rows)}")
        PyObject_GetBuffer(unit, &factors, PyBUF_STRIDED_RO | PyBUF_FORMAT)
        try:
            if not (factors.ndim == 1 and factors.format[0] == c"f" and factors.shape[0] == 4
                    and factors.strides[0] == 4):
                raise ValueError(f"unit must be float32 (4,); got {np.shape(unit)}")
            factor, n = <const float *>factors.buf, table.shape[0]
            found = [np.empty((n, 4), np.float32), np.empty(n, np.float32), np.empty(n, np.int32), np.empty(n, np.int64)]
            try:
                for array in found:
                    PyObject_GetBuffer(array, &to[held], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                    held += 1
                for i in range(n):
                    if m == limit:
                        break
                    row = <const char *>table.buf + i * table.strides[0]
                    label, score = (<const float *>row)[0], (<const float *>row)[1]
                    x1, y1 = (<const float *>row)[2] * factor[0], (<const float *>row)[3] * factor[1]
                    x2, y2 = (<const float *>row)[4] * factor[2], (<const float *>row)[5] * factor[3]
                    if not (x1 < x2 and y1 < y2 and x1 >= -1e6 and y1 >= -1e6 and x2 <= 1e6 and y2 <= 1e6
                            and score == score):
                        continue
                    box = <float *>to[0].buf + 4 * m
                    box[0], box[1], box[2], box[3] = x1, y1, x2, y2
                    (<float *>to[1].buf)[m] = min(max(score, 0), 1)
                    (<int32_t *>to[2].buf)[m] = <int32_t>(<int64_t>label + base) if -1e9 < label < 1e9 else -1
                    (<int64_t *>to[3].buf)[m] = i
                    m += 1
            finally:
                _release(to, <int>held)
        finally:
            PyBuffer_Release(&factors)
    finally:
        PyBuffer_Release(&table)
    if m == n:
        return found[0], found[1], found[2], None
    return found[0][:m], found[1][:m], found[2][:m], found[3][:m]
