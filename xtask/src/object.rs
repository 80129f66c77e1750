//! A look into the built object: is everything in it that the loader needs?
//!
//! Reads just enough of ELF64 little-endian for that; a damaged file is an error, never a panic.

use anyhow::{Context as _, Result, ensure};

/// Sections without which the object is of no use: BTF for named fields, maps, and the licence that GPL helpers ask for.
const SECTIONS: [&str; 4] = [".BTF", ".BTF.ext", ".maps", "license"];
/// The programs, by the names under which the loader finds them (`natgw_common::abi::program`).
pub(crate) const PROGRAMS: [&str; 4] = ["natgw_int_in", "natgw_ext_in", "natgw_ext_out", "natgw_sweep"];

const EM_BPF: u16 = 247;
const SHT_SYMTAB: u32 = 2;
const STT_FUNC: u8 = 2;
const STB_GLOBAL: u8 = 1;

/// What the object holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) sections: Vec<String>,
    /// Global functions.
    pub(crate) functions: Vec<String>,
}

struct Section {
    name: u32,
    kind: u32,
    link: u32,
    range: std::ops::Range<usize>,
}

/// Reads the section names and the global functions.
pub(crate) fn parse(bytes: &[u8]) -> Result<Object> {
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "not a little-endian ELF64 file");
    ensure!(u16_at(bytes, 18)? == EM_BPF, "not an eBPF object");
    let (table, entry) = (offset_at(bytes, 40)?, usize::from(u16_at(bytes, 58)?));
    let (count, names) = (u16_at(bytes, 60)?, usize::from(u16_at(bytes, 62)?));
    let sections = (0..usize::from(count))
        .map(|index| section_at(bytes, table.saturating_add(index.saturating_mul(entry))))
        .collect::<Result<Vec<_>>>()?;
    let names = data(bytes, sections.get(names).context("no section names")?)?;
    let titles = sections.iter().map(|section| text_at(names, section.name)).collect::<Result<Vec<_>>>()?;
    let mut functions = Vec::new();
    for symtab in sections.iter().filter(|section| section.kind == SHT_SYMTAB) {
        let index = usize::try_from(symtab.link)?;
        let strings = data(bytes, sections.get(index).context("a symbol table without names")?)?;
        for symbol in data(bytes, symtab)?.chunks_exact(24) {
            let info = symbol[4];
            if info & 0xf == STT_FUNC && info >> 4 == STB_GLOBAL {
                functions.push(text_at(strings, u32_at(symbol, 0)?)?);
            }
        }
    }
    Ok(Object { sections: titles, functions })
}

/// Fails when a section or a program is missing, and names it.
pub(crate) fn verify(object: &Object) -> Result<()> {
    let missing = |wanted: &[&str], present: &[String]| {
        let names = wanted.iter().filter(|name| !present.iter().any(|have| have == *name));
        names.copied().collect::<Vec<_>>().join(", ")
    };
    let sections = missing(&SECTIONS, &object.sections);
    ensure!(sections.is_empty(), "the object has no section {sections}");
    let programs = missing(&PROGRAMS, &object.functions);
    ensure!(programs.is_empty(), "the object has no program {programs}");
    Ok(())
}

fn section_at(bytes: &[u8], at: usize) -> Result<Section> {
    let header: [u8; 64] = array_at(bytes, at)?;
    let start = offset_at(&header, 24)?;
    let size = offset_at(&header, 32)?;
    Ok(Section {
        name: u32_at(&header, 0)?,
        kind: u32_at(&header, 4)?,
        link: u32_at(&header, 40)?,
        range: start..start.saturating_add(size),
    })
}

fn data<'a>(bytes: &'a [u8], section: &Section) -> Result<&'a [u8]> {
    bytes.get(section.range.clone()).context("a section reaches past the end of the file")
}

fn text_at(strings: &[u8], at: u32) -> Result<String> {
    let rest = strings.get(usize::try_from(at)?..).context("a name reaches past its table")?;
    let end = rest.iter().position(|byte| *byte == 0).context("a name without an end")?;
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let slice = bytes.get(at..at.saturating_add(N)).context("the file is truncated")?;
    Ok(slice.try_into()?)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(array_at(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(array_at(bytes, at)?))
}

fn offset_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(usize::try_from(u64::from_le_bytes(array_at(bytes, at)?))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(sections: &[&str], functions: &[&str]) -> Object {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Object { sections: owned(sections), functions: owned(functions) }
    }

    /// An ELF header, a symbol table with one global function `f`, its strings, and three section headers.
    fn tiny_elf(machine: u16) -> Vec<u8> {
        let strings = b"\0f\0.BTF\0";
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes.extend_from_slice(strings);
        bytes.resize(80, 0);
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.push(STB_GLOBAL << 4 | STT_FUNC);
        bytes.resize(104, 0);
        for (name, kind, offset, size, link) in [(0u32, 3u32, 64u64, 9u64, 0u32), (3, SHT_SYMTAB, 80, 24, 0)] {
            let mut header = [0u8; 64];
            header[0..4].copy_from_slice(&name.to_le_bytes());
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[24..32].copy_from_slice(&offset.to_le_bytes());
            header[32..40].copy_from_slice(&size.to_le_bytes());
            header[40..44].copy_from_slice(&link.to_le_bytes());
            bytes.extend_from_slice(&header);
        }
        bytes[40..48].copy_from_slice(&104u64.to_le_bytes());
        bytes[58..60].copy_from_slice(&64u16.to_le_bytes());
        bytes[60..62].copy_from_slice(&2u16.to_le_bytes());
        bytes
    }

    #[test]
    fn sections_and_global_functions_are_read() {
        assert_eq!(parse(&tiny_elf(EM_BPF)).expect("it is whole"), object(&["", ".BTF"], &["f"]));
    }

    #[test]
    fn an_object_cut_anywhere_is_an_error() {
        let whole = tiny_elf(EM_BPF);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes were accepted");
        }
    }

    #[test]
    fn an_object_of_the_host_is_refused() {
        let error = parse(&tiny_elf(62)).expect_err("62 is x86-64");
        assert_eq!(error.to_string(), "not an eBPF object");
    }

    #[test]
    fn the_programs_are_those_of_the_abi() {
        let abi = include_str!("../../natgw-common/src/abi/maps.rs");
        let (_, programs) = abi.split_once("pub mod program {").expect("the names are there");
        let (programs, _) = programs.split_once("\n}").expect("the module ends");
        assert_eq!(programs.matches("pub const").count(), PROGRAMS.len());
        for name in PROGRAMS {
            assert!(programs.contains(&format!("\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn a_missing_program_or_section_is_named() {
        assert!(verify(&object(&SECTIONS, &PROGRAMS)).is_ok());
        let error = verify(&object(&SECTIONS, &PROGRAMS[1..])).expect_err("one is missing");
        assert_eq!(error.to_string(), "the object has no program natgw_int_in");
        let error = verify(&object(&SECTIONS[1..], &PROGRAMS)).expect_err("one is missing");
        assert_eq!(error.to_string(), "the object has no section .BTF");
    }
}
