//! The product from outside: one file a concern.

mod answers;
mod config_check;
mod deliver;
mod independent;
mod input;
mod receive;
mod signals;
