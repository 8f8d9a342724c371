//! Ports and ranges of ports: `22,9000-9010`.

/// Entries of a list at most.
const ENTRIES_MAX: usize = 64;

/// The list without its spaces, if it is one.
pub(super) fn check(text: &str) -> Result<String, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries.len() > ENTRIES_MAX {
        return Err(format!("it has {} entries; write at most {ENTRIES_MAX}", entries.len()));
    }
    match entries.iter().find(|entry| !is_range(entry)) {
        None => Ok(entries.join(",")),
        Some(wrong) => Err(format!(
            "`{}` is no port and no range: write 1 to 65535, or two of them with - between, separated by commas",
            super::quoted(wrong)
        )),
    }
}

fn is_range(text: &str) -> bool {
    match text.split_once('-') {
        None => port(text).is_some(),
        Some((first, last)) => port(first).zip(port(last)).is_some_and(|(first, last)| first <= last),
    }
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}
