"""What the bucket knows of a model, brought into its row once."""

import logging
from typing import Any

from db import cards
from db.cards import Known
from storage.address import parse
from storage.bucket import bucket
from storage.door import recall_manifest
from tools.card import Card
from tools.errors import ToolError

logger = logging.getLogger(__name__)

LARGEST_CARD = 2**20


def learn(known: Known) -> Known:
    """Read what is not in the row yet. Where the bucket does not tell, that stays unknown, and is asked for again."""
    try:
        found = read_missing(known)
    except (ToolError, ValueError) as error:  # or the card is there, and is of another form by now
        logger.info("the card of model %s waits: %s", known.model.id, error)
        return known
    if not found:
        return known
    cards.keep(known, **found)
    return cards.find(known.model.id)


def read_missing(known: Known) -> dict[str, Any]:
    """Read from the bucket what is missing: `dataset`, `card`."""
    found: dict[str, Any] = {}
    if (at := known.dataset_at) and (manifest := recall_manifest(parse(at).key)):
        found["dataset"] = manifest.model_dump(mode="json")
    if at := known.card_at:
        card = Card.model_validate_json(bucket().read(parse(at).key, LARGEST_CARD))
        found["card"] = card.model_dump(mode="json")
    return found
