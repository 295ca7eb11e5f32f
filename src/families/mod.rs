//! The table of families: data only. A new family that uses known strategies is one entry here.

mod originals;
mod patches;
mod tiles;

use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::spec::{Common, Convert, MeanStd, Spec};

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Conversion to RGB.
    pub convert: Convert,
    /// Its options as released checkpoints have them. Pillow's newest rule stands for the installed one's.
    pub spec: Spec,
    /// The same for videos, where it has any.
    pub video: Option<Spec>,
}

impl Family {
    /// A family of transformers without videos.
    fn of(spec: Spec) -> Self {
        Self { name: spec.family, aliases: &[], convert: Convert::Transformers, spec, video: None }
    }
}

const CLIP: MeanStd =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);
const IMAGENET: MeanStd = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const HALF: MeanStd = ([0.5; 3], [0.5; 3]);

fn common((image_mean, image_std): MeanStd) -> Common {
    Common { image_mean, image_std, ..Common::default() }
}

/// Every family.
#[must_use]
pub fn all() -> &'static [Family] {
    static ALL: LazyLock<Vec<Family>> = LazyLock::new(|| {
        let files = [patches::families(), originals::families(), tiles::families()];
        files.into_iter().flatten().collect()
    });
    &ALL
}

/// The family of that name or alias.
///
/// # Errors
/// `Unknown`.
pub fn find(name: &str) -> Result<&'static Family> {
    let known = || all().iter().map(|family| family.name).collect();
    all()
        .iter()
        .find(|family| family.name == name || family.aliases.contains(&name))
        .ok_or_else(|| Error::Unknown { what: "family", given: name.into(), known: known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_specs_hold() {
        let mut names: Vec<&str> = Vec::new();
        for family in all() {
            assert_eq!(family.name, family.spec.family);
            names.push(family.name);
            names.extend(family.aliases);
            assert!(family.spec.clone().prepare().is_ok());
            if let Some(video) = &family.video {
                assert_eq!(family.name, video.family);
                assert!(video.clone().prepare().is_ok());
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name or alias stands for two families");
    }

    #[test]
    fn options_round_trip() {
        for family in all() {
            for spec in [Some(&family.spec), family.video.as_ref()].into_iter().flatten() {
                let mut copy = spec.clone();
                for (name, value) in spec.options() {
                    assert_eq!(copy.set(name, &value), Ok(()), "{name}");
                }
                assert_eq!(copy.options(), spec.options());
            }
        }
    }
}
