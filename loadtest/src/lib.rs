//! The load harness: a black box that drives the data API over HTTP and reports what it saw.
