//! The Intel SDM's VMX as tables
