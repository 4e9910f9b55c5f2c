// A receiver of webhooks: verifies each request, stores its events, and answers.
//
//     npm install express
//     node app.js SECRET_FILE STORE
//
// SECRET_FILE holds one `whsec_...` or more, STORE gets a line of JSON for each event. Put your database,
// with a unique key on the id, in the place of Store. PORT is the port to listen on.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");

// A request of webhookd has at most 4 MiB of events, and some 400 bytes around each.
const MAX_BODY = "8mb";

/** The key of a `whsec_...`. */
function keyOf(secret) {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  if (!encoded || encoded.length % 4) throw new Error("a secret is whsec_ and base64");
  const key = Buffer.from(encoded, "base64");
  if (key.length < 24 || key.length > 64) throw new Error("the key of a secret has 24 to 64 bytes");
  return key;
}

/** Throws unless one of the keys signed these bytes within the last five minutes. */
function verify(keys, headers, body, now = Math.floor(Date.now() / 1000), tolerance = 300) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!id || !/^[0-9]+$/.test(timestamp)) {
    throw new Error("webhook-id or webhook-timestamp is missing or malformed");
  }
  if (Math.abs(now - Number(timestamp)) > tolerance) {
    throw new Error(`signed at ${timestamp}, but it is ${now} now`);
  }
  const signatures = (headers["webhook-signature"] ?? "").split(" ").map((it) => Buffer.from(it));
  for (const key of keys) {
    const mac = crypto.createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
    const expected = Buffer.from("v1," + mac.digest("base64"));
    const matches = (it) => it.length === expected.length && crypto.timingSafeEqual(it, expected);
    if (signatures.some(matches)) return;
  }
  throw new Error("no signature matches");
}

/** The events of a request, in their order: their ids and texts. Throws if the body cannot be read. */
function events(headers, body) {
  const contentType = (headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
  const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  if (contentType === "application/cloudevents-batch+json") {
    // By CloudEvents, source and id together are unique.
    return JSON.parse(text).map((it) => ({ id: `${it.source} ${it.id}`, body: JSON.stringify(it) }));
  }
  const listed = headers["webhook-event-ids"];
  // Without a list, the body is one event, also if it is an array.
  if (!listed) return [{ id: headers["webhook-id"], body: text }];
  const texts =
    contentType === "application/x-ndjson"
      ? text.split("\n").filter((line) => line.trim())
      : JSON.parse(text).map((element) => JSON.stringify(element));
  const ids = listed.split(",").map((id) => id.trim());
  if (ids.length !== texts.length) throw new Error(`${texts.length} events, but ${ids.length} ids`);
  return texts.map((body, index) => ({ id: ids[index], body }));
}

/** A file with a line for each event. */
class Store {
  /** Opens the file, and cuts off a line that a crash left unfinished. */
  constructor(path) {
    this.file = fs.openSync(path, "a+");
    const whole = fs.readFileSync(path);
    this.length = whole.lastIndexOf("\n") + 1;
    fs.ftruncateSync(this.file, this.length);
    const lines = whole.subarray(0, this.length).toString().split("\n").filter(Boolean);
    this.ids = new Set(lines.map((line) => JSON.parse(line).id));
  }

  /** Stores the events, all or none, and skips those that are stored already. They are on disk then. */
  add(events) {
    const fresh = events.filter((event) => !this.ids.has(event.id));
    if (fresh.length === 0) return;
    const lines = Buffer.from(fresh.map((event) => JSON.stringify(event) + "\n").join(""));
    try {
      for (let done = 0; done < lines.length; ) done += fs.writeSync(this.file, lines, done);
      fs.fdatasyncSync(this.file);
    } catch (error) {
      fs.ftruncateSync(this.file, this.length);
      throw error;
    }
    this.length += lines.length;
    for (const event of fresh) this.ids.add(event.id);
  }
}

function makeApp(keys, store) {
  const express = require("express");
  const app = express();
  // The bytes as they came, whatever their type; a longer body gets 413.
  app.post("/", express.raw({ type: () => true, limit: MAX_BODY }), (request, response) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    let found;
    try {
      verify(keys, request.headers, body);
    } catch (error) {
      return response.status(401).send(`${error.message}\n`);
    }
    try {
      found = events(request.headers, body);
    } catch (error) {
      return response.status(400).send(`the body cannot be read: ${error.message}\n`);
    }
    try {
      store.add(found);
    } catch (error) {
      return response.status(503).send(`cannot store: ${error.message}\n`);
    }
    response.status(204).end(); // only now: webhookd removes them from its queue
  });
  return app;
}

if (require.main === module) {
  const keys = fs.readFileSync(process.argv[2], "utf8").split(/\s+/).filter(Boolean).map(keyOf);
  const app = makeApp(keys, new Store(process.argv[3]));
  const server = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
    console.error(`listening on http://127.0.0.1:${server.address().port}/`);
  });
}

module.exports = { keyOf, verify };
