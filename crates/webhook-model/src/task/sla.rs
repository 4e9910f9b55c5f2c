//! SLA policies: how many of a job's instances must keep running during maintenance (from 0.21).

use crate::field::structure::structure;
use crate::field::variant::union;
use crate::release::Span;

union! {
    /// The rule for whether a task may be stopped for maintenance.
    SlaPolicy {
        /// A percentage of the instances must have been running for some time.
        Percentage(PercentageSlaPolicy) "PERCENTAGE_SLA_POLICY";
        /// A number of instances must have been running for some time.
        Count(CountSlaPolicy) "COUNT_SLA_POLICY";
        /// A service of the job's owner decides.
        Coordinator(CoordinatorSlaPolicy) "COORDINATOR_SLA_POLICY";
    }
}

structure! {
    /// A percentage of the instances must have been running for some time.
    PercentageSlaPolicy {
        /// The percentage.
        scalar(f64) percentage, with_percentage, "percentage", Span::ALWAYS;
        /// The time, in seconds.
        scalar(i64) duration_secs, with_duration_secs, "durationSecs", Span::ALWAYS;
    }
}

structure! {
    /// A number of instances must have been running for some time.
    CountSlaPolicy {
        /// The number of instances.
        scalar(i64) count, with_count, "count", Span::ALWAYS;
        /// The time, in seconds.
        scalar(i64) duration_secs, with_duration_secs, "durationSecs", Span::ALWAYS;
    }
}

structure! {
    /// A service of the job's owner decides.
    CoordinatorSlaPolicy {
        /// The URL of the service.
        text coordinator_url, with_coordinator_url, "coordinatorUrl", Span::ALWAYS;
        /// The member of its response that says whether the task may be stopped.
        text status_key, with_status_key, "statusKey", Span::ALWAYS;
    }
}
