//! What the end-to-end tests share: the real binary and a receiver that misbehaves on demand.
//!
//! *Architecture invariant*: the product is driven from outside, as an operator would drive it.
