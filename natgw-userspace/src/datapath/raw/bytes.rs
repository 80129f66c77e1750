//! Maps as bytes: for layouts that this build has no types for.
//!
//! The sizes come from the kernel and every buffer is checked against them, so no layout can be misread into memory.

use std::{io, path::Path, slice};

use aya::{Pod, maps::MapData, util::nr_cpus};
use aya_obj::generated::bpf_cmd;

use super::{Cursor, address, batch, bpf, number, zeroed_attr};

/// `BPF_NOEXIST`
const NOEXIST: u64 = 1;
/// `BPF_MAP_TYPE_PERCPU_ARRAY`
const PER_CPU_ARRAY: u32 = 6;

/// A pinned map of any layout.
#[derive(Debug)]
pub(in crate::datapath) struct ByteMap {
    data: MapData,
    key_size: usize,
    /// Of one CPU, for per-CPU maps.
    value_size: usize,
    /// Values in one look-up: the possible CPUs, for per-CPU maps.
    copies: usize,
    max_entries: u32,
}

/// Entries of one batch, one behind the other.
#[derive(Debug, Default)]
pub(in crate::datapath) struct Batch {
    keys: Vec<u8>,
    values: Vec<u8>,
    sizes: (usize, usize),
}

impl Batch {
    /// Key and value of each entry.
    pub(in crate::datapath) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (key, value) = self.sizes;
        self.keys.chunks_exact(key.max(1)).zip(self.values.chunks_exact(value.max(1)))
    }
}

impl ByteMap {
    /// Opens a pin.
    pub(in crate::datapath) fn open(path: &Path) -> io::Result<Self> {
        let data = MapData::from_pin(path).map_err(io_error)?;
        let info = data.info().map_err(io_error)?;
        let per_cpu = info.map_type().is_ok_and(|kind| u32::try_from(kind as isize) == Ok(PER_CPU_ARRAY));
        let copies = if per_cpu { nr_cpus().map_err(|(_, error)| error)? } else { 1 };
        let (key_size, value_size) = (info.key_size() as usize, info.value_size() as usize);
        Ok(Self { data, key_size, value_size, copies, max_entries: info.max_entries() })
    }

    /// Capacity.
    pub(in crate::datapath) fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// Distance between the values of two CPUs.
    fn stride(&self) -> usize {
        if self.copies == 1 { self.value_size } else { self.value_size.next_multiple_of(8) }
    }

    /// The value under `key`; those of per-CPU maps one behind the other (see [`Self::split`]).
    pub(in crate::datapath) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.check_key(key)?;
        let mut value = vec![0; self.stride() * self.copies];
        let mut attr = zeroed_attr();
        attr.__bindgen_anon_2.map_fd = number(self.data.fd());
        attr.__bindgen_anon_2.key = address(key.as_ptr());
        attr.__bindgen_anon_2.__bindgen_anon_1.value = address(value.as_mut_ptr());
        match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values of the CPUs in what [`Self::get`] returned.
    pub(in crate::datapath) fn split<'a>(&self, values: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let size = self.value_size;
        values.chunks_exact(self.stride().max(1)).filter_map(move |value| value.get(..size))
    }

    /// Writes an entry, whether it is there or not.
    pub(in crate::datapath) fn put(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.update(key, value, 0)
    }

    /// Writes an entry that is not there; `false` if it is.
    pub(in crate::datapath) fn put_new(&self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        match self.update(key, value, NOEXIST) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check_key(key)?;
        if value.len() != self.stride() * self.copies {
            return Err(io::Error::other(format!("a value of {} bytes, not {}", value.len(), self.value_size)));
        }
        let mut attr = zeroed_attr();
        attr.__bindgen_anon_2.map_fd = number(self.data.fd());
        attr.__bindgen_anon_2.key = address(key.as_ptr());
        attr.__bindgen_anon_2.__bindgen_anon_1.value = address(value.as_ptr());
        attr.__bindgen_anon_2.flags = flags;
        bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
    }

    /// Removes an entry; one that is not there is no error.
    pub(in crate::datapath) fn remove(&self, key: &[u8]) -> io::Result<()> {
        self.check_key(key)?;
        let mut attr = zeroed_attr();
        attr.__bindgen_anon_2.map_fd = number(self.data.fd());
        attr.__bindgen_anon_2.key = address(key.as_ptr());
        match bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Every key of a map that nobody else writes.
    pub(in crate::datapath) fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0; self.key_size];
            let mut attr = zeroed_attr();
            attr.__bindgen_anon_2.map_fd = number(self.data.fd());
            attr.__bindgen_anon_2.key = keys.last().map_or(0, |key| address(key.as_ptr()));
            attr.__bindgen_anon_2.__bindgen_anon_1.next_key = address(next.as_mut_ptr());
            match bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) {
                Ok(_) => keys.push(next),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }

    /// About `budget` entries of a hash map after `from`, in place of what `out` held. See [`super::lookup_batch`].
    pub(in crate::datapath) fn batch(
        &self,
        from: Option<Cursor>,
        budget: usize,
        out: &mut Batch,
    ) -> io::Result<Option<Cursor>> {
        let mut room = budget.max(16);
        let value_size = self.stride() * self.copies;
        out.sizes = (self.key_size, value_size);
        loop {
            out.keys.resize(room * self.key_size, 0);
            out.values.resize(room * value_size, 0);
            // SAFETY: the buffers were just made long enough for `room` keys and values of the sizes the kernel gives
            // for this map.
            let found = unsafe {
                batch(self.data.fd(), from, room, address(out.keys.as_mut_ptr()), address(out.values.as_mut_ptr()))?
            };
            let Some((count, next)) = found else {
                room *= 2;
                continue;
            };
            out.keys.truncate(count * self.key_size);
            out.values.truncate(count * value_size);
            return Ok(next);
        }
    }

    fn check_key(&self, key: &[u8]) -> io::Result<()> {
        if key.len() == self.key_size {
            return Ok(());
        }
        Err(io::Error::other(format!("a key of {} bytes, not {}", key.len(), self.key_size)))
    }
}

/// The errno inside an error of aya's, where there is one.
fn io_error(error: aya::maps::MapError) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(errno) = current.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = current.source();
    }
    io::Error::other(error)
}

/// A value of the ABI from its bytes; `None` when they are not as many.
pub(in crate::datapath) fn from_bytes<T: Pod>(bytes: &[u8]) -> Option<T> {
    // SAFETY: as many bytes as a `T` has, read without regard to their alignment; any bytes are a value of a `Pod`.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a value of the ABI.
pub(in crate::datapath) fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: the types of the ABI have no padding (natgw_common::abi::layout), so every byte is initialised.
    unsafe { slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
