//! Aurora's payloads: read, written, read again, and hashed.

use crate::seeds::Files;
use webhook_model::{EventHeader, Jvm, Layout, Release, TaskStateChange};

/// Of a payload that is read, the header is read and is the same; what is written is read back as the
/// same payload with the same hashes, and written again as the same bytes, in every release's layout.
pub(crate) fn run(input: &[u8]) {
    let Ok(change) = TaskStateChange::read(input) else {
        return;
    };
    assert_eq!(EventHeader::read(input), Ok(change.header()));
    let written = change.to_json().expect("a double that was read is finite");
    check_rewritten(&change, &written);
    assert!(
        serde_json::from_slice::<serde::de::IgnoredAny>(&written).is_ok(),
        "what is written is JSON"
    );
    let report = change.verify_hashes(Jvm::fixed());
    let jvm = Jvm::recover(&change);
    for &release in Release::ALL {
        let laid_out = change.clone().with_layout(Layout::Of(release));
        let written = laid_out.to_json().expect("its doubles are finite");
        let again = read(&written);
        let again = again.with_layout(Layout::Of(release));
        assert_eq!(again.to_json(), Ok(written));
    }
    let rebuilt = change.rebuilt(&jvm);
    let written = rebuilt.to_json().expect("its doubles are finite");
    assert_eq!(read(&written).rebuilt(&jvm).to_json(), Ok(written));
    drop(report);
}

fn check_rewritten(change: &TaskStateChange, written: &[u8]) {
    let again = read(written);
    assert_eq!(&again, change);
    assert_eq!(again.header(), change.header());
    assert_eq!(again.to_json().as_deref(), Ok(written));
    if let (Some(task), Some(before)) = (again.task(), change.task()) {
        assert_eq!(task.cached_hash_code(), before.cached_hash_code());
        let jvm = Jvm::fixed();
        assert_eq!(task.hash_code_in(jvm), before.hash_code_in(jvm));
    }
}

fn read(written: &[u8]) -> TaskStateChange {
    TaskStateChange::read(written).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(written);
        panic!("what was written is not read back: {error}: {text}")
    })
}

pub(crate) fn seeds(files: &mut Files) {
    let line = |line: &[u8]| line.to_vec();
    files.each_line("events.ndjson", line);
    for name in ["doubles", "escapes", "extremes", "statuses", "unions"] {
        files.each_line(&format!("payloads/{name}.ndjson"), line);
    }
    files.each_file("invalid", ".json", |file| file);
}
