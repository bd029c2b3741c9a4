//! The ids of traces and spans: the same for the same run each time, so that an export may be repeated.

use step_machine::RunId;

/// 16 bytes in hex: a run whose id is a UUID has it already.
pub(super) fn trace_id(run: &RunId) -> String {
    let text = run.to_string();
    let hex = text.replace('-', "").to_ascii_lowercase();
    let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && text.len() == 36 && hex.bytes().any(|byte| byte != b'0') {
        return hex;
    }
    format!("{:016x}{:016x}", hash(&["high", &text]), hash(&["low", &text]))
}

/// 8 bytes in hex.
pub(super) fn span_id(parts: &[&str]) -> String {
    format!("{:016x}", hash(parts))
}

/// FNV-1a, then mixed so that texts that differ little give numbers that differ much. Never zero, which is no id.
fn hash(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for part in parts {
        part.bytes().for_each(&mut add);
        // Stands in no text of UTF-8, so that parts cannot run into each other.
        add(0xff);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_the_id_of_its_trace() {
        let run = RunId::from("01a1fc38-8800-720c-839f-bd57b5872858");
        assert_eq!(trace_id(&run), "01a1fc388800720c839fbd57b5872858");
        let other = trace_id(&RunId::from("web-42"));
        assert_eq!(other.len(), 32);
        assert_ne!(other, trace_id(&RunId::from("web-43")));
        assert_eq!(trace_id(&RunId::from("00000000-0000-0000-0000-000000000000")).len(), 32);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(span_id(&["ab", "c"]), span_id(&["a", "bc"]));
        assert_eq!(span_id(&["run", "step"]), span_id(&["run", "step"]));
    }
}
