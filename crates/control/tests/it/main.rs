//! The use cases over a real state: `store` implements the ports, the rest is the testkit's.

mod credential;
mod example;
mod mesh;
mod platform;
