use super::*;
use crate::delivery::format::check_response;
use expect_test::{Expect, expect};
use webhook_config::Format;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        complete: true,
    }
}

/// Checks a receipt for so many records.
fn receipt(body: &str, records: usize) -> Result<(), FailedReceipt> {
    check_response(Format::KafkaRestV2, &answer(200, body), records)
}

#[test]
fn a_record_with_an_offset_was_accepted() {
    let accepted = r#"{"offsets":[{"partition":1,"offset":100,"error_code":null,"error":null}],"key_schema_id":null}"#;
    assert_eq!(receipt(accepted, 1), Ok(()));
    assert_eq!(
        receipt(r#"{"offsets":[{"partition":1,"offset":100}]}"#, 1),
        Ok(())
    );
}

#[test]
fn a_2xx_whose_body_reports_a_failed_record_is_a_failure() {
    for body in [
        r#"{"offsets":[{"partition":null,"offset":null,"error_code":50003,"error":"timed out"}]}"#,
        r#"{"offsets":[{"offset":1},{"error_code":1}]}"#,
        r#"{"offsets":[{"error":"broken"}]}"#,
        r#"{"offsets":[{"message":"broken"}]}"#,
        r#"{"offsets":[]}"#,
        r"{}",
        "",
        "<html>",
        r#"{"offsets":[{"error_code":null"#,
    ] {
        let failed = receipt(body, 1).unwrap_err();
        assert!(!failed.detail.is_empty());
        assert!(failed.taken.is_empty());
    }
}

#[test]
fn the_reason_of_a_failed_record_is_told_in_either_dialect() {
    for name in ["error", "message"] {
        let body = format!(r#"{{"offsets":[{{"error_code":500,"{name}":"too large"}}]}}"#);
        let failed = receipt(&body, 1).unwrap_err();
        let expected = "the record was rejected: error_code 500: too large";
        assert_eq!(failed.detail, expected);
    }
}

#[test]
fn a_204_needs_no_receipt() {
    let answer = answer(204, "");
    assert_eq!(check_response(Format::KafkaRestV2, &answer, 3), Ok(()));
}

#[test]
fn the_body_of_an_answer_counts_for_kafka_alone() {
    for &format in Format::ALL {
        let accepted = check_response(format, &answer(200, ""), 1).is_ok();
        assert_eq!(accepted, format != Format::KafkaRestV2);
    }
}

/// A receipt for four records of which the second and the last failed.
fn check_partial(offsets: &str, expected: Expect) {
    let failed = receipt(&format!(r#"{{"offsets":[{offsets}]}}"#), 4).unwrap_err();
    assert_eq!(failed.taken, [true, false, true, false]);
    expected.assert_eq(&failed.detail);
}

#[test]
fn the_records_that_were_taken_are_known_in_every_dialect_that_tells() {
    // Confluent
    check_partial(
        r#"{"partition":0,"offset":7,"error_code":null,"error":null},
           {"partition":null,"offset":null,"error_code":50003,"error":"Expired"},
           {"partition":1,"offset":3,"error_code":null,"error":null},
           {"partition":null,"offset":null,"error_code":50002,"error":"Corrupt"}"#,
        expect!["2 of 4 records were rejected, the first at index 1: error_code 50003: Expired"],
    );
    // Strimzi
    check_partial(
        r#"{"partition":0,"offset":7},{"error_code":500,"message":"Expired"},
           {"partition":0,"offset":8},{"error_code":404,"message":"No partition"}"#,
        expect!["2 of 4 records were rejected, the first at index 1: error_code 500: Expired"],
    );
    // Karapace, with an offset that is not known
    check_partial(
        r#"{"offset":-1,"partition":0},{"error_code":1,"error":"Publish message cancelled"},
           {"offset":8,"partition":0},{"error_code":2,"error":"not the leader"}"#,
        expect![
            "2 of 4 records were rejected, the first at index 1: error_code 1: Publish message cancelled"
        ],
    );
    // A mixture: what each of them may answer, and a reason without a code
    check_partial(
        r#"{"partition":0,"offset":7,"error_code":null},{"partition":0,"offset":-1,"error_code":6},
           {"offset":8},{"message":"no"}"#,
        expect!["2 of 4 records were rejected, the first at index 1: error_code 6"],
    );
}

#[test]
fn a_receipt_in_which_every_record_failed_names_none_as_taken() {
    let failed = receipt(
        r#"{"offsets":[{"error_code":1,"error":"a"},{"error_code":1,"error":"b"}]}"#,
        2,
    );
    let expected = "2 of 2 records were rejected, the first at index 0: error_code 1: a";
    let FailedReceipt { detail, taken } = failed.unwrap_err();
    assert_eq!((detail.as_str(), taken.len()), (expected, 0));
}

#[test]
fn a_receipt_of_partitions_says_only_whether_all_were_taken() {
    // Redpanda: four records in two partitions
    let taken = r#"{"offsets":[{"partition":2,"offset":7},{"partition":0,"offset":3}]}"#;
    assert_eq!(receipt(taken, 4), Ok(()));
    let failed =
        r#"{"offsets":[{"partition":2,"offset":7},{"partition":0,"error_code":6,"offset":-1}]}"#;
    // With two records as well: the partitions have no order.
    for records in [4, 2] {
        let FailedReceipt { detail, taken } = receipt(failed, records).unwrap_err();
        let expected = "1 of 2 partitions rejected their records, the first with error_code 6";
        assert_eq!((detail.as_str(), taken.len()), (expected, 0));
    }
    let one = r#"{"offsets":[{"partition":0,"error_code":6,"offset":-1}]}"#;
    let failed = receipt(one, 1).unwrap_err();
    assert_eq!(failed.detail, "the record was rejected: error_code 6");
}

#[test]
fn a_receipt_with_more_or_fewer_offsets_than_records_is_a_failure() {
    let of = |count: usize| vec![r#"{"partition":0,"offset":7}"#; count].join(",");
    for (found, records) in [(0, 2), (2, 3), (3, 2), (2, 1), (0, 1)] {
        let body = format!(r#"{{"offsets":[{}]}}"#, of(found));
        let FailedReceipt { detail, taken } = receipt(&body, records).unwrap_err();
        let expected =
            format!("the answer does not fit the request: {found} offsets, {records} records");
        assert_eq!((detail, taken.len()), (expected, 0));
    }
}

#[test]
fn a_receipt_without_its_end_says_what_bounds_it() {
    let cut = Answer {
        complete: false,
        ..answer(200, r#"{"offsets":[{"partition":0,"offset":7},{"part"#)
    };
    let failed = check_receipt(&cut, 2).unwrap_err();
    assert!(failed.detail.contains("`maxResponseBytes`"), "{failed:?}");
}
