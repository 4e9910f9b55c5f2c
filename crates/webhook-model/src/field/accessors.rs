//! The Rust type of each kind of field, its getter and its setter.

/// The Rust type of a kind of field.
macro_rules! kind {
    (text) => { String };
    (part($Inner:ty)) => { $Inner };
    (scalar($Inner:ty)) => { $Inner };
    (list($Inner:ty)) => { Vec<$Inner> };
    (set($Inner:ty)) => { $crate::Set<$Inner> };
    (map($Inner:ty)) => { $crate::Map<$Inner> };
}

/// A field's getter and setter.
macro_rules! accessors {
    ([$($doc:tt)*] text $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        #[must_use]
        pub fn $field(&self) -> Option<&str> {
            self.$field.as_deref()
        }

        $crate::field::accessors::setter! { $field $setter $wire impl Into<String> }
    };
    ([$($doc:tt)*] part($Inner:ty) $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        #[must_use]
        pub fn $field(&self) -> Option<&$Inner> {
            self.$field.as_ref()
        }

        $crate::field::accessors::setter! { $field $setter $wire impl Into<$Inner> }
    };
    ([$($doc:tt)*] scalar($Inner:ty) $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        ///
        /// As Java's default (0 or false) where the payload does not hold it.
        #[must_use]
        pub fn $field(&self) -> $Inner {
            self.$field.unwrap_or_default()
        }

        $crate::field::accessors::setter! { $field $setter $wire $Inner }
    };
    ([$($doc:tt)*] list($Inner:ty) $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        ///
        /// Empty where the payload does not hold it.
        #[must_use]
        pub fn $field(&self) -> &[$Inner] {
            self.$field.as_deref().unwrap_or_default()
        }

        /// The same with another
        #[doc = concat!("`", $wire, "`.")]
        #[must_use]
        pub fn $setter<T: Into<$Inner>>(mut self, elements: impl IntoIterator<Item = T>) -> Self {
            self.$field = Some(elements.into_iter().map(Into::into).collect());
            self.cached_hash_code.set(0);
            self
        }
    };
    ([$($doc:tt)*] set($Inner:ty) $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        ///
        /// Empty where the payload does not hold it.
        #[must_use]
        pub fn $field(&self) -> &$crate::Set<$Inner> {
            self.$field.as_ref().unwrap_or(const { &$crate::Set::new() })
        }

        /// The same with another
        #[doc = concat!("`", $wire, "`.")]
        #[must_use]
        pub fn $setter<T: Into<$Inner>>(mut self, elements: impl IntoIterator<Item = T>) -> Self {
            self.$field = Some(elements.into_iter().map(Into::into).collect());
            self.cached_hash_code.set(0);
            self
        }
    };
    ([$($doc:tt)*] map($Inner:ty) $field:ident $setter:ident $wire:literal) => {
        $($doc)*
        ///
        /// Empty where the payload does not hold it.
        #[must_use]
        pub fn $field(&self) -> &$crate::Map<$Inner> {
            self.$field.as_ref().unwrap_or(const { &$crate::Map::new() })
        }

        /// The same with another
        #[doc = concat!("`", $wire, "`.")]
        #[must_use]
        pub fn $setter<K: Into<String>, T: Into<$Inner>>(
            mut self,
            entries: impl IntoIterator<Item = (K, T)>,
        ) -> Self {
            let entries = entries.into_iter().map(|(key, value)| (key, value.into()));
            self.$field = Some(entries.collect());
            self.cached_hash_code.set(0);
            self
        }
    };
}

/// The setter of a field that is given as one value.
macro_rules! setter {
    ($field:ident $setter:ident $wire:literal $Given:ty) => {
        /// The same with another
        #[doc = concat!("`", $wire, "`.")]
        #[must_use]
        pub fn $setter(mut self, value: $Given) -> Self {
            self.$field = Some(value.into());
            self.cached_hash_code.set(0);
            self
        }
    };
}

pub(crate) use {accessors, kind, setter};
