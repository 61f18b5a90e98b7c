"""The card of a trained model: what it was made of, how, and how it went. It lies beside the model as JSON."""

from pydantic import BaseModel, ConfigDict

#: What a handler calls the card, and the grid of samples, among the files beside its model.
CARD, SAMPLES = "card", "samples"


class Entry(BaseModel):
    """A value of a card."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Photo(Entry):
    """A picture that was learnt from. Sizes in pixels: its own, and those in training."""

    name: str
    caption: str
    width: int
    height: int
    trained_width: int
    trained_height: int
    sha256: str
    #: Where it came from, where the dataset says so.
    source: str | None = None


class Base(Entry):
    """What the model adds to, and under which terms that may be used."""

    name: str
    source: str
    licence: str
    commercial: bool
    #: The model that generate adds it to, where that is another of the same form.
    generates_with: str


class Parameters(Entry):
    """How it was trained."""

    steps: int
    lr: float
    lora_rank: int
    batch_size: int
    resolution: int


class Point(Entry):
    """The mean loss of the steps since the last point."""

    step: int
    loss: float


class Sample(Entry):
    """A row of the grid: the prompt, made without the model and with it, from one seed."""

    prompt: str
    seed: int


class Grid(Entry):
    """The pictures of the grid: a row per prompt, and what its columns are. `side` in pixels."""

    #: What the grid is called among the files beside the model.
    file: str = SAMPLES
    columns: tuple[str, ...] = ("without", "with")
    side: int
    rows: tuple[Sample, ...]


class Card(Entry):
    """All that is kept of a training."""

    model_name: str
    trigger_word: str
    base: Base
    images: tuple[Photo, ...]
    parameters: Parameters
    seed: int
    #: The step from which this attempt went on; 0 if it began anew.
    resumed_from: int
    loss: tuple[Point, ...]
    #: On the photos, at fixed noise: without the model, and with it.
    loss_before: float
    loss_after: float
    samples: Grid
    #: What was found true of the file before it was stored.
    modules: int
    trained_numbers: int
    #: What it ran on, such as cuda or cpu; and for how many seconds in all, those of earlier attempts too.
    device: str
    precision: str
    gpu_seconds: float
    versions: dict[str, str]
