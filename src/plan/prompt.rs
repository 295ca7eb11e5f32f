//! The text that stands for an image or a video in a prompt, from the family's words and the layout.

use crate::error::{Error, Result, Size, reserved};
use crate::parallel::Watch;
use crate::sizing::Grid;
use crate::spec::{Counts, Digits, Mark, Prepared, Prompt, Word};
use crate::strategy::{Layout, Measure, Shape};

use super::{Plan, Role, Times, measured, seen, tokens};

/// Digits of the largest number.
const DIGITS: usize = 20;
/// Repetitions of a text between two looks at the watch.
const WATCH_EVERY: usize = 1 << 16;

/// Whether there are such words among those that are said.
fn any(spec: &Prepared, words: &[Word], is: &impl Fn(&Word) -> bool) -> bool {
    words.iter().any(|word| {
        is(word)
            || match word {
                Word::Each { words, .. }
                | Word::Silent(words)
                | Word::Steps(words, _)
                | Word::Timed(words) => any(spec, words, is),
                Word::Either { with, without, .. } => any(spec, with, is) || any(spec, without, is),
                Word::Stamped { with, without } => any(spec, stamped(spec, with, without), is),
                _ => false,
            }
    })
}

/// Those of two groups of words that an option asks for.
fn stamped(spec: &Prepared, with: &'static [Word], without: &'static [Word]) -> &'static [Word] {
    let asks = spec.strategy.sampled().is_some_and(|sampled| sampled.add_timestamps);
    if asks { with } else { without }
}

/// Whether a text of these words has times of a video, where they are known.
#[must_use]
pub fn says_times(spec: &Prepared, prompt: &Prompt) -> bool {
    any(spec, prompt.words, &|word| {
        matches!(word, Word::Time(..) | Word::Timed(_) | Word::Phrase(_))
    })
}

/// Walks the words of an image or a video; gives `emit` each text, how often it stands there, and what upstream counts
/// for it.
struct Walker<'a, F> {
    spec: &'a Prepared,
    layout: &'a Layout,
    steps: usize,
    image: usize,
    times: Option<&'a Times<'a>>,
    watch: &'a Watch<'a>,
    silent: bool,
    emit: F,
}

/// The unit or the step that words are said for.
#[derive(Clone, Copy)]
struct Unit {
    tokens: usize,
    row: usize,
    column: usize,
    index: usize,
}

impl<F: FnMut(&str, usize, usize)> Walker<'_, F> {
    fn say(&mut self, (text, count): Mark) {
        if !text.is_empty() {
            (self.emit)(text, 1, if self.silent { 0 } else { count });
        }
    }

    fn repeat(&mut self, text: &str, times: usize) -> Result<()> {
        let mut left = times;
        while left > 0 {
            self.watch.check()?;
            let count = left.min(WATCH_EVERY);
            (self.emit)(text, count, if self.silent { 0 } else { count });
            left -= count;
        }
        Ok(())
    }

    fn shapes(&self, role: Role) -> impl Iterator<Item = &Shape> {
        self.layout.shapes.iter().filter(move |shape| shape.role == role)
    }

    /// Rows and columns of units of a role.
    fn grid(&self, role: Role) -> Grid {
        match self.shapes(role).count() {
            0 => Grid { rows: 0, columns: 0 },
            1 => self.shapes(role).next().map_or(Grid::NONE, |shape| seen(self.spec, shape).1),
            _ if self.layout.parts.count() > 0 => self.layout.parts,
            count => Grid { rows: 1, columns: count },
        }
    }

    /// Tokens of the unit of that number of a role.
    fn unit(&self, role: Role, number: usize) -> usize {
        let mut before = 0;
        for shape in self.shapes(role) {
            let (cells, tiles) = seen(self.spec, shape);
            before += tiles.count();
            if number < before {
                return cells.tokens;
            }
        }
        0
    }

    fn walk(&mut self, words: &[Word], unit: Option<Unit>) -> Result<()> {
        for word in words {
            match *word {
                Word::Text(mark) => self.say(mark),
                Word::Tokens(text) => {
                    self.repeat(text, self.steps * tokens(self.spec, self.layout))?;
                }
                Word::Cells(role, text) => {
                    let cells = |shape| {
                        let (cells, tiles) = seen(self.spec, shape);
                        tiles.count() * cells.tokens
                    };
                    let count = self.shapes(role).map(cells).sum();
                    self.repeat(text, count)?;
                }
                Word::Unit(text) | Word::Kept(text) => {
                    self.repeat(text, unit.map_or(0, |unit| unit.tokens))?;
                }
                Word::Rows { role, token, end, last } => self.rows(role, token, end, last)?,
                Word::Number(digits) => self.number(digits, unit),
                Word::Each { role, words, column, row, last } => {
                    let grid = self.grid(role);
                    for index in 0..grid.count() {
                        let place = (index / grid.columns, index % grid.columns);
                        let tokens = self.unit(role, index);
                        let unit = Unit { tokens, row: place.0, column: place.1, index };
                        self.walk(words, Some(unit))?;
                        let (row_ends, all_end) =
                            (place.1 + 1 == grid.columns, place.0 + 1 == grid.rows);
                        self.say(match (row_ends, all_end) {
                            (false, _) => column,
                            (true, false) => row,
                            (true, true) => last,
                        });
                    }
                }
                Word::Either { role, with, without } => {
                    let has = self.shapes(role).next().is_some();
                    self.walk(if has { with } else { without }, unit)?;
                }
                Word::Silent(words) => {
                    let before = std::mem::replace(&mut self.silent, true);
                    self.walk(words, unit)?;
                    self.silent = before;
                }
                Word::Steps(words, between) => {
                    let tokens = tokens(self.spec, self.layout);
                    for index in 0..self.steps {
                        self.watch.check()?;
                        self.walk(words, Some(Unit { tokens, row: 0, column: 0, index }))?;
                        if index + 1 < self.steps {
                            self.say(between);
                        }
                    }
                }
                Word::Timed(words) => {
                    let known = |times: &Times<'_>| times.rate.is_some() && times.indices.is_some();
                    if self.times.is_some_and(known) {
                        self.walk(words, unit)?;
                    }
                }
                Word::Stamped { with, without } => {
                    self.walk(stamped(self.spec, with, without), unit)?;
                }
                Word::Time(moment, clock) => {
                    if let Some(times) = self.times {
                        let step = unit.map_or(0, |unit| unit.index);
                        let text = times.clock(clock, times.moment(moment, step));
                        (self.emit)(&text, 1, 0);
                    }
                }
                Word::Phrase(phrase) => {
                    if let Some(times) = self.times {
                        let step = unit.map_or(0, |unit| unit.index);
                        phrase(times, step, &mut |text| (self.emit)(text, 1, 0));
                    }
                }
            }
        }
        Ok(())
    }

    fn rows(&mut self, role: Role, token: &str, end: Mark, last: Mark) -> Result<()> {
        let Some(shape) = self.shapes(role).next() else { return Ok(()) };
        let (rows, columns) = if let Some(reached) = self.spec.strategy.reached(self.layout) {
            (reached.rows.tokens, reached.columns.tokens)
        } else if let Some(pooling) = self.spec.strategy.pooling() {
            let patch = self.spec.strategy.patch_size();
            let windows = pooling.grid((shape.canvas.0 / patch, shape.canvas.1 / patch));
            (windows.rows, windows.columns)
        } else {
            let (cells, tiles) = seen(self.spec, shape);
            let grid = cells.grid.unwrap_or(Grid::NONE);
            (tiles.rows * grid.rows, tiles.columns * grid.columns)
        };
        for row in 0..rows {
            self.repeat(token, columns)?;
            self.say(if row + 1 < rows { end } else { last });
        }
        Ok(())
    }

    fn number(&mut self, digits: Digits, unit: Option<Unit>) {
        let main = seen(self.spec, self.layout.main()).0.grid.unwrap_or(Grid::NONE);
        let place = |of: fn(Unit) -> usize| unit.map_or(0, of) + 1;
        let mut number = match digits {
            Digits::CellRows => main.rows,
            Digits::CellColumns => main.columns,
            Digits::Row => place(|unit| unit.row),
            Digits::Column => place(|unit| unit.column),
            Digits::Index => place(|unit| unit.index),
            Digits::Image => self.image,
        };
        let (mut bytes, mut start) = ([b'0'; DIGITS], DIGITS - 1);
        loop {
            bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
            start -= 1;
        }
        if let Ok(text) = std::str::from_utf8(&bytes[start..]) {
            (self.emit)(text, 1, 0);
        }
    }
}

/// What a text depends on beside the plan.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The number of the image or the video in its sample.
    pub image: usize,
    /// What the text says of a video; none leaves its times out.
    pub times: Option<&'a Times<'a>>,
    /// Looked at between steps.
    pub watch: &'a Watch<'a>,
}

/// What upstream counts of an image as its patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchCounts {
    /// A number.
    Number(usize),
    /// Rows and columns.
    Sides(usize, usize),
    /// A number, rows and columns.
    Split(usize, usize, usize),
}

impl Plan {
    fn again(&self, spec: &Prepared) -> Result<Layout> {
        let count = if spec.strategy.is_video() { self.frames } else { self.num_images };
        let size: Size = self.source;
        Ok(measured(spec, size, count)?.0)
    }

    fn say(
        &self,
        spec: &Prepared,
        prompt: &Prompt,
        asked: &Asked<'_>,
        emit: impl FnMut(&str, usize, usize),
    ) -> Result<()> {
        let (layout, steps) = (self.again(spec)?, self.steps);
        let Asked { image, times, watch } = *asked;
        let mut walker =
            Walker { spec, layout: &layout, steps, image, times, watch, silent: false, emit };
        walker.walk(prompt.words, None)
    }

    /// The text that stands for the image or the video.
    ///
    /// # Errors
    /// `Option` where the text follows from pixels, or has times that are too large; `OutOfMemory`; `Interrupted`.
    pub fn placeholder(
        &self,
        spec: &Prepared,
        prompt: &Prompt,
        asked: &Asked<'_>,
    ) -> Result<String> {
        let kept = |word: &Word| matches!(word, Word::Kept(_));
        if spec.strategy.leaves_out() && any(spec, prompt.words, &kept) {
            let rule = "False for a text from sizes alone: which tokens stay follows from pixels";
            let name = "use_token_compression";
            return Err(Error::Option { name, rule, given: "True".into() });
        }
        if let Some(times) = asked.times {
            times.check()?;
        }
        let mut length = 0_usize;
        self.say(spec, prompt, asked, |text, times, _| {
            length = length.saturating_add(text.len().saturating_mul(times));
        })?;
        let mut bytes: Vec<u8> = reserved(length)?;
        self.say(spec, prompt, asked, |text, times, _| {
            for _ in 0..times {
                bytes.extend_from_slice(text.as_bytes());
            }
        })?;
        String::from_utf8(bytes).map_err(|_| Error::Unprepared)
    }

    /// Tokens that upstream's processor counts for it.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn prompt_tokens(&self, spec: &Prepared, prompt: &Prompt) -> Result<usize> {
        let mut count = 0;
        let asked = Asked { image: 0, times: None, watch: &Watch::new(None) };
        self.say(spec, prompt, &asked, |_, _, tokens| count += tokens)?;
        Ok(count)
    }

    /// What upstream counts as its patches.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn patch_counts(&self, spec: &Prepared, counts: Counts) -> Result<PatchCounts> {
        let units = if self.num_tiles > 0 { self.num_tiles } else { self.num_patches };
        let views = || self.outputs.iter().map(|output| output.rows).sum::<usize>();
        let Grid { rows, columns } = self.grid;
        Ok(match counts {
            Counts::Units | Counts::One => PatchCounts::Number(units),
            Counts::Views => PatchCounts::Number(views()),
            Counts::Parts => PatchCounts::Number(self.again(spec)?.parts.count()),
            Counts::Tokens | Counts::Windows => PatchCounts::Number(self.num_tokens),
            Counts::Sides => PatchCounts::Sides(rows, columns),
            Counts::Split if rows * columns > 1 => PatchCounts::Split(views(), rows, columns),
            Counts::Split => PatchCounts::Split(0, 0, 0),
        })
    }
}
