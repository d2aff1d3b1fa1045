from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conditions import meanwhile
from lengths import length

EXAMPLES = length(40, 200, "SACCADE_EXAMPLES")
sizes = st.tuples(st.integers(1, 120), st.integers(1, 150))
targets = st.tuples(st.integers(1, 90), st.one_of(st.integers(1, 120), st.sampled_from([511, 512, 513, 700])))
sweep = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def picture(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def regions(draw, size):
    height, width = size
    w, h = draw(st.integers(1, width)), draw(st.integers(1, height))
    return draw(st.integers(0, width - w)), draw(st.integers(0, height - h)), w, h


def run(kernels, frame, size, **options):
    plan = kernels.Preprocess(
        options.pop("source", frame.shape[:2] if hasattr(frame, "shape") else None), size, **options
    )
    out = np.full(plan.shape, 77, plan.dtype)
    assert plan(frame, out) is out
    return out


def equal(variants, frame, size, **options):
    """All variants compute what the plain form does, to the bit."""
    want = oracles.preprocess(frame, size, **options)
    for kernels in variants:
        np.testing.assert_array_equal(run(kernels, frame, size, **options), want, err_msg=kernels.variant)


class TestBgr:
    @sweep
    @example(source=(1, 1), size=(1, 1), mirror=True, gap=0, seed=1)
    @example(source=(2, 2), size=(1, 1), mirror=False, gap=0, seed=1)
    @example(source=(1, 150), size=(90, 7), mirror=False, gap=3, seed=1)
    @example(source=(120, 1), size=(7, 90), mirror=True, gap=0, seed=1)
    @example(source=(60, 80), size=(30, 40), mirror=False, gap=0, seed=1)  # the 2x case that OpenCV treats apart
    @example(source=(3, 3), size=(64, 700), mirror=False, gap=0, seed=1)
    @example(source=(40, 100), size=(40, 100), mirror=True, gap=0, seed=1)  # pixels alone, at both edges
    @example(source=(119, 149), size=(30, 40), mirror=False, gap=1, seed=1)  # no row is needed twice
    @given(source=sizes, size=targets, mirror=st.booleans(), gap=st.integers(0, 5), seed=st.integers(0, 9))
    def test_pixels_equal_cv2_resize(self, variants, source, size, mirror, gap, seed):
        frame = picture(seed, source[0], source[1] + gap, 3)[:, : source[1]]
        equal(variants, frame, size, layout="nhwc", dtype="uint8", mirror=mirror)

    @sweep
    @given(data=st.data(), source=sizes, size=targets, mirror=st.booleans(), swap_rb=st.booleans())
    def test_regions_are_the_same_in_all_variants(self, variants, data, source, size, mirror, swap_rb):
        frame, roi = picture(3, *source, 3), data.draw(regions(source))
        equal(variants, frame, size, roi=roi, mirror=mirror, swap_rb=swap_rb, dtype="uint8")

    @sweep
    @given(
        layout=st.sampled_from(["nchw", "nhwc"]),
        dtype=st.sampled_from(["float32", "float16", "uint8", "int8"]),
        mean=st.one_of(
            st.sampled_from([0.0, 127.5, (123.675, 116.28, 103.53), (104, 117, 123)]),
            st.tuples(*[st.floats(-300, 300, width=32)] * 3),
        ),
        scale=st.one_of(
            st.sampled_from([1.0, 255.0, 127.5, (58.395, 57.12, 57.375), (1, 2, 3)]),
            st.tuples(*[st.floats(2**-10, 1000, width=32)] * 3),
        ),
        swap_rb=st.booleans(),
        width=st.integers(1, 70),
    )
    def test_every_kind_of_element_is_the_same_in_all_variants(
        self, variants, layout, dtype, mean, scale, swap_rb, width
    ):
        with np.errstate(over="ignore"):
            equal(
                variants, picture(4, 40, 50, 3), (9, width), layout=layout, dtype=dtype, mean=mean, scale=scale,
                swap_rb=swap_rb,
            )  # fmt: skip

    @pytest.mark.parametrize("source", [(1080, 1920), (480, 640), (270, 480), (1520, 2688)])
    @pytest.mark.parametrize("size", [(300, 300), (192, 192), (128, 128), (384, 672)])
    def test_sizes_of_cameras_are_the_same_in_all_variants(self, variants, source, size):
        equal(variants, picture(5, *source, 3), size, scale=255)

    @pytest.mark.parametrize("rows", [slice(None, None, -1), slice(None, None, 3), slice(7, 90)])
    def test_rows_may_lie_anywhere(self, variants, rows):
        equal(variants, picture(6, 100, 64, 3)[rows], (31, 33))

    def test_one_row_for_all(self, variants):
        equal(variants, np.broadcast_to(picture(6, 1, 64, 3), (50, 64, 3)), (31, 33))

    def test_a_letterbox_is_the_picture_with_its_margins(self, kernels):
        frame = picture(7, 90, 160, 3)
        plan = kernels.Preprocess((90, 160), (64, 64), letterbox=True, pad=114, mean=10, scale=2)
        got = plan(frame, np.empty((1, 3, 64, 64), np.float32))[0]
        want = np.full((3, 64, 64), (114 - 10) / 2, np.float32)
        want[:, 14:50] = oracles.preprocess(frame, (36, 64), mean=10, scale=2)
        np.testing.assert_array_equal(got, want)
        tall = run(kernels, frame.transpose(1, 0, 2).copy(), (64, 64), letterbox=True, layout="nhwc", dtype="uint8")
        want = np.zeros((64, 64, 3), np.uint8)
        want[:, 14:50] = cv2.resize(frame.transpose(1, 0, 2).copy(), (36, 64))
        np.testing.assert_array_equal(tall, want)

    @pytest.mark.parametrize("shape", [(90, 160), (160, 90), (64, 64), (1, 150), (151, 101)])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
    @pytest.mark.parametrize("layout", ["nchw", "nhwc"])
    def test_letterboxes_are_the_same_in_all_variants(self, variants, shape, dtype, layout):
        frame, size = picture(10, *shape, 3), (64, 80)
        ratio = min(size[0] / shape[0], size[1] / shape[1])
        height, width = max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio))
        options = {"mean": 100, "scale": 0.7, "dtype": dtype, "layout": layout}
        for letterbox, top, left in [
            ("top-left", 0, 0),
            ("centre", (64 - height) // 2, (80 - width) // 2),
            (True, (64 - height) // 2, (80 - width) // 2),
        ]:
            want = np.full((*size, 3), 114, np.uint8)
            want[top : top + height, left : left + width] = cv2.resize(frame, (width, height))
            want = oracles.elements(want, **options)
            for kernels in variants:
                got = run(kernels, frame, size, letterbox=letterbox, pad=114, **options)
                np.testing.assert_array_equal(got, want, err_msg=kernels.variant)

    @pytest.mark.parametrize(
        ("shape", "inner"),
        [((300, 451), (212, 320)), ((451, 300), (320, 212)), ((90, 160), (180, 320)), ((7, 3000), (1, 320))],
    )
    def test_letterboxes_rounded_down(self, kernels, shape, inner):
        """212.86 rows become 212; a side that fills the target fills it whole, and no side vanishes."""
        frame, size, (height, width) = picture(12, *shape, 3), (320, 320), inner
        for letterbox, top, left in [
            ("top-left-down", 0, 0),
            ("centre-down", (320 - height) // 2, (320 - width) // 2),
        ]:
            want = np.full((*size, 3), 7, np.uint8)
            want[top : top + height, left : left + width] = cv2.resize(frame, (width, height))
            got = run(kernels, frame, size, letterbox=letterbox, pad=7, dtype="uint8", layout="nhwc")
            np.testing.assert_array_equal(got, want)
            plan = kernels.Preprocess(shape, size, letterbox=letterbox)
            sx, sy, tx, ty = plan.to_source
            np.testing.assert_allclose([sx, sy], [shape[1] / width, shape[0] / height])
            np.testing.assert_allclose([left * sx + tx, top * sy + ty], 0, atol=1e-9)

    @pytest.mark.parametrize(("mean", "scale"), [(128, 1), (0, 1), (127.5, 0.5), ((0, 128, 255), (1, 1, 1)), (-300, 1)])
    @pytest.mark.parametrize("layout", ["nchw", "nhwc"])
    def test_int8_saturates(self, kernels, layout, mean, scale):
        """All pixel values: none wraps around, halves go to the even neighbour."""
        frame = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1).reshape(16, 16, 3)
        got = run(kernels, frame, (16, 16), dtype="int8", mean=mean, scale=scale, layout=layout)
        real = (frame.astype(np.float64) - mean) / scale
        want = np.array([max(-128, min(127, round(v))) for v in real.ravel()]).reshape(real.shape)
        np.testing.assert_array_equal(got.transpose(1, 2, 0) if layout == "nchw" else got, want)


class TestYuv:
    @pytest.mark.parametrize("matrix", ["bt601", "bt709"])
    @pytest.mark.parametrize("full_range", [False, True])
    @pytest.mark.parametrize("pixels", ["i420", "i422", "nv12", "nv16"])
    def test_within_one_of_the_exact_value(self, variants, pixels, full_range, matrix):
        @settings(sweep, max_examples=max(EXAMPLES // 2, 1))
        @example(size=(1, 1), target=(5, 5), mirror=True, part=False, seed=0)
        @example(size=(17, 33), target=(64, 600), mirror=True, part=True, seed=0)
        @example(size=(20, 100), target=(9, 14), mirror=False, part=False, seed=0)  # two outputs out of one window
        @given(
            size=st.tuples(st.integers(1, 60), st.integers(1, 100)),
            target=targets,
            mirror=st.booleans(),
            part=st.booleans(),
            seed=st.integers(0, 3),
        )
        def check(size, target, mirror, part, seed):
            (height, width), rng = size, np.random.default_rng(seed)
            chroma = (height + 1) // 2 if pixels in ("i420", "nv12") else height, (width + 1) // 2
            luma, u, v = (rng.integers(0, 256, s, dtype=np.uint8) for s in (size, chroma, chroma))
            roi = (width // 3, height // 4, width - width // 3, height - height // 4) if part else None
            planes = (luma, u, v) if pixels in ("i420", "i422") else (luma, np.ascontiguousarray(np.dstack([u, v])))
            want = oracles.preprocess_yuv(
                (luma, u, v), target, full_range=full_range, matrix=matrix, roi=roi, mirror=mirror
            ).clip(0, 255)
            for kernels in variants:
                got = run(
                    kernels, planes, target, source=size, pixels="i420" if len(planes) == 3 else "nv12", roi=roi,
                    mirror=mirror, full_range=full_range, matrix=matrix, layout="nhwc", dtype="uint8",
                )  # fmt: skip
                assert np.abs(got - want).max() < 1, kernels.variant

        check()

    @pytest.mark.parametrize("matrix", ["bt601", "bt709"])
    @pytest.mark.parametrize("full_range", [False, True])
    def test_all_luma_and_chroma(self, variants, full_range, matrix):
        """Every fifth value of each plane with every one of the others, and the extremes, as 2x2 pixels."""
        values = np.append(np.arange(0, 256, 5), [1, 254]).astype(np.uint8)
        luma, u, v = (plane.reshape(len(values), -1) for plane in np.meshgrid(values, values, values))
        planes = luma.repeat(2, 0).repeat(2, 1), u, v
        # Each target pixel is the mean of one 2x2 block, whose chroma sample lies in its centre.
        want = oracles.yuv_to_bgr(*(plane.astype(float) for plane in (luma, u, v)), full_range, matrix).clip(0, 255)
        for kernels in variants:
            got = run(
                kernels, planes, luma.shape, source=planes[0].shape, pixels="i420", full_range=full_range,
                matrix=matrix, layout="nhwc", dtype="uint8",
            )  # fmt: skip
            assert np.abs(got - want).max() < 1, kernels.variant

    def test_primaries_of_hd_video(self, kernels):
        """Red, blue and a grey as BT.709 codes them with 8 bits."""
        for (y, u, v), colour in [
            ((63, 102, 240), (0, 0, 255)),
            ((32, 240, 118), (255, 0, 0)),
            ((126, 128, 128), (128,) * 3),
        ]:
            planes = np.full((4, 4), y, np.uint8), np.full((2, 2), u, np.uint8), np.full((2, 2), v, np.uint8)
            got = run(
                kernels, planes, (1, 1), source=(4, 4), pixels="i420", matrix="bt709", layout="nhwc", dtype="uint8"
            )
            assert np.abs(got[0, 0].astype(int) - colour).max() <= 1

    def test_packed_frames_are_opencvs(self, kernels):
        frame = cv2.GaussianBlur(picture(8, 120, 160, 3), (0, 0), 4)
        packed = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
        got = run(kernels, packed, (60, 80), source=(120, 160), pixels="i420", layout="nhwc", dtype="uint8")
        want = cv2.resize(cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420), (80, 60))
        assert np.abs(got.astype(int) - want).mean() < 1
        halves = packed[120:].reshape(2, 60, 80)
        nv12 = np.concatenate([packed[:120], halves.transpose(1, 2, 0).reshape(60, 160)])
        np.testing.assert_array_equal(
            run(kernels, nv12, (60, 80), source=(120, 160), pixels="nv12", layout="nhwc", dtype="uint8"), got
        )

    def test_real_photos_stay_close_to_convert_then_resize(self, kernels, corpus_photos):
        """The mean difference that docs/performance.md states: chroma is not upsampled before it is resized."""
        for photo in corpus_photos:
            frame = cv2.resize(cv2.imread(str(photo)), (1280, 720))
            packed = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
            got = run(kernels, packed, (300, 300), source=(720, 1280), pixels="i420", layout="nhwc", dtype="uint8")
            want = cv2.resize(cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420), (300, 300))
            assert np.abs(got.astype(int) - want).mean() < 0.6


@pytest.fixture(scope="module")
def corpus_photos(corpus: Path) -> list[Path]:
    return [*sorted((corpus / "images").glob("fr_*.jpg")), corpus / "images" / "sk_astronaut.png"]


class TestCrops:
    @pytest.mark.parametrize("letterbox", [False, "centre", "top-left"])
    @pytest.mark.parametrize("mirror", [False, True])
    def test_each_is_its_own_plan(self, kernels, rng, mirror, letterbox):
        frame = picture(9, 200, 300, 3)
        boxes = np.stack([rng.integers(0, 100, 12), rng.integers(0, 90, 12), *rng.integers(1, 110, (2, 12))], 1)
        plan = kernels.Preprocess((200, 300), (24, 32), mirror=mirror, letterbox=letterbox)
        got = plan.crops(frame, boxes, np.empty((12, 3, 24, 32), np.float32))
        for box, crop in zip(boxes.tolist(), got, strict=True):
            want = run(kernels, frame, (24, 32), roi=box, mirror=mirror, letterbox=letterbox)
            np.testing.assert_array_equal(crop, want)
        assert plan.crops(frame, np.empty((0, 4)), np.empty((0, 3, 24, 32), np.float32)).shape[0] == 0

    def test_one_crop_needs_no_leading_one(self, kernels):
        frame, box = picture(1, 20, 30, 3), [(3, 4, 10, 12)]
        plan = kernels.Preprocess((20, 30), (8, 8))
        want = plan.crops(frame, box, np.empty((1, 3, 8, 8), np.float32))[0]
        np.testing.assert_array_equal(plan.crops(frame, box, np.empty((3, 8, 8), np.float32)), want)

    def test_a_region_outside_is_named(self, kernels):
        plan = kernels.Preprocess((200, 300), (8, 8))
        out = np.full((2, 3, 8, 8), 7, np.float32)
        with pytest.raises(ValueError, match=r"290\.\.310.*width 300"):
            plan.crops(picture(1, 200, 300, 3), [(0, 0, 5, 5), (290, 0, 20, 20)], out)
        assert (out == 7).all()
        with pytest.raises(ValueError, match="width 0"):
            plan.crops(picture(1, 200, 300, 3), [(0, 0, 0, 5)], out[:1])
        for far in (2**32, -(2**32), 2**62):  # in 32 bits they are 0
            with pytest.raises(ValueError, match="reaches over the source"):
                plan.crops(picture(1, 200, 300, 3), np.array([(far, 0, 5, 5)]), out[:1])

    def test_a_plan_that_is_made_anew_has_room_for_larger_crops(self, kernels):
        plan, frame, box = kernels.Preprocess((200, 300), (2, 2)), picture(1, 200, 300, 3), [(10, 20, 50, 60)]
        plan.crops(frame, box, np.empty((1, 3, 2, 2), np.float32))
        plan.__init__((200, 300), (300, 400), **({} if kernels.variant == "numba" else {"variant": kernels.variant}))
        got = plan.crops(frame, box, np.empty((1, 3, 300, 400), np.float32))
        np.testing.assert_array_equal(got[0], run(kernels, frame, (300, 400), roi=box[0]))


class TestPlan:
    @pytest.mark.parametrize("letterbox", ["none", "centre", "top-left"])
    @pytest.mark.parametrize("mirror", [False, True])
    def test_to_source_finds_a_spot(self, kernels, mirror, letterbox):
        frame = np.zeros((200, 300, 3), np.uint8)
        frame[100:110, 60:70] = 255
        plan = kernels.Preprocess(
            (200, 300),
            (96, 128),
            roi=(150, 20, 140, 160) if mirror else (20, 20, 140, 160),
            letterbox=letterbox,
            mirror=mirror,
        )
        out = plan(frame, np.empty(plan.shape, np.float32))[0]
        ys, xs = np.mgrid[:96, :128]
        x, y = (out * (xs + 0.5)).sum() / out.sum(), (out * (ys + 0.5)).sum() / out.sum()
        sx, sy, tx, ty = plan.to_source
        assert (x * sx + tx, y * sy + ty) == pytest.approx((65, 105), abs=0.5)
        assert (sx < 0) == mirror

    def test_a_norm_of_any_kind_of_number(self, kernels):
        for value in (2.0, 2, np.float32(2), np.array(2), (2, 2, 2), np.full(3, 2)):
            assert kernels.Preprocess((50, 60), (8, 8), mean=value, scale=value).spec.mean == (2.0,) * 3

    def test_names_of_any_kind_of_text(self, kernels):
        plan = kernels.Preprocess((50, 60), (8, 8), pixels=np.str_("bgr"), layout=np.str_("nhwc"), dtype=np.uint8)
        assert (plan.pixels, plan.layout, plan.dtype) == ("bgr", "nhwc", "uint8")

    def test_writes_only_its_output(self, kernels):
        guarded = np.full((3, 3, 40, 40), 5, np.float32)
        kernels.Preprocess((50, 60), (40, 40))(picture(1, 50, 60, 3), guarded[1])
        assert (guarded[0] == 5).all()
        assert (guarded[2] == 5).all()

    def test_read_only_frames_are_fine(self, kernels):
        frame = picture(2, 50, 60, 3)
        frame.flags.writeable = False
        run(kernels, frame, (8, 8))

    def test_one_plan_in_several_threads(self, kernels):
        frames = [picture(i, 200, 300, 3) for i in range(4)]
        plan = kernels.Preprocess((200, 300), (64, 64))
        wants = [plan(f, np.empty(plan.shape, np.float32)) for f in frames]
        wrong = []

        def work(frame, want):
            out = np.empty(plan.shape, np.float32)
            for _ in range(40):
                if not np.array_equal(plan(frame, out), want):
                    wrong.append(1)

        with meanwhile(*(partial(work, *pair) for pair in zip(frames, wants, strict=True))):
            pass
        assert not wrong


FRAME = np.zeros((50, 60, 3), np.uint8)
OUT = np.zeros((3, 8, 9), np.float32)


class TestErrors:
    @pytest.mark.parametrize(
        ("frame", "out", "words"),
        [
            (FRAME[:49], OUT, r"frame must have shape \(50, 60, 3\); got \(49, 60, 3\)"),
            (FRAME[..., 0], OUT, r"\(50, 60, 3\); got \(50, 60\)"),
            (FRAME.astype(np.float32), OUT, "uint8; got float32"),
            (FRAME.astype(np.int8), OUT, "uint8; got int8"),
            (np.zeros((50, 120, 3), np.uint8)[:, ::2], OUT, "3 bytes apart, their bytes together; got 6 and 1"),
            (FRAME[:, ::-1], OUT, "3 bytes apart, .*got -3 and 1"),
            (FRAME[..., ::-1], OUT, "their bytes together; got 3 and -1"),
            (FRAME.tolist(), OUT, "NumPy array; got list"),
            (None, OUT, "NumPy array; got NoneType"),
            (FRAME, OUT[:, :7], r"out must have shape \(3, 8, 9\), .*got \(3, 7, 9\)"),
            (FRAME, np.zeros((2, 3, 8, 9), np.float32), r"got \(2, 3, 8, 9\)"),
            (FRAME, np.zeros((3, 8, 9)), "out must be float32; got float64"),
            (FRAME, np.zeros((3, 8, 18), np.float32)[..., ::2], "out must be contiguous; got strides"),
            (FRAME, np.frombuffer(OUT.tobytes(), np.float32).reshape(3, 8, 9), "read-only"),
            (FRAME, [1.0], "NumPy array; got list"),
        ],
    )
    def test_arrays_that_do_not_fit(self, kernels, frame, out, words):
        plan = kernels.Preprocess((50, 60), (8, 9))
        with pytest.raises(ValueError, match=words):
            plan(frame, out)

    def test_channels_of_one_pixel_must_lie_together_too(self, kernels):
        plan = kernels.Preprocess((50, 1), (8, 9))
        with pytest.raises(ValueError, match="their bytes together; got 3 and -1"):
            plan(FRAME[:, :1, ::-1], OUT)
        plan = kernels.Preprocess((50, 2), (8, 9), pixels="nv12")
        with pytest.raises(ValueError, match="UV must lie 2 bytes apart, their bytes together; got 2 and -1"):
            plan((FRAME[:, :2, 0].copy(), np.zeros((25, 1, 2), np.uint8)[..., ::-1]), OUT)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"source": (0, 60)}, r"got \(0, 60\)"),
            ({"size": (8, 0)}, r"got \(8, 0\)"),
            ({"size": (8, 70000)}, "65535"),
            ({"roi": (0, 0, 0, 5)}, "width 0 and height 5"),
            ({"roi": (50, 0, 20, 5)}, r"50\.\.70.*width 60"),
            ({"roi": (-1, 0, 20, 5)}, r"-1\.\.19"),
            ({"pixels": "yuyv"}, "bgr, i420, nv12; got 'yuyv'"),
            ({"layout": "chw"}, "nchw, nhwc; got 'chw'"),
            ({"dtype": "float64"}, "float32, float16, uint8, int8; got 'float64'"),
            ({"mean": (1, 2)}, "3 values.*got 2"),
            ({"scale": (1, 0, 1)}, "must not be 0"),
            ({"scale": float("nan")}, "finite"),
            ({"mean": 1e300}, "finite"),
            ({"dtype": "half a float"}, "float32, float16, uint8, int8; got 'half a float'"),
            ({"scale": 1e-40}, "numbers that float32 does not reach"),
            ({"mean": 3e38, "scale": 1e-3}, "numbers that float32 does not reach"),
            ({"pad": 256}, "got 256"),
            ({"letterbox": "left"}, "none, centre, top-left, .*; got 'left'"),
            ({"matrix": "bt2020"}, "bt601, bt709; got 'bt2020'"),
        ],
    )
    def test_options_that_make_no_sense(self, kernels, options, words):
        with pytest.raises(ValueError, match=words):
            kernels.Preprocess(**{"source": (50, 60), "size": (8, 9), **options})

    @pytest.mark.parametrize(
        ("planes", "words"),
        [
            (((50, 60), (25, 30)), "i420 has 3 planes; got 2"),
            (((50, 60), (25, 30), (25, 31)), r"V must have shape \(25, 30\); got \(25, 31\)"),
            (((50, 60), (25, 30), (50, 30)), r"V must have shape \(25, 30\); got \(50, 30\)"),
            (((50, 60), (26, 30), (26, 30)), r"U must have shape \(25, 30\) or \(50, 30\); got \(26, 30\)"),
            (((48, 60), (25, 30), (25, 30)), r"Y must have shape \(50, 60\); got \(48, 60\)"),
            ((74, 60), r"\(75, 60\); got \(74, 60\)"),
        ],
    )
    def test_planes_that_do_not_fit(self, kernels, planes, words):
        plan = kernels.Preprocess((50, 60), (8, 9), pixels="i420")
        frame = (
            np.zeros(planes, np.uint8) if isinstance(planes[0], int) else tuple(np.zeros(p, np.uint8) for p in planes)
        )
        with pytest.raises(ValueError, match=words):
            plan(frame, OUT)

    def test_packed_odd_sizes_are_refused(self, kernels):
        with pytest.raises(ValueError, match="even size; the source is 51x60"):
            kernels.Preprocess((51, 60), (8, 9), pixels="nv12")(np.zeros((76, 60), np.uint8), OUT)

    def test_an_unknown_variant_is_named(self, kernels):
        with pytest.raises(ValueError, match="no variant 'mmx'"):
            kernels.module.nms(np.zeros((1, 4)), np.zeros(1), 0.5, variant="mmx")
