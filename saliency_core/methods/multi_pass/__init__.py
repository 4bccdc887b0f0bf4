"""Methods that run the network many times: slow, but independent of any layer's inner workings.

Each takes the passes of one image and its options, and gives a map (H, W) at the network's input. Where
something is removed from the image it becomes 0, the mean colour of the training photos after normalising.
"""
