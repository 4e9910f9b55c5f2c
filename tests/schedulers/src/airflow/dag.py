"""A DAG whose task instances succeed, fail, are retried, are skipped, and never start."""
from datetime import datetime, timedelta

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

with DAG("demo", start_date=datetime(2026, 1, 1), schedule=None, catchup=False):
    @task
    def numbers():
        return [1, 2, 3]

    @task
    def mapped(number):
        return number

    @task(retries=1, retry_delay=timedelta(0))
    def retried():
        if get_current_context()["ti"].try_number == 1:
            raise ValueError("größe")

    @task
    def failing():
        raise ValueError('"quoted"\n')

    @task
    def never():
        pass

    @task
    def skipped():
        raise AirflowSkipException

    mapped.expand(number=numbers())
    retried()
    failing() >> never()
    skipped()
