//! What processor this is: CPUID and MSRs as data.

use x86_spec::vmx::caps::Caps;

/// One CPUID leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuidLeaf {
    /// EAX on input.
    pub leaf: u32,
    /// ECX on input, for leaves that look at it.
    pub subleaf: Option<u32>,
    /// EAX, EBX, ECX and EDX on output.
    pub regs: [u32; 4],
}

/// A processor model. The VMX capability MSRs come from [`Profile::caps`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Name, as in `fixtures/profiles/NAME.toml`.
    pub name: String,
    /// VMX capabilities.
    pub caps: Caps,
    /// CPUID leaves; what is not listed reads as zero.
    pub cpuid: Vec<CpuidLeaf>,
    /// Initial values of further MSRs, by index.
    pub msrs: Vec<(u32, u64)>,
}
