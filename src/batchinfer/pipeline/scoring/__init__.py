"""From a slice to published predictions: the model that is resolved, the roads, the executors'
side, the commits.
"""
