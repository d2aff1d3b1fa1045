"""From captured frames to results: whose turn it is, what is in flight, what became of it.

`Pipeline` is one camera, driven by its caller's thread; `Engine` is any number of them, driven by workers to whom a
`Scheduler` hands out tickets. Both lead a frame the same way, which is a `Lane`.
"""

from saccade.pipeline.app import App, Branch, Output
from saccade.pipeline.camera import Camera
from saccade.pipeline.engine import Engine
from saccade.pipeline.figures import PipelineStatistics
from saccade.pipeline.single import Pipeline, stream

__all__ = ["App", "Branch", "Camera", "Engine", "Output", "Pipeline", "PipelineStatistics", "stream"]
