"""What becomes of results: annotated pictures, the FIFO and live page, events, crops.

An output has `accept(frame, result)`, called in frame order from the pipeline's thread, which returns at once and
retains the frame if it needs it longer, and `close()`. `leases` is the most frames it holds beyond the call at any
time: the capture needs that many slots more, or it waits for the output.
"""
