//! The reader of the reference hub's history files, over files that were written by that hub, by the library that made
//! the format, and by hand to be as hostile as possible.

#![cfg(feature = "sqlite")]

mod damage;
mod hostile;
mod image;
mod lock;
mod mutation;
mod reference;
mod shapes;
mod support;
