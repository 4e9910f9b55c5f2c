//! How many of a job's instances maintenance must leave running (from 0.21).

use crate::field::structure::structure;
use crate::field::variant::union;
use crate::release::Span;

union! {
    /// Who says whether a task may be stopped for maintenance, and by what rule.
    SlaPolicy {
        /// So many in a hundred must have been running for so long.
        Percentage(PercentageSlaPolicy) "PERCENTAGE_SLA_POLICY";
        /// So many must have been running for so long.
        Count(CountSlaPolicy) "COUNT_SLA_POLICY";
        /// A service of the job's owner is asked.
        Coordinator(CoordinatorSlaPolicy) "COORDINATOR_SLA_POLICY";
    }
}

structure! {
    /// So many in a hundred instances must have been running for so long.
    PercentageSlaPolicy {
        /// How many in a hundred.
        scalar(f64) percentage, with_percentage, "percentage", Span::ALWAYS;
        /// For how long, in seconds.
        scalar(i64) duration_secs, with_duration_secs, "durationSecs", Span::ALWAYS;
    }
}

structure! {
    /// So many instances must have been running for so long.
    CountSlaPolicy {
        /// How many.
        scalar(i64) count, with_count, "count", Span::ALWAYS;
        /// For how long, in seconds.
        scalar(i64) duration_secs, with_duration_secs, "durationSecs", Span::ALWAYS;
    }
}

structure! {
    /// A service of the job's owner is asked.
    CoordinatorSlaPolicy {
        /// Where it listens.
        text coordinator_url, with_coordinator_url, "coordinatorUrl", Span::ALWAYS;
        /// The member of its answer that says whether the task may be stopped.
        text status_key, with_status_key, "statusKey", Span::ALWAYS;
    }
}
