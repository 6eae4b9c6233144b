"""The terms of the objective that need generated pictures: L_id and L_CLIP (method.md, section 4)."""

from bolid_train.losses.pictures import PictureLosses

__all__ = ["PictureLosses"]
