"""Train a LoRA of a product from its photos."""

from pydantic import Field

from tools.contract import Limits, Params, Result, Settings, Tool
from tools.dataset import Dataset
from tools.errors import HandlerFailed
from tools.kinds import Lora, TriggerWord
from tools.texts import WORD, Text


class Training(Settings):
    """How the model is trained; GET /api/training-config answers these defaults."""

    steps: int = Field(1000, ge=1, le=10000, description="Optimizer steps.")
    lr: float = Field(1e-4, gt=0, le=1, description="Learning rate.")
    lora_rank: int = Field(16, ge=1, le=128, description="Rank of the LoRA.")
    batch_size: int = Field(1, ge=1, le=16, description="Pictures per step.")
    resolution: int = Field(1024, ge=256, le=2048, multiple_of=32, description="Longer side in training, in pixels.")


class TrainParams(Training, Params):
    """What train is told."""

    images: Dataset = Field(
        description="The photos: a zip, as the file itself or by its r2:// address, or a list of r2:// and https://.",
        examples=["https://shop.example/handbag-photos.zip"],
    )
    model_name: Text = Field(min_length=1, max_length=200, description="What you call the model.", examples=["Handbag"])
    trigger_word: str = Field(
        pattern=WORD,
        description="The word that means the product in prompts, as TOK_HANDBAG.",
        examples=["TOK_HANDBAG"],
    )


class TrainResult(Result):
    """What train answers, and GET /api/training-status too."""

    model_id: Lora
    job_id: str
    model_name: str
    trigger_word: TriggerWord
    status: str
    model_string: str | None


class TrainingDiverged(HandlerFailed):
    """The loss of the training is no number any more: lower the learning rate (lr), and train again."""

    code = "training_diverged"
    retryable = False


class LoraUnsound(HandlerFailed):
    """What was learnt is no LoRA of the base model: train it again, with more steps or another learning rate."""

    code = "lora_unsound"
    retryable = False


TRAIN = Tool(
    "train", "Train a LoRA of a product from its photos.", TrainParams, TrainResult,
    prefix="models/", suffix=".safetensors", limits=Limits(timeout_s=7200),
)  # fmt: skip
