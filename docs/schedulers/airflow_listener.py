"""Appends a line to a file for each change of a task instance's state; `webhookd --follow` reads it.
Copy it to the plugins folder of each machine that runs tasks. WEBHOOK_EVENTS names the file.
"""
import json, logging, os, uuid
from datetime import datetime, timezone
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
FIELDS = "dag_id run_id task_id map_index try_number max_tries start_date end_date".split()

def record(ti, state, previous, error=None):
    try:
        event = {"event_id": uuid.uuid4(), "timestamp": datetime.now(timezone.utc).isoformat(),
                 "state": state, "previous_state": previous, "error": error and repr(error)[:300],
                 "ti_id": getattr(ti, "id", None), "ti_state": getattr(ti, "state", None)}
        event.update((name, getattr(ti, name, None)) for name in FIELDS)
        line = json.dumps(event, default=str) + "\n"
        # One write in append mode: lines of several processes do not mix.
        with open(os.environ["WEBHOOK_EVENTS"], "ab", buffering=0) as file:
            file.write(line.encode())
    except Exception:  # An error here must not fail the task.
        logging.getLogger(__name__).exception("webhook: the change of %s to %s is lost", ti, state)

class Listener:
    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        record(task_instance, "running", previous_state)
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        record(task_instance, "success", previous_state)
    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        record(task_instance, "failed", previous_state, error)
    @hookimpl
    def on_task_instance_skipped(self, previous_state, task_instance):
        record(task_instance, "skipped", previous_state)

class WebhookPlugin(AirflowPlugin):
    name, listeners = "webhook", [Listener()]
