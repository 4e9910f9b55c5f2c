//! W3C Trace Context: `traceparent` and `tracestate`.

use serde::{Deserialize, Serialize};

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// Bytes of a `tracestate` that is kept: what the specification asks to send on at least.
const MAX_STATE: usize = 512;
/// Longer members of a `tracestate` are dropped first, as the specification asks.
const LONG_MEMBER: usize = 128;
/// The most members of a `tracestate`.
const MAX_MEMBERS: usize = 32;

/// The trace that an event belongs to, by W3C Trace Context: a valid `traceparent` of version 00, and a
/// valid `tracestate` of at most 512 bytes, or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    traceparent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tracestate: String,
}

impl TraceContext {
    /// Reads the values of the headers. `None` if the `traceparent` is not valid; an invalid `tracestate`
    /// is dropped.
    ///
    /// ```
    /// use webhook_event::TraceContext;
    ///
    /// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let context = TraceContext::parse(parent, ["a=1", "b=2"]).expect("it is valid");
    /// assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    /// assert_eq!(context.tracestate(), Some("a=1,b=2"));
    /// ```
    #[must_use]
    pub fn parse<'a>(
        traceparent: &str,
        tracestate: impl IntoIterator<Item = &'a str>,
    ) -> Option<TraceContext> {
        Some(TraceContext {
            traceparent: read_parent(traceparent.trim_matches([' ', '\t']))?,
            tracestate: read_state(tracestate).unwrap_or_default(),
        })
    }

    /// A context of these ids. `None` if either is 0.
    #[must_use]
    pub fn new(trace_id: u128, parent_id: u64, is_sampled: bool) -> Option<TraceContext> {
        let flags = u8::from(is_sampled);
        let traceparent = format!("00-{trace_id:032x}-{parent_id:016x}-{flags:02x}");
        TraceContext::parse(&traceparent, [])
    }

    /// The same trace with another parent. An id of 0 changes nothing.
    #[must_use]
    pub fn with_parent(&self, parent_id: u64) -> TraceContext {
        let mut context = self.clone();
        if parent_id != 0 {
            let id = format!("{parent_id:016x}");
            context.traceparent.replace_range(36..52, &id);
        }
        context
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The value of `tracestate`, if there is one.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        Some(&*self.tracestate).filter(|state| !state.is_empty())
    }

    /// The id of the trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The id of the span that sent the event: 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        self.traceparent.get(36..52).unwrap_or_default()
    }

    /// Whether the spans of the trace are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.traceparent.get(53..55).unwrap_or_default();
        u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// The bytes to store of an event of which nothing else is stored. They are no JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        format!("{}{}", self.traceparent, self.tracestate).into_bytes()
    }

    /// Reads what [`Self::encode`] wrote.
    #[must_use]
    pub fn decode(stored: &[u8]) -> Option<TraceContext> {
        let text = std::str::from_utf8(stored).ok()?;
        let (parent, state) = text.split_at_checked(LENGTH)?;
        TraceContext::parse(parent, [state])
    }
}

/// A `traceparent` in version 00; of a later version, the fields of version 00 and the flag that is known.
fn read_parent(text: &str) -> Option<String> {
    let is_hex = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fields = text.get(..LENGTH)?;
    let mut parts = fields.split('-');
    let mut next = |length: usize| {
        let part = parts.next()?;
        (part.len() == length && is_hex(part)).then_some(part)
    };
    let (version, trace, parent, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    if version == "ff" || is_zero(trace) || is_zero(parent) {
        return None;
    }
    match (version, text.as_bytes().get(LENGTH)) {
        ("00", None) => Some(fields.to_owned()),
        ("00", Some(_)) => None,
        (_, None | Some(b'-')) => {
            let flags = u8::from_str_radix(flags, 16).ok()? & 1;
            Some(format!("00-{trace}-{parent}-{flags:02x}"))
        }
        _ => None,
    }
}

/// The values of all `tracestate` headers as one, within its bound. `None` if a member is not valid.
fn read_state<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for member in values.into_iter().flat_map(|value| value.split(',')) {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        let is_repeated = members.iter().any(|other| key_of(other) == key);
        if members.len() == MAX_MEMBERS || is_repeated || !is_key(key) || !is_value(value) {
            return None;
        }
        members.push(member);
    }
    let length = |members: &[&str]| members.iter().map(|it| it.len() + 1).sum::<usize>();
    if length(&members) > MAX_STATE + 1 {
        members.retain(|member| member.len() <= LONG_MEMBER);
    }
    while length(&members) > MAX_STATE + 1 {
        members.pop();
    }
    Some(members.join(","))
}

fn key_of(member: &str) -> &str {
    member.split_once('=').map_or(member, |(key, _)| key)
}

/// A simple key, or `TENANT@SYSTEM`.
fn is_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize, may_begin: fn(u8) -> bool| {
        let bytes = part.as_bytes();
        let is_inner =
            |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        bytes.len() <= longest
            && bytes.first().is_some_and(|byte| may_begin(*byte))
            && bytes.iter().all(is_inner)
    };
    match key.split_once('@') {
        None => is_part(key, 256, |byte| byte.is_ascii_lowercase()),
        Some((tenant, system)) => {
            let may_begin = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            is_part(tenant, 241, may_begin) && is_part(system, 14, |byte| byte.is_ascii_lowercase())
        }
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent(text: &str) -> Option<String> {
        TraceContext::parse(text, []).map(|context| context.traceparent)
    }

    fn state(values: &[&str]) -> Option<String> {
        let context = TraceContext::parse(PARENT, values.iter().copied()).unwrap();
        context.tracestate().map(str::to_owned)
    }

    #[test]
    fn a_traceparent_is_read_strictly() {
        assert_eq!(parent(PARENT), Some(PARENT.to_owned()));
        assert_eq!(parent(&format!(" {PARENT}\t")), Some(PARENT.to_owned()));
        let flags = PARENT.replace("-01", "-fe");
        assert_eq!(parent(&flags), Some(flags));
        for invalid in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}0"),
            &format!("{PARENT}-00"),
            &PARENT.to_uppercase(),
            &PARENT.replace("00-4", "ff-4"),
            &PARENT.replace("00-4", "0g-4"),
            &PARENT.replace('-', "_"),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &PARENT.replace("-01", "-0x"),
            &PARENT.replace("4736-", "473-6"),
            &"ä".repeat(55),
        ] {
            assert_eq!(parent(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_the_first_one() {
        for later in [
            PARENT.replace("00-4", "cc-4"),
            PARENT.replace("00-4", "01-4") + "-more",
        ] {
            assert_eq!(parent(&later), Some(PARENT.to_owned()));
        }
        let flags = PARENT.replace("00-4", "01-4").replace("-01", "-ff");
        assert_eq!(parent(&flags), Some(PARENT.to_owned()));
        assert_eq!(parent(&(PARENT.replace("00-4", "01-4") + ".more")), None);
    }

    #[test]
    fn a_tracestate_is_read_strictly_and_bounded() {
        assert_eq!(
            state(&["a=1, b=2 ,", "", "3x@sys= y z"]).unwrap(),
            "a=1,b=2,3x@sys= y z"
        );
        for invalid in [
            "a", "a=", "=1", "A=1", "1=1", "a=1,a=2", "a=1=2", "a=ä", "a=\t1", "a@=1", "@a=1",
            "a@1=1",
        ] {
            assert_eq!(state(&[invalid]), None, "{invalid}");
        }
        let members = |count: usize| {
            (0..count)
                .map(|number| format!("k{number}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(state(&[&members(32)]).is_some());
        assert_eq!(state(&[&members(33)]), None);
        // A long member goes first, then the last ones.
        let long = format!("long={}", "x".repeat(200));
        let filler = |name: &str| format!("{name}={}", "x".repeat(100));
        let all = [
            long.clone(),
            filler("a"),
            filler("b"),
            filler("c"),
            filler("d"),
        ];
        assert_eq!(state(&[&all.join(",")]).unwrap(), all[1..].join(","));
        let more = [
            filler("a"),
            filler("b"),
            filler("c"),
            filler("d"),
            filler("e"),
        ];
        assert_eq!(state(&[&more.join(",")]).unwrap(), more[..4].join(","));
        assert_eq!(state(&[&long]).unwrap(), long);
    }

    #[test]
    fn a_tracestate_of_512_bytes_is_kept_whole() {
        let member = |name: &str, length: usize| format!("{name}={}", "x".repeat(length - 2));
        let few = |last: usize| [member("a", 200), member("b", 128), member("c", last)];
        assert_eq!(few(182).join(",").len(), 512);
        assert_eq!(state(&[&few(182).join(",")]), Some(few(182).join(",")));
        assert_eq!(state(&[&few(183).join(",")]), Some(member("b", 128)));
        let many = |last: usize| {
            let names = ["a", "b", "c", "d"].map(|name| member(name, 100));
            [&names[..], &[member("e", last)]].concat()
        };
        assert_eq!(many(108).join(",").len(), 512);
        assert_eq!(state(&[&many(108).join(",")]), Some(many(108).join(",")));
        let kept = many(109)[..4].join(",");
        assert_eq!(state(&[&many(109).join(",")]), Some(kept));
    }

    #[test]
    fn a_stored_context_reads_back_the_same() {
        for values in [&[][..], &["a=1,b=\"\\"]] {
            let context = TraceContext::parse(PARENT, values.iter().copied()).unwrap();
            assert_eq!(TraceContext::decode(&context.encode()), Some(context));
        }
        assert_eq!(TraceContext::decode(b"{}"), None);
    }

    #[test]
    fn ids_and_the_flag_are_read_and_the_parent_is_replaced() {
        let context = TraceContext::parse(PARENT, ["a=1"]).unwrap();
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert!(!TraceContext::new(1, 2, false).unwrap().is_sampled());
        let next = context.with_parent(0xab);
        let expected = "00-4bf92f3577b34da6a3ce929d0e0e4736-00000000000000ab-01";
        assert_eq!(
            (next.traceparent(), next.tracestate()),
            (expected, Some("a=1"))
        );
    }
}
