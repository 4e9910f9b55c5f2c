"""Runs tasks that finish, fail and are retried, again for each line of standard input."""
import sys

import ray

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000,
         _node_ip_address="127.0.0.1", _temp_dir=sys.argv[1])


@ray.remote(max_retries=0)
def good(number):
    return number


@ray.remote(max_retries=0)
def bad():
    raise ValueError("größe")


@ray.remote(max_retries=1, retry_exceptions=True)
def retried():
    raise RuntimeError("again")


for line in sys.stdin:
    ray.get([good.remote(number) for number in range(3)])
    for task in bad, retried:
        try:
            ray.get(task.remote())
        except ray.exceptions.RayTaskError:
            pass
    print("done", line.strip(), flush=True)
