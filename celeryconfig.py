"""Celery's settings, each with its reason. Celery reads the module's names when it first needs one."""

from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from settings import settings

broker_url = settings().redis_url.get_secret_value()
# Canvases need results; the rows are the truth all the same.
result_backend = settings().redis_url.get_secret_value()
override_backends = dict.fromkeys(("redis", "rediss"), "tasks.results:Results")
# What the line above is for results. There is no setting for it: `broker_transport` would replace the URL's scheme.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.broker:Transport"))

# JSON only: a pickle in the queue is code that runs.
task_serializer = result_serializer = "json"
accept_content = result_accept_content = ["json"]

# main: first messages. resume: jobs that have ended, so that what was paid for is handed on first. gpu: our own remote.
task_default_queue = "main"
# A queue without an exchange of its own would get the default one, and with it every message of main.
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in ("main", "resume", "gpu")]
task_create_missing_queues = False  # a misspelt queue is an error, not a place where messages wait for ever

# A message is acknowledged once its task has ended, and a worker's death gives it back. A task may therefore run
# twice: each begins by locking its row, which makes the second run an echo.
task_acks_late = True
task_reject_on_worker_lost = True
# Messages that a dead worker held come back after a minute. A task of the main queue that may run for longer says so in
# its job's row first, so that the message which comes back finds it taken.
# The socket's own end keeps a silent broker from hanging a caller; it must be longer than kombu's BRPOP of a second.
broker_transport_options = {
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # Who gives them back locks out the others, and may be killed amid it: by itself it stays for five minutes.
    "unacked_mutex_expire": 10,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
result_backend_transport_options = {"retry_policy": {"timeout": 2.0}}
redis_socket_timeout = 2.0
redis_socket_connect_timeout = 2.0
redis_retry_on_timeout = False  # to be silent for two seconds is enough

# The doorbell tries itself, and knows when not to: the row is due, and the watcher sends it again.
task_publish_retry = False

# One message at a time, taken only when a thread is free: a hoard in a dead worker helps nobody.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True

# Longer than any canvas; a chord's counters live as long.
result_expires = 7 * 24 * 3600
# Prompts stay in PostgreSQL.
result_extended = False
# The row says when a job has started; a second place would cost a write per run.
task_track_started = False

# Flower turns the events on when it comes, over remote control; without it they would cost three messages a task.
worker_send_task_events = False
task_send_sent_event = False
worker_enable_remote_control = True

# The broker may be away for long; the worker waits, whatever the hour of its start.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# A stopping worker gets this long to hand its messages back, in seconds.
worker_soft_shutdown_timeout = 30.0
worker_hijack_root_logger = True
worker_log_format = "%(asctime)s %(levelname)s %(message)s"
worker_task_log_format = "%(asctime)s %(levelname)s %(task_name)s[%(task_id)s] %(message)s"
timezone = "UTC"
