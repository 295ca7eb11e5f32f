//! The table of families: data only. A new family that uses known strategies is one entry here.

#![allow(clippy::too_many_lines, reason = "a table is as long as it has entries")]

mod crops;
mod encoders;
mod grids;
mod originals;
mod patches;
mod prompts;
mod remote;
mod tiles;
mod video_prompts;
mod videos;
mod views;

use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::spec::{Common, Convert, Key, MeanStd, OwnFile, Prompt, Spec, Upstream};

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Conversion to RGB.
    pub convert: Convert,
    /// Whether each image of a flat list is a sample of its own, where samples matter; else the list is one sample.
    pub apart: bool,
    /// Its options as released checkpoints have them. Pillow's newest rule stands for the installed one's.
    pub spec: Spec,
    /// What keys of files and arguments become, beyond the options' own names.
    pub keys: &'static [Key],
    /// Upstream's class, where transformers has one.
    pub upstream: Option<Upstream>,
    /// The class of the code that its released models bring along, where transformers has none.
    pub remote: Option<Upstream>,
    /// The file that its released models have beside transformers' own.
    pub own_file: Option<OwnFile>,
    /// Tokens that upstream's processor puts around those of an image, which it then always cuts into tiles.
    pub markers: usize,
    /// The text that stands for an image in a prompt.
    pub prompt: Prompt,
    /// The same for videos, where it has any.
    pub video: Option<Video>,
}

/// A family's videos.
#[derive(Clone, Debug)]
pub struct Video {
    /// Its options as released checkpoints have them.
    pub spec: Spec,
    /// What keys of files and arguments become, beyond the options' own names.
    pub keys: &'static [Key],
    /// Upstream's class, where transformers has one.
    pub upstream: Option<Upstream>,
    /// The text that stands for a video in a prompt.
    pub prompt: Prompt,
}

impl Video {
    /// The same with a text for each video.
    const fn says(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }
}

impl Family {
    /// A family of transformers without videos.
    fn of(spec: Spec) -> Self {
        Self {
            name: spec.family,
            aliases: &[],
            convert: Convert::Transformers,
            apart: false,
            spec,
            keys: &[],
            upstream: None,
            remote: None,
            own_file: None,
            markers: 0,
            prompt: Prompt::NONE,
            video: None,
        }
    }

    /// The same with a text for each image.
    const fn says(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }

    /// The same with a text for each video.
    fn shows(mut self, prompt: Prompt) -> Self {
        self.video = self.video.map(|video| video.says(prompt));
        self
    }
}

const CLIP: MeanStd =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);
const IMAGENET: MeanStd = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const HALF: MeanStd = ([0.5; 3], [0.5; 3]);

/// How transformers spells tiles and how many there may be.
const TILE_KEYS: &[Key] = &[
    Key::Sides("size", "image_size"),
    Key::Alias("min_patches", "min_num"),
    Key::Alias("max_patches", "max_num"),
];

/// Budgets of pixels, as the Qwen line spells them.
const AREAS: Key = Key::Dict(
    "size",
    &[
        ("shortest_edge", "min_pixels"),
        ("longest_edge", "max_pixels"),
        ("min_pixels", "min_pixels"),
        ("max_pixels", "max_pixels"),
    ],
);

fn common((image_mean, image_std): MeanStd) -> Common {
    Common { image_mean, image_std, ..Common::default() }
}

/// Every family.
#[must_use]
pub fn all() -> &'static [Family] {
    static ALL: LazyLock<Vec<Family>> = LazyLock::new(|| {
        let files = [
            patches::families(),
            originals::families(),
            tiles::families(),
            patches::budgets(),
            encoders::families(),
            crops::families(),
            views::families(),
            grids::families(),
            remote::families(),
        ];
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

/// Every family's videos. Some families have no images, or images that other families have as well.
pub fn videos() -> impl Iterator<Item = &'static Video> {
    static ALONE: LazyLock<Vec<Video>> = LazyLock::new(videos::families);
    all().iter().filter_map(|family| family.video.as_ref()).chain(ALONE.iter())
}

/// The videos of the family of that name, alias or model type.
///
/// # Errors
/// `Unknown`.
pub fn find_video(name: &str) -> Result<&'static Video> {
    let known = || videos().map(|video| video.spec.family).collect();
    let named = |wanted: &str| videos().find(|video| video.spec.family == wanted);
    let typed = || {
        videos().find(|video| {
            video.upstream.as_ref().is_some_and(|upstream| upstream.model_types.contains(&name))
        })
    };
    // Images of that name have the videos of that name, or none.
    let found = match find(name) {
        Ok(family) => named(family.name),
        Err(_) => named(name).or_else(typed),
    };
    found.ok_or_else(|| {
        let given = name.into();
        Error::Unknown { what: "family that takes videos", given, known: known() }
    })
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
                assert_eq!(family.name, video.spec.family);
                assert!(video.spec.clone().prepare().is_ok());
            }
        }
        for video in videos() {
            assert!(video.spec.clone().prepare().is_ok(), "{}", video.spec.family);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name or alias stands for two families");
    }

    #[test]
    fn options_round_trip() {
        let images = all().iter().map(|family| &family.spec);
        for spec in images.chain(videos().map(|video| &video.spec)) {
            let mut copy = spec.clone();
            for (name, value) in spec.options() {
                assert_eq!(copy.set(name, &value), Ok(()), "{name}");
            }
            assert_eq!(copy.options(), spec.options());
        }
    }
}
