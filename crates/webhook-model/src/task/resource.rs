//! The resources that a task needs.

use crate::field::variant::union;

union! {
    /// An amount of a resource that a task needs.
    Resource {
        /// Processor cores.
        NumCpus(f64) "NUM_CPUS";
        /// Memory, in MB.
        RamMb(i64) "RAM_MB";
        /// Disk space, in MB.
        DiskMb(i64) "DISK_MB";
        /// A port, by its name in the task.
        NamedPort(String) "NAMED_PORT";
        /// Graphics processors.
        NumGpus(i64) "NUM_GPUS";
    }
}
