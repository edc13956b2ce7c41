//! The client against a real Kamailio, and against fakes for the faults that a real one cannot be made to show.

mod fakes;
mod real;
