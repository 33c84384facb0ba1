"""Networks, losses, training loops and numerics in plain PyTorch, NumPy and OpenCV.

This package does not depend on Prefect, Zarr or MLflow. Every stage of the method is a function on arrays.
"""
