//! UI cases.
