"""motion-adapt: moving-object segmentation that teaches itself on your own unlabelled videos."""
