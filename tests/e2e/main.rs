//! The product from outside: one file a concern.

mod receive;
