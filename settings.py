"""What the environment tells us, read once and checked."""

import re
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Of the whole house: an image has its rooms and no package's metadata.
VERSION = "0.1.0"

#: Characters that a secret must have, so that nobody guesses it.
SHORTEST_SECRET = 16

#: The fewest days after which an ended job may be forgotten.
SHORTEST_KEEP_DAYS = 8


def use_psycopg2(url: str | SecretStr) -> str:
    """Name the driver: a bare `postgresql://` means psycopg 3 to SQLAlchemy 2.1, and that one is not installed."""
    said = url.get_secret_value() if isinstance(url, SecretStr) else url
    scheme, found, rest = said.partition("://")
    if not found or scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
        raise ValueError("give a URL like postgresql://user:password@host:5432/name")
    return f"postgresql+psycopg2://{rest}"


def check_redis(url: SecretStr) -> SecretStr:
    """Refuse what Celery would take for the name of a module."""
    if not re.match(r"(rediss?|redis\+socket|sentinel)://.", url.get_secret_value()):
        raise ValueError("give a URL like redis://:password@host:6379/0")
    return url


def check_endpoint(url: str | None) -> str | None:
    """Refuse what is no address of an S3."""
    if url and not re.match(r"https?://[^/\s]", url):
        raise ValueError("give a URL like https://<account>.r2.cloudflarestorage.com")
    return url


def check_prices(text: str) -> str:
    """Refuse what is not `gpu=dollars` by commas."""
    if text and not re.fullmatch(r"\s*[\w .-]+=\d+(\.\d+)?\s*(,\s*[\w .-]+=\d+(\.\d+)?\s*)*", text):
        raise ValueError("give gpu=dollars an hour, by commas, like L4=0.69,H100=4.18")
    return text


def check_gpus(text: str) -> str:
    """Refuse what is not `tool=gpu` by commas."""
    if text and not re.fullmatch(r"\s*\w+=[\w .-]+(,\s*\w+=[\w .-]+)*", text):
        raise ValueError("give tool=gpu, by commas, like generate=L4,video=H100")
    return text


def check_bind(text: str) -> str:
    """Refuse what is no address to listen on."""
    if text and not re.fullmatch(r"[\w.-]+:\d{1,5}", text):
        raise ValueError("give host:port, like 127.0.0.1:9464")
    return text


def pairs(text: str) -> dict[str, str]:
    """Read `name=value` by commas."""
    split = (pair.strip().split("=") for pair in text.split(",") if pair.strip())
    return {name.strip(): value.strip() for name, value in split}


def check_rate(text: str) -> str:
    """Refuse what is no rate."""
    if not re.fullmatch(r"[1-9]\d{0,8} per (second|minute|hour|day)", text):
        raise ValueError("give a rate, like 1200 per minute")
    return text


def check_pairs(text: str) -> str:
    """Refuse what is not `tool=endpoint` by commas."""
    if text and not re.fullmatch(r"\s*\w+=[\w-]+\s*(,\s*\w+=[\w-]+\s*)*", text):
        raise ValueError("give tool=endpoint, by commas, like generate=abc123,mask=def456")
    return text


class Settings(BaseSettings):
    """Every setting of the house. The environment wins; `.env.example` shows them all."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True,
        hide_input_in_errors=True,  # an address that is refused may hold a password
    )  # fmt: skip

    database_url: Annotated[SecretStr, BeforeValidator(use_psycopg2)] = Field(
        SecretStr("postgresql://packshot@127.0.0.1:5432/packshot"), description="PostgreSQL: the truth about every job."
    )
    redis_url: Annotated[SecretStr, AfterValidator(check_redis)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey: Celery's broker and results."
    )
    s3_endpoint_url: Annotated[str | None, AfterValidator(check_endpoint)] = Field(
        None, description="Any S3. For R2: https://<account>.r2.cloudflarestorage.com. Empty means Amazon's own."
    )
    s3_bucket: str = Field("packshot", description="The bucket that every r2:// address of ours names.")
    s3_region: str = Field("auto", description="R2 wants auto.")
    aws_access_key_id: SecretStr = Field(SecretStr("packshot"), description="The key of the bucket.")
    aws_secret_access_key: SecretStr = Field(SecretStr("packshot"), description="And its secret.")
    s3_patience_s: float = Field(
        120, ge=0, le=3600, description="Seconds for which a handler tries to store what it has made."
    )

    engine: Literal["preview", "gpu"] = Field("preview", description="What does the tools: the CPU preview, or a GPU.")
    runpod_api_key: SecretStr = Field(SecretStr(""), description="The key of your RunPod account.")
    runpod_endpoints: Annotated[str, AfterValidator(check_pairs)] = Field(
        "",
        description="Tools that RunPod does, as generate=<endpoint id>,mask=<endpoint id>; others stay on our queue.",
    )
    runpod_base_url: str = Field("https://api.runpod.ai/v2", description="Where RunPod's endpoints are reached.")
    runpod_rest_url: str = Field(
        "https://rest.runpod.io/v1", description="Where RunPod's endpoints are configured: `packshot endpoints` does."
    )
    gpu_types: Annotated[str, AfterValidator(check_gpus)] = Field(
        "", description="The kind of GPU that does a tool, as generate=L4,video=H100: by that it is priced."
    )
    gpu_prices: Annotated[str, AfterValidator(check_prices)] = Field(
        "", description="US dollars an hour for each kind, as L4=<price>,H100=<price>; without it a cost is null."
    )
    public_url: str = Field(
        "", description="Where RunPod reaches this API, to tell of ended jobs; empty means that it is only asked."
    )
    hook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs the addresses that RunPod tells: any 16 characters or more, the same everywhere.",
    )
    webhook_hosts: str = Field(
        "",
        description="Hosts, by commas, or host:port, to which webhooks may go though they are private or plain http.",
    )
    flower_url: str = Field(
        "", description="Where people open Flower: each job then links to its task there. Empty links to none."
    )
    packshot_tools: str = Field("", description="Tools that this API serves, by commas; empty means all.")
    comfyui_url: str = Field("http://127.0.0.1:8188", description="ComfyUI, which does the work of ENGINE=gpu.")
    comfyui_command: str = Field("", description="Starts ComfyUI with the handler; empty if it runs by itself.")
    generate_profile: str = Field(
        "", description="Models for generate: `packshot models` lists them; empty is the first. Training follows it."
    )
    inpaint_profile: str = Field("", description="Models for inpaint.")
    video_profile: str = Field("", description="Models for video.")
    models_dir: str = Field("models", description="Folder of model files: training finds its base in its diffusers/.")
    lora_cache_bytes: int = Field(20 * 2**30, ge=0, description="Disk that LoRAs may take, in bytes.")

    auth: Literal["off", "keys"] = Field(
        "off", description="Whether the API wants a key: off serves this machine alone, keys all who have one."
    )
    rate_limit: Annotated[str, AfterValidator(check_rate)] = Field(
        "1200 per minute", description="How often one key, or one address without a key, may ask."
    )
    proxy_hops: int = Field(
        0, ge=0, le=10, description="Proxies of yours before the API, whose X-Forwarded- headers are believed."
    )
    trusted_hosts: str = Field(
        "",
        description="Names under which the API is asked, by commas; if empty, any with keys, or this machine's.",
    )
    cors_origins: str = Field(
        "", description="Pages of other origins that may ask from a browser, as https://shop.example, by commas."
    )
    sync_wait_s: float = Field(300, ge=0, le=3600, description="Seconds a synchronous call waits before it gets a 202.")
    max_upload_bytes: int = Field(512 * 2**20, ge=2**20, description="The largest upload, in bytes.")
    keep_events_days: int = Field(30, ge=1, description="Days that the events of jobs are kept.")
    keep_jobs_days: int = Field(
        0, ge=0, description="Days that ended jobs are kept, from 8; 0 keeps them. A job gone, its file has no route."
    )
    metrics_bind: Annotated[str, AfterValidator(check_bind)] = Field(
        "", description="Where this process tells Prometheus its metrics, as 127.0.0.1:9464; empty tells nobody."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")

    log_format: Literal["text", "json"] = Field("text", description="Lines for people, or for programs.")
    flower_control: Literal["off", "on"] = Field(
        "off", description="Whether Flower may stop workers, change them, and send tasks; off lets it look on."
    )

    packshot_data_dir: str = Field(".local", description="Where the embedded servers keep their data.")
    api_port: int = Field(0, ge=0, le=65535, description="Port of the embedded API; 0 picks 5000, or a free one.")
    flower_port: int = Field(0, ge=0, le=65535, description="Port of the embedded Flower; 0 picks 5555, or a free one.")

    @property
    def endpoints(self) -> dict[str, str]:
        """The RunPod endpoint of each tool that has one."""
        return pairs(self.runpod_endpoints)

    @property
    def gpus(self) -> dict[str, str]:
        """The kind of GPU that does each tool."""
        return pairs(self.gpu_types)

    @property
    def prices(self) -> dict[str, float]:
        """What an hour of each kind of GPU costs, in US dollars."""
        return {gpu: float(price) for gpu, price in pairs(self.gpu_prices).items()}

    @property
    def second_price(self) -> float:
        """What a GPU second costs at most, in US dollars: that of the dearest kind; 0 without prices."""
        return max(self.prices.values(), default=0.0) / 3600

    @property
    def open_hosts(self) -> frozenset[str]:
        """The hosts to which webhooks may go wherever they are."""
        return frozenset(host.strip().lower() for host in self.webhook_hosts.split(",") if host.strip())

    @field_validator("keep_jobs_days")
    @classmethod
    def check_keep(cls, days: int) -> int:
        """Refuse to forget a job while its canvas may still go on, which it may for a week."""
        if 0 < days < SHORTEST_KEEP_DAYS:
            raise ValueError(f"give {SHORTEST_KEEP_DAYS} or more, or 0 to keep them")
        return days

    @model_validator(mode="after")
    def check_runpod(self) -> Self:
        """Refuse half of what RunPod needs."""
        if self.runpod_endpoints and not self.runpod_api_key.get_secret_value():
            raise ValueError("RUNPOD_ENDPOINTS needs RUNPOD_API_KEY: make a key in RunPod's console")
        if self.runpod_endpoints and self.public_url and len(self.hook_secret.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError("PUBLIC_URL needs a HOOK_SECRET of 16 characters or more: openssl rand -hex 32 makes one")
        return self


@cache
def settings() -> Settings:
    """Read the environment once per process."""
    return Settings()
