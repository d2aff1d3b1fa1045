"""Compiled models on disk: used when sound, made anew when damaged, done without where there is no disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from saccade.networks import Model
from saccade.networks.cache import CompileCache
from small_networks import classifier


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)


def blobs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.blob"))


def test_second_start_uses_the_blob(tmp_path: Path) -> None:
    first = Model(classifier(), precision="f32", cache_dir=tmp_path)
    (blob,) = blobs(tmp_path)
    written = blob.stat().st_mtime_ns
    again = Model(classifier(), precision="f32", cache_dir=tmp_path)
    assert again._compiled.get_property("LOADED_FROM_CACHE")
    assert blob.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.infer(picture())["prob"], first.infer(picture())["prob"])


def test_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path))
    Model(classifier(), precision="f32")
    assert len(blobs(tmp_path / "compiled" / "small")) == 1


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    """A retrained network under an old name must not run as the old one."""
    outputs = [
        Model(classifier(seed=seed), precision="f32", cache_dir=tmp_path).infer(picture())["prob"] for seed in (1, 2, 1)
    ]
    assert not np.array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert len(blobs(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "unsigned", "wrong seal", "seal of no text"])
def test_damaged_blobs_are_never_run(tmp_path: Path, damage: str) -> None:
    expected = Model(classifier(), precision="f32", cache_dir=tmp_path).infer(picture())["prob"]
    (blob,) = blobs(tmp_path)
    seal = blob.with_name(blob.name + ".sha256")
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    if damage == "flip":
        for at in range(300, len(content), 50):
            content[at] ^= 0x10
        blob.write_bytes(content)
    elif damage == "cut":
        blob.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        blob.write_bytes(b"")
    elif damage == "unsigned":
        seal.unlink()
    else:
        seal.write_bytes((b"0" if damage == "wrong seal" else b"\xff") * 64)
    model = Model(classifier(), precision="f32", cache_dir=tmp_path)
    assert not model._compiled.get_property("LOADED_FROM_CACHE")
    np.testing.assert_array_equal(model.infer(picture())["prob"], expected)
    assert Model(classifier(), precision="f32", cache_dir=tmp_path)._compiled.get_property("LOADED_FROM_CACHE")


def test_no_folder_no_cache(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    model = Model(classifier(), precision="f32", cache_dir=taken)
    assert model.infer(picture())["prob"].shape == (1, 10)


def test_old_blobs_make_room(tmp_path: Path) -> None:
    for size in range(8, 20):
        Model(classifier(size=size), precision="f32", cache_dir=tmp_path)
    assert len(blobs(tmp_path)) == 8
    assert len(list(tmp_path.rglob("*.sha256"))) == 8


def test_names_become_folders(tmp_path: Path) -> None:
    assert CompileCache("../../etc/x y", tmp_path).folder.parent == tmp_path
    assert CompileCache("..", tmp_path).folder.name == "model"


def test_a_model_that_does_not_compile_says_so(tmp_path: Path) -> None:
    class Broken:
        def compile_model(self, model: ov.Model, device: str, config: dict) -> ov.CompiledModel:
            raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        CompileCache("x", tmp_path).compile(Broken(), classifier(), "CPU", {})  # type: ignore[arg-type]
