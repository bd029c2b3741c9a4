//! What the derives write calls to. Not part of the public interface: it changes with the macro crate.
