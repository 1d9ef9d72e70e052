//! The closed set of recipes: what kind of work a dispatch was, in the words of those who are told of its end.

use std::str::FromStr;

use super::MessageKind;
use crate::domain::recipe_id;

/// The recipe of a type that a message may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe(String);

/// A word that is no recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", Recipe::all().collect::<Vec<_>>().join(", "))]
pub struct UnknownRecipe;

impl Recipe {
    /// The words of all, in the order of the contract.
    pub fn all() -> impl Iterator<Item = String> {
        MessageKind::all().map(|kind| recipe_id(kind.as_str()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Recipe {
    type Err = UnknownRecipe;

    fn from_str(s: &str) -> Result<Self, UnknownRecipe> {
        Self::all().find(|word| word == s).map(Self).ok_or(UnknownRecipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_those_of_the_types() {
        let words: Vec<_> = Recipe::all().take(5).collect();
        let contract = [
            "event.created",
            "event.updated",
            "event.cancelled",
            "order.created",
            "order.status.updated",
        ];
        assert_eq!(words, contract);
        assert!("pipeline.pipeline_failure".parse::<Recipe>().is_ok());
        let wrong = "UPDATED".parse::<Recipe>().unwrap_err().to_string();
        assert!(wrong.contains("event.updated, event.cancelled"), "{wrong}");
    }
}
