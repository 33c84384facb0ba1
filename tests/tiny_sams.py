"""Segment Anything models with random weights, as small as their configurations allow, in folders as a user's are."""

from pathlib import Path

import torch

SIDE, MASK_SIDE = 128, 32  # of the square inputs; the released models have 1024 and 256
KINDS = ("sam", "sam_hq", "sam2", "sam2_video")

_PROMPT = {"hidden_size": 16, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
_DECODER = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
_VIT = {
    "hidden_size": 16,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 16,
    "window_size": 2,
    "global_attn_indexes": [1],
    "num_pos_feats": 8,
    "mlp_dim": 16,
    "initializer_range": 0.3,
}
_HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 8,
    "num_attention_heads": 1,
    "image_size": [SIDE, SIDE],
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [8, 16, 24, 32],
    "num_attention_heads_per_stage": [1, 1, 1, 1],
    "window_size_per_stage": [8, 4, 4, 2],
    "global_attention_blocks": [3],
}
_SAM2 = {
    "vision_config": {
        "backbone_config": _HIERA,
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 128,
    },
    "prompt_encoder_config": {**_PROMPT, "hidden_size": 128},
    "mask_decoder_config": {**_DECODER, "hidden_size": 128},
}
_MEMORY = {
    "image_size": SIDE,
    "num_maskmem": 3,
    "max_object_pointers_in_encoder": 4,
    "memory_attention_hidden_size": 128,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 16,
    "memory_attention_rope_feat_sizes": [8, 8],
    "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64,  # fixed in the memory attention, and less than the others
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_num_layers": 1,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 16,
}


def save_tiny_sam(kind: str, folder: Path) -> Path:
    """Write a model of a kind and its processor to a folder, as `save_pretrained` does; returns the folder."""
    import transformers as tf

    square = {"height": SIDE, "width": SIDE}
    masks = {"height": MASK_SIDE, "width": MASK_SIDE}
    vit = {"vision_config": _VIT, "prompt_encoder_config": _PROMPT, "mask_decoder_config": _DECODER}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind in ("sam", "sam_hq"):
            images = tf.SamImageProcessor(
                size={"longest_edge": SIDE},
                pad_size=square,
                mask_size={"longest_edge": MASK_SIDE},
                mask_pad_size=masks,
            )
        else:
            images = tf.Sam2ImageProcessor(size=square, mask_size=masks)
        if kind == "sam":
            model, processor = tf.SamModel(tf.SamConfig(**vit)), tf.SamProcessor(images)
        elif kind == "sam_hq":
            hq = {**vit, "mask_decoder_config": {**_DECODER, "vit_dim": 16}}
            model, processor = tf.SamHQModel(tf.SamHQConfig(**hq)), tf.SamHQProcessor(images)
        elif kind == "sam2":
            model, processor = tf.Sam2Model(tf.Sam2Config(**_SAM2)), tf.Sam2Processor(images)
        else:
            model = tf.Sam2VideoModel(tf.Sam2VideoConfig(**_SAM2, **_MEMORY))
            processor = tf.Sam2VideoProcessor(images, tf.Sam2VideoVideoProcessor(size=square))
        for name, weight in model.named_parameters():
            if "norm" not in name:  # as transformers draws them, no prompt would make a difference
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
