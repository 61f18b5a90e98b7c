"""What can be asked of jobs, whichever tool they call, and of the house, as a table of operations."""

from collections.abc import Iterator

from api.jobs import STATUSES, Again
from api.operations import (
    ACCEPTED,
    BINARY,
    JOB,
    OBJECT,
    PAGES,
    SUBMIT_HEADERS,
    WAIT,
    Operation,
    Schema,
    of_events,
    schema_of,
    with_webhook,
)

USAGE: Schema = {"$ref": "#/components/schemas/Usage"}
JOBS: Schema = {
    "type": "object",
    "required": ["data", "next_cursor", "has_more"],
    "properties": {
        "data": {"type": "array", "items": JOB},
        "next_cursor": {"type": ["string", "null"], "description": "The cursor of the next page."},
        "has_more": {"type": "boolean"},
    },
}
UPLOADED: Schema = {
    "type": "object",
    "required": ["success", "r2_path"],
    "properties": {
        "success": {"const": True},
        "r2_path": {"type": "string", "description": "What image_url, reference_url and the like take."},
    },
}


def of_jobs() -> Iterator[Operation]:
    """List the operations of jobs, whichever tool they call."""
    filters: dict[str, Schema] = {
        "tool": {"type": "string", "description": "Only this tool's."},
        "status": {"enum": list(STATUSES), "description": "Only of this status."},
        **PAGES,
    }
    walk = "Walk from a job back to what it came from, and on to what came of it."
    again, both = "Run a job once more as a new one, with other params.", {"200": OBJECT, "202": ACCEPTED}
    yield from (
        Operation("get", "/api/jobs", "list_jobs", "List jobs, the newest first.", {"200": JOBS}, query=filters),
        Operation("get", "/api/jobs/{job_id}", "get_job", "Show a job, or wait for its end.", {"200": JOB}, query=WAIT),
        Operation("post", "/api/jobs/{job_id}/cancel", "cancel_job", "Cancel a job; an ended one stays.", {"200": JOB}),
        Operation(
            "post",
            "/api/jobs/{job_id}/retry",
            "retry_job",
            again,
            both,
            with_webhook(schema_of(Again)),
            headers=SUBMIT_HEADERS,
        ),
        of_events("job", "What happens to a job: live, or as a list; it begins, goes on, ends."),
        Operation("get", "/api/jobs/{job_id}/lineage", "get_lineage", walk, {"200": OBJECT}),
    )


def of_house() -> Iterator[Operation]:
    """List the operations that belong to no tool and no job."""
    spent = "Add up GPU seconds, seconds in queues, and money of the jobs that ended from one day to another."
    span: dict[str, Schema] = {
        "by": {
            "type": "string",
            "description": "Some of day, tool, flow, key, status, by commas; day, if it is left out.",
        },
        "since": {"type": "string", "format": "date", "description": "The first day, in UTC; else 30 days are told."},
        "until": {"type": "string", "format": "date", "description": "The last day, in UTC; else it is today."},
        "key": {"type": "string", "description": "A key's prefix: its jobs alone. A key without admin has its own."},
    }
    image = {"type": "object", "required": ["image"], "properties": {"image": BINARY}}
    yield from (
        Operation("post", "/api/uploads", "upload", "Bring a picture into the bucket.", {"201": UPLOADED}, form=image),
        Operation("get", "/api/usage", "get_usage", spent, {"200": USAGE}, query=span),
        Operation("get", "/api/tools", "list_tools", "List the tools and their schemas.", {"200": OBJECT}),
        Operation(
            "post",
            "/hooks/runpod/{attempt_id}/{mark}",
            "hear_runpod",
            "Told by RunPod alone: an attempt has ended.",
            {"200": {}},
        ),
        Operation("get", "/health", "get_health", "Say that the API answers.", {"200": OBJECT}),
        Operation("get", "/ready", "get_ready", "Name what is checked, and how it is.", {"200": OBJECT, "503": OBJECT}),
    )
