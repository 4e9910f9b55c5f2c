//! What a task needs of its host.

use crate::field::variant::union;

union! {
    /// An amount of something that a task needs of its host.
    Resource {
        /// Processor cores.
        NumCpus(f64) "NUM_CPUS";
        /// Memory, in MB.
        RamMb(i64) "RAM_MB";
        /// Disk space, in MB.
        DiskMb(i64) "DISK_MB";
        /// A port, by the name that the task knows it by.
        NamedPort(String) "NAMED_PORT";
        /// Graphics processors.
        NumGpus(i64) "NUM_GPUS";
    }
}
