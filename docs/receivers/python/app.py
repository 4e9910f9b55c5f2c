"""A receiver of webhooks: verifies each request, stores its events, and answers.

    pip install flask
    python app.py SECRET_FILE DATABASE

SECRET_FILE holds one `whsec_...` or more, DATABASE is a file of SQLite. PORT is the port to listen on.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time

from flask import Flask, request
from werkzeug.serving import make_server

# A request of webhookd has at most 4 MiB of events, and some 400 bytes around each.
MAX_BODY_BYTES = 8 << 20


def key_of(secret):
    """The key of a `whsec_...`."""
    if not secret.startswith("whsec_"):
        raise ValueError("a secret begins with whsec_")
    key = base64.b64decode(secret[len("whsec_"):], validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError("the key of a secret has 24 to 64 bytes")
    return key


def verify(keys, headers, body, now=None, tolerance=300):
    """Raises ValueError unless one of the keys signed these bytes within the last five minutes."""
    id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not id or not (timestamp.isascii() and timestamp.isdigit()):
        raise ValueError("webhook-id or webhook-timestamp is missing or malformed")
    now = int(time.time()) if now is None else now
    if abs(now - int(timestamp)) > tolerance:
        raise ValueError(f"signed at {timestamp}, but it is {now} now")
    signed = f"{id}.{timestamp}.".encode() + body
    signatures = headers.get("webhook-signature", "").encode().split()
    for key in keys:
        mac = hmac.new(key, signed, hashlib.sha256).digest()
        expected = b"v1," + base64.b64encode(mac)
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return
    raise ValueError("no signature matches")


def events(headers, body):
    """The events of a request, in their order: pairs of id and text. Raises ValueError."""
    content_type = headers.get("content-type", "").split(";")[0].strip().lower()
    text = body.decode()
    if content_type == "application/cloudevents-batch+json":
        elements = json.loads(text)
        # By CloudEvents, source and id together are unique.
        return [(f"{it['source']} {it['id']}", json.dumps(it)) for it in elements]
    ids = headers.get("webhook-event-ids")
    if not ids:
        # The body is one event, also if it is an array.
        return [(headers["webhook-id"], text)]
    if content_type == "application/x-ndjson":
        texts = [line for line in text.split("\n") if line.strip()]
    else:
        elements = json.loads(text)
        if not isinstance(elements, list):
            raise ValueError("the body is no array")
        texts = [json.dumps(element) for element in elements]
    ids = [id.strip() for id in ids.split(",")]
    if len(ids) != len(texts):
        raise ValueError(f"{len(texts)} events, but {len(ids)} ids")
    return list(zip(ids, texts))


def store(path, events):
    """Stores the events, all or none, and skips those that are stored already. Returns once they are on disk."""
    database = sqlite3.connect(path, timeout=10)
    try:
        with database:  # commits, or rolls back
            database.executemany(
                "INSERT INTO events (id, body) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", events
            )
    finally:
        database.close()


def make_app(keys, path):
    database = sqlite3.connect(path)
    with database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS events ("
            "number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)"
        )
    database.close()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # a longer body gets 413

    @app.post("/")
    def receive():
        body = request.get_data()
        try:
            verify(keys, request.headers, body)
        except ValueError as error:
            return f"{error}\n", 401
        try:
            found = events(request.headers, body)
        except (ValueError, KeyError, TypeError) as error:
            return f"the body cannot be read: {error!r}\n", 400
        try:
            store(path, found)
        except sqlite3.Error as error:
            return f"cannot store: {error}\n", 503
        return "", 204  # only now: webhookd removes them from its queue

    return app


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        keys = [key_of(secret) for secret in file.read().split()]
    port = int(os.environ.get("PORT", "0"))
    server = make_server("127.0.0.1", port, make_app(keys, sys.argv[2]), threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}/", file=sys.stderr, flush=True)
    server.serve_forever()
