//! What one render may spend, and the filters and functions that spend it. A render runs on one thread from
//! its beginning to its end, so the account is the thread's.

use std::cell::Cell;

use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

/// The function that pays.
pub(super) const PAY: &str = "herald_pay";
/// The filter that looks at what is kept.
pub(super) const KEPT: &str = "herald_kept";
/// What a render may spend: bytes of source carried out, and bytes that filters make.
const BUDGET: usize = 2_000_000;
/// What is paid at least.
const LEAST: usize = 50;
/// Largest value of a variable, in bytes of text.
const MAX_VALUE: usize = 256 * 1024;
/// Lists and maps within each other.
const MAX_DEPTH: usize = 10;
/// Widest indentation.
const MAX_INDENT: usize = 100;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(BUDGET) };
}

/// Begins a render.
pub(in super::super) fn begin() {
    LEFT.set(BUDGET);
}

fn spend(cost: usize) -> TeraResult<()> {
    let left = LEFT.get().checked_sub(cost.max(LEAST));
    LEFT.set(left.unwrap_or(0));
    left.map(|_| ()).ok_or_else(|| {
        Error::message(format!(
            "the template does too much: more than {BUDGET} bytes of it are carried out"
        ))
    })
}

/// Registers what spends. The built-in `replace`, `join`, `str` and `indent` make large texts of small ones; these
/// pay for what they make. None of them can make a text safe, which the engine's can.
pub(in super::super) fn register(engine: &mut Tera) {
    engine.register_function(PAY, |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        spend(kwargs.must_get::<usize>("cost")?)?;
        Ok(String::new())
    });
    engine.register_filter(KEPT, |value: Value, _: Kwargs, _: &State| -> TeraResult<Value> {
        if size(&value, MAX_VALUE, MAX_DEPTH).is_none() {
            return Err(Error::message(format!(
                "a variable would hold more than {MAX_VALUE} bytes, or lists nested {MAX_DEPTH} deep"
            )));
        }
        Ok(value)
    });
    engine.register_filter("replace", |text: &str, with: Kwargs, _: &State| {
        replace(text, &with)
    });
    engine.register_filter("join", |list: &[Value], with: Kwargs, _: &State| {
        join(list, &with)
    });
    engine.register_filter("str", |value: &Value, _: Kwargs, _: &State| written(value));
    engine.register_filter("indent", |text: &str, with: Kwargs, _: &State| {
        indent(text, &with)
    });
}

/// How long a value is when it is written, as far as it is within `max` and `depth`. It stops where that is
/// known: a list may have the same large one many times over.
fn size(value: &Value, max: usize, depth: usize) -> Option<usize> {
    let fits = |size: usize| (size <= max).then_some(size);
    if let Some(text) = value.as_str() {
        return fits(text.len() + 2);
    }
    if let Some(list) = value.as_array() {
        let depth = depth.checked_sub(1)?;
        return list.iter().try_fold(2, |sum, item| {
            fits(sum + 2 + size(item, max - sum.min(max), depth)?)
        });
    }
    if let Some(map) = value.as_map() {
        let depth = depth.checked_sub(1)?;
        return map.iter().try_fold(2, |sum, (key, item)| {
            let sum = fits(sum + 4 + key.as_str().map_or(40, str::len))?;
            fits(sum + size(item, max - sum, depth)?)
        });
    }
    // The longest number that is written out is a fraction of 1e-308.
    fits(if value.is_f64() { 400 } else { 40 })
}

/// A list quotes its texts, and so doubles their quotes and backslashes each time it is made a text again.
fn written(value: &Value) -> TeraResult<String> {
    let text = value.to_string();
    spend(text.len())?;
    Ok(text)
}

fn replace(text: &str, kwargs: &Kwargs) -> TeraResult<String> {
    let (from, to) = (kwargs.must_get::<&str>("from")?, kwargs.must_get::<&str>("to")?);
    spend(text.len() + text.matches(from).count() * to.len())?;
    Ok(text.replace(from, to))
}

fn join(list: &[Value], kwargs: &Kwargs) -> TeraResult<String> {
    let separator = kwargs.get::<&str>("sep")?.unwrap_or_default();
    spend(list.len() * separator.len())?;
    let mut out = String::new();
    for (i, item) in list.iter().enumerate() {
        let text = if item.is_undefined() {
            String::new()
        } else {
            item.to_string()
        };
        spend(text.len())?;
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(&text);
    }
    Ok(out)
}

fn indent(text: &str, kwargs: &Kwargs) -> TeraResult<String> {
    let width = kwargs.get::<usize>("width")?.unwrap_or(4).min(MAX_INDENT);
    let unit = kwargs.get::<&str>("indentation")?.unwrap_or(" ");
    if unit.chars().count() != 1 {
        return Err(Error::message("`indentation` takes exactly one character"));
    }
    let first = kwargs.get::<bool>("first")?.unwrap_or(false);
    let blank = kwargs.get::<bool>("blank")?.unwrap_or(false);
    spend(text.len() + text.split('\n').count() * width * unit.len())?;
    let indentation = unit.repeat(width);
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if (i > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&indentation);
        }
        out.push_str(line);
    }
    Ok(out)
}
