"""What answers over the network, and a run as a whole.

`server` is the one HTTP base: starlette's routes behind uvicorn's protocol, an event loop in a thread of its own, with
limits (`limits`, `connection`) and a door (`guard`) that every server of saccade shares. The live page (`page`), models
behind HTTP (`serve`) and, in the rooms above, the local cloud are routes on it.
"""
