//! The governed path as a whole, over Delta tables in a temporary folder.

mod caches;
mod catalog;
mod emulation;
mod governed;
mod limits;
mod random;
mod redteam;
mod views;
