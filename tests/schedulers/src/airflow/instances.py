"""Prints the state of a DAG run, and each try of its task instances, from Airflow's database."""
import json, sqlite3, sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=20)
state = database.execute("SELECT state FROM dag_run WHERE run_id = ?", sys.argv[2:]).fetchone()
columns = "SELECT task_id, map_index, try_number, state FROM"
tries = [database.execute(f"{columns} {table} WHERE run_id = ?", sys.argv[2:]).fetchall()
         for table in ("task_instance", "task_instance_history")]
print(json.dumps({"state": state and state[0], "tries": sorted(tries[0] + tries[1])}))
