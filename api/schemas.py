"""What the API answers with, as JSON Schemas that many operations share."""

from typing import Any

from api.flows import STATUSES as FLOW_STATUSES
from api.jobs import STATUSES

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "retryable", "success"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "success": {"const": False},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "What a program decides by."},
        "detail": {"type": "string", "description": "What happened and what to do, in a sentence."},
        "retryable": {"type": "boolean", "description": "Whether the same request can succeed later."},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Each field: pointer, code, detail."},
    },
    "examples": [{
        "type": "/docs/problems#model_not_ready", "title": "Model not ready", "instance": "/api/generate",
        "code": "model_not_ready",
        "detail": "The model is still in training: GET /api/models/<id> tells when it is ready.",
        "retryable": True, "status": 409, "success": False,
    }],
}  # fmt: skip

COSTS = {
    "queue_seconds": {"type": "number", "minimum": 0, "description": "Seconds that attempts waited for a worker."},
    "cost_usd": {"type": ["number", "null"], "description": "US dollars for the GPU seconds; null: no price is set."},
}

JOB = {
    "type": "object",
    "required": ["job_id", "status", "result"],
    "properties": {
        "job_id": {"type": "string", "format": "uuid"},
        "status": {"enum": list(STATUSES)},
        "result": {"type": ["object", "null"], "description": "What the synchronous route answers."},
        "stage": {"type": "string", "description": "Says more than the status, and is free to grow."},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "gpu_seconds": {"type": "number", "minimum": 0, "description": "Seconds on a GPU that it cost, all attempts."},
        **COSTS,
        "error": {"type": ["object", "null"], "description": "As in a problem document."},
    },
}

KEY = {"type": "http", "scheme": "bearer", "description": "A key that `packshot keys create` made."}

STEP = {
    "type": "object",
    "required": ["id", "tool", "status", "result", "jobs"],
    "properties": {
        "id": {"type": "string"},
        "tool": {"type": "string"},
        "status": {"type": "string", "description": "As a job's, or skipped."},
        "after": {"type": "array", "items": {"type": "string"}, "description": "The steps directly before it."},
        "kept": {"type": "boolean", "description": "Whether its results are those of the flow before."},
        "result": {"type": ["object", "array", "null"], "description": "A list, if it is spread over many jobs."},
        "error": {"type": ["object", "null"], "description": "As in a problem document."},
        "jobs": {"type": "array", "items": {"type": "object"}, "description": "Each with its params, as bound."},
    },
}

FLOW = {
    "type": "object",
    "required": ["flow_id", "status", "steps"],
    "properties": {
        "flow_id": {"type": "string", "format": "uuid"},
        "status": {"enum": list(FLOW_STATUSES)},
        "name": {"type": ["string", "null"]},
        "inputs": {"type": "object"},
        "steps": {"type": "array", "items": STEP, "description": "In an order in which they can run."},
        "edges": {"type": "array", "items": {"type": "array"}, "description": "Pairs of steps: before, after."},
        "gpu_seconds": {"type": "number", "minimum": 0, "description": "Seconds on a GPU that its own jobs cost."},
        **COSTS,
        "retry_of": {"type": ["string", "null"], "description": "The flow that it does once more."},
        "changes": {"type": ["object", "null"], "description": "What is different: from_step, overrides."},
    },
}

EVENT = {
    "type": "object",
    "required": ["id", "event", "at", "ended", "status"],
    "properties": {
        "id": {"type": ["integer", "null"], "description": "Grows with each event; a snapshot has that of the newest."},
        "event": {"type": "string", "description": "snapshot, accepted, started, progress, completed, ..."},
        "at": {"type": "string", "format": "date-time"},
        "ended": {"type": "boolean", "description": "Whether this is the last of all."},
        "status": {"type": "string", "description": "Of the job at that time; of a flow, as it is now."},
        "stage": {"type": "string"},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "result": {"type": ["object", "null"], "description": "With the end of a job: what the poll shows, too."},
        "error": {"type": ["object", "null"]},
        "steps": {"type": "array", "items": {"type": "object"}, "description": "Of a flow: each step, as it is now."},
        "job": {"type": ["object", "null"], "description": "Of a flow: the job to which it happened, as it was then."},
    },
}

TEMPLATE = {
    "type": "object",
    "required": ["id", "name", "prompt"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": "string"},
        "prompt": {"type": "string", "description": "With trigger_keyword where the product's word goes."},
        "image_r2_path": {"type": ["string", "null"]},
        "image_url": {"type": ["string", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
    },
}

MODEL = {
    "type": "object",
    "required": ["model_id", "model_name", "trigger_word", "status"],
    "properties": {
        "model_id": {"type": "integer", "description": "What generate takes."},
        "job_id": {"type": "string", "format": "uuid", "description": "The job that trains it."},
        "model_name": {"type": "string"},
        "trigger_word": {"type": "string", "description": "What means the product in prompts."},
        "status": {"type": "string", "description": "That of its training; completed: it can be used."},
        "model_string": {
            "type": ["string", "null"],
            "description": "The r2:// address of the LoRA, once there is one.",
        },
        "cutouts_url": {"type": ["string", "null"], "description": "A picture of what it was made from."},
        "created_at": {"type": "string", "format": "date-time"},
    },
}

SUMS: dict[str, Any] = {
    "jobs": {"type": "integer", "minimum": 0, "description": "Jobs that ended, however they did."},
    "gpu_seconds": {"type": "number", "minimum": 0},
    "queue_seconds": {"type": "number", "minimum": 0, "description": "Seconds that they waited for a worker."},
    "unpriced_gpu_seconds": {"type": "number", "minimum": 0, "description": "GPU seconds without a known price."},
    "cost_usd": {"type": "number", "minimum": 0, "description": "US dollars for the GPU seconds whose price is known."},
}

USAGE = {
    "type": "object",
    "required": ["since", "until", "key", "by", "data", "total", "cut", "prices"],
    "properties": {
        "since": {"type": "string", "format": "date"},
        "until": {"type": "string", "format": "date"},
        "key": {"type": ["string", "null"], "description": "Whose use it is: a key's prefix; null is everybody's."},
        "by": {"type": "array", "items": {"type": "string"}},
        "data": {
            "type": "array",
            "description": "A row for each group, beside its sums named as in by; of keys with key_name.",
            "items": {"type": "object", "properties": SUMS},
        },
        "total": {"type": "object", "properties": SUMS},
        "cut": {"type": "boolean", "description": "Whether there are more rows: ask for a shorter time."},
        "prices": {
            "type": "object",
            "description": "By tool: the kind of GPU that does it, and what an hour of that costs today.",
        },
    },
}

#: By the name under which operations refer to them.
NAMED: dict[str, Any] = {
    "Problem": PROBLEM, "Job": JOB, "Flow": FLOW, "Event": EVENT, "Model": MODEL, "Template": TEMPLATE, "Usage": USAGE,
}  # fmt: skip
