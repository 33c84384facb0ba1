"""File formats: images, indexed masks, .flo flow and COCO run lengths."""
