//! A second implementation of Java's hash: from the rules, and on the JSON instead of the structs.

use serde_json::Value;
use std::collections::BTreeMap;
use webhook_model::Release;

/// The fields of each struct: name, kind of value, first and last minor release.
///
/// The kinds: `i`nt, `l`ong, `d`ouble, `b`ool, `s`tring, `e`num, `S`truct, `U`nion, and of
/// collections `[` a list, `{` a set, `m` a map, each followed by the kind of its elements.
type Field = (&'static str, &'static str, u32, u32);

fn fields(of: &str) -> &'static [Field] {
    match of {
        "ScheduledTask" => &[
            ("assignedTask", "S:AssignedTask", 0, 99),
            ("status", "e:ScheduleStatus", 0, 99),
            ("failureCount", "i", 0, 99),
            ("timesPartitioned", "i", 20, 99),
            ("taskEvents", "[S:TaskEvent", 0, 99),
            ("ancestorId", "s", 0, 99),
        ],
        "AssignedTask" => &[
            ("taskId", "s", 0, 99),
            ("slaveId", "s", 0, 99),
            ("slaveHost", "s", 0, 99),
            ("task", "S:TaskConfig", 0, 99),
            ("assignedPorts", "mi", 0, 99),
            ("instanceId", "i", 0, 99),
        ],
        "TaskConfig" => &[
            ("job", "S:JobKey", 0, 99),
            ("owner", "S:Identity", 0, 99),
            ("isService", "b", 0, 99),
            ("numCpus", "d", 0, 19),
            ("ramMb", "l", 0, 19),
            ("diskMb", "l", 0, 19),
            ("priority", "i", 0, 99),
            ("maxTaskFailures", "i", 0, 99),
            ("production", "b", 0, 99),
            ("tier", "s", 0, 99),
            ("resources", "{U:Resource", 0, 99),
            ("constraints", "{S:Constraint", 0, 99),
            ("requestedPorts", "{s", 0, 19),
            ("mesosFetcherUris", "{S:MesosFetcherURI", 15, 99),
            ("taskLinks", "ms", 0, 99),
            ("contactEmail", "s", 0, 99),
            ("executorConfig", "S:ExecutorConfig", 0, 99),
            ("metadata", "{S:Metadata", 0, 99),
            ("partitionPolicy", "S:PartitionPolicy", 20, 99),
            ("slaPolicy", "U:SlaPolicy", 21, 99),
            ("container", "U:Container", 0, 99),
        ],
        "JobKey" => &[
            ("role", "s", 0, 99),
            ("environment", "s", 0, 99),
            ("name", "s", 0, 99),
        ],
        "Identity" => &[("user", "s", 0, 99)],
        "ExecutorConfig" => &[("name", "s", 0, 99), ("data", "s", 0, 99)],
        "Metadata" => &[("key", "s", 0, 99), ("value", "s", 0, 99)],
        "Constraint" => &[
            ("name", "s", 0, 99),
            ("constraint", "U:TaskConstraint", 0, 99),
        ],
        "TaskConstraint.VALUE" => &[("negated", "b", 0, 99), ("values", "{s", 0, 99)],
        "TaskConstraint.LIMIT" => &[("limit", "i", 0, 99)],
        "TaskEvent" => &[
            ("timestamp", "l", 0, 99),
            ("status", "e:ScheduleStatus", 0, 99),
            ("message", "s", 0, 99),
            ("scheduler", "s", 0, 99),
        ],
        "MesosFetcherURI" => &[
            ("value", "s", 0, 99),
            ("extract", "b", 0, 99),
            ("cache", "b", 0, 99),
            ("outputFile", "s", 22, 99),
        ],
        "PartitionPolicy" => &[("reschedule", "b", 0, 99), ("delaySecs", "l", 0, 99)],
        "Container.MESOS" => &[
            ("image", "U:Image", 0, 99),
            ("volumes", "[S:Volume", 17, 99),
        ],
        "Container.DOCKER" => &[("image", "s", 0, 99), ("parameters", "[S:Parameter", 0, 99)],
        "Parameter" => &[("name", "s", 0, 99), ("value", "s", 0, 99)],
        "Volume" => &[
            ("containerPath", "s", 0, 99),
            ("hostPath", "s", 0, 99),
            ("mode", "e:Mode", 0, 99),
        ],
        "Image.DOCKER" => &[("name", "s", 0, 99), ("tag", "s", 0, 99)],
        "Image.APPC" => &[("name", "s", 0, 99), ("imageId", "s", 0, 99)],
        "SlaPolicy.PERCENTAGE_SLA_POLICY" => {
            &[("percentage", "d", 0, 99), ("durationSecs", "l", 0, 99)]
        }
        "SlaPolicy.COUNT_SLA_POLICY" => &[("count", "l", 0, 99), ("durationSecs", "l", 0, 99)],
        "SlaPolicy.COORDINATOR_SLA_POLICY" => {
            &[("coordinatorUrl", "s", 0, 99), ("statusKey", "s", 0, 99)]
        }
        other => panic!("{other}"),
    }
}

/// A JVM: the minor number of its release, and its identities.
pub(crate) struct NaiveJvm {
    pub(crate) minor: u32,
    pub(crate) identities: BTreeMap<String, i32>,
}

impl NaiveJvm {
    pub(crate) fn new(release: Release, identities: &BTreeMap<String, i32>) -> Self {
        let minor = release.name().split_once('.').unwrap().1.parse().unwrap();
        NaiveJvm {
            minor,
            identities: identities.clone(),
        }
    }

    /// The hash of a struct, by its JSON.
    pub(crate) fn hash(&self, of: &str, json: &Value) -> i32 {
        let mut hash: i64 = 1;
        for (name, kind, from, until) in fields(of) {
            if (*from..=*until).contains(&self.minor) {
                hash = wrap(31 * hash + i64::from(self.value(kind, &json[*name])));
            }
        }
        hash as i32
    }

    fn value(&self, kind: &str, json: &Value) -> i32 {
        let (first, rest) = kind.split_at(1);
        let sum = |parts: &mut dyn Iterator<Item = i32>| {
            parts.fold(0i64, |sum, part| wrap(sum + i64::from(part))) as i32
        };
        match first {
            _ if json.is_null() => 0,
            "i" => json.as_i64().unwrap() as i32,
            "l" => long(json.as_i64().unwrap()),
            "d" => long(json.as_f64().unwrap().to_bits() as i64),
            "b" => {
                if json.as_bool().unwrap() {
                    1231
                } else {
                    1237
                }
            }
            "s" => string(json.as_str().unwrap()),
            "e" => self.identity(&rest[1..], json.as_str().unwrap()),
            "S" => self.hash(&rest[1..], json),
            "U" => self.union(&rest[1..], json),
            "[" => json.as_array().unwrap().iter().fold(1i64, |hash, element| {
                wrap(31 * hash + i64::from(self.value(rest, element)))
            }) as i32,
            "{" => sum(&mut json
                .as_array()
                .unwrap()
                .iter()
                .map(|one| self.value(rest, one))),
            "m" => sum(&mut json
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, one)| string(key) ^ self.value(rest, one))),
            other => panic!("{other}"),
        }
    }

    fn union(&self, of: &str, json: &Value) -> i32 {
        let tag = json["setField"].as_str().unwrap();
        let value = &json["value"];
        let hash = match (of, tag) {
            ("Resource", "NUM_CPUS") => self.value("d", value),
            ("Resource", "NAMED_PORT") => self.value("s", value),
            ("Resource", _) => self.value("l", value),
            _ => self.hash(&format!("{of}.{tag}"), value),
        };
        let tagged = wrap(31 + i64::from(self.identity(of, tag)));
        wrap(31 * tagged + i64::from(hash)) as i32
    }

    fn identity(&self, of: &str, name: &str) -> i32 {
        let constant = format!("{of}.{name}");
        self.identities
            .get(&constant)
            .copied()
            .unwrap_or_else(|| panic!("{constant}"))
    }
}

/// Wraps to 32 bits, like Java's `int`.
fn wrap(number: i64) -> i64 {
    i64::from(number as i32)
}

fn long(long: i64) -> i32 {
    (long ^ ((long as u64) >> 32) as i64) as i32
}

fn string(string: &str) -> i32 {
    string
        .encode_utf16()
        .fold(0i64, |hash, unit| wrap(31 * hash + i64::from(unit))) as i32
}
