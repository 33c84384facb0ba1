"""Networks, losses, training loops and numerics in plain PyTorch, NumPy and OpenCV.

Nothing in this package knows Prefect, Zarr or MLflow: every stage of the method is a function on arrays.
"""
