"""The terms of the objective that need generated images: L_id and L_CLIP (method.md, section 4)."""

from bolid_train.losses.images import ImageLosses, image_features

__all__ = ["ImageLosses", "image_features"]
