"""The small SDXL: every part of the original, wired as there, only fewer and narrower."""

from dataclasses import dataclass

from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from bolid_data.weights import embedded_path

FOLDER = embedded_path("small-sdxl")
"""The trained one of the flat world, an ordinary diffusers folder."""

LIGHTNING = embedded_path("small-lightning")
"""LoRA weights that make it a 4-step model, as `sdxl_lightning_4step_lora.safetensors` does with SDXL."""

_TEXT, _TEXT_2, _POOLED, _TIME = 64, 128, 128, 32


@dataclass(frozen=True)
class Size:
    """What differs between the small SDXLs."""

    side: int  # pixels of the sides of photos
    vae_channels: tuple[int, ...]  # of each stage; every stage but the first halves the photo's sides
    unet_channels: tuple[int, int, int]
    heads: tuple[int, int, int]  # of the attention at each of the UNet's resolutions
    latent_channels: int  # more than SDXL's 4: a latent pixel holds more of a small photo than of a large one

    @property
    def latent_side(self) -> int:
        """Latent pixels of the sides of photos."""
        return int(self.side // 2 ** (len(self.vae_channels) - 1))


FLAT_SIZE = Size(64, (24, 48, 96), (64, 128, 160), (2, 4, 5), 8)
"""The flat world's. A 64×64 photo becomes a 16×16×8 latent: the VAE has one stage less than SDXL's."""

SIZE_3D = Size(128, (24, 48, 96, 96), (96, 160, 224), (3, 5, 7), 16)
"""The three-dimensional world's. A 128×128 photo becomes a 16×16×16 latent: the VAE has as many stages as SDXL's."""


def build_vae(size: Size = FLAT_SIZE) -> AutoencoderKL:
    """SDXL's VAE with more latent channels."""
    stages = len(size.vae_channels)
    return AutoencoderKL(
        block_out_channels=size.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        latent_channels=size.latent_channels,
        norm_num_groups=8,
        sample_size=size.side,
    )


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two CLIP text encoders; the second also gives the pooled embedding."""
    configs = (_text_config(tokenizer, width) for width in (_TEXT, _TEXT_2))
    encoder, encoder_2 = CLIPTextModel(next(configs)), CLIPTextModelWithProjection(next(configs))
    for model in (encoder, encoder_2):
        model.set_attn_implementation("eager")  # on CPU the fused attention's backward pass is slow
    return encoder, encoder_2


def build_unet(size: Size = FLAT_SIZE) -> UNet2DConditionModel:
    """SDXL's UNet: no attention at the highest resolution, transformer blocks below, text_time embedding."""
    return UNet2DConditionModel(
        sample_size=size.latent_side,
        in_channels=size.latent_channels,
        out_channels=size.latent_channels,
        block_out_channels=size.unet_channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=1,
        attention_head_dim=size.heads,
        cross_attention_dim=_TEXT + _TEXT_2,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_TIME,
        projection_class_embeddings_input_dim=_POOLED + 6 * _TIME,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own: ε-prediction, scaled-linear β, leading timesteps."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )


def _text_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=3,
        num_attention_heads=width // 32,
        projection_dim=_POOLED,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
