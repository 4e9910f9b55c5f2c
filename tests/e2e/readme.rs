//! The examples of the README, run as doctests. The end-to-end tests are in `main.rs`.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]
