//! A codec that is ready: XChaCha20-Poly1305 with keys of the user.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::codec::{Codec, CodecError, SealContext};

/// What a sealed text begins with: the form, should there be another one some day.
const FORM: &str = "x1";
const NONCE_LENGTH: usize = 24;
const KEY_LENGTH: usize = 32;

/// Encrypts outputs that are `secret` with XChaCha20-Poly1305 of the crate [`chacha20poly1305`], each under a nonce of
/// its own from the operating system, and bound to its run and step.
///
/// To change the key, give the new one first and the old ones with [`also_opens`](Self::also_opens) until no run is left
/// that they sealed for. A sealed output names its key by id, so `grep` in the journal tells.
///
/// Needs the feature `seal`.
///
/// # Examples
///
/// ```
/// use step_machine::journal::{SealKey, Sealer};
/// use step_machine::{MemoryJournal, Workflow};
///
/// #[derive(Workflow)]
/// enum Deploy {
///     #[step(output = String, secret)]
///     GetToken,
///     Upload,
/// }
/// use deploy::*;
///
/// # let text = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// // 32 random bytes as base64 or hex, as `openssl rand -base64 32` writes them; from the environment it is
/// // `SealKey::from_env("2026-11", "DEPLOY_JOURNAL_KEY")`.
/// let sealer = || Ok::<_, step_machine::journal::KeyError>(Sealer::new(SealKey::from_text("2026-11", text)?));
///
/// let journal = MemoryJournal::new();
/// let begin = |journal: &MemoryJournal| -> Result<_, Box<dyn std::error::Error>> {
///     Ok(Deploy::machine().id("web-42").journal(journal.clone()).codec(sealer()?).begin()?)
/// };
/// let (run, token) = begin(&journal)?.step(GetToken, |_| Ok::<_, std::io::Error>("hunter2".to_owned()))?;
/// assert!(run.step(Upload, |_| Err(std::io::Error::other("no route"))).is_err());
/// assert!(!format!("{journal:?}").contains("hunter2"));
///
/// // Goes on with the same key: the token is not fetched again.
/// let (run, again) = begin(&journal)?.step(GetToken, |_| Err(std::io::Error::other("not called")))?;
/// assert_eq!(again, token);
/// # run.step(Upload, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealer {
    /// The one that seals first.
    keys: Vec<Keyed>,
}

/// A cipher with its key, and the id of that.
struct Keyed {
    id: String,
    // Clears its key when it is dropped.
    cipher: XChaCha20Poly1305,
}

impl Keyed {
    fn new(key: &SealKey) -> Self {
        Self { id: key.id.clone(), cipher: XChaCha20Poly1305::new((&*key.bytes).into()) }
    }
}

impl Sealer {
    /// Seals and opens with `key`.
    #[must_use]
    pub fn new(key: SealKey) -> Self {
        Self { keys: vec![Keyed::new(&key)] }
    }

    /// Opens with an older key too; may be called several times.
    #[must_use]
    pub fn also_opens(mut self, key: SealKey) -> Self {
        self.keys.push(Keyed::new(&key));
        self
    }
}

impl Codec for Sealer {
    fn seal(&self, context: &SealContext<'_>, plain: &[u8]) -> Result<String, CodecError> {
        // `new` gave the first one.
        let key = self.keys.first().ok_or(CodecError::NoCodec)?;
        let nonce = XNonce::try_generate().map_err(|error| CodecError::Other(error.into()))?;
        let aad = associated_data(context, &key.id);
        let encrypted = key.cipher.encrypt(&nonce, Payload { msg: plain, aad: &aad });
        let encrypted = encrypted.map_err(|_| CodecError::Other("the output is too long".into()))?;
        let sealed = [nonce.as_slice(), &encrypted].concat();
        Ok(format!("{FORM}.{}.{}", key.id, Base64UrlUnpadded::encode_string(&sealed)))
    }

    fn open(&self, context: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError> {
        let (id, sealed) = parts(sealed)?;
        let aad = associated_data(context, id);
        let (nonce, encrypted) =
            sealed.split_first_chunk::<NONCE_LENGTH>().ok_or(CodecError::Form { what: "the text is too short" })?;
        let mut keys = self.keys.iter().filter(|key| key.id == id).peekable();
        if keys.peek().is_none() {
            return Err(CodecError::UnknownKey { key: id.to_owned() });
        }
        // Two keys may have been given one id.
        keys.find_map(|key| key.cipher.decrypt(nonce.into(), Payload { msg: encrypted, aad: &aad }).ok())
            .ok_or(CodecError::Refused)
    }
}

/// The id of the key, and what it sealed.
fn parts(sealed: &str) -> Result<(&str, Vec<u8>), CodecError> {
    let form = |what| CodecError::Form { what };
    let rest = sealed.strip_prefix(FORM).and_then(|rest| rest.strip_prefix('.'));
    let (id, text) = rest.and_then(|rest| rest.split_once('.')).ok_or(form("its beginning is another one"))?;
    let sealed = Base64UrlUnpadded::decode_vec(text).map_err(|_| form("the text is not base64"))?;
    Ok((id, sealed))
}

/// What is authenticated beside the output itself.
fn associated_data(context: &SealContext<'_>, key: &str) -> Vec<u8> {
    // Neither has a point in it.
    let mut data = format!("{FORM}.{key}.").into_bytes();
    data.extend(context.associated_data());
    data
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("Sealer").field("keys", &ids).finish_non_exhaustive()
    }
}

/// A key of 32 random bytes, cleared when it is dropped, and the id by which sealed outputs name it.
///
/// The id stands in the journal: the time from which the key is used is a good one. It has letters, digits, `-` and `_`
/// only.
pub struct SealKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
}

impl SealKey {
    /// A key from its bytes. They are those of a random generator, not of a password.
    pub fn new(id: impl Into<String>, bytes: [u8; KEY_LENGTH]) -> Result<Self, KeyError> {
        let (id, bytes) = (id.into(), Zeroizing::new(bytes));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(is_plain) {
            return Err(KeyError::Id { id });
        }
        Ok(Self { id, bytes })
    }

    /// A key from its text: 64 hexadecimal digits, or base64 of either alphabet, with or without `=` at the end. Space
    /// around it is passed over.
    pub fn from_text(id: impl Into<String>, text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_LENGTH {
            base16ct::mixed::decode_vec(text).map_err(|_| KeyError::Text)
        } else {
            let url = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
            Base64UrlUnpadded::decode_vec(&Zeroizing::new(url)).map_err(|_| KeyError::Text)
        };
        let bytes = Zeroizing::new(bytes?);
        let exact = <[u8; KEY_LENGTH]>::try_from(bytes.as_slice());
        Self::new(id, exact.map_err(|_| KeyError::Length { found: bytes.len() })?)
    }

    /// A key from the text in an environment variable; see [`from_text`](Self::from_text).
    pub fn from_env(id: impl Into<String>, variable: &str) -> Result<Self, KeyError> {
        let text = std::env::var(variable).map_err(|_| KeyError::Variable { variable: variable.to_owned() })?;
        Self::from_text(id, &Zeroizing::new(text))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why something is no key. Never has a part of the key in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The id would not stand in a sealed text.
    #[error("`{id}` is no id of a key; it has letters, digits, `-` and `_` only, and at least one")]
    Id {
        /// The id.
        id: String,
    },
    /// The text is neither of the two.
    #[error("the text of the key is neither hex nor base64; make one with `openssl rand -base64 32`")]
    Text,
    /// The key has another length.
    #[error("the key has {found} bytes, not {KEY_LENGTH}; make one with `openssl rand -base64 32`")]
    Length {
        /// How many bytes it has.
        found: usize,
    },
    /// The environment does not have the variable, or not as text.
    #[error("the environment variable `{variable}` with the key is not set, or is not text")]
    Variable {
        /// Its name.
        variable: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it cannot go on")]

    use super::*;
    use crate::run_id::RunId;

    fn key(id: &str, byte: u8) -> SealKey {
        SealKey::new(id, [byte; KEY_LENGTH]).unwrap()
    }

    fn opened(codec: &Sealer, (run, workflow, step): (&str, &str, &str), sealed: &str) -> Result<Vec<u8>, CodecError> {
        codec.open(&SealContext::new(&RunId::from(run), workflow, step), sealed)
    }

    const HERE: (&str, &str, &str) = ("web-42", "deploy", "get-token");

    fn sealed(codec: &Sealer) -> String {
        codec.seal(&SealContext::new(&"web-42".into(), "deploy", "get-token"), b"\"hunter2\"").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let codec = Sealer::new(key("a", 1));
        let sealed = sealed(&codec);
        assert!(sealed.starts_with("x1.a."), "{sealed}");
        assert_eq!(opened(&codec, HERE, &sealed).unwrap(), b"\"hunter2\"");
        for place in [
            ("web-43", "deploy", "get-token"),
            ("web-42", "deploy2", "get-token"),
            ("web-42", "deploy", "get-tokens"),
            ("web-42", "deployg", "et-token"),
        ] {
            assert!(matches!(opened(&codec, place, &sealed), Err(CodecError::Refused)), "{place:?}");
        }
    }

    #[test]
    fn no_two_sealed_texts_are_alike() {
        let codec = Sealer::new(key("a", 1));
        assert_ne!(sealed(&codec), sealed(&codec));
    }

    #[test]
    fn a_text_with_any_bit_flipped_does_not_open() {
        let codec = Sealer::new(key("a", 1));
        let sealed = sealed(&codec);
        let (head, text) = sealed.rsplit_once('.').unwrap();
        let bytes = Base64UrlUnpadded::decode_vec(text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{head}.{}", Base64UrlUnpadded::encode_string(&changed));
            assert!(matches!(opened(&codec, HERE, &changed), Err(CodecError::Refused)), "bit {bit}");
        }
    }

    #[test]
    fn a_text_that_is_cut_off_anywhere_does_not_open() {
        let codec = Sealer::new(key("a", 1));
        let sealed = sealed(&codec);
        for length in 0..sealed.len() {
            assert!(opened(&codec, HERE, &sealed[..length]).is_err(), "{length}");
        }
        for other in ["", "x1", "x1..", "x2.a.AAAA", "x1.a.AAAA", "x1.a.ä", "hunter2"] {
            assert!(opened(&codec, HERE, other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_new_key_seals_and_the_old_ones_open() {
        let old = sealed(&Sealer::new(key("old", 1)));
        let both = Sealer::new(key("new", 2)).also_opens(key("old", 1));
        assert_eq!(opened(&both, HERE, &old).unwrap(), b"\"hunter2\"");
        let new = sealed(&both);
        assert!(new.starts_with("x1.new."));
        assert!(opened(&Sealer::new(key("new", 2)), HERE, &new).is_ok());
        let error = opened(&Sealer::new(key("new", 2)), HERE, &old).unwrap_err();
        assert!(matches!(&error, CodecError::UnknownKey { key } if key == "old"), "{error}");
        // Neither another key of that id, nor the id of another key.
        assert!(matches!(opened(&Sealer::new(key("old", 2)), HERE, &old), Err(CodecError::Refused)));
        assert!(matches!(opened(&both, HERE, &old.replace("old", "new")), Err(CodecError::Refused)));
        assert!(opened(&Sealer::new(key("old", 2)).also_opens(key("old", 1)), HERE, &old).is_ok());
    }

    #[test]
    fn a_key_is_read_from_each_of_its_texts() {
        let bytes: [u8; KEY_LENGTH] = std::array::from_fn(|at| u8::try_from(at * 8 + 7).unwrap_or(255));
        let hex = base16ct::lower::encode_string(&bytes);
        let (plain, url) = (base64ct::Base64::encode_string(&bytes), Base64UrlUnpadded::encode_string(&bytes));
        assert!(plain.ends_with('='));
        for text in [&hex, &hex.to_uppercase(), &plain, &url, &format!(" {plain}\n")] {
            assert_eq!(*SealKey::from_text("a", text).unwrap().bytes, bytes, "{text}");
        }
        let fault = |text: &str| SealKey::from_text("a", text).unwrap_err();
        assert_eq!(fault("hunter2!"), KeyError::Text);
        assert_eq!(fault(&"g".repeat(64)), KeyError::Text);
        assert_eq!(fault("AAAA"), KeyError::Length { found: 3 });
        assert_eq!(fault(""), KeyError::Length { found: 0 });
        for id in ["", "a.b", "ä", "a b"] {
            assert_eq!(SealKey::new(id, bytes).unwrap_err(), KeyError::Id { id: id.to_owned() });
        }
        let error = SealKey::from_env("a", "STEP_MACHINE_NO_SUCH_KEY").unwrap_err();
        assert_eq!(error, KeyError::Variable { variable: "STEP_MACHINE_NO_SUCH_KEY".to_owned() });
    }

    #[test]
    fn nothing_shows_a_key() {
        let bytes = [0xab; KEY_LENGTH];
        let shown = format!("{:?} {:?}", SealKey::new("a", bytes), Sealer::new(SealKey::new("b", bytes).unwrap()));
        assert_eq!(shown, r#"Ok(SealKey { id: "a", .. }) Sealer { keys: ["b"], .. }"#);
    }
}
