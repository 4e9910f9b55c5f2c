//! Benchmarks of reading, writing and hashing Aurora's sample, each next to serde_json's plain
//! derive on the same struct.

mod plain;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use webhook_model::{EventHeader, IdentityHashes, Jvm, Release, TaskStateChange};

const SAMPLE: &[u8] = include_bytes!("../../tests/data/sample-exact.json");

fn main() {
    // Samples long enough that a timer tick or an interrupt does not matter.
    divan::Divan::default()
        .sample_size(200)
        .sample_count(300)
        .config_with_args()
        .main();
}

fn sample() -> TaskStateChange {
    TaskStateChange::read(SAMPLE).expect("the sample is a payload")
}

fn plain_sample() -> plain::Change {
    serde_json::from_slice(SAMPLE).expect("the sample is a payload")
}

#[divan::bench]
fn header(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| EventHeader::read(black_box(SAMPLE)));
}

#[divan::bench]
fn header_plain(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| serde_json::from_slice::<plain::Header<'_>>(black_box(SAMPLE)));
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| TaskStateChange::read(black_box(SAMPLE)));
}

#[divan::bench]
fn read_plain(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| serde_json::from_slice::<plain::Change>(black_box(SAMPLE)));
}

#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let change = sample();
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| black_box(&change).to_json());
}

#[divan::bench]
fn write_plain(bencher: Bencher<'_, '_>) {
    let change = plain_sample();
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench(|| serde_json::to_vec(black_box(&change)));
}

/// Into a buffer that is large enough.
#[divan::bench]
fn write_into_buffer(bencher: Bencher<'_, '_>) {
    let change = sample();
    let mut buffer = Vec::with_capacity(2 * SAMPLE.len());
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench_local(|| {
            buffer.clear();
            black_box(&change).write_json(&mut buffer)
        });
}

#[divan::bench]
fn write_into_buffer_plain(bencher: Bencher<'_, '_>) {
    let change = plain_sample();
    let mut buffer = Vec::with_capacity(2 * SAMPLE.len());
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .bench_local(|| {
            buffer.clear();
            serde_json::to_writer(&mut buffer, black_box(&change))
        });
}

/// All hashes of the task, none of which is cached.
#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    let jvm = Jvm::new(Release::V0_14, IdentityHashes::fixed());
    let change = sample().rebuilt(&jvm);
    bencher
        .counter(BytesCount::of_slice(SAMPLE))
        .with_inputs(|| change.clone())
        .bench_values(|change| change.task().map(|task| task.hash_code_in(black_box(&jvm))));
}
