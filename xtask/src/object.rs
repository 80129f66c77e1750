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
    let start = offset_at(bytes, at.saturating_add(24))?;
    let size = offset_at(bytes, at.saturating_add(32))?;
    Ok(Section {
        name: u32_at(bytes, at)?,
        kind: u32_at(bytes, at.saturating_add(4))?,
        link: u32_at(bytes, at.saturating_add(40))?,
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
