//! `ABI`: what the pinned maps of a gateway look like, written by the daemon that created them.

/// Room for layouts in an [`AbiRecord`].
pub const RECORD_MAPS: usize = 24;

/// One map's layout inside an [`AbiRecord`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapLayout {
    /// Name, zero-padded.
    pub name: [u8; 16],
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity it was created with.
    pub max_entries: u32,
    /// Creation flags.
    pub flags: u32,
}

impl MapLayout {
    /// An unused slot.
    pub const EMPTY: Self = Self { name: [0; 16], kind: 0, key_size: 0, value_size: 0, max_entries: 0, flags: 0 };
}

/// The value of `ABI[0]`. A version of 0 means: not written yet.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbiRecord {
    /// [`super::ABI_VERSION`] of the writer.
    pub version: u32,
    /// How many of `maps` are used.
    pub count: u32,
    /// The layouts.
    pub maps: [MapLayout; RECORD_MAPS],
}
