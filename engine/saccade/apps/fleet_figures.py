"""What is told of the cameras of a fleet: to `--summary`, to the page, and to metrics and telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saccade.apps import figures_of
from saccade.apps.why import explain

if TYPE_CHECKING:
    from saccade.apps.admission import Admission
    from saccade.apps.running_camera import RunningCamera
    from saccade.apps.switching import RunningCameras
    from saccade.pipeline import Engine


class FleetFigures:
    """Figures of an engine, of its cameras' outputs, and of what both need of the machine; from any thread."""

    def __init__(self, engine: Engine, cameras: RunningCameras, admission: Admission) -> None:
        self._engine, self._cameras, self._admission = engine, cameras, admission

    def summary(self) -> dict[str, Any]:
        """Of all together, and of each, those that do not run included."""
        figures = self._engine.statistics().summary()
        cameras: dict[str, dict[str, Any]] = figures["cameras"]
        for name, running in self._cameras.by_name().items():
            if name in cameras:
                cameras[name] |= _of_outputs(running)
        for name, looks in self._admission.looks.items():
            if name in cameras:
                cameras[name]["looks"] = round(looks, 2)
        for name, reason in list(self._cameras.failed.items()):
            cameras.setdefault(name, {"state": "failed", "up": False, "reason": reason, "frames": 0})
        return figures | self._admission.summary()

    def live(self) -> dict[str, Any]:
        """The summary with present frame rates, the newest event of each camera, and what holds them back."""
        figures = self.summary()
        for name, camera in self._engine.statistics().cameras.items():
            if name in figures["cameras"]:  # others may have come since
                figures["cameras"][name] |= {"fps": round(camera.run.recent_fps, 2), "latest": dict(camera.run.latest)}
        figures["fps"] = round(sum(camera.get("fps", 0.0) for camera in figures["cameras"].values()), 2)
        return figures | {"why": explain(figures).summary()}

    def of_each(self) -> list[dict[str, Any]]:
        """What metrics and telemetry tell of each camera."""
        runs = []
        for name, camera in self._engine.statistics().cameras.items():
            running = self._cameras.get(name)
            outputs = _of_outputs(running) if running else {}
            now = {"camera": name, "state": camera.state, "reason": camera.reason, "outputs": outputs}
            runs.append(camera.run.live() | now)
        return runs


def _of_outputs(running: RunningCamera) -> dict[str, Any]:
    return figures_of(running.outputs) | running.results[0].statistics()
