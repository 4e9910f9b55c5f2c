//! The verifying functions of the receivers, and those that the page shows, against `docs/vectors.json`.

use crate::page_blocks::block;
use crate::programs::{go, needed, source, starts};
use testkit::{FLASK, Folder, Launch, Python, repository};

/// Follows the definition of `key_of` and `verify`, and is called with the path of the vectors.
const PYTHON: &str = r#"
import json, sys
with open(sys.argv[1]) as file:
    given = json.load(file)
for vector in given["secrets"]:
    try:
        assert key_of(vector["secret"]).hex() == vector["keyHex"], vector
    except ValueError:
        assert "keyHex" not in vector, vector
    else:
        assert "keyHex" in vector, vector
for vector in given["requests"]:
    keys = [key_of(secret) for secret in vector["secrets"]]
    try:
        verify(keys, vector["headers"], vector["body"].encode(), vector["now"], given["toleranceSeconds"])
        verdict = "valid"
    except ValueError:
        verdict = "invalid"
    assert verdict == vector["verdict"], vector
print(len(given["requests"]))
"#;

const NODE: &str = r#"
const given = JSON.parse(require("node:fs").readFileSync(process.argv[2], "utf8"));
const assert = require("node:assert");
const attempt = (make) => { try { return make(); } catch { return undefined; } };
for (const vector of given.secrets) {
  const key = attempt(() => keyOf(vector.secret).toString("hex"));
  assert.strictEqual(key, vector.keyHex, vector.name);
}
for (const { name, secrets, now, headers, body, verdict } of given.requests) {
  const verified = attempt(() => {
    verify(secrets.map(keyOf), headers, Buffer.from(body), now, given.toleranceSeconds);
    return "valid";
  });
  assert.strictEqual(verified ?? "invalid", verdict, name);
}
console.log(given.requests.length);
"#;

const GO: &str = r#"
package main

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestVectors(t *testing.T) {
	var given struct {
		ToleranceSeconds int64
		Secrets          []struct{ Name, Secret, KeyHex string }
		Requests         []struct {
			Name    string
			Secrets []string
			Now     int64
			Headers map[string]string
			Body    string
			Verdict string
		}
	}
	text, err := os.ReadFile(os.Getenv("VECTORS"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	for _, vector := range given.Secrets {
		key, err := keyOf(vector.Secret)
		if (err == nil) != (vector.KeyHex != "") || err == nil && hex.EncodeToString(key) != vector.KeyHex {
			t.Error(vector.Name, err)
		}
	}
	for _, vector := range given.Requests {
		var keys [][]byte
		for _, secret := range vector.Secrets {
			key, err := keyOf(secret)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		headers := http.Header{}
		for name, value := range vector.Headers {
			headers.Set(name, value)
		}
		tolerance := time.Duration(given.ToleranceSeconds) * time.Second
		err := verify(keys, headers, []byte(vector.Body), time.Unix(vector.Now, 0), tolerance)
		if (err == nil) != (vector.Verdict == "valid") {
			t.Error(vector.Name, err)
		}
	}
	if len(given.Requests) == 0 {
		t.Error("no vectors")
	}
}
"#;

fn run(launch: Launch) {
    let vectors = repository("docs/vectors.json");
    let ended = launch.arg(&vectors).run("").expect_code(0);
    let count: usize = String::from_utf8(ended.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(count > 20, "{count} requests were verified");
}

#[test]
fn pythons_verifier_comes_to_each_verdict_in_the_page_and_in_the_program() {
    let Some(python) = needed(Python::with(&[FLASK])) else {
        return;
    };
    let folder = Folder::new();
    for code in [
        block("python"),
        source(&repository("docs/receivers/python/app.py")),
    ] {
        // The program does not serve when it is no main module.
        let code = code.replace("__main__", "none");
        let script = folder.write("verify.py", format!("{code}\n{PYTHON}"));
        run(Launch::of(python.bin().join("python3")).arg(script));
    }
}

#[test]
fn nodes_verifier_comes_to_each_verdict_in_the_page_and_in_the_program() {
    if needed(starts("node", "--version")).is_none() {
        return;
    }
    let folder = Folder::new();
    let program = repository("docs/receivers/node/app.js");
    let program = format!("const {{ keyOf, verify }} = require({program:?});");
    for code in [block("js"), program] {
        let script = folder.write("verify.js", format!("{code}\n{NODE}"));
        run(Launch::of("node").arg(script));
    }
}

#[test]
fn gos_verifier_comes_to_each_verdict() {
    if needed(starts("go", "version")).is_none() {
        return;
    }
    let folder = Folder::new();
    let program = source(&repository("docs/receivers/go/main.go"));
    let (main, test) = (
        folder.write("main.go", program),
        folder.write("main_test.go", GO),
    );
    let mut go = go();
    go.arg("test").args([main, test]);
    let output = go
        .env("VECTORS", repository("docs/vectors.json"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.starts_with("ok"),
        "{output:?}"
    );
}
