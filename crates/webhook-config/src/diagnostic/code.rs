//! The codes of problems.

macro_rules! codes {
    ($($variant:ident $name:literal $doc:literal)*) => {
        /// The kind of a problem. The names are stable, so scripts may rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $doc] $variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The stable name, for example `"unknown-key"`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The meaning, in a sentence.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self { $(Code::$variant => $doc,)* }
            }
        }
    };
}

codes! {
    UnreadableFile "unreadable-file" "The file is missing, is not a regular file, or cannot be read."
    FileTooLarge "file-too-large" "The file is larger than 1 MiB."
    EmptyFile "empty-file" "The file is empty."
    InvalidUtf8 "invalid-utf8" "The file is not UTF-8."
    ByteOrderMark "byte-order-mark" "The file starts with a byte order mark, or is UTF-16 or UTF-32."
    Syntax "syntax" "The text is not JSON. Nothing after this place was read."
    TooDeep "too-deep" "Lists and objects are nested more than 64 deep."
    TrailingText "trailing-text" "Text after the closing brace is ignored."
    WrongType "wrong-type" "The value has the wrong type."
    SloppyType "sloppy-type" "The value has the wrong type, and is converted as Aurora converted it."
    UnknownKey "unknown-key" "There is no such key."
    DuplicateKey "duplicate-key" "A key is given more than once."
    MissingKey "missing-key" "A required key is missing or null."
    ConflictingKeys "conflicting-keys" "Two keys exclude each other."
    IncompleteKeys "incomplete-keys" "A key requires another key that is missing."
    OutOfRange "out-of-range" "A number is outside its range."
    ShortTimeout "short-timeout" "A connect time-out under 100 ms only suits receivers in the same network."
    InvalidName "invalid-name" "The name of a target, an input, a source or a schema is not valid."
    DuplicateName "duplicate-name" "Two targets have the same name."
    UnknownInput "unknown-input" "There is no such input."
    UnknownTarget "unknown-target" "There is no such target."
    NoInputs "no-inputs" "An empty list of inputs: nothing would ever be sent."
    InvalidSetting "invalid-setting" "A setting of an input, or a condition, cannot be used."
    NoTargets "no-targets" "The list of targets is empty."
    InvalidUrl "invalid-url" "The URL cannot be requested, or is not the address of a database."
    ChangedUrl "changed-url" "The URL requested differs from the URL written, as in Aurora."
    OddHost "odd-host" "The URL's host has a character that no host name has."
    UrlCredentials "url-credentials" "The URL has a user name or password, which is not sent."
    InvalidHeaderName "invalid-header-name" "A header has a name that HTTP does not allow."
    RefusedHeader "refused-header" "A header may only be set by the HTTP client."
    InvalidHeaderValue "invalid-header-value" "A header has a value that HTTP cannot carry."
    ChangedHeaderValue "changed-header-value" "A header's value is sent differently from how it is written, as in Aurora."
    ContentTypeCharset "content-type-charset" "Content-Type names a charset, but the body is UTF-8."
    ContentTypeFormat "content-type-format" "Content-Type names another type than the format of the body."
    UnknownStatus "unknown-status" "There is no such task status."
    NoStatuses "no-statuses" "An empty list of statuses: nothing would ever be sent."
    InvalidJobPattern "invalid-job-pattern" "A job pattern cannot match any job; one for Aurora has the form role/environment/name."
    NoJobs "no-jobs" "An empty list of job patterns: nothing would ever be sent."
    NeverMatches "never-matches" "A filter of a target that no event of its inputs passes."
    UnknownMethod "unknown-method" "A target has a method other than POST, PUT and PATCH."
    UnknownFormat "unknown-format" "There is no such format."
    UnknownDelivery "unknown-delivery" "There is no such kind of delivery."
    UnknownWhenFull "unknown-when-full" "There is no such value of `whenFull`."
    InvalidTemplate "invalid-template" "A template of the body, or of a CloudEvent's attributes, cannot be used."
    InvalidRetry "invalid-retry" "The retry settings contradict each other."
    UnresolvedSecret "unresolved-secret" "A secret's file or environment variable cannot be read."
    InvalidSigningSecret "invalid-signing-secret" "A signing secret is not `whsec_` and the base64 of 24 to 64 bytes."
    InvalidOAuth2 "invalid-oauth2" "The id or the secret of an OAuth 2.0 client is empty, or a scope has a character that no scope can have."
    InvalidPem "invalid-pem" "A certificate or key is not PEM."
    UnencryptedSecret "unencrypted-secret" "The secret of an OAuth 2.0 client is sent to another machine without TLS."
    ExposedSecret "exposed-secret" "A secret is in a file that every user on this machine can read."
    Ineffective "ineffective" "A key has no effect together with another."
    TooManyProblems "too-many-problems" "The file has more problems than are listed."
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
