//! The examples in Rust of `docs/receivers.md`, run as doctests. The tests are in `main.rs`.

#![cfg_attr(doctest, doc = include_str!("../../docs/receivers.md"))]
