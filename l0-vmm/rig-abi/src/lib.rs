//! The wire format between L0, L1, L2 and the harness
